package budget_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/budget"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/trace"
	"github.com/writ-run/writ/trace/tracetest"
)

var (
	ada = &writ.Principal{ID: "human:ada", Kind: writ.Human, Tenant: writ.DefaultTenant, Roles: []string{contract.RoleAdmin}}
	bot = &writ.Principal{ID: "agent:bot", Kind: writ.Agent, Tenant: writ.DefaultTenant, Session: "s1"}
)

type rig struct {
	*budget.Service
	t       testing.TB
	now     time.Time
	journal *trace.Journal
	refused []writ.BudgetUse
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	r.journal = tracetest.Memory(t, r.clock)
	r.restart()
	return r
}

func (r *rig) clock() time.Time { return r.now }

// restart is a new process on the same store.
func (r *rig) restart() {
	r.t.Helper()
	var err error
	if _, err = r.journal.Epoch(r.t.Context(), writ.DefaultTenant); err != nil { // what is accepted can be read
		r.t.Fatal(err)
	}
	r.Service, err = budget.New(budget.Options{
		Store: r.journal, Journal: r.journal, Clock: r.clock,
		Refused: func(u writ.BudgetUse) { r.refused = append(r.refused, u) },
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func as(p *writ.Principal) context.Context { return writ.WithPrincipal(context.Background(), p) }

func (r *rig) set(s contract.BudgetSubject, count int64) error {
	_, err := r.BudgetSet(as(ada), &contract.BudgetSetInput{BudgetSubject: s, Count: count, Reason: "enough"})
	return err
}

func (r *rig) mustSet(s contract.BudgetSubject, count int64) {
	r.t.Helper()
	if err := r.set(s, count); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) want(p *writ.Principal) *writ.BudgetWant {
	return &writ.BudgetWant{Tenant: writ.DefaultTenant, Principal: p, Skill: "acme/mail", Time: writ.Clock(r.clock).Now()}
}

// keep appends the changes of a batch, as an engine would.
func (r *rig) keep(changes []writ.Change) error {
	receipt, err := r.journal.Append(context.Background(), &writ.Batch{
		Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Changes: changes,
		Records: []writ.NewRecord{{Type: writ.RecGrantChanged, Time: writ.Clock(r.clock).Now(), Body: writ.Body{System: &writ.SystemFacts{Subject: "x"}}}},
	})
	if err != nil {
		return err
	}
	return r.journal.Barrier(context.Background(), receipt.Position)
}

// call takes one call.
func (r *rig) call(p *writ.Principal) error {
	want := r.want(p)
	want.Calls = 1
	return r.Take(context.Background(), want, func(_ []writ.BudgetUse, changes []writ.Change, _ writ.Time) error { return r.keep(changes) })
}

func (r *rig) documents(prefix string) int {
	r.t.Helper()
	docs, err := r.journal.List(r.t.Context(), writ.StoreQuery{Tenant: writ.DefaultTenant, Prefix: prefix})
	if err != nil {
		r.t.Fatal(err)
	}
	return len(docs)
}

func calls(span writ.BudgetSpan) contract.BudgetSubject {
	return contract.BudgetSubject{PrincipalID: "*", Kind: writ.BudgetCalls, Span: span}
}

func TestWhatIsNoBudget(t *testing.T) {
	r := newRig(t)
	good := contract.BudgetSetInput{BudgetSubject: contract.BudgetSubject{PrincipalID: "agent:bot", Kind: writ.BudgetCalls, Span: writ.SpanHour}, Count: 1, Reason: "r"}
	for name, change := range map[string]func(in *contract.BudgetSetInput){
		"nothing":            func(in *contract.BudgetSetInput) { in.PrincipalID = "" },
		"two things":         func(in *contract.BudgetSetInput) { in.Tenant = true },
		"no kind":            func(in *contract.BudgetSetInput) { in.Kind = "" },
		"another kind":       func(in *contract.BudgetSetInput) { in.Kind = "money" },
		"no span":            func(in *contract.BudgetSetInput) { in.Span = "" },
		"another span":       func(in *contract.BudgetSetInput) { in.Span = "w" },
		"below nothing":      func(in *contract.BudgetSetInput) { in.Count = -1 },
		"beyond counting":    func(in *contract.BudgetSetInput) { in.Count = writ.MaxAmount + 1 },
		"no reason":          func(in *contract.BudgetSetInput) { in.Reason = " " },
		"a long reason":      func(in *contract.BudgetSetInput) { in.Reason = strings.Repeat("r", 1025) },
		"a long name":        func(in *contract.BudgetSetInput) { in.PrincipalID = writ.PrincipalID(strings.Repeat("p", 513)) },
		"a name with a line": func(in *contract.BudgetSetInput) { in.PrincipalID = "agent:\nbot" },
		"no key of a skill":  func(in *contract.BudgetSetInput) { in.PrincipalID, in.Skill = "", "mail" },
	} {
		in := good
		change(&in)
		if _, err := r.BudgetSet(as(ada), &in); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.Count, good.Reason = writ.MaxAmount, strings.Repeat("r", 1024)
	good.PrincipalID = writ.PrincipalID(strings.Repeat("p", 512))
	if _, err := r.BudgetSet(as(ada), &good); err != nil {
		t.Error(err)
	}
	if r.documents("budget/") != 1 {
		t.Error("what is no budget was kept")
	}
}

// TestBudgetsAtTheirNumberAndOnePast: one that is set already can still be changed.
func TestBudgetsAtTheirNumberAndOnePast(t *testing.T) {
	r := newRig(t)
	of := func(i int) contract.BudgetSubject {
		return contract.BudgetSubject{SessionID: fmt.Sprint("s", i), Kind: writ.BudgetCalls, Span: writ.SpanHour}
	}
	for i := range 1000 {
		r.mustSet(of(i), 1)
	}
	if err := r.set(of(1000), 1); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("one past: %v", err)
	}
	r.mustSet(of(7), 5)
}

// TestCountsThatAreOverAreClearedAway: of ten thousand principals only those of the
// present span stay.
func TestCountsThatAreOverAreClearedAway(t *testing.T) {
	r := newRig(t)
	r.mustSet(calls(writ.SpanMinute), 1)
	most := 0
	for minute := range 8 {
		for i := range 500 {
			if err := r.call(&writ.Principal{ID: writ.PrincipalID(fmt.Sprintf("agent:%d-%d", minute, i)), Tenant: writ.DefaultTenant}); err != nil {
				t.Fatal(err)
			}
		}
		most = max(most, r.documents("budget/count/"))
		r.now = r.now.Add(time.Minute)
	}
	if most > 2100 {
		t.Errorf("%d counts at once", most)
	}
	r.restart()
	for i := range 200 { // what is left over is taken along
		if err := r.call(&writ.Principal{ID: writ.PrincipalID(fmt.Sprint("agent:late", i)), Tenant: writ.DefaultTenant}); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.documents("budget/count/"); n > 2100 {
		t.Errorf("%d counts in the end", n)
	}
}

// TestWhatIsRemovedIsForgotten, also where the process ends before its counts are
// cleared away, and the same budget is set again.
func TestWhatIsRemovedIsForgotten(t *testing.T) {
	r := newRig(t)
	r.mustSet(calls(writ.SpanTotal), 1)
	for i := range 100 {
		if err := r.call(&writ.Principal{ID: writ.PrincipalID(fmt.Sprint("agent:", i)), Tenant: writ.DefaultTenant}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.call(&writ.Principal{ID: "agent:7", Tenant: writ.DefaultTenant}); !errors.Is(err, writ.ErrBudgetSpent) {
		t.Errorf("one past: %v", err)
	}
	out, err := r.BudgetList(as(ada), &contract.BudgetListInput{})
	if err != nil || len(out.Items[0].Taken) != 20 || out.Items[0].More != 80 {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := r.BudgetRemove(as(ada), &contract.BudgetRemoveInput{BudgetSubject: calls(writ.SpanTotal), Reason: "over"}); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.now = r.now.Add(time.Second)
	r.mustSet(calls(writ.SpanTotal), 1)
	for i := range 100 {
		if err := r.call(&writ.Principal{ID: writ.PrincipalID(fmt.Sprint("agent:", i)), Tenant: writ.DefaultTenant}); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	r.restart()
	if err := r.call(&writ.Principal{ID: "agent:7", Tenant: writ.DefaultTenant}); !errors.Is(err, writ.ErrBudgetSpent) {
		t.Errorf("one past: %v", err)
	}
	if n := r.documents("budget/count/"); n != 100 {
		t.Errorf("%d counts", n)
	}
}

// TestNothingMovesWithoutItsRecord.
func TestNothingMovesWithoutItsRecord(t *testing.T) {
	r := newRig(t)
	r.mustSet(calls(writ.SpanTotal), 1)
	full := errors.New("no room")
	want := r.want(bot)
	want.Calls, want.Steps = 1, 1
	for range 3 {
		err := r.Take(t.Context(), want, func([]writ.BudgetUse, []writ.Change, writ.Time) error { return full })
		if !errors.Is(err, full) {
			t.Fatal(err)
		}
	}
	if n, err := r.StepsLastHour(t.Context(), bot, want.Time); n != 0 || err != nil {
		t.Errorf("%d steps, %v", n, err)
	}
	if err := r.call(bot); err != nil {
		t.Error(err)
	}
}

// TestARefusalIsTheFirstOnceInASpan.
func TestARefusalIsTheFirstOnceInASpan(t *testing.T) {
	r := newRig(t)
	r.mustSet(calls(writ.SpanHour), 0)
	refuse := func() {
		want := r.want(bot)
		want.Calls = 1
		refused, err := r.Refuse(t.Context(), want, func(_ *writ.BudgetUse, changes []writ.Change, _ writ.Time) error {
			return r.keep(changes)
		})
		if !refused || err != nil {
			t.Fatalf("%v, %v", refused, err)
		}
	}
	refuse()
	refuse()
	r.restart()
	refuse()
	r.now = r.now.Add(time.Hour)
	refuse()
	var first []bool
	for _, u := range r.refused {
		first = append(first, u.First)
	}
	if fmt.Sprint(first) != "[true false false true]" {
		t.Errorf("%v", first)
	}
}

// TestDocumentsOfOthersAreNotCounted: then nothing may begin.
func TestDocumentsOfOthersAreNotCounted(t *testing.T) {
	for name, change := range map[string]writ.Change{
		"no JSON":         {Key: "budget/limit/aa", Value: []byte("{")},
		"another's name":  {Key: "budget/limit/aa", Value: []byte(`{"scope":"tenant","kind":"calls","span":"h","count":1,"since":"2026-03-01T12:00:00.000000000Z"}`)},
		"no count":        {Key: "budget/count/aa", Value: []byte("[]")},
		"another's count": {Key: "budget/count/aa", Value: []byte(`{"limit":"x"}`)},
	} {
		r := newRig(t)
		if err := r.keep([]writ.Change{change}); err != nil {
			t.Fatal(err)
		}
		if err := r.call(bot); !writ.IsCode(err, writ.CodeTampered) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHammer: many at once take no more than there is, and no less.
func TestHammer(t *testing.T) {
	r := newRig(t)
	r.mustSet(contract.BudgetSubject{Tenant: true, Kind: writ.BudgetCalls, Span: writ.SpanTotal}, 100)
	var taken atomic.Int64
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			p := &writ.Principal{ID: writ.PrincipalID(fmt.Sprint("agent:", i)), Tenant: writ.DefaultTenant}
			for range 20 {
				want := r.want(p)
				want.Calls, want.Steps = 1, 1
				err := r.Take(context.Background(), want, func(_ []writ.BudgetUse, changes []writ.Change, _ writ.Time) error { return r.keep(changes) })
				if err == nil {
					taken.Add(1)
				} else if !errors.Is(err, writ.ErrBudgetSpent) {
					t.Error(err)
				}
				if _, err := r.StepsLastHour(context.Background(), p, want.Time); err != nil {
					t.Error(err)
				}
				if _, err := r.BudgetList(as(ada), &contract.BudgetListInput{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if taken.Load() != 100 {
		t.Errorf("%d were taken", taken.Load())
	}
}

// BenchmarkTake is what a call pays for budgets: none set, set for others, one and
// four that cover it.
func BenchmarkTake(b *testing.B) {
	for name, subjects := range map[string][]contract.BudgetSubject{
		"none":   nil,
		"others": {{PrincipalID: "agent:other", Kind: writ.BudgetCalls, Span: writ.SpanHour}},
		"one":    {{PrincipalID: "agent:bot", Kind: writ.BudgetCalls, Span: writ.SpanHour}},
		"four": {
			{PrincipalID: "agent:bot", Kind: writ.BudgetCalls, Span: writ.SpanHour},
			{Tenant: true, Kind: writ.BudgetCalls, Span: writ.SpanDay},
			{PrincipalID: "*", Kind: writ.BudgetCalls, Span: writ.SpanMinute},
			{Skill: "acme/mail", Kind: writ.BudgetCalls, Span: writ.SpanTotal},
		},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			for _, s := range subjects {
				r.mustSet(s, writ.MaxAmount)
			}
			want := r.want(bot)
			want.Calls = 1
			never := func(*writ.BudgetUse, []writ.Change, writ.Time) error { return nil }
			for b.Loop() {
				if refused, err := r.Refuse(context.Background(), want, never); refused || err != nil {
					b.Fatal(err)
				}
				if err := r.Take(context.Background(), want, func([]writ.BudgetUse, []writ.Change, writ.Time) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHistory is what a step pays for being counted, and a question for asking.
func BenchmarkHistory(b *testing.B) {
	r := newRig(b)
	want := r.want(bot)
	want.Steps = 1
	for b.Loop() {
		if _, err := r.StepsLastHour(context.Background(), bot, want.Time); err != nil {
			b.Fatal(err)
		}
		if err := r.Take(context.Background(), want, func([]writ.BudgetUse, []writ.Change, writ.Time) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
