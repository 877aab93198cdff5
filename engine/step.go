package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// dispatch is one step on its way into the sandbox.
type dispatch struct {
	step     *writ.Step
	skill    *writ.Skill
	resolved *writ.ResolvedStep
	verdict  *writ.Verdict
	question writ.Digest // of the payload of the verdict
	attempt  *attempt
	action   *abi.Action
	covered  bool   // approved whole with the step that it undoes
	epoch    uint64 // under which it was loaded and judged
	// superseded: it must be judged again, since that epoch has passed.
	superseded bool
	fuel       uint64 // that the guest used
}

// maxJudgements bounds how often a step is judged again because grants, policy
// or skills change while it runs.
const maxJudgements = 100

// runStep takes a step as far as it can go now: to its end, to an approval or
// to a retry. It never returns an error: what happened is in the journal.
func (x *execution) runStep(step *writ.Step) {
	x.mu.Lock()
	iterates := x.iterates(step)
	x.mu.Unlock()
	if iterates {
		x.expand(step)
		return
	}
	var d *dispatch
	var record *writ.NewRecord
	for judged := 0; judged == 0 || d != nil && d.superseded; judged++ {
		d, record = x.prepare(step)
		switch {
		case record != nil || d == nil:
		case judged == maxJudgements:
			record = x.failed(d, failureOf(errSuperseded))
		default:
			record = x.runGuest(d)
		}
	}
	if record == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.finish(step, d, *record)
}

// finish appends a step's last record of this dispatch. It reports whether the
// journal took it. The caller holds mu.
func (x *execution) finish(step *writ.Step, d *dispatch, record writ.NewRecord) bool {
	record = x.honest(step, record)
	if d != nil && d.attempt != nil && record.Body.Ended != nil {
		record.Body.Ended.Trail = d.attempt.trailDigest()
	}
	if x.append(record) != nil {
		return false
	}
	switch state := x.state.Step(string(step.ID)); record.Type {
	case writ.RecStepCompleted:
		x.outputs[step.Name], x.labels[step.Name] = record.Payloads[0].Data, state.Labels
		if step.Compensate != nil && d != nil {
			x.inputs[step.ID] = d.resolved.Input
		}
	case writ.RecStepExpanded:
		x.lists[step.ID], x.broken = listOf(record.Payloads[0].Data, record.Body.Expanded.Labels)
	}
	switch {
	case record.Type == writ.RecStepIndeterminate: // a ruling goes on with it
	case record.Type == writ.RecRetryScheduled && d != nil && d.attempt != nil:
		x.attempts[step.ID] = d.attempt
	default:
		delete(x.attempts, step.ID)
	}
	return true
}

// prepare resolves and judges the step. It returns a dispatch to run, a record
// that ends the step, or neither where it now waits for people.
func (x *execution) prepare(step *writ.Step) (*dispatch, *writ.NewRecord) {
	x.mu.Lock()
	state := x.state.Step(string(step.ID))
	d := &dispatch{step: step}
	number, paused := max(state.Attempt, 1), x.state.Paused
	x.mu.Unlock()
	if paused {
		return nil, nil
	}

	fail := func(err error) (*dispatch, *writ.NewRecord) {
		if x.ctx.Err() != nil || errors.Is(err, context.Canceled) {
			return nil, x.interrupted(step, number)
		}
		record := stepEnded(writ.RecStepFailed, step, number, &writ.EndedFacts{Failure: failureOf(err)})
		return nil, &record
	}
	var err error
	if d.epoch, err = x.engine.Journal.Epoch(x.ctx, x.tenant); err != nil {
		return fail(err)
	}
	if d.skill, err = x.engine.Skills.Load(x.ctx, writ.LoadRequest{Tenant: x.tenant, Ref: step.Skill}); err != nil {
		return fail(err)
	}
	if d.action = actionOf(d.skill.Manifest, step.Action); d.action == nil {
		return fail(writ.Errorf(writ.CodeTampered, "skill "+step.Skill.String(), "the pinned version has no action %s", step.Action))
	}
	x.mu.Lock()
	scope := x.scope(step, &d.skill.Release)
	x.mu.Unlock()
	if d.resolved, err = x.engine.Planner.Resolve(x.plan.Plan, step, scope); err != nil {
		return fail(err)
	}
	if d.resolved.Skip {
		record := stepEnded(writ.RecStepSkipped, step, 0, &writ.EndedFacts{Reason: reasonConditionFalse})
		return nil, &record
	}
	verdict, err := x.judge(x.ctx, d, number)
	if err != nil {
		return fail(err)
	}
	if verdict.Mode == writ.Blocked {
		record := stepEnded(writ.RecStepBlocked, step, number, &writ.EndedFacts{Reasons: verdict.Reasons})
		return nil, &record
	}
	d.verdict = verdict
	return d, nil
}

// judge asks the policy with the exact input and records the answer.
func (x *execution) judge(ctx context.Context, d *dispatch, attempt int) (*writ.Verdict, error) {
	question, err := x.stepQuestion(ctx, d.step, d.resolved, attempt)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	prior := x.state.Step(string(d.step.ID)).Verdict
	judge := x.engine.Judges.Active()
	answer, err := judge.Judge(ctx, question)
	if err != nil {
		return nil, err
	}
	verdict := effective(answer, prior, x.state.Mode)
	record, err := verdictRecord(writ.StageDispatch, d.step.ID, question, verdict)
	if err != nil {
		return nil, err
	}
	record.Attempt = attempt
	stored, err := x.write(nil, record)
	if err != nil {
		return nil, err
	}
	d.question = stored[0].Payloads[0].Digest
	return verdict, nil
}

// begin takes up the attempt that the journal holds, or starts a new one.
func (x *execution) begin(d *dispatch) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state.Paused {
		return errHeld
	}
	state := x.state.Step(string(d.step.ID))
	known := x.attempts[d.step.ID]
	resuming := known != nil && known.number == state.Attempt && (state.Status == writ.StepRunning || state.Approval != nil && state.RetryAt == 0)
	if resuming {
		if string(known.input) != string(d.resolved.Input) {
			return writ.Errorf(writ.CodeDiverged, "step "+d.step.Name, "the input is not the one that the attempt began with")
		}
		d.attempt = known
		return nil
	}
	seed, err := x.engine.draw(sha256.Size)
	if err != nil {
		return err
	}
	d.attempt = &attempt{number: state.Attempt + 1, earlier: state.Earlier, input: d.resolved.Input, clock: x.now(), engine: x.engine.EngineID}
	copy(d.attempt.seed[:], seed)
	if known != nil {
		d.attempt.before = known.completedWrites()
	}
	x.attempts[d.step.ID] = d.attempt
	return x.append(writ.NewRecord{
		Type: writ.RecStepStarted, Step: d.step.ID, Attempt: d.attempt.number, Time: d.attempt.clock,
		Body: writ.Body{Started: &writ.StartedFacts{
			Key: stepKey(x.id, d.step.ID), Module: d.step.Skill.Module, ABI: d.skill.Manifest.ABI,
			Engine: x.engine.EngineID, Clock: d.attempt.clock, Limits: d.step.Limits,
			Taint: d.resolved.Taint, Policy: d.verdict.PolicyDigest, Question: d.question,
		}},
		Payloads: []writ.Payload{{Name: writ.PayloadInput, Data: d.resolved.Input}, {Name: writ.PayloadSeed, Data: seed}},
	})
}

// runGuest runs the step's action. It returns the record that ends this
// dispatch, or nil where the step now waits for people or for another process.
func (x *execution) runGuest(d *dispatch) *writ.NewRecord {
	x.mu.Lock()
	approvals := x.granted(d.step.ID)
	x.mu.Unlock()
	if late := x.tooLate(d, approvals); late != nil {
		return late
	}
	switch err := x.begin(d); {
	case errors.Is(err, errHeld):
		return nil
	case err != nil:
		return x.failed(d, failureOf(err))
	}
	if moved := d.attempt.movedTo(x.engine.EngineID); moved != nil {
		record := stepEnded(writ.RecStepIndeterminate, d.step, d.attempt.number, &writ.EndedFacts{Failure: moved})
		return &record
	}
	x.mu.Lock()
	scope, evidence, covered := x.evidence(d)
	x.mu.Unlock()
	d.covered = covered
	permit, err := writ.MintPermit(scope, evidence)
	if err != nil {
		return x.failed(d, failureOf(err))
	}
	defer permit.Close()
	ctx, cancel := x.deadline(d)
	defer cancel()
	gate := newGate(x, d, permit)
	result, err := x.engine.Sandbox.Run(ctx, guestRun(d, permit, gate))
	if d.superseded = gate.superseded; gate.proposed || gate.held || d.superseded {
		return nil
	}
	if err != nil {
		return x.interruptedBy(d, err)
	}
	return x.outcome(d, gate, result)
}

func guestRun(d *dispatch, permit writ.Permit, gate writ.ToolGate) *writ.GuestRun {
	return &writ.GuestRun{
		Permit: permit, Module: d.skill.Module, Digest: d.skill.SkillRef.Module, ABI: d.skill.Manifest.ABI,
		Action: d.step.Action, Input: d.resolved.Input, Seed: d.attempt.seed, Start: d.attempt.clock,
		Limits: d.step.Limits, Manifest: d.skill.Manifest, Gate: gate,
	}
}

// deadline bounds an attempt by the step's own timeout, counted from when the
// journal says that it began, without the time that people took. The sandbox
// applies the limits of the skill itself.
func (x *execution) deadline(d *dispatch) (context.Context, context.CancelFunc) {
	if d.step.Timeout <= 0 {
		return context.WithCancel(x.ctx)
	}
	x.mu.Lock()
	used := x.now().Std().Sub(d.attempt.clock.Std()) - d.attempt.waited.total
	x.mu.Unlock()
	return context.WithTimeout(x.ctx, d.step.Timeout.Std()-used)
}

// outcome turns what the guest came to into a record.
func (x *execution) outcome(d *dispatch, gate *gate, result *writ.GuestResult) *writ.NewRecord {
	d.fuel = result.Fuel
	if result.Failure != nil {
		if result.Failure.Code == writ.GuestTimeout && x.ctx.Err() != nil {
			return x.interrupted(d.step, d.attempt.number)
		}
		return x.failed(d, result.Failure)
	}
	if err := x.engine.schemas.check(d.action, result.Output); err != nil {
		return x.failed(d, &abi.Failure{Code: writ.GuestOutputBad, Message: err.Error()})
	}
	if gate.unfinished() {
		return x.failed(d, &abi.Failure{Code: string(writ.CodeDiverged), Message: "the guest ended before a call that the journal holds"})
	}
	if d.verdict.Mode == writ.Assist && !d.covered && !x.approvedBefore(d) {
		return x.propose(d, nil)
	}
	labels := writ.JoinLabels(d.resolved.Taint, d.attempt.labels)
	return &writ.NewRecord{
		Type: writ.RecStepCompleted, Step: d.step.ID, Attempt: d.attempt.number,
		Body:     writ.Body{Ended: &writ.EndedFacts{Fuel: result.Fuel, Calls: result.Calls, Labels: labels}},
		Payloads: []writ.Payload{{Name: writ.PayloadOutput, Data: result.Output}},
	}
}

// approvedBefore reports whether people have approved anything of this step, and
// enough of them.
func (x *execution) approvedBefore(d *dispatch) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.approvedWithin(d.step.ID, d.verdict)
}

// approvedWithin counts what was approved of the steps that it called. The
// caller holds mu.
func (x *execution) approvedWithin(id writ.StepID, v *writ.Verdict) bool {
	return len(x.enough(id, v)) > 0 || slices.ContainsFunc(x.state.Steps, func(s writ.StepState) bool {
		return s.Parent == id && s.Kind == writ.KindCall && x.approvedWithin(s.ID, s.Verdict)
	})
}

func actionOf(m *abi.Manifest, name string) *abi.Action {
	for i := range m.Actions {
		if m.Actions[i].Name == name {
			return &m.Actions[i]
		}
	}
	return nil
}

// stepKey is the idempotency key of a step: the same for every attempt.
func stepKey(execution writ.ExecutionID, step writ.StepID) string {
	return canon.ID("key", canon.DomainStepKey, []byte(execution), []byte(step))
}
