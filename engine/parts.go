package engine

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// A step of the plan can turn out to have steps of its own, its parts: the
// iterations of forEach. A part is a step like any other, with its own input,
// verdict, permit, approval and records; it is made from a template that the
// plan pins, and its id is its parent's with a segment more.

// maxJoined bounds the output of a step that joins those of its iterations:
// what one input may hold.
const maxJoined = 4 << 20

// list is what forEach of a step came to.
type list struct {
	items  []json.RawMessage
	labels []writ.Label
}

// planned is the compiled step of an id or a name. The caller holds mu.
func (x *execution) planned(idOrName string) (*writ.Step, bool) {
	if x.plan == nil {
		return nil, false
	}
	state := x.state.Step(idOrName)
	switch {
	case state == nil:
		return template(x.plan.Plan, writ.StepID(idOrName))
	case state.Kind == "":
		return x.plan.Plan.Step(string(state.ID))
	}
	if made, ok := x.made[state.ID]; ok {
		return made, true
	}
	from, ok := template(x.plan.Plan, state.Template)
	if !ok {
		return nil, false
	}
	made := *from
	made.ID, made.Name, made.Needs = state.ID, state.Name, state.Needs
	x.made[state.ID] = &made
	return &made, true
}

// steps are the compiled steps of the plan and of the run's parts. The caller
// holds mu.
func (x *execution) steps() iter.Seq[*writ.Step] {
	return func(yield func(*writ.Step) bool) {
		for i := range x.plan.Plan.Steps {
			if !yield(&x.plan.Plan.Steps[i]) {
				return
			}
		}
		for i := 0; len(x.state.Steps) > len(x.plan.Plan.Steps) && i < len(x.state.Steps); i++ {
			if x.state.Steps[i].Kind == "" {
				continue
			}
			if step, ok := x.planned(string(x.state.Steps[i].ID)); ok && !yield(step) {
				return
			}
		}
	}
}

// parts are the states of a step's iterations, in order. The caller holds mu.
func (x *execution) parts(id writ.StepID) []*writ.StepState {
	var out []*writ.StepState
	for i := range x.state.Steps {
		if s := &x.state.Steps[i]; s.Parent == id && s.Kind == writ.KindIteration {
			out = append(out, s)
		}
	}
	return out
}

// iterates reports whether the step is one that forEach makes others of, and
// not one of those. The caller holds mu.
func (x *execution) iterates(step *writ.Step) bool {
	if step.ForEach == nil {
		return false
	}
	state := x.state.Step(string(step.ID))
	return state != nil && state.Kind == ""
}

// item is the element that an iteration is for. The caller holds mu.
func (x *execution) item(id writ.StepID) *writ.Item {
	state := x.state.Step(string(id))
	if state != nil && state.Kind == writ.KindCompensation {
		return x.item(state.Parent)
	}
	if state == nil || state.Kind != writ.KindIteration {
		return nil
	}
	index, err := strconv.Atoi(strings.TrimPrefix(string(id), string(state.Parent)+"/"))
	of := x.lists[state.Parent]
	if err != nil || of == nil || index < 0 || index >= len(of.items) {
		return nil
	}
	return &writ.Item{Value: of.items[index], Index: index}
}

// iterate expands a step, unless that is frozen.
func (x *execution) iterate(step *writ.Step) {
	held, record, err := x.holds(step, 0)
	switch {
	case err != nil && x.ctx.Err() != nil:
		record = x.interrupted(step, 0)
	case err != nil:
		failed := stepEnded(writ.RecStepFailed, step, 0, &writ.EndedFacts{Failure: failureOf(err)})
		record = &failed
	case !held:
		x.expand(step)
		return
	}
	if record != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.finish(step, nil, *record)
	}
}

// expand finds out the iterations of a step.
func (x *execution) expand(step *writ.Step) {
	x.mu.Lock()
	scope := x.scope(step, nil)
	x.mu.Unlock()
	expansion, err := x.engine.Planner.Expand(x.plan.Plan, step, scope)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.finish(step, nil, x.expansion(step, expansion, err))
}

// expansion is the record of what a step's forEach came to. The caller holds mu.
func (x *execution) expansion(step *writ.Step, expansion *writ.Expansion, err error) writ.NewRecord {
	if err == nil && expansion.Skip {
		return stepEnded(writ.RecStepSkipped, step, 0, &writ.EndedFacts{Reason: reasonConditionFalse})
	}
	if err == nil {
		if total := x.size() + weight(step)*len(expansion.Items); total > writ.MaxPlanSteps {
			err = writ.Errorf(writ.CodeTooLarge, "step "+step.Name, "the list has %d elements: with them the execution would have %d steps, at most %d are taken",
				len(expansion.Items), total, writ.MaxPlanSteps).WithFix("give a shorter list, or let the action take the list")
		}
	}
	if err != nil {
		return stepEnded(writ.RecStepFailed, step, 0, &writ.EndedFacts{Failure: failureOf(err)})
	}
	facts := &writ.ExpandedFacts{Steps: make([]writ.PlannedStep, len(expansion.Items)), Labels: expansion.Labels}
	for i := range facts.Steps {
		part := plannedStep(step)
		suffix := "/" + strconv.Itoa(i)
		part.ID, part.Name, part.Needs = part.ID+writ.StepID(suffix), part.Name+suffix, nil
		part.Kind, part.Parent, part.Template = writ.KindIteration, step.ID, step.ID
		facts.Steps[i] = part
	}
	return writ.NewRecord{
		Type: writ.RecStepExpanded, Step: step.ID, Body: writ.Body{Expanded: facts},
		Payloads: []writ.Payload{{Name: writ.PayloadItems, Data: expansion.List}},
	}
}

// size is how many steps the execution has, with iterations, and compensations
// whether they will be needed or not. The caller holds mu.
func (x *execution) size() int {
	total := 0
	for i := range x.state.Steps {
		s := &x.state.Steps[i]
		if step, ok := x.planned(string(s.ID)); ok && s.Kind != writ.KindCompensation && !x.iterates(step) {
			total += weight(step)
		}
	}
	return total
}

func weight(step *writ.Step) int {
	if step.Compensate != nil {
		return 2
	}
	return 1
}

// listOf reads a list back.
func listOf(raw []byte, labels []writ.Label) (*list, error) {
	out := &list{labels: labels}
	if err := json.Unmarshal(raw, &out.items); err != nil {
		return nil, writ.Errorf(writ.CodeTampered, "list of forEach", "the stored list does not decode: %w", err)
	}
	return out, nil
}

// joined is the end of a step whose iterations have all ended: with the array
// of their outputs, or as the worst of them ended. ok is false before. The
// caller holds mu.
func (x *execution) joined(step *writ.Step) (record writ.NewRecord, ok bool) {
	parts := x.parts(step.ID)
	of := x.lists[step.ID]
	if of == nil || slices.ContainsFunc(parts, func(s *writ.StepState) bool { return !s.Status.Final() }) {
		return record, false
	}
	for _, outcome := range outcomes {
		i := slices.IndexFunc(parts, func(s *writ.StepState) bool { return s.Status == outcome.step })
		if i >= 0 {
			return stepEnded(outcome.record, step, 0, endedBy(parts[i])), true
		}
	}
	labels := writ.JoinLabels(step.Taint, of.labels)
	var output bytes.Buffer
	output.WriteByte('[')
	for _, part := range parts {
		switch {
		case part.Status == writ.StepCompleted:
			if output.Len() > 1 {
				output.WriteByte(',')
			}
			output.Write(x.outputs[part.Name])
			labels = writ.JoinLabels(labels, part.Labels)
		case part.Reason != reasonConditionFalse:
			return stepEnded(writ.RecStepSkipped, step, 0, &writ.EndedFacts{Reason: part.Reason}), true
		}
	}
	output.WriteByte(']')
	if output.Len() > maxJoined {
		err := writ.Errorf(writ.CodeTooLarge, "step "+step.Name, "the outputs of its iterations have %d bytes, at most %d are taken", output.Len(), maxJoined)
		return stepEnded(writ.RecStepFailed, step, 0, &writ.EndedFacts{Failure: failureOf(err)}), true
	}
	record = stepEnded(writ.RecStepCompleted, step, 0, &writ.EndedFacts{Labels: labels})
	record.Payloads = []writ.Payload{{Name: writ.PayloadOutput, Data: output.Bytes()}}
	return record, true
}

// endedBy is why a step ended that ended as one of its parts did.
func endedBy(part *writ.StepState) *writ.EndedFacts {
	facts := &writ.EndedFacts{Reason: part.Name + " " + string(part.Status)}
	if part.Failure != nil {
		facts.Failure = &abi.Failure{Code: part.Failure.Code, Message: part.Name + ": " + part.Failure.Message, Fix: part.Failure.Fix}
	}
	if part.Status == writ.StepBlocked && part.Verdict != nil {
		facts.Reasons = part.Verdict.Reasons
	}
	return facts
}
