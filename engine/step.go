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
	needed   []string    // ids of the grants that let it start
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
		x.iterate(step)
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
		case d.superseded: // a grant that was there is not there any more
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
	if held, record, err := x.holds(step, number); held || err != nil {
		if err != nil {
			return fail(err)
		}
		return nil, record
	}
	if err := x.makeReady(d); err != nil {
		return fail(err)
	}
	if d.resolved.Skip {
		record := stepEnded(writ.RecStepSkipped, step, 0, &writ.EndedFacts{Reason: reasonConditionFalse})
		return nil, &record
	}
	verdict, err := x.judge(x.ctx, d, number)
	if errors.Is(err, writ.ErrGrantSpent) {
		d.superseded = true
		return d, nil
	}
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

// makeReady loads the step's skill, which is verified again, and gives the step its
// exact input.
func (x *execution) makeReady(d *dispatch) (err error) {
	if d.skill, err = x.engine.Skills.Load(x.ctx, writ.LoadRequest{Tenant: x.tenant, Ref: d.step.Skill}); err != nil {
		return err
	}
	if d.action = actionOf(d.skill.Manifest, d.step.Action); d.action == nil {
		return writ.Errorf(writ.CodeTampered, "skill "+d.step.Skill.String(), "the pinned version has no action %s", d.step.Action)
	}
	x.mu.Lock()
	scope := x.scope(d.step, &d.skill.Release)
	x.mu.Unlock()
	d.resolved, err = x.engine.Planner.Resolve(x.plan.Plan, d.step, scope)
	return err
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
	if verdict.Mode != writ.Blocked && x.takenUp(d.step.ID) == nil {
		want := x.wants(d.step)
		want.Steps = 1
		refused, err := x.over(want, &record, func(changes []writ.Change) error { return x.decided(d, record, changes) })
		if refused || err != nil {
			return &record.Body.Decided.Verdict, err
		}
	}
	d.needed = needed(question, x.held(d.step.ID))
	return verdict, x.record(d, record)
}

// record appends a verdict of a dispatch. Where its attempt is under way and needs
// grants that it has not taken, they are taken with it. The caller holds mu.
func (x *execution) record(d *dispatch, record writ.NewRecord) error {
	write := func(uses []writ.GrantUse, changes []writ.Change) error {
		record.Body.Decided.Grants = uses
		return x.decided(d, record, changes)
	}
	if x.takenUp(d.step.ID) == nil || record.Body.Decided.Verdict.Mode == writ.Blocked {
		return write(nil, nil)
	}
	return x.take(d, write)
}

// decided appends a verdict of a dispatch. The caller holds mu.
func (x *execution) decided(d *dispatch, record writ.NewRecord, changes []writ.Change) error {
	stored, err := x.write(changes, record)
	if err == nil {
		d.question = stored[0].Payloads[0].Digest
	}
	return err
}

// begin takes up the attempt that the journal holds, or starts a new one, unless
// the tenant's epoch has moved since the step was judged.
func (x *execution) begin(d *dispatch) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state.Paused {
		return errHeld
	}
	state := x.state.Step(string(d.step.ID))
	known := x.attempts[d.step.ID]
	if x.takenUp(d.step.ID) != nil {
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
	next := &attempt{number: state.Attempt + 1, earlier: state.Earlier, input: d.resolved.Input, clock: x.now(), engine: x.engine.EngineID}
	copy(next.seed[:], seed)
	if known != nil {
		next.before = known.completedWrites()
	}
	want := x.wants(d.step)
	want.Steps, want.Time = 1, next.clock
	return x.take(d, func(uses []writ.GrantUse, granted []writ.Change) error {
		return x.spend(want, func(budgets []writ.BudgetUse, changes []writ.Change, at writ.Time) error {
			next.clock, next.grants = at, uses
			started := next.started(d, stepKey(x.id, d.step.ID))
			started.Body.Started.Budgets = budgets
			_, err := x.commit(&writ.Batch{Epoch: d.epoch, Changes: slices.Concat(granted, changes), Records: []writ.NewRecord{started}})
			if err == nil {
				d.attempt, x.attempts[d.step.ID] = next, next
			}
			return err
		})
	})
}

// started is the record that starts the attempt.
func (a *attempt) started(d *dispatch, key string) writ.NewRecord {
	return writ.NewRecord{
		Type: writ.RecStepStarted, Step: d.step.ID, Attempt: a.number, Time: a.clock,
		Body: writ.Body{Started: &writ.StartedFacts{
			Key: key, Module: d.step.Skill.Module, ABI: d.skill.Manifest.ABI,
			Engine: a.engine, Clock: a.clock, Limits: d.step.Limits, Taint: d.resolved.Taint,
			Policy: d.verdict.PolicyDigest, Question: d.question, Grants: a.grants,
		}},
		Payloads: []writ.Payload{{Name: writ.PayloadInput, Data: a.input}, {Name: writ.PayloadSeed, Data: a.seed[:]}},
	}
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
	case errors.Is(err, writ.ErrGrantSpent), outOfDate(err):
		d.superseded = true
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
	return &writ.NewRecord{
		Type: writ.RecStepCompleted, Step: d.step.ID, Attempt: d.attempt.number,
		Body:     writ.Body{Ended: &writ.EndedFacts{Fuel: result.Fuel, Calls: result.Calls, Labels: d.yield()}},
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
