package channeltest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

// Hostile are bodies that no parser may stumble over.
func Hostile() map[string][]byte {
	return map[string][]byte{
		"empty": {}, "null": []byte("null"), "a number": []byte("7"), "a list": []byte("[]"), "an empty object": []byte("{}"), "text": []byte("hello"),
		"no UTF-8": {'{', '"', 0xff, '"', ':', '1', '}'}, "half": []byte(`{"type":`), "a twin": []byte(`{"a":1,"a":2}`), "lone surrogate": []byte(`{"a":"\ud800"}`),
		"deep": []byte(strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000)), "deep lists": bytes.Repeat([]byte("["), 100_000),
		"wrong types":   []byte(`{"type":7,"action":[],"issue":"x","comment":{"body":{}},"sender":[],"data":"x","event":3,"message":[]}`),
		"a huge number": []byte(`{"type":"x","data":{"n":` + strings.Repeat("9", 4000) + `}}`), "zeros": bytes.Repeat([]byte{0}, 4096),
		"a long name": []byte(`{"` + strings.Repeat("a", 9000) + `":{"b":x}}`), "a long value": []byte(`{"type":"` + strings.Repeat("a", 9000) + `"}`),
		"markup": []byte(`<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>`), "a form": []byte("payload=%7B%7D&a=b&a=c"),
	}
}

// hostileBodies are well signed: an attacker may have the secret, or the provider a bug.
func hostileBodies(t *testing.T, s *Suite) {
	for what, body := range Hostile() {
		r := at(s.Sign(s.Key, body, Now), Now)
		receipt, err := s.receive(t, r, s.Key)
		if err != nil {
			wantClear(t, what, err)
			continue
		}
		messages, err := s.Adapter.Read(&channel.Delivery{Body: body, Hints: receipt.Hints, At: r.At})
		if err != nil {
			wantClear(t, what, err)
			continue
		}
		for _, m := range messages {
			if m.Kind == channel.Said {
				t.Errorf("%s: a person said %q", what, m.Text)
			}
		}
	}
}

// malformed: of a body that was cut off or put together wrongly nobody says the whole, and
// what is no JSON any more is refused.
func malformed(t *testing.T, s *Suite) {
	for what, body := range s.bodies() {
		broken := [][]byte{append(bytes.Clone(body), body...), append([]byte{0xef, 0xbb, 0xbf}, body...), append(bytes.Clone(body), 0xff)}
		for _, n := range []int{1, len(body) / 3, len(body) / 2, len(body) - 1} {
			broken = append(broken, body[:n])
		}
		for _, half := range broken {
			r := at(s.Sign(s.Key, half, Now), Now)
			receipt, err := s.receive(t, r, s.Key)
			if err == nil && receipt.Handshake == nil {
				_, err = s.Adapter.Read(&channel.Delivery{Body: half, Hints: receipt.Hints, At: r.At})
				Read(t, s.Adapter, half, receipt.Hints)
			}
			switch {
			case err != nil:
				wantClear(t, what, err)
			case body[0] == '{':
				t.Errorf("%s: %.60q is taken", what, half)
			}
		}
	}
}

// wantClear demands a refusal that says what is wrong and repeats nothing large.
func wantClear(t *testing.T, what string, err error) {
	t.Helper()
	code := writ.CodeOf(err)
	if code != writ.CodeInvalid && code != writ.CodeUnauthenticated || len(err.Error()) > 500 || !utf8.ValidString(err.Error()) {
		t.Errorf("%s: %s: %.600q", what, code, err)
	}
}

func hostileHeaders(t *testing.T, s *Suite) {
	body := s.Text("t", "u", "x")
	for name := range s.Sign(s.Key, body, Now).Header {
		for _, value := range []string{strings.Repeat("a", 64<<10), "\x00", "v1,=,=,", "=", ",", "sha256=", "9223372036854775808", "-1", "١٢٣", strings.Repeat("v1,AAAA ", 5000)} {
			r := at(s.Sign(s.Key, body, Now), Now)
			r.Header[name] = []string{value}
			if receipt, err := s.receive(t, r, s.Key); err != nil {
				wantClear(t, name, err)
			} else if _, err := s.Adapter.Read(&channel.Delivery{Body: body, Hints: receipt.Hints, At: r.At}); err != nil {
				wantClear(t, name, err)
			}
		}
	}
}

func large(t *testing.T, s *Suite) {
	if most := s.Adapter.Traits().MaxBody; most < 1<<20 {
		t.Fatalf("at most %d bytes are taken", most)
	}
	words := strings.Repeat("x", 1<<20-64-len(s.Text("t", "u", ""))) // an id in it may grow
	if n := len(s.Text("t", "u", words)); n > 1<<20 || n < 1<<20-128 {
		t.Fatalf("the body has %d bytes", n)
	}
	if m := s.said(t, "t", "u", words); m.Text != words {
		t.Errorf("%d bytes of %d came through", len(m.Text), len(words))
	}
}

func nothing(t *testing.T, s *Suite) {
	for what, r := range map[string]*channel.Request{
		"no header":  {Method: http.MethodPost, Header: http.Header{}, Body: s.Text("t", "u", "x")},
		"no body":    {Method: http.MethodPost, Header: http.Header{}},
		"no keys":    at(s.Sign(s.Key, s.Text("t", "u", "x"), Now), Now),
		"empty keys": at(s.Sign(nil, s.Text("t", "u", "x"), Now), Now),
	} {
		s.refused(t, what, at(r, Now))
	}
	s.refused(t, "an empty key is everybody's", at(s.Sign([]byte{}, s.Text("t", "u", "x"), Now), Now), []byte{})
}

// SeedBodies gives a fuzzer of Read what is hostile, what is sampled and what passes by.
func SeedBodies(f *testing.F, s *Suite) {
	f.Helper()
	for _, body := range Hostile() {
		f.Add(body)
	}
	for _, name := range s.Adapter.Samples() {
		r, err := s.Adapter.Sample(name, s.Key, canon.TimeOf(Now))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Body)
	}
	for _, body := range s.bodies() {
		f.Add(body)
	}
}

// Read demands of any body that it is understood within what the runtime relies on, or
// refused clearly.
func Read(t *testing.T, a channel.Adapter, body []byte, hints map[string]string) {
	t.Helper()
	messages, err := a.Read(&channel.Delivery{Body: body, Hints: hints, At: canon.TimeOf(Now)})
	if err != nil {
		wantClear(t, "body", err)
		return
	}
	for _, m := range messages {
		switch m.Kind {
		case channel.Passing:
			if m.Why == "" {
				t.Error("it asks for nothing, and nobody knows why")
			}
		case channel.Said, channel.Happened, channel.Pressed:
			if (m.Kind == channel.Pressed) != (m.Press != nil) || m.Kind != channel.Happened && m.Event != "" {
				t.Errorf("%s has the event %q and the press %v", m.Kind, m.Event, m.Press)
			}
			if m.Sender.ID == "" || !json.Valid(m.Metadata) || m.Metadata[0] != '{' || !utf8.ValidString(m.Text) {
				t.Errorf("%s of %q: %q, %s", m.Kind, m.Sender.ID, m.Text, m.Metadata)
			}
		default:
			t.Errorf("a message is %q", m.Kind)
		}
	}
}
