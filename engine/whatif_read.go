package engine

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/writ-run/writ"
)

// recording is what a what-if needs of the journal beyond the fold.
type recording struct {
	resolutions []writ.Resolution
	attempts    map[writ.StepID]*attempt         // the last of each step
	ends        map[writ.StepID]*writ.Record     // of the last attempt
	questions   map[writ.StepID]writ.PayloadRef  // of the last verdict at dispatch
	verdicts    map[writ.StepID]*writ.Verdict    // that verdict
	proposed    map[writ.StepID]writ.CalledFacts // the last call that people were asked about
}

// read folds the execution and keeps each step's last attempt.
func (w *whatIf) read(records []writ.Stored) error {
	w.recording = recording{
		attempts: map[writ.StepID]*attempt{}, ends: map[writ.StepID]*writ.Record{}, questions: map[writ.StepID]writ.PayloadRef{},
		verdicts: map[writ.StepID]*writ.Verdict{}, proposed: map[writ.StepID]writ.CalledFacts{},
	}
	for i := range records {
		r := &records[i].Record
		w.was.state.Apply(r)
		w.loader.record(r)
		w.was.follow(r)
		w.recording.note(r, w.was)
	}
	w.loader.documents()
	return w.loader.err
}

func (k *recording) note(r *writ.Record, x *execution) {
	switch r.Type {
	case writ.RecPlanCompiled:
		k.resolutions = r.Body.Plan.Resolutions
	case writ.RecStepStarted:
		k.attempts[r.Step] = x.attempts[r.Step]
		delete(k.ends, r.Step)
		delete(k.proposed, r.Step)
	case writ.RecVerdict:
		if ref, ok := r.Payload(writ.PayloadQuestion); ok && r.Body.Decided.Stage == writ.StageDispatch {
			k.questions[r.Step], k.verdicts[r.Step] = ref, &r.Body.Decided.Verdict
		}
	case writ.RecCallProposed:
		k.proposed[r.Step] = *r.Body.Call
	case writ.RecStepCompleted, writ.RecStepFailed, writ.RecStepRejected, writ.RecStepExpired, writ.RecStepBlocked,
		writ.RecStepSkipped, writ.RecStepCancelled, writ.RecStepIndeterminate:
		k.ends[r.Step] = r
	}
}

// question reads the last question of a step at dispatch; nil where there is none.
func (w *whatIf) question(id writ.StepID) (*writ.Question, error) {
	ref, ok := w.recording.questions[id]
	if !ok {
		return nil, nil
	}
	raw := w.loader.payload(ref)
	if w.loader.err != nil {
		return nil, w.loader.err
	}
	var q writ.Question
	if err := json.Unmarshal(raw, &q); err != nil {
		return nil, writ.Errorf(writ.CodeTampered, "step "+string(id), "the stored question does not decode: %w", err)
	}
	return &q, nil
}

// translated is the execution with the other plan: the same steps by their names,
// under the ids of that plan, and with nothing derived yet.
func (w *whatIf) translated(compiled *writ.CompiledPlan) *execution {
	was := w.was
	now := w.e.newExecution(was.tenant, was.id)
	now.intent, now.draft, now.edits, now.plan = was.intent, was.draft, was.edits, compiled
	now.state = was.state
	now.state.PlanID, now.state.PlanHash = compiled.ID, compiled.Hash
	now.state.Steps = nil
	for _, s := range was.state.Steps {
		s.ID, s.Parent, s.Template = w.id(s.ID, compiled.Plan), w.id(s.Parent, compiled.Plan), w.template(s.Template, compiled.Plan)
		now.state.Steps = append(now.state.Steps, s)
	}
	for id, approvals := range was.approvals {
		now.approvals[w.id(id, compiled.Plan)] = approvals
	}
	for id, items := range was.lists {
		now.lists[w.id(id, compiled.Plan)] = items
	}
	maps.Copy(now.outputs, was.outputs)
	maps.Copy(now.labels, was.labels)
	return now
}

// id is the id of a step in the other plan: of the step with the same name, and
// for a part what comes after.
func (w *whatIf) id(id writ.StepID, plan *writ.Plan) writ.StepID {
	root, rest, _ := strings.Cut(string(id), "/")
	step, ok := w.was.plan.Plan.Step(root)
	if !ok {
		return id
	}
	if step, ok = plan.Step(step.Name); !ok {
		return id
	}
	if rest == "" {
		return step.ID
	}
	return step.ID + writ.StepID("/"+rest)
}

// template is the id of a template in the other plan, where what a step may call
// can stand in another order. Empty where it has none of the name any more.
func (w *whatIf) template(id writ.StepID, plan *writ.Plan) writ.StepID {
	if id == "" {
		return ""
	}
	step, ok := template(w.was.plan.Plan, id)
	if !ok {
		return ""
	}
	if same, ok := plan.Step(step.Name); ok {
		return same.ID
	}
	templates := plannedTemplates(plan)
	i := slices.IndexFunc(templates, func(t writ.PlannedStep) bool { return t.Name == step.Name })
	if i < 0 {
		return ""
	}
	return templates[i].ID
}
