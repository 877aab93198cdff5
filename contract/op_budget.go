package contract

import "github.com/writ-run/writ"

var exBudgetSubject = BudgetSubject{PrincipalID: "agent:bot", Kind: writ.BudgetCalls, Span: writ.SpanHour}

const exBudgetReason = "What it does in an hour is checked by one person."

func exBudget(taken ...BudgetTaken) Budget {
	return Budget{
		Scope: writ.BudgetPrincipal, Subject: "agent:bot", Kind: writ.BudgetCalls, Span: writ.SpanHour, Count: 100,
		Reason: exBudgetReason, By: "human:ada", At: exTime, Taken: append([]BudgetTaken{}, taken...),
	}
}

// BudgetSet limits how much may be taken.
var BudgetSet = define[BudgetSetInput, BudgetSetOutput](Contract{
	Key: "controlPlane.budget.set", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ budget set", Title: "Set a budget", Idempotent: true,
	Description: "Limits how many steps and tool calls a tenant, a principal, a skill or a session may make in a span, and what they may spend. Every budget that covers something must have room for it, which is taken in the transaction that begins it; where one has none, the step is blocked or the call denied, with a reason that says when there is room again. Setting the same again replaces count and reason, and what was taken stays taken.",
	Goal:        "Let an agent do much by itself, and no more than somebody can answer for.",
	Context:     "At any time. It counts from when it is answered on; what is under way is judged again before its next call.",
	PII:         []string{"input.principalId", "input.sessionId", "input.reason", "output.budget.subject", "output.budget.reason", "output.budget.by", "output.budget.taken.subject"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such tenant."), on(writ.CodeConflict, "The tenant has as many budgets as it may have.")},
	Emits:       []string{EventBudgetChanged, EventBudgetExhausted},
	Examples: example(BudgetSetInput{BudgetSubject: exBudgetSubject, Count: 100, Reason: exBudgetReason},
		BudgetSetOutput{Result: done(StatusBudgetSet), Budget: exBudget(BudgetTaken{Subject: "agent:bot", Left: 100, FreeAt: exLater})}),
})

// BudgetRemove takes a limit back.
var BudgetRemove = define[BudgetRemoveInput, BudgetRemoveOutput](Contract{
	Key: "controlPlane.budget.remove", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ budget remove", Title: "Remove a budget", Idempotent: false,
	Description: "Takes one budget back, named as it was set. What was counted of it is forgotten. Other budgets stay.",
	Goal:        "Let go what need not be limited any more.",
	Context:     "After budget.set.",
	PII:         []string{"input.principalId", "input.sessionId", "input.reason", "output.budget.subject", "output.budget.reason", "output.budget.by"},
	Errors:      []Failure{on(writ.CodeNotFound, "No budget is set under this name; another may cover the same.")},
	Emits:       []string{EventBudgetChanged},
	Examples: example(BudgetRemoveInput{BudgetSubject: exBudgetSubject, Reason: "It has been reviewed."},
		BudgetRemoveOutput{Result: done(StatusBudgetRemoved), Budget: exBudget()}),
})

// BudgetList shows the limits and how much of them is taken.
var BudgetList = define[BudgetListInput, BudgetListOutput](Contract{
	Key: "controlPlane.budget.list", Kind: Query, Capability: CapCore, Auth: User,
	CLI: "writ budget list", Title: "List budgets", Idempotent: true,
	Description: "Lists the budgets of the caller's tenant: how much is used, reserved by calls under way, and left, and when they begin again.",
	Goal:        "See what may still be done, and why something was refused.",
	Context:     "At any time.",
	PII:         []string{"output.items.subject", "output.items.reason", "output.items.by", "output.items.taken.subject"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such tenant.")},
	Examples: example(BudgetListInput{}, BudgetListOutput{
		Result: done("ok"), Items: []Budget{exBudget(BudgetTaken{Subject: "agent:bot", Used: 61, Left: 39, FreeAt: exLater})},
	}),
})
