package contract

import "github.com/writ-run/writ"

// MessageStatus says where a message stands that is to be said in a channel.
type MessageStatus string

// The statuses of a message.
const (
	MessageWaiting MessageStatus = "waiting"
	MessageSent    MessageStatus = "sent"
	// MessageFailed: nobody took it, and it is not tried again by itself.
	MessageFailed MessageStatus = "failed"
	// MessageIndeterminate: a request was made, and nobody knows what came of it.
	MessageIndeterminate MessageStatus = "indeterminate"
	MessageDropped       MessageStatus = "dropped"
	MessageQueued        MessageStatus = "queued"
)

// ChannelOutboxInput is the input of ChannelOutbox.
type ChannelOutboxInput struct {
	Name writ.ChannelName `json:"name,omitempty" jsonschema:"Only of this channel."`
}

// ChannelOutboxOutput is the output of ChannelOutbox: what was given up first, then what
// waits, each in the order of time.
type ChannelOutboxOutput struct {
	Result
	Items []ChannelMessage `json:"items"`
	More  bool             `json:"more,omitempty" jsonschema:"There are more than are shown."`
}

// ChannelMessage is something that is to be said. Its text is not shown.
type ChannelMessage struct {
	MessageID string           `json:"messageId"`
	Channel   writ.ChannelName `json:"channel"`
	Thread    string           `json:"thread,omitempty"`
	Status    MessageStatus    `json:"status"`
	Attempt   int              `json:"attempt,omitempty" jsonschema:"Requests that were begun."`
	Code      writ.Code        `json:"code,omitempty" jsonschema:"Why it was not said at the last attempt; frozen: it waits until nothing holds its channel."`
	Why       string           `json:"why,omitempty"`
	Since     writ.Time        `json:"since" jsonschema:"When it was queued, or given up."`
	Again     writ.Time        `json:"again,omitempty" jsonschema:"When it is tried next."`
}

// ChannelResendInput is the input of ChannelResend.
type ChannelResendInput struct {
	MessageID string `json:"messageId"`
	Reason    string `json:"reason,omitempty"`
}

// ChannelResendOutput is the output of ChannelResend.
type ChannelResendOutput struct {
	Result
}

// ChannelDropInput is the input of ChannelDrop.
type ChannelDropInput struct {
	MessageID string `json:"messageId"`
	Reason    string `json:"reason,omitempty"`
}

// ChannelDropOutput is the output of ChannelDrop.
type ChannelDropOutput struct {
	Result
}

// ChannelTestInput is the input of ChannelTest.
type ChannelTestInput struct {
	Name   writ.ChannelName `json:"name"`
	Thread string           `json:"thread" jsonschema:"Where to say it, as messages of the channel name their thread."`
}

// ChannelTestOutput is the output of ChannelTest. What the provider refuses is no error
// of the operation: code and why say it.
type ChannelTestOutput struct {
	Result
	ID   string    `json:"id,omitempty" jsonschema:"The provider's id of what was said."`
	Code writ.Code `json:"code,omitempty"`
	Why  string    `json:"why,omitempty"`
	Fix  string    `json:"fix,omitempty"`
}

// MessageEvent is the data of controlPlane.channel.message.*.
type MessageEvent struct {
	MessageID string           `json:"messageId"`
	Channel   writ.ChannelName `json:"channel"`
	Thread    string           `json:"thread,omitempty"`
	Attempt   int              `json:"attempt,omitempty"`
	ID        string           `json:"id,omitempty" jsonschema:"The provider's, of one that was sent."`
	Code      writ.Code        `json:"code,omitempty"`
	Why       string           `json:"why,omitempty"`
	Again     writ.Time        `json:"again,omitempty" jsonschema:"When it is tried again; without it never by itself."`
	Reason    string           `json:"reason,omitempty" jsonschema:"Of an operator."`
}

var messageEvents = map[writ.RecordType]string{
	writ.RecMessageQueued: EventMessageQueued, writ.RecMessageSent: EventMessageSent, writ.RecMessageFailed: EventMessageFailed,
	writ.RecMessageIndeterminate: EventMessageIndeterminate, writ.RecMessageDropped: EventMessageDropped,
}

func messageEvent(r *writ.Record, f *writ.MessageFacts) (string, any) {
	key, ok := messageEvents[r.Type]
	if !ok {
		return "", nil
	}
	return key, &MessageEvent{
		MessageID: string(r.Stream), Channel: f.Channel, Thread: f.Thread, Attempt: f.Attempt, ID: f.ID,
		Code: f.Code, Why: f.Message, Again: f.Again, Reason: f.Reason,
	}
}
