package writ

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-run/writ/abi"
)

// Mode is how far a step may go by itself. The zero value blocks.
type Mode string

// The modes, strictest first.
const (
	Blocked    Mode = "blocked"
	Assist     Mode = "assist"
	Autonomous Mode = "autonomous"
)

// Rank orders modes from 0, the strictest; whatever is unknown blocks.
func (m Mode) Rank() int {
	switch m {
	case Autonomous:
		return 2
	case Assist:
		return 1
	}
	return 0
}

// Tighten is the stricter of the two; the result is always one of the modes.
func (m Mode) Tighten(other Mode) Mode {
	if other.Rank() < m.Rank() {
		m = other
	}
	if m.Rank() == 0 {
		return Blocked
	}
	return m
}

// Verdict is policy's answer about one step or one call. A denial is a Verdict
// with reasons, never an error. The zero Verdict blocks.
type Verdict struct {
	Mode          Mode        `json:"mode"`
	Risk          Risk        `json:"risk"`
	Reasons       []Reason    `json:"reasons"`
	Approvals     Requirement `json:"approvals"`
	Budget        *Budget     `json:"budget,omitempty"`
	Clamps        []Clamp     `json:"clamps,omitempty"`
	PolicyDigest  Digest      `json:"policyDigest"`
	PolicyVersion string      `json:"policyVersion"`
}

// Layer is whose law a word is. A lower layer can only tighten what is above it.
type Layer string

// The layers, highest first.
const (
	LayerFloor        Layer = "floor"        // code above any bundle
	LayerOrganisation Layer = "organisation" // the binary's bundle until another is activated
	LayerTenant       Layer = "tenant"       // nothing until a bundle is activated
)

// Reason is one rule's word, with the narrowest change that would alter it.
type Reason struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
	Layer   Layer  `json:"layer,omitempty"` // where more than one bundle was asked
}

// Requirement is what an assist verdict asks of people.
type Requirement struct {
	Count         int          `json:"count"`
	Roles         []string     `json:"roles,omitempty"`  // an approver has one of these or of the quorum's; both empty: any
	Quorum        []Seats      `json:"quorum,omitempty"` // sorted by role, each role once; their sum is at most Count
	ExpiresIn     abi.Duration `json:"expiresIn,omitempty"`
	EscalateAfter abi.Duration `json:"escalateAfter,omitempty"`
	EscalateTo    []string     `json:"escalateTo,omitempty"`
}

// Seats are approvals that people of one role must give. A person takes one seat.
type Seats struct {
	Role  string `json:"role"`
	Count int    `json:"count"`
}

// Join asks for all that r and other ask for: of each role the more seats, and no
// fewer people. What else r says of who decides and by when stays.
func (r Requirement) Join(other *Requirement) Requirement {
	r.Count, r.Quorum = max(r.Count, other.Count), slices.Clone(r.Quorum)
	total := 0
	for _, s := range other.Quorum {
		if i := slices.IndexFunc(r.Quorum, func(have Seats) bool { return have.Role == s.Role }); i >= 0 {
			r.Quorum[i].Count = max(r.Quorum[i].Count, s.Count)
		} else {
			r.Quorum = append(r.Quorum, s)
		}
	}
	slices.SortFunc(r.Quorum, func(a, b Seats) int { return strings.Compare(a.Role, b.Role) })
	for _, s := range r.Quorum {
		total += s.Count
	}
	r.Count = max(r.Count, total)
	return r
}

// Deciders are the roles of which a person needs one to decide, nil where anybody
// may. Those that are asked late count once it is late.
func (r *Requirement) Deciders(escalated bool) []string {
	out := slices.Clone(r.Roles)
	for _, s := range r.Quorum {
		out = append(out, s.Role)
	}
	if escalated && len(out) > 0 {
		out = append(out, r.EscalateTo...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Budget is what a step may spend. Zero members are not limited.
type Budget struct {
	Calls int `json:"calls,omitempty"`
}

// Clamp records that code above the policy tightened its answer.
type Clamp struct {
	Rule  string `json:"rule"`
	From  Mode   `json:"from"`
	To    Mode   `json:"to"`
	Layer Layer  `json:"layer,omitempty"` // whose answer was tightened, where more than one bundle was asked
}

// Point is a decision point of the policy.
type Point string

// The decision points.
const (
	PointStep Point = "step"
	PointCall Point = "call"
)

// Question is the complete input of one decision. It is stored, so a decision
// re-evaluates to the same bytes. Every member is always present.
type Question struct {
	Point     Point        `json:"point"`
	Principal *Principal   `json:"principal"`
	Grants    []Grant      `json:"grants"` // candidates for this principal, tenant and tools only
	Origin    Origin       `json:"origin"`
	Plan      PlanFacts    `json:"plan"`
	Step      StepFacts    `json:"step"`
	Call      *CallFacts   `json:"call"` // null at PointStep
	Taint     TaintFacts   `json:"taint"`
	History   HistoryFacts `json:"history"`
	Host      HostFacts    `json:"host"`
	Time      Time         `json:"time"`
}

// Lethal reports whether the step or the call would take private data out of the
// host together with what somebody untrusted wrote. Of a step it is asked before
// anything is known of its calls: whatever may leave counts.
func (q *Question) Lethal() bool {
	if !Lethal(q.Taint.Labels) {
		return false
	}
	if q.Point == PointCall && q.Call != nil {
		return leaves(q.Call.Tool)
	}
	return MayLeave(q.Step.Effect, q.Step.Capabilities)
}

// MayLeave reports whether a step of this effect and these capabilities may send
// something out of the host.
func MayLeave(effect Effect, capabilities []Capability) bool {
	return effect.Severity() >= abi.EffectWriteExternal.Severity() ||
		slices.ContainsFunc(capabilities, func(c Capability) bool { return leaves(c.Tool) })
}

func leaves(tool string) bool {
	spec, known := LookupTool(tool)
	return !known || spec.Leaves
}

// PlanFacts describe the plan.
type PlanFacts struct {
	Hash  Digest `json:"hash"`
	Steps int    `json:"steps"`
}

// StepFacts describe the step. Input is null while it is not known.
type StepFacts struct {
	ID           StepID          `json:"id"`
	Name         string          `json:"name"`
	Skill        SkillKey        `json:"skill"`
	Publisher    string          `json:"publisher"`
	Version      string          `json:"version"`
	Digest       Digest          `json:"digest"`
	Action       string          `json:"action"`
	Effect       Effect          `json:"effect"`
	Risk         Risk            `json:"risk"`
	Capabilities []Capability    `json:"capabilities"`
	Tools        []string        `json:"tools"`
	Input        json.RawMessage `json:"input"`
	Resolved     bool            `json:"resolved"`
	Attempt      int             `json:"attempt"`
	Declassified *Declassified   `json:"declassified,omitempty"` // by which rule its output is public
}

// CallFacts describe one tool call.
type CallFacts struct {
	Sequence   int             `json:"sequence"`
	Tool       string          `json:"tool"`
	Effect     Effect          `json:"effect"`
	Idempotent bool            `json:"idempotent"`
	Arguments  json.RawMessage `json:"arguments"`
	Digest     Digest          `json:"digest"`
	Target     Target          `json:"target"`
}

// TaintFacts are the labels of the input and of what reaches sinks.
type TaintFacts struct {
	Labels    []Label    `json:"labels"`
	Untrusted bool       `json:"untrusted"`
	Sinks     []SinkFlow `json:"sinks"`
	// Sensitivity is that of the labels; empty where the plan's rules do not ask.
	Sensitivity Sensitivity `json:"sensitivity,omitempty"`
}

// HistoryFacts count what the principal did before. Values are as of this
// decision and are stored with it.
type HistoryFacts struct {
	StepsLastHour int `json:"stepsLastHour"`
	CallsInStep   int `json:"callsInStep"`
	Approvals     int `json:"approvals"` // valid approvals collected for this step
}

// HostFacts describe the machine that would run the step.
type HostFacts struct {
	Version string            `json:"version"`
	Labels  map[string]string `json:"labels"`
}

// Judge decides. It is a function of the question and the policy bundle.
type Judge interface {
	// Judge answers q. A fault of the evaluator is an error of CodeInternal and
	// every caller treats it as blocked.
	Judge(ctx context.Context, q *Question) (*Verdict, error)
	// Policy names the bundle that decides.
	Policy() PolicyRef
}

// PolicyRef names by content what decides: a policy bundle or, where more than
// one layer has one, the list of them.
type PolicyRef struct {
	Digest  Digest `json:"digest"`
	Version string `json:"version"`
}

// Judges finds the active judge and, for replay, the one of an older bundle.
type Judges interface {
	Active() Judge
	// ByDigest is CodeNotFound where no bundle of this digest is kept.
	ByDigest(ctx context.Context, digest Digest) (Judge, error)
}
