package contract

import "github.com/writ-run/writ"

// Channel is a way in: a provider, and what its people and events may ask for here.
type Channel struct {
	Name    writ.ChannelName `json:"name" jsonschema:"PROVIDER/NAME, such as github/acme."`
	Secrets []string         `json:"secrets" jsonschema:"Names in the secret store of what the provider signs with. Each counts, so that one can replace the other: one or two."`
	// Token lets the host speak for the bot.
	Token    string           `json:"token,omitempty" jsonschema:"Name in the secret store of the token with which the host says something there; empty: it says nothing."`
	Decides  bool             `json:"decides,omitempty" jsonschema:"Members who are people decide approvals there, below high risk, as the roles of their principals allow."`
	AskIn    string           `json:"askIn,omitempty" jsonschema:"Thread in which the tenant's people are told of every approval that waits, private data included; empty: none."`
	Members  []ChannelMember  `json:"members,omitempty"`
	Triggers []ChannelTrigger `json:"triggers,omitempty"`
	// Unmapped people are told that they may not, or told nothing.
	Unmapped ChannelUnmapped `json:"unmapped,omitempty" jsonschema:"refuse (default): whoever is no member is told so. ignore: is told nothing."`
}

// ChannelMember says who a sender is here.
type ChannelMember struct {
	Sender      string           `json:"sender" jsonschema:"The provider's id of the sender; a star: anybody."`
	PrincipalID writ.PrincipalID `json:"principalId"`
}

// ChannelTrigger is what an event sets off.
type ChannelTrigger struct {
	Event  string `json:"event" jsonschema:"As the provider names it, such as issues.opened; a star at the end: all that begin so."`
	Draft  string `json:"draft" jsonschema:"Text of the draft (apiVersion writ/v1, kind Plan, YAML); its intent has the event's data in its metadata."`
	Answer bool   `json:"answer,omitempty" jsonschema:"Say in the event's thread what came of it."`
}

// ChannelUnmapped says what senders get who are no members.
type ChannelUnmapped string

// What senders get who are no members.
const (
	UnmappedRefuse ChannelUnmapped = "refuse"
	UnmappedIgnore ChannelUnmapped = "ignore"
)

// Statuses of a channel that changed.
const (
	ChannelAdded    = "added"
	ChannelReplaced = "replaced"
	ChannelRemoved  = "removed"
	ChannelTesting  = "testing" // something is about to be said
	ChannelTested   = "tested"
)

// ChannelAddInput is the input of ChannelAdd.
type ChannelAddInput struct {
	Channel
	Reason string `json:"reason,omitempty"`
}

// ChannelAddOutput is the output of ChannelAdd.
type ChannelAddOutput struct {
	Result
	URL string `json:"url" jsonschema:"Where the provider is to send to; only the path where the host has no publicUrl."`
	// VerifyToken is made of the first secret and lets nobody send anything.
	VerifyToken string `json:"verifyToken,omitempty" jsonschema:"What to give to the provider with the URL, where it asks for a verify token."`
}

// ChannelRemoveInput is the input of ChannelRemove.
type ChannelRemoveInput struct {
	Name   writ.ChannelName `json:"name"`
	Reason string           `json:"reason,omitempty"`
}

// ChannelRemoveOutput is the output of ChannelRemove.
type ChannelRemoveOutput struct {
	Result
}

// ChannelListInput is the input of ChannelList.
type ChannelListInput struct{}

// ChannelListOutput is the output of ChannelList, by name.
type ChannelListOutput struct {
	Result
	Items []ChannelItem `json:"items"`
}

// ChannelItem is a channel and how it is.
type ChannelItem struct {
	Channel
	URL         string `json:"url"`
	VerifyToken string `json:"verifyToken,omitempty" jsonschema:"What to give to the provider with the URL, where it asks for a verify token."`
	Problem     string `json:"problem,omitempty" jsonschema:"Why it cannot verify what it is sent."`
}

// ChannelSimulateInput is the input of ChannelSimulate.
type ChannelSimulateInput struct {
	Name   writ.ChannelName `json:"name"`
	Sample string           `json:"sample" jsonschema:"One of those that the provider's adapter has, such as issues.opened."`
}

// ChannelSimulateOutput is the output of ChannelSimulate.
type ChannelSimulateOutput struct {
	Result
	HTTPStatus int                    `json:"httpStatus" jsonschema:"What the provider would have been answered."`
	Outcomes   []writ.DeliveryOutcome `json:"outcomes" jsonschema:"What came of it, as far as it has been handled."`
}

// ChannelEvent is the data of controlPlane.channel.changed.
type ChannelEvent struct {
	Name   writ.ChannelName `json:"name"`
	Status string           `json:"status"`
	Reason string           `json:"reason,omitempty"`
}

// DeliveryEvent is the data of controlPlane.channel.received, .handled and .answered.
type DeliveryEvent struct {
	DeliveryID string                 `json:"deliveryId"`
	Channel    writ.ChannelName       `json:"channel"`
	Outcomes   []writ.DeliveryOutcome `json:"outcomes,omitempty"`
}

func deliveryEvent(r *writ.Record, f *writ.DeliveryFacts) (string, any) {
	data := &DeliveryEvent{DeliveryID: string(r.Stream), Channel: f.Channel, Outcomes: f.Outcomes}
	switch r.Type {
	case writ.RecDeliveryReceived:
		return EventChannelReceived, data
	case writ.RecDeliveryHandled:
		return EventChannelHandled, data
	case writ.RecDeliveryAnswered:
		return EventChannelAnswered, data
	}
	return "", nil
}

// ChannelMeters are all channels of the host in numbers, for /metrics.
type ChannelMeters struct {
	Waiting  int64                          // on disk and not handled
	Repeated uint64                         // sent again by a provider, since the start
	Messages map[writ.DeliveryStatus]uint64 // handled since the start
	Unsaid   int64                          // messages on disk that wait to be said
	GivenUp  int64                          // and those about which somebody has to decide
}
