package channeltest

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// heard is what a signed body says.
func (s *Suite) heard(t *testing.T, body []byte) []channel.Message {
	t.Helper()
	r := at(s.Sign(s.Key, body, Now), Now)
	receipt, err := s.receive(t, r, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := s.Adapter.Read(&channel.Delivery{Body: r.Body, Hints: receipt.Hints, At: r.At})
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// batches: a message is the same whatever it comes with, and has an id to know it by.
func batches(t *testing.T, s *Suite) {
	if traits := s.Adapter.Traits(); traits.Batched != (s.Batch != nil) {
		t.Fatalf("batched: %v", traits.Batched)
	}
	if s.Batch == nil {
		return
	}
	one, two, three := s.Text("t1", "u1", "one"), s.Text("t1", "u1", "two"), s.Text("t2", "u2", "three")
	first, again, alone := s.heard(t, s.Batch(one, two)), s.heard(t, s.Batch(two, three)), s.heard(t, two)
	if len(first) != 2 || len(again) != 2 || len(alone) != 1 {
		t.Fatalf("%d, %d and %d messages", len(first), len(again), len(alone))
	}
	if !reflect.DeepEqual(first[1], again[0]) || !reflect.DeepEqual(first[1], alone[0]) {
		t.Errorf("one message is\n%+v,\n%+v and\n%+v", first[1], again[0], alone[0])
	}
	if first[0].ID == "" || first[0].ID == first[1].ID || first[0].Text != "one" || again[1].Text != "three" {
		t.Errorf("%+v, %+v", first, again)
	}
}

// methods: what is asked with GET is never a delivery.
func methods(t *testing.T, s *Suite) {
	all := s.Adapter.Traits().Methods
	if !slices.Contains(all, http.MethodPost) {
		t.Errorf("it calls with %v", all)
	}
	if _, asks := s.Adapter.(channel.Challenger); slices.Contains(all, http.MethodGet) != (s.Challenge != nil) || asks != (s.Challenge != nil) {
		t.Fatalf("it calls with %v, and asks for a token: %v", all, asks)
	}
	if s.Challenge == nil {
		return // the runtime refuses GET
	}
	r := at(s.Sign(s.Key, s.Text("t", "u", "x"), Now), Now)
	r.Method = http.MethodGet
	s.refused(t, "a delivery with GET", r, s.Key)
	asked := at(s.Challenge(s.Key, "1158201444"), Now)
	asked.Method = http.MethodPost
	s.refused(t, "a challenge with POST", asked, s.Key)
}

// challenge: that of who knows the token comes back, harmless, and nothing else.
func challenge(t *testing.T, s *Suite) {
	another := append(slices.Clone(s.Key), 'x')
	for _, keys := range [][][]byte{{s.Key}, {another, s.Key}, {s.Key, another}} {
		receipt, err := s.receive(t, at(s.Challenge(s.Key, "1158201444"), Now), keys...)
		if err != nil || receipt.Handshake == nil || receipt.Handshake.Status != http.StatusOK || string(receipt.Handshake.Body) != "1158201444" ||
			!strings.HasPrefix(receipt.Handshake.ContentType, "text/plain") {
			t.Fatalf("%+v, %v", receipt, err)
		}
	}
	s.refused(t, "the token of another key", at(s.Challenge(another, "1"), Now), s.Key)
	s.refused(t, "no keys", at(s.Challenge(s.Key, "1"), Now))
	for _, value := range []string{"", "%00", "x", strings.Repeat("a", 64<<10)} {
		s.refused(t, "another token", s.asked(tokenOf(s), value), s.Key)
	}
	s.refused(t, "the key itself", s.asked(tokenOf(s), string(s.Key)), s.Key)
	for _, challenge := range []string{"", "<script>alert(1)</script>", "a b", "a\r\nSet-Cookie: a=b", "\x00", "ü", strings.Repeat("1", 129)} {
		if _, err := s.receive(t, at(s.Challenge(s.Key, challenge), Now), s.Key); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("the challenge %.40q: %v", challenge, err)
		} else {
			wantClear(t, fmt.Sprintf("the challenge %.40q", challenge), err)
		}
	}
	if receipt, err := s.receive(t, at(s.Challenge(s.Key, strings.Repeat("1", 128)), Now), s.Key); err != nil || len(receipt.Handshake.Body) != 128 {
		t.Errorf("as long as may be: %v", err)
	}
}

func tokenOf(s *Suite) string {
	asks, _ := s.Adapter.(channel.Challenger) // methods holds that it is one
	return asks.Token(s.Key)
}

// asked is a challenge with something else in place of its token.
func (s *Suite) asked(token, instead string) *channel.Request {
	r := at(s.Challenge(s.Key, "1"), Now)
	r.URL = strings.Replace(r.URL, token, instead, 1)
	return r
}
