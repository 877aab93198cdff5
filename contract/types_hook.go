package contract

import (
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// HookStatus is how a hook is.
type HookStatus string

// The statuses.
const (
	HookActive   HookStatus = "active"
	HookFailing  HookStatus = "failing"  // the event it stands at was not taken, and is sent again
	HookDisabled HookStatus = "disabled" // the receiver is gone: nothing is sent until it is configured anew
)

// HookListInput is the input of HookList.
type HookListInput struct {
	Name string `json:"name,omitempty" jsonschema:"Only this hook."`
}

// HookListOutput is the output of HookList, by name.
type HookListOutput struct {
	Result
	Items []Hook `json:"items"`
}

// Hook is one notification hook of the configuration and how far it has come.
type Hook struct {
	Name          string        `json:"name"`
	Target        string        `json:"target" jsonschema:"Scheme and host of its URL. The rest may be a credential of the receiver."`
	Events        []string      `json:"events"`
	AllowPrivate  bool          `json:"allowPrivate,omitempty" jsonschema:"Its receiver may be in the house."`
	State         HookStatus    `json:"state"`
	Cursor        writ.Position `json:"cursor" jsonschema:"Position of the last record that it is done with."`
	Behind        writ.Position `json:"behind" jsonschema:"How many positions the tenant's journals reach beyond the cursor; 0 where nothing is left to look at. Most are of no event of the hook, and those of other tenants are counted."`
	Pending       *HookPending  `json:"pending,omitempty" jsonschema:"The event that it stands at."`
	Failure       *HookFailure  `json:"failure,omitempty" jsonschema:"Of the last attempt, where that did not succeed."`
	NextAttemptAt writ.Time     `json:"nextAttemptAt,omitempty"`
	Delivered     uint64        `json:"delivered" jsonschema:"Events that were taken. After a crash one may be counted twice, as it may be sent twice."`
	DeliveredAt   writ.Time     `json:"deliveredAt,omitempty"`
	DeadLetters   []HookLetter  `json:"deadLetters" jsonschema:"Events that were given up, oldest first, 100 at most."`
	DeadTotal     uint64        `json:"deadTotal,omitempty" jsonschema:"How many were given up since they were last redelivered or dismissed, those included that are not listed any more."`
}

// HookPending is an event that was tried and not taken yet.
type HookPending struct {
	EventID  string        `json:"eventId"`
	Type     string        `json:"type"`
	Position writ.Position `json:"position"`
	Attempts int           `json:"attempts"`
	Since    writ.Time     `json:"since"`
}

// HookFailure is why an attempt did not succeed.
type HookFailure struct {
	Code       writ.Code `json:"code"`
	Message    string    `json:"message"`
	Fix        string    `json:"fix,omitempty"`
	StatusCode int       `json:"statusCode,omitempty" jsonschema:"Of the answer; absent where there was none."`
	At         writ.Time `json:"at"`
}

// HookLetter is an event that was given up.
type HookLetter struct {
	EventID     string           `json:"eventId"`
	Type        string           `json:"type"`
	ExecutionID writ.ExecutionID `json:"executionId,omitempty"`
	Position    writ.Position    `json:"position"`
	Attempts    int              `json:"attempts"`
	Failure     HookFailure      `json:"failure"`
}

// HookTestInput is the input of HookTest.
type HookTestInput struct {
	Name string `json:"name"`
}

// HookTestOutput is the output of HookTest. Status is delivered or refused.
type HookTestOutput struct {
	Result
	EventID    string       `json:"eventId" jsonschema:"The webhook-id of the sample."`
	Delivered  bool         `json:"delivered"`
	StatusCode int          `json:"statusCode,omitempty" jsonschema:"Of the answer; absent where there was none."`
	Took       abi.Duration `json:"took"`
	Signatures int          `json:"signatures" jsonschema:"More than one while the secret's old value is kept."`
	Failure    *HookFailure `json:"failure,omitempty"`
}

// HookRedeliverInput is the input of HookRedeliver.
type HookRedeliverInput struct {
	Name   string        `json:"name"`
	From   writ.Position `json:"from,omitempty" jsonschema:"The first position to send again; absent: of the oldest event that was given up, or else of the one that the hook stands at."`
	Reason string        `json:"reason,omitempty"`
}

// HookRedeliverOutput is the output of HookRedeliver.
type HookRedeliverOutput struct {
	Result
	Cursor writ.Position `json:"cursor" jsonschema:"What comes after it is sent again."`
}

// HookDismissInput is the input of HookDismiss.
type HookDismissInput struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

// HookDismissOutput is the output of HookDismiss.
type HookDismissOutput struct {
	Result
	Dismissed uint64 `json:"dismissed" jsonschema:"How many events will not be sent by this hook."`
}

// HookMeters are all hooks of the host in numbers, for /metrics. No name is among them:
// whoever reads them may be of another tenant.
type HookMeters struct {
	States      map[HookStatus]int
	Behind      writ.Position // of the one that is furthest behind
	DeadLetters uint64
	Failing     float64           // seconds since the event that one stands at was first tried, the longest; 0: none
	Attempts    map[string]uint64 // by outcome, since the start
}
