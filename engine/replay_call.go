package engine

import (
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// call derives the record of a tool call from the calls before it. That its
// arguments are what the guest asked for shows when the guest is run again; what
// the tool answered is a fact.
func (r *replayer) call(record *writ.Record) error {
	a := r.x.attempts[record.Step]
	if a == nil {
		r.member(stageCall, record.Step, "attempt", record.Attempt, nil)
		return nil
	}
	r.member(stageCall, record.Step, "attempt", record.Attempt, a.number)
	args := r.loader.named(record, writ.PayloadArguments)
	if r.loader.err != nil {
		return r.loader.err
	}
	if record.Type == writ.RecToolReturned {
		r.returned(record, a, args)
		return nil
	}
	d, err := r.dispatch(record.Step)
	if err != nil {
		return err
	}
	w := r.wanted(record, d, args)
	switch record.Type {
	case writ.RecCallProposed:
		w.derived.Occurrence, w.derived.Key = 0, ""
	case writ.RecToolDenied:
		w.derived.Key = ""
		r.refusal(record, d, w)
	}
	r.compare(stageCall, record.Step, record.Body.Call, w.derived)
	return nil
}

// wantedCall is a call as the gate sees it.
type wantedCall struct {
	facts   *writ.CallFacts
	misread error // tool or arguments are not understood
	derived *writ.CalledFacts
}

func (r *replayer) wanted(record *writ.Record, d *dispatch, args []byte) *wantedCall {
	tool := record.Body.Call.Tool
	facts, err := writ.CallFactsOf(tool, args)
	if err != nil {
		facts = &writ.CallFacts{Tool: tool, Digest: digestOf(tool, args)}
	}
	occurrence := 1
	for _, c := range d.attempt.calls {
		if c.facts.Digest == facts.Digest {
			occurrence++
		}
	}
	facts.Sequence = len(d.attempt.calls) + 1
	key := stepKey(r.x.id, d.step.ID)
	derived := &writ.CalledFacts{
		Sequence: facts.Sequence, Tool: tool, Effect: calledEffect(d.step, facts), Idempotent: facts.Idempotent,
		Digest: facts.Digest, Occurrence: occurrence, Summary: facts.Target.String(),
		Key: canon.ID("key", canon.DomainCallKey, []byte(key), []byte(tool), []byte(facts.Digest), []byte(strconv.Itoa(occurrence))),
	}
	if record.Type == writ.RecToolCalled {
		derived.Epoch = record.Body.Call.Epoch                                 // a fact of the tenant's system journal
		derived.Cost, _ = costsOf(writ.CostOf(d.resolved.Capabilities, facts)) // one that cannot be told is not there
		derived.Budgets = r.usesOf(record, d.step, withCost(&writ.BudgetWant{}, derived.Cost), record.Body.Call.Budgets)
		for i := range d.resolved.Capabilities {
			if c := &d.resolved.Capabilities[i]; writ.CapabilityAllows(c, facts) {
				derived.Idempotent = derived.Idempotent || c.Idempotent
				break
			}
		}
	}
	return &wantedCall{facts: facts, misread: err, derived: derived}
}

// refusal adds why a call was denied: the tool did not understand it, policy
// blocked it, its budget was used up, or it lay outside the permit.
func (r *replayer) refusal(record *writ.Record, d *dispatch, w *wantedCall) {
	derived := w.derived
	decided := r.decisionBefore(record)
	if decided == nil {
		if w.misread != nil {
			derived.Failure = failureOf(w.misread)
		}
		return
	}
	derived.Reasons = decided.Reasons
	budget := decided.Budget
	switch {
	case decided.Mode == writ.Blocked:
		derived.Failure = deniedBy(decided.Reasons)
	case budget != nil && budget.Calls > 0 && derived.Sequence > budget.Calls:
		derived.Failure = usedUp()
	default:
		permit, err := r.permit(d)
		if err == nil {
			if _, err = permit.Cost(w.facts); err == nil {
				_, err = permit.Covers(w.facts)
			}
			permit.Close()
		}
		if err != nil {
			derived.Failure = deniedOutside(err)
		}
	}
}

// decisionBefore is the call's verdict, which is written with its record.
func (r *replayer) decisionBefore(record *writ.Record) *writ.Verdict {
	if record.Seq < 2 || record.Seq > uint64(len(r.records)) {
		return nil
	}
	before := &r.records[record.Seq-2].Record
	if before.Type != writ.RecVerdict || before.Step != record.Step || before.Body.Decided.Stage != writ.StageCall {
		return nil
	}
	return &before.Body.Decided.Verdict
}

// returned holds an answer against the call that it answers.
func (r *replayer) returned(record *writ.Record, a *attempt, args []byte) {
	facts := record.Body.Call
	var derived writ.CalledFacts
	if facts.Earlier > 0 {
		derived = r.repeated(record, a, args)
	} else {
		for _, c := range a.calls {
			if !c.ended {
				derived = c.facts
			}
		}
		derived.Outcome, derived.Failure, derived.Labels = facts.Outcome, facts.Failure, facts.Labels
		derived.Budgets, derived.Spent = nil, facts.Spent
		derived.Outcome = writ.Outcome(among(string(facts.Outcome), string(writ.OutcomeUnknown), string(writ.OutcomeDone), string(writ.OutcomeNotDone)))
	}
	if facts.Tool == abi.ToolSkillCall && facts.Earlier == 0 {
		r.answered(record, a, &derived)
	}
	r.compare(stageCall, record.Step, facts, derived)
	if facts.Failure != nil { // then there is no result
		r.member(stageCall, record.Step, "result", string(r.loader.named(record, writ.PayloadResult)), "")
	}
}

// repeated is an answer that an earlier attempt was given.
func (r *replayer) repeated(record *writ.Record, a *attempt, args []byte) writ.CalledFacts {
	for _, c := range a.before {
		if c.facts.Tool != record.Body.Call.Tool || c.facts.Digest != record.Body.Call.Digest || c.facts.Occurrence != record.Body.Call.Occurrence {
			continue
		}
		r.compare(stageCall, record.Step, args, c.args)
		r.compare(stageCall, record.Step, r.loader.named(record, writ.PayloadResult), c.result)
		derived := c.facts
		derived.Sequence, derived.Earlier, derived.Budgets = len(a.calls)+1, max(a.number-1, 1), nil
		return derived
	}
	return writ.CalledFacts{}
}

// permit mints what the step had when it ran.
func (r *replayer) permit(d *dispatch) (writ.Permit, error) {
	if state := r.x.state.Step(string(d.step.ID)); d.verdict == nil && state != nil {
		d.verdict = state.Verdict
	}
	scope, evidence, _ := r.x.evidence(d)
	return writ.MintPermit(scope, evidence)
}

// retry holds when the next attempt was to begin: the backoff counts from
// between the attempt's start and the record.
func (r *replayer) retry(record *writ.Record) {
	a := r.x.attempts[record.Step]
	step, ok := r.x.planned(string(record.Step))
	if a == nil || !ok {
		return
	}
	wait := backoff(step.Retry, a.tried())
	at := record.Body.Retry.At
	r.member(stageStep, record.Step, "at", at, min(max(at, a.clock.Add(wait)), record.Time.Add(wait)))
	r.member(stageStep, record.Step, "attempt", record.Attempt, a.number)
	failure := record.Body.Retry.Failure
	r.member(stageStep, record.Step, "retryable", failure != nil && a.tried() < step.Retry.Attempts && retryable(failure.Code), true)
}

// guestsOwn reports whether a failure that looks like the machine's is what the
// guest came to: it says the same again, or handed on what its last call said.
func (g *replayGate) guestsOwn(recorded *abi.Failure, result *writ.GuestResult) bool {
	if result == nil || result.Failure == nil {
		return false
	}
	handed := recorded.Code == abi.FailUnavailable || recorded.Code == abi.FailNotFound
	return result.Failure.Code == recorded.Code || handed && g.sequence > 0
}

// contradicts reports whether the guest wants another write than those that
// earlier attempts completed and that this one has not repeated.
func (g *replayGate) contradicts(tool string, args []byte) bool {
	facts, err := writ.CallFactsOf(tool, args)
	if err != nil || !calledEffect(g.d.step, facts).Writes() {
		return false
	}
	occurrence, repeated, open := 1, 0, 0
	for _, c := range g.d.attempt.calls {
		if c.facts.Digest == facts.Digest {
			occurrence++
		}
		if c.facts.Earlier > 0 {
			repeated++
		}
	}
	for _, c := range g.d.attempt.before {
		if c.facts.Digest == facts.Digest && c.facts.Occurrence == occurrence {
			return false
		}
		open++
	}
	return open > repeated
}
