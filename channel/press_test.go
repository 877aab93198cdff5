package channel_test

import (
	"testing"

	"github.com/writ-run/writ/channel"
)

func TestPressOf(t *testing.T) {
	for id, want := range map[string]channel.Press{
		"approve:exe_1/sha256:ab": {Action: "approve", Value: "exe_1/sha256:ab"}, "approve": {Action: "approve"}, "": {}, ":x": {Value: "x"}, "a:": {Action: "a"},
	} {
		if got := channel.PressOf(id); *got != want {
			t.Errorf("%q is %+v, want %+v", id, got, want)
		}
	}
}
