package channel_test

import (
	"context"
	"encoding/json"
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

// deliverTo is deliver to a thread; the text is the id, too.
func (r *rig) deliverTo(thread, text string) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"type": "note.written", "data": map[string]string{"thread": thread, "text": text}})
	if err != nil {
		r.t.Fatal(err)
	}
	if w, err := r.serve(r.signed("/webhooks/webhook/crm", text, body)); err != nil || w.Code != http.StatusAccepted {
		r.t.Fatalf("%s: %d %v", text, w.Code, err)
	}
	time.Sleep(time.Millisecond) // in the order in which they are sent
}

// refusing lets the fake refuse these texts until they are taken out.
func (r *rig) refusing(texts ...string) (lift func(text string)) {
	var mu sync.Mutex
	r.taken.refuse = func(_ int, _ *writ.Principal, in *contract.IntentSubmitInput) error {
		mu.Lock()
		defer mu.Unlock()
		if slices.Contains(texts, in.Text) {
			return writ.Errorf(writ.CodeFrozen, "fake", "not now")
		}
		return nil
	}
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		texts = slices.DeleteFunc(texts, func(have string) bool { return have == text })
	}
}

func TestWhatComesAfterADeliveryThatWaitsDoesSo(t *testing.T) {
	for name, again := range map[string]func(*rig){
		"":              func(*rig) {},
		"new process":   func(r *rig) { r.restart(); r.begin() },
		"Run was ended": func(r *rig) { r.halt(); r.begin() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.opts.Workers = 1
				r.restart()
				r.add(writ.DefaultTenant)
				lift := r.refusing("one", "three")
				for _, text := range []string{"one", "two", "three"} {
					r.deliverTo("t", text)
				}
				r.deliverTo("u", "elsewhere")
				r.begin()
				synctest.Wait()
				r.want("elsewhere")
				again(r)
				for i := range 4 {
					time.Sleep(20 * time.Second)
					r.deliverTo("t", fmt.Sprint("later ", i))
				}
				r.deliverTo("u", "elsewhere again")
				synctest.Wait()
				r.want("elsewhere", "elsewhere again")
				lift("one")
				time.Sleep(15 * time.Second)
				synctest.Wait()
				r.want("elsewhere", "elsewhere again", "one", "two")
				lift("three")
				time.Sleep(15 * time.Second)
				synctest.Wait()
				r.want("elsewhere", "elsewhere again", "one", "two", "three", "later 0", "later 1", "later 2", "later 3")
			})
		})
	}
}

// TestAChannelWhoseProviderMixesThreadsWaitsAsAWhole, and no other channel with it.
func TestAChannelWhoseProviderMixesThreadsWaitsAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, send := newBatches(t)
		r.opts.Workers = 1
		r.restart()
		lift := r.refusing("two")
		send("a", happened("t", "1", "one"), happened("u", "2", "two"))
		send("a", happened("t", "3", "three"))
		send("b", happened("t", "3", "of another channel"))
		r.begin()
		time.Sleep(time.Minute)
		r.want("one", "of another channel")
		lift("two")
		time.Sleep(15 * time.Second)
		synctest.Wait()
		r.want("one", "of another channel", "two", "three")
	})
}

// TestARowOfARemovedChannelIsRefused: its deliveries are not read any more, and nobody
// knows of which thread they were.
func TestARowOfARemovedChannelIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.add(writ.DefaultTenant)
		r.refusing("one")
		r.deliverTo("t", "one")
		r.deliverTo("t", "two")
		r.begin()
		synctest.Wait()
		if _, err := r.Remove(as(writ.DefaultTenant), &contract.ChannelRemoveInput{Name: "webhook/crm"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		for _, id := range []string{"one", "two"} {
			if o := r.outcome(id); o.Code != writ.CodeNotFound {
				t.Errorf("%s: %+v", id, o)
			}
		}
	})
}

// paced takes its time to find people and to read records, another each time.
type paced struct {
	people
	writ.Traces
	mu    sync.Mutex
	paces []int // seconds
	n     int
}

func (p *paced) pace() {
	p.mu.Lock()
	p.n++
	pace := p.paces[p.n%len(p.paces)]
	p.mu.Unlock()
	time.Sleep(time.Duration(pace) * time.Second)
}

func (p *paced) Principal(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*writ.Principal, error) {
	p.pace()
	return p.people.Principal(ctx, tenant, id)
}

func (p *paced) Records(ctx context.Context, query writ.RecordQuery) ([]writ.Stored, error) {
	p.pace()
	return p.Traces.Records(ctx, query)
}

// inOrder is one run of the property below: deliveries of some threads, of which each is
// refused as often as fails says. It gives back what is wrong.
func inOrder(t *testing.T, threads, fails, gaps, paces []int, halts map[int]bool) string {
	r := newRig(t)
	slow := &paced{Traces: r.journal, paces: paces}
	r.opts.Workers, r.opts.Principals, r.opts.Traces = 1, slow, slow
	r.restart()
	r.add(writ.DefaultTenant)
	left := map[string]int{}
	r.taken.refuse = func(_ int, _ *writ.Principal, in *contract.IntentSubmitInput) error { // under its lock
		if left[in.Text]--; left[in.Text] >= 0 {
			return writ.Errorf(writ.CodeUnavailable, "fake", "not now")
		}
		return nil
	}
	texts, of := make([]string, len(threads)), map[string][]string{}
	for i, thread := range threads {
		name := fmt.Sprint(thread)
		texts[i] = fmt.Sprintf("%s/%03d", name, i)
		left[texts[i]] = fails[i%len(fails)]
		of[name] = append(of[name], texts[i])
	}
	r.begin()
	for i := range threads {
		name, _, _ := strings.Cut(texts[i], "/")
		r.deliverTo(name, texts[i])
		time.Sleep(time.Duration(gaps[i%len(gaps)]) * time.Second)
		if halts[i] {
			r.restart()
			r.begin()
		}
	}
	for i := 0; i < 720 && len(r.taken.texts()) < len(texts); i++ {
		time.Sleep(time.Minute)
	}
	r.halt()
	got := r.taken.texts()
	for name, want := range of {
		var have []string
		for _, text := range got {
			if strings.HasPrefix(text, name+"/") {
				have = append(have, text)
			}
		}
		if !slices.Equal(have, want) {
			return fmt.Sprintf("thread %s: %q, want %q", name, have, want)
		}
	}
	return ""
}

func TestPropertyAThreadKeepsItsOrderWhateverIsRefusedForNow(t *testing.T) {
	rapid.Check(t, func(draw *rapid.T) {
		some := func(most, n int, what string) []int {
			return rapid.SliceOfN(rapid.IntRange(0, most), 1, n).Draw(draw, what)
		}
		threads, fails, gaps, paces := some(2, 30, "threads"), some(3, 10, "refused so often"), some(20, 6, "seconds between"), some(9, 6, "seconds each takes")
		halts := map[int]bool{}
		for _, at := range some(30, 3, "a new process after") {
			halts[at] = true
		}
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = inOrder(t, threads, fails, gaps, paces, halts) })
		if wrong != "" {
			draw.Fatal(wrong)
		}
	})
}

// TestWhoDecidesIsNotHeldUp: in a thread in which somebody else's request waits for the
// end of a freeze, people decide, cancel and ask how things go; what they ask for waits.
func TestWhoDecidesIsNotHeldUp(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, digest := a.asks()
		a.refusing("open gate")
		count := len(a.handled())
		a.says(words("U2", "open gate", true))
		a.says(words("U2", "open attic", true))
		if n := len(a.handled()); n != count {
			t.Fatalf("%d were handled", n-count)
		}
		for _, m := range []channel.Message{words("U1", "writ help", true), press("U3", "approve", refOf(digest), ""), {Kind: channel.Passing, Thread: "t", Why: "an edit"}} {
			a.says(m)
			if count++; len(a.handled()) != count {
				t.Errorf("%+v was held up", m)
			}
		}
		if d := a.decisions(id); len(d) != 1 || !d[0].Approved {
			t.Errorf("%+v", d)
		}
	})
}
