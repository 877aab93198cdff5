package engine

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// skill.call runs an action of another skill as a step of its own: its caller's
// guest waits in the call, without holding a place in the sandbox. Where the
// called step waits for people, the caller's run ends too and is taken up again
// by running the guest against the journal.

// callPlace is a call of skill.call in the journal.
type callPlace struct {
	step     writ.StepID
	attempt  int
	sequence int
}

// callTemplateID is the id of an action that a step may call.
func callTemplateID(step writ.StepID, index int) writ.StepID {
	return step + "/calls/" + writ.StepID(strconv.Itoa(index))
}

// callTemplate is an action that a step may call, as a step under it.
func callTemplate(step *writ.Step, index int) *writ.Step {
	made := step.Calls[index]
	made.Name = step.Name + "/" + made.Name
	made.ID = callTemplateID(step.ID, index)
	return &made
}

// templatesOf are the steps that a run may add under one of the plan, itself
// left out: what it may call, and its compensation with what that may call.
func templatesOf(step *writ.Step) []writ.PlannedStep {
	var out []writ.PlannedStep
	add := func(made *writ.Step, kind writ.StepKind) {
		planned := plannedStep(made)
		planned.Kind, planned.Parent = kind, step.ID
		out = append(append(out, planned), templatesOf(made)...)
	}
	for i := range step.Calls {
		add(callTemplate(step, i), writ.KindCall)
	}
	if undo := compensationOf(step); undo != nil {
		add(undo, writ.KindCompensation)
	}
	return out
}

// calledTemplate finds the action that a call names among those that are pinned.
// The caller holds mu.
func (x *execution) calledTemplate(step *writ.Step, target string) (int, bool) {
	i := slices.IndexFunc(step.Calls, func(s writ.Step) bool { return string(s.Skill.Key)+"#"+s.Action == target })
	return i, i >= 0
}

// calledEffect is the effect of a call: of skill.call that of the action.
func calledEffect(step *writ.Step, facts *writ.CallFacts) writ.Effect {
	for i := range step.Calls {
		if c := &step.Calls[i]; facts.Tool == abi.ToolSkillCall && string(c.Skill.Key)+"#"+c.Action == facts.Target.Skill {
			return c.Effect
		}
	}
	return facts.Effect
}

// callRecord adds the step that a call makes. The caller holds mu.
func (x *execution) callRecord(step *writ.Step, attempt int, facts *writ.CalledFacts) (writ.NewRecord, *abi.Failure) {
	index, ok := x.calledTemplate(step, facts.Summary)
	if !ok {
		return writ.NewRecord{}, &abi.Failure{Code: abi.FailDenied, Message: facts.Summary + " is not among what the plan pinned", Fix: "compile a plan with the skill that is installed now"}
	}
	if x.size() >= writ.MaxPlanSteps {
		return writ.NewRecord{}, &abi.Failure{Code: abi.FailLimit, Message: "the execution has " + strconv.Itoa(writ.MaxPlanSteps) + " steps already"}
	}
	number := 1
	for i := range x.state.Steps {
		if s := &x.state.Steps[i]; s.Parent == step.ID && s.Kind == writ.KindCall {
			number++
		}
	}
	planned := plannedStep(callTemplate(step, index))
	suffix := "/call-" + strconv.Itoa(number)
	planned.ID, planned.Name, planned.Needs = step.ID+writ.StepID(suffix), step.Name+suffix, nil
	planned.Kind, planned.Parent, planned.Template = writ.KindCall, step.ID, x.templateID(step.ID, index)
	return writ.NewRecord{
		Type: writ.RecStepExpanded, Step: step.ID, Attempt: attempt,
		Body: writ.Body{Expanded: &writ.ExpandedFacts{Steps: []writ.PlannedStep{planned}, Sequence: facts.Sequence}},
	}, nil
}

// templateID is the place in the plan of what a step calls. The caller holds mu.
func (x *execution) templateID(step writ.StepID, index int) writ.StepID {
	if state := x.state.Step(string(step)); state != nil && state.Template != "" {
		step = state.Template
	}
	return callTemplateID(step, index)
}

// callerOf is what a call gives to its step.
func callerOf(args []byte, resolved *writ.ResolvedStep, labels []writ.Label) (*writ.Caller, error) {
	var call abi.SkillCall
	if err := json.Unmarshal(args, &call); err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "tool "+abi.ToolSkillCall, "arguments: %w", err)
	}
	return &writ.Caller{Input: call.Input, Within: resolved.Capabilities, Labels: writ.JoinLabels(resolved.Taint, labels)}, nil
}

// errCalledWaits ends a run whose called step waits for people.
var errCalledWaits = &writ.Error{Code: writ.CodeApprovalNeeded, Op: "tool " + abi.ToolSkillCall, Message: "the called step waits for people"}

// callSkill runs the step of a call as far as it can go now.
func (g *gate) callSkill(facts *writ.CallFacts, called *writ.CalledFacts) (*writ.ToolResult, error) {
	caller, err := callerOf(facts.Arguments, g.d.resolved, g.d.attempt.labels)
	if err != nil {
		return nil, err
	}
	step, failure, err := g.calledStep(called, caller)
	if err != nil {
		return nil, err
	}
	if failure != nil {
		return &writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: failure}, nil
	}
	g.x.mu.Lock()
	status := g.x.state.Step(string(step.ID)).Status
	g.x.mu.Unlock()
	if status == writ.StepPlanned || status == writ.StepRunning {
		g.x.runStep(step)
	}
	g.x.mu.Lock()
	defer g.x.mu.Unlock()
	result, ended := g.x.callResult(step)
	state := g.x.state.Step(string(step.ID))
	switch {
	case state.Status == writ.StepCancelled:
		return nil, context.Canceled
	case ended:
		return result, nil
	case waitsForPeople(state) || g.x.waitsInside(step.ID):
		g.proposed = true
		return nil, errCalledWaits
	case g.x.state.Paused, state.Frozen != nil:
		g.held = true
		return nil, errHeld
	case g.x.broken != nil:
		return nil, g.x.broken
	case g.x.ctx.Err() == nil: // what held it has just let it go: it is taken up from the caller's start
		g.held = true
		return nil, errHeld
	}
	return nil, context.Canceled // the engine closes: another process goes on
}

// calledStep finds the step of a call, or adds it.
func (g *gate) calledStep(called *writ.CalledFacts, caller *writ.Caller) (*writ.Step, *abi.Failure, error) {
	x := g.x
	x.mu.Lock()
	defer x.mu.Unlock()
	place := callPlace{step: g.d.step.ID, attempt: g.d.attempt.number, sequence: called.Sequence}
	if _, known := x.calls[place]; !known {
		record, failure := x.callRecord(g.d.step, g.d.attempt.number, called)
		if failure != nil {
			return nil, failure, nil
		}
		if err := x.append(record); err != nil {
			return nil, nil, err
		}
	}
	id := x.calls[place]
	x.callers[id] = caller
	step, ok := x.planned(string(id))
	if !ok {
		return nil, nil, writ.Errorf(writ.CodeTampered, "step "+string(id), "the plan has no template of it")
	}
	return step, nil, nil
}

// callResult is what a called step that has ended answers its caller. The caller
// holds mu.
func (x *execution) callResult(step *writ.Step) (*writ.ToolResult, bool) {
	s := x.state.Step(string(step.ID))
	result := &writ.ToolResult{Outcome: writ.OutcomeNotDone, Labels: s.Labels}
	switch s.Status {
	case writ.StepCompleted:
		result.Outcome, result.Body = writ.OutcomeDone, x.outputs[step.Name]
	case writ.StepFailed:
		result.Failure = s.Failure
	case writ.StepBlocked:
		result.Failure = deniedBy(s.Verdict.Reasons)
	case writ.StepRejected, writ.StepExpired:
		result.Failure = &abi.Failure{Code: abi.FailDenied, Message: "step " + step.Name + " " + string(s.Status)}
	default:
		return nil, false
	}
	if result.Failure == nil && s.Status == writ.StepFailed {
		result.Failure = &abi.Failure{Code: string(writ.CodeInternal), Message: "the called step failed"}
	}
	return result, true
}

// waitsInside reports whether a step that this one called, directly or not,
// waits for people or is frozen. The caller holds mu.
func (x *execution) waitsInside(id writ.StepID) bool {
	for i := range x.state.Steps {
		s := &x.state.Steps[i]
		if s.Parent == id && s.Kind == writ.KindCall && (waitsForPeople(s) || s.Frozen != nil || x.waitsInside(s.ID)) {
			return true
		}
	}
	return false
}

func waitsForPeople(s *writ.StepState) bool {
	return s.Status == writ.StepAwaitingApproval || s.Status == writ.StepIndeterminate
}

// followCallers leaves the time that people take for a called step, or that it is
// frozen, out of that of its callers. The caller holds mu.
func (x *execution) followCallers(r *writ.Record) {
	for s := x.state.Step(string(r.Step)); s != nil && s.Kind == writ.KindCall; s = x.state.Step(string(s.Parent)) {
		a := x.attempts[s.Parent]
		if a == nil {
			return
		}
		switch r.Type {
		case writ.RecApprovalOpened, writ.RecStepIndeterminate, writ.RecStepFrozen:
			a.waited.hold(r.Time)
		case writ.RecStepResolved, writ.RecApprovalExpired, writ.RecStepThawed:
			a.waited.release(r.Time)
		case writ.RecApprovalDecided:
			if status := r.Body.Approval.Status; status == writ.ApprovalApproved || status == writ.ApprovalRejected {
				a.waited.release(r.Time)
			}
		}
	}
}

// endedCaller names the step that called this one where that has ended by itself,
// such as by a verdict or a revocation before it ran again: nobody takes this one up
// then. The caller holds mu.
func (x *execution) endedCaller(state *writ.StepState) string {
	if caller := x.state.Step(string(state.Parent)); caller != nil && caller.Status.Final() {
		return caller.Name
	}
	return ""
}

// callerRuns reports whether a step that called this one, directly or not, is
// running in this process. The caller holds mu.
func (x *execution) callerRuns(state *writ.StepState) bool {
	for state != nil && state.Kind == writ.KindCall {
		if x.running[state.Parent] {
			return true
		}
		state = x.state.Step(string(state.Parent))
	}
	return false
}
