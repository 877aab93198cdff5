package engine

import (
	"errors"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// honest lets no step end while the outcome of its last write is not known: that
// is for people. A retry may go on where the write has a key. The caller holds mu.
func (x *execution) honest(step *writ.Step, record writ.NewRecord) writ.NewRecord {
	c := x.unansweredWrite(step.ID)
	if c == nil || record.Type == writ.RecStepIndeterminate || (record.Type == writ.RecRetryScheduled && c.facts.Idempotent) {
		return record
	}
	return stepEnded(writ.RecStepIndeterminate, step, x.attempts[step.ID].number, &writ.EndedFacts{Failure: failureOf(unknownOutcome(step.Name, &c.facts))})
}

// failed schedules another attempt where the step has one left.
func (x *execution) failed(d *dispatch, failure *abi.Failure) *writ.NewRecord {
	number, tried := 1, 1
	if d.attempt != nil {
		number, tried = d.attempt.number, d.attempt.tried()
	}
	if tried < d.step.Retry.Attempts && retryable(failure.Code) {
		at := x.time().Add(backoff(d.step.Retry, tried))
		return &writ.NewRecord{
			Type: writ.RecRetryScheduled, Step: d.step.ID, Attempt: number,
			Body: writ.Body{Retry: &writ.RetryFacts{At: at, Failure: failure, Fuel: d.fuel}},
		}
	}
	facts := &writ.EndedFacts{Failure: failure, Fuel: d.fuel, Calls: len(d.calls())}
	if x.plan.Plan.Rules > 0 && d.attempt != nil {
		facts.Labels = d.said() // a failure's words are the guest's, and its caller reads them
	}
	record := stepEnded(writ.RecStepFailed, d.step, number, facts)
	return &record
}

func (d *dispatch) calls() []*call {
	if d.attempt == nil {
		return nil
	}
	return d.attempt.calls
}

// retryable leaves out what another attempt cannot change.
func retryable(code string) bool {
	switch code {
	case abi.FailDenied, abi.FailInvalid, string(writ.CodeTampered), string(writ.CodeDiverged),
		string(writ.CodeSkillRefused), string(writ.CodeBlocked), string(writ.CodeFrozen), writ.GuestModuleBad, writ.GuestNoEntrypoint:
		return false
	}
	return true
}

// maxBackoff keeps a doubled backoff from overflowing or sleeping for days.
const maxBackoff = time.Hour

func backoff(r writ.Retry, attempt int) time.Duration {
	wait := r.Backoff.Std()
	for i := 1; i < attempt && wait < maxBackoff; i++ {
		wait *= 2
	}
	return min(wait, maxBackoff)
}

// interruptedBy sorts what ended a run from outside the guest.
func (x *execution) interruptedBy(d *dispatch, err error) *writ.NewRecord {
	switch {
	case writ.IsCode(err, writ.CodeIndeterminate):
		record := stepEnded(writ.RecStepIndeterminate, d.step, d.attempt.number, &writ.EndedFacts{Failure: failureOf(err)})
		return &record
	case x.engine.ctx.Err() != nil:
		return nil // another process resumes it
	case x.ctx.Err() != nil:
		return x.interrupted(d.step, d.attempt.number)
	}
	return x.failed(d, failureOf(err))
}

// interrupted is the end of a step whose execution was cancelled; while the
// engine closes there is none, since the next process goes on with the step.
func (x *execution) interrupted(step *writ.Step, number int) *writ.NewRecord {
	if x.engine.ctx.Err() != nil {
		return nil
	}
	record := stepEnded(writ.RecStepCancelled, step, number, &writ.EndedFacts{Reason: "the execution was cancelled"})
	return &record
}

// failureOf is what is journaled of an error: a stable code and a message
// without the host's inner details.
func failureOf(err error) *abi.Failure {
	var failure *abi.Failure
	if errors.As(err, &failure) {
		return failure
	}
	var e *writ.Error
	if errors.As(err, &e) && e.Code != writ.CodeInternal {
		return &abi.Failure{Code: string(e.Code), Message: e.Error(), Fix: e.Fix}
	}
	return &abi.Failure{Code: string(writ.CodeInternal), Message: "the host failed; its log says why"}
}
