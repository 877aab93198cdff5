package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/writ-run/writ/sdk"
)

// RenderIn is the input of render.
type RenderIn struct {
	Template string         `json:"template" doc:"Text with {{name}} and {{name.member.0}}; {{{{ is a plain {{"`
	Values   map[string]any `json:"values"`
}

// RenderOut is the output of render.
type RenderOut struct {
	Text string `json:"text"`
}

// render knows paths and nothing else: no condition, loop or function, so a
// template that comes from elsewhere can do no more than place values. Values
// are placed once and never read as a template themselves.
func render(_ *sdk.Context, in RenderIn) (RenderOut, error) {
	var out strings.Builder
	for rest := in.Template; ; {
		before, after, found := strings.Cut(rest, "{{")
		out.WriteString(before)
		if !found {
			return RenderOut{Text: out.String()}, nil
		}
		if plain, escaped := strings.CutPrefix(after, "{{"); escaped {
			out.WriteString("{{")
			rest = plain
			continue
		}
		path, next, closed := strings.Cut(after, "}}")
		if !closed {
			return RenderOut{}, sdk.Fail("bad_template", "a {{ has no }}")
		}
		value, err := lookup(in.Values, strings.TrimSpace(path))
		if err != nil {
			return RenderOut{}, err
		}
		out.WriteString(plainText(value))
		rest = next
	}
}

func lookup(values map[string]any, path string) (any, error) {
	var at any = values
	for name := range strings.SplitSeq(path, ".") {
		next, ok := member(at, name)
		if !ok {
			return nil, sdk.Fail("missing_value", fmt.Sprintf("{{%s}}: there is no %q", path, name))
		}
		at = next
	}
	return at, nil
}

func member(of any, name string) (any, bool) {
	switch of := of.(type) {
	case map[string]any:
		value, ok := of[name]
		return value, ok
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(of) {
			return of[i], true
		}
	}
	return nil, false
}

// plainText is a text as it is, nothing for null, and JSON for all else.
func plainText(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return "" // a value that was read from JSON can be written as JSON
	}
	return string(raw)
}
