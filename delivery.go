package writ

import (
	"fmt"
	"strings"
)

// DeliveredPrefix of the documents that list deliveries which were handled.
const DeliveredPrefix = "delivered/"

// DeliveredKey is the document of one, by when it was handled.
func DeliveredKey(at Time, stream StreamID) string {
	return fmt.Sprintf("%s%020d/%s", DeliveredPrefix, int64(at), stream)
}

// DeliveryFacts are of one request that a channel's provider signed.
type DeliveryFacts struct {
	Channel ChannelName `json:"channel"`
	// Key is the provider's id of it, where that is inside the signed bytes; otherwise
	// the digest of the body. One key is taken once.
	Key string `json:"key"`
	// Hints are what the provider says beside the body and did not sign, such as the
	// kind of event: never more than a hint.
	Hints    map[string]string `json:"hints,omitempty"`
	Outcomes []DeliveryOutcome `json:"outcomes,omitempty"` // delivery.handled, one of each message; delivery.answered, one
}

// DeliveryStatus is what came of a message.
type DeliveryStatus string

// The statuses of a message.
const (
	// DeliverySubmitted: it became the intent of an execution.
	DeliverySubmitted DeliveryStatus = "submitted"
	// DeliveryIgnored: it asks for nothing, such as what a bot said.
	DeliveryIgnored DeliveryStatus = "ignored"
	// DeliveryRefused: its sender may not, or nothing here is meant by it.
	DeliveryRefused DeliveryStatus = "refused"
	// DeliveryDecided: a person's word about what was asked was taken.
	DeliveryDecided DeliveryStatus = "decided"
	// DeliveryAnswered: a member was told what they asked of the host itself, or how an
	// execution goes that they asked for.
	DeliveryAnswered DeliveryStatus = "answered"
)

// DeliveryOutcome is what came of one message of a delivery.
type DeliveryOutcome struct {
	Status    DeliveryStatus `json:"status"`
	Kind      string         `json:"kind,omitempty"`   // of the message
	Sender    string         `json:"sender,omitempty"` // the provider's id of who sent it
	Principal PrincipalID    `json:"principal,omitempty"`
	Execution ExecutionID    `json:"execution,omitempty"`
	Code      Code           `json:"code,omitempty"`
	Message   string         `json:"message,omitempty"` // why, where it was not submitted
	Answer    string         `json:"answer,omitempty"`  // what is said in the thread
}

// ChannelName names a channel of a tenant: its provider and the name that an admin
// gave it, "github/acme".
type ChannelName string

// Key is the channel as intents and freezes name it: "github:acme".
func (n ChannelName) Key() string { return strings.Replace(string(n), "/", ":", 1) }
