package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// edit has p replace the input of a step. The zero key is a random one.
func (r *rig) edit(p *writ.Principal, id writ.ExecutionID, key string, steps ...contract.StepEdit) (*contract.ExecutionEditOutput, error) {
	return r.engine.ExecutionEdit(as(p), &contract.ExecutionEditInput{
		ExecutionID: id, Steps: steps, Reason: "another recipient", IdempotencyKey: key, Wait: true,
	})
}

func input(step, raw string) contract.StepEdit {
	return contract.StepEdit{StepID: writ.StepID(step), Input: contract.Object(raw)}
}

const edited = `{"method":"POST","url":"https://api.example.com/b","body":"better"}`

func TestAnEditGoesOnInAnotherExecution(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	before := r.pending(id)
	out, err := r.edit(approver, id, "", input("send", edited))
	if err != nil {
		t.Fatal(err)
	}
	old := r.expect(id, writ.ExecRejected)
	if old.EditedInto == nil || old.EditedInto.Execution != out.ExecutionID || old.EditedInto.PlanHash != out.DeterministicHash || !strings.Contains(old.Reason, string(out.ExecutionID)) {
		t.Errorf("the old one: %s, %+v", old.Reason, old.EditedInto)
	}
	if a := old.Steps[0].Approval; a.Status != writ.ApprovalRejected || len(a.Decisions) != 1 || a.Decisions[0].Note != "edited into "+string(out.ExecutionID) {
		t.Errorf("its approval: %+v", a)
	}
	x := r.expect(out.ExecutionID, writ.ExecAwaitingApproval)
	if f := x.EditedFrom; f == nil || f.Execution != id || f.PlanHash != old.PlanHash || f.By != approver.ID || f.Reason != "another recipient" {
		t.Errorf("the new one: %+v", f)
	}
	if x.Principal.ID != agent.ID || x.PlanHash == old.PlanHash {
		t.Errorf("asked by %s, plan %s", x.Principal.ID, x.PlanHash)
	}
	now := r.pending(out.ExecutionID)
	if now.Digest == before.Digest || !strings.Contains(string(now.Request), "better") {
		t.Errorf("what is asked: %s", now.Request)
	}
	if err := r.word(approver, out.ExecutionID, now); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("the editor approves its own edit: %v", err)
	}
	err = r.word(second, id, before)
	if !writ.IsCode(err, writ.CodeConflict) || !strings.Contains(err.Error(), string(out.ExecutionID)) {
		t.Errorf("what is stale: %v", err)
	}
	if r.tools.count() != 0 {
		t.Fatal("something was sent")
	}
	r.approve(second, out.ExecutionID)
	r.expect(out.ExecutionID, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d calls", r.tools.count())
	}
	r.identical(id)
	r.identical(out.ExecutionID)
	if _, err := r.engine.ExecutionRetry(as(operator), &contract.ExecutionRetryInput{ExecutionID: id}); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a retry of what was edited: %v", err)
	}
	_ = fmt.Sprint
}
