package engine

import (
	"cmp"
	"context"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// ExecutionStart is the handler of contract.ExecutionStart. It verifies first
// where that has not been done. CodeBlocked carries the reasons and ends the
// execution. Starting again answers with the same run.
func (e *Engine) ExecutionStart(ctx context.Context, in *contract.ExecutionStartInput) (*contract.ExecutionStartOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if err := x.checkPlan(in.PlanID); err != nil {
		return nil, err
	}
	mode, err := modeOf(in.Mode)
	if err != nil {
		return nil, err
	}
	status, err := x.launch(ctx, p, launch{mode: mode, dry: in.Mode == contract.RunDry, wait: in.Wait})
	if err != nil {
		return nil, err
	}
	state := x.snapshot()
	return &contract.ExecutionStartOutput{Result: contract.Result{Status: status, ChangedAt: state.UpdatedAt}, RunID: state.RunID}, nil
}

// launch is how a run is to be started.
type launch struct {
	mode writ.Mode
	dry  bool // judge, and run nothing
	wait bool
}

// launch verifies where that has not been done and starts the run. What it
// answers is on disk; the status of a dry run is its verdict.
func (x *execution) launch(ctx context.Context, p *writ.Principal, how launch) (string, error) {
	state := x.snapshot()
	if state.RunID == "" && !how.dry {
		if err := x.tookPlace(ctx); err != nil {
			return "", err
		}
	}
	if state.RunID == "" && (!state.Verified || how.dry) {
		verified, err := x.verify(ctx, x.engine.Judges.Active(), how.dry)
		if err != nil {
			return "", err
		}
		if how.dry {
			return string(verified.Verdict), x.barrier(ctx)
		}
	}
	blocked := x.startRun(p, how.mode)
	if blocked != nil {
		return "", cmp.Or(x.barrier(ctx), blocked)
	}
	wait := x.barrier
	if how.wait {
		wait = x.wait
	}
	if err := wait(ctx); err != nil {
		return "", err
	}
	return string(x.snapshot().Status), nil
}

func modeOf(mode contract.RunMode) (writ.Mode, error) {
	switch mode {
	case "", contract.RunAutonomous, contract.RunDry:
		return writ.Autonomous, nil
	case contract.RunAssist:
		return writ.Assist, nil
	}
	return writ.Blocked, &writ.Error{Code: writ.CodeInvalid, Op: "start", Place: "mode", Message: "unknown mode " + string(mode), Fix: "one of autonomous, assist, dry-run"}
}

// startRun records the run and lets the first steps go, or ends an execution of
// which a step is known to be blocked.
func (x *execution) startRun(p *writ.Principal, mode writ.Mode) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	op := "execution " + string(x.id)
	if x.state.RunID != "" {
		return nil
	}
	if x.state.Status.Final() {
		return writ.Errorf(writ.CodeConflict, op, "it is %s: %s", x.state.Status, x.state.Reason).WithFix("submit a new intent")
	}
	run := writ.RunID(canon.ID("run", canon.DomainRun, []byte(x.id), []byte(x.plan.Hash)))
	record := writ.NewRecord{Type: writ.RecRunStarted, Actor: x.auditOf(p), Body: writ.Body{Run: &writ.RunFacts{ID: run, Mode: mode, Pins: x.state.Payloads}}}
	if err := x.append(record); err != nil {
		return err
	}
	var reasons []contract.Reason
	for i := range x.plan.Plan.Steps {
		step := &x.plan.Plan.Steps[i]
		verdict := x.state.Step(string(step.ID)).Verdict
		if verdict.Mode != writ.Blocked {
			continue
		}
		if err := x.append(stepEnded(writ.RecStepBlocked, step, 0, &writ.EndedFacts{Reasons: verdict.Reasons})); err != nil {
			return err
		}
		reasons = append(reasons, contract.ReasonsFrom(step.ID, verdict.Reasons)...)
	}
	x.advance()
	if len(reasons) == 0 {
		return nil
	}
	e := &writ.Error{Code: writ.CodeBlocked, Op: op, Message: "policy blocks a step", Details: reasons}
	e.Message, e.Fix = reasons[0].Message, reasons[0].Fix
	return e
}

// wait returns when the execution has ended or nothing moves until a person or
// a deadline does something.
func (x *execution) wait(ctx context.Context) error {
	for {
		x.mu.Lock()
		idle := len(x.running) == 0
		broken, changed := x.broken, x.changed
		x.mu.Unlock()
		if broken != nil {
			return broken
		}
		if idle && !x.snapshot().Status.Final() {
			return x.barrier(ctx)
		}
		select {
		case <-x.done:
			return nil
		case <-changed:
		case <-x.engine.ctx.Done():
			return errClosing
		case <-ctx.Done():
			return writ.Errorf(writ.CodeTimeout, "execution "+string(x.id), "it goes on; the time to wait is up").WithFix("see `writ exec watch %s`", x.id)
		}
	}
}
