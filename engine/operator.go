package engine

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// ExecutionPause is the handler of contract.ExecutionPause. A call in flight is
// waited for; no other begins.
func (e *Engine) ExecutionPause(ctx context.Context, in *contract.ExecutionPauseInput) (*contract.ExecutionPauseOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if err := x.pause(p, in.Reason); err != nil {
		return nil, err
	}
	result, err := x.answer(ctx, false)
	return &contract.ExecutionPauseOutput{Result: result}, err
}

// answer is what the state amounts to, once it is durable and, where the caller
// wants to wait, nothing moves any more.
func (x *execution) answer(ctx context.Context, wait bool) (contract.Result, error) {
	until := x.barrier
	if wait {
		until = x.wait
	}
	if err := until(ctx); err != nil {
		return contract.Result{}, err
	}
	state := x.snapshot()
	return contract.Result{Status: string(state.Status), ChangedAt: state.UpdatedAt}, nil
}

func (x *execution) pause(p *writ.Principal, reason string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.underWay(); err != nil {
		return err
	}
	switch {
	case x.state.Cancelling && !x.state.Undoing():
		return writ.Errorf(writ.CodeConflict, "execution "+string(x.id), "it is being cancelled")
	case x.state.Paused:
		return nil
	}
	if reason == "" {
		reason = "paused by " + string(p.ID)
	}
	err := x.append(writ.NewRecord{Type: writ.RecRunPaused, Actor: x.auditOf(p), Body: writ.Body{End: &writ.EndFacts{Reason: reason}}})
	if err == nil {
		x.arm()
	}
	return err
}

// underWay refuses what only makes sense between start and end. The caller
// holds mu.
func (x *execution) underWay() error {
	op := "execution " + string(x.id)
	switch {
	case x.state.Status.Final():
		return writ.Errorf(writ.CodeConflict, op, "it is already %s", x.state.Status).WithFix("see `writ exec get %s`", x.id)
	case x.state.RunID == "":
		return writ.Errorf(writ.CodeConflict, op, "it has not been started").WithFix("run `writ exec start %s`", x.id)
	}
	return nil
}

// ExecutionResume is the handler of contract.ExecutionResume.
func (e *Engine) ExecutionResume(ctx context.Context, in *contract.ExecutionResumeInput) (*contract.ExecutionResumeOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if err := x.resume(p, in.Reason); err != nil {
		return nil, err
	}
	result, err := x.answer(ctx, in.Wait)
	return &contract.ExecutionResumeOutput{Result: result}, err
}

func (x *execution) resume(p *writ.Principal, reason string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.underWay(); err != nil || !x.state.Paused {
		return err
	}
	err := x.append(writ.NewRecord{Type: writ.RecRunResumed, Actor: x.auditOf(p), Body: writ.Body{End: &writ.EndFacts{Reason: reason}}})
	if err == nil {
		x.advance()
	}
	return err
}

// ExecutionRetry is the handler of contract.ExecutionRetry.
func (e *Engine) ExecutionRetry(ctx context.Context, in *contract.ExecutionRetryInput) (*contract.ExecutionRetryOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	x, err := e.reopen(ctx, p.Tenant, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if err := x.retry(p, in.Reason); err != nil {
		e.release(x)
		return nil, err
	}
	result, err := x.answer(ctx, in.Wait)
	return &contract.ExecutionRetryOutput{Result: result}, err
}

// reopen looks after an execution that has ended: from the journal, once its end
// is durable.
func (e *Engine) reopen(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) (*execution, error) {
	x, err := e.open(ctx, tenant, id)
	if err != nil || !x.snapshot().Status.Final() {
		return x, err
	}
	select {
	case <-x.done:
	case <-e.ctx.Done():
		return nil, errClosing
	case <-ctx.Done():
		return nil, writ.Errorf(writ.CodeTimeout, "execution "+string(id), "its end is not durable yet")
	}
	if x, err = e.load(ctx, tenant, id); err != nil {
		return nil, err
	}
	return e.adopt(x)
}

// release lets go of an execution that was opened and turns out to have ended.
func (e *Engine) release(x *execution) {
	if x.snapshot().Status.Final() {
		x.stop()
		e.forget(x)
	}
}

func (x *execution) retry(p *writ.Principal, reason string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	op := "execution " + string(x.id)
	if err := x.unedited(); err != nil {
		return err
	}
	switch status := x.state.Status; {
	case x.state.RunID == "":
		return writ.Errorf(writ.CodeConflict, op, "it never ran: it is %s", status).WithFix("submit a new intent, or start this one")
	case status == writ.ExecIndeterminate:
		return writ.Errorf(writ.CodeConflict, op, "the outcome of a write is not known").WithFix("run `writ exec resolve %s`", x.id)
	case status == writ.ExecCompleted:
		return writ.Errorf(writ.CodeConflict, op, "it has completed").WithFix("submit a new intent")
	case !status.Final():
		return writ.Errorf(writ.CodeConflict, op, "it is under way: it is %s", status).WithFix("see `writ exec get %s`", x.id)
	}
	if err := x.retriable(); err != nil {
		return err
	}
	err := x.append(writ.NewRecord{Type: writ.RecRunRetried, Actor: x.auditOf(p), Body: writ.Body{End: &writ.EndFacts{Reason: reason}}})
	if err != nil {
		return err
	}
	x.done = make(chan struct{})
	x.dropApprovals()
	x.advance()
	return nil
}

// retriable refuses where nothing is left to be tried, or trying it might do
// something twice. The caller holds mu.
func (x *execution) retriable() error {
	op, left := "execution "+string(x.id), false
	for i := range x.state.Steps {
		s := &x.state.Steps[i]
		if s.Status == writ.StepCompleted || x.state.Undoing() != (s.Kind == writ.KindCompensation) {
			continue
		}
		left = true
		if c := x.unansweredWrite(s.ID); c != nil {
			return writ.Errorf(writ.CodeConflict, op, "whether %s of step %s took place is not known, and a retry would make it", c.facts.Summary, s.Name).
				WithFix("find out, and submit a new intent for what is still to be done")
		}
	}
	if !left {
		return writ.Errorf(writ.CodeConflict, op, "what it did has been undone").WithFix("submit a new intent")
	}
	return nil
}

// dropApprovals forgets what was approved of steps that are tried again: it was
// said of another try, and may be long ago. The caller holds mu.
func (x *execution) dropApprovals() {
	for i := range x.state.Steps {
		if s := &x.state.Steps[i]; s.Status == writ.StepPlanned {
			delete(x.approvals, s.ID)
		}
	}
}

// ExecutionResolve is the handler of contract.ExecutionResolve.
func (e *Engine) ExecutionResolve(ctx context.Context, in *contract.ExecutionResolveInput) (*contract.ExecutionResolveOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if _, err := p.Claim("resolvedBy", in.ResolvedBy); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Reason) == "" {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "resolve", Place: "reason", Message: "a ruling needs a reason", Fix: "say what you found out on the other side"}
	}
	if err := x.resolve(p, in); err != nil {
		return nil, err
	}
	result, err := x.answer(ctx, in.Wait)
	return &contract.ExecutionResolveOutput{Result: result}, err
}

func (x *execution) resolve(p *writ.Principal, in *contract.ExecutionResolveInput) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	state, err := x.indeterminateStep(string(in.StepID))
	if err != nil {
		return err
	}
	step, planned := x.planned(string(state.ID))
	a := x.attempts[state.ID]
	if !planned || a == nil {
		return writ.Errorf(writ.CodeTampered, "step "+state.Name, "the journal does not say what it was doing")
	}
	facts, result, err := x.ruling(in, state.ID)
	if err != nil {
		return err
	}
	record := writ.NewRecord{
		Type: writ.RecStepResolved, Step: state.ID, Attempt: a.number, Actor: x.auditOf(p), Body: writ.Body{Resolved: facts},
	}
	if result != nil {
		record.Payloads = []writ.Payload{{Name: writ.PayloadResult, Data: result}}
	}
	records := []writ.NewRecord{record}
	if facts.Ruling == writ.RulingFail {
		records = append(records, stepEnded(writ.RecStepFailed, step, a.number, ruledFailed(a)))
	}
	stored, err := x.write(nil, records...)
	if err != nil {
		return err
	}
	a.resolve(facts, result, stored[0].Time)
	x.advance()
	return nil
}

// indeterminateStep finds the step that is meant. The caller holds mu.
func (x *execution) indeterminateStep(named string) (*writ.StepState, error) {
	op := "execution " + string(x.id)
	if named != "" {
		s := x.state.Step(named)
		if s == nil {
			return nil, writ.Errorf(writ.CodeNotFound, op, "it has no step %s", named).WithFix("see `writ exec get %s`", x.id)
		}
		if s.Status != writ.StepIndeterminate {
			return nil, writ.Errorf(writ.CodeConflict, op, "step %s is %s: there is nothing to resolve", s.Name, s.Status)
		}
		return s, nil
	}
	var found *writ.StepState
	for i := range x.state.Steps {
		if s := &x.state.Steps[i]; s.Status == writ.StepIndeterminate {
			if found != nil {
				return nil, writ.Errorf(writ.CodeConflict, op, "steps %s and %s are indeterminate", found.Name, s.Name).WithFix("say which one: --step %s", found.Name)
			}
			found = s
		}
	}
	if found == nil {
		return nil, writ.Errorf(writ.CodeConflict, op, "it is %s: no step is indeterminate", x.state.Status).WithFix("see `writ exec get %s`", x.id)
	}
	return found, nil
}

// ruling checks what the operator says against what the step was doing.
func (x *execution) ruling(in *contract.ExecutionResolveInput, id writ.StepID) (*writ.ResolvedFacts, []byte, error) {
	facts := &writ.ResolvedFacts{Ruling: in.Ruling, Reason: in.Reason}
	c := x.unansweredWrite(id)
	if c != nil {
		facts.Sequence = c.facts.Sequence
	}
	invalid := func(place, message, fix string) error {
		return &writ.Error{Code: writ.CodeInvalid, Op: "resolve", Place: place, Message: message, Fix: fix}
	}
	switch {
	case in.Ruling != writ.RulingDone && len(in.Answer) > 0:
		return nil, nil, invalid("answer", "only a write that is done has an answer", "rule `done`, or leave the answer out")
	case in.Ruling == writ.RulingFail:
		return facts, nil, nil
	case in.Ruling == writ.RulingRetry && x.state.Cancelling && x.undoes(id) == "":
		return nil, nil, writ.Errorf(writ.CodeConflict, "resolve", "the execution is being cancelled: nothing is sent again").WithFix("rule `done` or `fail`")
	case in.Ruling == writ.RulingRetry:
		return facts, nil, nil
	case in.Ruling != writ.RulingDone:
		return nil, nil, invalid("ruling", "unknown ruling "+string(in.Ruling), "one of retry, done, fail")
	case c == nil:
		return nil, nil, writ.Errorf(writ.CodeConflict, "resolve", "no call is without an answer: the step wants another write than an earlier attempt made, or began on another engine").
			WithFix("rule `retry` to let it go on, or `fail`")
	}
	result, err := canon.JSON(json.RawMessage(in.Answer))
	if err != nil {
		return nil, nil, invalid("answer", err.Error(), "send what the tool answered as JSON, such as {\"status\":201,\"headers\":{}}")
	}
	if err := x.engine.Toolbox.CheckResult(c.facts.Tool, result); err != nil {
		return nil, nil, err
	}
	facts.Labels = x.answerLabels(id, c.facts.Tool)
	return facts, result, nil
}

// answerLabels are of an answer that an operator copied: it is the operator's
// word, and of a tool that leaves the host still the other side's text. The
// caller holds mu.
func (x *execution) answerLabels(id writ.StepID, tool string) []writ.Label {
	labels := []writ.Label{writ.LabelOperator}
	if spec, ok := writ.LookupTool(tool); !ok || spec.Leaves {
		labels = append(labels, writ.LabelHTTP)
	}
	step, ok := x.planned(string(id))
	secret := func(c writ.Capability) bool { return c.Tool == tool && len(c.Secrets) > 0 }
	if ok && x.plan.Plan.Rules > 0 && slices.ContainsFunc(step.Capabilities, secret) {
		labels = append(labels, writ.LabelSecret)
	}
	return writ.JoinLabels(labels)
}

// ruledFailed is the end of a step that an operator let fail.
func ruledFailed(a *attempt) *writ.EndedFacts {
	return &writ.EndedFacts{
		Failure: &abi.Failure{Code: string(writ.CodeIndeterminate), Message: "an operator decided that the step fails; whether its write took place is not known"},
		Calls:   len(a.calls), Trail: a.trailDigest(),
	}
}
