package engine

import (
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// resendWithin is how long after its first sending a write may be sent again
// under its key. Servers that honour Idempotency-Key keep keys for a day or
// longer, and a later PUT or DELETE may undo what others did meanwhile.
const resendWithin = 24 * time.Hour

// answered reports whether the guest may be given what the call came to.
func (c *call) answered() bool {
	return c.ended && (c.denied || c.facts.Outcome != writ.OutcomeUnknown || !c.facts.Effect.Writes())
}

// resendable reports whether a write that began may be sent again under its key.
// One that has come back as unknown has been sent again already.
func (c *call) resendable(now writ.Time) bool {
	return c.facts.Idempotent && !c.ended && now <= c.began.Add(resendWithin)
}

// unanswered is the write whose outcome is not known, nil where there is none. A
// guest makes one call at a time, so it is the last. Of a called skill its own
// step tells.
func (a *attempt) unanswered() *call {
	if len(a.calls) == 0 {
		return nil
	}
	if c := a.calls[len(a.calls)-1]; !c.answered() && c.facts.Effect.Writes() && c.facts.Tool != abi.ToolSkillCall {
		return c
	}
	return nil
}

// repeats reports whether the attempt has been given the answer of a write that
// an earlier one completed.
func (a *attempt) repeats(earlier *call) bool {
	return slices.ContainsFunc(a.calls, func(c *call) bool {
		return c.facts.Earlier > 0 && c.facts.Digest == earlier.facts.Digest && c.facts.Occurrence == earlier.facts.Occurrence
	})
}

// unansweredWrite is that of a step's last attempt. The caller holds mu.
func (x *execution) unansweredWrite(id writ.StepID) *call {
	if a := x.attempts[id]; a != nil {
		return a.unanswered()
	}
	return nil
}

// tried counts the attempts since an operator had the execution tried again.
func (a *attempt) tried() int { return a.number - a.earlier }

// movedTo is why the attempt cannot go on by itself: it has written something on
// another engine, such as before an upgrade. Its guest would run again from its
// start, and nobody knows that it comes to the same calls here. Without a write
// there is nothing to lose.
func (a *attempt) movedTo(engine string) *abi.Failure {
	wrote := slices.ContainsFunc(a.calls, func(c *call) bool {
		return !c.denied && c.facts.Effect.Writes() && c.facts.Tool != abi.ToolSkillCall
	})
	if a.engine == "" || a.engine == engine || !wrote {
		return nil
	}
	return &abi.Failure{
		Code: writ.GuestEngineChanged, Message: "it began on " + a.engine + ", has written something, and this is " + engine,
		Fix: "look at the trace, then let it go on here with `writ exec resolve --retry`, or end it with `--fail`",
	}
}

// resolve applies an operator's ruling. A call that is to be sent again never
// began, as far as the guest's next run is concerned: it is judged and recorded
// as any other, and has the same key.
func (a *attempt) resolve(f *writ.ResolvedFacts, result []byte, at writ.Time) {
	a.ruling = f.Ruling
	moved, last := a.moved, len(a.calls)-1
	if moved {
		a.engine, a.moved = "", false
	}
	switch {
	case f.Ruling == writ.RulingRetry && f.Sequence == 0:
		if !moved {
			a.before = nil
		}
	case f.Ruling == writ.RulingRetry && last >= 0:
		a.calls = a.calls[:last]
	case f.Ruling == writ.RulingDone && last >= 0:
		c := a.calls[last]
		c.facts.Outcome, c.facts.Failure, c.facts.Labels = writ.OutcomeDone, nil, f.Labels
		c.ended, c.settled, c.result, c.at = true, true, result, at
		a.labels = writ.JoinLabels(a.labels, f.Labels)
	}
}

// stopwatch adds up how long an attempt was kept waiting by people, a freeze
// included. Several may do so at once.
type stopwatch struct {
	holds int
	since writ.Time
	total time.Duration
}

func (w *stopwatch) hold(at writ.Time) {
	if w.holds == 0 {
		w.since = at
	}
	w.holds++
}

func (w *stopwatch) release(at writ.Time) {
	if w.holds == 0 {
		return
	}
	if w.holds--; w.holds == 0 {
		w.total += at.Std().Sub(w.since.Std())
	}
}

// follow keeps what records add up to: the order of completion, the trail of an
// attempt's tool records, and the time that it spent waiting for people.
func (x *execution) follow(r *writ.Record) {
	switch r.Type {
	case writ.RecStepCompleted:
		x.completed = append(x.completed, r.Step)
	case writ.RecStepExpanded:
		if f := r.Body.Expanded; f.Sequence > 0 && len(f.Steps) == 1 {
			x.calls[callPlace{step: r.Step, attempt: r.Attempt, sequence: f.Sequence}] = f.Steps[0].ID
		}
	case writ.RecRunPaused:
		for _, a := range x.attempts {
			a.waited.hold(r.Time)
		}
	case writ.RecRunResumed:
		for _, a := range x.attempts {
			a.waited.release(r.Time)
		}
	}
	x.followCallers(r)
	a := x.attempts[r.Step]
	if a == nil {
		return
	}
	a.settle(r)
	switch r.Type {
	case writ.RecVerdict:
		a.grants = append(a.grants, r.Body.Decided.Grants...)
	case writ.RecApprovalOpened, writ.RecStepFrozen:
		a.waited.hold(r.Time)
	case writ.RecStepIndeterminate:
		a.waited.hold(r.Time)
		a.moved = r.Body.Ended.Failure != nil && r.Body.Ended.Failure.Code == writ.GuestEngineChanged
	case writ.RecApprovalDecided:
		if r.Body.Approval.Status == writ.ApprovalApproved {
			a.waited.release(r.Time)
		}
	case writ.RecStepResolved, writ.RecStepThawed:
		a.waited.release(r.Time)
	}
	if onTrail(r) {
		for _, ref := range r.Payloads {
			a.trail = append(a.trail, []byte(ref.Digest))
		}
	}
}

func onTrail(r *writ.Record) bool {
	switch r.Type {
	case writ.RecToolCalled, writ.RecToolReturned, writ.RecToolDenied, writ.RecCallProposed, writ.RecStepResolved:
		return true
	case writ.RecVerdict:
		return r.Body.Decided.Stage == writ.StageCall
	}
	return false
}
