package channeltest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// signedNow is the same request each time.
func (s *Suite) signedNow() *channel.Request {
	return at(s.Sign(s.Key, s.Text("t1", "u1", "hello"), Now), Now)
}

// inHeaders does something with each header that carries the signature or what is signed.
func (s *Suite) inHeaders(t *testing.T, do func(name, value string)) {
	t.Helper()
	done := false
	for name, values := range s.signedNow().Header {
		if len(values) > 0 && signs(s, s.signedNow(), name) {
			do(name, values[0])
			done = true
		}
	}
	if !done {
		t.Fatal("no header carries a signature")
	}
}

// with is the request with another value of a header.
func (s *Suite) with(name string, values ...string) *channel.Request {
	r := s.signedNow()
	r.Header[name] = values
	return r
}

func wrongSignatures(t *testing.T, s *Suite) {
	if _, err := s.receive(t, s.signedNow(), s.Key); err != nil {
		t.Fatal(err)
	}
	s.refused(t, "another key", s.signedNow(), []byte("another"))
	changed := s.signedNow()
	changed.Body = append(bytes.Clone(changed.Body), ' ')
	if _, err := s.receive(t, changed, s.Key); s.Bearer != (err == nil) {
		t.Errorf("another body: %v", err)
	}
	s.inHeaders(t, func(name, value string) {
		s.refused(t, name+" zeroed", s.with(name, strings.Repeat("0", len(value))), s.Key)
		s.refused(t, name+" doubled", s.with(name, value+value), s.Key)
		s.refused(t, name+" behind another", s.with(name, "x", value), s.Key)
	})
}

func missingSignatures(t *testing.T, s *Suite) {
	s.inHeaders(t, func(name, _ string) {
		s.refused(t, name+" empty", s.with(name, ""), s.Key)
		s.refused(t, name+" without a value", s.with(name), s.Key)
		r := s.signedNow()
		delete(r.Header, name)
		s.refused(t, name+" missing", r, s.Key)
	})
}

func truncatedSignatures(t *testing.T, s *Suite) {
	s.inHeaders(t, func(name, value string) {
		for n := range len(value) {
			s.refused(t, name+" up to "+value[:n], s.with(name, value[:n]), s.Key)
		}
		s.refused(t, name+" without its prefix", s.with(name, value[strings.IndexAny(value, "=,")+1:]+"x"), s.Key)
	})
}

// replayedSignatures: a signature is of one body, and who sends the same again sends no
// other delivery. Where the time is signed, it is not taken for long.
func replayedSignatures(t *testing.T, s *Suite) {
	first, err := s.receive(t, s.signedNow(), s.Key)
	if err != nil {
		t.Fatal(err)
	}
	other := s.signedNow()
	other.Body = s.Text("t1", "u1", "/approve")
	if _, err := s.receive(t, other, s.Key); s.Bearer != (err == nil) {
		t.Errorf("under another body: %v", err)
	}
	for _, later := range []time.Duration{0, time.Minute, time.Hour, 365 * 24 * time.Hour} {
		r := at(s.signedNow(), Now.Add(later))
		if s.Timed && later > 5*time.Minute {
			s.refused(t, later.String()+" later", r, s.Key)
			continue
		}
		again, err := s.receive(t, r, s.Key)
		if err != nil || keyOf(again, r) != keyOf(first, s.signedNow()) {
			t.Errorf("%s later: %+v, %v", later, again, err)
		}
	}
}

func staleTimestamps(t *testing.T, s *Suite) {
	const tolerated, past = 4*time.Minute + 59*time.Second, 5*time.Minute + time.Second
	for _, away := range []time.Duration{-tolerated, tolerated} {
		if _, err := s.receive(t, at(s.signedNow(), Now.Add(away)), s.Key); err != nil {
			t.Errorf("%s away: %v", away, err)
		}
	}
	for _, away := range []time.Duration{-past, past, -24 * time.Hour, 365 * 24 * time.Hour} {
		s.refused(t, away.String()+" away", at(s.signedNow(), Now.Add(away)), s.Key)
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
