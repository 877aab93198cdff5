package writ

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/writ-run/writ/abi"
)

// Bounds of a plan.
const (
	MaxPlanSteps = 256
	MaxPlanBytes = 1 << 20
	MaxDraft     = 1 << 20
	MaxCallDepth = 4 // of skill.call inside skill.call
)

// Plan is a compiled draft: content-addressed, and without anything of one
// execution (no execution id, time or run), so that the same intent, draft,
// skills and policy give the same bytes on any machine.
type Plan struct {
	APIVersion string `json:"apiVersion"` // writ/v1
	Kind       string `json:"kind"`       // CompiledPlan
	Origin     Origin `json:"origin"`     // of the draft's author
	Steps      []Step `json:"steps"`      // in topological order, ties by name
	// Rules are those that its labels were found by: PlanRules of the host that
	// compiled it, absent for the first ones.
	Rules int `json:"rules,omitempty"`
	// Law is the policy whose declassifications some of its steps have; empty where
	// none has one.
	Law Digest `json:"law,omitempty"`
	// Inputs are the literals that expressions read as `inputs`, an object.
	Inputs json.RawMessage `json:"inputs,omitempty"`
	// Schemas are the output schemas, by digest, of the steps that expressions
	// read: values get their types from them when a step is resolved.
	Schemas map[Digest]json.RawMessage `json:"schemas,omitempty"`
}

// PlanRules are the rules by which this host finds labels. A plan keeps those it
// was compiled by, so that a later host derives the same from it. The first, of a
// plan that says none, knew no private data, and took a call's arguments for no
// sink; of the next, grants did not ask how sensitive data are.
const (
	PlanRules            = 2
	PlanRulesSensitivity = 2 // from these on grants ask

	NoPlanRules = -1 // of CompileRequest, for a plan from before there were rules
)

// Step is one governed action of a plan.
type Step struct {
	ID           StepID          `json:"id"`
	Name         string          `json:"name"`
	Skill        SkillRef        `json:"skill"`
	Action       string          `json:"action"`
	InputSchema  Digest          `json:"inputSchema"`
	OutputSchema Digest          `json:"outputSchema"`
	Template     json.RawMessage `json:"template"` // the input, null where a binding goes
	Bindings     []Binding       `json:"bindings"`
	Edited       []EditedValue   `json:"edited,omitempty"` // literals that are not the draft's author's
	When         *Expression     `json:"when,omitempty"`
	ForEach      *Expression     `json:"forEach,omitempty"`
	Needs        []string        `json:"needs"` // names, sorted
	Capabilities []Capability    `json:"capabilities"`
	Effect       Effect          `json:"effect"`
	DeclaredRisk Risk            `json:"declaredRisk,omitempty"`
	Risk         Risk            `json:"risk"`
	Taint        []Label         `json:"taint"` // of the whole input
	Sinks        []SinkFlow      `json:"sinks"`
	Declassified *Declassified   `json:"declassified,omitempty"` // the output is public, by this rule
	Retry        Retry           `json:"retry"`
	Timeout      abi.Duration    `json:"timeout,omitempty"`
	Limits       abi.Limits      `json:"limits"`
	// Compensate undoes the step when it completed and the execution does not.
	// Its expressions read `input` and `output` of the step.
	Compensate *Step `json:"compensate,omitempty"`
	// Calls are the actions that the guest may call with skill.call, pinned, each
	// with what it may do of what this step may. They have no template.
	Calls []Step `json:"calls,omitempty"`
}

// Settled reports whether the step's input holds no expression, so that its
// verdict and approval can be decided before anything has run.
func (s *Step) Settled() bool {
	return len(s.Bindings) == 0 && s.When == nil && s.ForEach == nil && len(s.Template) > 0 && string(s.Template) != "null"
}

// Binding puts the value of an expression into a step's input.
type Binding struct {
	Path string `json:"path"` // RFC 6901 pointer into Template
	Expression
}

// Expression is a type-checked CEL expression.
type Expression struct {
	CEL    string   `json:"cel"`
	Type   string   `json:"type"`   // CEL type
	Labels []Label  `json:"labels"` // join of the labels of all that it reads
	Reads  []string `json:"reads"`  // "index", "input", "inputs", "intent", "item", "output", "steps.NAME", sorted
}

// SinkFlow says which labels reach a sink of the action.
type SinkFlow struct {
	Path   string  `json:"path"`
	Labels []Label `json:"labels"`
}

// Flow says where the value of one parameter of a step comes from. It is derived
// from the plan, and stands in no plan.
type Flow struct {
	Parameter  string          `json:"parameter"`            // "when", "forEach", "with.body"
	Value      json.RawMessage `json:"value,omitempty"`      // of a literal
	Expression string          `json:"expression,omitempty"` // CEL
	// From are the sources, sorted: "literal by human", "intent.text",
	// "inputs.repo", "steps.read.output.title", "item", "caller", and what the step
	// waits for: "when", "forEach", "condition of maybe".
	From   []string `json:"from"`
	Labels []Label  `json:"labels"`
	Sink   bool     `json:"sink,omitempty"`
}

// StepFlows are the flows into one step of a plan.
type StepFlows struct {
	Step  string `json:"step"` // its name; "book/compensate", "outer/acme/mail#send" of templates
	Flows []Flow `json:"flows"`
}

// Retry bounds repeated attempts. Attempts 0 means 1: no retry.
type Retry struct {
	Attempts int          `json:"attempts,omitempty"`
	Backoff  abi.Duration `json:"backoff,omitempty"` // before the second attempt; doubles each time
}

// SkillRef pins a skill to what was resolved.
type SkillRef struct {
	Key     SkillKey `json:"key"`
	Version string   `json:"version"`
	Digest  Digest   `json:"digest"` // of the OCI manifest: what was signed
	Module  Digest   `json:"module"` // of the WebAssembly module
}

// String is publisher/name@version.
func (r SkillRef) String() string { return string(r.Key) + "@" + r.Version }

// Step finds a step by id or by name.
func (p *Plan) Step(idOrName string) (*Step, bool) {
	for i := range p.Steps {
		if string(p.Steps[i].ID) == idOrName || p.Steps[i].Name == idOrName {
			return &p.Steps[i], true
		}
	}
	return nil, false
}

// Problem is one reason why a draft does not compile.
type Problem struct {
	Code    string `json:"code"` // closed set, listed in docs/plans.md
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

// CompileRequest is everything that compiling depends on.
type CompileRequest struct {
	Draft     Interpretation
	Origin    Origin
	Edits     []Edit          // of the draft, in order
	Intent    json.RawMessage // canonical JSON of the Intent; its shape types `intent`
	Catalogue Catalogue
	// Rules are those of a stored plan that is derived again, NoPlanRules where it
	// has none; zero: PlanRules.
	Rules int
	// Declassify are the rules of the policy Law.
	Declassify []Declassification
	Law        Digest
}

// Catalogue is a snapshot of the installed, enabled skills.
type Catalogue interface {
	// Resolve finds the highest enabled version within the semver constraint
	// (empty: any). CodeNotFound says what is there instead.
	Resolve(key SkillKey, constraint string) (*Release, error)
}

// Release is one installed version of a skill.
type Release struct {
	SkillRef
	Manifest *abi.Manifest
}

// Planner compiles drafts and resolves steps. It has no clock and does no I/O.
type Planner interface {
	// Compile returns the plan and its hash. CodePlanRejected carries []Problem
	// in Details.
	Compile(req CompileRequest) (*CompiledPlan, error)
	// Expand evaluates the list of a step's forEach. CodeInvalid where it is
	// no list.
	Expand(plan *Plan, step *Step, scope Scope) (*Expansion, error)
	// Resolve evaluates a step's condition and input; that of an iteration of
	// forEach needs scope.Item. CodeInvalid where the values do not fit the
	// action's schema.
	Resolve(plan *Plan, step *Step, scope Scope) (*ResolvedStep, error)
	// Flows says where each parameter of a step comes from, with the labels of
	// this run where the scope has them. Values of literals are left out where
	// the scope has a release: they are in its input.
	Flows(plan *Plan, step *Step, scope Scope) []Flow
	// Edits are the least that makes the input of a step another one: what stays the
	// same keeps its expression and its labels. CodeInvalid where Now is no object,
	// CodeNotFound where the draft has no such step.
	Edits(req *EditRequest) ([]Edit, error)
}

// CompiledPlan is a plan with its canonical bytes and their hash.
type CompiledPlan struct {
	Plan  *Plan
	ID    PlanID
	Hash  Digest
	Bytes []byte // RFC 8785
}

// Scope is what expressions may read.
type Scope struct {
	Intent  json.RawMessage
	Release *Release                   // the step's pinned skill: schemas and uses
	Outputs map[string]json.RawMessage // by step name, completed steps only
	Labels  map[string][]Label         // run-time labels of those outputs
	Item    *Item                      // of an iteration of forEach
	Forward *Forward                   // of a compensation
	Caller  *Caller                    // of a step that another one calls
}

// Caller is what a step that calls another gives it.
type Caller struct {
	Input  json.RawMessage
	Within []Capability // of the caller: the called step has none beyond them
	Labels []Label      // of the caller's input and of what its tools answered so far
}

// Forward is the completed step that a compensation undoes.
type Forward struct {
	Step   *Step
	Input  json.RawMessage
	Output json.RawMessage
	Labels []Label // of the output, which join those of the input
}

// Item is the element of a list that an iteration of forEach is for.
type Item struct {
	Value json.RawMessage
	Index int // from 0
}

// Expansion is what forEach of a step comes to.
type Expansion struct {
	Skip   bool // the condition does not depend on the element, and is false
	Items  []json.RawMessage
	List   []byte  // canonical JSON of Items
	Labels []Label // of the list
}

// ResolvedStep is a step whose input is known.
type ResolvedStep struct {
	Skip         bool         // the condition is false; Taint has its labels
	Input        []byte       // canonical JSON, checked against the input schema
	Capabilities []Capability // narrowed to these arguments, never wider than planned
	Taint        []Label
	Sinks        []SinkFlow
	Risk         Risk
}

func sortedUnion[T cmp.Ordered](sets ...[]T) []T {
	out := []T{}
	for _, set := range sets {
		out = append(out, set...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
