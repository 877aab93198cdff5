package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/sdktest"
)

func code(err error) string {
	var f *sdk.Failure
	if errors.As(err, &f) {
		return f.Code
	}
	return ""
}

func TestRender(t *testing.T) {
	values := map[string]any{
		"name": "Ada", "n": 3.5, "none": nil, "yes": true, "tpl": "{{name}}",
		"user": map[string]any{"tags": []any{"a", map[string]any{"b": "c"}}},
	}
	tests := []struct{ template, want, code string }{
		{"", "", ""},
		{"Hello, {{name}}! {{ n }} {{none}}{{yes}}", "Hello, Ada! 3.5 true", ""},
		{"{{user.tags.0}} {{user.tags.1.b}} {{user.tags}}", `a c ["a",{"b":"c"}]`, ""},
		{"{{tpl}}", "{{name}}", ""},
		{"{{{{name}} } }}", "{{name}} } }}", ""},
		{"{{nobody}}", "", "missing_value"},
		{"{{user.tags.2}}", "", "missing_value"},
		{"{{user.tags.-1}}", "", "missing_value"},
		{"{{name.more}}", "", "missing_value"},
		{"{{}}", "", "missing_value"},
		{"{{name", "", "bad_template"},
	}
	for _, tt := range tests {
		out, err := sdktest.Run[RenderOut](sdktest.New(t), "render", RenderIn{Template: tt.template, Values: values})
		if out.Text != tt.want || code(err) != tt.code {
			t.Errorf("render(%q) = %q, %v; want %q, %s", tt.template, out.Text, err, tt.want, tt.code)
		}
	}
}

// Whatever a value holds stands in the text as it is, once.
func TestRenderPlacesValuesVerbatim(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.String().Draw(rt, "value")
		out, err := render(nil, RenderIn{Template: "<{{v}}>", Values: map[string]any{"v": value}})
		if err != nil || out.Text != "<"+value+">" {
			rt.Fatalf("render of %q = %q, %v", value, out.Text, err)
		}
	})
}

func TestExtract(t *testing.T) {
	tests := []struct {
		in   ExtractIn
		want []Match
		code string
	}{
		{ExtractIn{Text: "a1 b2", Pattern: `(?P<letter>[a-z])(\d)`}, []Match{
			{Text: "a1", Groups: []string{"a", "1"}, Named: map[string]string{"letter": "a"}},
			{Text: "b2", Groups: []string{"b", "2"}, Named: map[string]string{"letter": "b"}},
		}, ""},
		{ExtractIn{Text: "a1 b2", Pattern: `\w\d`, Limit: 1}, []Match{{Text: "a1", Groups: []string{}, Named: map[string]string{}}}, ""},
		{ExtractIn{Text: "xyz", Pattern: `\d`}, []Match{}, ""},
		{ExtractIn{Text: "x", Pattern: `(`}, nil, "bad_pattern"},
		{ExtractIn{Text: "x", Pattern: `x{1001}`}, nil, "bad_pattern"},
		{ExtractIn{Text: "x", Pattern: `x`, Limit: 1001}, nil, "bad_limit"},
		{ExtractIn{Text: "x", Pattern: `x`, Limit: -1}, nil, "bad_limit"},
	}
	for _, tt := range tests {
		out, err := sdktest.Run[ExtractOut](sdktest.New(t), "extract", tt.in)
		if !reflect.DeepEqual(out.Matches, tt.want) || code(err) != tt.code || out.Found != (len(tt.want) > 0) {
			t.Errorf("extract(%+v) = %+v, %v; want %+v, %s", tt.in, out, err, tt.want, tt.code)
		}
	}
	many, err := extract(nil, ExtractIn{Text: strings.Repeat("x", 1001), Pattern: "x"})
	if len(many.Matches) != 1000 || err != nil {
		t.Errorf("1001 matches gave %d, %v", len(many.Matches), err)
	}
}

func TestSplit(t *testing.T) {
	tests := []struct {
		in   SplitIn
		want []string
		code string
	}{
		{SplitIn{Text: "a\nb\n"}, []string{"a", "b", ""}, ""},
		{SplitIn{Text: " a ,, b ", Separator: ",", Trim: true, DropEmpty: true}, []string{"a", "b"}, ""},
		{SplitIn{Text: "a,b,c", Separator: ",", Limit: 2}, []string{"a", "b,c"}, ""},
		{SplitIn{Text: "", DropEmpty: true}, []string{}, ""},
		{SplitIn{Text: "a", Limit: 1001}, nil, "bad_limit"},
	}
	for _, tt := range tests {
		out, err := sdktest.Run[SplitOut](sdktest.New(t), "split", tt.in)
		if !reflect.DeepEqual(out.Parts, tt.want) || code(err) != tt.code {
			t.Errorf("split(%+v) = %q, %v; want %q, %s", tt.in, out.Parts, err, tt.want, tt.code)
		}
	}
}

func TestClassify(t *testing.T) {
	rules := []Rule{
		{Label: "docs", Any: []string{"README", "spelling error"}},
		{Label: "bug", Any: []string{"crash", "panic"}, None: []string{"feature"}},
		{Label: "both", All: []string{"alpha", "beta"}},
		{Label: "never"},
	}
	tests := []struct {
		text  string
		label string
		words []string
	}{
		{"Spelling error in the README file", "docs", []string{"README", "spelling error"}},
		{"it CRASHed: a crash!", "bug", []string{"crash"}},
		{"crashes", "other", []string{}},
		{"crash as a feature", "other", []string{}},
		{"beta, then alpha", "both", []string{"alpha", "beta"}},
		{"alpha only", "other", []string{}},
		{"", "other", []string{}},
		{"scrash crash", "bug", []string{"crash"}},
		{"émpanicé", "other", []string{}},
	}
	for _, tt := range tests {
		out, err := sdktest.Run[ClassifyOut](sdktest.New(t), "classify", ClassifyIn{Text: tt.text, Rules: rules, Default: "other"})
		if err != nil || out.Label != tt.label || !reflect.DeepEqual(out.Words, tt.words) || out.Matched != (len(tt.words) > 0) {
			t.Errorf("classify(%q) = %+v, %v; want %s %q", tt.text, out, err, tt.label, tt.words)
		}
	}
}

// No text can bring about a label that the rules do not name.
func TestClassifyStaysWithinItsLabels(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		word := rapid.StringN(1, 4, -1).Draw(rt, "word")
		text := rapid.String().Draw(rt, "before") + word + rapid.String().Draw(rt, "after")
		out, err := classify(nil, ClassifyIn{Text: text, Rules: []Rule{{Label: "yes", Any: []string{word}}}, Default: "no"})
		if err != nil || (out.Label != "yes" && out.Label != "no") || out.Matched != (out.Label == "yes") {
			rt.Fatalf("classify(%q) by %q = %+v, %v", text, word, out, err)
		}
	})
}

func FuzzHasWord(f *testing.F) {
	f.Add("a crash", "crash")
	f.Add("\xff\xfe", "\xfe")
	f.Fuzz(func(t *testing.T, text, word string) {
		has := hasWord(text, word)
		if has && !strings.Contains(text, word) {
			t.Errorf("%q was found in %q", word, text)
		}
		if utf8.ValidString(text) && word != "" && !hasWord(text+" "+word+" ", word) {
			t.Errorf("%q was not found where it stands alone", word)
		}
	})
}

func TestNoToolIsUsed(t *testing.T) {
	host := sdktest.New(t)
	if _, err := sdktest.Run[SplitOut](host, "split", SplitIn{Text: "a"}); err != nil || len(host.Calls("")) != 0 {
		t.Errorf("split used %v, %v", host.Calls(""), err)
	}
}
