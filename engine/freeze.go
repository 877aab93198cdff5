package engine

import (
	"context"
	"slices"

	"github.com/writ-run/writ"
)

// What is frozen is looked up when a step is dispatched, after the epoch was read
// that fences its start and its calls: a freeze moves the epoch, so that a step
// which runs already comes here before its next call.

// FreezesChanged lets go on what nothing freezes any more. What has come to be
// frozen notices by itself.
func (e *Engine) FreezesChanged(ctx context.Context, tenant writ.TenantID) {
	for _, x := range e.alive() {
		if x.tenant == tenant {
			x.mu.Lock()
			x.advance()
			x.mu.Unlock()
			// Whoever unfroze something and looks sees that it goes on.
			if err := x.barrier(ctx); err != nil {
				e.Logger.Error("what was frozen may not go on", "execution", x.id, "code", writ.CodeOf(err))
			}
		}
	}
	// The command line opens a home without resuming what it holds.
	held := func(item *writ.Execution) bool { return item.Frozen() != nil }
	for _, status := range openStatuses {
		if err := e.recoverStatus(ctx, tenant, status, held); err != nil {
			e.Logger.Error("what was frozen could not be taken up", "code", writ.CodeOf(err))
			return
		}
	}
}

// admits is CodeFrozen where an intent of the principal, or of the channel, is not
// to be taken.
func (e *Engine) admits(ctx context.Context, p *writ.Principal, channel string) error {
	f, err := e.Freezes.Frozen(ctx, p.Tenant, &writ.FreezeTarget{Principal: p, Channel: channel})
	if err != nil || f == nil {
		return err
	}
	return f.Refusal("intent", "nothing was recorded: submit it again, under the same idempotency key, when `writ freeze list` does not show this any more")
}

// frozenBy is what freezes a step, nil where nothing does. The caller holds mu.
func (x *execution) frozenBy(step *writ.Step) (*writ.Freeze, error) {
	target := &writ.FreezeTarget{Principal: x.state.Principal, Channel: x.state.ChannelKey, Skills: []writ.SkillRef{step.Skill}}
	for s := x.state.Step(string(step.ID)); s != nil && s.Kind == writ.KindCall; {
		if s = x.state.Step(string(s.Parent)); s != nil {
			target.Skills = append(target.Skills, s.Skill)
		}
	}
	return x.engine.Freezes.Frozen(x.ctx, x.tenant, target)
}

// holds reports whether the step is frozen: it waits from now on, or ends with the
// record.
func (x *execution) holds(step *writ.Step, attempt int) (held bool, record *writ.NewRecord, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f, err := x.frozenBy(step)
	switch {
	case err != nil || f == nil:
		return false, nil, err
	case x.state.Paused || x.ctx.Err() != nil:
		return true, nil, nil
	case f.Mode == writ.FreezeFail && !x.undoing(step.ID):
		failed := stepEnded(writ.RecStepFailed, step, attempt, &writ.EndedFacts{Failure: failureOf(x.refusal(step, f))})
		failed.Body.Frozen = f
		return true, &failed, nil
	}
	state := x.state.Step(string(step.ID))
	_ = x.append(writ.NewRecord{Type: writ.RecStepFrozen, Step: step.ID, Attempt: state.Attempt, Body: writ.Body{Frozen: f}})
	return true, nil, nil
}

func (x *execution) refusal(step *writ.Step, f *writ.Freeze) *writ.Error {
	return f.Refusal("step "+step.Name, "when `writ freeze list` does not show this any more: `writ exec retry "+string(x.id)+"`")
}

// undoing reports whether a step undoes another, or was called by one that does. A
// freeze never fails it: what is done half stays to be undone. The caller holds mu.
func (x *execution) undoing(id writ.StepID) bool {
	s := x.state.Step(string(id))
	for s != nil && s.Kind == writ.KindCall {
		s = x.state.Step(string(s.Parent))
	}
	return s != nil && s.Kind == writ.KindCompensation
}

// thaw lets go on the steps that are no longer frozen by what froze them: another
// freeze shows when they are dispatched. The caller holds mu.
func (x *execution) thaw() {
	if !slices.ContainsFunc(x.state.Steps, func(s writ.StepState) bool { return s.Frozen != nil }) {
		return
	}
	for step := range x.steps() {
		state := x.state.Step(string(step.ID))
		if state.Frozen == nil || x.running[step.ID] || x.callerRuns(state) {
			continue // where it runs, it comes here again when that has ended
		}
		f, err := x.frozenBy(step)
		if err != nil {
			x.engine.Logger.Error("what is frozen cannot be read: a step stays so", "execution", x.id, "code", writ.CodeOf(err))
			return
		}
		if f != nil && *f == *state.Frozen {
			continue
		}
		if x.append(writ.NewRecord{Type: writ.RecStepThawed, Step: step.ID, Attempt: state.Attempt}) != nil {
			return
		}
	}
}
