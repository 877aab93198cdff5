// Package channeltest holds every adapter to the same promises: what it verifies, what
// it makes of a message, and that nothing hostile gets further than a clear refusal.
package channeltest

import (
	"bytes"
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
	// Passing are bodies that ask for nothing: what the bot itself said, edits,
	// receipts. By what they are.
	Passing map[string][]byte

	// Bearer: the secret itself comes along, and nothing is signed.
	Bearer bool
	// Direct: a thread is one sender's, and never has another in it.
	Direct bool
	// Retry is how the provider sends again what it sent before: nil, it signs it anew.
	Retry func(key []byte, first *channel.Request, at time.Time) *channel.Request

	// Of providers that have such a thing:

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

// Run holds the adapter to all of it.
func Run(t *testing.T, s *Suite) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *Suite){
		"vectors":           vectors,
		"samples":           samples,
		"signatures":        signatures,
		"rotation":          rotation,
		"keys":              keys,
		"text":              text,
		"threads":           threads,
		"batches":           batches,
		"methods":           methods,
		"challenge":         challenge,
		"passing":           passing,
		"hostile bodies":    hostileBodies,
		"hostile headers":   hostileHeaders,
		"a body of 1 MiB":   large,
		"nothing is signed": nothing,
		"handshakes":        handshakes,
		"content types":     contentTypes,
		"sent again":        sentAgain,
		"files":             files,
		"out of order":      outOfOrder,
		"numbers":           numbers,
		"buttons":           buttons,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
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

func signatures(t *testing.T, s *Suite) {
	body := s.Text("t1", "u1", "hello")
	good := func() *channel.Request { return at(s.Sign(s.Key, body, Now), Now) }
	first, err := s.receive(t, good(), s.Key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.receive(t, good(), s.Key)
	if err != nil || again.Key != first.Key {
		t.Errorf("sent again it has the key %q, and had %q: %v", again.Key, first.Key, err)
	}
	s.refused(t, "another key", good(), []byte("another"))
	changed := good()
	changed.Body = append(bytes.Clone(body), ' ')
	if _, err := s.receive(t, changed, s.Key); s.Bearer != (err == nil) {
		t.Errorf("another body: %v", err)
	}
	for name, values := range good().Header {
		if len(values) == 0 || !signs(s, good(), name) {
			continue
		}
		for what, value := range map[string]string{
			"missing": "", "truncated": values[0][:len(values[0])-1], "doubled": values[0] + values[0], "zeroed": strings.Repeat("0", len(values[0])),
			"half": values[0][:len(values[0])/2], "without its prefix": values[0][strings.IndexAny(values[0], "=,")+1:] + "x",
		} {
			r := good()
			r.Header[name] = []string{value}
			s.refused(t, name+" "+what, r, s.Key)
		}
	}
	if !s.Timed {
		return
	}
	const tolerated, past = 4*time.Minute + 59*time.Second, 5*time.Minute + time.Second
	for _, away := range []time.Duration{-tolerated, tolerated} {
		if _, err := s.receive(t, at(s.Sign(s.Key, body, Now), Now.Add(away)), s.Key); err != nil {
			t.Errorf("%s away: %v", away, err)
		}
	}
	for _, away := range []time.Duration{-past, past, -24 * time.Hour} {
		s.refused(t, away.String()+" away", at(s.Sign(s.Key, body, Now), Now.Add(away)), s.Key)
	}
}

// signs reports whether a header carries the signature, or what is signed.
func signs(s *Suite, r *channel.Request, name string) bool {
	r.Header = r.Header.Clone()
	delete(r.Header, name)
	_, err := s.Adapter.Receive(r, [][]byte{s.Key})
	return writ.IsCode(err, writ.CodeUnauthenticated)
}

// rotation: two keys count at once, and the old one no longer when it is taken away.
func rotation(t *testing.T, s *Suite) {
	old, fresh := s.Key, append(bytes.Clone(s.Key), 'x')
	for what, key := range map[string][]byte{"the old one": old, "the new one": fresh} {
		if _, err := s.receive(t, at(s.Sign(key, s.Text("t", "u", "x"), Now), Now), old, fresh); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.refused(t, "the old one, when it is gone", at(s.Sign(old, s.Text("t", "u", "x"), Now), Now), fresh)
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

func text(t *testing.T, s *Suite) {
	for what, words := range map[string]string{
		"emoji": "🦉👩‍👩‍👧 done", "right to left": "שלום \u202eabc\u202c עולם", "combining": "e\u0301 n\u0303", "quotes": `"'<>&\` + "\n\ttab", "zero": "a\u0000b",
	} {
		m := s.said(t, "t1", "u1", words)
		if m.Text != words || m.Sender.ID != "u1" && !strings.HasSuffix(m.Sender.ID, "1") && m.Sender.ID != "sender" {
			t.Errorf("%s: %q of %q, want %q", what, m.Text, m.Sender.ID, words)
		}
		if !json.Valid(m.Metadata) || m.Metadata[0] != '{' {
			t.Errorf("%s: the metadata is no object: %s", what, m.Metadata)
		}
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

func passing(t *testing.T, s *Suite) {
	for what, body := range s.Passing {
		r := at(s.Sign(s.Key, body, Now), Now)
		receipt, err := s.receive(t, r, s.Key)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		messages, err := s.Adapter.Read(&channel.Delivery{Body: body, Hints: receipt.Hints, At: r.At})
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for _, m := range messages {
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
