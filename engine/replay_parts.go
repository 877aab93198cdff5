package engine

import (
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// expanded derives the steps that a step turned out to have.
func (r *replayer) expanded(record *writ.Record) error {
	step, ok := r.x.planned(string(record.Step))
	if ok && !r.x.iterates(step) && record.Body.Expanded != nil && record.Body.Expanded.Sequence > 0 {
		r.called(record, step)
		return nil
	}
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

// called derives the step that a call made from the call.
func (r *replayer) called(record *writ.Record, step *writ.Step) {
	var want *writ.ExpandedFacts
	attempt := 0
	if a := r.x.attempts[step.ID]; a != nil && len(a.calls) > 0 {
		last := a.calls[len(a.calls)-1]
		attempt = a.number
		if derived, failure := r.x.callRecord(step, a.number, &last.facts); failure == nil && last.facts.Tool == abi.ToolSkillCall && !last.ended {
			want = derived.Body.Expanded
		}
	}
	r.member(stageStep, record.Step, "attempt", record.Attempt, attempt)
	r.compare(stageStep, record.Step, record.Body.Expanded, want)
	if want != nil {
		record.Body.Expanded = want
	}
}

// answered derives what a call was answered from the end of its step; where it
// made none, from why.
func (r *replayer) answered(record *writ.Record, a *attempt, derived *writ.CalledFacts) {
	id, made := r.x.calls[callPlace{step: record.Step, attempt: a.number, sequence: derived.Sequence}]
	result := &writ.ToolResult{Outcome: writ.OutcomeNotDone}
	if made {
		step, _ := r.x.planned(string(id))
		ended := false
		if result, ended = r.x.callResult(step); !ended {
			r.member(stageCall, record.Step, "ended", true, false)
			return
		}
	} else if step, ok := r.x.planned(string(record.Step)); ok {
		_, result.Failure = r.x.callRecord(step, a.number, derived)
	}
	derived.Outcome, derived.Failure, derived.Labels = result.Outcome, result.Failure, result.Labels
	r.member(stageCall, record.Step, "result", string(r.loader.named(record, writ.PayloadResult)), string(result.Body))
}

// calling finds what a step's caller gave it.
func (r *replayer) calling(id writ.StepID) error {
	state := r.x.state.Step(string(id))
	if state == nil || state.Kind != writ.KindCall {
		return nil
	}
	d, err := r.dispatch(state.Parent)
	if err != nil {
		return err
	}
	if d.attempt == nil || len(d.attempt.calls) == 0 {
		return writ.Errorf(writ.CodeTampered, "step "+state.Name, "no call made it")
	}
	for place, made := range r.x.calls {
		if made != id || place.sequence < 1 || place.sequence > len(d.attempt.calls) {
			continue
		}
		caller, err := callerOf(d.attempt.calls[place.sequence-1].args, d.resolved, d.attempt.labels)
		if err != nil {
			return err
		}
		r.x.callers[id] = caller
	}
	return nil
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
