package contract

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func noHook() Failure { return on(writ.CodeNotFound, "There is no hook of this name.") }

// HookList shows the notification hooks.
var HookList = define[HookListInput, HookListOutput](Contract{
	Key: "controlPlane.hook.list", Kind: Query, Capability: CapCore, Auth: Operator,
	CLI: "writ hook list", Title: "List notification hooks", Idempotent: true,
	Description: "Lists the tenant's notification hooks with how far each has come, why the last attempt failed, when the next is made, and which events were given up. Neither the whole URL nor the secret is shown.",
	Goal:        "Know whether those outside hear of what waits for them.",
	Context:     "At any time. Hooks are made in the configuration of the host.",
	Errors:      []Failure{noHook()},
	Examples: example(HookListInput{}, HookListOutput{Result: done("ok"), Items: []Hook{{
		Name: "pager", Target: "https://hooks.example.com", Events: []string{EventApprovalRequested}, State: HookFailing, Cursor: 1041, Behind: 12,
		Pending:       &HookPending{EventID: "evt_example", Type: EventApprovalRequested, Position: 1042, Attempts: 2, Since: exTime},
		Failure:       &HookFailure{Code: writ.CodeUnavailable, Message: "the receiver answered 503", StatusCode: 503, At: exTime},
		NextAttemptAt: exLater, Delivered: 7, DeliveredAt: exTime, DeadLetters: []HookLetter{},
	}}}),
})

// HookTest sends a sample.
var HookTest = define[HookTestInput, HookTestOutput](Contract{
	Key: "controlPlane.hook.test", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ hook test", Title: "Test a notification hook", Idempotent: false,
	Description: "Sends one signed sample to the hook's receiver, in one attempt, and says what came back. Where the hook stands does not change. The record says who did it.",
	Goal:        "See that a receiver takes what it is sent, before it matters.",
	Context:     "After a hook was configured, or a secret rotated.",
	Errors:      []Failure{noHook()},
	Examples: example(HookTestInput{Name: "pager"}, HookTestOutput{
		Result: done("delivered"), EventID: "evt_example", Delivered: true, StatusCode: 204, Took: abi.Duration(38 * time.Millisecond), Signatures: 1,
	}),
})

// HookRedeliver goes back with a hook.
var HookRedeliver = define[HookRedeliverInput, HookRedeliverOutput](Contract{
	Key: "controlPlane.hook.redeliver", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ hook redeliver", Title: "Redeliver events of a hook", Idempotent: false,
	Description: "Goes back to where an event was given up, or to a position, and sends what the hook is for from there on again, each event under the webhook-id that it had. A hook that was disabled is active again. It never goes forward: nothing is left out.",
	Goal:        "Make up for what a receiver did not take.",
	Context:     "After the receiver was mended.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{noHook(), on(writ.CodeConflict, "from lies ahead of where the hook stands.")},
	Examples: example(HookRedeliverInput{Name: "pager", Reason: "Its receiver is mended."},
		HookRedeliverOutput{Result: done("redelivering"), Cursor: 977}),
})

// HookDismiss lets go of what was given up.
var HookDismiss = define[HookDismissInput, HookDismissOutput](Contract{
	Key: "controlPlane.hook.dismiss", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ hook dismiss", Title: "Dismiss dead letters of a hook", Idempotent: true,
	Description: "Takes the events that were given up from the hook's list: somebody has seen them and does not want them sent. They stay in the journals.",
	Goal:        "Have the list say what nobody has looked at yet.",
	Context:     "After reading writ hook list.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{noHook()},
	Examples:    example(HookDismissInput{Name: "pager", Reason: "The requests were decided long ago."}, HookDismissOutput{Result: done("dismissed"), Dismissed: 2}),
})
