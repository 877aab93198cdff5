package hook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func TestHooksThatAreNone(t *testing.T) {
	w := newWorld()
	long := strings.Repeat("a", 32)
	for name, c := range map[string]struct {
		change func(*Hook)
		says   string // empty: it is one
	}{
		"as it is":                  {func(*Hook) {}, ""},
		"a long name":               {func(h *Hook) { h.Name = long }, ""},
		"a longer name":             {func(h *Hook) { h.Name = long + "a" }, "32 lower-case"},
		"no name":                   {func(h *Hook) { h.Name = "" }, "32 lower-case"},
		"a path as name":            {func(h *Hook) { h.Name = "a/b" }, "32 lower-case"},
		"no URL":                    {func(h *Hook) { h.URL = "" }, "https://"},
		"no host":                   {func(h *Hook) { h.URL = "https:///x" }, "https://"},
		"a port alone":              {func(h *Hook) { h.URL = "https://:443/" }, "https://"},
		"another scheme":            {func(h *Hook) { h.URL = "ftp://example.com" }, "https://"},
		"in the clear":              {func(h *Hook) { h.URL = "http://example.com" }, "allowPrivate"},
		"in the clear in the house": {func(h *Hook) { h.URL, h.AllowPrivate = "http://127.0.0.1:9", true }, ""},
		"a user":                    {func(h *Hook) { h.URL = "https://user:t0ken@example.com" }, "leave them out"},
		"a fragment":                {func(h *Hook) { h.URL = "https://example.com/#x" }, "leave them out"},
		"a long URL":                {func(h *Hook) { h.URL = "https://example.com/" + strings.Repeat("t", maxURL-20) }, ""},
		"a longer URL":              {func(h *Hook) { h.URL = "https://example.com/" + strings.Repeat("t", maxURL-19) }, "https://"},
		"no events":                 {func(h *Hook) { h.Events = nil }, "events:"},
		"a short event":             {func(h *Hook) { h.Events = []string{"approval.requested"} }, "did you mean controlPlane.approval.requested?"},
		"a slip":                    {func(h *Hook) { h.Events = []string{"controlPlane.aproval.expired"} }, "did you mean controlPlane.approval.expired?"},
		"a short slip":              {func(h *Hook) { h.Events = []string{"aproval.expired"} }, "did you mean controlPlane.approval.expired?"},
		"no event at all":           {func(h *Hook) { h.Events = []string{"everything"} }, "events.md"},
		"another's tenant":          {func(h *Hook) { h.Tenant = "acme" }, ""},
		"no tenant at all":          {func(h *Hook) { h.Tenant = "Acme/x" }, "writ tenant list"},
		"no secret":                 {func(h *Hook) { h.Secret = "" }, "writ secret set"},
		"a link":                    {func(h *Hook) { h.Link = "https://console.example.com/{executionId}#{stepId}" }, ""},
		"no link":                   {func(h *Hook) { h.Link = "/executions/{executionId}" }, "link:"},
		"a link to something else":  {func(h *Hook) { h.Link = "https://console.example.com/{intentId}" }, "link:"},
	} {
		h := pager()
		c.change(&h)
		_, err := New(Options{Hooks: []Hook{h}, Store: w, Notes: w, Journal: w, Traces: w, Tip: w.tip, Secrets: w, Clock: nil, Jitter: nil})
		if !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: without a clock: %v", name, err)
		}
		opts := w.service(t, nil).opts
		opts.Hooks = []Hook{h}
		_, err = New(opts)
		text := fmt.Sprintf("%+v", err)
		var e *writ.Error
		if err != nil {
			e, _ = err.(*writ.Error)
			text = e.Error() + " " + e.Fix
		}
		if (c.says == "") != (err == nil) || !strings.Contains(text, c.says) || strings.Contains(text, "t0ken") {
			t.Errorf("%s: %v", name, text)
		}
	}
	opts := w.service(t, nil).opts
	for n, want := range map[int]bool{MaxHooks: true, MaxHooks + 1: false} {
		opts.Hooks = nil
		for i := range n {
			h := pager()
			h.Name = fmt.Sprintf("hook-%d", i)
			opts.Hooks = append(opts.Hooks, h)
		}
		if _, err := New(opts); (err == nil) != want {
			t.Errorf("%d hooks: %v", n, err)
		}
	}
	opts.Hooks = []Hook{pager(), pager()}
	if _, err := New(opts); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("twice: %v", err)
	}
}

// Hooks of another tenant are as those of nobody.
func TestAHookIsOfItsTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &receiver{t: t}
		theirs := pager()
		theirs.Name, theirs.Tenant = "theirs", "acme"
		s, stop := w.start(t, r, pager(), theirs)
		defer stop()
		synctest.Wait()
		w.opened("acme", "exe_acme")
		w.opened("default", "exe_default")
		synctest.Wait()
		for _, p := range r.got() {
			if p.execution != "exe_"+p.tenant {
				t.Errorf("%s got %s", p.tenant, p.execution)
			}
		}
		if len(r.got()) != 2 || shown(t, s, "default").Name != "pager" || shown(t, s, "acme").Name != "theirs" {
			t.Errorf("%d posts", len(r.got()))
		}
		before := len(w.records)
		for name, try := range map[string]func(string) error{
			"list": func(n string) error { _, err := s.List(as("default"), &contract.HookListInput{Name: n}); return err },
			"test": func(n string) error { _, err := s.Test(as("default"), &contract.HookTestInput{Name: n}); return err },
			"redeliver": func(n string) error {
				_, err := s.Redeliver(as("default"), &contract.HookRedeliverInput{Name: n})
				return err
			},
			"dismiss": func(n string) error {
				_, err := s.Dismiss(as("default"), &contract.HookDismissInput{Name: n})
				return err
			},
		} {
			real, none := try("theirs"), try("nobody")
			if !writ.IsCode(real, writ.CodeNotFound) || strings.ReplaceAll(real.Error(), "theirs", "nobody") != none.Error() {
				t.Errorf("%s: %v, %v", name, real, none)
			}
		}
		if len(w.records) != before || len(r.got()) != 2 {
			t.Error("a stranger's attempt left something")
		}
		if f, err := s.Drift(t.Context(), "nobody"); err != nil || len(f) != 0 {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

// Nobody goes forward with a hook: that would leave events out.
func TestRedeliveryGoesBackAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &receiver{t: t}
		s, stop := w.start(t, r, pager())
		synctest.Wait()
		for n := range 4 {
			w.opened("default", fmt.Sprintf("exe_%d", n))
		}
		synctest.Wait()
		again := func(from, cursor writ.Position, want ...string) {
			t.Helper()
			before := len(r.executions())
			out, err := s.Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager", From: from, Reason: "r"})
			if err != nil || out.Cursor != cursor {
				t.Errorf("from %d: %+v, %v", from, out, err)
			}
			synctest.Wait()
			if got := r.executions()[before:]; !slices.Equal(got, want) {
				t.Errorf("from %d: %v, want %v", from, got, want)
			}
		}
		again(3, 2, "exe_2", "exe_3")
		again(1, 0, "exe_0", "exe_1", "exe_2", "exe_3")
		at := shown(t, s, "default").Cursor
		again(at+1, at)
		again(0, w.last())
		if _, err := s.Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager", From: w.last() + 2}); !writ.IsCode(err, writ.CodeConflict) {
			t.Errorf("ahead: %v", err)
		}
		last := w.records[len(w.records)-1]
		if f := last.Body.System; last.Type != writ.RecHookChanged || f.Subject != "pager" || f.Status != statusRedeliver || f.Reason != "r" || last.Actor.ActorID != "human:ada" {
			t.Errorf("the record is %+v %+v", last, f)
		}
		stop()
		// Without a daemon it is on disk, for the next one.
		if _, err := w.service(t, r, pager()).Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager", From: 4}); err != nil {
			t.Error(err)
		}
		before := len(r.executions())
		_, stop = w.start(t, r, pager())
		defer stop()
		synctest.Wait()
		if got := r.executions()[before:]; !slices.Equal(got, []string{"exe_3"}) {
			t.Errorf("the next daemon sent %v", got)
		}
	})
}

// Who goes back while an event is on its way goes back all the same: what comes of that
// event does not count any more.
func TestRedeliveryInTheMiddleOfAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, gate := newWorld(), make(chan struct{})
		r := &receiver{t: t, answer: func(p *post) (int, http.Header, error) {
			if p.execution == "exe_1" {
				<-gate
			}
			return 200, nil, nil
		}}
		s, stop := w.start(t, r, pager())
		defer stop()
		synctest.Wait()
		first := w.opened("default", "exe_0")
		w.opened("default", "exe_1")
		synctest.Wait()
		if _, err := s.Redeliver(as("default"), &contract.HookRedeliverInput{Name: "pager", From: first}); err != nil {
			t.Fatal(err)
		}
		close(gate)
		synctest.Wait()
		if got := r.executions(); !slices.Equal(got, []string{"exe_0", "exe_1", "exe_0", "exe_1"}) {
			t.Errorf("got %v", got)
		}
		if item := shown(t, s, "default"); item.Behind != 0 || item.State != contract.HookActive {
			t.Errorf("got %+v", item)
		}
	})
}

func TestDismissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.docs["default/hook/pager"] = mustJSON(t, &state{Cursor: 0, DeadTotal: 3, DeadFrom: 1, Dead: []contract.HookLetter{{EventID: "evt_a", Position: 1}}})
		s := w.service(t, nil, pager())
		out, err := s.Dismiss(as("default"), &contract.HookDismissInput{Name: "pager", Reason: "seen"})
		if err != nil || out.Dismissed != 3 || len(w.records) != 1 || w.records[0].Body.System.Reason != "seen" {
			t.Fatalf("%+v, %v", out, err)
		}
		if item := shown(t, w.service(t, nil, pager()), "default"); item.DeadTotal != 0 || len(item.DeadLetters) != 0 {
			t.Errorf("on disk: %+v", item)
		}
		if out, err := s.Dismiss(as("default"), &contract.HookDismissInput{Name: "pager"}); err != nil || out.Dismissed != 0 || len(w.records) != 1 {
			t.Errorf("nothing is left: %+v, %v", out, err)
		}
	})
}

func TestADocumentThatCannotBeRead(t *testing.T) {
	w := newWorld()
	w.docs["default/hook/pager"] = []byte("{")
	s := w.service(t, nil, pager())
	if _, err := s.List(as("default"), &contract.HookListInput{}); !writ.IsCode(err, writ.CodeTampered) {
		t.Errorf("list: %v", err)
	}
	if m := s.Meters(); m.States[contract.HookActive] != 0 {
		t.Errorf("%+v", m)
	}
}

// What an event says beside ids, names and codes stays at home.
func TestWhatLeavesTheHouse(t *testing.T) {
	h := pager()
	for _, e := range contract.Events() {
		h.Events = append(h.Events, e.Key)
	}
	w := newWorld().service(t, nil, h).workers[0]
	failure := &abi.Failure{Code: "http_status", Message: "private message", Fix: "private fix"}
	said := writ.Decision{By: "human:bob", Note: "private note", Approved: true}
	for name, r := range map[string]writ.Record{
		"failed":   {Type: writ.RecStepFailed, Body: writ.Body{Ended: &writ.EndedFacts{Failure: failure, Reason: "private reason", Reasons: []writ.Reason{{Rule: "r", Message: "private words"}}}}},
		"called":   {Type: writ.RecToolCalled, Body: writ.Body{Call: &writ.CalledFacts{Tool: "http.request", Summary: "GET https://private.test/?q=private", Sequence: 1}}},
		"denied":   {Type: writ.RecToolDenied, Body: writ.Body{Call: &writ.CalledFacts{Tool: "http.request", Failure: failure}}},
		"decided":  {Type: writ.RecApprovalDecided, Body: writ.Body{Approval: &writ.ApprovalFacts{Status: writ.ApprovalApproved, Decision: &said}}},
		"rejected": {Type: writ.RecPlanRejected, Body: writ.Body{Plan: &writ.CompiledFacts{Problems: []writ.Problem{{Code: "c", Message: "private draft"}}}}},
		"ended":    {Type: writ.RecExecutionEnded, Body: writ.Body{End: &writ.EndFacts{Status: writ.ExecCancelled, Reason: "private reason"}}},
		"opened": {Type: writ.RecApprovalOpened, Body: writ.Body{Approval: &writ.ApprovalFacts{Request: &writ.ApprovalRequest{
			Summary: strings.Repeat("s", 2*maxSummary), Input: json.RawMessage(`"private input"`), Reasons: []writ.Reason{{Rule: "r", Message: "private words"}},
		}}}},
	} {
		r.Tenant, r.Stream, r.Step = "default", "exe_1", "stp_a"
		rec := &writ.Stored{Record: r, Digest: "sha256:aa"}
		list := contract.EventsOf(rec, nil)
		if len(list) != 1 || !w.wants[list[0].Type] || !w.kinds[r.Type] {
			t.Fatalf("%s: %+v", name, list)
		}
		body, err := w.messageOf(rec, &list[0], nil)
		if err != nil || strings.Contains(string(body), "private") || len(body) > 4*maxSummary {
			t.Errorf("%s: %v: %s", name, err, body)
		}
		if name == "decided" && !strings.Contains(string(body), `"decidedBy":"human:bob"`) || name == "failed" && !strings.Contains(string(body), `"code":"http_status"`) {
			t.Errorf("%s: %s", name, body)
		}
	}
}

// A decision is told with what was asked, which stands in an earlier record.
func TestADecisionSaysWhatWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &receiver{t: t}
		h := pager()
		h.Events = []string{contract.EventApprovalGranted, contract.EventApprovalExpired}
		_, stop := w.start(t, r, h)
		defer stop()
		synctest.Wait()
		w.mu.Lock()
		w.append("default", "exe_1", writ.NewRecord{Type: writ.RecPlanCompiled, Time: at0, Body: writ.Body{Plan: &writ.CompiledFacts{
			Steps: []writ.PlannedStep{{ID: "stp_a", Name: "send", Skill: writ.SkillRef{Key: "acme/mail", Version: "1.2.0"}, Action: "send"}},
		}}})
		w.mu.Unlock()
		w.opened("default", "exe_1")
		for _, digest := range []writ.Digest{"sha256:bb", "sha256:aa"} {
			w.mu.Lock()
			w.append("default", "exe_1", writ.NewRecord{Type: writ.RecApprovalDecided, Time: at0, Step: "stp_a", Body: writ.Body{Approval: &writ.ApprovalFacts{
				Digest: digest, Status: writ.ApprovalApproved, Decision: &writ.Decision{By: "human:bob", Approved: true},
			}}})
			w.mu.Unlock()
		}
		synctest.Wait()
		posts := r.got()
		if len(posts) != 2 {
			t.Fatalf("%d posts", len(posts))
		}
		if d := posts[0].message.Data; d.Summary != "" || d.StepName != "send" || d.DecidedBy != "human:bob" {
			t.Errorf("of another request: %+v", d)
		}
		if d := posts[1].message.Data; d.Summary == "" || d.StepName != "send" || d.RiskTier != writ.RiskHigh || len(d.Rules) != 2 || d.Status != "approved" {
			t.Errorf("got %+v", d)
		}
	})
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
