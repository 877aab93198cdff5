package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// patient is hasty without an escalation.
type patient struct{ slow writ.Judge }

func (p patient) Policy() writ.PolicyRef { return p.slow.Policy() }

func (p patient) Judge(ctx context.Context, q *writ.Question) (*writ.Verdict, error) {
	v, err := p.slow.Judge(ctx, q)
	if err == nil && v.Mode == writ.Assist {
		v.Approvals.EscalateAfter, v.Approvals.ExpiresIn = 0, abi.Duration(10*time.Minute)
	}
	return v, err
}

// TestOverdueApprovals: past half of their time, or once others are asked, and no
// longer when they have ended.
func TestOverdueApprovals(t *testing.T) {
	judge := defaultJudge(t)
	overdue := func(t *testing.T, r *rig, id writ.ExecutionID) *contract.DriftFinding {
		t.Helper()
		found, err := r.engine.ApprovalDrift(t.Context(), writ.DefaultTenant)
		if err != nil || len(found) > 1 {
			t.Fatalf("%v %+v", err, found)
		}
		if len(found) == 0 {
			return nil
		}
		f := &found[0]
		if f.Code != contract.DriftApprovalOverdue || !strings.HasPrefix(f.Subject, string(id)+" ") || !strings.Contains(f.Fix, "writ exec approve "+f.Subject) {
			t.Errorf("%+v", f)
		}
		return f
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{patient{judge}}})
		id := r.begin(agent, post)
		opened := r.expect(id, writ.ExecAwaitingApproval).Steps[0].Approval.Request.OpenedAt
		pass(r, time.Until(opened.Std().Add(5*time.Minute)))
		if f := overdue(t, r, id); f != nil {
			t.Errorf("at half of its time: %+v", f)
		}
		pass(r, time.Nanosecond)
		if f := overdue(t, r, id); f == nil || f.Since != opened.Add(5*time.Minute) || !strings.Contains(f.Message, "half of its time") {
			t.Errorf("after half of its time: %+v", f)
		}
		pass(r, 6*time.Minute)
		r.expect(id, writ.ExecExpired)
		if f := overdue(t, r, id); f != nil {
			t.Errorf("expired: %+v", f)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{hasty{judge}}})
		id := r.begin(agent, post)
		if f := overdue(t, r, id); f != nil {
			t.Errorf("at once: %+v", f)
		}
		pass(r, 3*time.Minute)
		if f := overdue(t, r, id); f == nil || !strings.Contains(f.Message, "others are asked") {
			t.Errorf("escalated: %+v", f)
		}
	})
}
