package channel_test

import (
	"testing"
	"testing/synctest"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/contract"
)

func TestMetersOfTheOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		want := func(when string, unsaid, given int64) {
			t.Helper()
			if m := r.Meters(); m.Unsaid != unsaid || m.GivenUp != given {
				t.Errorf("%s: %d wait and %d were given up, want %d and %d", when, m.Unsaid, m.GivenUp, unsaid, given)
			}
		}
		refuse := writ.CodeInvalid
		p.answer = func(_ int, out *channel.Outgoing) (bool, error) {
			switch {
			case refuse == "" || out.Text == "good":
				return true, nil
			case out.Text == "bad":
				return false, writ.Errorf(refuse, "talk", "no")
			}
			return false, writ.Errorf(writ.CodeIndeterminate, "talk", "nobody knows")
		}
		r.begin()
		r.freeze(ofTalk, writ.FreezeWait)
		r.queue("1", "t", "good")
		bad, unknown := r.queue("2", "t", "bad"), r.queue("3", "t", "unknown")
		synctest.Wait()
		want("frozen", 3, 0)
		r.unfreeze(ofTalk)
		synctest.Wait()
		want("tried", 0, 2)
		r.restart()
		want("a new process", 0, 2)
		refuse = ""
		if _, err := r.Resend(as(writ.DefaultTenant), &contract.ChannelResendInput{MessageID: bad}); err != nil {
			t.Fatal(err)
		}
		want("queued again", 1, 1)
		r.drain()
		want("said", 0, 1)
		if _, err := r.Drop(as(writ.DefaultTenant), &contract.ChannelDropInput{MessageID: unknown}); err != nil {
			t.Fatal(err)
		}
		want("decided", 0, 0)
	})
}

func TestMetersOfWhatWasHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		c.hear(words("U1", "writ whoami", true))
		c.hear(words("U1", "open cellar", true))
		c.hear(words("U9", "open cellar", true))
		c.hear(words("U1", "talk among people", false))
		asked := newAsking(t)
		asked.live()
		_, digest := asked.asks()
		asked.hears(press("U3", "approve", refOf(digest), ""))
		if n := asked.Meters().Messages[writ.DeliveryDecided]; n != 1 {
			t.Errorf("decided: %d", n)
		}
		asked.still()
		m := c.Meters().Messages
		for _, status := range []writ.DeliveryStatus{writ.DeliveryAnswered, writ.DeliverySubmitted, writ.DeliveryRefused, writ.DeliveryIgnored} {
			if m[status] != 1 {
				t.Errorf("%s: %d", status, m[status])
			}
		}
	})
}
