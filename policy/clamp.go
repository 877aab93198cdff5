package policy

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Names of the clamps, as they stand in Verdict.Clamps.
const (
	ClampRisk      = "writ.risk-floor"      // the tier was below the step's own
	ClampBlocked   = "writ.risk-blocked"    // a blocked tier is never approvable
	ClampHighRisk  = "writ.high-risk"       // high risk is never autonomous
	ClampApprovals = "writ.approvals-floor" // an assist without approvers
	ClampDeadline  = "writ.approval-expiry" // an approval that would never expire
	ClampRoles     = "writ.roles"           // nobody's role satisfies every layer
	ClampTrifecta  = "writ.lethal-trifecta" // private and untrusted data never leave together by themselves
)

// Defaults of a requirement that code asks for.
const (
	highRiskPeople = 2
	approvalExpiry = 24 * time.Hour
)

// loosest is the most that any bundle may answer to q at the tier that it says:
// the floor below every layer. A tier that is milder than the step's own counts
// as the step's own. Approvals are the least of an assist.
func loosest(q *writ.Question, said writ.Risk) writ.Verdict {
	v := writ.Verdict{
		Mode: writ.Autonomous, Risk: writ.RiskBlocked,
		Approvals: writ.Requirement{Count: 1, ExpiresIn: abi.Duration(approvalExpiry)},
	}
	if q != nil {
		v.Risk = q.Step.Risk.Join(writ.RiskOf(q.Step.Effect))
	}
	if !v.Risk.Valid() {
		v.Risk = writ.RiskBlocked
	}
	if said.Rank() > v.Risk.Rank() {
		v.Risk = said
	}
	switch {
	case v.Risk.Rank() >= writ.RiskBlocked.Rank():
		v.Mode = writ.Blocked
	case v.Risk == writ.RiskHigh && !approvedCall(q), q.Lethal():
		v.Mode = writ.Assist
	}
	return v
}

// clamp holds v to the floor. It only ever tightens and records each change, so a
// reader of a trace sees which words are the bundle's.
func clamp(q *writ.Question, v *writ.Verdict) {
	record := func(rule string, to writ.Mode) {
		v.Clamps = append(v.Clamps, writ.Clamp{Rule: rule, From: v.Mode, To: to})
		v.Mode = to
	}
	floor := loosest(q, v.Risk)
	if v.Risk.Rank() < floor.Risk.Rank() {
		v.Risk = floor.Risk
		// Who judged a milder tier asked for the people of that tier.
		if v.Mode == writ.Assist && floor.Risk == writ.RiskHigh && !approvedCall(q) {
			v.Approvals.Count = max(v.Approvals.Count, highRiskPeople)
		}
		record(ClampRisk, v.Mode)
	}
	if v.Mode.Rank() > floor.Mode.Rank() {
		if v.Risk == writ.RiskHigh {
			v.Approvals.Count = max(v.Approvals.Count, highRiskPeople)
		}
		switch {
		case floor.Mode != writ.Assist:
			record(ClampBlocked, writ.Blocked)
		case v.Risk == writ.RiskHigh && !approvedCall(q):
			record(ClampHighRisk, writ.Assist)
		default:
			record(ClampTrifecta, writ.Assist)
		}
	}
	if v.Mode != writ.Assist {
		v.Approvals = writ.Requirement{}
		return
	}
	if v.Approvals.Count < floor.Approvals.Count {
		v.Approvals.Count = floor.Approvals.Count
		record(ClampApprovals, writ.Assist)
	}
	if v.Approvals.ExpiresIn <= 0 {
		v.Approvals.ExpiresIn = floor.Approvals.ExpiresIn
		record(ClampDeadline, writ.Assist)
	}
}

// approvedCall: the call changes nothing, or people have said yes to what this
// step does. Which digest they said yes to is the permit's to check.
func approvedCall(q *writ.Question) bool {
	return q != nil && q.Point == writ.PointCall && q.Call != nil &&
		(!q.Call.Effect.Writes() || q.History.Approvals >= 1)
}
