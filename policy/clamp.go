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
	ClampTrifecta  = "writ.lethal-trifecta" // private and untrusted data never leave together by themselves
)

// Defaults of a requirement that code asks for.
const (
	highRiskPeople = 2
	approvalExpiry = 24 * time.Hour
)

// clamp is the law above any policy. It only ever tightens v and records each
// change, so a reader of a trace sees which words are the bundle's.
func clamp(q *writ.Question, v *writ.Verdict) {
	record := func(rule string, to writ.Mode) {
		v.Clamps = append(v.Clamps, writ.Clamp{Rule: rule, From: v.Mode, To: to})
		v.Mode = to
	}
	floor := writ.RiskBlocked
	if q != nil {
		floor = q.Step.Risk.Join(writ.RiskOf(q.Step.Effect))
	}
	if !floor.Valid() {
		floor = writ.RiskBlocked
	}
	if v.Risk.Rank() < floor.Rank() {
		v.Risk = floor
		// Who judged a milder tier asked for the people of that tier.
		if v.Mode == writ.Assist && floor == writ.RiskHigh && !approvedCall(q) {
			v.Approvals.Count = max(v.Approvals.Count, highRiskPeople)
		}
		record(ClampRisk, v.Mode)
	}
	if v.Risk == writ.RiskBlocked && v.Mode != writ.Blocked {
		record(ClampBlocked, writ.Blocked)
	}
	if v.Mode == writ.Autonomous && v.Risk == writ.RiskHigh && !approvedCall(q) {
		v.Approvals.Count = max(v.Approvals.Count, highRiskPeople)
		record(ClampHighRisk, writ.Assist)
	}
	if v.Mode == writ.Autonomous && q.Lethal() {
		if v.Risk == writ.RiskHigh {
			v.Approvals.Count = max(v.Approvals.Count, highRiskPeople)
		}
		record(ClampTrifecta, writ.Assist)
	}
	if v.Mode != writ.Assist {
		v.Approvals = writ.Requirement{}
		return
	}
	if v.Approvals.Count < 1 {
		v.Approvals.Count = 1
		record(ClampApprovals, writ.Assist)
	}
	if v.Approvals.ExpiresIn <= 0 {
		v.Approvals.ExpiresIn = abi.Duration(approvalExpiry)
		record(ClampDeadline, writ.Assist)
	}
}

// approvedCall: the call changes nothing, or people have said yes to what this
// step does. Which digest they said yes to is the permit's to check.
func approvedCall(q *writ.Question) bool {
	return q.Point == writ.PointCall && q.Call != nil &&
		(!q.Call.Effect.Writes() || q.History.Approvals >= 1)
}
