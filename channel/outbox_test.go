package channel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/contract"
)

// talk is a provider that remembers what it took.
type talk struct {
	mu     sync.Mutex
	took   []channel.Outgoing
	tried  []time.Time
	answer func(n int, out *channel.Outgoing) (took bool, err error) // n counts from 1; nil: it takes everything
	check  func(a *channel.Account)
}

func (*talk) Traits() channel.Traits {
	return channel.Traits{Provider: "talk", Title: "Talk", Methods: []string{http.MethodPost}, MaxBody: 1 << 20}
}

func (*talk) Receive(*channel.Request, [][]byte) (*channel.Receipt, error) {
	return &channel.Receipt{Accepted: channel.Answer{Status: http.StatusAccepted}}, nil
}

func (*talk) Read(*channel.Delivery) ([]channel.Message, error) { return nil, nil }

func (*talk) Home() string { return "https://talk.example.com" }
func (*talk) Longest() int { return 4_000 }

func (p *talk) Send(_ context.Context, a *channel.Account, out *channel.Outgoing) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried = append(p.tried, time.Now())
	if p.check != nil {
		p.check(a)
	}
	took, err := true, error(nil)
	if p.answer != nil {
		took, err = p.answer(len(p.tried), out)
	}
	if took {
		p.took = append(p.took, *out)
	}
	return fmt.Sprintf("id-%d", len(p.tried)), err
}

// requests are when something was to be said.
func (p *talk) requests() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tried)
}

func (p *talk) texts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]string, len(p.took))
	for i := range p.took {
		out[i] = p.took[i].Text
	}
	return out
}

// newTalk is a rig with a channel that speaks, without any luck in when it tries again.
func newTalk(t testing.TB) (*rig, *talk) {
	t.Helper()
	r, p := newRig(t), &talk{}
	r.opts.Adapters = append(r.opts.Adapters, p)
	r.opts.Jitter = func() float64 { return 1 }
	r.restart()
	for _, tenant := range []writ.TenantID{writ.DefaultTenant, other} {
		r.add(tenant, func(c *contract.Channel) { c.Name, c.Token = "talk/a", "hook" })
	}
	return r, p
}

func (r *rig) queue(key, thread, text string) string {
	r.t.Helper()
	id, err := r.Queue(context.Background(), writ.DefaultTenant, "talk/a", key, &channel.Outgoing{Thread: thread, Text: text})
	if err != nil {
		r.t.Fatal(err)
	}
	return string(id)
}

// types of the records of a message.
func (r *rig) types(id string) []writ.RecordType {
	r.t.Helper()
	records, err := r.journal.Records(context.Background(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.StreamID(id)})
	if err != nil {
		r.t.Fatal(err)
	}
	out := make([]writ.RecordType, len(records))
	for i := range records {
		out[i] = records[i].Type
	}
	return out
}

// box is what the outbox shows, by message.
func (r *rig) box() map[string]contract.ChannelMessage {
	r.t.Helper()
	out, err := r.Outbox(as(writ.DefaultTenant), &contract.ChannelOutboxInput{})
	if err != nil {
		r.t.Fatal(err)
	}
	items := map[string]contract.ChannelMessage{}
	for _, m := range out.Items {
		items[m.MessageID] = m
	}
	return items
}

func said(kinds ...writ.RecordType) []writ.RecordType { return kinds }

func TestWhatIsQueuedIsSaidOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		first := r.queue("1", "t", "one")
		if again := r.queue("1", "t", "one"); again != first {
			t.Errorf("one key is %s and %s", first, again)
		}
		r.queue("2", "t", "two")
		if n := r.Unsaid(); n != 2 {
			t.Errorf("%d wait", n)
		}
		r.restart()
		if n := r.Unsaid(); n != 2 {
			t.Errorf("%d wait for the next process", n)
		}
		r.begin()
		synctest.Wait()
		r.queue("3", "t", "three")
		r.queue("1", "t", "one")
		synctest.Wait()
		r.halt()
		if got := p.texts(); !slices.Equal(got, []string{"one", "two", "three"}) {
			t.Errorf("%q", got)
		}
		if got := r.types(first); !slices.Equal(got, said(writ.RecMessageQueued, writ.RecMessageSending, writ.RecMessageSent)) {
			t.Errorf("%q", got)
		}
		if box := r.box(); len(box) != 0 || r.Unsaid() != 0 {
			t.Errorf("%v, %d wait", box, r.Unsaid())
		}
	})
}

// TestAnswersAreQueuedWithTheirDelivery: both are there, or none.
func TestAnswersAreQueuedWithTheirDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		journal := &cutJournal{Journal: r.opts.Journal}
		r.opts.Journal = journal
		r.restart()
		req, err := http.NewRequest(http.MethodPost, "/webhooks/talk/a", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if w, err := r.serve(req); err != nil || w.Code != http.StatusAccepted {
			t.Fatalf("%d, %v", w.Code, err)
		}
		answers := []channel.Outgoing{{Thread: "t", Text: "first"}, {Thread: "t", Text: "second"}}
		journal.cut.Store(true)
		if err := r.HandleOldest(t.Context(), writ.DefaultTenant, answers...); err == nil {
			t.Fatal("the process is dead")
		}
		journal.cut.Store(false)
		if n := len(r.box()); n != 0 {
			t.Errorf("%d are queued of what was not handled", n)
		}
		if err := r.HandleOldest(t.Context(), writ.DefaultTenant, answers...); err != nil {
			t.Fatal(err)
		}
		if n := len(r.box()); n != 2 {
			t.Errorf("%d are queued", n)
		}
		r.restart()
		r.drain()
		if got := p.texts(); !slices.Equal(got, []string{"first", "second"}) || len(r.box()) != 0 {
			t.Errorf("%q, %v", got, r.box())
		}
	})
}

func TestWhatNobodyTakesIsTriedAgainAndThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		p.answer = func(_ int, out *channel.Outgoing) (bool, error) {
			if out.Thread == "down" {
				return false, writ.Errorf(writ.CodeUnavailable, "talk", "no connection was made")
			}
			return true, nil
		}
		r.begin()
		dead := r.queue("1", "down", "never")
		behind := r.queue("2", "down", "behind it")
		r.queue("3", "up", "elsewhere")
		synctest.Wait()
		if got := p.texts(); !slices.Equal(got, []string{"elsewhere"}) {
			t.Errorf("%q: one thread holds another up", got)
		}
		if m := r.box()[dead]; m.Status != contract.MessageWaiting || m.Attempt != 1 || m.Again == 0 || m.Code != writ.CodeUnavailable {
			t.Errorf("%+v", m)
		}
		if got := p.requests(); len(got) != 2 {
			t.Fatalf("%d requests", len(got))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(p.requests()) != 3 || r.box()[behind].Attempt != 0 {
			t.Errorf("%d requests after a second, %+v", len(p.requests()), r.box()[behind])
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		box := r.box()
		if m := box[dead]; m.Status != contract.MessageFailed || m.Code != writ.CodeUnavailable {
			t.Errorf("%+v", m)
		}
		n := 0
		for _, kind := range r.types(dead) {
			if kind == writ.RecMessageSending {
				n++
			}
		}
		if n != channel.MaxTries {
			t.Errorf("%d attempts, want %d", n, channel.MaxTries)
		}
		found, err := r.Drift(t.Context(), writ.DefaultTenant)
		if err != nil || len(found) != 1 || found[0].Code != contract.DriftMessageUnsent || found[0].Subject != dead || !strings.Contains(found[0].Fix, "writ channel resend "+dead) {
			t.Errorf("%+v, %v", found, err)
		}
		if elsewhere, err := r.Drift(t.Context(), other); err != nil || len(elsewhere) != 0 {
			t.Errorf("%+v, %v", elsewhere, err)
		}
		r.halt()
	})
}

func TestAProviderThatTakesNoMoreIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		p.answer = func(n int, _ *channel.Outgoing) (bool, error) {
			if n == 1 {
				return false, channel.Limited("talk", 90*time.Second)
			}
			return true, nil
		}
		r.queue("1", "t", "one")
		r.queue("2", "u", "another thread of the same provider")
		r.begin()
		time.Sleep(89 * time.Second)
		synctest.Wait()
		r.halt()
		if len(p.requests()) != 1 {
			t.Errorf("%d requests in spite of Retry-After", len(p.requests()))
		}
		r.restart() // the wait outlasts the process
		r.begin()
		synctest.Wait()
		if len(p.requests()) != 1 {
			t.Errorf("%d requests of the next process", len(p.requests()))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.halt()
		if got := p.texts(); !slices.Equal(got, []string{"one", "another thread of the same provider"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestWhatIsRefusedForGoodOrUnknownIsNeverSentAgain(t *testing.T) {
	for name, one := range map[string]struct {
		err    error
		status contract.MessageStatus
		record writ.RecordType
	}{
		"invalid":         {writ.Errorf(writ.CodeInvalid, "talk", "no"), contract.MessageFailed, writ.RecMessageFailed},
		"forbidden":       {writ.Errorf(writ.CodeForbidden, "talk", "no"), contract.MessageFailed, writ.RecMessageFailed},
		"unauthenticated": {writ.Errorf(writ.CodeUnauthenticated, "talk", "no"), contract.MessageFailed, writ.RecMessageFailed},
		"not found":       {writ.Errorf(writ.CodeNotFound, "talk", "no"), contract.MessageFailed, writ.RecMessageFailed},
		"indeterminate":   {writ.Errorf(writ.CodeIndeterminate, "talk", "no answer"), contract.MessageIndeterminate, writ.RecMessageIndeterminate},
		"timeout":         {writ.Errorf(writ.CodeTimeout, "talk", "no answer"), contract.MessageIndeterminate, writ.RecMessageIndeterminate},
		"anything else":   {errors.New("a library fell over"), contract.MessageIndeterminate, writ.RecMessageIndeterminate},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, p := newTalk(t)
				p.answer = func(int, *channel.Outgoing) (bool, error) { return false, one.err }
				id := r.queue("1", "t", "one")
				r.begin()
				time.Sleep(time.Hour)
				synctest.Wait()
				r.halt()
				r.restart()
				r.drain()
				if m := r.box()[id]; len(p.requests()) != 1 || m.Status != one.status {
					t.Errorf("%d requests, %+v", len(p.requests()), m)
				}
				if got := r.types(id); !slices.Equal(got, said(writ.RecMessageQueued, writ.RecMessageSending, one.record)) {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

// TestSomebodyDecidesAboutWhatWasGivenUp: it is sent again behind what waits, or dropped.
func TestSomebodyDecidesAboutWhatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		p.answer = func(n int, _ *channel.Outgoing) (bool, error) {
			if n <= 2 {
				return false, writ.Errorf(writ.CodeIndeterminate, "talk", "no answer")
			}
			return true, nil
		}
		again, dropped := r.queue("1", "t", "again"), r.queue("2", "t", "dropped")
		r.drain()
		ctx := as(writ.DefaultTenant)
		for _, wrong := range []struct {
			ctx context.Context
			id  string
		}{{ctx, "msg_none"}, {as(other), again}} {
			if _, err := r.Resend(wrong.ctx, &contract.ChannelResendInput{MessageID: wrong.id}); !writ.IsCode(err, writ.CodeNotFound) {
				t.Errorf("%s: %v", wrong.id, err)
			}
			if _, err := r.Drop(wrong.ctx, &contract.ChannelDropInput{MessageID: wrong.id}); !writ.IsCode(err, writ.CodeNotFound) {
				t.Errorf("%s: %v", wrong.id, err)
			}
		}
		if _, err := r.Drop(ctx, &contract.ChannelDropInput{MessageID: dropped, Reason: "it is there"}); err != nil {
			t.Fatal(err)
		}
		r.queue("3", "t", "waits")
		if _, err := r.Resend(ctx, &contract.ChannelResendInput{MessageID: again, Reason: "it is not there"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Resend(ctx, &contract.ChannelResendInput{MessageID: again}); !writ.IsCode(err, writ.CodeNotFound) {
			t.Errorf("twice: %v", err)
		}
		r.drain()
		if got := p.texts(); !slices.Equal(got, []string{"waits", "again"}) || len(r.box()) != 0 {
			t.Errorf("%q, %v", got, r.box())
		}
		records, err := r.journal.Records(ctx, writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.StreamID(again)})
		if err != nil || len(records) != 6 || records[3].Type != writ.RecMessageQueued || records[3].Actor.ActorID != "human:ada" || records[3].Body.Message.Reason != "it is not there" ||
			records[4].Body.Message.Attempt != 2 {
			t.Errorf("%+v, %v", records, err)
		}
		if got := r.types(dropped); got[len(got)-1] != writ.RecMessageDropped {
			t.Errorf("%q", got)
		}
	})
}

func TestWhoSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		r.opts.Upstreams = map[string]string{"talk.example.com": "http://127.0.0.1:9/"}
		r.restart()
		p.check = func(a *channel.Account) {
			if string(a.Token) != secret || a.Base != "http://127.0.0.1:9" {
				t.Errorf("%q at %q", a.Token, a.Base)
			}
		}
		ctx := t.Context()
		id, err := r.Say(ctx, writ.DefaultTenant, &writ.Saying{Channel: "talk/a", Thread: "t", Text: "now"})
		if err != nil || id != "id-1" {
			t.Errorf("%q, %v", id, err)
		}
		out, err := r.Test(as(writ.DefaultTenant), &contract.ChannelTestInput{Name: "talk/a", Thread: "t"})
		if err != nil || out.Status != "sent" || out.ID != "id-2" || !strings.Contains(p.texts()[1], "human:ada") {
			t.Errorf("%+v, %v, %q", out, err, p.texts())
		}
		p.answer = func(int, *channel.Outgoing) (bool, error) {
			return false, writ.Errorf(writ.CodeForbidden, "talk", "it answered 403").WithFix("let it in")
		}
		if out, err = r.Test(as(writ.DefaultTenant), &contract.ChannelTestInput{Name: "talk/a", Thread: "t"}); err != nil || out.Code != writ.CodeForbidden || out.Fix != "let it in" {
			t.Errorf("%+v, %v", out, err)
		}
		r.add(writ.DefaultTenant, func(c *contract.Channel) { c.Name = "talk/mute" })
		r.add(writ.DefaultTenant)
		for name, code := range map[string]writ.Code{"talk/mute": writ.CodeInvalid, "webhook/crm": writ.CodeInvalid, "talk/none": writ.CodeNotFound, "none/a": writ.CodeNotFound} {
			if _, err := r.Say(ctx, writ.DefaultTenant, &writ.Saying{Channel: writ.ChannelName(name), Text: "x"}); !writ.IsCode(err, code) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := r.Queue(ctx, writ.DefaultTenant, writ.ChannelName(name), "k", &channel.Outgoing{Text: "x"}); !writ.IsCode(err, code) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, token := range map[writ.ChannelName]string{"webhook/crm": "hook", "talk/b": "not-there"} {
			c := contract.Channel{Name: name, Secrets: []string{"hook"}, Token: token}
			if _, err := r.Add(as(writ.DefaultTenant), &contract.ChannelAddInput{Channel: c}); err == nil {
				t.Errorf("%s is added with the token %s", name, token)
			}
		}
	})
}

// TestWhatWaitsOfAChannelThatIsGone is given up, and not lost.
func TestWhatWaitsOfAChannelThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newTalk(t)
		id := r.queue("1", "t", "one")
		if _, err := r.Remove(as(writ.DefaultTenant), &contract.ChannelRemoveInput{Name: "talk/a"}); err != nil {
			t.Fatal(err)
		}
		r.drain()
		if m := r.box()[id]; m.Status != contract.MessageFailed || m.Code != writ.CodeNotFound || len(p.requests()) != 0 {
			t.Errorf("%+v, %d requests", m, len(p.requests()))
		}
	})
}

func TestTheOutboxHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTalk(t)
		r.opts.Outbox = 2
		r.restart()
		r.queue("1", "t", "one")
		r.queue("2", "t", "two")
		if _, err := r.Queue(t.Context(), writ.DefaultTenant, "talk/a", "3", &channel.Outgoing{Text: "three"}); !writ.IsCode(err, writ.CodeUnavailable) {
			t.Errorf("%v", err)
		}
		if _, err := r.Queue(t.Context(), other, "talk/a", "3", &channel.Outgoing{Text: "three"}); err != nil {
			t.Errorf("another channel is held up: %v", err)
		}
		r.restart()
		if _, err := r.Queue(t.Context(), writ.DefaultTenant, "talk/a", "3", &channel.Outgoing{Text: "three"}); !writ.IsCode(err, writ.CodeUnavailable) {
			t.Errorf("a new process: %v", err)
		}
		r.drain()
		r.queue("3", "t", "three")
	})
}

// fuse is a journal that dies after so many appends, and with it the process.
type fuse struct {
	writ.Journal
	mu   sync.Mutex
	left int
}

func (f *fuse) Append(ctx context.Context, b *writ.Batch) (writ.Receipt, error) {
	f.mu.Lock()
	f.left--
	dead := f.left < 0
	f.mu.Unlock()
	if dead {
		return writ.Receipt{}, writ.Errorf(writ.CodeUnavailable, "journal", "the process is dead")
	}
	return f.Journal.Append(ctx, b)
}

func (f *fuse) set(n int) {
	f.mu.Lock()
	f.left = n
	f.mu.Unlock()
}

// TestPropertyEachMessageIsSaidOnceOrSomebodyIsTold: whatever the provider answers and
// wherever the process dies.
func TestPropertyEachMessageIsSaidOnceOrSomebodyIsTold(t *testing.T) {
	rapid.Check(t, func(draw *rapid.T) {
		answers := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 40).Draw(draw, "answers")
		lives := rapid.SliceOfN(rapid.IntRange(0, 12), 1, 8).Draw(draw, "appends before each death")
		threads := rapid.SliceOfN(rapid.IntRange(0, 2), 1, 8).Draw(draw, "threads")
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = saidOnce(t, answers, lives, threads) })
		if wrong != "" {
			draw.Fatal(wrong)
		}
	})
}

func saidOnce(t *testing.T, answers, lives, threads []int) string {
	r, p := newTalk(t)
	journal := &fuse{Journal: r.opts.Journal, left: 1 << 30}
	r.opts.Journal = journal
	r.restart()
	p.answer = func(n int, _ *channel.Outgoing) (bool, error) {
		if n > len(answers) {
			return true, nil
		}
		switch answers[n-1] {
		case 0:
			return false, writ.Errorf(writ.CodeUnavailable, "talk", "not reached")
		case 1:
			return false, channel.Limited("talk", time.Minute)
		case 2:
			return false, writ.Errorf(writ.CodeForbidden, "talk", "no")
		case 3:
			return true, writ.Errorf(writ.CodeIndeterminate, "talk", "taken, and nobody knows")
		case 4:
			return false, writ.Errorf(writ.CodeIndeterminate, "talk", "not taken, and nobody knows")
		}
		return true, nil
	}
	ids := make([]string, len(threads))
	for i, thread := range threads {
		ids[i] = r.queue(fmt.Sprint(i), fmt.Sprint(thread), fmt.Sprint(i))
	}
	for _, appends := range lives {
		journal.set(appends)
		r.begin()
		time.Sleep(90 * time.Second)
		synctest.Wait()
		r.halt()
		journal.set(1 << 30)
		r.restart()
	}
	r.begin()
	for range 400 { // a message that nobody takes is given up before
		if synctest.Wait(); r.Unsaid() == 0 {
			break
		}
		time.Sleep(time.Minute)
	}
	r.halt()
	if n := r.Unsaid(); n != 0 {
		return fmt.Sprintf("%d still wait", n)
	}
	times, last := map[string]int{}, map[string]string{}
	for _, out := range p.took {
		times[out.Text]++
		if before := last[out.Thread]; before > out.Text {
			return fmt.Sprintf("thread %s: %s after %s", out.Thread, out.Text, before)
		}
		last[out.Thread] = out.Text
	}
	box := r.box()
	for i, id := range ids {
		kinds, n := r.types(id), times[fmt.Sprint(i)]
		m, shown := box[id]
		ok := false
		switch kinds[len(kinds)-1] {
		case writ.RecMessageSent:
			ok = n == 1 && !shown
		case writ.RecMessageFailed:
			ok = n == 0 && m.Status == contract.MessageFailed
		case writ.RecMessageIndeterminate:
			ok = n <= 1 && m.Status == contract.MessageIndeterminate
		}
		if !ok {
			return fmt.Sprintf("message %d was taken %d times, and is %q and %+v", i, n, kinds, m)
		}
	}
	return ""
}
