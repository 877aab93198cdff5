package writ

import (
	"context"
	"fmt"
)

// UnsentPrefix of the documents that list messages which are not sent again by
// themselves: nobody took them, or nobody knows.
const UnsentPrefix = "unsent/"

// UnsentKey is the document of one, by when it was given up.
func UnsentKey(at Time, stream StreamID) string {
	return fmt.Sprintf("%s%020d/%s", UnsentPrefix, int64(at), stream)
}

// MessageFacts are of one thing that is to be said in a channel.
type MessageFacts struct {
	Channel ChannelName `json:"channel"`
	Key     string      `json:"key"` // one key is said once
	Thread  string      `json:"thread,omitempty"`
	Attempt int         `json:"attempt,omitempty"` // of message.sending and what came of it
	ID      string      `json:"id,omitempty"`      // message.sent: the provider's, where it gives one
	Code    Code        `json:"code,omitempty"`    // message.failed, message.indeterminate
	Message string      `json:"message,omitempty"` // why
	Again   Time        `json:"again,omitempty"`   // message.failed: when it is tried again; zero: never by itself
	Reason  string      `json:"reason,omitempty"`  // of an operator who has it sent again
}

// Saying is what is to be said at once.
type Saying struct {
	Channel ChannelName
	Thread  string
	Text    string // plain
}

// Messenger says things in channels. It exists so that tools can, without knowing any
// provider.
type Messenger interface {
	// Say says one thing and gives back the provider's id of it. CodeIndeterminate, or a
	// code that is not named here, where a request was made and nobody knows what came of
	// it. Otherwise nothing was said: CodeNotFound, CodeInvalid, CodeForbidden and
	// CodeUnauthenticated for good, CodeLimited, CodeUnavailable and CodeFrozen for now.
	Say(ctx context.Context, tenant TenantID, saying *Saying) (id string, err error)
}
