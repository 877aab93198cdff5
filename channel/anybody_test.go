package channel_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// TestNearPhrasesAreThoseOfWhatOneMayAskFor: what somebody else may is not for them to read.
func TestNearPhrasesAreThoseOfWhatOneMayAskFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		const near = "- knock {times} times at {door}"
		if o := c.hear(words("U1", "please knock at the cellar", true)); !strings.Contains(o.Answer, near) {
			t.Errorf("%q", o.Answer)
		}
		if o := c.hear(words("U2", "please knock at the cellar", true)); strings.Contains(o.Answer, "knock") || strings.Contains(o.Answer, "Did you mean") {
			t.Errorf("%q", o.Answer)
		}
		if o := c.hear(words("U2", "please open the cellar", true)); !strings.Contains(o.Answer, "- open {door}") {
			t.Errorf("%q", o.Answer)
		}
	})
}

// TestWhoIsAnybodyHasWhatTheyAskedForAlone: a star makes many people one principal, and
// none of them sees or cancels what another asked for.
func TestWhoIsAnybodyHasWhatTheyAskedForAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t, func(ch *contract.Channel) {
			ch.Members = []contract.ChannelMember{{Sender: "U1", PrincipalID: "agent:bot"}, {Sender: "*", PrincipalID: "agent:bot"}}
		})
		asked := func(sender string) writ.ExecutionID {
			t.Helper()
			o := c.hear(words(sender, "@writ open cellar", true))
			if o.Status != writ.DeliverySubmitted || o.Principal != "agent:bot" {
				t.Fatalf("%+v", o)
			}
			return o.Execution
		}
		theirs, mine, named := asked("U7"), asked("U8"), asked("U1")
		for _, not := range []writ.ExecutionID{theirs, named, "exe_none"} {
			for _, verb := range []string{"status", "cancel"} {
				o := c.hear(words("U8", "writ "+verb+" "+string(not), true))
				if o.Status != writ.DeliveryRefused || o.Code != writ.CodeNotFound || o.Answer != "There is no such execution of yours." {
					t.Errorf("%s %s: %+v", verb, not, o)
				}
			}
		}
		if o := c.hear(words("U8", "writ status "+string(mine), true)); o.Status != writ.DeliveryAnswered || !strings.Contains(o.Answer, "it is under way") {
			t.Errorf("%+v", o)
		}
		c.restart()
		if o := c.hear(words("U8", "writ cancel "+string(mine), true)); o.Status != writ.DeliveryAnswered || !strings.Contains(o.Answer, "cancelled") {
			t.Errorf("%+v", o)
		}
		// Whoever is a member by name is the principal, and has all that it asked for.
		if o := c.hear(words("U1", "writ status "+string(theirs), true)); o.Status != writ.DeliveryAnswered || !strings.Contains(o.Answer, "it is under way") {
			t.Errorf("%+v", o)
		}
		e, err := c.journal.Execution(t.Context(), writ.DefaultTenant, theirs)
		if err != nil || !strings.HasPrefix(e.Principal.Session, "snd_") || strings.Contains(e.Principal.Session, "U7") {
			t.Errorf("%+v, %v", e.Principal, err)
		}
	})
}
