package contract

import (
	"encoding/json"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Object is a JSON object that is passed on as it stands.
type Object json.RawMessage

// MarshalJSON implements json.Marshaler; nil is an empty object.
func (o Object) MarshalJSON() ([]byte, error) {
	if len(o) == 0 {
		return []byte("{}"), nil
	}
	return o, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Object) UnmarshalJSON(b []byte) error {
	*o = append((*o)[:0], b...)
	return nil
}

// RunMode is the mode that a caller may ask for. It can only tighten.
type RunMode string

// The run modes.
const (
	RunAutonomous RunMode = "autonomous"
	RunAssist     RunMode = "assist"
	RunDry        RunMode = "dry-run"
)

// Mode is the engine's form of m: a dry run blocks every step. Empty is
// autonomous: nothing is tightened.
func (m RunMode) Mode() writ.Mode {
	switch m {
	case RunAutonomous, "":
		return writ.Autonomous
	case RunAssist:
		return writ.Assist
	}
	return writ.Blocked
}

// Reason is one rule's word.
type Reason struct {
	StepID  writ.StepID `json:"stepId,omitempty"`
	Rule    string      `json:"rule" jsonschema:"Name of the policy rule."`
	Message string      `json:"message"`
	Fix     string      `json:"fix,omitempty" jsonschema:"The narrowest change that would alter the answer."`
	Layer   writ.Layer  `json:"layer,omitempty" jsonschema:"Whose rule it is, where more than one bundle was asked."`
}

// ReasonsFrom converts the reasons of a verdict; step may be empty.
func ReasonsFrom(step writ.StepID, reasons []writ.Reason) []Reason {
	out := make([]Reason, 0, len(reasons))
	for _, r := range reasons {
		out = append(out, Reason{StepID: step, Rule: r.Rule, Message: r.Message, Fix: r.Fix, Layer: r.Layer})
	}
	return out
}

// Problem is one reason why a draft does not compile.
type Problem struct {
	Code    string `json:"code"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// ProblemsFrom converts the problems of a compilation.
func ProblemsFrom(problems []writ.Problem) []Problem {
	out := make([]Problem, 0, len(problems))
	for _, p := range problems {
		out = append(out, Problem(p))
	}
	return out
}

// StepFailure is how a step failed.
type StepFailure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

func failureFrom(f *abi.Failure) *StepFailure {
	if f == nil {
		return nil
	}
	return &StepFailure{Code: f.Code, Message: f.Message, Fix: f.Fix}
}

// Step is one step of an execution.
type Step struct {
	ID        writ.StepID     `json:"id"`
	Name      string          `json:"name"`
	Kind      writ.StepKind   `json:"kind,omitempty" jsonschema:"Absent for a step of the plan; iteration for one that forEach made, compensation for one that undoes another, call for one that a skill called."`
	ParentID  writ.StepID     `json:"parentId,omitempty" jsonschema:"The step that this one belongs to."`
	Skill     writ.SkillKey   `json:"skill"`
	Version   string          `json:"version"`
	Action    string          `json:"action"`
	Status    writ.StepStatus `json:"status"`
	Attempt   int             `json:"attempt"`
	Effect    writ.Effect     `json:"effect"`
	RiskTier  writ.Risk       `json:"riskTier"`
	Mode      writ.Mode       `json:"mode,omitempty" jsonschema:"Of the last verdict; absent before the plan is verified."`
	Needs     []string        `json:"needs,omitempty"`
	Reasons   []Reason        `json:"reasons,omitempty"`
	Approval  *Approval       `json:"approval,omitempty"`
	Failure   *StepFailure    `json:"failure,omitempty"`
	Reason    string          `json:"reason,omitempty" jsonschema:"Why it was skipped, cancelled or is frozen, or ended as one of its own steps did."`
	Output    json.RawMessage `json:"output,omitempty" jsonschema:"The action's output, where includeOutputs asked for it."`
	Calls     int             `json:"calls,omitempty"`
	Fuel      uint64          `json:"fuel,omitempty"`
	RetryAt   writ.Time       `json:"retryAt,omitempty"`
	StartedAt writ.Time       `json:"startedAt,omitempty"`
	EndedAt   writ.Time       `json:"endedAt,omitempty"`
}

// Execution is one intent's way through plan, policy, approval and sandbox.
type Execution struct {
	ExecutionID      writ.ExecutionID     `json:"executionId"`
	WorkspaceID      writ.WorkspaceID     `json:"workspaceId"`
	IntentID         writ.IntentID        `json:"intentId,omitempty"`
	PlanID           writ.PlanID          `json:"planId,omitempty"`
	PlanHash         writ.Digest          `json:"deterministicHash,omitempty"`
	RunID            writ.RunID           `json:"runId,omitempty"`
	Status           writ.ExecutionStatus `json:"status"`
	Mode             writ.Mode            `json:"mode,omitempty"`
	RiskTier         writ.Risk            `json:"riskTier,omitempty"`
	RequiresApproval bool                 `json:"requiresApproval,omitempty"`
	Cancelling       bool                 `json:"cancelling,omitempty"`
	Paused           bool                 `json:"paused,omitempty" jsonschema:"An operator holds it, whatever status says."`
	Reason           string               `json:"reason,omitempty"`
	Problems         []Problem            `json:"problems,omitempty"`
	EditedFrom       *Edit                `json:"editedFrom,omitempty" jsonschema:"The execution whose plan was edited into this one's."`
	EditedInto       *Edit                `json:"editedInto,omitempty" jsonschema:"The execution that goes on in this one's place."`
	Origin           writ.Origin          `json:"origin,omitempty"`
	ActorID          writ.PrincipalID     `json:"actorId,omitempty"`
	ChannelKey       string               `json:"channelKey,omitempty"`
	TraceID          string               `json:"traceId,omitempty"`
	Steps            []Step               `json:"steps"`
	CreatedAt        writ.Time            `json:"createdAt"`
	UpdatedAt        writ.Time            `json:"updatedAt"`
}

// ExecutionFrom converts an execution; outputs are left for the caller to add.
func ExecutionFrom(e *writ.Execution) (*Execution, error) {
	out := &Execution{
		ExecutionID: e.ID, WorkspaceID: e.Workspace, IntentID: e.IntentID, PlanID: e.PlanID,
		PlanHash: e.PlanHash, RunID: e.RunID, Status: e.Status, Mode: e.Mode, RiskTier: e.Risk,
		RequiresApproval: e.RequiresApproval, Cancelling: e.Cancelling, Paused: e.Paused, Reason: e.Reason,
		Origin: e.Origin, ChannelKey: e.ChannelKey, TraceID: e.TraceID, EditedFrom: editFrom(e.EditedFrom), EditedInto: editFrom(e.EditedInto),
		Steps: make([]Step, 0, len(e.Steps)), CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	if f := e.Frozen(); f != nil && e.Reason == "" {
		out.Reason = f.Said()
	}
	if len(e.Problems) > 0 {
		out.Problems = ProblemsFrom(e.Problems)
	}
	if e.Principal != nil {
		out.ActorID = e.Principal.ID
	}
	for i := range e.Steps {
		step, err := stepFrom(&e.Steps[i])
		if err != nil {
			return nil, err
		}
		out.Steps = append(out.Steps, *step)
	}
	return out, nil
}

func stepFrom(s *writ.StepState) (*Step, error) {
	out := &Step{
		ID: s.ID, Name: s.Name, Kind: s.Kind, ParentID: s.Parent, Skill: s.Skill.Key, Version: s.Skill.Version, Action: s.Action,
		Status: s.Status, Attempt: s.Attempt, Effect: s.Effect, RiskTier: s.Risk, Needs: s.Needs,
		Failure: failureFrom(s.Failure), Reason: s.Reason, Calls: s.Calls, Fuel: s.Fuel,
		RetryAt: s.RetryAt, StartedAt: s.StartedAt, EndedAt: s.EndedAt,
	}
	if s.Frozen != nil {
		out.Reason = s.Frozen.Said()
	}
	if s.Verdict != nil {
		out.Mode, out.RiskTier, out.Reasons = s.Verdict.Mode, s.Verdict.Risk, ReasonsFrom(s.ID, s.Verdict.Reasons)
	}
	if s.Approval != nil {
		approval, err := ApprovalFrom(s.Approval)
		if err != nil {
			return nil, err
		}
		out.Approval = approval
	}
	return out, nil
}
