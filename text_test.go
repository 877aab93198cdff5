package writ

import (
	"strings"
	"testing"
)

func TestClip(t *testing.T) {
	for _, c := range []struct {
		text    string
		longest int
		want    string
	}{
		{"", 4, ""},
		{"abcd", 4, "abcd"},
		{"abcde", 4, "abcd..."},
		{"abc\u00e9", 4, "abc..."}, // no half of a character
		{"a\xffb", 4, "a?b"},
		{"a\nb\x1b[1m", 9, "a?b?[1m"},
		{"a\u009b1m\x7f", 9, "a?1m?"},
		{strings.Repeat("\xff", 5), 4, "..."},
	} {
		if got := Clip(c.text, c.longest); got != c.want {
			t.Errorf("Clip(%q, %d) is %q, want %q", c.text, c.longest, got, c.want)
		}
	}
}
