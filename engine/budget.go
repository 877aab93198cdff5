package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// What is limited across calls is taken with the record that begins it: of steps
// with step.started, of calls with tool.called. What a call costs is reserved there,
// and settled with the record that says what it came to.

// Budgets keeps limits and counts. An organ of its own does.
type Budgets interface {
	// Take moves every count that what is wanted concerns, in the batch that write
	// appends, and none where write errs. The record has the time that write is given.
	// CodeConflict because of writ.ErrBudgetSpent where one has no room.
	Take(ctx context.Context, want *writ.BudgetWant, write func([]writ.BudgetUse, []writ.Change, writ.Time) error) error
	// Refuse calls write where a count has no room, with that, and says whether.
	Refuse(ctx context.Context, want *writ.BudgetWant, write func(*writ.BudgetUse, []writ.Change, writ.Time) error) (bool, error)
	// Settle says what reservations came to, in the batch that write appends.
	Settle(ctx context.Context, tenant writ.TenantID, settled []writ.BudgetSettlement, write func([]writ.Change) error) error
	// StepsLastHour is how many attempts of steps a principal began in the last hour.
	StepsLastHour(ctx context.Context, p *writ.Principal, now writ.Time) (int, error)
}

// wants is what a step, or one of its calls, is about to take. The caller holds mu.
func (x *execution) wants(step *writ.Step) *writ.BudgetWant {
	return &writ.BudgetWant{Tenant: x.tenant, Principal: x.state.Principal, Skill: step.Skill.Key, Time: x.now()}
}

// spend is Take, whoever cancels meanwhile. The caller holds mu.
func (x *execution) spend(want *writ.BudgetWant, write func([]writ.BudgetUse, []writ.Change, writ.Time) error) error {
	return x.engine.Budgets.Take(context.WithoutCancel(x.ctx), want, write)
}

// over has write append a record that blocks, where a budget has no room, and
// reports whether it did. The caller holds mu.
func (x *execution) over(want *writ.BudgetWant, decision *writ.NewRecord, write func([]writ.Change) error) (bool, error) {
	return x.engine.Budgets.Refuse(context.WithoutCancel(x.ctx), want, func(use *writ.BudgetUse, changes []writ.Change, at writ.Time) error {
		facts := *decision.Body.Decided
		facts.Over, facts.Verdict = use, *writ.Exhausted(&facts.Verdict, use)
		decision.Body.Decided, decision.Time = &facts, at
		return write(changes)
	})
}

// costs is what a call takes of budgets beside being one, nil where that is nothing.
func (g *gate) costs(facts *writ.CallFacts) (*writ.Amounts, error) {
	return costsOf(g.permit.Cost(facts))
}

func costsOf(cost writ.Amounts, err error) (*writ.Amounts, error) {
	if err != nil || cost == (writ.Amounts{}) {
		return nil, err
	}
	return &cost, nil
}

func withCost(want *writ.BudgetWant, cost *writ.Amounts) *writ.BudgetWant {
	want.Calls = 1
	if cost != nil {
		want.Amounts = *cost
	}
	return want
}

// refuse denies a call that a budget has no room for, and reports whether it did.
func (g *gate) refuse(facts *writ.CallFacts, occurrence int, cost *writ.Amounts, decision *writ.NewRecord) (*writ.ToolReply, error) {
	g.x.mu.Lock()
	defer g.x.mu.Unlock()
	var reply *writ.ToolReply
	_, err := g.x.over(withCost(g.x.wants(g.d.step), cost), decision, func(changes []writ.Change) (err error) {
		reply, err = g.denyWith(facts, occurrence, &denial{
			failure: deniedBy(decision.Body.Decided.Verdict.Reasons), decision: decision, changes: changes,
		})
		return err
	})
	return reply, err
}

// take appends the records that begin a call, with what it takes of budgets. The
// caller holds mu.
func (g *gate) take(batch *writ.Batch, cost *writ.Amounts) ([]writ.Record, error) {
	var stored []writ.Record
	err := g.x.spend(withCost(g.x.wants(g.d.step), cost), func(uses []writ.BudgetUse, changes []writ.Change, at writ.Time) (err error) {
		for i := range batch.Records {
			batch.Records[i].Time = at
		}
		batch.Records[len(batch.Records)-1].Body.Call.Budgets = uses
		batch.Changes = changes
		stored, err = g.x.commit(batch)
		return err
	})
	return stored, err
}

// outOfDate reports whether what a record rests on has changed since it was judged:
// the tenant's law, or the room in a budget.
func outOfDate(err error) bool {
	return errors.Is(err, writ.ErrStaleEpoch) || errors.Is(err, writ.ErrBudgetSpent)
}

// reserved are the uses of a call that it still holds back from others.
func (c *call) reserved() []writ.BudgetUse {
	if c.settled {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.facts.Budgets), func(u writ.BudgetUse) bool { return !u.Kind.Reserved() })
}

// settlements say what the reservations came to that records put an end to. A call
// that is done took what it was to cost, or what its tool knows; of one that nobody
// knows of, all counts as taken, unless an operator has it sent again. The caller
// holds mu.
func (x *execution) settlements(records []writ.NewRecord) []writ.BudgetSettlement {
	var out []writ.BudgetSettlement
	for i := range records {
		r := &records[i]
		a := x.attempts[r.Step]
		if a == nil || !a.reserves || !ending(r.Type) {
			continue
		}
		for _, c := range a.settledBy(r.Type, &r.Body) {
			for _, use := range c.reserved() {
				out = append(out, writ.BudgetSettlement{Use: use, Amount: cameTo(&use, &r.Body)})
			}
		}
	}
	return out
}

// ending reports whether a record of this type may put an end to a reservation.
func ending(t writ.RecordType) bool {
	switch t {
	case writ.RecToolReturned, writ.RecStepResolved, writ.RecRetryScheduled, writ.RecStepCompleted, writ.RecStepFailed,
		writ.RecStepCancelled, writ.RecStepExpired, writ.RecStepRejected, writ.RecStepBlocked, writ.RecStepSkipped:
		return true
	}
	return false
}

// settledBy are the calls of the attempt whose reservations a record puts an end to.
func (a *attempt) settledBy(t writ.RecordType, body *writ.Body) []*call {
	switch t {
	case writ.RecToolReturned:
		f := body.Call
		if f.Earlier > 0 || f.Outcome == writ.OutcomeUnknown && f.Effect.Writes() && f.Tool != abi.ToolSkillCall {
			return nil // it repeats another, or is for people
		}
		return slices.DeleteFunc(slices.Clone(a.calls), func(c *call) bool { return c.facts.Sequence != f.Sequence })
	case writ.RecStepResolved:
		if body.Resolved.Ruling == writ.RulingFail { // step.failed follows
			return nil
		}
		if c := a.unanswered(); c != nil && c.facts.Sequence == body.Resolved.Sequence {
			return []*call{c}
		}
		return nil
	}
	return a.calls
}

// cameTo is what a reservation came to by the record that ends it.
func cameTo(use *writ.BudgetUse, body *writ.Body) int64 {
	switch {
	case body.Call != nil && body.Call.Outcome == writ.OutcomeNotDone:
		return 0
	case body.Call != nil && body.Call.Outcome == writ.OutcomeDone && body.Call.Spent != nil:
		return min(max(body.Call.Spent.Of(use.Kind), 0), writ.MaxAmount)
	case body.Resolved != nil && body.Resolved.Ruling == writ.RulingRetry:
		return 0
	}
	return use.Amount
}

// settle marks what a stored record has put an end to.
func (a *attempt) settle(r *writ.Record) {
	if !a.reserves || !ending(r.Type) {
		return
	}
	for _, c := range a.settledBy(r.Type, &r.Body) {
		c.settled = true
	}
}

// reserve notes that a call of the attempt has reserved something.
func (a *attempt) reserve(facts *writ.CalledFacts) {
	a.reserves = a.reserves || slices.ContainsFunc(facts.Budgets, func(u writ.BudgetUse) bool { return u.Kind.Reserved() })
}
