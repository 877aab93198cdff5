// Package channel is the door for chats and webhooks. What a provider signed is on
// disk before it is answered, and becomes, later and once, what its sender may do.
// Adapters know their providers; everything else is here, the same for all.
package channel

import (
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Request is what came in over HTTP. All of it is hostile until an adapter has
// verified it.
type Request struct {
	Method string
	URL    string // as the provider knows it: the public URL of this host, path and query
	Header http.Header
	Body   []byte
	At     writ.Time
}

// Answer is what a provider is told.
type Answer struct {
	Status      int
	ContentType string // empty where there is no body
	Body        []byte
}

// Receipt is what an adapter makes of a request that its provider signed.
type Receipt struct {
	// Handshake is answered at once and nothing is kept; nil: the request is a delivery.
	Handshake *Answer
	// Key is an id of the delivery inside the signed bytes, the same whenever the
	// provider tries again; empty: the body is its own key.
	Key string
	// Hints are what was not signed and Read needs all the same.
	Hints map[string]string
	// Accepted is the answer once the delivery is on disk.
	Accepted Answer
}

// Delivery is what was kept of a request.
type Delivery struct {
	Body  []byte
	Hints map[string]string
	At    writ.Time
}

// Kind says what a message is.
type Kind string

// The kinds of messages.
const (
	// Said is text of a person.
	Said Kind = "said"
	// Happened is an event of the provider's, such as an opened issue.
	Happened Kind = "happened"
	// Pressed is a button, or a form that was sent off. Press says which.
	Pressed Kind = "pressed"
	// Passing is what asks for nothing: an edit, a bot's own words, a receipt of
	// delivery. Why says which.
	Passing Kind = "passing"
)

// Message is one thing that a delivery says, in the same form for all providers.
type Message struct {
	Kind   Kind
	Why    string // of a passing one
	Sender Sender
	// Thread is where an answer belongs. What is of one thread never mixes with
	// another's.
	Thread string
	// ID is the provider's, and no other message of its thread ever has it: what comes
	// again in another delivery is taken once. Empty: it is known by its delivery alone.
	ID    string
	At    writ.Time // until when it was said at the latest, by the provider's clock; 0: it does not say
	Event string    // of one that happened: "issues.opened"
	Text  string
	// Addressed: it was said to the app and to nobody else, or names it. What was not may
	// be talk among people, which no answer interrupts.
	Addressed bool
	Press     *Press // of one that was pressed, nil otherwise
	// Metadata is what a plan may read: one JSON object.
	Metadata json.RawMessage
}

// Press is what somebody pressed. Both are the words of whoever posted the button: that
// the sender pressed it is all that the provider vouches for.
type Press struct {
	Action string `json:"action"` // what is asked: "approve"
	Value  string `json:"value"`  // of what: it names one thing, such as an approval by its digest
}

// PressOf is the press of a button to which its provider gives one id: ACTION:VALUE.
func PressOf(id string) *Press {
	action, value, _ := strings.Cut(id, ":")
	return &Press{Action: action, Value: value}
}

// Sender is who a provider says sent a message.
type Sender struct {
	ID   string // never changes and is never given to another
	Name string // for people to read
}

// Adapter is one provider: how it signs, what it sends and how it is answered.
type Adapter interface {
	// Traits are always the same.
	Traits() Traits
	// Receive holds a request against the keys of a channel: any of them counts, so
	// that a key can be replaced. CodeUnauthenticated where none of them signed it, or
	// not lately; CodeInvalid where no such provider sends this.
	Receive(r *Request, keys [][]byte) (*Receipt, error)
	// Read says what a delivery means. CodeInvalid where it is not understood.
	Read(d *Delivery) ([]Message, error)
}

// Traits are what is known of a provider before anything was sent.
type Traits struct {
	Provider string // the segment of the path: "github"
	Title    string
	Methods  []string // with which it calls
	MaxBody  int64    // bytes
	// Writes: what a person writes in a Field comes with the button that they press.
	Writes bool
	// Batched: one delivery may have messages of many threads, which another has, too.
	Batched bool
	// Marks are characters that stand around text which is shown in another way, without them:
	// there is no way to have them shown. Empty: there are none.
	Marks string
}

// Challenger is an adapter whose provider asks, before it sends anything, whether the
// URL knows the token that somebody gave to the provider with it.
type Challenger interface {
	// Token is the one to give, made of a key of the channel. It verifies nothing else,
	// and says nothing about the key.
	Token(key []byte) string
}

// Sampler makes requests as its provider would, for trying a channel out.
type Sampler interface {
	// Samples names them, sorted.
	Samples() []string
	// Sample is a signed request. CodeNotFound for a name that is not of Samples.
	Sample(name string, key []byte, at writ.Time) (*Request, error)
}

// Signed reports whether one of the signatures is by one of the keys. It takes the
// same time whichever is. An empty key would be everybody's, and is nobody's.
func Signed(keys, signatures [][]byte, sign func(key []byte) []byte) bool {
	found := false
	for _, key := range keys {
		if len(key) == 0 {
			continue
		}
		right := sign(key)
		for _, signature := range signatures {
			if hmac.Equal(right, signature) {
				found = true
			}
		}
	}
	return found
}

// Within is the end of a second of Unix time, in which a provider says that something was
// said; 0 for what is none.
func Within(seconds int64) writ.Time {
	if seconds <= 0 || seconds > 1<<33 {
		return 0
	}
	return canon.TimeOf(time.Unix(seconds+1, -1))
}

// Object is the canonical form of a body that is a JSON object. CodeInvalid, in few words
// however long a name in it is.
func Object(provider string, body []byte) (json.RawMessage, error) {
	whole, err := canon.JSON(body)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, provider, "the body is not JSON: %s", writ.Clip(err.Error(), maxName))
	}
	if whole[0] != '{' {
		return nil, writ.Errorf(writ.CodeInvalid, provider, "the body is no JSON object")
	}
	return whole, nil
}

// SampleBody is a sample that has the time at its one %q, so that no two are the same
// delivery. CodeNotFound.
func SampleBody(samples map[string]string, name string, at writ.Time) ([]byte, error) {
	text, ok := samples[name]
	if !ok {
		return nil, writ.Errorf(writ.CodeNotFound, "sample", "there is no sample %q", writ.Clip(name, maxName))
	}
	return fmt.Appendf(nil, text, at.String()), nil
}

// SampleNames are those of samples, sorted.
func SampleNames(samples map[string]string) []string { return slices.Sorted(maps.Keys(samples)) }
