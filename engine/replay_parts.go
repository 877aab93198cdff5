package engine

import (
	"github.com/writ-run/writ"
)

// expanded derives the steps that a step turned out to have.
func (r *replayer) expanded(record *writ.Record) error {
	step, ok := r.x.planned(string(record.Step))
	if !ok || !r.x.iterates(step) {
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
