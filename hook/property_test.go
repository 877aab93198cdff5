package hook

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// TestPropertyEachEventArrives: whatever a receiver answers and however often the host
// is killed or an operator goes back, each event of the tenant arrives or is on the
// list of what was given up, the first time in order, under one id, and none of
// another tenant's does. A crash repeats at most what was taken since the last second.
func TestPropertyEachEventArrives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"event", "event", "other", "noise", "wait", "wait long", "crash", "stop", "redeliver"}), 1, 40).Draw(rt, "steps")
		health := rapid.Float64Range(0, 1).Draw(rt, "health")
		synctest.Test(t, func(t *testing.T) {
			(&adventure{t: t, random: rand.New(rand.NewPCG(seed, 1)), world: newWorld()}).run(steps, health, rand.New(rand.NewPCG(seed, 2)))
		})
	})
}

type adventure struct {
	t      *testing.T
	random *rand.Rand
	*world

	receiver *receiver
	sent     []string // executions, in order
	service  *Service
	stop     func()
}

var illnesses = []int{0, 302, 400, 408, 429, 500, 502, 503}

// run goes through the steps with a receiver that takes what it gets as often as
// health says.
func (a *adventure) run(steps []string, health float64, mood *rand.Rand) {
	a.receiver = &receiver{t: a.t, keys: [][]byte{key(1)}, answer: func(p *post) (int, http.Header, error) {
		if mood.Float64() < health {
			return 200, nil, nil
		}
		status := illnesses[mood.IntN(len(illnesses))]
		if status == 0 {
			return 0, nil, errors.New("reset")
		}
		return status, http.Header{"Retry-After": {fmt.Sprint(mood.IntN(100))}}, nil
	}}
	a.begin()
	for n, step := range steps {
		switch step {
		case "event":
			a.sent = append(a.sent, fmt.Sprintf("exe_%03d", n))
			a.opened("default", a.sent[len(a.sent)-1])
		case "other":
			a.opened("acme", fmt.Sprintf("exe_%03d", n))
		case "noise":
			a.noise("default", "exe_noise")
		case "wait":
			time.Sleep(time.Duration(a.random.IntN(20)) * time.Second)
		case "wait long":
			time.Sleep(time.Duration(a.random.IntN(300)) * time.Minute)
		case "crash":
			a.crash()
		case "stop":
			a.stop()
			a.begin()
		case "redeliver":
			if _, err := a.service.Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager"}); err != nil {
				a.t.Error(err)
			}
		}
		synctest.Wait()
	}
	a.receiver.says(nil)
	time.Sleep(time.Hour)
	synctest.Wait()
	if _, err := a.service.Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager"}); err != nil {
		a.t.Error(err)
	}
	synctest.Wait()
	a.stop()
	a.check()
}

func (a *adventure) begin() {
	a.service, a.stop = a.start(a.t, a.receiver, pager())
	synctest.Wait()
}

// crash takes away what is not on disk: what the process does while it dies reaches
// nothing.
func (a *adventure) crash() {
	a.mu.Lock()
	kept := map[string][]byte{}
	for name, value := range a.docs {
		kept[name] = slices.Clone(value)
	}
	a.mu.Unlock()
	a.stop()
	a.mu.Lock()
	a.docs = kept
	a.mu.Unlock()
	a.begin()
}

func (a *adventure) check() {
	var order []string
	ids := map[string]string{}
	for _, p := range a.receiver.taken {
		if p.tenant != "default" {
			a.t.Errorf("an event of %s arrived", p.tenant)
		}
		if have, ok := ids[p.execution]; ok && have != p.id {
			a.t.Errorf("%s came as %s and as %s", p.execution, have, p.id)
		}
		if _, ok := ids[p.execution]; !ok {
			ids[p.execution] = p.id
			order = append(order, p.execution)
		}
	}
	var missing []string
	for _, execution := range a.sent {
		if _, ok := ids[execution]; !ok {
			missing = append(missing, execution)
		}
	}
	if len(missing) > 0 || len(order) != len(a.sent) {
		a.t.Errorf("missing: %v, arrived: %v", missing, order)
	}
	// What was given up comes later than what was behind it; nothing else does.
	late := map[string]bool{}
	for i := 1; i < len(order); i++ {
		if order[i] < order[i-1] {
			late[order[i]] = true
		}
	}
	for execution := range late {
		if a.receiver.tries[execution] < refusedAttempts {
			a.t.Errorf("%s came late and was never given up: %v", execution, order)
		}
	}
}

// What is taken costs no sync each: a note a second at most, beside those of failures.
func TestNotesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &receiver{t: t}
		_, stop := w.start(t, r, pager())
		synctest.Wait()
		for n := range 1000 {
			w.opened("default", fmt.Sprintf("exe_%d", n))
			time.Sleep(3 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if w.noted() > 5 || len(r.executions()) != 1000 {
			t.Errorf("%d notes of %d events", w.noted(), len(r.executions()))
		}
		// What is nothing to the hook costs one in ten thousand records.
		before := w.noted()
		for range maxReread {
			w.noise("default", "exe_x")
		}
		time.Sleep(time.Minute)
		if w.noted() != before {
			t.Errorf("%d notes of nothing", w.noted()-before)
		}
		w.noise("default", "exe_x")
		time.Sleep(time.Minute)
		if w.noted() != before+1 {
			t.Errorf("%d notes of %d records", w.noted()-before, maxReread+1)
		}
		w.noise("default", "exe_x")
		synctest.Wait()
		stop()
		if w.noted() != before+2 {
			t.Errorf("%d notes and an end", w.noted()-before)
		}
	})
}

// TestHammer is for the race detector: everything at once, and nothing is lost.
func TestHammer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &receiver{t: t}
		s, stop := w.start(t, r, pager())
		synctest.Wait()
		var all sync.WaitGroup
		for n := range 4 {
			all.Go(func() {
				for k := range 50 {
					w.opened("default", fmt.Sprintf("exe_%d_%d", n, k))
					time.Sleep(time.Duration(k) * time.Millisecond)
				}
			})
		}
		for _, do := range []func() error{
			func() error { _, err := s.List(as("default"), &contract.HookListInput{}); return err },
			func() error {
				_, err := s.Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager", From: 1})
				return err
			},
			func() error {
				_, err := s.Dismiss(as("default"), &contract.HookDismissInput{Name: "pager"})
				return err
			},
			func() error { _, err := s.Test(as("default"), &contract.HookTestInput{Name: "pager"}); return err },
			func() error { _, err := s.Drift(t.Context(), "default"); return err },
			func() error { _, err := s.Checks(t.Context(), "default"); return err },
			func() error { _ = s.Meters(); return nil },
		} {
			all.Go(func() {
				for range 30 {
					if err := do(); err != nil {
						t.Error(err)
					}
					time.Sleep(7 * time.Millisecond)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		stop()
		arrived := map[string]bool{}
		for _, execution := range r.executions() {
			arrived[execution] = true
		}
		delete(arrived, "") // samples
		if len(arrived) != 200 {
			t.Errorf("%d of 200 events arrived", len(arrived))
		}
	})
}

// A store that fails ends nothing but the hook's progress, and an event is sent again
// rather than lost.
func TestAStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := &receiver{t: t, answer: func(*post) (int, http.Header, error) { return 503, nil, nil }}
		s, stop := w.start(t, r, pager())
		defer stop()
		synctest.Wait()
		w.mu.Lock()
		w.failing = writ.Errorf(writ.CodeUnavailable, "note", "full")
		w.mu.Unlock()
		w.opened("default", "exe_1")
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		w.failing = nil
		w.mu.Unlock()
		r.says(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := r.executions(); !slices.Equal(got, []string{"exe_1"}) || shown(t, s, "default").Behind != 0 {
			t.Errorf("got %v", got)
		}
		// What could not be kept is kept later, although nothing else happens.
		fails := func(err error) {
			w.mu.Lock()
			w.failing = err
			w.mu.Unlock()
		}
		fails(writ.Errorf(writ.CodeUnavailable, "note", "full"))
		last := w.opened("default", "exe_2")
		time.Sleep(time.Minute)
		fails(nil)
		time.Sleep(2 * keepEvery)
		synctest.Wait()
		raw, err := w.Get(t.Context(), "default", "hook/pager")
		if err != nil || !strings.Contains(string(raw), fmt.Sprintf(`"cursor":%d,`, last)) {
			t.Errorf("kept: %s, %v", raw, err)
		}
	})
}
