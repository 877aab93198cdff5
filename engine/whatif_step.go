package engine

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// single derives one step that has no iterations. Where neither its skill nor its
// input is another, it came to what it came to.
func (w *whatIf) single(step *writ.Step) error {
	was := w.was.state.Step(step.Name)
	if was == nil || w.neverCameSoFar(was) {
		return nil
	}
	conditionFalse := was.Status == writ.StepSkipped
	skill, err := w.skill(step.Skill)
	if err != nil {
		return err
	}
	replaced := step.Skill.Digest == w.candidate.Skill.Digest && step.Skill.Key == w.candidate.Skill.Key
	if replaced {
		w.facts(was, step)
	}
	resolved, err := w.e.Planner.Resolve(w.now.plan.Plan, step, w.now.scope(step, &skill.Release))
	d := &dispatch{step: step, skill: skill, resolved: resolved, attempt: w.recording.attempts[was.ID], action: actionOf(skill.Manifest, step.Action)}
	switch {
	case err != nil:
		return w.refused(was, step, err)
	case resolved.Skip && conditionFalse:
		return nil
	case resolved.Skip:
		w.end(step.Name, writ.StepSkipped)
		w.differ(was, pathOf(was.Status, "skipped", reasonConditionFalse, false))
		return nil
	case conditionFalse:
		w.differ(was, pathOf(was.Status, "running", "its condition is true", true))
		return nil
	}
	w.now.inputs[step.ID] = resolved.Input
	if d.action == nil {
		return writ.Errorf(writ.CodeTampered, "skill "+step.Skill.String(), "the pinned version has no action %s", step.Action)
	}
	if !replaced && !w.touched(d, was) {
		w.end(step.Name, was.Status)
		return nil
	}
	return w.judged(was, d)
}

// skill loads a pinned skill once.
func (w *whatIf) skill(ref writ.SkillRef) (*writ.Skill, error) {
	if skill, ok := w.skills[ref]; ok {
		return skill, nil
	}
	skill, err := w.e.Skills.Load(w.ctx, writ.LoadRequest{Tenant: w.was.tenant, Ref: ref, Replaying: true})
	if err == nil {
		w.skills[ref] = skill
	}
	return skill, err
}

// touched reports whether a step of another skill has another input, or may call
// the candidate.
func (w *whatIf) touched(d *dispatch, was *writ.StepState) bool {
	a := d.attempt
	if a == nil || !bytes.Equal(a.input, d.resolved.Input) {
		return true
	}
	return slices.ContainsFunc(w.was.state.Steps, func(s writ.StepState) bool {
		return s.Kind == writ.KindCall && s.Parent == was.ID
	})
}

// facts compares what the plan says of the step.
func (w *whatIf) facts(was *writ.StepState, step *writ.Step) {
	before, ok := w.was.planned(string(was.ID))
	if !ok {
		return
	}
	if step.Effect.Severity() > before.Effect.Severity() {
		w.raised(was, contract.ImpactEffect, "/effect", [2]any{before.Effect, step.Effect})
	}
	if step.Risk.Rank() > before.Risk.Rank() {
		w.raised(was, contract.ImpactRisk, "/risk", [2]any{before.Risk, step.Risk})
	}
	for i := range step.Capabilities {
		wanted := &step.Capabilities[i]
		if slices.ContainsFunc(before.Capabilities, func(have writ.Capability) bool { return writ.CapabilityCovers(&have, wanted) }) {
			continue
		}
		var had any
		if k := slices.IndexFunc(before.Capabilities, func(have writ.Capability) bool { return have.Tool == wanted.Tool }); k >= 0 {
			had = contract.CapabilityText(&before.Capabilities[k])
		}
		w.raised(was, contract.ImpactCapabilities, "/capabilities", [2]any{had, contract.CapabilityText(wanted)})
		return // one for each step: the manifest's changes list them all
	}
}

// raised notes what a step may do more of; what it comes to is another matter.
func (w *whatIf) raised(was *writ.StepState, kind contract.ImpactKind, field string, pair [2]any) {
	d := w.difference(was, kind)
	d.Field, d.Recorded, d.Candidate = field, shortened(pair[0]), shortened(pair[1])
	w.out.Differences = append(w.out.Differences, d)
}

// refused is a step whose input cannot be made any more.
func (w *whatIf) refused(was *writ.StepState, step *writ.Step, err error) error {
	switch writ.CodeOf(err) {
	case writ.CodeInvalid, writ.CodeForbidden, writ.CodeTooLarge:
	default:
		return err
	}
	w.end(step.Name, writ.StepFailed)
	failure := failureOf(err)
	w.now.state.Step(step.Name).Failure = failure
	if was.Status == writ.StepFailed && was.Failure != nil && was.Failure.Code == failure.Code && w.recording.attempts[was.ID] == nil {
		return nil
	}
	w.differ(was, contract.ImpactDifference{
		Kind: contract.ImpactInput, Recorded: shortened(was.Status), Candidate: shortened(failure.Code), Message: failure.Message,
	})
	return nil
}

// judged asks the policy of that time with what the step is now, and goes on
// where it may.
func (w *whatIf) judged(was *writ.StepState, d *dispatch) error {
	recorded, verdict, err := w.verdicts(was, d)
	if err != nil {
		return err
	}
	switch {
	case recorded == nil: // it never came so far
		w.end(d.step.Name, was.Status)
		return nil
	case recorded.Mode != verdict.Mode:
		w.flipped(was, recorded, verdict)
	case recorded.Mode == writ.Assist && verdict.Approvals.Count > recorded.Approvals.Count:
		w.raised(was, contract.ImpactVerdict, "/approvals/count", [2]any{recorded.Approvals.Count, verdict.Approvals.Count})
	case recorded.Mode == writ.Assist && !slices.Equal(verdict.Approvals.Quorum, recorded.Approvals.Quorum):
		w.raised(was, contract.ImpactVerdict, "/approvals/quorum", [2]any{recorded.Approvals.Quorum, verdict.Approvals.Quorum})
	}
	if verdict.Mode == writ.Blocked {
		w.now.state.Step(d.step.Name).Verdict = verdict
		w.end(d.step.Name, writ.StepBlocked)
		return nil
	}
	d.verdict = verdict
	if d.attempt == nil {
		if was.Status != writ.StepBlocked || recorded.Mode == verdict.Mode {
			w.end(d.step.Name, was.Status)
		}
		return nil
	}
	return w.guest(was, d)
}

func (w *whatIf) flipped(was *writ.StepState, recorded, verdict *writ.Verdict) {
	d := contract.ImpactDifference{
		Kind: contract.ImpactVerdict, Field: "/mode", Recorded: shortened(recorded.Mode), Candidate: shortened(verdict.Mode),
		Unknown: recorded.Mode == writ.Blocked,
	}
	if len(verdict.Reasons) > 0 {
		d.Message = verdict.Reasons[0].Rule + ": " + verdict.Reasons[0].Message
	}
	if verdict.Mode != writ.Blocked && recorded.Mode != writ.Blocked { // whether people are asked changes nothing of what the guest does
		w.raised(was, d.Kind, d.Field, [2]any{recorded.Mode, verdict.Mode})
		w.out.Differences[len(w.out.Differences)-1].Message = d.Message
		return
	}
	w.differ(was, d)
}

// verdicts judges the recorded question and the one that the step would ask now
// under the bundle that judged it, both in the same way.
func (w *whatIf) verdicts(was *writ.StepState, d *dispatch) (recorded, now *writ.Verdict, err error) {
	asked, err := w.question(was.ID)
	if asked == nil || err != nil {
		return nil, nil, err
	}
	judge, err := w.e.Judges.ByDigest(w.ctx, w.recording.verdicts[was.ID].PolicyDigest)
	if err != nil {
		return nil, nil, err
	}
	q := w.now.derivedQuestion(d.step, d.resolved, asked.Step.Attempt)
	q.Host, q.Time, q.History = asked.Host, asked.Time, asked.History
	if q.Grants, err = w.grants(asked, q.Step.Capabilities); err != nil {
		return nil, nil, err
	}
	answers := [2]*writ.Verdict{}
	for i, question := range []*writ.Question{asked, q} {
		answer, err := judge.Judge(w.ctx, question)
		if err != nil {
			return nil, nil, err
		}
		answers[i] = effective(answer, nil, w.was.state.Mode)
	}
	return answers[0], answers[1], nil
}

// grants are the recorded ones. Those that reach what the step did not ask for then
// were not looked up: for that the ones of today count.
func (w *whatIf) grants(asked *writ.Question, wanted []writ.Capability) ([]writ.Grant, error) {
	more := slices.DeleteFunc(slices.Clone(wanted), func(c writ.Capability) bool {
		return slices.ContainsFunc(asked.Step.Capabilities, func(then writ.Capability) bool { return sameReach(&then, &c) })
	})
	grants := orEmpty(slices.Clone(asked.Grants))
	if len(more) == 0 {
		return grants, nil
	}
	today, err := w.e.Grants.Candidates(w.ctx, w.was.state.Principal, more, nil)
	if err != nil {
		return nil, err
	}
	for _, g := range today {
		if !slices.ContainsFunc(grants, func(then writ.Grant) bool { return then.ID == g.ID }) {
			grants = append(grants, g)
		}
	}
	return grants, nil
}

// sameReach reports whether the same grants reach both.
func sameReach(a, b *writ.Capability) bool {
	return (&writ.Grant{Capability: *a}).Reaches(b) && (&writ.Grant{Capability: *b}).Reaches(a)
}

// guest runs the step's action against the recorded answers and compares.
func (w *whatIf) guest(was *writ.StepState, d *dispatch) error {
	end := w.recording.ends[was.ID]
	if end == nil || endedByHost(end) {
		w.out.Unreplayable = "step " + was.Name + " was ended by its host: what its skill would have come to is not recorded"
		w.end(d.step.Name, was.Status)
		return nil
	}
	permit, err := writ.MintPermit(writ.PermitScope{
		Tenant: w.was.tenant, Execution: w.was.id, Step: d.step.ID, Skill: d.step.Skill,
		Capabilities: d.resolved.Capabilities, Taint: d.resolved.Taint, Attempt: d.attempt.number, Compensates: w.now.undoes(d.step.ID),
	}, writ.PermitEvidence{Verdict: d.verdict, Input: d.resolved.Input})
	if err != nil {
		return err
	}
	defer permit.Close()
	gate := &whatIfGate{w: w, was: was, d: d, permit: permit, now: d.attempt.clock, labels: d.resolved.Taint}
	run := guestRun(d, permit, gate)
	run.Limits.Time = replayTime // fuel bounds it, and no clock of a slower machine
	result, err := w.e.Sandbox.Run(w.ctx, run)
	switch {
	case errors.Is(w.ctx.Err(), context.Canceled):
		return writ.Errorf(writ.CodeCancelled, "what-if", "it was cancelled")
	case w.ctx.Err() != nil:
		return writ.Errorf(writ.CodeTimeout, "what-if", "the time for it is over")
	case gate.err != nil:
		return gate.err
	case gate.stopped != nil:
		w.differ(was, *gate.stopped)
		return nil
	case gate.asked:
		w.end(d.step.Name, was.Status)
		return nil
	case err != nil:
		return err
	}
	gate.notMade()
	return w.outcome(gate, end, result)
}

// outcome compares what the guest came to with what is recorded.
func (w *whatIf) outcome(gate *whatIfGate, end *writ.Record, result *writ.GuestResult) error {
	was, d := gate.was, gate.d
	failure := result.Failure
	if failure == nil {
		if err := w.e.schemas.check(d.action, result.Output); err != nil {
			failure = &abi.Failure{Code: writ.GuestOutputBad, Message: err.Error()}
		}
	}
	if failure != nil {
		w.end(d.step.Name, writ.StepFailed)
		w.now.state.Step(d.step.Name).Failure = failure
		w.failed(was, end, failure)
		return nil
	}
	if end.Type != writ.RecStepCompleted && end.Type != writ.RecStepFailed {
		w.end(d.step.Name, was.Status) // people ended it
		return nil
	}
	w.end(d.step.Name, writ.StepCompleted)
	output := orNull(result.Output)
	labels := gate.labels
	if d.action.Sensitivity == abi.SensitivityPrivate {
		labels = append(slices.Clone(labels), writ.LabelPrivate)
	}
	if d.step.Declassified != nil {
		labels = writ.Declassify(labels)
	}
	w.now.outputs[d.step.Name], w.now.labels[d.step.Name] = output, writ.JoinLabels(labels)
	w.now.state.Step(d.step.Name).Labels = w.now.labels[d.step.Name]
	if end.Type == writ.RecStepFailed {
		w.differ(was, contract.ImpactDifference{
			Kind: contract.ImpactFailure, Field: "/failure", Recorded: shortened(failureIn(end)), Candidate: shortened(nil),
			Message: "it completes",
		})
		return nil
	}
	recorded := w.loader.named(end, writ.PayloadOutput)
	if w.loader.err != nil {
		return w.loader.err
	}
	if difference := FirstDifference(recorded, []byte(output)); difference != nil {
		w.differ(was, contract.ImpactDifference{
			Kind: contract.ImpactOutput, Field: difference.Field,
			Recorded: shortened([]byte(difference.Recorded)), Candidate: shortened([]byte(difference.Replayed)),
		})
	}
	return nil
}

// failed names in what a failure differs from what is recorded.
func (w *whatIf) failed(was *writ.StepState, end *writ.Record, failure *abi.Failure) {
	recorded := failureIn(end)
	if recorded != nil && recorded.Code == failure.Code && recorded.Message == failure.Message {
		return
	}
	kind := contract.ImpactFailure
	switch failure.Code {
	case writ.GuestFuelLimit:
		kind = contract.ImpactFuel
	case writ.GuestOutputBad:
		kind = contract.ImpactSchema
	}
	d := contract.ImpactDifference{Kind: kind, Field: "/failure", Candidate: shortened(failure), Message: failure.Code + ": " + failure.Message}
	if recorded != nil {
		d.Recorded = shortened(recorded)
	} else {
		d.Recorded = shortened(was.Status)
	}
	w.differ(was, d)
}
