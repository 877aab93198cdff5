// Command text is the skill writ/text: pure functions over text. It uses no
// tool, so nothing that passes through it can leave the host.
package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/writ-run/writ/sdk"
)

// maxMatches bounds the answer of extract and split: a step's output is read by
// people and by policies, and a longer list is a job for a skill of its own.
const maxMatches = 1000

// ExtractIn is the input of extract.
type ExtractIn struct {
	Text    string `json:"text"`
	Pattern string `json:"pattern" doc:"Regular expression in RE2 syntax, which takes linear time"`
	Limit   int    `json:"limit,omitempty" doc:"At most this many matches; 1000 if absent"`
}

// Match is one match of a pattern.
type Match struct {
	Text   string            `json:"text"`
	Groups []string          `json:"groups" doc:"Every group in order, empty where it did not take part"`
	Named  map[string]string `json:"named" doc:"The named groups"`
}

// ExtractOut is the output of extract.
type ExtractOut struct {
	Found   bool    `json:"found"`
	Matches []Match `json:"matches"`
}

func extract(_ *sdk.Context, in ExtractIn) (ExtractOut, error) {
	pattern, err := regexp.Compile(in.Pattern)
	if err != nil {
		return ExtractOut{}, sdk.Fail("bad_pattern", err.Error())
	}
	limit, err := limitOf(in.Limit)
	if err != nil {
		return ExtractOut{}, err
	}
	var out ExtractOut
	for _, groups := range pattern.FindAllStringSubmatch(in.Text, limit) {
		match := Match{Text: groups[0], Groups: groups[1:], Named: map[string]string{}}
		for i, name := range pattern.SubexpNames() {
			if name != "" {
				match.Named[name] = groups[i]
			}
		}
		out.Matches = append(out.Matches, match)
	}
	out.Found = len(out.Matches) > 0
	return out, nil
}

func limitOf(limit int) (int, error) {
	if limit < 0 || limit > maxMatches {
		return 0, sdk.Fail("bad_limit", fmt.Sprintf("limit is %d: want 1 to %d", limit, maxMatches))
	}
	if limit == 0 {
		return maxMatches, nil
	}
	return limit, nil
}

// SplitIn is the input of split.
type SplitIn struct {
	Text      string `json:"text"`
	Separator string `json:"separator,omitempty" doc:"A line break if absent"`
	Trim      bool   `json:"trim,omitempty" doc:"Remove white space around each part"`
	DropEmpty bool   `json:"dropEmpty,omitempty" doc:"Leave empty parts out"`
	Limit     int    `json:"limit,omitempty" doc:"At most this many parts, the last with the rest; 1000 if absent"`
}

// SplitOut is the output of split.
type SplitOut struct {
	Parts []string `json:"parts"`
}

func split(_ *sdk.Context, in SplitIn) (SplitOut, error) {
	limit, err := limitOf(in.Limit)
	if err != nil {
		return SplitOut{}, err
	}
	separator := in.Separator
	if separator == "" {
		separator = "\n"
	}
	var out SplitOut
	for _, part := range strings.SplitN(in.Text, separator, limit) {
		if in.Trim {
			part = strings.TrimSpace(part)
		}
		if part != "" || !in.DropEmpty {
			out.Parts = append(out.Parts, part)
		}
	}
	return out, nil
}

var (
	_ = sdk.Action("render", render)
	_ = sdk.Action("extract", extract)
	_ = sdk.Action("split", split)
	_ = sdk.Action("classify", classify)
)

func main() {} // a skill is entered through its actions
