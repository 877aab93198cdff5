package engine

import (
	"slices"

	"github.com/writ-run/writ"
)

// usesOf derives which counts a record moved. Which limits there were, and how much
// others had taken, are facts of the tenant's; that each covers this work, moved by
// what the work takes, in the span around the record, and had room, is not.
func (r *replayer) usesOf(record *writ.Record, step *writ.Step, want *writ.BudgetWant, recorded []writ.BudgetUse) []writ.BudgetUse {
	var uses []writ.BudgetUse
	for _, u := range recorded {
		twice := func(have writ.BudgetUse) bool {
			have.Limit, have.Taken, have.Amount = u.Limit, u.Taken, u.Amount
			return have == u
		}
		if !r.covers(&u, record, step) || slices.ContainsFunc(uses, twice) {
			continue
		}
		u.First, u.Amount = false, want.Of(u.Kind)
		u.Taken = min(max(u.Taken, u.Amount), u.Limit)
		if u.Amount > 0 {
			uses = append(uses, u)
		}
	}
	return uses
}

func (r *replayer) covers(u *writ.BudgetUse, record *writ.Record, step *writ.Step) bool {
	return u.Span.Valid() && u.Covers(r.x.state.Principal, step.Skill.Key) && u.Window == u.Span.Start(record.Time) && u.Since != 0
}

// exhausted derives the verdict with which a budget refused what policy allows. How
// much was taken, and of which limit, are facts; that it covers this work and had no
// room for it is not.
func (r *replayer) exhausted(record *writ.Record, q *writ.Question, v *writ.Verdict) *writ.Verdict {
	over := *record.Body.Decided.Over
	if v.Mode.Rank() == 0 { // what-if: then it never comes to a budget
		if r.policy == "" {
			r.member(stageVerdict, record.Step, "over", over, nil)
		}
		return v
	}
	step, ok := r.x.planned(string(record.Step))
	if !ok {
		return v // misplaced has said so
	}
	want := &writ.BudgetWant{Steps: 1}
	if q.Call != nil {
		d, err := r.dispatch(step.ID)
		if err != nil {
			return v
		}
		cost, err := writ.CostOf(d.resolved.Capabilities, q.Call)
		if err != nil {
			return v // then the call was denied for that
		}
		want = &writ.BudgetWant{Calls: 1, Amounts: cost}
	}
	over.Amount = want.Of(over.Kind)
	r.member(stageVerdict, record.Step, "over", *record.Body.Decided.Over, over)
	refuses := r.covers(&over, record, step) && over.Amount > 0 && over.Taken >= 0 && over.Refuses()
	r.member(stageVerdict, record.Step, "over budget", true, refuses)
	return writ.Exhausted(v, &over)
}
