package engine

import (
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func deniedBy(reasons []writ.Reason) *abi.Failure {
	f := &abi.Failure{Code: abi.FailDenied, Message: "policy does not allow the call"}
	if len(reasons) > 0 {
		f.Message, f.Fix = reasons[0].Message, reasons[0].Fix
	}
	return f
}

func usedUp() *abi.Failure {
	return &abi.Failure{Code: abi.FailLimit, Message: "the step's number of calls is used up"}
}

func deniedOutside(err error) *abi.Failure {
	return &abi.Failure{Code: abi.FailDenied, Message: err.Error()}
}

// denial is why a call may not be made.
type denial struct {
	failure  *abi.Failure
	decision *writ.NewRecord // nil where nobody was asked
	changes  []writ.Change   // that go with its record
}

// deny answers a call that may not be made, and records that it was wanted.
func (g *gate) deny(facts *writ.CallFacts, occurrence int, failure *abi.Failure, decision *writ.NewRecord) (*writ.ToolReply, error) {
	g.x.mu.Lock()
	defer g.x.mu.Unlock()
	return g.denyWith(facts, occurrence, &denial{failure: failure, decision: decision})
}

// denyWith is deny for a caller that holds mu.
func (g *gate) denyWith(facts *writ.CallFacts, occurrence int, why *denial) (*writ.ToolReply, error) {
	called := g.called(facts, occurrence)
	called.Key, called.Failure = "", why.failure
	var records []writ.NewRecord
	if why.decision != nil {
		called.Reasons = why.decision.Body.Decided.Verdict.Reasons
		records = append(records, *why.decision)
	}
	record := g.record(writ.RecToolDenied, called, writ.Payload{Name: writ.PayloadArguments, Data: facts.Arguments})
	if why.decision != nil {
		record.Time = why.decision.Time
	}
	stored, err := g.x.write(why.changes, append(records, record)...)
	if err != nil {
		return nil, err
	}
	at := stored[len(stored)-1].Time
	c := &call{facts: *called, args: facts.Arguments, ended: true, denied: true, at: at}
	g.d.attempt.calls = append(g.d.attempt.calls, c)
	return c.reply(), nil
}
