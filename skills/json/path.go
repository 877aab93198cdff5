package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/writ-run/writ/sdk"
)

// step is one part of a path: a member, an index, or every element.
type step struct {
	name  string
	every bool
	// index says that name is the digits of [n], which only a list has; a part of
	// a JSON Pointer may be either.
	index bool
}

// maxSteps and maxValues bound the work of one query.
const (
	maxSteps  = 64
	maxValues = 10_000
)

func parsePointer(text string) ([]step, error) {
	if text == "" {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return nil, bad("pointer %q: want it to begin with /", text)
	}
	var steps []step
	for part := range strings.SplitSeq(rest, "/") {
		plain := strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		if strings.Contains(strings.NewReplacer("~1", "", "~0", "").Replace(part), "~") {
			return nil, bad("pointer %q: ~ must be written ~0", text)
		}
		steps = append(steps, step{name: plain})
	}
	return bounded(steps)
}

func parsePath(text string) ([]step, error) {
	var steps []step
	for rest := text; rest != ""; {
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			index, after, closed := strings.Cut(inner, "]")
			if !closed || !isIndex(index) && index != "*" {
				return nil, bad("path %q: want [0] or [*]", text)
			}
			steps = append(steps, step{name: index, every: index == "*", index: true})
			rest = after
			continue
		}
		if len(steps) > 0 {
			after, ok := strings.CutPrefix(rest, ".")
			if !ok {
				return nil, bad("path %q: want a dot before %q", text, rest)
			}
			rest = after
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, bad("path %q: a member has no name", text)
		}
		steps = append(steps, step{name: rest[:end]})
		rest = rest[end:]
	}
	return bounded(steps)
}

func bounded(steps []step) ([]step, error) {
	if len(steps) > maxSteps {
		return nil, bad("the query has %d parts, at most %d are taken", len(steps), maxSteps)
	}
	return steps, nil
}

func bad(format string, args ...any) error {
	return sdk.Fail("bad_query", fmt.Sprintf(format, args...))
}

// isIndex follows RFC 6901, section 4: digits without a leading zero.
func isIndex(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && strconv.Itoa(n) == s
}

func walk(value any, steps []step) []any {
	values := []any{value}
	for _, s := range steps {
		var next []any
		for _, v := range values {
			next = append(next, s.take(v)...)
			if len(next) > maxValues {
				next = next[:maxValues]
				break
			}
		}
		values = next
	}
	return values
}

func (s step) take(value any) []any {
	switch value := value.(type) {
	case map[string]any:
		if member, ok := value[s.name]; ok && !s.index {
			return []any{member}
		}
	case []any:
		if s.every {
			return value
		}
		if i, err := strconv.Atoi(s.name); err == nil && isIndex(s.name) && i < len(value) {
			return []any{value[i]}
		}
	}
	return nil
}
