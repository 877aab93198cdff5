package writ

import (
	"slices"

	"github.com/writ-run/writ/abi"
)

// ExecutionStatus is the state of an execution.
type ExecutionStatus string

// The states of an execution.
const (
	ExecReceived         ExecutionStatus = "received"
	ExecCompiled         ExecutionStatus = "compiled"
	ExecRejected         ExecutionStatus = "rejected"
	ExecAwaitingApproval ExecutionStatus = "awaiting_approval"
	ExecRunning          ExecutionStatus = "running"
	ExecPaused           ExecutionStatus = "paused"
	ExecCompleted        ExecutionStatus = "completed"
	ExecFailed           ExecutionStatus = "failed"
	ExecCancelled        ExecutionStatus = "cancelled"
	ExecExpired          ExecutionStatus = "expired"
	ExecBlocked          ExecutionStatus = "blocked"
	ExecIndeterminate    ExecutionStatus = "indeterminate"
)

// Final reports whether the execution has ended and its journal is sealed. An
// indeterminate one has not: it waits for an operator.
func (s ExecutionStatus) Final() bool {
	switch s {
	case ExecRejected, ExecCompleted, ExecFailed, ExecCancelled, ExecExpired, ExecBlocked:
		return true
	}
	return false
}

// StepStatus is the state of a step.
type StepStatus string

// The states of a step.
const (
	StepPlanned          StepStatus = "planned"
	StepAwaitingApproval StepStatus = "awaiting_approval"
	StepRunning          StepStatus = "running"
	StepCompleted        StepStatus = "completed"
	StepFailed           StepStatus = "failed"
	StepRejected         StepStatus = "rejected"
	StepExpired          StepStatus = "expired"
	StepCancelled        StepStatus = "cancelled"
	StepSkipped          StepStatus = "skipped"
	StepBlocked          StepStatus = "blocked"
	StepIndeterminate    StepStatus = "indeterminate"
)

// Final reports whether the step has ended. An indeterminate one waits for an
// operator.
func (s StepStatus) Final() bool {
	switch s {
	case StepPlanned, StepAwaitingApproval, StepRunning, StepIndeterminate:
		return false
	}
	return true
}

// Execution is the fold of an execution's records.
type Execution struct {
	ID               ExecutionID     `json:"executionId"`
	Tenant           TenantID        `json:"tenantId"`
	Workspace        WorkspaceID     `json:"workspaceId"`
	IntentID         IntentID        `json:"intentId"`
	PlanID           PlanID          `json:"planId,omitempty"`
	PlanHash         Digest          `json:"planHash,omitempty"`
	RunID            RunID           `json:"runId,omitempty"`
	Mode             Mode            `json:"mode,omitempty"`
	Status           ExecutionStatus `json:"status"`
	Risk             Risk            `json:"riskTier,omitempty"`
	RequiresApproval bool            `json:"requiresApproval,omitempty"`
	Verified         bool            `json:"verified,omitempty"`
	Cancelling       bool            `json:"cancelling,omitempty"`
	Paused           bool            `json:"paused,omitempty"`
	Reason           string          `json:"reason,omitempty"`
	Principal        *Principal      `json:"principal,omitempty"`
	Grants           []Grant         `json:"grants,omitempty"`
	Origin           Origin          `json:"origin"`
	ChannelKey       string          `json:"channelKey,omitempty"`
	TraceID          string          `json:"traceId"`
	Draft            *IntentFacts    `json:"draft,omitempty"`
	Payloads         []PayloadRef    `json:"payloads"` // intent, draft, plan
	Steps            []StepState     `json:"steps"`
	Templates        []StepState     `json:"templates,omitempty"` // of steps that the run may add, with their verdicts
	Problems         []Problem       `json:"problems,omitempty"`
	EditedFrom       *EditFacts      `json:"editedFrom,omitempty"` // what its plan was edited from
	EditedInto       *EditFacts      `json:"editedInto,omitempty"` // what goes on in its place
	CreatedAt        Time            `json:"createdAt"`
	UpdatedAt        Time            `json:"updatedAt"`
	Seq              uint64          `json:"seq"`
}

// StepState is one step of an execution.
type StepState struct {
	PlannedStep
	Status    StepStatus   `json:"status"`
	Attempt   int          `json:"attempt,omitempty"`
	Earlier   int          `json:"earlier,omitempty"` // attempts before an operator had the execution tried again
	Verdict   *Verdict     `json:"verdict,omitempty"`
	Approval  *Approval    `json:"approval,omitempty"`
	Input     *PayloadRef  `json:"input,omitempty"`
	Output    *PayloadRef  `json:"output,omitempty"`
	Labels    []Label      `json:"labels,omitempty"`
	Failure   *abi.Failure `json:"failure,omitempty"`
	Reason    string       `json:"reason,omitempty"` // why it was skipped, cancelled or ended with its parts
	Frozen    *Freeze      `json:"frozen,omitempty"` // what holds it
	RetryAt   Time         `json:"retryAt,omitempty"`
	StartedAt Time         `json:"startedAt,omitempty"`
	EndedAt   Time         `json:"endedAt,omitempty"`
	Calls     int          `json:"calls,omitempty"`
	Fuel      uint64       `json:"fuel,omitempty"`
}

// Step finds a step by id or name.
func (e *Execution) Step(idOrName string) *StepState {
	for i := range e.Steps {
		if string(e.Steps[i].ID) == idOrName || e.Steps[i].Name == idOrName {
			return &e.Steps[i]
		}
	}
	return nil
}

// Frozen is what holds the first step that is frozen, nil where none is.
func (e *Execution) Frozen() *Freeze {
	for i := range e.Steps {
		if f := e.Steps[i].Frozen; f != nil {
			return f
		}
	}
	return nil
}

// Undoing reports whether the run has added compensations.
func (e *Execution) Undoing() bool {
	return slices.ContainsFunc(e.Steps, func(s StepState) bool { return s.Kind == KindCompensation })
}

// Template finds a template by its id.
func (e *Execution) Template(id StepID) *StepState {
	for i := range e.Templates {
		if e.Templates[i].ID == id {
			return &e.Templates[i]
		}
	}
	return nil
}

// Payload finds the reference to the intent, draft or plan.
func (e *Execution) Payload(name string) (PayloadRef, bool) {
	return payloadNamed(e.Payloads, name)
}

// Payload finds a payload of the record.
func (r *Record) Payload(name string) (PayloadRef, bool) {
	return payloadNamed(r.Payloads, name)
}

func payloadNamed(refs []PayloadRef, name string) (PayloadRef, bool) {
	for _, ref := range refs {
		if ref.Name == name {
			return ref, true
		}
	}
	return PayloadRef{}, false
}
