package channel_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// following runs the part that tells threads, and gives what ends it.
func (c *chat) following() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	service := c.Service
	go func() {
		defer close(ended)
		service.Follow(ctx)
	}()
	return func() {
		synctest.Wait()
		cancel()
		<-ended
	}
}

// open are the executions that are followed.
func (c *chat) open() int {
	c.t.Helper()
	docs, err := c.journal.List(context.Background(), writ.StoreQuery{Tenant: writ.DefaultTenant, Prefix: "following/"})
	if err != nil {
		c.t.Fatal(err)
	}
	return len(docs)
}

func TestAThreadIsToldWhenWhatWasAskedForEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		stop := c.following()
		asked := c.hear(words("U1", "open cellar", true))
		if c.open() != 1 || len(c.told()) != 0 {
			t.Fatalf("%d are followed, told %+v", c.open(), c.told())
		}
		c.desk.reach(writ.DefaultTenant, asked.Execution, writ.ExecAwaitingApproval)
		synctest.Wait()
		if told := c.told(); len(told) != 1 || !strings.Contains(told[0].Answer, "waits for somebody to approve it") || c.open() != 1 {
			t.Fatalf("%+v", told)
		}
		c.desk.reach(writ.DefaultTenant, asked.Execution, writ.ExecCompleted, writ.LabelChannel, writ.LabelHTTP)
		synctest.Wait()
		told := c.told()
		if len(told) != 2 || told[1].Answer != string(asked.Execution)+": it is done\nthe door is open" || told[1].Principal != "human:ada" || told[1].Status != writ.DeliveryAnswered || c.open() != 0 {
			t.Errorf("%+v", told)
		}
		stop()
	})
}

func TestWhatEndedBeforeAnybodyLookedIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		c.desk.at = writ.ExecCompleted
		if o := c.hear(words("U1", "open cellar", true)); !strings.Contains(o.Answer, "the door is open") || c.open() != 0 {
			t.Errorf("what had ended at once: %+v", o)
		}
		c.desk.at = ""
		one, two := c.hear(words("U1", "open attic", true)), c.hear(words("U2", "open gate", true))
		c.desk.reach(writ.DefaultTenant, one.Execution, writ.ExecFailed, writ.LabelChannel)
		c.restart() // nobody followed, and the process died
		stop := c.following()
		synctest.Wait()
		if told := c.told(); len(told) != 1 || told[0].Execution != one.Execution || !strings.Contains(told[0].Answer, "it failed\n- step do failed (locked): the door is locked") {
			t.Errorf("%+v", told)
		}
		stop()
		c.restart()
		stop = c.following()
		c.desk.reach(writ.DefaultTenant, two.Execution, writ.ExecCompleted, writ.LabelChannel)
		synctest.Wait()
		if told := c.told(); len(told) != 2 || told[1].Execution != two.Execution || c.open() != 0 {
			t.Errorf("%+v", told)
		}
		stop()
	})
}

// TestWhatCouldNotBeToldIsToldLater: the disk is gone for a while.
func TestWhatCouldNotBeToldIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		cut := &cutJournal{Journal: c.journal}
		c.opts.Journal = cut
		c.restart()
		stop := c.following()
		asked := c.hear(words("U1", "open cellar", true))
		cut.cut.Store(true)
		c.desk.reach(writ.DefaultTenant, asked.Execution, writ.ExecCompleted, writ.LabelChannel)
		synctest.Wait()
		if c.open() != 1 || len(c.told()) != 0 {
			t.Errorf("%d are followed, told %+v", c.open(), c.told())
		}
		cut.cut.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if told := c.told(); len(told) != 1 || c.open() != 0 {
			t.Errorf("%+v", told)
		}
		stop()
	})
}

func TestNothingPrivateIsSaidInAThread(t *testing.T) {
	for _, labels := range [][]writ.Label{nil, {writ.LabelPrivate}, {writ.LabelChannel, writ.LabelSecret}, {writ.LabelHTTP, writ.LabelPrivate}} {
		for status, hidden := range map[writ.ExecutionStatus]string{writ.ExecCompleted: "the door is open", writ.ExecFailed: "the door is locked"} {
			synctest.Test(t, func(t *testing.T) {
				c := newChat(t)
				asked := c.hear(words("U1", "open cellar", true))
				c.desk.reach(writ.DefaultTenant, asked.Execution, status, labels...)
				stop := c.following()
				synctest.Wait()
				if told := c.told(); len(told) != 1 || strings.Contains(told[0].Answer, hidden) {
					t.Errorf("%v: %+v", labels, told)
				}
				stop()
			})
		}
	}
}

// TestWhatNobodyAskedForInAThreadIsToldNowhere: an event without an answer, and another
// tenant's.
func TestWhatNobodyAskedForInAThreadIsToldNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t, func(ch *contract.Channel) {
			ch.Members = append(ch.Members, contract.ChannelMember{Sender: "sender", PrincipalID: "agent:bot"})
		})
		stop := c.following()
		c.post(happened("t", "1", "one"))
		asked := c.hear(words("U1", "open cellar", true))
		for _, o := range c.handled() {
			if o.Execution != asked.Execution {
				c.desk.reach(writ.DefaultTenant, o.Execution, writ.ExecCompleted, writ.LabelChannel)
			}
		}
		synctest.Wait()
		if told := c.told(); len(told) != 0 || c.open() != 1 {
			t.Errorf("%+v", told)
		}
		stop()
	})
}

// TestWhatItWasEditedIntoIsFollowedInItsPlace, and asks in the same thread.
func TestWhatItWasEditedIntoIsFollowedInItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		next := a.hear(words("U1", "open attic", true)).Execution // of another channel, which does not decide
		a.live()
		id, first := a.asks()
		a.desk.append(writ.DefaultTenant, id,
			writ.NewRecord{Type: writ.RecApprovalDecided, Step: "stp_do", Attempt: 1, Body: writ.Body{Approval: &writ.ApprovalFacts{
				Digest: first, Status: writ.ApprovalRejected, Decision: &writ.Decision{By: "human:eve", Edited: next, At: 1},
			}}},
			writ.NewRecord{Type: writ.RecRunEdited, Body: writ.Body{Edit: &writ.EditFacts{Execution: next, By: "human:eve"}}},
			ended(writ.ExecRejected, "it was edited"))
		synctest.Wait()
		digest := a.opens(next)
		if said := a.last(); said.Thread != "t" || said.Buttons == nil || said.Buttons[0].Press.Value != refOf(digest) {
			t.Errorf("%+v", said)
		}
		if told := a.told(); len(told) != 1 || told[0].Answer != string(id)+": it was edited, and "+string(next)+" goes on in its place" {
			t.Errorf("%+v", told)
		}
		if o := a.hears(press("U3", "approve", refOf(digest), "")); o.Status != writ.DeliveryDecided {
			t.Errorf("%+v", o)
		}
		a.desk.reach(writ.DefaultTenant, next, writ.ExecCompleted, writ.LabelChannel)
		synctest.Wait()
		if told := a.told(); len(told) != 2 || !strings.Contains(told[1].Answer, string(next)+": it is done") || a.open() != 0 {
			t.Errorf("%+v, %d are followed", told, a.open())
		}
		a.still()
	})
}

// TestAReasonAboutPrivateDataIsNotSaidInAThread: whoever rejects may name what they saw.
func TestAReasonAboutPrivateDataIsNotSaidInAThread(t *testing.T) {
	for _, label := range []writ.Label{writ.LabelPrivate, writ.LabelSecret} {
		whileAsking(t, func(t *testing.T, a *asking) {
			id, digest := a.asks(func(r *writ.ApprovalRequest) { r.Taint = []writ.Label{writ.LabelChannel, label} })
			a.decided(id, digest, writ.ApprovalRejected, &writ.Decision{By: "human:eve", Note: "the salary is wrong", At: 1})
			a.desk.append(writ.DefaultTenant, id,
				writ.NewRecord{Type: writ.RecStepRejected, Step: "stp_do", Attempt: 1, Body: writ.Body{Ended: &writ.EndedFacts{Reason: "the salary is wrong"}}},
				ended(writ.ExecRejected, "step do rejected"))
			synctest.Wait()
			if told := a.told(); len(told) != 1 || told[0].Answer != string(id)+": it was rejected\nstep do rejected" {
				t.Errorf("%s: %+v", label, told)
			}
			for _, said := range a.room.said() {
				if strings.Contains(said.Plain(), "salary") {
					t.Errorf("%s: %+v", label, said)
				}
			}
		})
	}
}

// TestWhoAskedHearsWhyItWasRejected: the reason is for them.
func TestWhoAskedHearsWhyItWasRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		stop := c.following()
		asked := c.hear(words("U1", "open cellar", true))
		c.desk.append(writ.DefaultTenant, asked.Execution,
			writ.NewRecord{Type: writ.RecStepRejected, Step: "stp_do", Attempt: 1, Body: writ.Body{Ended: &writ.EndedFacts{Reason: "the key is\nlost"}}},
			ended(writ.ExecRejected, "step do rejected"))
		synctest.Wait()
		if told := c.told(); len(told) != 1 || told[0].Answer != string(asked.Execution)+": it was rejected\n- step do was rejected: the key is lost" {
			t.Errorf("%+v", told)
		}
		stop()
	})
}
