package channeltest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/writ-run/writ/channel"
)

// buttons: what is pressed is what was under the message, in its thread, by whom the
// provider says.
func buttons(t *testing.T, s *Suite) {
	for _, value := range []string{"sha256:0f", "exe_1/sha256:ab", "x=1&y=<2>", "", "&amp;"} {
		body := s.Pressed("t1", "u1", "approve", value)
		r := at(s.Sign(s.Key, body, Now), Now)
		receipt, err := s.receive(t, r, s.Key)
		if err != nil {
			t.Fatal(err)
		}
		m := s.read(t, r, receipt)
		if m.Kind != channel.Pressed || m.Press == nil || *m.Press != (channel.Press{Action: "approve", Value: value}) {
			t.Fatalf("%q: %s %+v (%s)", value, m.Kind, m.Press, m.Why)
		}
		said := s.said(t, "t1", "u1", "hello")
		if m.Thread != said.Thread || m.Sender.ID != said.Sender.ID {
			t.Errorf("pressed by %q in %q, said by %q in %q", m.Sender.ID, m.Thread, said.Sender.ID, said.Thread)
		}
		s.refused(t, "a press of another", at(s.Sign([]byte("another"), body, Now), Now), s.Key)
		if elsewhere := s.said(t, "t2", "u1", "hello"); elsewhere.Thread == m.Thread {
			t.Errorf("two threads are %q", m.Thread)
		}
	}
	if bytes.Equal(s.Pressed("t1", "u1", "approve", "a"), s.Pressed("t1", "u1", "approve", "b")) {
		t.Error("the value is in no body")
	}
}

// pressedTwice: a press that comes again is the same one, and what another person presses,
// or another button under the same message, is not.
func pressedTwice(t *testing.T, s *Suite) {
	known := func(body []byte) (delivery, message string) {
		t.Helper()
		r := at(s.Sign(s.Key, body, Now), Now)
		receipt, err := s.receive(t, r, s.Key)
		if err != nil {
			t.Fatal(err)
		}
		return keyOf(receipt, r), s.read(t, r, receipt).ID
	}
	seen := map[string]string{}
	for what, body := range map[string][]byte{
		"one": s.Pressed("t1", "u1", "approve", "x"), "another button": s.Pressed("t1", "u1", "reject", "x"),
		"of another thing": s.Pressed("t1", "u1", "approve", "y"), "another person": s.Pressed("t1", "u2", "approve", "x"),
	} {
		delivery, message := known(body)
		if again, same := known(body); again != delivery || same != message {
			t.Errorf("%s: it is %q and %q, and then %q and %q", what, delivery, message, again, same)
		}
		for _, key := range []string{"delivery " + delivery, "message " + message} {
			if other := seen[key]; other != "" && message != "" {
				t.Errorf("%s and %s are the same %s", what, other, key)
			}
			seen[key] = what
		}
	}
}

// reasons: what somebody wrote is the text of the button that they pressed, as they wrote it.
func reasons(t *testing.T, s *Suite) {
	for _, text := range []string{"", "it is not ours", "two\nlines", "🦉 שלום \u202eabc", `"'<b>&\`, "approve:x", strings.Repeat("x", 3000)} {
		m := s.one(t, s.Written("t1", "u1", "reject", "sha256:0f", text))
		if m.Kind != channel.Pressed || m.Press == nil || *m.Press != (channel.Press{Action: "reject", Value: "sha256:0f"}) || m.Text != text {
			t.Errorf("%.40q: %s %+v with %.40q", text, m.Kind, m.Press, m.Text)
		}
	}
}
