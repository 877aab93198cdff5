package engine_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/host/wasmtest"
)

// budgeted is a rig whose clock stands until it is moved, on a whole hour.
type budgeted struct {
	*rig
	at atomic.Int64
}

func newBudgeted(t *testing.T) *budgeted {
	t.Helper()
	return newBudgetedWith(t, alwaysJudge(t))
}

func newBudgetedWith(t *testing.T, judge writ.Judge) *budgeted {
	t.Helper()
	b := &budgeted{}
	b.at.Store(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC).UnixNano())
	b.rig = newRigWith(t, &rig{now: func() time.Time { return time.Unix(0, b.at.Load()).UTC() }, judges: judges{judge}})
	b.priced("paid", abi.Cost{Kind: abi.CostSpend, Pointer: "/value", Times: 1_000_000})
	b.priced("fee", abi.Cost{Kind: abi.CostSpend, Amount: 2_000_000}, abi.Cost{Kind: abi.CostSpend, Pointer: "/value", Times: 10_000})
	b.priced("model", abi.Cost{Kind: abi.CostTokens, Pointer: "/value"})
	return b
}

// priced adds a skill whose one call, kv.put, costs something.
func (b *budgeted) priced(name string, costs ...abi.Cost) {
	b.put(name, wasmtest.ToolCaller(abi.ToolKVPut), abi.EffectWriteLocal, []writ.Capability{{Tool: abi.ToolKVPut, Prefixes: []string{"k"}, Costs: costs}}, nil)
}

func (b *budgeted) pass(d time.Duration) { b.at.Add(int64(d)) }

func limited(kind writ.BudgetKind, span writ.BudgetSpan) contract.BudgetSubject {
	return contract.BudgetSubject{PrincipalID: agent.ID, Kind: kind, Span: span}
}

func (r *rig) limit(s contract.BudgetSubject, count int64) {
	r.t.Helper()
	_, err := r.budgets.BudgetSet(as(approver), &contract.BudgetSetInput{BudgetSubject: s, Count: count, Reason: "enough"})
	r.do(err)
}

// taken is the state of the budget at an index of the list.
func (r *rig) taken(i int) contract.BudgetTaken {
	r.t.Helper()
	out, err := r.budgets.BudgetList(as(approver), &contract.BudgetListInput{})
	r.do(err)
	if len(out.Items) <= i || len(out.Items[i].Taken) != 1 {
		r.t.Fatalf("%+v", out.Items)
	}
	return out.Items[i].Taken[0]
}

// counted wants what is used, reserved and left of the only budget.
func (r *rig) counted(used, reserved, left int64) {
	r.t.Helper()
	if got := r.taken(0); got.Used != used || got.Reserved != reserved || got.Left != left {
		r.t.Errorf("used %d, reserved %d, left %d, want %d, %d, %d", got.Used, got.Reserved, got.Left, used, reserved, left)
	}
}

func using(skill, value string) string {
	return head + fmt.Sprintf("  - {name: it, uses: test/%s#run, with: {key: k1, value: %q}}\n", skill, value)
}

func refusal(s *writ.StepState) writ.Reason {
	if s.Verdict == nil || len(s.Verdict.Reasons) == 0 {
		return writ.Reason{}
	}
	return s.Verdict.Reasons[0]
}

// TestABudgetOfStepsBlocksTheNext: at the limit, one past it, and in the next span.
func TestABudgetOfStepsBlocksTheNext(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(limited(writ.BudgetSteps, writ.SpanHour), 2)
	for range 2 {
		r.expect(r.begin(agent, store), writ.ExecCompleted)
	}
	r.pass(time.Hour - 1) // the last moment of the span
	id := r.begin(agent, store)
	state := r.expect(id, writ.ExecBlocked)
	reason := refusal(&state.Steps[0])
	if reason.Rule != writ.RuleBudget || reason.Message != "the budget of principal agent:bot is 2 steps an hour: 2 steps taken, and this takes 1 step more; it is free again at 2026-03-01T11:00:00Z" {
		t.Errorf("%+v", reason)
	}
	if !strings.Contains(reason.Fix, "writ budget set") {
		t.Errorf("fix %q", reason.Fix)
	}
	if clamps := state.Steps[0].Verdict.Clamps; len(clamps) != 1 || clamps[0] != (writ.Clamp{Rule: writ.RuleBudget, From: writ.Autonomous, To: writ.Blocked}) {
		t.Errorf("%+v", clamps)
	}
	r.identical(id)
	r.reboot()
	r.identical(id)
	r.do(r.retry(id)) // still in the span
	r.expect(id, writ.ExecBlocked)
	r.expect(r.begin(service, store), writ.ExecCompleted) // somebody else
	r.counted(2, 0, 0)
	r.pass(1)
	r.counted(0, 0, 2)
	r.do(r.retry(id))
	r.expect(id, writ.ExecCompleted)
	r.counted(1, 0, 1)
	r.identical(id)
}

// TestABudgetOfCallsDeniesTheNext: the guest is told, and may go on without.
func TestABudgetOfCallsDeniesTheNext(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(limited(writ.BudgetCalls, writ.SpanTotal), 3)
	r.expect(r.begin(agent, using("twice", "v")), writ.ExecCompleted)
	id := r.begin(agent, using("twice", "v"))
	state := r.expect(id, writ.ExecFailed)
	if f := state.Steps[0].Failure; f == nil || f.Code != abi.FailDenied || !strings.Contains(f.Message, "3 calls in all: 3 calls taken, and this takes 1 call more; it does not become free by itself") {
		t.Errorf("%+v", f)
	}
	if r.tools.count() != 3 || r.countRecords(id, writ.RecToolDenied) != 1 {
		t.Errorf("%d calls", r.tools.count())
	}
	r.identical(id)
	r.crash()
	r.identical(id)
	r.counted(3, 0, 0)
	r.limit(limited(writ.BudgetCalls, writ.SpanTotal), 5) // what was taken stays taken
	r.counted(3, 0, 2)
	r.do(r.retry(id))
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

// TestWhoActsOnBehalfCounts: for itself, and for the one it acts for.
func TestWhoActsOnBehalfCounts(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(contract.BudgetSubject{PrincipalID: "human:ada", Kind: writ.BudgetSteps, Span: writ.SpanDay}, 1)
	r.limit(contract.BudgetSubject{PrincipalID: writ.EachSubject, Kind: writ.BudgetSteps, Span: writ.SpanDay}, 2)
	deputy := *agent
	deputy.OnBehalfOf = []writ.PrincipalID{"human:ada"}
	r.expect(r.begin(&deputy, store), writ.ExecCompleted)
	id := r.begin(&deputy, store)
	r.expect(id, writ.ExecBlocked)
	r.identical(id)
	r.expect(r.begin(agent, store), writ.ExecCompleted) // for itself
	id = r.begin(agent, store)
	r.expect(id, writ.ExecBlocked)
	r.identical(id)
	out, err := r.budgets.BudgetList(as(approver), &contract.BudgetListInput{})
	r.do(err)
	each := out.Items[slices.IndexFunc(out.Items, func(b contract.Budget) bool { return b.Subject == "*" })].Taken
	if len(each) != 2 || each[0].Subject != "agent:bot" || each[0].Used != 2 || each[1].Subject != "human:ada" || each[1].Used != 1 {
		t.Errorf("%+v", each)
	}
}

// TestSkillsAndSessionsAreCounted each by itself.
func TestSkillsAndSessionsAreCounted(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(contract.BudgetSubject{Skill: "test/keep", Kind: writ.BudgetSteps, Span: writ.SpanMinute}, 1)
	r.limit(contract.BudgetSubject{SessionID: writ.EachSubject, Kind: writ.BudgetCalls, Span: writ.SpanTotal}, 1)
	r.expect(r.begin(agent, store), writ.ExecCompleted)
	r.expect(r.begin(service, store), writ.ExecBlocked)
	r.pass(time.Minute)
	r.expect(r.begin(service, store), writ.ExecCompleted)
	for _, session := range []string{"one", "two"} {
		p := *agent
		p.Session = session
		r.expect(r.begin(&p, using("paid", "0")), writ.ExecCompleted)
		id := r.begin(&p, using("paid", "0"))
		r.expect(id, writ.ExecFailed)
		r.identical(id)
	}
}

// TestWhatACallSpendsIsReservedAndSettled: used when it is done, given back where
// nothing was.
func TestWhatACallSpendsIsReservedAndSettled(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(limited(writ.BudgetSpend, writ.SpanDay), 10_000_000)
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult {
		r.counted(0, 2_500_000, 7_500_000)
		return nil
	}
	id := r.begin(agent, using("paid", "2.50"))
	r.expect(id, writ.ExecCompleted)
	r.counted(2_500_000, 0, 7_500_000)
	r.identical(id)

	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult {
		return &writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: &abi.Failure{Code: abi.FailUnavailable, Message: "not sent"}}
	}
	id = r.begin(agent, using("paid", "7.5"))
	r.expect(id, writ.ExecFailed)
	r.counted(2_500_000, 0, 7_500_000)
	r.identical(id)
	r.tools.fail = nil

	id = r.begin(agent, using("paid", "7.500001"))
	state := r.expect(id, writ.ExecFailed)
	if f := state.Steps[0].Failure; f == nil || !strings.Contains(f.Message, "10 of spend a day: 2.5 of spend taken, and this takes 7.500001 of spend more; it is free again at 2026-03-02T00:00:00Z") {
		t.Errorf("%+v", f)
	}
	r.identical(id)
	id = r.begin(agent, using("fee", "550")) // a fee of 2, and 550 cents
	r.expect(id, writ.ExecCompleted)
	r.counted(10_000_000, 0, 0)
	r.identical(id)
	id = r.begin(agent, using("paid", "0"))
	r.expect(id, writ.ExecCompleted) // it takes nothing
}

// TestAnAmountThatCannotBeReadDeniesTheCall, whether a budget is set or not.
func TestAnAmountThatCannotBeReadDeniesTheCall(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	for _, value := range []string{"-1", "1e3", "", "12,5", "+1", " 1", "0x10", "1.", ".5", "1.0000001", "1234567890123", "NaN", "999999999999"} {
		id := r.begin(agent, using("paid", value))
		state := r.expect(id, writ.ExecFailed)
		if f := state.Steps[0].Failure; f == nil || f.Code != abi.FailDenied || !strings.Contains(f.Message, "the amount at /value") {
			t.Errorf("%q: %+v", value, f)
		}
		r.identical(id)
	}
	if r.tools.count() != 0 {
		t.Error("a call was made")
	}
}

// TestAnUnknownOutcomeKeepsItsReservation until an operator says what it came to.
func TestAnUnknownOutcomeKeepsItsReservation(t *testing.T) {
	t.Parallel()
	for ruling, want := range map[writ.Ruling][3]int64{
		writ.RulingDone:  {3_000_000, 0, 1_000_000},
		writ.RulingFail:  {3_000_000, 0, 1_000_000}, // nobody knows that it did not happen
		writ.RulingRetry: {3_000_000, 0, 1_000_000}, // given back, and taken by the call that is sent again
	} {
		r := newBudgeted(t)
		r.limit(limited(writ.BudgetSpend, writ.SpanTotal), 4_000_000)
		r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult { return &writ.ToolResult{Outcome: writ.OutcomeUnknown} }
		id := r.begin(agent, using("paid", "3"))
		r.expect(id, writ.ExecIndeterminate)
		r.counted(0, 3_000_000, 1_000_000)
		r.crash()
		r.counted(0, 3_000_000, 1_000_000)
		r.tools.fail = nil
		other := r.begin(agent, using("paid", "1.5"))
		r.expect(other, writ.ExecFailed)
		r.do(r.rule(id, ruling))
		r.counted(want[0], want[1], want[2])
		r.identical(id)
		r.reboot()
		r.counted(want[0], want[1], want[2])
		r.identical(other)
	}
}

// TestTokensSettleByWhatTheToolSays: less than was reserved, or more.
func TestTokensSettleByWhatTheToolSays(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(limited(writ.BudgetTokens, writ.SpanDay), 1000)
	said := int64(240)
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult {
		return &writ.ToolResult{Outcome: writ.OutcomeDone, Body: []byte(`{}`), Spent: &writ.Amounts{Tokens: said}}
	}
	id := r.begin(agent, using("model", "700"))
	r.expect(id, writ.ExecCompleted)
	r.counted(240, 0, 760)
	r.identical(id)
	id = r.begin(agent, using("model", "761"))
	r.expect(id, writ.ExecFailed)
	said = 800
	id = r.begin(agent, using("model", "760"))
	r.expect(id, writ.ExecCompleted)
	r.counted(1040, 0, 0) // it is what happened
	r.identical(id)
	said = -5
	r.pass(24 * time.Hour)
	r.expect(r.begin(agent, using("model", "1")), writ.ExecCompleted)
	r.counted(0, 0, 1000)
}

// TestASpanThatIsOverSettlesNothing: what was reserved in it takes nothing of the
// next.
func TestASpanThatIsOverSettlesNothing(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(limited(writ.BudgetSpend, writ.SpanHour), 5_000_000)
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult {
		r.pass(time.Hour)
		return nil
	}
	id := r.begin(agent, using("paid", "5"))
	r.expect(id, writ.ExecCompleted)
	r.counted(0, 0, 5_000_000)
	r.identical(id)
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult { // the budget was removed, and is set again
		_, err := r.budgets.BudgetRemove(as(approver), &contract.BudgetRemoveInput{BudgetSubject: limited(writ.BudgetSpend, writ.SpanHour), Reason: "over"})
		r.do(err)
		r.pass(time.Second)
		r.limit(limited(writ.BudgetSpend, writ.SpanHour), 3_000_000)
		return nil
	}
	r.expect(r.begin(agent, using("paid", "5")), writ.ExecCompleted)
	r.counted(0, 0, 3_000_000)
}

// TestAClockThatIsBehindCountsInNoSpanThatIsOver.
func TestAClockThatIsBehindCountsInNoSpanThatIsOver(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.pass(time.Minute)
	r.limit(limited(writ.BudgetSteps, writ.SpanHour), 3)
	r.pass(-30 * time.Second) // before it was set
	early := r.begin(agent, store)
	r.expect(early, writ.ExecCompleted)
	r.identical(early)
	r.expect(r.begin(agent, store), writ.ExecCompleted)
	r.pass(-time.Minute) // into the hour before
	id := r.begin(agent, store)
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
	id = r.begin(agent, store)
	r.expect(id, writ.ExecBlocked)
	r.identical(id)
	r.reboot()
	r.expect(r.begin(agent, store), writ.ExecBlocked)
}

// contested lets something happen right before a budget is drawn on.
type contested struct {
	engine.Budgets
	r *rig
}

func (c contested) Take(ctx context.Context, want *writ.BudgetWant, write func([]writ.BudgetUse, []writ.Change, writ.Time) error) error {
	if c.r.racing != nil {
		c.r.racing(want)
	}
	return c.Budgets.Take(ctx, want, write)
}

// TestRoomThatIsTakenInTheSameMomentIsGone: a step and a call that were judged while
// there was room are judged again, and refused.
func TestRoomThatIsTakenInTheSameMomentIsGone(t *testing.T) {
	t.Parallel()
	for kind, status := range map[writ.BudgetKind]writ.ExecutionStatus{writ.BudgetSteps: writ.ExecBlocked, writ.BudgetCalls: writ.ExecFailed} {
		r := newBudgeted(t)
		r.limit(contract.BudgetSubject{Tenant: true, Kind: kind, Span: writ.SpanHour}, 1)
		r.racing = func(want *writ.BudgetWant) {
			if want.Of(kind) == 0 {
				return
			}
			r.racing = nil
			r.do(r.budgets.Take(t.Context(), want, func([]writ.BudgetUse, []writ.Change, writ.Time) error { return nil }))
		}
		id := r.begin(agent, store)
		state := r.expect(id, status)
		if r.tools.count() != 0 || r.racing != nil {
			t.Errorf("%s: %d calls of %+v", kind, r.tools.count(), state.Steps)
		}
		r.identical(id)
	}
}

// TestTheLastRoomIsTakenOnce: two executions were judged while there was room for
// one.
func TestTheLastRoomIsTakenOnce(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(limited(writ.BudgetCalls, writ.SpanHour), 8)
	ids := r.many(using("twice", "v"), 10)
	for _, id := range ids {
		_, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id})
		r.do(err)
	}
	r.rest()
	if n := r.tools.count(); n != 8 {
		t.Errorf("%d calls, want 8", n)
	}
	first := 0
	for _, id := range ids {
		r.identical(id)
		for _, record := range r.records(id) {
			if d := record.Body.Decided; d != nil && d.Over != nil && d.Over.First {
				first++
			}
		}
	}
	if first != 1 {
		t.Errorf("%d refusals were the first", first)
	}
}

// TestWhatUndoesIsCountedToo: else a plan could do by undoing what it may not do.
func TestWhatUndoesIsCountedToo(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(limited(writ.BudgetCalls, writ.SpanHour), 3) // flight, hotel and one of their compensations
	id := r.begin(agent, saga)
	r.rest()
	r.identical(id)
	if n := r.tools.count(); n != 3 {
		t.Errorf("%d calls", n)
	}
}

// TestStepsOfTheLastHourAreInTheQuestion, over restarts, and only those.
func TestStepsOfTheLastHourAreInTheQuestion(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	asked := func(id writ.ExecutionID) (out []int) {
		for _, q := range r.questions(id, writ.StageDispatch, writ.StageCall) {
			out = append(out, q.History.StepsLastHour)
		}
		return out
	}
	want := func(when string, id writ.ExecutionID, counts ...int) {
		t.Helper()
		if got := asked(id); !slices.Equal(got, counts) {
			t.Errorf("%s: %v, want %v", when, got, counts)
		}
		r.identical(id)
	}
	want("the first", r.begin(agent, store), 0, 1)
	r.pass(30 * time.Minute)
	want("the second", r.begin(agent, store), 1, 2)
	r.crash()
	want("after a crash", r.begin(agent, store), 2, 3)
	want("of another", r.begin(service, store), 0, 1)
	r.pass(30 * time.Minute)
	want("an hour after the first", r.begin(agent, store), 2, 3)
	r.reboot()
	r.pass(3 * time.Hour)
	want("much later", r.begin(agent, store), 0, 1)
}

// TestAlteringBudgetsIsNamed: replay derives what it can of them, and the rest are
// facts of the tenant's.
func TestAlteringBudgetsIsNamed(t *testing.T) {
	t.Parallel()
	r := newBudgeted(t)
	r.limit(limited(writ.BudgetCalls, writ.SpanHour), 2)
	r.limit(contract.BudgetSubject{PrincipalID: "*", Kind: writ.BudgetSpend, Span: writ.SpanTotal}, 9_000_000)
	r.put("calm", tries(abi.ToolKVPut), abi.EffectWriteLocal, []writ.Capability{{Tool: abi.ToolKVPut, Prefixes: []string{"k"}}}, nil)
	r.limit(contract.BudgetSubject{Skill: "test/paid", Kind: writ.BudgetSteps, Span: writ.SpanMinute}, 5)
	id := r.begin(agent, using("paid", "2")+"  - {name: then, uses: test/paid#run, needs: [it], with: {key: k1, value: \"3\"}}\n  - {name: over, uses: test/calm#run, needs: [then], with: {key: k1, value: \"3\"}}\n")
	r.expect(id, writ.ExecCompleted)
	a := alterThese(t, r.rig, alteration{id: id, least: 300, facts: ofBudgets})
	for _, name := range slices.Sorted(maps.Keys(ofBudgets)) {
		if !a.free[name] {
			t.Errorf("%s is listed as a fact and replay derives it", name)
		}
	}
}
