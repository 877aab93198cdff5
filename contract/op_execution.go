package contract

import "github.com/writ-run/writ"

// ExecutionStart runs a verified plan.
var ExecutionStart = define[ExecutionStartInput, ExecutionStartOutput](Contract{
	Key: "controlPlane.execution.start", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ exec start", Title: "Start an execution", Idempotent: true,
	Description: "Begins to run the plan's steps. Each one is judged again right before it runs.",
	Goal:        "Have done what was planned, as far as the policy lets it go by itself.",
	Context:     "After plan.verify. Steps that need a person wait; the others go on.",
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution or the plan does not exist."),
		on(writ.CodeConflict, "The plan is not verified under the active policy, or the execution has ended."),
		on(writ.CodeBlocked, "The policy blocks the plan."),
		on(writ.CodeTimeout, "wait was set and the execution goes on; its state is in execution.get."),
	},
	Emits: []string{
		"controlPlane.execution.step.started", "controlPlane.execution.step.completed",
		"controlPlane.execution.step.failed", "controlPlane.execution.step.blocked",
		"controlPlane.execution.step.skipped", "controlPlane.execution.step.indeterminate",
		"controlPlane.execution.tool.called", "controlPlane.execution.tool.returned",
		"controlPlane.execution.tool.denied", "controlPlane.approval.requested",
		"controlPlane.execution.completed", "controlPlane.execution.failed",
	},
	Examples: example(
		ExecutionStartInput{ExecutionID: exExecution, PlanID: exPlan, Mode: RunAssist},
		ExecutionStartOutput{Result: done("running"), RunID: exRun}),
})

// ExecutionApprove says yes to the exact bytes of one request.
var ExecutionApprove = define[ExecutionApproveInput, ExecutionApproveOutput](Contract{
	Key: "controlPlane.execution.approve", Version: "1.2.1", Kind: Command, Capability: CapApproval, Auth: User,
	CLI: "writ exec approve", Title: "Approve a step", Idempotent: true,
	Description: "Records a person's yes to what approvalDigest names. Only a human approves, signed with their key, never who asked for the step or wrote it. In a channel the host signs that the provider vouches for them, below high risk. for names an absent person who has delegated to the caller: both count as one.",
	Goal:        "Let a step run that the policy does not let run by itself.",
	Context:     "While the step awaits approval. The deadline is checked at this moment.",
	PII:         []string{"input.approvedBy", "input.for", "input.note"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution, the step or its approval does not exist."),
		on(writ.CodeConflict, "The approval is closed, the digest is of another request, or somebody has edited it: the error names the execution that goes on."),
		on(writ.CodeExpired, "The deadline of the approval has passed."),
		on(writ.CodeFrozen, "Who decides, or who is away, is frozen."),
		on(writ.CodeBlocked, "The step is blocked: nobody can approve it."),
	},
	Emits: []string{"controlPlane.approval.granted"},
	Examples: example(
		ExecutionApproveInput{ExecutionID: exExecution, StepID: exStep, ApprovalDigest: exDigest, Note: "Agreed with support."},
		ExecutionApproveOutput{Result: done("approved"), Granted: 1, Required: 1}),
})

// ExecutionReject says no.
var ExecutionReject = define[ExecutionRejectInput, ExecutionRejectOutput](Contract{
	Key: "controlPlane.execution.reject", Version: "1.3.0", Kind: Command, Capability: CapApproval, Auth: User,
	CLI: "writ exec reject", Title: "Reject a step", Idempotent: true,
	Description: "Records a person's no. One is enough; the step and what depends on it do not run.",
	Goal:        "Stop a step before it acts, with a reason that stays in the chain.",
	Context:     "While the step awaits approval.",
	PII:         []string{"input.rejectedBy", "input.for", "input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution, the step or its approval does not exist."),
		on(writ.CodeConflict, "The approval is closed, the digest is of another request, or somebody has edited it: the error names the execution that goes on."),
		on(writ.CodeExpired, "The deadline of the approval has passed."),
		on(writ.CodeFrozen, "Who decides, or who is away, is frozen."),
	},
	Emits: []string{"controlPlane.approval.rejected"},
	Examples: example(
		ExecutionRejectInput{ExecutionID: exExecution, StepID: exStep, Reason: "Wrong recipient."},
		ExecutionRejectOutput{Result: done("rejected")}),
})

// ExecutionCancel ends an execution early.
var ExecutionCancel = define[ExecutionCancelInput, ExecutionCancelOutput](Contract{
	Key: "controlPlane.execution.cancel", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ exec cancel", Title: "Cancel an execution", Idempotent: true,
	Description: "Stops what has not begun. A write in flight is waited for; what was done stays done and is in the trace.",
	Goal:        "Stop an execution without leaving its outcome unknown.",
	Context:     "At any time before the execution has ended.",
	PII:         []string{"input.cancelledBy", "input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution does not exist."),
		on(writ.CodeConflict, "The execution has ended."),
	},
	Emits: []string{"controlPlane.execution.cancelled"},
	Examples: example(
		ExecutionCancelInput{ExecutionID: exExecution, Reason: "No longer needed."},
		ExecutionCancelOutput{Result: done("cancelled")}),
})

// ExecutionExpire closes an approval whose deadline has passed.
var ExecutionExpire = define[ExecutionExpireInput, ExecutionExpireOutput](Contract{
	Key: "controlPlane.execution.expire", Kind: Command, Capability: CapApproval, Auth: System,
	Title: "Expire an approval", Idempotent: true,
	Description: "Closes an approval at its deadline. The fallback is always to block, never to allow.",
	Goal:        "Let silence never become consent.",
	Context:     "The host's own timers call it; no token can.",
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution, the step or its approval does not exist."),
		on(writ.CodeConflict, "The approval is closed, or its deadline has not passed."),
	},
	Emits: []string{"controlPlane.approval.expired", "controlPlane.execution.expired"},
	Examples: example(
		ExecutionExpireInput{ExecutionID: exExecution, StepID: exStep, ApprovalDigest: exDigest},
		ExecutionExpireOutput{Result: done("expired")}),
})

// ExecutionGet shows one execution.
var ExecutionGet = define[ExecutionGetInput, ExecutionGetOutput](Contract{
	Key: "controlPlane.execution.get", Version: "1.3.0", Kind: Query, Capability: CapCore, Auth: User,
	CLI: "writ exec get", Title: "Get an execution", Idempotent: true,
	Description: "Shows an execution with its steps, their verdicts, approvals and failures.",
	Goal:        "See how far an intent has come and what it waits for.",
	Context:     "At any time after intent.submit. Only durable state is shown.",
	PII:         []string{"output.execution.actorId", "output.execution.steps.output", "output.execution.steps.approval.request"},
	Errors:      []Failure{on(writ.CodeNotFound, "The execution does not exist.")},
	Examples: example(ExecutionGetInput{ExecutionID: exExecution},
		ExecutionGetOutput{Result: done("completed"), Execution: exampleExecution()}),
})

// ExecutionList shows executions, newest first.
var ExecutionList = define[ExecutionListInput, ExecutionListOutput](Contract{
	Key: "controlPlane.execution.list", Version: "1.3.0", Kind: Query, Capability: CapCore, Auth: User,
	CLI: "writ exec list", Title: "List executions", Idempotent: true,
	Description: "Lists executions, newest first, page by page.",
	Goal:        "Find an execution, or all that are in one state.",
	Context:     "At any time.",
	PII:         []string{"output.items.actorId", "output.items.steps.approval.request"},
	Examples: example(ExecutionListInput{Status: writ.ExecCompleted},
		ExecutionListOutput{Result: done("ok"), Items: []Execution{exampleExecution()}}),
})
