package engine

import (
	"slices"

	"github.com/writ-run/writ"
)

// expanded derives the steps that a step turned out to have.
func (r *replayer) expanded(record *writ.Record) error {
	step, ok := r.x.planned(string(record.Step))
	if ok && !r.x.iterates(step) {
		r.compensation(record)
		return nil
	}
	if !ok {
		r.member(stageStep, record.Step, "expanded", record.Body.Expanded, nil)
		return nil
	}
	want := r.expansion(step)
	r.member(stageStep, record.Step, "type", record.Type, want.Type)
	r.compare(stageStep, record.Step, record.Body.Expanded, want.Body.Expanded)
	if len(want.Payloads) > 0 {
		r.compare(stageStep, record.Step, r.loader.named(record, writ.PayloadItems), want.Payloads[0].Data)
	}
	if want.Body.Expanded != nil {
		record.Body.Expanded = want.Body.Expanded // the fold goes on with what the plan says
	}
	return r.loader.err
}

// compensation derives which steps are undone, and in which order. The records
// that add them stand together.
func (r *replayer) compensation(record *writ.Record) {
	if len(r.undo) == 0 {
		r.undo = r.x.compensations()
	}
	var want *writ.ExpandedFacts
	i := slices.IndexFunc(r.undo, func(c writ.NewRecord) bool { return c.Step == record.Step })
	if i == 0 {
		want, r.undo = r.undo[0].Body.Expanded, r.undo[1:]
	}
	r.compare(stageStep, record.Step, record.Body.Expanded, want)
	if want != nil {
		record.Body.Expanded = want
	}
}

// expansion evaluates forEach of a step again.
func (r *replayer) expansion(step *writ.Step) writ.NewRecord {
	expansion, err := r.e.Planner.Expand(r.x.plan.Plan, step, r.x.scope(step, nil))
	return r.x.expansion(step, expansion, err)
}

// iterated derives the end of a step from those of its iterations, or from its
// list where it never had any.
func (r *replayer) iterated(record *writ.Record, step *writ.Step) error {
	want, ok := r.x.joined(step)
	if r.x.lists[step.ID] == nil {
		if hostFailure(failureIn(record)) {
			return nil
		}
		want, ok = r.expansion(step), true
	}
	if !ok {
		r.member(stageOutcome, record.Step, "ended", record.Type, nil)
		return nil
	}
	r.member(stageOutcome, record.Step, "type", record.Type, want.Type)
	r.member(stageOutcome, record.Step, "attempt", record.Attempt, want.Attempt)
	r.compare(stageOutcome, record.Step, record.Body.Ended, want.Body.Ended)
	if record.Type == writ.RecStepCompleted && len(want.Payloads) > 0 {
		r.compare(stageOutcome, record.Step, r.loader.named(record, writ.PayloadOutput), want.Payloads[0].Data)
	}
	return r.loader.err
}
