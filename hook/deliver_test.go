package hook

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// A hook tells of what happens after it came to be, in order, of its tenant alone.
func TestDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &receiver{t: t, keys: [][]byte{key(1)}}
		w.opened("default", "exe_before")
		h := pager()
		h.Link = "https://console.example.com/{executionId}/{stepId}"
		s, stop := w.start(t, r, h)
		synctest.Wait()
		for _, id := range []string{"exe_1", "exe_2", "exe_3"} {
			w.opened("default", id)
			w.opened("acme", id+"_acme")
			w.noise("default", id)
		}
		synctest.Wait()
		if got := r.executions(); !slices.Equal(got, []string{"exe_1", "exe_2", "exe_3"}) {
			t.Errorf("got %v", got)
		}
		p := r.got()[0]
		want := `{"type":"controlPlane.approval.requested","timestamp":"2026-03-01T12:00:00.000000000Z","data":{"eventId":"` + p.id +
			`","tenantId":"default","subject":"exe_1/stp_a","actorId":"agent:bot","executionId":"exe_1","stepId":"stp_a","stepName":"send","skill":"acme/mail","version":"1.2.0","action":"send",` +
			`"effect":"write-external","status":"pending","riskTier":"high","rules":["external","high_risk"],"summary":"POST https://api.acme.test/mails","required":2,` +
			`"decideBy":"2026-03-01T13:00:00.000000000Z","approvalDigest":"sha256:aa","link":"https://console.example.com/exe_1/stp_a"}}`
		if string(p.body) != want {
			t.Errorf("the body is\n%s, want\n%s", p.body, want)
		}
		if !strings.HasPrefix(p.id, "evt_") || strings.Contains(p.id, ".") || p.header.Get("Content-Type") != "application/json" || len(strings.Fields(p.header.Get("webhook-signature"))) != 1 {
			t.Errorf("the header is %v", p.header)
		}
		item := shown(t, s, "default")
		if item.State != contract.HookActive || item.Delivered != 3 || item.Behind != 0 || item.Cursor != w.last() || item.Target != "https://hooks.example.com" {
			t.Errorf("got %+v", item)
		}
		stop()
		// What was taken is not sent again, and what came meanwhile is.
		w.opened("default", "exe_4")
		_, stop = w.start(t, r, h)
		synctest.Wait()
		stop()
		if got := r.executions(); !slices.Equal(got, []string{"exe_1", "exe_2", "exe_3", "exe_4"}) {
			t.Errorf("after a restart: %v", got)
		}
	})
}

func TestAFailingReceiverIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		answers := []func() (int, http.Header, error){
			func() (int, http.Header, error) { return 503, nil, nil },
			func() (int, http.Header, error) {
				return 0, nil, errors.New("reset with https://hooks.example.com/t0ken")
			},
			func() (int, http.Header, error) { return 429, http.Header{"Retry-After": {"3600"}}, nil },
			func() (int, http.Header, error) {
				return 503, http.Header{"Retry-After": {time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat)}}, nil
			},
			func() (int, http.Header, error) { return 200, nil, nil },
		}
		w := newWorld()
		r := &receiver{t: t, keys: [][]byte{key(1)}, answer: func(*post) (int, http.Header, error) {
			n++
			return answers[min(n, len(answers))-1]()
		}}
		s, stop := w.start(t, r, pager())
		defer stop()
		synctest.Wait()
		began := time.Now()
		w.opened("default", "exe_1")
		w.opened("default", "exe_2")
		synctest.Wait()
		item := shown(t, s, "default")
		if item.State != contract.HookFailing || item.Pending.Attempts != 1 || item.Failure.StatusCode != 503 || item.Behind != 2 || item.NextAttemptAt.Std().Sub(began) != 5*time.Second {
			t.Errorf("after the first: %+v %+v %+v", item, item.Pending, item.Failure)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if item := shown(t, s, "default"); item.Pending.Attempts != 2 || strings.Contains(item.Failure.Message, "t0ken") || item.Failure.Code != writ.CodeUnavailable {
			t.Errorf("after the second: %+v %+v", item.Pending, item.Failure)
		}
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		var after []time.Duration
		for _, p := range r.got() {
			after = append(after, p.at.Sub(began).Round(time.Second))
		}
		wait := 15 * time.Second // behind the attempt that broke off
		if want := []time.Duration{0, wait, wait + time.Hour, wait + 3*time.Hour, wait + 3*time.Hour}; !slices.Equal(after, want) {
			t.Errorf("the attempts came after %v, want %v", after, want)
		}
		if got := r.executions(); !slices.Equal(got, []string{"exe_1", "exe_2"}) {
			t.Errorf("got %v", got)
		}
		ids := map[string]bool{}
		for _, p := range r.got()[:4] {
			ids[p.id] = true
		}
		if len(ids) != 1 {
			t.Errorf("one event came under the ids %v", ids)
		}
		if item := shown(t, s, "default"); item.State != contract.HookActive || item.Failure != nil || item.NextAttemptAt != 0 {
			t.Errorf("in the end: %+v", item)
		}
	})
}

func TestWhatIsRefusedIsGivenUpAndSeen(t *testing.T) {
	for status, attempts := range map[int]int{400: 8, 404: 8, 302: 8, 500: 24, 501: 24} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			r := &receiver{t: t, answer: func(p *post) (int, http.Header, error) {
				if p.execution == "exe_bad" {
					return status, http.Header{"Location": {"http://169.254.169.254/"}}, nil
				}
				return 204, nil, nil
			}}
			s, stop := w.start(t, r, pager())
			defer stop()
			synctest.Wait()
			bad := w.opened("default", "exe_bad")
			w.opened("default", "exe_good")
			time.Sleep(48 * time.Hour)
			synctest.Wait()
			if n := len(r.got()); n != attempts+1 || !slices.Equal(r.executions(), []string{"exe_good"}) {
				t.Errorf("%d: %d posts, %v", status, n, r.executions())
			}
			item := shown(t, s, "default")
			if len(item.DeadLetters) != 1 || item.DeadTotal != 1 || item.State != contract.HookActive {
				t.Fatalf("%d: %+v", status, item)
			}
			if l := item.DeadLetters[0]; l.ExecutionID != "exe_bad" || l.Position != bad || l.Attempts != attempts || l.Failure.StatusCode != status || l.Failure.Fix == "" {
				t.Errorf("%d: %+v", status, l)
			}
			findings, err := s.Drift(t.Context(), "default")
			if err != nil || len(findings) != 1 || findings[0].Code != contract.DriftHookFailing || findings[0].Fix != "writ hook redeliver pager" {
				t.Errorf("%d: %+v, %v", status, findings, err)
			}
			// The receiver is mended: it is sent again, in order, under its id.
			r.says(nil)
			out, err := s.Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager", Reason: "mended"})
			if err != nil || out.Cursor != bad-1 {
				t.Fatalf("%+v, %v", out, err)
			}
			synctest.Wait()
			if got := r.executions(); !slices.Equal(got, []string{"exe_good", "exe_bad", "exe_good"}) {
				t.Errorf("%d: redelivered %v", status, got)
			}
			if last := r.got(); last[0].id != last[len(last)-2].id {
				t.Errorf("%d: it has another id", status)
			}
			if item := shown(t, s, "default"); item.DeadTotal != 0 || len(item.DeadLetters) != 0 {
				t.Errorf("%d: %+v", status, item)
			}
		})
	}
}

// That a receiver was away does not count against an event that it refuses later.
func TestAnAbsenceIsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := newWorld(), 0
		r := &receiver{t: t, answer: func(*post) (int, http.Header, error) {
			if n++; n <= 30 {
				return 503, nil, nil
			}
			if n < 30+refusedAttempts {
				return 400, nil, nil
			}
			return 200, nil, nil
		}}
		s, stop := w.start(t, r, pager())
		defer stop()
		synctest.Wait()
		w.opened("default", "exe_1")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := r.executions(); !slices.Equal(got, []string{"exe_1"}) || shown(t, s, "default").DeadTotal != 0 {
			t.Errorf("got %v, %+v", got, shown(t, s, "default"))
		}
	})
}

// A proxy's word, and no word at all, are tried for as long as it takes.
func TestWhoIsAwayIsWaitedFor(t *testing.T) {
	for _, status := range []int{408, 425, 429, 502, 503, 504} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			var up atomic.Bool
			r := &receiver{t: t, answer: func(*post) (int, http.Header, error) {
				if up.Load() {
					return 200, nil, nil
				}
				return status, nil, nil
			}}
			s, stop := w.start(t, r, pager())
			defer stop()
			synctest.Wait()
			w.opened("default", "exe_1")
			time.Sleep(14 * time.Minute)
			if f, err := s.Drift(t.Context(), "default"); err != nil || len(f) != 0 {
				t.Errorf("%d: too early: %+v, %v", status, f, err)
			}
			time.Sleep(2 * 24 * time.Hour)
			if f, err := s.Drift(t.Context(), "default"); err != nil || len(f) != 1 {
				t.Errorf("%d: %+v, %v", status, f, err)
			}
			if item := shown(t, s, "default"); item.DeadTotal != 0 || item.Pending.Attempts < 2*24*4 {
				t.Errorf("%d: %+v", status, item.Pending)
			}
			up.Store(true)
			time.Sleep(longestWait)
			synctest.Wait()
			if got := r.executions(); !slices.Equal(got, []string{"exe_1"}) {
				t.Errorf("%d: %v", status, got)
			}
		})
	}
}

func TestGoneDisablesUntilItIsConfiguredAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := &receiver{t: t, answer: func(*post) (int, http.Header, error) { return 410, nil, nil }}
		_, stop := w.start(t, r, pager())
		synctest.Wait()
		w.opened("default", "exe_1")
		w.opened("default", "exe_2")
		time.Sleep(time.Hour)
		stop()
		s, stop := w.start(t, r, pager()) // the same configuration
		time.Sleep(time.Hour)
		w.opened("default", "exe_3")
		synctest.Wait()
		if n := len(r.got()); n != 1 {
			t.Errorf("%d posts", n)
		}
		if item := shown(t, s, "default"); item.State != contract.HookDisabled || item.Failure.StatusCode != 410 || item.Behind != 3 {
			t.Errorf("got %+v", item)
		}
		checks, err := s.Checks(t.Context(), "default")
		if err != nil || len(checks) != 1 || checks[0].OK || checks[0].Name != "hook pager" {
			t.Errorf("%+v, %v", checks, err)
		}
		if m := s.Meters(); m.States[contract.HookDisabled] != 1 || m.Behind != 3 {
			t.Errorf("%+v", m)
		}
		stop()
		anew := pager()
		anew.URL = "https://other.example.com/"
		r.says(nil)
		s, stop = w.start(t, r, anew)
		defer stop()
		synctest.Wait()
		if got := r.executions(); !slices.Equal(got, []string{"exe_1", "exe_2", "exe_3"}) || shown(t, s, "default").State != contract.HookActive {
			t.Errorf("configured anew: %v", got)
		}
	})
}

// While a secret is rotated each request is signed with both.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &receiver{t: t, keys: [][]byte{key(1)}}
		_, stop := w.start(t, r, pager())
		defer stop()
		synctest.Wait()
		signatures := func(execution string, want int, values ...[]byte) {
			t.Helper()
			w.mu.Lock()
			w.secrets["default/key"] = values
			w.mu.Unlock()
			w.opened("default", execution)
			synctest.Wait()
			posts := r.got()
			if p := posts[len(posts)-1]; p.execution != execution || len(strings.Fields(p.header.Get("webhook-signature"))) != want {
				t.Errorf("%s: %v", execution, p.header)
			}
		}
		signatures("exe_1", 1, key(1))
		r.keys = [][]byte{key(9), key(1)}
		signatures("exe_2", 2, key(9), key(1))
		signatures("exe_3", 2, key(9), key(1), key(9), []byte("no key at all"))
		r.keys = [][]byte{key(9)}
		signatures("exe_4", maxKeys, key(9), key(8), key(7), key(6), key(5))
		signatures("exe_5", 1, key(9))
	})
}

// A secret that is missing or none holds the hook up and loses nothing.
func TestWithoutItsSecretAHookWaits(t *testing.T) {
	for name, value := range map[string][]byte{
		"missing": nil, "no prefix": []byte(encode(make([]byte, 32))), "no base64": []byte("whsec_!!"), "too short": []byte("whsec_" + encode(make([]byte, 23))),
		"too long": []byte("whsec_" + encode(make([]byte, 65))),
	} {
		synctest.Test(t, func(t *testing.T) {
			w, r := newWorld(), &receiver{t: t, keys: [][]byte{key(1)}}
			w.secrets["default/key"] = nil
			if value != nil {
				w.secrets["default/key"] = [][]byte{value}
			}
			s, stop := w.start(t, r, pager())
			defer stop()
			synctest.Wait()
			w.opened("default", "exe_1")
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			item := shown(t, s, "default")
			if len(r.got()) != 0 || item.State != contract.HookFailing || item.DeadTotal != 0 || !strings.Contains(item.Failure.Message, "secret key") {
				t.Errorf("%s: %d posts, %+v %+v", name, len(r.got()), item, item.Failure)
			}
			if value != nil && strings.Contains(item.Failure.Message+item.Failure.Fix, string(value)) {
				t.Errorf("%s: the failure says the value", name)
			}
			w.mu.Lock()
			w.secrets["default/key"] = [][]byte{append(key(1), '\n')}
			w.mu.Unlock()
			time.Sleep(longestWait)
			synctest.Wait()
			if got := r.executions(); !slices.Equal(got, []string{"exe_1"}) {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
	for n, want := range map[int]bool{minKey - 1: false, minKey: true, maxKey: true, maxKey + 1: false} {
		if _, ok := parseKey([]byte("whsec_" + encode(make([]byte, n)))); ok != want {
			t.Errorf("a key of %d bytes: %v", n, ok)
		}
	}
}

// The list of what was given up is bounded, and what leaves it is still counted and
// sent again.
func TestDeadLettersAreBoundedAndNoneIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := &receiver{t: t, answer: func(*post) (int, http.Header, error) { return 400, nil, nil }}
		s, stop := w.start(t, r, pager())
		defer stop()
		synctest.Wait()
		const all = maxLetters + 7
		for range all {
			w.opened("default", "exe_x")
		}
		time.Sleep(all * time.Hour)
		synctest.Wait()
		item := shown(t, s, "default")
		if len(item.DeadLetters) != maxLetters || item.DeadTotal != all || item.DeadLetters[0].Position != all-maxLetters+1 {
			t.Fatalf("%d of %d, from %d", len(item.DeadLetters), item.DeadTotal, item.DeadLetters[0].Position)
		}
		r.says(nil)
		if out, err := s.Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager"}); err != nil || out.Cursor != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
		synctest.Wait()
		if n := len(r.executions()); n != all || shown(t, s, "default").DeadTotal != 0 {
			t.Errorf("%d were sent again, %d are left", n, shown(t, s, "default").DeadTotal)
		}
	})
}
