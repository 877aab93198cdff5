package engine

import (
	"context"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// ApprovalDrift finds approvals for which half of the time is over, or which were
// escalated: soon the step expires.
func (e *Engine) ApprovalDrift(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	waiting, err := e.waiting(ctx, tenant, "")
	if err != nil {
		return nil, err
	}
	now := e.Clock.Now()
	var out []contract.DriftFinding
	for _, x := range waiting {
		for i := range x.Steps {
			s := &x.Steps[i]
			if s.Approval == nil || !s.Approval.Open() || s.Status != writ.StepAwaitingApproval {
				continue
			}
			if since, why := overdue(s.Approval, now); why != "" {
				out = append(out, contract.DriftFinding{
					Code: contract.DriftApprovalOverdue, Subject: string(x.ID) + " " + s.Name, Since: since,
					Message: why + "; it expires " + s.Approval.Request.DecideBy.String(),
					Fix:     "decide: writ exec approve " + string(x.ID) + " " + s.Name + ", or writ exec reject " + string(x.ID) + " " + s.Name,
				})
			}
		}
	}
	return out, nil
}

// overdue says since when and why; "" where it is not.
func overdue(a *writ.Approval, now writ.Time) (writ.Time, string) {
	r := &a.Request
	half := r.OpenedAt + (r.DecideBy-r.OpenedAt)/2
	switch {
	case a.Status == writ.ApprovalEscalated:
		return min(half, r.OpenedAt.Add(r.Requirement.EscalateAfter.Std())), "nobody decided in time, and others are asked"
	case now > half:
		return half, "more than half of its time is over"
	}
	return 0, ""
}
