package engine

import (
	"context"
	"time"

	"github.com/writ-run/writ"
)

// advance starts every step that can start, ends the execution when nothing is
// left, and sets the timer for what time alone will change. The caller holds mu.
func (x *execution) advance() {
	if x.state.RunID == "" || x.state.Status.Final() || x.broken != nil {
		return
	}
	x.thaw()
	for x.settle() {
	}
	for step := range x.steps() {
		if !x.state.Paused && x.ready(step) {
			x.start(step)
		}
	}
	if len(x.running) == 0 && x.allFinal() {
		if x.undo() {
			x.advance()
			return
		}
		x.end()
		return
	}
	x.arm()
}

// settle records what can be said of steps that will never run. It reports
// whether it changed anything.
func (x *execution) settle() bool {
	changed := false
	failed := x.firstFailure()
	for step := range x.steps() {
		state := x.state.Step(string(step.ID))
		if state.Status.Final() || state.Status == writ.StepIndeterminate || x.running[step.ID] {
			continue
		}
		if x.lists[step.ID] != nil {
			if record, ended := x.joined(step); ended {
				return x.finish(step, nil, record)
			}
			continue
		}
		var record writ.NewRecord
		switch missing := x.missingNeed(step); {
		case state.Kind == writ.KindCall && !x.state.Cancelling && x.endedCaller(state) != "":
			record = x.honest(step, stepEnded(writ.RecStepCancelled, step, state.Attempt, &writ.EndedFacts{Reason: reasonCallerEnded(x.endedCaller(state))}))
		case state.Kind == writ.KindCall && (!x.state.Cancelling || x.callerRuns(state)):
			continue // its caller takes it to its end
		case state.Kind == writ.KindCompensation:
			if missing == "" {
				continue
			}
			record = stepEnded(writ.RecStepSkipped, step, state.Attempt, &writ.EndedFacts{Reason: reasonMissingNeed(missing)})
		case x.state.Cancelling:
			record = x.honest(step, stepEnded(writ.RecStepCancelled, step, state.Attempt, &writ.EndedFacts{Reason: x.state.Reason}))
		case state.Status == writ.StepRunning:
			continue // left by an earlier process: what it began is taken up
		case failed != "":
			record = stepEnded(writ.RecStepSkipped, step, state.Attempt, &writ.EndedFacts{Reason: reasonAfterFailure(failed)})
		case missing != "":
			record = stepEnded(writ.RecStepSkipped, step, state.Attempt, &writ.EndedFacts{Reason: reasonMissingNeed(missing)})
		default:
			continue
		}
		if x.append(record) != nil {
			return false
		}
		changed = true
	}
	return changed
}

// reasonConditionFalse is why a step is skipped whose condition says so.
const reasonConditionFalse = "its condition is false"

func reasonAfterFailure(name string) string { return "step " + name + " did not complete" }

func reasonMissingNeed(name string) string { return "needs " + name + ", which did not run" }

func reasonCallerEnded(name string) string { return "step " + name + ", which called it, has ended" }

func stepEnded(kind writ.RecordType, step *writ.Step, attempt int, facts *writ.EndedFacts) writ.NewRecord {
	return writ.NewRecord{Type: kind, Step: step.ID, Attempt: attempt, Body: writ.Body{Ended: facts}}
}

// firstFailure names a step after which nothing new may start.
func (x *execution) firstFailure() string {
	for i := range x.state.Steps {
		if kind := x.state.Steps[i].Kind; kind == writ.KindCompensation || kind == writ.KindCall {
			continue
		}
		switch x.state.Steps[i].Status {
		case writ.StepFailed, writ.StepBlocked, writ.StepRejected, writ.StepExpired:
			return x.state.Steps[i].Name
		}
	}
	return ""
}

// missingNeed names a step that this one needs and that ended without running.
func (x *execution) missingNeed(step *writ.Step) string {
	for _, name := range step.Needs {
		if s := x.state.Step(name); s.Status.Final() && s.Status != writ.StepCompleted {
			return name
		}
	}
	return ""
}

func (x *execution) ready(step *writ.Step) bool {
	state := x.state.Step(string(step.ID))
	resuming := state.Status == writ.StepRunning // left by an earlier process
	if (state.Status != writ.StepPlanned && !resuming) || state.Frozen != nil || x.running[step.ID] {
		return false
	}
	if state.RetryAt > x.now() || x.lists[step.ID] != nil || state.Kind == writ.KindCall || x.waitsInside(step.ID) {
		return false
	}
	for _, name := range step.Needs {
		if x.state.Step(name).Status != writ.StepCompleted {
			return false
		}
	}
	return true
}

// start gives the step to the goroutine that has just ended one, where that asks
// for it: a chain of steps then wakes nobody.
func (x *execution) start(step *writ.Step) {
	x.running[step.ID] = true
	if x.handing && x.next == nil {
		x.next = step
		return
	}
	spawned := x.engine.spawn(func(ctx context.Context) {
		for step := step; step != nil; {
			x.runStep(step)
			step = x.ended(ctx, step)
		}
	})
	if !spawned {
		delete(x.running, step.ID)
	}
}

// ended goes on after a step has been dispatched. It returns the step to be taken
// next, nil where there is none or the engine closes.
func (x *execution) ended(ctx context.Context, step *writ.Step) *writ.Step {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.running, step.ID)
	x.handing = ctx.Err() == nil
	x.advance()
	next := x.next
	x.handing, x.next = false, nil
	if x.broken != nil || (len(x.running) == 0 && !x.state.Status.Final()) {
		close(x.changed)
		x.changed = make(chan struct{})
	}
	return next
}

func (x *execution) allFinal() bool {
	for i := range x.state.Steps {
		if !x.state.Steps[i].Status.Final() {
			return false
		}
	}
	return true
}

// reasonTooLate explains an execution that completed although it was cancelled.
const reasonTooLate = "completed before the cancellation took effect"

// outcomes in the order of their weight: the first that a step has decides.
var outcomes = []struct {
	step      writ.StepStatus
	execution writ.ExecutionStatus
	record    writ.RecordType
}{
	{writ.StepFailed, writ.ExecFailed, writ.RecStepFailed},
	{writ.StepBlocked, writ.ExecBlocked, writ.RecStepBlocked},
	{writ.StepRejected, writ.ExecRejected, writ.RecStepRejected},
	{writ.StepExpired, writ.ExecExpired, writ.RecStepExpired},
	{writ.StepCancelled, writ.ExecCancelled, writ.RecStepCancelled},
}

// verdictOnAll is the status that the steps' states amount to.
func verdictOnAll(steps []writ.StepState) (writ.ExecutionStatus, string) {
	for _, outcome := range outcomes {
		for i := range steps {
			if s := &steps[i]; s.Status != outcome.step || s.Kind == writ.KindCall || s.Kind == writ.KindCompensation {
				continue
			}
			if left := notUndone(steps); left != "" {
				return writ.ExecFailed, left
			}
			return outcome.execution, "step " + steps[i].Name + " " + string(steps[i].Status) + undone(steps)
		}
	}
	return writ.ExecCompleted, ""
}

// outcomeOf is how an execution ends of which every step has.
func outcomeOf(state *writ.Execution) (writ.ExecutionStatus, string) {
	status, reason := verdictOnAll(state.Steps)
	switch {
	case state.EditedInto != nil && status == writ.ExecRejected:
		reason = reasonEdited(state.EditedInto.Execution)
	case state.Cancelling && status == writ.ExecCompleted:
		reason = reasonTooLate
	}
	return status, reason
}

// end closes the journal of the execution. The caller holds mu.
func (x *execution) end() {
	status, reason := outcomeOf(&x.state)
	err := x.append(
		writ.NewRecord{Type: writ.RecExecutionEnded, Body: writ.Body{End: &writ.EndFacts{Status: status, Reason: reason}}},
		writ.NewRecord{Type: writ.RecSealed, Body: writ.Body{Seal: &writ.SealFacts{Records: x.state.Seq + 1}}},
	)
	if err != nil {
		return
	}
	x.disarm()
	x.stop()
	position, done := x.position, x.done
	x.engine.work.Go(func() {
		// A new context: an execution that ended while the engine closes is still made durable.
		if err := x.engine.Journal.Barrier(context.WithoutCancel(x.engine.ctx), position); err != nil {
			x.engine.Logger.Error("an outcome could not be made durable", "execution", x.id, "code", writ.CodeOf(err))
			x.mu.Lock()
			defer x.mu.Unlock()
			x.broken = err // who waits for the outcome hears that nobody will know it
			close(x.changed)
			x.changed = make(chan struct{})
			return
		}
		x.engine.forget(x) // first: who waits for the end may open the execution again
		close(done)
	})
}

// arm sets the timer for the nearest moment that changes something by itself:
// a retry, an escalation or a deadline. The caller holds mu.
func (x *execution) arm() {
	next := writ.Time(0)
	at := func(t writ.Time) {
		if t != 0 && (next == 0 || t < next) {
			next = t
		}
	}
	for i := range x.state.Steps {
		s := &x.state.Steps[i]
		if s.Status == writ.StepPlanned && s.Frozen == nil && !x.running[s.ID] && !x.state.Paused {
			at(s.RetryAt)
		}
		if a := x.approval(s.ID); a != nil && a.Open() {
			at(a.Request.DecideBy)
			at(escalationTime(a))
		}
	}
	x.disarm()
	if next == 0 || x.engine.ctx.Err() != nil {
		return
	}
	wait := time.Duration(next - x.now())
	x.timer = time.AfterFunc(max(wait, 0), func() { x.onTimer(next) })
}

func (x *execution) disarm() {
	if x.timer != nil {
		x.timer.Stop()
	}
}

// onTimer does what was due. The time until then has passed, even where the
// clock was set back meanwhile: nobody waits for that hour again.
func (x *execution) onTimer(due writ.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.engine.ctx.Err() != nil || x.state.Status.Final() {
		return
	}
	x.latest = max(x.latest, due)
	x.expireApprovals()
	x.advance()
}
