package engine

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
)

// A compensation undoes a step that completed in an execution that did not. It
// is judged with the plan, approved with its step, and made a step of the run
// only when it is needed: when everything else has ended, in the reverse order of
// completion, one after the other.

const compensationSuffix = "/compensate"

func compensationID(step writ.StepID) writ.StepID { return step + compensationSuffix }

// compensationOf is the compensation of a step, nil where it has none.
func compensationOf(step *writ.Step) *writ.Step {
	if step.Compensate == nil {
		return nil
	}
	made := *step.Compensate
	made.ID, made.Name = compensationID(step.ID), step.Name+compensationSuffix
	return &made
}

// plannedTemplates are the steps that a run of the plan may add.
func plannedTemplates(plan *writ.Plan) []writ.PlannedStep {
	var out []writ.PlannedStep
	for i := range plan.Steps {
		out = append(out, templatesOf(&plan.Steps[i])...)
	}
	return out
}

// template is the step of the plan, or the template in it, of an id.
func template(plan *writ.Plan, id writ.StepID) (*writ.Step, bool) {
	segments := strings.Split(string(id), "/")
	step, ok := plan.Step(segments[0])
	for i := 1; ok && i < len(segments); i++ {
		switch {
		case segments[i] == "compensate" && step.Compensate != nil:
			step = compensationOf(step)
		case segments[i] == "calls" && i+1 < len(segments):
			i++
			index, err := strconv.Atoi(segments[i])
			if ok = err == nil && index >= 0 && index < len(step.Calls); ok {
				step = callTemplate(step, index)
			}
		default:
			ok = false
		}
	}
	return step, ok
}

// bound is the verdict on a step that has a compensation: it goes no further by
// itself than the compensation would, so that who approves it approves both.
func bound(verdict, undo *writ.Verdict) *writ.Verdict {
	if undo == nil {
		return verdict
	}
	v := *verdict
	v.Clamps = slices.Clone(verdict.Clamps)
	v.Mode = clamp(&v, "compensation", v.Mode.Tighten(undo.Mode))
	if v.Mode == writ.Blocked {
		v.Reasons = slices.Concat(verdict.Reasons, undo.Reasons)
		return &v
	}
	v.Risk = v.Risk.Join(undo.Risk)
	v.Approvals = v.Approvals.Join(&undo.Approvals)
	if len(v.Approvals.Roles) == 0 {
		v.Approvals.Roles = undo.Approvals.Roles
	}
	if v.Approvals.ExpiresIn <= 0 {
		v.Approvals.ExpiresIn = undo.Approvals.ExpiresIn
	}
	return &v
}

// undo adds the compensations of what has completed to an execution that failed
// or was cancelled. It reports whether there is anything to be undone; an
// outcome that is not known leaves everything to people. The caller holds mu.
func (x *execution) undo() bool {
	records := x.compensations()
	if len(records) == 0 || x.append(records...) != nil {
		return false
	}
	if x.ctx.Err() != nil && x.engine.ctx.Err() == nil { // cancelled: what is undone now is not
		x.ctx, x.stop = context.WithCancel(x.engine.ctx)
	}
	return true
}

// compensations are the records that add them: each waits for the one before.
// The caller holds mu.
func (x *execution) compensations() []writ.NewRecord {
	if x.state.Undoing() {
		return nil
	}
	if status, _ := verdictOnAll(x.state.Steps); status == writ.ExecCompleted {
		return nil
	}
	var records []writ.NewRecord
	var before []string
	for _, id := range slices.Backward(x.completed) {
		step, ok := x.planned(string(id))
		if !ok || x.iterates(step) {
			continue
		}
		undo := compensationOf(step)
		if undo == nil {
			continue
		}
		planned := plannedStep(undo)
		planned.Kind, planned.Parent, planned.Needs = writ.KindCompensation, id, before
		planned.Template = compensationID(id)
		if state := x.state.Step(string(id)); state.Template != "" {
			planned.Template = compensationID(state.Template)
		}
		before = []string{undo.Name}
		records = append(records, writ.NewRecord{
			Type: writ.RecStepExpanded, Step: id, Body: writ.Body{Expanded: &writ.ExpandedFacts{Steps: []writ.PlannedStep{planned}}},
		})
	}
	return records
}

// forward is the step that a compensation undoes. The caller holds mu.
func (x *execution) forward(id writ.StepID) *writ.Forward {
	state := x.state.Step(string(id))
	if state == nil || state.Kind != writ.KindCompensation {
		return nil
	}
	step, ok := x.planned(string(state.Parent))
	if !ok {
		return nil
	}
	return &writ.Forward{Step: step, Input: x.inputs[step.ID], Output: x.outputs[step.Name], Labels: x.labels[step.Name]}
}

// undoes is the step that this one undoes, empty where it undoes none. The
// caller holds mu.
func (x *execution) undoes(id writ.StepID) writ.StepID {
	if state := x.state.Step(string(id)); state != nil && state.Kind == writ.KindCompensation {
		return state.Parent
	}
	return ""
}

// givenWith are the approvals of the step that a compensation undoes which
// showed the compensation. The caller holds mu.
func (x *execution) givenWith(id writ.StepID) []*writ.Approval {
	forward := x.undoes(id)
	if forward == "" {
		return nil
	}
	return slices.DeleteFunc(x.granted(forward), func(a *writ.Approval) bool { return a.Request.Compensation == nil })
}

// evidence is what a permit for the dispatch is minted from. covered says that
// people approved all of it with the step that it undoes. The caller holds mu.
func (x *execution) evidence(d *dispatch) (scope writ.PermitScope, evidence writ.PermitEvidence, covered bool) {
	scope = writ.PermitScope{
		Tenant: x.tenant, Execution: x.id, Step: d.step.ID, Skill: d.step.Skill,
		Capabilities: d.resolved.Capabilities, Taint: d.resolved.Taint, Attempt: d.attempt.number, Compensates: x.undoes(d.step.ID),
	}
	evidence = writ.PermitEvidence{Verdict: d.verdict, Approvals: x.enough(d.step.ID, d.verdict), Input: d.resolved.Input}
	for _, a := range x.givenWith(d.step.ID) {
		if a.SatisfiesCompensation(d.verdict, &scope) {
			evidence.Approvals, covered = append(evidence.Approvals, a), true
		}
	}
	return scope, evidence, covered
}

// notUndone says which completed step was to be undone and is not; empty where
// there is none.
func notUndone(steps []writ.StepState) string {
	left := ""
	for i := range steps {
		s := &steps[i]
		if s.Kind != writ.KindCompensation || !s.Status.Final() || s.Status == writ.StepCompleted {
			continue
		}
		why := "step " + s.Name + " " + string(s.Status) + ": what " + strings.TrimSuffix(s.Name, compensationSuffix) + " did is not undone"
		if s.Status != writ.StepSkipped {
			return why
		}
		left = why
	}
	return left
}

// undone names the steps that were undone, for the reason of an execution.
func undone(steps []writ.StepState) string {
	var names []string
	for i := range steps {
		if s := &steps[i]; s.Kind == writ.KindCompensation && s.Status == writ.StepCompleted {
			names = append(names, strings.TrimSuffix(s.Name, compensationSuffix))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; undone: " + strings.Join(names, ", ")
}
