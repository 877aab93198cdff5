// Package channeltest holds every adapter to the same promises: what it verifies, what
// it makes of a message, and that nothing hostile gets further than a clear refusal.
package channeltest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

// Suite is an adapter and what its provider sends.
type Suite struct {
	Adapter interface {
		channel.Adapter
		channel.Sampler
	}
	Key []byte // a secret as the provider gives it
	// Vectors are requests with signatures that the provider's own documents print; of a
	// bearer, with a body that they print.
	Vectors []Vector
	// Sign signs anything as the provider would, at a time.
	Sign func(key, body []byte, at time.Time) *channel.Request
	// Timed: the signature covers a time.
	Timed bool
	// Text is the body of a message of a sender in a thread.
	Text func(thread, sender, text string) []byte
	// Passing are other bodies that ask for nothing, by what they are.
	Passing map[string][]byte

	// Bearer: the secret itself comes along, and nothing is signed.
	Bearer bool
	// Direct: a thread is one sender's, and never has another in it.
	Direct bool
	// Retry is how the provider sends again what it sent before: nil, it signs it anew.
	Retry func(key []byte, first *channel.Request, at time.Time) *channel.Request

	// Of providers that have such a thing:

	// Edits are of what was said before, with a command in it. Echoes are what the app
	// itself, or another, said or did.
	Edits, Echoes map[string][]byte
	// Place is a message of a thread of one place, such as a topic of a group. Both are
	// named by digits.
	Place      func(place, thread, sender, text string) []byte
	Handshakes []Handshake
	// Challenge asks whether the token of a key is known here.
	Challenge func(key []byte, challenge string) *channel.Request
	// Attached is the body of a message with a file of that name.
	Attached func(text, file string) []byte
	// Opening is a message that begins a thread, where one that answers has another
	// form: nil, it is Text.
	Opening func(thread, sender, text string) []byte
	// Numbered is a message of a sender whose id is a number.
	Numbered func(id string) []byte
	// Pressed is a button under a message of a thread.
	Pressed func(thread, sender, action, value string) []byte
	// Written is the same, of a message with a field, and what was written there.
	Written func(thread, sender, action, value, text string) []byte
	// Batch is one delivery with what all of the bodies say.
	Batch func(bodies ...[]byte) []byte
}

// Handshake is what a provider asks when it is told of a channel.
type Handshake struct {
	Name, Answer string
	Body         []byte
}

// Vector is a request that a document prints, and the key with which it was signed.
type Vector struct {
	Name    string
	Key     []byte
	Request *channel.Request
}

// Now is the time of the suite.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Run holds the adapter to all of it. What its provider has not is no case.
func Run(t *testing.T, s *Suite) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, *Suite)
		not  bool
	}{
		{name: "signature vectors of the documents", test: vectors},
		{name: "wrong signatures", test: wrongSignatures},
		{name: "missing signatures", test: missingSignatures},
		{name: "truncated signatures", test: truncatedSignatures},
		{name: "replayed signatures", test: replayedSignatures},
		{name: "stale timestamps", test: staleTimestamps, not: !s.Timed},
		{name: "unsigned requests", test: nothing},
		{name: "rotated keys", test: rotation},
		{name: "methods", test: methods},
		{name: "content types", test: contentTypes},
		{name: "handshakes", test: handshakes},
		{name: "verification of the URL", test: challenge, not: s.Challenge == nil},
		{name: "delivery keys", test: keys},
		{name: "retries and duplicates", test: sentAgain},
		{name: "out-of-order delivery", test: outOfOrder},
		{name: "batches", test: batches},
		{name: "threads", test: threads},
		{name: "threads of two places", test: places, not: s.Place == nil},
		{name: "edits", test: edits, not: len(s.Edits) == 0},
		{name: "bot echoes", test: echoes, not: len(s.Echoes) == 0},
		{name: "what else passes by", test: passing, not: len(s.Passing) == 0},
		{name: "attachments", test: files, not: s.Attached == nil},
		{name: "emoji", test: emoji},
		{name: "right-to-left text", test: rightToLeft},
		{name: "odd text", test: oddText},
		{name: "bodies of 1 MiB", test: large},
		{name: "malformed bodies", test: malformed},
		{name: "hostile bodies", test: hostileBodies},
		{name: "hostile headers", test: hostileHeaders},
		{name: "ids that are numbers", test: numbers, not: s.Numbered == nil},
		{name: "buttons", test: buttons, not: s.Pressed == nil},
		{name: "buttons pressed twice", test: pressedTwice, not: s.Pressed == nil},
		{name: "buttons with a reason", test: reasons, not: s.Written == nil},
		{name: "samples", test: samples},
	} {
		if !c.not {
			t.Run(c.name, func(t *testing.T) { c.test(t, s) })
		}
	}
}

func at(r *channel.Request, now time.Time) *channel.Request {
	r.At = canon.TimeOf(now)
	return r
}

func (s *Suite) receive(t *testing.T, r *channel.Request, keys ...[]byte) (*channel.Receipt, error) {
	t.Helper()
	receipt, err := s.Adapter.Receive(r, keys)
	if err == nil && receipt == nil {
		t.Fatal("no receipt and no error")
	}
	return receipt, err
}

// refused demands that a request is not taken, with a code that says so.
func (s *Suite) refused(t *testing.T, what string, r *channel.Request, keys ...[]byte) {
	t.Helper()
	if _, err := s.receive(t, r, keys...); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Errorf("%s: %v, want %s", what, err, writ.CodeUnauthenticated)
	}
}

func (s *Suite) said(t *testing.T, thread, sender, words string) channel.Message {
	t.Helper()
	r := at(s.Sign(s.Key, s.Text(thread, sender, words), Now), Now)
	receipt, err := s.receive(t, r, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	return s.read(t, r, receipt)
}

// read demands the one message of a delivery.
func (s *Suite) read(t *testing.T, r *channel.Request, receipt *channel.Receipt) channel.Message {
	t.Helper()
	messages, err := s.Adapter.Read(&channel.Delivery{Body: r.Body, Hints: receipt.Hints, At: r.At})
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	return messages[0]
}

// vectors are of the provider's own documents.
func vectors(t *testing.T, s *Suite) {
	if len(s.Vectors) == 0 {
		t.Fatal("no vector of the provider's own documents")
	}
	for _, v := range s.Vectors {
		if _, err := s.receive(t, v.Request, v.Key); err != nil && !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %v", v.Name, err) // what is signed need not be an event
		}
		s.refused(t, v.Name+" with another key", v.Request, []byte("another"))
	}
}

func samples(t *testing.T, s *Suite) {
	names := s.Adapter.Samples()
	if len(names) == 0 {
		t.Fatal("there are none")
	}
	for _, name := range names {
		var keys []string
		for i := range 2 {
			r, err := s.Adapter.Sample(name, s.Key, canon.TimeOf(Now.Add(time.Duration(i)*time.Millisecond)))
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := s.receive(t, r, s.Key)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if receipt.Handshake != nil {
				keys = append(keys, r.URL+string(r.Body))
				continue
			}
			Read(t, s.Adapter, r.Body, receipt.Hints)
			if _, err := s.Adapter.Read(&channel.Delivery{Body: r.Body, Hints: receipt.Hints, At: r.At}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			keys = append(keys, keyOf(receipt, r))
		}
		if keys[0] == keys[1] {
			t.Errorf("%s: two of them are one delivery", name)
		}
	}
	if _, err := s.Adapter.Sample("none", s.Key, canon.TimeOf(Now)); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("a sample that is none: %v", err)
	}
}

// keys: two deliveries have two keys, even of the same words.
func keys(t *testing.T, s *Suite) {
	one, err := s.receive(t, at(s.Sign(s.Key, s.Text("t1", "u1", "hello"), Now), Now), s.Key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.receive(t, at(s.Sign(s.Key, s.Text("t2", "u1", "hello"), Now.Add(time.Second)), Now), s.Key)
	if err != nil {
		t.Fatal(err)
	}
	if one.Key != "" && one.Key == other.Key {
		t.Errorf("both have the key %q", one.Key)
	}
	if status := one.Accepted.Status; status < 200 || status > 299 {
		t.Errorf("a delivery that was taken is answered with %d", status)
	}
}

func emoji(t *testing.T, s *Suite) {
	for _, words := range []string{"🦉 done", "👩‍👩‍👧👍🏽", "🇨🇭", "\u2764\ufe0f", "\U0010fffd"} {
		s.keeps(t, words)
	}
}

func rightToLeft(t *testing.T, s *Suite) {
	for _, words := range []string{"שלום", "مرحبا بالعالم", "abc שלום \u202eabc\u202c עולם", "\u2067x\u2069\u200f"} {
		s.keeps(t, words)
	}
}

func oddText(t *testing.T, s *Suite) {
	for _, words := range []string{"e\u0301 n\u0303", `"'<>&\` + "\n\ttab", "a\u0000b", "\ufeffx", "\ufffd", "a\u2028b\u0085c"} {
		s.keeps(t, words)
	}
}

// keeps demands that words come through as they were written, from whom the provider says.
func (s *Suite) keeps(t *testing.T, words string) {
	t.Helper()
	m := s.said(t, "t1", "u1", words)
	if m.Text != words || m.Sender.ID != "u1" && !strings.HasSuffix(m.Sender.ID, "1") && m.Sender.ID != "sender" {
		t.Errorf("%q of %q, want %q", m.Text, m.Sender.ID, words)
	}
	if !json.Valid(m.Metadata) || m.Metadata[0] != '{' {
		t.Errorf("%q: the metadata is no object: %s", words, m.Metadata)
	}
}

// threads: what is of one never mixes with another's.
func threads(t *testing.T, s *Suite) {
	seen := map[string]string{}
	for _, thread := range []string{"1", "2", "12", "1/2"} {
		m := s.said(t, thread, "u1", "hello")
		if m.Thread == "" || seen[m.Thread] != "" {
			t.Errorf("%s and %s are the thread %q", thread, seen[m.Thread], m.Thread)
		}
		seen[m.Thread] = thread
		if again := s.said(t, thread, "u1", "other words"); again.Thread != m.Thread {
			t.Errorf("%s is the thread %q and then %q", thread, m.Thread, again.Thread)
		}
		if another := s.said(t, thread, "u2", "hello"); (another.Thread == m.Thread) == s.Direct {
			t.Errorf("%s is the thread %q, and with another sender %q", thread, m.Thread, another.Thread)
		}
	}
}

// places: a topic of one group has the same number as a topic of another, and a name of a
// place may begin as another's.
func places(t *testing.T, s *Suite) {
	seen := map[string]string{}
	for _, at := range [][2]string{{"1", "3"}, {"1", "23"}, {"12", "3"}, {"12", "23"}} {
		m := s.one(t, s.Place(at[0], at[1], "u1", "hello"))
		if was, twice := seen[m.Thread]; twice || m.Thread == "" {
			t.Errorf("thread %s of place %s and %s are %q", at[1], at[0], was, m.Thread)
		}
		seen[m.Thread] = "thread " + at[1] + " of place " + at[0]
		if again := s.one(t, s.Place(at[0], at[1], "u1", "again")); again.Thread != m.Thread {
			t.Errorf("%s is %q and then %q", seen[m.Thread], m.Thread, again.Thread)
		}
	}
}

// one is the one message of a signed body.
func (s *Suite) one(t *testing.T, body []byte) channel.Message {
	t.Helper()
	messages := s.heard(t, body)
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	return messages[0]
}

// edits: what somebody made of their words later is nothing that they say or press.
func edits(t *testing.T, s *Suite) {
	for what, body := range s.Edits {
		for _, m := range s.heard(t, body) {
			if m.Kind != channel.Passing && m.Kind != channel.Happened {
				t.Errorf("%s is %s", what, m.Kind)
			}
		}
	}
}

func echoes(t *testing.T, s *Suite) { s.pass(t, s.Echoes) }

func passing(t *testing.T, s *Suite) { s.pass(t, s.Passing) }

func (s *Suite) pass(t *testing.T, bodies map[string][]byte) {
	t.Helper()
	for what, body := range bodies {
		for _, m := range s.heard(t, body) {
			if m.Kind != channel.Passing || m.Why == "" {
				t.Errorf("%s is %s: %q", what, m.Kind, m.Why)
			}
		}
	}
}

// Body is JSON of a format with values in it.
func Body(format string, values ...string) []byte {
	quoted := make([]any, len(values))
	for i, v := range values {
		raw, _ := json.Marshal(v) // text always encodes
		quoted[i] = raw
	}
	return fmt.Appendf(nil, format, quoted...)
}
