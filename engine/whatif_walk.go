package engine

import (
	"slices"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// walk derives the steps in the order of the plan, and then what undid them.
func (w *whatIf) walk() error {
	plan := w.now.plan.Plan
	for i := range plan.Steps {
		if err := w.step(&plan.Steps[i]); err != nil {
			return err
		}
	}
	for i := range w.was.state.Steps {
		s := &w.was.state.Steps[i]
		if s.Kind != writ.KindCompensation {
			continue
		}
		step, ok := w.now.planned(s.Name)
		if !ok {
			continue
		}
		if forward := w.was.state.Step(string(s.Parent)); forward != nil && w.unknown(forward.Name) {
			w.differ(s, contract.ImpactDifference{Kind: contract.ImpactUpstream, Message: "what " + forward.Name + " came to is not known", Unknown: true})
			continue
		}
		if err := w.single(step); err != nil {
			return err
		}
	}
	return nil
}

func (w *whatIf) unknown(name string) bool {
	d := w.done[name]
	return d != nil && d.unknown
}

// step derives a step of the plan, with its iterations where it has some.
func (w *whatIf) step(step *writ.Step) error {
	was := w.was.state.Step(step.Name)
	if was == nil || w.waits(step, was) || w.neverCameSoFar(was) {
		return nil
	}
	if step.ForEach != nil {
		return w.iterations(step, was)
	}
	return w.single(step)
}

// neverCameSoFar reports whether a step ended before its condition, its list or
// its input were looked at: because of others, or by a verdict on the plan.
func (w *whatIf) neverCameSoFar(was *writ.StepState) bool {
	if w.was.lists[was.ID] != nil {
		return false // some of its iterations may have run
	}
	switch was.Status {
	case writ.StepPlanned, writ.StepCancelled:
		return true
	case writ.StepSkipped:
		return was.Reason != reasonConditionFalse
	case writ.StepCompleted, writ.StepFailed:
		return false
	}
	_, judged := w.recording.questions[was.ID]
	return !judged
}

// waits holds a step against those that it needs: where one of them has no known
// outcome it has none either, and where one does not complete it does not run.
func (w *whatIf) waits(step *writ.Step, was *writ.StepState) bool {
	for _, name := range step.Needs {
		d := w.done[name]
		before, now := w.was.state.Step(name), w.now.state.Step(name)
		if d == nil || before == nil || now == nil {
			continue
		}
		switch {
		case d.unknown && was.Status != writ.StepPlanned:
			w.differ(was, contract.ImpactDifference{Kind: contract.ImpactUpstream, Message: "what " + name + " comes to is not known", Unknown: true})
			return true
		case before.Status == writ.StepCompleted && now.Status != writ.StepCompleted:
			if was.Status == writ.StepSkipped || was.Status == writ.StepPlanned {
				return true
			}
			w.end(step.Name, writ.StepSkipped)
			w.differ(was, pathOf(was.Status, "skipped", name+" does not complete", false))
			return true
		case before.Status != writ.StepCompleted && now.Status == writ.StepCompleted && was.Status == writ.StepSkipped:
			w.differ(was, pathOf(was.Status, "running", name+" completes", true))
			return true
		}
	}
	return false
}

func pathOf(recorded writ.StepStatus, now, why string, unknown bool) contract.ImpactDifference {
	return contract.ImpactDifference{
		Kind: contract.ImpactPath, Field: "/status", Recorded: shortened(recorded), Candidate: shortened(now), Message: why, Unknown: unknown,
	}
}

// end sets what a step comes to now, for the steps that follow.
func (w *whatIf) end(name string, status writ.StepStatus) {
	state := w.now.state.Step(name)
	state.Status = status
	if status != writ.StepCompleted {
		delete(w.now.outputs, name)
		delete(w.now.labels, name)
	}
	w.at(name)
}

// iterations derives the list of forEach, each of its iterations, and what they
// join to.
func (w *whatIf) iterations(step *writ.Step, was *writ.StepState) error {
	expansion, err := w.e.Planner.Expand(w.now.plan.Plan, step, w.now.scope(step, nil))
	record := w.now.expansion(step, expansion, err)
	before := w.was.lists[was.ID]
	switch {
	case record.Type == writ.RecStepSkipped && before == nil, record.Type == writ.RecStepFailed && was.Status == writ.StepFailed && before == nil:
		return nil
	case record.Type == writ.RecStepSkipped:
		w.end(step.Name, writ.StepSkipped)
		w.differ(was, pathOf(was.Status, "skipped", reasonConditionFalse, false))
		return nil
	case record.Type == writ.RecStepFailed:
		w.end(step.Name, writ.StepFailed)
		w.differ(was, contract.ImpactDifference{
			Kind: contract.ImpactInput, Recorded: shortened(was.Status), Candidate: shortened(record.Body.Ended.Failure), Message: record.Body.Ended.Failure.Message,
		})
		return nil
	case before == nil && (was.Status == writ.StepSkipped || was.Status == writ.StepFailed):
		w.differ(was, pathOf(was.Status, "running", "it would have iterations", true))
		return nil
	case before == nil:
		return nil // it never came so far
	}
	now, err := listOf(record.Payloads[0].Data, record.Body.Expanded.Labels)
	if err != nil {
		return err
	}
	return w.parts(step, was, [2]*list{before, now})
}

func (w *whatIf) parts(step *writ.Step, was *writ.StepState, lists [2]*list) error {
	before, now := lists[0], lists[1]
	w.now.lists[step.ID] = now
	for i := range min(len(before.items), len(now.items)) {
		part, ok := w.now.planned(string(step.ID) + "/" + strconv.Itoa(i))
		if !ok {
			continue
		}
		if err := w.single(part); err != nil {
			return err
		}
		if w.unknown(part.Name) {
			w.spoil(step.Name)
		}
	}
	if len(before.items) != len(now.items) {
		more := len(now.items) > len(before.items)
		w.differ(was, contract.ImpactDifference{
			Kind: contract.ImpactPath, Field: "/iterations", Recorded: shortened(len(before.items)), Candidate: shortened(len(now.items)), Unknown: more,
		})
		w.dropParts(step, len(now.items))
	}
	if w.unknown(step.Name) {
		return nil
	}
	record, ended := w.now.joined(step)
	if !ended {
		return nil
	}
	differs := w.done[step.Name] != nil
	for _, part := range w.was.parts(was.ID) {
		differs = differs || w.done[part.Name] != nil && w.done[part.Name].differs
	}
	w.end(step.Name, statusOf(record.Type))
	w.done[step.Name].differs = differs
	if record.Type == writ.RecStepCompleted {
		w.now.outputs[step.Name], w.now.labels[step.Name] = record.Payloads[0].Data, record.Body.Ended.Labels
	}
	return nil
}

// spoil says that nobody knows what a step comes to.
func (w *whatIf) spoil(name string) {
	now := w.at(name)
	now.unknown, now.differs = true, true
}

// dropParts leaves out the iterations of elements that are not there now.
func (w *whatIf) dropParts(step *writ.Step, length int) {
	w.now.state.Steps = slices.DeleteFunc(w.now.state.Steps, func(s writ.StepState) bool {
		if s.Parent != step.ID || s.Kind != writ.KindIteration {
			return false
		}
		item, err := strconv.Atoi(string(s.ID[len(step.ID)+1:]))
		return err == nil && item >= length
	})
}

// statusOf is the status in which joined iterations end.
func statusOf(kind writ.RecordType) writ.StepStatus {
	if kind == writ.RecStepSkipped {
		return writ.StepSkipped
	}
	for _, outcome := range outcomes {
		if outcome.record == kind {
			return outcome.step
		}
	}
	return writ.StepCompleted
}
