package engine_test

import (
	"cmp"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

var spans = map[writ.BudgetSpan]time.Duration{writ.SpanMinute: time.Minute, writ.SpanHour: time.Hour, writ.SpanTotal: 1 << 62}

// place is one count of the oracle: of a limit, whose, and in which span.
type place struct {
	limit  int
	of     string
	window int64
}

// called names a call across records.
type called struct {
	id       writ.ExecutionID
	step     writ.StepID
	attempt  int
	sequence int
}

// ledger counts records alone, in the order of the store.
type ledger struct {
	limits []contract.BudgetSetInput
	sums   map[place]int64
	spent  map[called]map[place]int64 // of calls that may yet turn out not to have been made
}

// whose is which counts work of the principal moves, by the words of the limit.
func (l *ledger) whose(i int, p *writ.Principal, skill writ.SkillKey) string {
	switch s := &l.limits[i].BudgetSubject; {
	case s.Tenant:
		return "all"
	case s.PrincipalID == "*", s.PrincipalID == p.ID:
		return string(p.ID)
	case s.Skill == "*", s.Skill == string(skill):
		return string(skill)
	}
	return ""
}

func (l *ledger) add(draw *rapid.T, x *writ.Execution, record *writ.Stored) {
	amounts := map[writ.BudgetKind]int64{}
	switch f := record.Body.Call; record.Type {
	case writ.RecStepStarted:
		amounts[writ.BudgetSteps] = 1
	case writ.RecToolCalled:
		amounts[writ.BudgetCalls] = 1
		if f.Cost != nil {
			amounts[writ.BudgetSpend] = f.Cost.Spend
		}
	case writ.RecToolReturned:
		if f.Earlier == 0 && f.Outcome == writ.OutcomeNotDone {
			l.giveBack(called{x.ID, record.Step, record.Attempt, f.Sequence})
		}
	case writ.RecStepResolved:
		if record.Body.Resolved.Ruling == writ.RulingRetry {
			l.giveBack(called{x.ID, record.Step, record.Attempt, record.Body.Resolved.Sequence})
		}
	}
	for i := 0; len(amounts) > 0 && i < len(l.limits); i++ {
		of, n := l.whose(i, x.Principal, x.Step(string(record.Step)).Skill.Key), amounts[l.limits[i].Kind]
		if of == "" || n == 0 {
			continue
		}
		at := place{i, of, record.Time.Std().UnixNano() / int64(spans[l.limits[i].Span])}
		if l.sums[at] += n; l.sums[at] > l.limits[i].Count {
			draw.Fatalf("%s of %s at %d takes %d of %+v", record.Type, x.ID, record.Position, l.sums[at], l.limits[i])
		}
		if l.limits[i].Kind == writ.BudgetSpend {
			c := called{x.ID, record.Step, record.Attempt, record.Body.Call.Sequence}
			if l.spent[c] == nil {
				l.spent[c] = map[place]int64{}
			}
			l.spent[c][at] = n
		}
	}
}

func (l *ledger) giveBack(c called) {
	for at, n := range l.spent[c] {
		l.sums[at] -= n
	}
	delete(l.spent, c)
}

// audit reads everything that the executions recorded.
func (b *budgeted) audit(draw *rapid.T, limits []contract.BudgetSetInput, ids []writ.ExecutionID) *ledger {
	l := &ledger{limits: limits, sums: map[place]int64{}, spent: map[called]map[place]int64{}}
	states := map[writ.StreamID]*writ.Execution{}
	var all []writ.Stored
	for _, id := range ids {
		states[writ.StreamID(id)] = b.state(id)
		for _, record := range b.records(id) {
			if record.Step != "" {
				all = append(all, record)
			}
		}
	}
	slices.SortFunc(all, func(a, b writ.Stored) int { return cmp.Compare(a.Position, b.Position) })
	for i := range all {
		l.add(draw, states[all[i].Stream], &all[i])
	}
	return l
}

// TestPropertyBudgetsAreNotOvershot: whatever runs at once, and whatever crashes, no
// order of records takes more than a budget has, and what is kept is what they took.
func TestPropertyBudgetsAreNotOvershot(t *testing.T) {
	t.Parallel()
	judge := alwaysJudge(t)
	rapid.Check(t, func(draw *rapid.T) {
		b := newBudgetedWith(t, judge)
		limits := b.someLimits(draw)
		outcomes := rapid.SliceOfN(rapid.SampledFrom([]writ.Outcome{writ.OutcomeDone, writ.OutcomeDone, writ.OutcomeNotDone, writ.OutcomeUnknown}), 8, 8).Draw(draw, "outcomes")
		b.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
			switch outcome := outcomes[n%len(outcomes)]; outcome {
			case writ.OutcomeUnknown:
				return &writ.ToolResult{Outcome: outcome}
			case writ.OutcomeNotDone:
				return &writ.ToolResult{Outcome: outcome, Failure: &abi.Failure{Code: abi.FailUnavailable, Message: "not sent"}}
			}
			return nil
		}
		var ids []writ.ExecutionID
		for range rapid.IntRange(2, 6).Draw(draw, "executions") {
			by := rapid.SampledFrom([]*writ.Principal{agent, service}).Draw(draw, "by")
			work := rapid.SampledFrom([]string{using("twice", "v"), errandTwice, saga, using("paid", "1"), using("paid", "2.5"), calling("call", "keep", `{key: k1, value: v}`)}).Draw(draw, "draft")
			id := b.submit(by, work)
			b.compile(by, id)
			ids = append(ids, id)
		}
		for range rapid.IntRange(1, 14).Draw(draw, "operations") {
			id := rapid.SampledFrom(ids).Draw(draw, "execution")
			switch rapid.SampledFrom([]string{"start", "start", "start", "crash", "restart", "rest", "pass", "retry", "resolve"}).Draw(draw, "operation") {
			case "start":
				_, _ = b.engine.ExecutionStart(as(b.state(id).Principal), &contract.ExecutionStartInput{ExecutionID: id})
			case "crash":
				b.crash()
			case "restart":
				b.reboot()
			case "rest":
				b.rest()
			case "pass":
				b.pass(time.Duration(rapid.SampledFrom([]int{-70, 1, 20, 59, 60, 3599}).Draw(draw, "seconds")) * time.Second)
			case "retry":
				_, _ = b.engine.ExecutionRetry(as(operator), &contract.ExecutionRetryInput{ExecutionID: id, Reason: "again"})
			case "resolve":
				ruling := rapid.SampledFrom([]writ.Ruling{writ.RulingRetry, writ.RulingDone, writ.RulingFail}).Draw(draw, "ruling")
				_ = b.rule(id, ruling)
			}
		}
		b.rest()
		b.crash()
		b.rest()
		b.bury()
		kept := b.audit(draw, limits, ids)
		for _, id := range ids {
			b.identical(id)
		}
		b.keptAs(draw, kept)
	})
}

// someLimits sets a few budgets.
func (b *budgeted) someLimits(draw *rapid.T) []contract.BudgetSetInput {
	subjects := []contract.BudgetSubject{
		{Tenant: true}, {PrincipalID: agent.ID}, {PrincipalID: "*"}, {Skill: "test/twice"}, {Skill: "*"},
	}
	var out []contract.BudgetSetInput
	for range rapid.IntRange(1, 4).Draw(draw, "limits") {
		in := contract.BudgetSetInput{BudgetSubject: rapid.SampledFrom(subjects).Draw(draw, "subject"), Reason: "enough"}
		in.Kind = rapid.SampledFrom([]writ.BudgetKind{writ.BudgetSteps, writ.BudgetCalls, writ.BudgetCalls, writ.BudgetSpend}).Draw(draw, "kind")
		in.Span = rapid.SampledFrom([]writ.BudgetSpan{writ.SpanMinute, writ.SpanHour, writ.SpanTotal}).Draw(draw, "span")
		in.Count = rapid.Int64Range(0, 6).Draw(draw, "count")
		if in.Kind == writ.BudgetSpend {
			in.Count *= 1_000_000
		}
		if slices.ContainsFunc(out, func(have contract.BudgetSetInput) bool { return have.BudgetSubject == in.BudgetSubject }) {
			continue
		}
		b.limit(in.BudgetSubject, in.Count)
		out = append(out, in)
	}
	return out
}

// keptAs holds what the service shows of the present spans against the ledger. What
// is in a span that the service has not come to is nothing.
func (b *budgeted) keptAs(draw *rapid.T, l *ledger) {
	out, err := b.budgets.BudgetList(as(approver), &contract.BudgetListInput{})
	b.do(err)
	for i := range l.limits {
		in := &l.limits[i]
		at := slices.IndexFunc(out.Items, func(have contract.Budget) bool {
			return have.Kind == in.Kind && have.Span == in.Span && have.Subject == string(in.PrincipalID)+in.Skill &&
				(have.Scope == writ.BudgetSkill) == (in.Skill != "")
		})
		if at < 0 {
			draw.Fatalf("%+v is not listed", in)
		}
		for _, taken := range out.Items[at].Taken {
			of := cmp.Or(taken.Subject, "all")
			window := int64(0)
			if taken.FreeAt != 0 {
				window = taken.FreeAt.Std().UnixNano()/int64(spans[in.Span]) - 1
			}
			if got, want := taken.Used+taken.Reserved, l.sums[place{i, of, window}]; got != want {
				draw.Fatalf("%s has taken %s of %+v, and its records %s", of, strconv.FormatInt(got, 10), in, strconv.FormatInt(want, 10))
			}
		}
	}
}
