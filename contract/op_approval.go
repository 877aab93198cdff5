package contract

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// ApprovalList shows what waits for a person.
var ApprovalList = define[ApprovalListInput, ApprovalListOutput](Contract{
	Key: "controlPlane.approval.list", Version: "1.2.0", Kind: Query, Capability: CapApproval, Auth: User,
	CLI: "writ approval list", Title: "List approvals", Idempotent: true,
	Description: "Lists approvals, the higher risk first, then the nearer deadline, then the older, each with the exact document that would be approved, who may decide, and how the last of its kind were decided.",
	Goal:        "Find what waits for a decision, and see the bytes that the decision is about.",
	Context:     "Before execution.approve and execution.reject.",
	PII:         []string{"output.items.request", "output.items.decisions.note", "output.items.decideAs", "output.items.earlier.by", "output.items.earlier.note"},
	Examples: example(ApprovalListInput{},
		ApprovalListOutput{Result: done("ok"), Items: []Approval{exampleApproval()}, Total: 1}),
})

// ApprovalApprove says yes to many requests of one kind.
var ApprovalApprove = define[ApprovalApproveInput, ApprovalApproveOutput](Contract{
	Key: "controlPlane.approval.approve", Version: "1.1.0", Kind: Command, Capability: CapApproval, Auth: User,
	CLI: "writ approval approve", Title: "Approve many of one kind", Idempotent: true,
	Description: "Approves up to 200 requests of one action that are asked because of the same rules. Each is signed and recorded by itself. One item of another action or rule, or one bad signature, and nothing is decided; an item that was decided meanwhile is reported and the others go on.",
	Goal:        "Decide many like requests at once, without approving what was not looked at.",
	Context:     "Before it, approval.list with the same template and rules.",
	PII:         []string{"input.for", "input.note"},
	Errors: []Failure{
		on(writ.CodeNotFound, "An execution or a step does not exist."),
		on(writ.CodeConflict, "An item is of another action, or is asked because of other rules."),
		on(writ.CodeFrozen, "Who decides, or who is away, is frozen."),
	},
	Emits: []string{"controlPlane.approval.granted"},
	Examples: example(
		ApprovalApproveInput{Template: string(exKey) + "#create", Rules: []string{"risk"}, Items: []ApprovalItem{{ExecutionID: exExecution, StepID: exStep, ApprovalDigest: exDigest, Signature: []byte("{}")}}},
		ApprovalApproveOutput{Result: done("ok"), Approved: 1, Items: []ApprovalOutcome{{ExecutionID: exExecution, StepID: exStep, Status: writ.ApprovalApproved}}}),
})

// ApprovalStats shows how people decide.
var ApprovalStats = define[ApprovalStatsInput, ApprovalStatsOutput](Contract{
	Key: "controlPlane.approval.stats", Version: "1.1.0", Kind: Query, Capability: CapApproval, Auth: User,
	CLI: "writ approval stats", Title: "Statistics of approvals", Idempotent: true,
	Description: "Counts how people decided, by rule and risk, and how long they took, with a hint where approvals look like fatigue: more than 95 % of at least 20 words were yes, half of them within 5 seconds; or where one in five was an edit.",
	Goal:        "Find rules that ask too often to be read.",
	Context:     "At any time. It reads the journals, so it is the same after a restart.",
	Errors:      []Failure{},
	Examples: example(ApprovalStatsInput{},
		ApprovalStatsOutput{Result: done("ok"), Since: exTime, Complete: true, Items: []ApprovalStat{{Rule: "risk", RiskTier: writ.RiskMedium, Approved: 9, Rejected: 1, ApproveRate: 0.9, Median: abi.Duration(time.Minute)}}}),
})

// ApprovalDelegate lets another person decide while the caller is away.
var ApprovalDelegate = define[ApprovalDelegateInput, ApprovalDelegateOutput](Contract{
	Key: "controlPlane.approval.delegate", Kind: Command, Capability: CapApproval, Auth: User,
	CLI: "writ approval delegate", Title: "Delegate approvals",
	Description: "Lets another person decide approvals in the caller's place, from one moment to another and in roles that the caller has. It gives nothing else. Who is delegated to passes nothing on, and never approves what they asked for or wrote themselves.",
	Goal:        "Keep approvals going while a person is away, with a record of who decided for whom.",
	Context:     "Before an absence. The absent person may still decide; the two count as one.",
	PII:         []string{"input.to", "input.reason", "output.delegation.by", "output.delegation.to", "output.delegation.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The other person does not exist."),
		on(writ.CodeConflict, "The caller has too many delegations."),
	},
	Examples: example(
		ApprovalDelegateInput{To: "human:bob", From: exTime, Until: exLater, Roles: []string{"approver"}, Reason: "On leave."},
		ApprovalDelegateOutput{Result: done("delegated"), Delegation: exampleDelegation()}),
})

// ApprovalUndelegate ends a delegation.
var ApprovalUndelegate = define[ApprovalUndelegateInput, ApprovalUndelegateOutput](Contract{
	Key: "controlPlane.approval.undelegate", Kind: Command, Capability: CapApproval, Auth: User,
	CLI: "writ approval undelegate", Title: "End a delegation", Idempotent: true,
	Description: "Ends a delegation at once. Who delegated, who it was delegated to, and admins may. What was decided under it stays decided.",
	Goal:        "Take back what an absence had made necessary.",
	Context:     "At any time.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such delegation.")},
	Examples:    example(ApprovalUndelegateInput{DelegationID: "dlg_example", Reason: "Back early."}, ApprovalUndelegateOutput{Result: done("ended")}),
})

// ApprovalDelegations shows the delegations.
var ApprovalDelegations = define[ApprovalDelegationsInput, ApprovalDelegationsOutput](Contract{
	Key: "controlPlane.approval.delegations", Kind: Query, Capability: CapApproval, Auth: User,
	CLI: "writ approval delegations", Title: "List delegations", Idempotent: true,
	Description: "Lists who may decide approvals in whose place, the earliest first, those to come included.",
	Goal:        "See who stands in for whom, and until when.",
	Context:     "At any time.",
	PII:         []string{"output.items.by", "output.items.to", "output.items.reason"},
	Examples: example(ApprovalDelegationsInput{},
		ApprovalDelegationsOutput{Result: done("ok"), Items: []Delegation{exampleDelegation()}}),
})

func exampleDelegation() Delegation {
	return Delegation{DelegationID: "dlg_example", By: "human:ada", To: "human:bob", Roles: []string{"approver"}, From: exTime, Until: exLater, Reason: "On leave.", CreatedAt: exTime}
}
