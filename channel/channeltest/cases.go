package channeltest

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

// keyOf is what the runtime knows a delivery by.
func keyOf(receipt *channel.Receipt, r *channel.Request) string {
	if receipt.Key != "" {
		return receipt.Key
	}
	return string(canon.SHA256(r.Body))
}

// handshakes are answered to who has the secret and to nobody else, and what says
// something is never taken for one.
func handshakes(t *testing.T, s *Suite) {
	for _, h := range s.Handshakes {
		receipt, err := s.receive(t, at(s.Sign(s.Key, h.Body, Now), Now), s.Key)
		if err != nil || receipt.Handshake == nil {
			t.Errorf("%s: %+v %v", h.Name, receipt, err)
			continue
		}
		if a := receipt.Handshake; a.Status != http.StatusOK || string(a.Body) != h.Answer || strings.Contains(a.ContentType, "html") || len(a.Body) > 0 && a.ContentType == "" {
			t.Errorf("%s is answered with %d %s %q", h.Name, a.Status, a.ContentType, a.Body)
		}
		s.refused(t, h.Name+" of another", at(s.Sign([]byte("another"), h.Body, Now), Now), s.Key)
	}
	for what, body := range s.bodies() {
		if receipt, err := s.receive(t, at(s.Sign(s.Key, body, Now), Now), s.Key); err != nil || receipt.Handshake != nil {
			t.Errorf("%s is not kept: %+v %v", what, receipt, err)
		}
	}
}

// bodies that must be kept.
func (s *Suite) bodies() map[string][]byte {
	out := map[string][]byte{"text": s.Text("t", "u", "challenge")}
	if s.Attached != nil {
		out["a file"] = s.Attached("challenge", "a.csv")
	}
	if s.Pressed != nil {
		out["a button"] = s.Pressed("t", "u1", "approve", "x")
	}
	for _, bodies := range []map[string][]byte{s.Passing, s.Edits, s.Echoes} {
		maps.Copy(out, bodies)
	}
	return out
}

// contentTypes: whoever stands in between may change the header, and then nothing of the
// body may be read as something else.
func contentTypes(t *testing.T, s *Suite) {
	for what, body := range s.bodies() {
		for _, media := range []string{"text/plain", "multipart/form-data; boundary=x", "application/xml", "text/json", "a/b/c", "application/jsonx", "application/json2; charset=utf-8"} {
			r := at(s.Sign(s.Key, body, Now), Now)
			r.Header = r.Header.Clone()
			r.Header.Set("Content-Type", media)
			if _, err := s.receive(t, r, s.Key); !writ.IsCode(err, writ.CodeInvalid) {
				t.Errorf("%s as %s: %v", what, media, err)
			}
		}
		r := at(s.Sign(s.Key, body, Now), Now)
		if media := r.Header.Get("Content-Type"); media != "" {
			r.Header.Set("Content-Type", strings.ToUpper(media)+"; charset=utf-8")
			if _, err := s.receive(t, r, s.Key); err != nil {
				t.Errorf("%s with a charset: %v", what, err)
			}
		}
	}
}

// sentAgain: what comes again, at once or an hour later, has the same key and says the
// same.
func sentAgain(t *testing.T, s *Suite) {
	retry := s.Retry
	if retry == nil {
		retry = func(key []byte, first *channel.Request, at time.Time) *channel.Request {
			return s.Sign(key, first.Body, at)
		}
	}
	for what, body := range s.bodies() {
		r := at(s.Sign(s.Key, body, Now), Now)
		receipt, err := s.receive(t, r, s.Key)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		said, err := s.Adapter.Read(&channel.Delivery{Body: r.Body, Hints: receipt.Hints, At: r.At})
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for _, later := range []time.Duration{0, time.Second, time.Hour} {
			again := at(retry(s.Key, r, Now.Add(later)), Now.Add(later))
			receiptAgain, err := s.receive(t, again, s.Key)
			if err != nil {
				t.Errorf("%s, %s later: %v", what, later, err)
				continue
			}
			if one, other := keyOf(receipt, r), keyOf(receiptAgain, again); one != other {
				t.Errorf("%s, %s later: the key is %q and was %q", what, later, other, one)
			}
			saidAgain, err := s.Adapter.Read(&channel.Delivery{Body: again.Body, Hints: receiptAgain.Hints, At: again.At})
			if err != nil || !reflect.DeepEqual(said, saidAgain) {
				t.Errorf("%s, %s later: %+v and before %+v: %v", what, later, saidAgain, said, err)
			}
		}
	}
}

// files come with their words, and a plan finds them in the metadata.
func files(t *testing.T, s *Suite) {
	for _, words := range []string{"here it is", ""} {
		r := at(s.Sign(s.Key, s.Attached(words, "Q1 \U0001F989.csv"), Now), Now)
		receipt, err := s.receive(t, r, s.Key)
		if err != nil {
			t.Fatal(err)
		}
		m := s.read(t, r, receipt)
		if m.Kind == channel.Passing || !strings.HasPrefix(m.Text, words) || !strings.Contains(string(m.Metadata), "Q1 \U0001F989.csv") {
			t.Errorf("%q with a file: %s %q (%s) with %s", words, m.Kind, m.Text, m.Why, m.Metadata)
		}
	}
}

// outOfOrder: providers promise no order, so that what a delivery says depends on no
// other, and an answer that comes before what it answers is of the same thread.
func outOfOrder(t *testing.T, s *Suite) {
	opening := s.Opening
	if opening == nil {
		opening = s.Text
	}
	of := func(body []byte) channel.Message {
		t.Helper()
		r := at(s.Sign(s.Key, body, Now), Now)
		receipt, err := s.receive(t, r, s.Key)
		if err != nil {
			t.Fatal(err)
		}
		return s.read(t, r, receipt)
	}
	another := "u2"
	if s.Direct {
		another = "u1"
	}
	bodies := [][]byte{opening("t1", "u1", "first"), s.Text("t1", another, "second"), s.Text("t2", "u1", "elsewhere"), s.Text("t1", "u1", "third")}
	var forwards, backwards []channel.Message
	for _, body := range bodies {
		forwards = append(forwards, of(body))
	}
	for _, body := range slices.Backward(bodies) {
		backwards = append(backwards, of(body))
	}
	slices.Reverse(backwards)
	if !reflect.DeepEqual(forwards, backwards) {
		t.Errorf("in order %+v, in the other %+v", forwards, backwards)
	}
	if forwards[0].Thread != forwards[1].Thread || forwards[0].Thread != forwards[3].Thread || forwards[0].Thread == forwards[2].Thread {
		t.Errorf("the threads are %q, %q, %q and %q", forwards[0].Thread, forwards[1].Thread, forwards[2].Thread, forwards[3].Thread)
	}
}

// numbers: an id is as it was sent, or nothing is made of it. A neighbour's id would be
// another sender.
func numbers(t *testing.T, s *Suite) {
	const safe = "9007199254740991" // 2^53-1
	for _, id := range []string{"1", "4294967297", "5000000000", safe, "9007199254740993", "9223372036854775807", "9223372036854775808", "1e3", "1.5", "-0"} {
		r := at(s.Sign(s.Key, s.Numbered(id), Now), Now)
		receipt, err := s.receive(t, r, s.Key)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := s.Adapter.Read(&channel.Delivery{Body: r.Body, Hints: receipt.Hints, At: r.At})
		if err != nil {
			wantClear(t, id, err)
			if len(id) <= len(safe) && id <= safe && !strings.ContainsAny(id, "e.-") {
				t.Errorf("%s: %v", id, err)
			}
			continue
		}
		for _, m := range messages {
			if m.Kind != channel.Passing && m.Sender.ID != id && (id != "1e3" || m.Sender.ID != "1000") {
				t.Errorf("%s became %q", id, m.Sender.ID)
			}
		}
	}
}
