package contract

import "github.com/writ-run/writ"

var exFreeze = FreezeInput{FreezeSubject: FreezeSubject{PrincipalID: "agent:bot"}, Reason: "It sends the same mail again and again."}

func exFrozen() Frozen {
	return Frozen{Scope: writ.FreezePrincipal, Subject: "agent:bot", Mode: writ.FreezeWait, Reason: exFreeze.Reason, By: "human:ada", At: exTime}
}

// Freeze is the kill switch.
var Freeze = define[FreezeInput, FreezeOutput](Contract{
	Key: "controlPlane.freeze", Version: "1.0.2", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ freeze", Title: "Freeze", Idempotent: true,
	Description: "Holds everything, the tenant, a channel, a principal or a skill: no step of it begins, a running one makes no further tool call, and no intent of it is taken. A call under way is waited for and its answer kept. Frozen work waits and goes on by itself when nothing freezes it any more, or fails, as mode says; what undoes a failed execution waits in both. Deadlines of approvals go on; the time of steps does not. Freezing the same again replaces mode and reason. Of a freeze of everything other tenants see that the host did it, not who and why.",
	Goal:        "Stop at once what does harm, before it is known why.",
	Context:     "At any time. It is durable and in force when it is answered, and outlasts a restart.",
	PII:         []string{"input.principalId", "input.channelKey", "input.reason", "output.freeze.subject", "output.freeze.reason", "output.freeze.by"},
	Errors:      []Failure{on(writ.CodeConflict, "A thousand things are frozen already: freeze the tenant instead.")},
	Emits:       []string{EventFreezeChanged, EventStepFrozen, EventStepFailed},
	Examples:    example(exFreeze, FreezeOutput{Result: done(StatusFrozen), Freeze: exFrozen()}),
})

// Unfreeze takes one freeze back.
var Unfreeze = define[UnfreezeInput, UnfreezeOutput](Contract{
	Key: "controlPlane.unfreeze", Version: "1.0.1", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ unfreeze", Title: "Unfreeze", Idempotent: false,
	Description: "Takes one freeze back, named as it was frozen. What nothing else freezes goes on by itself, from where it was held: its steps are judged again first. The answer says what is frozen still.",
	Goal:        "Let go on what was held, once its cause is out of the way.",
	Context:     "After freeze.",
	PII:         []string{"input.principalId", "input.channelKey", "input.reason", "output.subject", "output.remaining.subject", "output.remaining.reason", "output.remaining.by"},
	Errors:      []Failure{on(writ.CodeNotFound, "It is not frozen under this name; another freeze may cover it.")},
	Emits:       []string{EventFreezeChanged, EventStepThawed},
	Examples: example(UnfreezeInput{FreezeSubject: exFreeze.FreezeSubject, Reason: "Its prompt is mended."},
		UnfreezeOutput{Result: done(StatusUnfrozen), Scope: writ.FreezePrincipal, Subject: "agent:bot", Remaining: []Frozen{}}),
})

// FreezeList shows what is frozen.
var FreezeList = define[FreezeListInput, FreezeListOutput](Contract{
	Key: "controlPlane.freeze.list", Kind: Query, Capability: CapCore, Auth: User,
	CLI: "writ freeze list", Title: "List what is frozen", Idempotent: true,
	Description: "Lists what is frozen, by whom, since when and why, the widest first.",
	Goal:        "Know why work does not go on.",
	Context:     "At any time.",
	PII:         []string{"output.items.subject", "output.items.reason", "output.items.by"},
	Examples:    example(FreezeListInput{}, FreezeListOutput{Result: done("ok"), Items: []Frozen{exFrozen()}}),
})
