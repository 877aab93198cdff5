package main

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/writ-run/writ/sdk"
)

// Rule gives a label to a text by the words that stand in it. A rule without
// words matches nothing.
type Rule struct {
	Label string   `json:"label"`
	Any   []string `json:"any,omitempty" doc:"At least one of these words or phrases"`
	All   []string `json:"all,omitempty" doc:"Each of these"`
	None  []string `json:"none,omitempty" doc:"None of these"`
}

// ClassifyIn is the input of classify.
type ClassifyIn struct {
	Text    string `json:"text"`
	Rules   []Rule `json:"rules" doc:"The first rule that matches decides"`
	Default string `json:"default,omitempty" doc:"The label where no rule matches"`
}

// ClassifyOut is the output of classify.
type ClassifyOut struct {
	Label   string   `json:"label"`
	Matched bool     `json:"matched" doc:"Whether a rule matched"`
	Words   []string `json:"words" doc:"The words of the rule that were found"`
}

// classify can only answer a label that its rules name: whatever the text says,
// it cannot make up another one.
func classify(_ *sdk.Context, in ClassifyIn) (ClassifyOut, error) {
	text := strings.ToLower(in.Text)
	for _, rule := range in.Rules {
		if words, ok := rule.match(text); ok {
			return ClassifyOut{Label: rule.Label, Matched: true, Words: words}, nil
		}
	}
	return ClassifyOut{Label: in.Default}, nil
}

func (r Rule) match(text string) (words []string, ok bool) {
	if len(r.Any)+len(r.All) == 0 || len(found(text, r.None)) > 0 {
		return nil, false
	}
	anyOf, allOf := found(text, r.Any), found(text, r.All)
	if len(allOf) < len(r.All) || (len(r.Any) > 0 && len(anyOf) == 0) {
		return nil, false
	}
	return append(anyOf, allOf...), true
}

func found(text string, words []string) []string {
	var in []string
	for _, word := range words {
		if hasWord(text, strings.ToLower(strings.TrimSpace(word))) {
			in = append(in, word)
		}
	}
	return in
}

// hasWord reports whether word stands in text by itself, not inside a longer one.
func hasWord(text, word string) bool {
	if word == "" {
		return false
	}
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return false
		}
		start, end := from+at, from+at+len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if !isWordRune(before) && !isWordRune(after) {
			return true
		}
		_, size := utf8.DecodeRuneInString(text[start:])
		from = start + size
	}
}

func isWordRune(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}
