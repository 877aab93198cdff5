package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func (r *rig) stats(since time.Duration) map[string]contract.ApprovalStat {
	r.t.Helper()
	out, err := r.engine.ApprovalStats(as(approver), &contract.ApprovalStatsInput{Since: abi.Duration(since)})
	if err != nil || !out.Complete {
		r.t.Fatalf("%+v %v", out, err)
	}
	found := map[string]contract.ApprovalStat{}
	for _, s := range out.Items {
		found[s.Rule+" "+string(s.RiskTier)] = s
	}
	return found
}

// TestStatsSayHowPeopleDecide, the same after a restart, and hint at fatigue from
// 20 words on.
func TestStatsSayHowPeopleDecide(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := start
	var heard []contract.ApprovalSample
	oneRule := func(q *writ.Question, v *writ.Verdict) {
		if v.Mode == writ.Assist && q.Point == writ.PointStep {
			v.Reasons = []writ.Reason{{Rule: "risk", Message: "it is"}}
		}
	}
	r := newRigWith(t, &rig{judges: judges{changing{defaultJudge(t), oneRule}}, now: func() time.Time { return now }})
	r.engine.Observe = func(s contract.ApprovalSample) { heard = append(heard, s) }
	answer := func(after time.Duration, yes bool) {
		id := r.begin(agent, post)
		item := r.pending(id)
		now = now.Add(after)
		if yes {
			r.approve(approver, id)
			return
		}
		if _, err := r.engine.ExecutionReject(as(approver), &contract.ExecutionRejectInput{ExecutionID: id, StepID: item.StepID, Reason: "no"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 19 {
		answer(2*time.Second, true)
	}
	if s := r.stats(0)["risk medium"]; s.Approved != 19 || s.Fast != 19 || s.Median.Std() != 2*time.Second || s.ApproveRate != 1 || s.Hint != "" {
		t.Fatalf("after 19: %+v", s)
	}
	answer(3*time.Second, true)
	before := r.stats(0)["risk medium"]
	if before.Approved != 20 || before.Fast != 19 || before.Hint == "" {
		t.Fatalf("after 20: %+v", before)
	}
	r.reboot()
	if after := r.stats(0)["risk medium"]; after != before {
		t.Fatalf("after a restart: %+v, before %+v", after, before)
	}
	answer(time.Hour, false)
	s := r.stats(0)["risk medium"]
	if s.Rejected != 1 || s.Approved != 20 || s.ApproveRate <= 0.95 || s.Hint == "" { // 20 of 21
		t.Fatalf("after a no: %+v", s)
	}
	answer(time.Hour, false)
	if s = r.stats(0)["risk medium"]; s.Hint != "" || s.Rejected != 2 {
		t.Fatalf("after two: %+v", s)
	}
	if s = r.stats(90 * time.Minute)["risk medium"]; s.Approved != 0 || s.Rejected != 2 || s.Median.Std() != time.Hour {
		t.Errorf("of the last hour and a half: %+v", s)
	}
	id := r.begin(agent, post)
	now = now.Add(25 * time.Hour)
	_ = r.tryWord(approver, id)
	r.line.settle(t)
	if s = r.stats(0)["risk medium"]; s.Expired != 1 || s.Approved+s.Rejected != 22 {
		t.Errorf("after one has expired: %+v", s)
	}
	if len(heard) != 20 || heard[0].Outcome != writ.ApprovalApproved || heard[0].Took != 2*time.Second || strings.Join(heard[0].Rules, " ") != "risk untrusted-call" {
		t.Errorf("heard %d: %+v", len(heard), heard[:1])
	}
	for _, since := range []time.Duration{-1, 366 * 24 * time.Hour} {
		if _, err := r.engine.ApprovalStats(as(approver), &contract.ApprovalStatsInput{Since: abi.Duration(since)}); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("since %v: %v", since, err)
		}
	}
}
