package contract

import (
	"encoding/json"

	"github.com/writ-run/writ"
)

// ExecutionPauseInput is the input of ExecutionPause.
type ExecutionPauseInput struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	Reason      string           `json:"reason,omitempty"`
}

// ExecutionPauseOutput is the output of ExecutionPause.
type ExecutionPauseOutput struct {
	Result
}

// ExecutionResumeInput is the input of ExecutionResume.
type ExecutionResumeInput struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	Reason      string           `json:"reason,omitempty"`
	Wait        bool             `json:"wait,omitempty" jsonschema:"Answer when the execution has ended or waits for a person."`
}

// ExecutionResumeOutput is the output of ExecutionResume.
type ExecutionResumeOutput struct {
	Result
}

// ExecutionRetryInput is the input of ExecutionRetry.
type ExecutionRetryInput struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	Reason      string           `json:"reason,omitempty"`
	Wait        bool             `json:"wait,omitempty" jsonschema:"Answer when the execution has ended or waits for a person."`
}

// ExecutionRetryOutput is the output of ExecutionRetry.
type ExecutionRetryOutput struct {
	Result
}

// ExecutionResolveInput is the input of ExecutionResolve.
type ExecutionResolveInput struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	StepID      writ.StepID      `json:"stepId,omitempty" jsonschema:"Id or name; absent: the one step that is indeterminate."`
	Ruling      writ.Ruling      `json:"ruling" jsonschema:"retry: send it again under the same idempotency key; done: it happened; fail: the step fails."`
	Answer      json.RawMessage  `json:"answer,omitempty" jsonschema:"With done: what the tool answered, in the schema of the tool's result."`
	Reason      string           `json:"reason" jsonschema:"Why: it stays in the trace."`
	ResolvedBy  writ.PrincipalID `json:"resolvedBy,omitempty" jsonschema:"Must equal the caller."`
	Wait        bool             `json:"wait,omitempty" jsonschema:"Answer when the execution has ended or waits for a person."`
}

// ExecutionResolveOutput is the output of ExecutionResolve.
type ExecutionResolveOutput struct {
	Result
}
