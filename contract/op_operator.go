package contract

import (
	"encoding/json"

	"github.com/writ-run/writ"
)

// ExecutionPause holds an execution.
var ExecutionPause = define[ExecutionPauseInput, ExecutionPauseOutput](Contract{
	Key: "controlPlane.execution.pause", Kind: Command, Capability: CapCore, Auth: Operator,
	CLI: "writ exec pause", Title: "Pause an execution", Idempotent: true,
	Description: "Begins no new step and no new tool call. A call under way is waited for; a guest is stopped at its next call and runs again from its start when the execution is resumed, its calls so far answered from the journal. A step that makes no further call ends. Deadlines of approvals go on; the time of steps does not.",
	Goal:        "Hold an execution while people look, without losing or repeating what it has done.",
	Context:     "After execution.start and before the execution has ended. A pause outlasts a restart of the host.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution does not exist."),
		on(writ.CodeConflict, "The execution has not been started, is being cancelled or has ended."),
	},
	Emits: []string{EventExecutionPaused},
	Examples: example(
		ExecutionPauseInput{ExecutionID: exExecution, Reason: "The recipient asked us to wait."},
		ExecutionPauseOutput{Result: done("paused")}),
})

// ExecutionResume lets a paused execution go on.
var ExecutionResume = define[ExecutionResumeInput, ExecutionResumeOutput](Contract{
	Key: "controlPlane.execution.resume", Kind: Command, Capability: CapCore, Auth: Operator,
	CLI: "writ exec resume", Title: "Resume an execution", Idempotent: true,
	Description: "Ends a pause. Steps are judged again before they go on.",
	Goal:        "Go on where the pause stopped.",
	Context:     "While the execution is paused; otherwise nothing changes.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution does not exist."),
		on(writ.CodeConflict, "The execution has not been started or has ended."),
		on(writ.CodeTimeout, "wait was set and the execution goes on; its state is in execution.get."),
	},
	Emits: []string{EventExecutionResumed},
	Examples: example(
		ExecutionResumeInput{ExecutionID: exExecution},
		ExecutionResumeOutput{Result: done("running")}),
})

// ExecutionRetry tries an ended execution again.
var ExecutionRetry = define[ExecutionRetryInput, ExecutionRetryOutput](Contract{
	Key: "controlPlane.execution.retry", Kind: Command, Capability: CapCore, Auth: Operator,
	CLI: "writ exec retry", Title: "Retry an execution",
	Description: "Opens an ended execution again. Completed steps stay; every other one is planned again, judged again and approved again. Writes that an earlier attempt completed are answered from the journal and not repeated.",
	Goal:        "Finish what failed, without doing again what was done.",
	Context:     "After an execution has failed, was blocked, rejected or cancelled, or has expired, once its cause is out of the way.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution does not exist."),
		on(writ.CodeConflict, "The execution never started, is under way, is indeterminate or has completed."),
		on(writ.CodeUnreplayable, "Payloads that going on needs have expired."),
		on(writ.CodeTimeout, "wait was set and the execution goes on; its state is in execution.get."),
	},
	Emits: []string{EventExecutionResumed},
	Examples: example(
		ExecutionRetryInput{ExecutionID: exExecution, Reason: "The server is back."},
		ExecutionRetryOutput{Result: done("running")}),
})

// ExecutionResolve decides about a write whose outcome is not known.
var ExecutionResolve = define[ExecutionResolveInput, ExecutionResolveOutput](Contract{
	Key: "controlPlane.execution.resolve", Kind: Command, Capability: CapCore, Auth: Operator,
	CLI: "writ exec resolve", Title: "Resolve an indeterminate step",
	Description: "Records an operator's word on a write that began and whose outcome is not known. retry sends it again under the same idempotency key; done takes the given answer as the tool's; fail ends the step.",
	Goal:        "Let an execution end with what happened, which nobody but a person can find out.",
	Context:     "While a step is indeterminate. Look at the other side first.",
	PII:         []string{"input.answer", "input.reason", "input.resolvedBy"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution or the step does not exist."),
		on(writ.CodeConflict, "No step is indeterminate, several are and none is named, or the ruling does not fit: there is no call to answer, or the execution is being cancelled and sends nothing again."),
		on(writ.CodeTimeout, "wait was set and the execution goes on; its state is in execution.get."),
	},
	Emits: []string{EventExecutionResumed, EventStepFailed},
	Examples: example(
		ExecutionResolveInput{ExecutionID: exExecution, StepID: exStep, Ruling: writ.RulingDone, Answer: json.RawMessage(`{"status":201,"headers":{}}`), Reason: "The comment is there."},
		ExecutionResolveOutput{Result: done("running")}),
})
