package contract

import "github.com/writ-run/writ"

// ExecutionEdit goes on with another input than the one that waits.
var ExecutionEdit = define[ExecutionEditInput, ExecutionEditOutput](Contract{
	Key: "controlPlane.execution.edit", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ exec edit", Title: "Edit what waits", Idempotent: true,
	Description: "Makes a new execution of the same intent with another input for a step that waits for people, and for steps that have not begun. Its plan is compiled and judged from the start, and no approval carries over. The old execution ends rejected and names the new one. What differs from the input as it was shown is the editor's; what does not keeps its expression and its labels. The requester stays the requester; who edits has written it, and approves none of it.",
	Goal:        "Correct what would be rejected, without submitting the intent again.",
	Context:     "While a step awaits approval, by whoever may decide it or asked for it. Nothing may have been written yet and no step be running; what was read is read again.",
	PII:         []string{"input.editedBy", "input.for", "input.reason", "input.steps.input"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution or a step does not exist."),
		on(writ.CodeConflict, "No step of those waits, one has begun, something was written or runs, nothing would differ, or the execution was edited already: the error names the new one."),
		on(writ.CodeExpired, "The deadline of the approval has passed."),
		on(writ.CodePlanRejected, "The edited draft does not compile. Nothing has changed."),
		on(writ.CodeBlocked, "The policy blocks the edited plan. The old execution waits as before."),
		on(writ.CodeFrozen, "The editor, the requester, its channel or the tenant is frozen. Nothing has changed."),
		on(writ.CodeTimeout, "wait was set and the execution goes on; its state is in execution.get."),
	},
	Emits: []string{EventExecutionEdited, EventApprovalRejected, EventIntentReceived, EventPlanCompiled, EventApprovalRequested},
	Examples: example(
		ExecutionEditInput{
			ExecutionID: exExecution, Reason: "The customer has moved.",
			Steps: []StepEdit{{StepID: exStep, Input: Object(`{"to":"new@example.com"}`)}},
		},
		ExecutionEditOutput{
			Result: done("awaiting_approval"), ExecutionID: exEdited, IntentID: exIntent, PlanID: exPlan, DeterministicHash: exDigest,
			RunID: exRun, EditedFrom: exExecution,
		}),
})
