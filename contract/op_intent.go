package contract

import "github.com/writ-run/writ"

// IntentSubmit takes in what somebody wants.
var IntentSubmit = define[IntentSubmitInput, IntentSubmitOutput](Contract{
	Key: "controlPlane.intent.submit", Version: "1.1.0", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ intent submit", Title: "Submit an intent", Idempotent: true,
	Description: "Records what somebody wants, durably, before it is answered. Nothing is executed, unless `run` asks for the whole way in one request: compile, verify and start, each as its own operation would.",
	Goal:        "Give an intent a place in the chain, so that everything later can be traced to it.",
	Context:     "First call of the way. An explicit draft may come with it; otherwise the text is interpreted at compilation.",
	PII:         []string{"input.text", "input.actorId", "input.metadata", "input.draft"},
	Errors: []Failure{
		on(writ.CodeConflict, "The idempotency key was used for another intent."),
		on(writ.CodeNotFound, "The workspace does not exist."),
		on(writ.CodePlanRejected, "run was set and the draft does not compile; details has the problems with their places."),
		on(writ.CodeBlocked, "run was set and the policy blocks the plan."),
		on(writ.CodeFrozen, "An administrator has frozen everything, the tenant, the caller or the channel; nothing was recorded."),
		on(writ.CodeTimeout, "wait was set and the execution goes on; its state is in execution.get."),
	},
	Emits: []string{"controlPlane.intent.received", "controlPlane.plan.compiled", "controlPlane.plan.rejected", "controlPlane.approval.requested"},
	Examples: example(
		IntentSubmitInput{WorkspaceID: "default", Text: "File a note about the outage", IdempotencyKey: "mail-4711"},
		IntentSubmitOutput{Result: done("received"), ExecutionID: exExecution, IntentID: exIntent}),
})

// PlanCompile makes a deterministic plan of an intent's draft.
var PlanCompile = define[PlanCompileInput, PlanCompileOutput](Contract{
	Key: "controlPlane.plan.compile", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ plan compile", Title: "Compile a plan", Idempotent: true,
	Description: "Resolves the skills, checks the types, narrows the capabilities and gives every step its identifier. The same inputs give the same bytes on any machine.",
	Goal:        "Know exactly what would be done before anything is.",
	Context:     "After intent.submit, and again whenever another draft is to replace the first.",
	PII:         []string{"input.draft"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution or the intent does not exist."),
		on(writ.CodePlanRejected, "The draft does not compile; details has the problems with their places."),
		on(writ.CodeConflict, "The execution has started or ended."),
	},
	Emits: []string{"controlPlane.plan.compiled", "controlPlane.plan.rejected"},
	Examples: example(
		PlanCompileInput{ExecutionID: exExecution, IntentID: exIntent},
		PlanCompileOutput{Result: done("compiled"), PlanID: exPlan, CompiledAt: exTime, StepCount: 1, DeterministicHash: exDigest}),
})

// PlanVerify judges every step of a plan.
var PlanVerify = define[PlanVerifyInput, PlanVerifyOutput](Contract{
	Key: "controlPlane.plan.verify", Version: "1.1.0", Kind: Command, Capability: CapAudit, Auth: User,
	CLI: "writ plan verify", Title: "Verify a plan", Idempotent: true,
	Description: "Asks the policy about every step. What it blocks is a verdict with reasons, not an error.",
	Goal:        "Learn which steps run by themselves, which need a person and which may not run.",
	Context:     "After plan.compile. Steps whose input is not known yet are judged again when it is, never more loosely.",
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution, the plan or the policy version does not exist."),
		on(writ.CodeConflict, "The plan is not the execution's latest, or the execution has started."),
	},
	Emits: []string{"controlPlane.approval.requested"},
	Examples: example(
		PlanVerifyInput{ExecutionID: exExecution, PlanID: exPlan},
		PlanVerifyOutput{
			Result: done("compiled"), Verdict: writ.Assist, RequiresApproval: true, VerifiedAt: exTime,
		}),
})
