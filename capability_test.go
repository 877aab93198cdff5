package writ_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
)

// segmentsOf a pattern, the last of which may be "**".
func segmentsOf(s, sep string) []string {
	out := strings.Split(s, sep)
	if sep == "." {
		slices.Reverse(out)
	}
	return out
}

// matches is what the words about patterns say of a literal.
func matches(pattern, literal []string) bool {
	for i, p := range pattern {
		if p == "**" && i == len(pattern)-1 {
			return len(literal) > i
		}
		if i >= len(literal) {
			return false
		}
		prefix, star := strings.CutSuffix(p, "*")
		if !star && p != literal[i] || star && (literal[i] == "" || !strings.HasPrefix(literal[i], prefix)) {
			return false
		}
	}
	return len(pattern) == len(literal)
}

func TestPatterns(t *testing.T) {
	for pattern, want := range map[string][3]bool{ // as a path, a host, an action
		"":        {false, false, false},
		"a":       {true, true, true},
		"**":      {true, true, true},
		"***":     {false, false, false},
		"a/**":    {true, false, false},
		"**/a":    {false, false, false},
		"a/*/b":   {true, false, false},
		"a*/b":    {true, false, false},
		"*a":      {false, false, false},
		"/a//b":   {true, true, true},
		"**.a":    {false, true, false},
		"a.**":    {false, false, false},
		"*.*.a":   {false, true, false},
		"a*.b":    {false, true, false},
		"a/b#**":  {false, false, true},
		"a/*#x":   {false, false, true},
		"a/*":     {true, true, true},
		"a b":     {false, false, false},
		"a\x00":   {false, false, false},
		"a/?":     {false, false, false},
		"/**/":    {false, false, false},
		"..":      {true, true, true},
		"*.**":    {false, false, false},
		"**.**.a": {false, false, false},
	} {
		for i, sep := range []string{"/", ".", "#"} {
			if got := writ.ValidPattern(pattern, sep); got != want[i] {
				t.Errorf("%q split at %q: valid %v", pattern, sep, got)
			}
		}
	}
}

func TestWhatAPatternCovers(t *testing.T) {
	for _, test := range []struct {
		a, b, sep string
		covers    bool
	}{
		{"**", "*", "/", true},
		{"*", "**", "/", false},
		{"/a/*", "/a/**", "/", false},
		{"/a/**", "/a/*/b", "/", true},
		{"/a/**", "/a", "/", false},
		{"/a/*", "/a/", "/", false},
		{"/a*/b", "/ab*/b", "/", true},
		{"*.x", "a.x", ".", true},
		{"*.x", "a.b.x", ".", false},
		{"**.x", "a.b.x", ".", true},
		{"**.x", "x", ".", false},
		{"*.x", "**.x", ".", false},
		{"a/b#*", "a/b#run", "#", true},
		{"a/b#*", "a/b", "#", false},
		{"**", "", "/", true},
		{"", "", "/", false},
	} {
		if got := writ.PatternCovers(test.a, test.b, test.sep); got != test.covers {
			t.Errorf("%q covers %q: %v", test.a, test.b, got)
		}
	}
}

// TestPropertyPatternsCoverWhatTheyMatch: one covers another exactly where it matches
// every literal that the other does.
func TestPropertyPatternsCoverWhatTheyMatch(t *testing.T) {
	var literals [][]string
	words := []string{"", "a", "ab", "abc", "b", "c"}
	for _, x := range words {
		literals = append(literals, []string{x})
		for _, y := range words {
			literals = append(literals, []string{x, y})
			for _, z := range words {
				literals = append(literals, []string{x, y, z}, []string{x, y, z, "a"})
			}
		}
	}
	covered := 0
	rapid.Check(t, func(t *rapid.T) {
		sep := rapid.SampledFrom([]string{"/", ".", "#"}).Draw(t, "separator")
		pattern := func(name string) string {
			parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "ab", "a*", "ab*", "*", "**", "b", ""}), 1, 3).Draw(t, name)
			if sep == "." {
				slices.Reverse(parts)
			}
			return strings.Join(parts, sep)
		}
		a, b := pattern("a"), pattern("b")
		if rapid.Bool().Draw(t, "within") {
			word := rapid.SampledFrom([]string{"b", "ab", "a*", "*", "b" + sep + "b"}).Draw(t, "word")
			b = strings.ReplaceAll(strings.ReplaceAll(a, "**", "*"), "*", word)
		}
		if !writ.ValidPattern(a, sep) || !writ.ValidPattern(b, sep) {
			if !writ.ValidPattern(a, sep) && writ.PatternCovers(a, b, sep) {
				t.Fatalf("%q is no pattern and covers %q", a, b)
			}
			return
		}
		own := literals // and what b stands for, with a letter that no pattern has
		for _, star := range []string{"z", "zz"} {
			own = append(slices.Clip(own), segmentsOf(strings.ReplaceAll(strings.ReplaceAll(b, "**", "z"+sep+"z"), "*", star), sep),
				segmentsOf(strings.ReplaceAll(strings.ReplaceAll(b, "**", "z"), "*", star), sep))
		}
		want := !slices.ContainsFunc(own, func(l []string) bool { return matches(segmentsOf(b, sep), l) && !matches(segmentsOf(a, sep), l) })
		if got := writ.PatternCovers(a, b, sep); got != want {
			t.Fatalf("%q covers %q: %v, want %v", a, b, got, want)
		}
		if want && a != b {
			covered++
		}
	})
	if covered == 0 {
		t.Error("no pattern covered another")
	}
}
