package channel_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/contract"
)

var ofTalk = contract.FreezeSubject{ChannelKey: "talk:a"}

func (r *rig) freeze(subject contract.FreezeSubject, mode writ.FreezeMode) {
	r.t.Helper()
	if _, err := r.freezes.Freeze(as(writ.DefaultTenant), &contract.FreezeInput{FreezeSubject: subject, Mode: mode, Reason: "it says nonsense"}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) unfreeze(subject contract.FreezeSubject) {
	r.t.Helper()
	if _, err := r.freezes.Unfreeze(as(writ.DefaultTenant), &contract.UnfreezeInput{FreezeSubject: subject, Reason: "it does no more"}); err != nil {
		r.t.Fatal(err)
	}
}

func TestAFrozenChannelSaysNothingAndLosesNothing(t *testing.T) {
	for name, subject := range map[string]contract.FreezeSubject{
		"the channel":      ofTalk,
		"channels of talk": {ChannelKey: "talk:*"},
		"the tenant":       {Tenant: true},
		"everything":       {All: true},
	} {
		for _, mode := range []writ.FreezeMode{writ.FreezeWait, writ.FreezeFail} {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, p := newTalk(t)
					r.begin()
					r.freeze(subject, mode)
					first := r.queue("1", "t", "one")
					r.queue("2", "t", "two")
					time.Sleep(time.Hour)
					if got := r.types(first); len(p.requests()) != 0 || !slices.Equal(got, said(writ.RecMessageQueued)) {
						t.Errorf("%d requests, %q", len(p.requests()), got)
					}
					for _, m := range r.box() {
						if m.Status != contract.MessageWaiting || m.Code != writ.CodeFrozen || m.Attempt != 0 || !strings.HasSuffix(m.Why, " is frozen by human:ada: it says nonsense") {
							t.Errorf("%+v", m)
						}
					}
					if _, err := r.Say(t.Context(), writ.DefaultTenant, &writ.Saying{Channel: "talk/a", Thread: "t", Text: "now"}); !writ.IsCode(err, writ.CodeFrozen) {
						t.Errorf("at once: %v", err)
					}
					if _, err := r.Test(as(writ.DefaultTenant), &contract.ChannelTestInput{Name: "talk/a", Thread: "t"}); !writ.IsCode(err, writ.CodeFrozen) {
						t.Errorf("a test: %v", err)
					}
					r.restart()
					r.begin()
					synctest.Wait()
					if len(p.requests()) != 0 || r.Unsaid() != 2 {
						t.Errorf("%d requests of a new process, %d wait", len(p.requests()), r.Unsaid())
					}
					r.unfreeze(subject)
					synctest.Wait() // and no time passes
					if got := p.texts(); !slices.Equal(got, []string{"one", "two"}) || len(r.box()) != 0 {
						t.Errorf("%q, %v", got, r.box())
					}
				})
			})
		}
	}
}

// TestAFreezeOfSomethingElseHoldsNoOutbox: of another channel, of who asks for things and
// of another tenant.
func TestAFreezeOfSomethingElseHoldsNoOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		r.freeze(contract.FreezeSubject{ChannelKey: "talk:b"}, writ.FreezeWait)
		r.freeze(contract.FreezeSubject{PrincipalID: "agent:bot"}, writ.FreezeWait)
		if _, err := r.freezes.Freeze(as(other), &contract.FreezeInput{FreezeSubject: contract.FreezeSubject{Tenant: true}, Reason: "theirs"}); err != nil {
			t.Fatal(err)
		}
		r.queue("1", "t", "one")
		r.drain()
		if _, err := r.Say(t.Context(), writ.DefaultTenant, &writ.Saying{Channel: "talk/a", Thread: "t", Text: "two"}); err != nil {
			t.Error(err)
		}
		if got := p.texts(); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("%q", got)
		}
		if _, err := r.Say(t.Context(), other, &writ.Saying{Channel: "talk/a", Thread: "t", Text: "x"}); !writ.IsCode(err, writ.CodeFrozen) {
			t.Errorf("the frozen tenant: %v", err)
		}
	})
}

// TestWhatFailedBeforeAFreezeWaitsForBoth: for the freeze, which is no attempt, and until
// it is time.
func TestWhatFailedBeforeAFreezeWaitsForBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		p.answer = func(n int, _ *channel.Outgoing) (bool, error) {
			if n < 8 {
				return false, writ.Errorf(writ.CodeUnavailable, "talk", "no connection was made")
			}
			return true, nil
		}
		id := r.queue("1", "t", "one")
		r.begin()
		time.Sleep(10 * time.Second) // 1 s, 2 s, 4 s
		before := r.box()[id]
		r.freeze(ofTalk, writ.FreezeWait)
		time.Sleep(time.Hour)
		if m := r.box()[id]; m.Attempt != before.Attempt || m.Attempt != 4 || m.Again != 0 || m.Code != writ.CodeFrozen {
			t.Errorf("%+v", m)
		}
		r.unfreeze(ofTalk)
		synctest.Wait()
		if m := r.box()[id]; m.Attempt != 5 || m.Code != writ.CodeUnavailable || m.Again == 0 {
			t.Errorf("%+v", m)
		}
		time.Sleep(10 * time.Minute)
		if got := p.texts(); !slices.Equal(got, []string{"one"}) {
			t.Errorf("%q", got)
		}
	})
}

// hastyJournal freezes in the moment in which something is about to be said.
type hastyJournal struct {
	writ.Journal
	freeze func()
}

func (h *hastyJournal) Append(ctx context.Context, b *writ.Batch) (writ.Receipt, error) {
	if freeze := h.freeze; freeze != nil && len(b.Records) == 1 && b.Records[0].Type == writ.RecMessageSending {
		h.freeze = nil
		freeze()
	}
	return h.Journal.Append(ctx, b)
}

func TestAFreezeInTheMomentOfSayingCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		r.opts.Journal = &hastyJournal{Journal: r.journal, freeze: func() { r.freeze(ofTalk, writ.FreezeWait) }}
		r.restart()
		id := r.queue("1", "t", "one")
		r.begin()
		time.Sleep(time.Hour)
		if got := r.types(id); len(p.requests()) != 0 || !slices.Equal(got, said(writ.RecMessageQueued)) {
			t.Errorf("%d requests, %q", len(p.requests()), got)
		}
		r.unfreeze(ofTalk)
		synctest.Wait()
		if got := r.types(id); !slices.Equal(got, said(writ.RecMessageQueued, writ.RecMessageSending, writ.RecMessageSent)) {
			t.Errorf("%q", got)
		}
		if m, err := r.journal.Records(t.Context(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.StreamID(id)}); err != nil || m[1].Body.Message.Attempt != 1 {
			t.Errorf("%+v, %v", m[1].Body.Message, err)
		}
	})
}

// unfrozenBox is one run of the property below: acts are what happens, seconds the time
// between. It gives back what is wrong.
func unfrozenBox(t *testing.T, acts, seconds []int) string {
	r, p := newTalk(t)
	subjects := []contract.FreezeSubject{ofTalk, {Tenant: true}}
	p.answer = func(n int, _ *channel.Outgoing) (bool, error) {
		if n%3 == 0 {
			return false, writ.Errorf(writ.CodeUnavailable, "talk", "no connection was made")
		}
		return true, nil
	}
	frozen := map[contract.FreezeSubject]bool{}
	var queued, streams []string
	r.begin()
	for i, act := range acts {
		switch subject := subjects[act%2]; {
		case act == 6:
			r.restart()
			r.begin()
		case act >= 4:
			text := fmt.Sprintf("%03d", i)
			queued = append(queued, text)
			streams = append(streams, r.queue(text, "t", text))
		case frozen[subject]:
			r.unfreeze(subject)
			frozen[subject] = false
		default:
			r.freeze(subject, writ.FreezeWait)
			frozen[subject] = true
		}
		time.Sleep(time.Duration(seconds[i%len(seconds)]) * time.Second)
	}
	for subject, is := range frozen {
		if is {
			r.unfreeze(subject)
		}
	}
	time.Sleep(10 * time.Minute)
	if got := p.texts(); !slices.Equal(got, queued) {
		return fmt.Sprintf("%q, want %q", got, queued)
	}
	return r.begunWhileFrozen(append(streams, string(writ.SystemStream)))
}

// begunWhileFrozen names a message of which the journal says that it was begun between a
// freeze and its end.
func (r *rig) begunWhileFrozen(streams []string) string {
	var all []writ.Stored
	for _, stream := range streams {
		records, err := r.journal.Records(context.Background(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.StreamID(stream)})
		if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
			r.t.Fatal(err)
		}
		all = append(all, records...)
	}
	slices.SortFunc(all, func(a, b writ.Stored) int { return cmp.Compare(a.Position, b.Position) })
	frozen := 0
	for i := range all {
		switch rec := &all[i]; {
		case rec.Type == writ.RecFreezeChanged && rec.Body.System.Status == contract.StatusFrozen:
			frozen++
		case rec.Type == writ.RecFreezeChanged:
			frozen--
		case rec.Type == writ.RecMessageSending && frozen > 0:
			return fmt.Sprintf("%s was begun while something held it", rec.Stream)
		}
	}
	return ""
}

func TestPropertyNothingIsSaidWhileItIsFrozenAndAllOfItAfterwards(t *testing.T) {
	rapid.Check(t, func(draw *rapid.T) {
		acts := rapid.SliceOfN(rapid.IntRange(0, 6), 1, 30).Draw(draw, "acts")
		seconds := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 1, 5, 90}), 1, 8).Draw(draw, "seconds between")
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = unfrozenBox(t, acts, seconds) })
		if wrong != "" {
			draw.Fatal(wrong)
		}
	})
}
