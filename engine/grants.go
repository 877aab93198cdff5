package engine

import (
	"context"
	"slices"

	"github.com/writ-run/writ"
)

// A use of a grant is one attempt of a step that needed it, whatever the attempt
// comes to: it is taken with the record that starts the attempt and never given
// back. An attempt that is taken up again, after people or a restart, goes on
// under what it holds.

// takenUp is the attempt of a step that a dispatch takes up, nil where it would
// start another. The caller holds mu.
func (x *execution) takenUp(id writ.StepID) *attempt {
	state, known := x.state.Step(string(id)), x.attempts[id]
	if state == nil || known == nil || known.number != state.Attempt {
		return nil
	}
	if state.Status == writ.StepRunning || state.Approval != nil && state.RetryAt == 0 {
		return known
	}
	return nil
}

// needed are the ids of the grants that a question's step needs besides those held.
func needed(q *writ.Question, held []writ.GrantUse) []string {
	grants := writ.GrantsNeeded(q, held)
	ids := make([]string, len(grants))
	for i := range grants {
		ids[i] = grants[i].ID
	}
	return ids
}

// held is what the attempt that a dispatch takes up has taken. The caller holds mu.
func (x *execution) held(id writ.StepID) []writ.GrantUse {
	if a := x.takenUp(id); a != nil {
		return a.grants
	}
	return nil
}

// take has write append its records together with a use of each grant that the
// dispatch needs. Whoever cancels, what has begun is recorded. The caller holds mu.
func (x *execution) take(d *dispatch, write func([]writ.GrantUse, []writ.Change) error) error {
	if len(d.needed) == 0 {
		return write(nil, nil)
	}
	taking := &writ.Taking{Principal: x.state.Principal, Grants: d.needed, Held: x.held(d.step.ID)}
	return x.engine.Grants.Take(context.WithoutCancel(x.ctx), taking, write)
}

// usesOf derives which grants an attempt took, given those that it held: the ones
// that its question needs. How often others had used them by then, and which of
// those above them count, are facts. Records from before uses were counted have
// none, and nothing was counted then.
func usesOf(q *writ.Question, held, recorded []writ.GrantUse) []writ.GrantUse {
	if q == nil {
		return nil
	}
	var uses []writ.GrantUse
	matters := len(recorded) > 0
	for _, g := range writ.GrantsNeeded(q, held) {
		use := writ.GrantUse{ID: g.ID, BreakGlass: g.BreakGlass}
		matters = matters || g.MaxUses != 0 || g.BreakGlass
		if g.MaxUses != 0 {
			use.Use = g.Uses + 1
			i := slices.IndexFunc(recorded, func(u writ.GrantUse) bool { return u.ID == g.ID && u.For == "" })
			if i >= 0 && recorded[i].Use > g.Uses && recorded[i].Use <= g.MaxUses {
				use.Use = recorded[i].Use
			}
		}
		uses = append(uses, use)
	}
	if !matters {
		return nil
	}
	for _, u := range recorded[min(len(uses), len(recorded)):] {
		needed := func(n writ.GrantUse) bool { return n.ID == u.For && n.For == "" }
		if u.Use > 0 && u.ID != u.For && slices.ContainsFunc(uses, needed) {
			uses = append(uses, u)
		}
	}
	return uses
}

// takenUpWith compares what an attempt took when it was judged again.
func (r *replayer) takenUpWith(record *writ.Record, q *writ.Question) {
	var derived []writ.GrantUse
	facts := record.Body.Decided
	if a := r.x.takenUp(record.Step); a != nil && facts.Stage == writ.StageDispatch && facts.Verdict.Mode != writ.Blocked {
		derived = usesOf(q, a.grants, facts.Grants)
	}
	r.compare(stageVerdict, record.Step, map[string]any{"grants": facts.Grants}, map[string]any{"grants": derived})
}
