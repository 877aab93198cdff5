package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ"
)

// The codes of a writ.Problem that this package gives: a closed set, which
// docs/plans.md lists with the fix for each.
const (
	CodeSyntax             = "syntax"
	CodeTooLarge           = "too_large"
	CodeYAMLFeature        = "yaml_feature"
	CodeDuplicateKey       = "duplicate_key"
	CodeNumber             = "number"
	CodeAPIVersion         = "api_version"
	CodeUnknownMember      = "unknown_member"
	CodeMissingMember      = "missing_member"
	CodeWrongType          = "wrong_type"
	CodeInvalidValue       = "invalid_value"
	CodeDuplicateName      = "duplicate_name"
	CodeUnknownStep        = "unknown_step"
	CodeSelfReference      = "self_reference"
	CodeCycle              = "cycle"
	CodeSkillNotFound      = "skill_not_found"
	CodeActionNotFound     = "action_not_found"
	CodeSkillInvalid       = "skill_invalid"
	CodeExpressionSyntax   = "expression_syntax"
	CodeExpressionType     = "expression_type"
	CodeExpressionUnknown  = "expression_unknown"
	CodeExpressionLimit    = "expression_limit"
	CodeExpressionValue    = "expression_value"
	CodeCapabilityExceeded = "capability_exceeded"
	CodeCapabilityValue    = "capability_value"
)

// Codes lists every code, in the order of docs/plans.md.
func Codes() []string {
	return []string{
		CodeSyntax, CodeTooLarge, CodeYAMLFeature, CodeDuplicateKey, CodeNumber, CodeAPIVersion,
		CodeUnknownMember, CodeMissingMember, CodeWrongType, CodeInvalidValue, CodeDuplicateName,
		CodeUnknownStep, CodeSelfReference, CodeCycle, CodeSkillNotFound, CodeActionNotFound,
		CodeSkillInvalid, CodeExpressionSyntax, CodeExpressionType, CodeExpressionUnknown,
		CodeExpressionLimit, CodeExpressionValue, CodeCapabilityExceeded, CodeCapabilityValue,
	}
}

// maxProblems is where collecting stops: more than a person reads, and a
// hostile draft of 1 MiB must not become an error of 100 MiB.
const maxProblems = 100

// place is where something stands in the draft: line and column count from 1,
// the column in characters; offset counts bytes from 0. A line of 0 means that
// only the offset is known yet.
type place struct{ line, column, offset int }

// problems collects everything that is wrong with one draft.
type problems struct {
	file   string
	source *source
	list   []writ.Problem
}

// finding is what is wrong, without where.
type finding struct{ code, message, fix string }

func found(code, fix, format string, args ...any) finding {
	return finding{code: code, message: fmt.Sprintf(format, args...), fix: fix}
}

func (p *problems) add(at place, f finding) {
	if len(p.list) >= maxProblems {
		return
	}
	at = p.source.resolve(at)
	p.list = append(p.list, writ.Problem{
		Code: f.code, File: p.file, Line: at.line, Column: max(1, at.column), Message: f.message, Fix: f.fix,
	})
}

// sorted is the problems in the order of the text, each once.
func (p *problems) sorted() []writ.Problem {
	slices.SortFunc(p.list, func(a, b writ.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(p.list)
}

// rejected turns problems into the error that a Planner gives.
func rejected(op string, list []writ.Problem) error {
	first := list[0]
	message := first.Message
	if len(list) > 1 {
		message = fmt.Sprintf("%s (and %d more)", message, len(list)-1)
	}
	return &writ.Error{
		Code: writ.CodePlanRejected, Op: op, Message: message, Fix: first.Fix,
		Place: fmt.Sprintf("%s:%d:%d", first.File, first.Line, first.Column), Details: list,
	}
}

// nearest is the candidate that name was probably meant to be: at most a third
// of its letters differ. Empty where none is near.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", max(1, len(name)/3)+1
	for _, candidate := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is Levenshtein's with swapped neighbours as one error, over bytes:
// names are ASCII.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// suggest is the advice for a name that is not there.
func suggest(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(candidates) == 0 {
		return "remove it: there is nothing to choose from here"
	}
	return "use one of: " + listed(candidates)
}

// listed names at most eight candidates.
func listed(candidates []string) string {
	const shown = 8
	names := slices.Sorted(slices.Values(candidates))
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// clip shortens what came from a draft before it is shown.
func clip(s string) string { return clipTo(s, 60) }

func clipTo(s string, shown int) string {
	if runes := []rune(s); len(runes) > shown {
		return string(runes[:shown]) + "..."
	}
	return s
}
