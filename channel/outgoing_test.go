package channel

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPlain(t *testing.T) {
	for want, out := range map[string]Outgoing{
		"": {}, "a": {Heading: "a"}, "b": {Text: "b"}, "a\nb": {Heading: "a", Text: "b"},
		"a\nRisk: high\n: \nb":  {Heading: "a", Facts: []Fact{{Name: "Risk", Value: "high"}, {}}, Text: "b", Field: &Field{Label: "Why"}, Buttons: []Button{{Label: "Approve"}}},
		"Input: x\n  Risk: low": {Facts: []Fact{{Name: "Input", Value: "x\nRisk: low"}}},
	} {
		if got := out.Plain(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestNoValueIsAnotherFact: whatever is in it, no line of it but the first begins as one.
func TestNoValueIsAnotherFact(t *testing.T) {
	piece := rapid.SampledFrom([]string{"Risk: low", " ", "x", "\n", "\r", "\r\n", "\v", "\f", "\u0085", "\u2028", "\u2029"})
	rapid.Check(t, func(t *rapid.T) {
		value := strings.Join(rapid.SliceOf(piece).Draw(t, "value"), "")
		f := Fact{Name: "Input", Value: value}
		lines := strings.FieldsFunc(f.Plain(), func(r rune) bool { return strings.ContainsRune("\n\r\v\f\u0085\u2028\u2029", r) })
		for _, line := range lines[1:] {
			if !strings.HasPrefix(line, "  ") {
				t.Fatalf("%q is a line of %q", line, value)
			}
		}
		if got := strings.ReplaceAll(f.Plain(), " ", ""); got != "Input:"+strings.ReplaceAll(value, " ", "") {
			t.Fatalf("%q is not %q", got, value)
		}
	})
}
