package contract

import "github.com/writ-run/writ"

// MaxStepEdits is how many inputs one edit replaces: nobody rewrites more by hand.
const MaxStepEdits = 16

// ExecutionEditInput is the input of ExecutionEdit.
type ExecutionEditInput struct {
	ExecutionID    writ.ExecutionID `json:"executionId"`
	Steps          []StepEdit       `json:"steps" jsonschema:"At most 16; one of them waits for people."`
	EditedBy       writ.PrincipalID `json:"editedBy,omitempty" jsonschema:"Must equal the caller."`
	For            writ.PrincipalID `json:"for,omitempty" jsonschema:"The absent person who has delegated to the caller; absent: the caller edits as itself."`
	Reason         string           `json:"reason"`
	IdempotencyKey string           `json:"idempotencyKey,omitempty" jsonschema:"The same key again completes the same edit, or answers with what it made."`
	Wait           bool             `json:"wait,omitempty" jsonschema:"Answer when the new execution has ended or waits for a person."`
}

// StepEdit is the input that a step is to have.
type StepEdit struct {
	StepID         writ.StepID `json:"stepId" jsonschema:"Or the name of the step."`
	Input          Object      `json:"input" jsonschema:"The whole input. Text is text: an expression in it is not evaluated. Of a step that has not begun, what is null or left out where the draft has an expression keeps it."`
	ApprovalDigest writ.Digest `json:"approvalDigest,omitempty" jsonschema:"What the editor saw; absent: whatever is pending for the step."`
}

// ExecutionEditOutput is the output of ExecutionEdit. Status is that of the new
// execution.
type ExecutionEditOutput struct {
	Result
	ExecutionID       writ.ExecutionID `json:"executionId" jsonschema:"The new one."`
	IntentID          writ.IntentID    `json:"intentId"`
	PlanID            writ.PlanID      `json:"planId"`
	DeterministicHash writ.Digest      `json:"deterministicHash"`
	RunID             writ.RunID       `json:"runId"`
	EditedFrom        writ.ExecutionID `json:"editedFrom"`
}

// Edit links an execution to the one that it was edited from or into.
type Edit struct {
	ExecutionID       writ.ExecutionID `json:"executionId" jsonschema:"The other one."`
	DeterministicHash writ.Digest      `json:"deterministicHash" jsonschema:"Of the other one's plan."`
	Steps             []string         `json:"steps" jsonschema:"Whose input was edited, by name."`
	By                writ.PrincipalID `json:"by"`
	For               writ.PrincipalID `json:"for,omitempty" jsonschema:"The absent person in whose place by edited."`
	Reason            string           `json:"reason"`
}

func editFrom(f *writ.EditFacts) *Edit {
	if f == nil {
		return nil
	}
	return &Edit{ExecutionID: f.Execution, DeterministicHash: f.PlanHash, Steps: f.Steps, By: f.By, For: f.For, Reason: f.Reason}
}

// EditEvent is the data of controlPlane.execution.edited.
type EditEvent struct {
	ExecutionID       writ.ExecutionID `json:"executionId"`
	EditedInto        writ.ExecutionID `json:"editedInto" jsonschema:"What goes on in its place."`
	DeterministicHash writ.Digest      `json:"deterministicHash" jsonschema:"Of the new plan."`
	Steps             []string         `json:"steps" jsonschema:"Whose input was edited, by name."`
	Reason            string           `json:"reason"`
}

func editEvent(r *writ.Record, f *writ.EditFacts) (string, any) {
	if r.Type != writ.RecRunEdited {
		return "", nil
	}
	return EventExecutionEdited, &EditEvent{
		ExecutionID: writ.ExecutionID(r.Stream), EditedInto: f.Execution, DeterministicHash: f.PlanHash, Steps: f.Steps, Reason: f.Reason,
	}
}
