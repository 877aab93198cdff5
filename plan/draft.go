package plan

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// Identity of a draft.
const (
	APIVersion = "writ/v1"
	Kind       = "Plan"
)

// Bounds of a step. A day is longer than any run that a person waits for, and
// ten attempts with a doubling backoff already span it.
const (
	maxAttempts = 10
	maxBackoff  = time.Hour
	maxTimeout  = 24 * time.Hour
)

// Draft is a parsed draft: its form is right, its names and types are not yet
// checked against anything.
type Draft struct {
	Inputs json.RawMessage // canonical JSON object; `inputs` of expressions
	Steps  []DraftStep
	inputs *node
	source *source
}

// DraftStep is one step as it is written. Line and Column are where it begins.
type DraftStep struct {
	Name       string
	Skill      writ.SkillKey
	Constraint string // semver constraint, empty for any
	Action     string
	With       json.RawMessage // canonical JSON object, expressions as text
	Needs      []string
	When       string // CEL
	ForEach    string // CEL
	Retry      writ.Retry
	Timeout    abi.Duration
	Compensate *DraftStep
	Line       int
	Column     int
	node       *node
	with       *node
}

// at is the place of a member of the step, or of the step where it is absent.
func (s *DraftStep) at(name string) place {
	if m, ok := s.node.get(name); ok {
		return m.value.at
	}
	return s.node.at
}

// ParseDraft reads a draft's text. Format "" is guessed from the first
// character. The draft is nil where there are problems.
func ParseDraft(in writ.Interpretation) (*Draft, []writ.Problem) {
	ps := &problems{file: in.Name, source: newSource(in.Raw)}
	if ps.file == "" {
		ps.file = "draft"
	}
	draft := parse(in, ps)
	if len(ps.list) > 0 {
		return nil, ps.sorted()
	}
	return draft, nil
}

func parse(in writ.Interpretation, ps *problems) *Draft {
	if len(in.Raw) > writ.MaxDraft {
		ps.add(place{}, found(CodeTooLarge, "split the plan", "the draft has %d bytes, at most %d are taken", len(in.Raw), writ.MaxDraft))
		return nil
	}
	if !utf8.Valid(in.Raw) {
		ps.add(place{}, found(CodeSyntax, "save the draft as UTF-8", "the draft is not valid UTF-8"))
		return nil
	}
	root := readNodes(in, ps)
	if root == nil {
		return nil
	}
	r := &draftReader{problems: ps, draft: &Draft{source: ps.source}}
	r.root(root)
	return r.draft
}

func readNodes(in writ.Interpretation, ps *problems) *node {
	format := in.Format
	if format == "" {
		format = "yaml"
		if bytes.HasPrefix(bytes.TrimSpace(in.Raw), []byte("{")) {
			format = "json"
		}
	}
	switch format {
	case "json":
		return (&jsonReader{text: ps.source.text, problems: ps}).read(in.Raw)
	case "yaml":
		return (&yamlReader{problems: ps}).read(in.Raw)
	}
	ps.add(place{}, found(CodeSyntax, "write yaml or json", "format %q is not known", clip(format)))
	return nil
}

// draftReader checks the form of a draft.
type draftReader struct {
	problems *problems
	draft    *Draft
}

// object checks that n is an object with only the known members, and that the
// required ones are there.
func (r *draftReader) object(n *node, what string, required, optional []string) bool {
	if !r.kind(n, what, mapNode) {
		return false
	}
	known := slices.Concat(required, optional)
	for _, m := range n.members {
		if !slices.Contains(known, m.key) {
			r.problems.add(m.at, found(CodeUnknownMember, suggest(m.key, known), "%s has no member %q", what, clip(m.key)))
		}
	}
	for _, name := range required {
		if _, ok := n.get(name); !ok {
			r.problems.add(n.at, found(CodeMissingMember, "add "+name, "%s has no %s", what, name))
		}
	}
	return true
}

func (r *draftReader) kind(n *node, what string, want nodeKind) bool {
	if n.kind == want {
		return true
	}
	r.problems.add(n.at, found(CodeWrongType, "write a value of type "+want.String(), "%s is of type %s, not %s", what, n.kind, want))
	return false
}

func (r *draftReader) root(n *node) {
	if !r.object(n, "a plan", []string{"apiVersion", "kind", "steps"}, []string{"inputs"}) {
		return
	}
	for name, want := range map[string]string{"apiVersion": APIVersion, "kind": Kind} {
		if m, ok := n.get(name); ok && (m.value.kind != stringNode || m.value.text != want) {
			r.problems.add(m.value.at, found(CodeAPIVersion, "write "+name+": "+want, "%s must be %s", name, want))
		}
	}
	if m, ok := n.get("inputs"); ok && r.kind(m.value, "inputs", mapNode) {
		r.draft.inputs = m.value
		r.literals(m.value)
		r.draft.Inputs = r.canonical(m.value)
	}
	m, ok := n.get("steps")
	if !ok || !r.kind(m.value, "steps", listNode) {
		return
	}
	switch count := len(m.value.items); {
	case count == 0:
		r.problems.add(m.value.at, found(CodeMissingMember, "add a step", "a plan needs at least one step"))
	case count > writ.MaxPlanSteps:
		r.problems.add(m.value.at, found(CodeTooLarge, "split the plan", "the plan has %d steps, at most %d are taken", count, writ.MaxPlanSteps))
		return
	}
	for _, item := range m.value.items {
		r.step(item)
	}
}

// literals refuses expressions in inputs and unescapes $${{.
func (r *draftReader) literals(n *node) {
	if n.kind == stringNode {
		parts, problem := splitTemplate(n.text)
		if problem != nil || len(parts) > 1 || (len(parts) == 1 && parts[0].expression) {
			r.problems.add(n.at, found(CodeWrongType, "write the value itself, or escape the text as $${{", "inputs hold literals, not expressions"))
			return
		}
		n.text = literalText(parts)
	}
	for _, item := range n.items {
		r.literals(item)
	}
	for _, m := range n.members {
		r.literals(m.value)
	}
}

func (r *draftReader) canonical(n *node) json.RawMessage {
	raw, err := canon.MarshalJSON(n.value())
	if err != nil {
		r.problems.add(n.at, found(CodeNumber, numberFix, "the value has no canonical form: %v", err))
		return nil
	}
	return raw
}

var (
	stepRequired = []string{"name", "uses"}
	stepOptional = []string{"with", "needs", "when", "forEach", "retry", "timeout", "compensate"}
)

func (r *draftReader) step(n *node) {
	at := r.problems.source.resolve(n.at)
	s := DraftStep{node: n, Line: at.line, Column: at.column, With: json.RawMessage("{}"), with: &node{kind: mapNode, at: n.at}}
	if !r.object(n, "a step", stepRequired, stepOptional) {
		return
	}
	for _, m := range n.members {
		switch m.key {
		case "name":
			s.Name = r.name(m.value)
		case "uses":
			r.uses(m.value, &s)
		case "with":
			if r.kind(m.value, "with", mapNode) {
				s.with, s.With = m.value, r.canonical(m.value)
			}
		case "needs":
			s.Needs = r.names(m.value)
		case "when":
			s.When = r.condition(m.value)
		case "forEach":
			s.ForEach = r.text(m.value, "forEach")
		case "retry":
			s.Retry = r.retry(m.value)
		case "timeout":
			s.Timeout = r.duration(m.value, "timeout", maxTimeout)
		case "compensate":
			s.Compensate = r.compensation(m.value)
		}
	}
	if s.Compensate != nil {
		s.Compensate.Name = s.Name + compensationSuffix
	}
	r.draft.Steps = append(r.draft.Steps, s)
}

// compensationSuffix ends the name of a step that undoes another. No step of a
// draft can have such a name.
const compensationSuffix = "/compensate"

// compensation is the step that undoes another: it has no name, order or
// condition of its own.
func (r *draftReader) compensation(n *node) *DraftStep {
	s := &DraftStep{node: n, With: json.RawMessage("{}"), with: &node{kind: mapNode, at: n.at}}
	if !r.object(n, "compensate", []string{"uses"}, []string{"with", "retry", "timeout"}) {
		return nil
	}
	for _, m := range n.members {
		switch m.key {
		case "uses":
			r.uses(m.value, s)
		case "with":
			if r.kind(m.value, "with", mapNode) {
				s.with, s.With = m.value, r.canonical(m.value)
			}
		case "retry":
			s.Retry = r.retry(m.value)
		case "timeout":
			s.Timeout = r.duration(m.value, "timeout", maxTimeout)
		}
	}
	return s
}

func (r *draftReader) text(n *node, what string) string {
	if !r.kind(n, what, stringNode) {
		return ""
	}
	if n.text == "" {
		r.problems.add(n.at, found(CodeInvalidValue, "write a value or remove the member", "%s is empty", what))
	}
	return n.text
}

// condition also takes `when: false`, the usual way to switch a step off.
func (r *draftReader) condition(n *node) string {
	if n.kind == boolNode {
		return n.text
	}
	return r.text(n, "when")
}

var (
	stepName = regexp.MustCompile(`^[a-z][A-Za-z0-9_-]{0,62}$`)
	usesForm = regexp.MustCompile(`^([a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*)(?:@([^#]*))?#([A-Za-z0-9][A-Za-z0-9._-]*)$`)
)

// celReserved may not follow a dot in CEL.
var celReserved = []string{"true", "false", "null", "in"}

const nameFix = "begin with a lower-case letter, go on with at most 62 letters, digits, - or _"

func (r *draftReader) name(n *node) string {
	if !r.kind(n, "name", stringNode) {
		return ""
	}
	if !stepName.MatchString(n.text) || slices.Contains(celReserved, n.text) {
		r.problems.add(n.at, found(CodeInvalidValue, nameFix, "%q cannot be the name of a step", clip(n.text)))
		return ""
	}
	return n.text
}

func (r *draftReader) uses(n *node, s *DraftStep) {
	if !r.kind(n, "uses", stringNode) {
		return
	}
	m := usesForm.FindStringSubmatch(n.text)
	if m == nil {
		r.problems.add(n.at, found(CodeInvalidValue, "write publisher/skill@constraint#action, for example acme/github@^1#issue.get",
			"%q does not name an action", clip(n.text)))
		return
	}
	s.Skill, s.Constraint, s.Action = writ.SkillKey(m[1]), strings.TrimSpace(m[2]), m[3]
}

func (r *draftReader) names(n *node) []string {
	if !r.kind(n, "needs", listNode) {
		return nil
	}
	var names []string
	for _, item := range n.items {
		if r.kind(item, "an entry of needs", stringNode) {
			names = append(names, item.text)
		}
	}
	return names
}

func (r *draftReader) retry(n *node) (retry writ.Retry) {
	if !r.object(n, "retry", []string{"attempts"}, []string{"backoff"}) {
		return retry
	}
	if m, ok := n.get("attempts"); ok && r.kind(m.value, "attempts", numberNode) {
		attempts, err := strconv.Atoi(m.value.text)
		if err != nil || attempts < 1 || attempts > maxAttempts {
			r.problems.add(m.value.at, found(CodeInvalidValue, "write a number from 1 to 10", "attempts is %s", clip(m.value.text)))
		}
		retry.Attempts = attempts
	}
	if m, ok := n.get("backoff"); ok {
		retry.Backoff = r.duration(m.value, "backoff", maxBackoff)
	}
	return retry
}

func (r *draftReader) duration(n *node, what string, most time.Duration) abi.Duration {
	if !r.kind(n, what, stringNode) {
		return 0
	}
	d, err := time.ParseDuration(n.text)
	if err != nil || d <= 0 || d > most {
		r.problems.add(n.at, found(CodeInvalidValue, `write a span such as "10s" or "1m30s", at most `+most.String(), "%s is %q", what, clip(n.text)))
		return 0
	}
	return abi.Duration(d)
}
