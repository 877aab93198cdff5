package engine

import (
	"context"
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// stepEnded runs an attempt again where the record is its end, and compares.
func (r *replayer) stepEnded(record *writ.Record) error {
	if record.Type == writ.RecStepFailed && record.Body.Frozen != nil {
		r.refused(record)
		if !r.began(record.Step) {
			return nil
		}
	}
	if step, ok := r.x.planned(string(record.Step)); ok && r.x.iterates(step) && (r.x.lists[step.ID] != nil || record.Type == writ.RecStepFailed) {
		return r.iterated(record, step)
	}
	switch record.Type {
	case writ.RecStepSkipped:
		return r.skipped(record)
	case writ.RecStepBlocked:
		if verdict := r.x.state.Step(string(record.Step)).Verdict; verdict != nil {
			r.member(stageOutcome, record.Step, "reasons", record.Body.Ended.Reasons, verdict.Reasons)
			r.member(stageOutcome, record.Step, "mode", writ.Blocked, verdict.Mode)
		}
		return nil
	case writ.RecStepCancelled:
		if state := r.x.state.Step(string(record.Step)); state.Kind == writ.KindCall && !r.x.state.Cancelling {
			r.compare(stageOutcome, record.Step, record.Body.Ended, writ.EndedFacts{Reason: reasonCallerEnded(r.x.endedCaller(state))})
		}
		return nil
	case writ.RecStepCompleted, writ.RecStepFailed, writ.RecRetryScheduled, writ.RecStepRejected, writ.RecStepExpired, writ.RecStepIndeterminate:
		if into := r.x.state.EditedInto; into != nil && record.Type == writ.RecStepRejected {
			r.rejectedByEdit(record, into)
		}
		if !r.began(record.Step) {
			return r.failedBefore(record)
		}
		a := r.x.attempts[record.Step]
		if a.ruling == writ.RulingFail {
			r.member(stageOutcome, record.Step, "type", record.Type, writ.RecStepFailed)
			r.compare(stageOutcome, record.Step, record.Body.Ended, ruledFailed(a))
			return nil
		}
		if record.Type == writ.RecRetryScheduled {
			r.retry(record)
		}
		return r.runAgain(record)
	}
	return nil
}

// began reports whether an attempt of the step may be under way: a step that is
// tried again is judged before it begins.
func (r *replayer) began(step writ.StepID) bool {
	return r.x.attempts[step] != nil && r.x.state.Step(string(step)).Verdict != nil
}

func (r *replayer) skipped(record *writ.Record) error {
	step, ok := r.x.planned(string(record.Step))
	if !ok {
		return writ.Errorf(writ.CodeTampered, "step "+string(record.Step), "the plan has no such step")
	}
	recorded, reason := record.Body.Ended.Reason, "it would have run"
	// A step may have been on its way to its condition when another one failed.
	if r.x.iterates(step) {
		if want := r.expansion(step); want.Type == writ.RecStepSkipped {
			reason = reasonConditionFalse
		}
	} else if d, err := r.dispatch(record.Step); err == nil && d.resolved.Skip {
		reason = reasonConditionFalse
	}
	undoes := r.x.undoes(step.ID) != ""
	if failed := r.x.firstFailure(); failed != "" && recorded != reason && !undoes {
		reason = reasonAfterFailure(failed)
	} else if missing := r.x.missingNeed(step); missing != "" && recorded != reason {
		reason = reasonMissingNeed(missing)
	}
	r.compare(stageOutcome, record.Step, record.Body.Ended, writ.EndedFacts{Reason: reason})
	return nil
}

// failedBefore compares the failure of a step that never reached its guest.
func (r *replayer) failedBefore(record *writ.Record) error {
	if record.Type != writ.RecStepFailed || hostFailure(record.Body.Ended.Failure) {
		return nil
	}
	_, err := r.dispatch(record.Step)
	if err == nil {
		r.member(stageOutcome, record.Step, "failure", record.Body.Ended.Failure, nil)
		return nil
	}
	r.member(stageOutcome, record.Step, "failure", record.Body.Ended.Failure, failureOf(err))
	return nil
}

// hostFailure reports whether a failure was the machine's and not the guest's:
// such an end is a recorded fact that nothing derives.
func hostFailure(f *abi.Failure) bool {
	if f == nil {
		return false
	}
	switch f.Code {
	case writ.GuestTimeout, writ.GuestEngineChanged, string(writ.CodeInternal), string(writ.CodeTampered), string(writ.CodeUnavailable),
		string(writ.CodeSkillRefused), string(writ.CodeNotFound):
		return true
	}
	return false
}

// endedByHost adds what a freeze ended, wherever its guest was.
func endedByHost(record *writ.Record) bool {
	return record.Body.Frozen != nil || hostFailure(failureIn(record))
}

// replayGate answers from the journal and never from the world.
type replayGate struct {
	r        *replayer
	d        *dispatch
	permit   writ.Permit
	sequence int
	end      *writ.Record
	cut      bool // by the machine: the guest may want more than is recorded
	ended    bool // at the call that was proposed or is without an answer
	diverged bool
}

// errReplayEnds stops a guest where the record of its calls stops.
var errReplayEnds = &writ.Error{Code: writ.CodeDiverged, Op: "replay", Message: "the journal holds no further call"}

// Call implements writ.ToolGate.
func (g *replayGate) Call(_ context.Context, tool string, args []byte) (*writ.ToolReply, error) {
	g.sequence++
	id := g.d.step.ID
	if g.sequence > len(g.d.attempt.calls) {
		if proposed := g.r.proposedCall(g.d, g.sequence); proposed != nil {
			g.ended = true
			g.r.compare(stageCall, id, callDocument(proposed.Tool, proposed.Digest), callDocument(tool, digestOf(tool, args)))
			return nil, errReplayEnds
		}
		if g.cut || g.end.Type == writ.RecStepIndeterminate && g.contradicts(tool, args) {
			g.ended = true
			return nil, errReplayEnds
		}
		g.diverged = true
		g.r.compare(stageCall, id, map[string]any{"calls": len(g.d.attempt.calls)}, map[string]any{"calls": g.sequence})
		return nil, errReplayEnds
	}
	c := g.d.attempt.calls[g.sequence-1]
	g.r.compare(stageCall, id, callDocument(c.facts.Tool, c.facts.Digest), callDocument(tool, digestOf(tool, args)))
	g.r.compare(stageCall, id, c.args, args)
	if g.r.stage(stageCall, id).FirstDifference != nil {
		g.diverged = true
		return nil, errReplayEnds
	}
	g.covered(tool, args, c)
	if !c.ended || (c.facts.Outcome == writ.OutcomeUnknown && c.facts.Effect.Writes()) {
		g.ended = true
		return nil, errReplayEnds
	}
	return c.reply(), nil
}

// covered holds a recorded call against the permit that is minted again: what
// was performed must be covered.
func (g *replayGate) covered(tool string, args []byte, c *call) {
	if c.denied || c.facts.Earlier > 0 {
		return
	}
	facts, err := writ.CallFactsOf(tool, args)
	if err == nil {
		_, err = g.permit.Covers(facts)
	}
	if writ.IsCode(err, writ.CodeApprovalNeeded) && g.r.approvedCall(g.d.step.ID, facts.Digest) {
		err = nil // it was enough when the call was made; the policy has asked for more since
	}
	allowed := "covered"
	if err != nil {
		allowed = string(writ.CodeOf(err))
	}
	g.r.member(stageCall, g.d.step.ID, "permit", "covered", allowed)
}

// approvedCall reports whether people approved exactly this call of the step.
func (r *replayer) approvedCall(id writ.StepID, digest writ.Digest) bool {
	return slices.ContainsFunc(r.x.granted(id), func(a *writ.Approval) bool { return a.Request.Call != nil && a.Request.Call.Digest == digest })
}

func digestOf(tool string, args []byte) writ.Digest {
	return (&writ.CallFacts{Tool: tool, Arguments: args}).ArgumentsDigest()
}

func callDocument(tool string, digest writ.Digest) map[string]any {
	return map[string]any{"tool": tool, "digest": digest}
}

// proposedCall is the call.proposed record of the attempt at this place.
func (r *replayer) proposedCall(d *dispatch, sequence int) *writ.CalledFacts {
	for i := range r.records {
		record := &r.records[i].Record
		if record.Type == writ.RecCallProposed && record.Step == d.step.ID && record.Attempt == d.attempt.number &&
			record.Body.Call.Sequence == sequence {
			return record.Body.Call
		}
	}
	return nil
}

// replayTime is the most that a sandbox gives: what ended within its time without being
// metered then ends so again, also on a slower machine or an emulated one.
const replayTime = abi.Duration(time.Hour)

// runAgain runs the attempt's guest against its recorded calls.
func (r *replayer) runAgain(record *writ.Record) error {
	d, err := r.dispatch(record.Step)
	if err != nil {
		return err
	}
	if d.attempt.number != record.Attempt && record.Type != writ.RecStepRejected && record.Type != writ.RecStepExpired {
		r.member(stageOutcome, record.Step, "attempt", record.Attempt, d.attempt.number)
		return nil
	}
	if ended := record.Body.Ended; ended != nil && ended.Trail != "" {
		r.member(stageCall, record.Step, "trail", ended.Trail, d.attempt.trailDigest())
		r.member(stageOutcome, record.Step, "trail", ended.Trail, d.attempt.trailDigest())
	}
	verdict := *r.x.state.Step(string(record.Step)).Verdict
	if r.policy != "" && verdict.Mode == writ.Blocked {
		return nil
	}
	d.verdict = &verdict
	permit, err := r.permit(d)
	if err != nil {
		r.member(stageOutcome, record.Step, "permit", "minted", failureOf(err).Message)
		return nil
	}
	defer permit.Close()
	failed := failureIn(record)
	gate := &replayGate{r: r, d: d, permit: permit, end: record, cut: endedByHost(record)}
	run := guestRun(d, permit, gate)
	switch timeout := gate.cut && failed.Code == writ.GuestTimeout; {
	case timeout && fuelIn(record) == 0:
		return nil // it took its time then, nobody knows where
	case timeout:
		run.StopAt = fuelIn(record)
	case fuelIn(record) > 0:
		run.StopAt = fuelIn(record) + 1 // fuel bounds it, and no clock of a slower machine
	default:
		run.Limits.Time = replayTime
	}
	result, err := r.e.Sandbox.Run(r.ctx, run)
	if gate.ended || gate.diverged {
		return nil
	}
	if gate.cut && !gate.guestsOwn(failed, result) {
		return nil
	}
	if err != nil {
		return err
	}
	r.outcome(record, d, gate, result)
	return nil
}

func failureIn(record *writ.Record) *abi.Failure {
	switch {
	case record.Body.Ended != nil:
		return record.Body.Ended.Failure
	case record.Body.Retry != nil:
		return record.Body.Retry.Failure
	}
	return nil
}

// fuelIn is what the attempt used, 0 where nothing metered it.
func fuelIn(record *writ.Record) uint64 {
	switch {
	case record.Body.Ended != nil:
		return record.Body.Ended.Fuel
	case record.Body.Retry != nil:
		return record.Body.Retry.Fuel
	}
	return 0
}

// outcome compares what the guest came to now with what is recorded.
func (r *replayer) outcome(record *writ.Record, d *dispatch, gate *replayGate, result *writ.GuestResult) {
	if record.Type == writ.RecStepRejected || record.Type == writ.RecStepExpired {
		r.member(stageOutcome, record.Step, "ended", gate.ended, r.proposedCall(d, gate.sequence+1) != nil)
		return
	}
	failure := result.Failure
	if failure == nil {
		if err := r.e.schemas.check(d.action, result.Output); err != nil {
			failure = &abi.Failure{Code: writ.GuestOutputBad, Message: err.Error()}
		}
	}
	r.member(stageCall, record.Step, "calls", len(d.attempt.calls), gate.sequence)
	r.member(stageOf(record.Type), record.Step, "failure", failureIn(record), failure)
	fuel := result.Fuel
	if fuel == 0 || fuelIn(record) == 0 { // one of the two sandboxes does not meter
		fuel = fuelIn(record)
	}
	if record.Type != writ.RecStepCompleted {
		if record.Type == writ.RecStepFailed && r.x.plan.Plan.Rules > 0 {
			r.member(stageOutcome, record.Step, "labels", record.Body.Ended.Labels, d.said())
		}
		r.member(stageOf(record.Type), record.Step, "fuel", fuelIn(record), fuel)
		return
	}
	recorded := r.loader.named(record, writ.PayloadOutput)
	r.compare(stageOutcome, record.Step, recorded, orNull(result.Output))
	labels := d.yield()
	r.member(stageCall, record.Step, "labels", record.Body.Ended.Labels, labels)
	r.compare(stageOutcome, record.Step, record.Body.Ended, writ.EndedFacts{
		Fuel: fuel, Calls: result.Calls, Trail: record.Body.Ended.Trail, Labels: labels,
	})
}

func orNull(b []byte) []byte {
	if b == nil {
		return []byte("null")
	}
	return b
}
