package contract

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// GrantWhy says what covers a capability, or what comes nearest.
var GrantWhy = define[GrantWhyInput, GrantWhyOutput](Contract{
	Key: "controlPlane.grant.why", Version: "1.1.0", Kind: Query, Capability: CapCore, Auth: User,
	CLI: "writ grant why", Title: "Explain a grant", Idempotent: true,
	Description: "Says which grant covers what a step of a principal would want, through which chain of delegation, until when and how often. Where nothing does, it shows the grants that come nearest with the first thing about each that does not fit, and the narrowest grant that would cover it. The policy still decides.",
	Goal:        "Understand why a step is let through or blocked for want of a grant.",
	Context:     "At any time; nothing is used up by asking.",
	PII:         []string{"input.principalId", "output.chain.principalId", "output.nearest.grant.principalId", "output.fix"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such principal.")},
	Examples: example(
		GrantWhyInput{PrincipalID: exOperator, Capability: exCapability(), Skill: exKey},
		GrantWhyOutput{Result: done("covered"), Covered: true, Nearest: []GrantMiss{}, Chain: []Grant{{GrantID: "grt_example", PrincipalID: exOperator, Capability: exCapability(), MaxRisk: writ.RiskLow}}}),
})

// GrantBreakGlass gives a grant in an emergency.
var GrantBreakGlass = define[GrantBreakGlassInput, GrantBreakGlassOutput](Contract{
	Key: "controlPlane.grant.breakglass", Version: "1.1.0", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ grant break-glass", Title: "Give a grant in an emergency", Idempotent: false,
	Description: "Gives a grant for at most an hour, with a reason. A person with the role admin or breakglass may. It is an event, stands in the status while it lasts and in the record of every step that used it, and another person must review it within a day after its end. It widens what can be reached, never what is risked: approvals stay as they are.",
	Goal:        "Let somebody act at once, where everybody sees it.",
	Context:     "In an emergency.",
	PII:         []string{"input.principalId", "input.reason"},
	Emits:       []string{EventGrantGlassBroken},
	Errors:      []Failure{on(writ.CodeNotFound, "The principal does not exist.")},
	Examples: example(
		GrantBreakGlassInput{PrincipalID: exOperator, Capability: exCapability(), For: abi.Duration(30 * time.Minute), Reason: "The site is down."},
		GrantBreakGlassOutput{Result: done("break-glass"), GrantID: "grt_example", ExpiresAt: exLater, ReviewBy: exLater.Add(24 * time.Hour)}),
})

// GrantReview closes an emergency.
var GrantReview = define[GrantReviewInput, GrantReviewOutput](Contract{
	Key: "controlPlane.grant.review", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ grant review", Title: "Review a break-glass grant", Idempotent: false,
	Description: "Closes an emergency when its grant is over. The reviewer is a person with the role admin, breakglass or approver, and neither who gave the grant nor who had it.",
	Goal:        "Have a second pair of eyes on what was done in a hurry.",
	Context:     "Within a day after the end of the grant; it is drift from then on until somebody does.",
	PII:         []string{"input.note"},
	Emits:       []string{EventGrantReviewed},
	Errors: []Failure{
		on(writ.CodeNotFound, "There is no such break-glass grant."),
		on(writ.CodeConflict, "The grant still lasts, or has been reviewed."),
	},
	Examples: example(GrantReviewInput{GrantID: "grt_example", Note: "One restart, as said."}, GrantReviewOutput{Result: done("reviewed")}),
})

func exCapability() writ.Capability {
	return writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET"}, Paths: []string{"/**"}}
}

// TokenRotate replaces the secret of a token.
var TokenRotate = define[TokenRotateInput, TokenRotateOutput](Contract{
	Key: "controlPlane.token.rotate", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ token rotate", Title: "Rotate a token", Idempotent: false,
	Description: "Makes a new secret under the same principal and capabilities. It is shown once. The old one is valid for a stated overlap, and then gone. Everybody may rotate the token that they call with.",
	Goal:        "Replace a credential without a moment in which none is valid.",
	Context:     "At any time before the token ends.",
	PII:         []string{"input.reason", "output.token", "output.principalId"},
	Errors: []Failure{
		on(writ.CodeNotFound, "There is no such token."),
		on(writ.CodeConflict, "The token has ended, or has been rotated already."),
	},
	Examples: example(TokenRotateInput{}, TokenRotateOutput{
		Result: done("rotated"), TokenID: "tok_other", Token: "writ_example", PrincipalID: "ci", ExpiresAt: exLater,
		Replaces: "tok_example", OldEndsAt: exTime.Add(10 * time.Minute),
	}),
})
