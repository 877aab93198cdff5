package engine_test

import (
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func whole(draft, key string) *contract.IntentSubmitInput {
	return &contract.IntentSubmitInput{
		Text: "all at once", Metadata: contract.Object(`{"name":"Ada"}`), Draft: draft, IdempotencyKey: key, Run: true, Wait: true,
	}
}

func TestOneRequestGoesTheWholeWay(t *testing.T) {
	r := newRig(t)
	out, err := r.engine.IntentSubmit(as(service), whole(twoSteps, "k"))
	if err != nil {
		t.Fatal(err)
	}
	if out.Status != string(writ.ExecCompleted) || out.PlanID == "" || out.RunID == "" || !out.DeterministicHash.Valid() {
		t.Errorf("got %+v", out)
	}
	if got := r.output(out.ExecutionID, "second"); got != `{"fixed":1,"from":"Ada"}` {
		t.Errorf("output %s", got)
	}
	r.identical(out.ExecutionID)

	r.reboot()
	again, err := r.engine.IntentSubmit(as(service), whole(twoSteps, "k"))
	if err != nil {
		t.Fatal(err)
	}
	if *again != *out {
		t.Errorf("the same request answers %+v, then %+v", out, again)
	}
	if n := r.countRecords(out.ExecutionID, writ.RecStepCompleted); n != 2 {
		t.Errorf("%d steps completed, want 2", n)
	}
}

func TestOneRequestGoesOnWhereAnEarlierOneStopped(t *testing.T) {
	r := newRig(t)
	in := whole(twoSteps, "k")
	in.Run, in.Wait = false, false
	first, err := r.engine.IntentSubmit(as(service), in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.engine.IntentSubmit(as(service), whole(twoSteps, "k"))
	if err != nil {
		t.Fatal(err)
	}
	if out.ExecutionID != first.ExecutionID || out.Status != string(writ.ExecCompleted) {
		t.Errorf("got %+v, want execution %s to be completed", out, first.ExecutionID)
	}
}

func TestOneRequestKeepsWhatWasRecordedWhenItIsRefused(t *testing.T) {
	r := newRig(t)
	in := whole(head+"  - {name: a, uses: test/nothing#run}\n", "k")
	if _, err := r.engine.IntentSubmit(as(service), in); !writ.IsCode(err, writ.CodePlanRejected) {
		t.Fatalf("got %v", err)
	}
	page, err := r.journal.Executions(t.Context(), writ.ExecutionQuery{Tenant: service.Tenant})
	if err != nil || len(page.Items) != 1 || page.Items[0].Status != writ.ExecRejected {
		t.Fatalf("got %+v, %v", page, err)
	}
	if _, err := r.engine.IntentSubmit(as(service), &contract.IntentSubmitInput{Text: "x", Wait: true}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("wait without run: got %v", err)
	}
	if _, err := r.engine.IntentSubmit(as(service), &contract.IntentSubmitInput{Text: "x", Run: true}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("run without a draft: got %v", err)
	}
}

func TestOneRequestStopsAtApprovalsAndDryRuns(t *testing.T) {
	r := newRig(t)
	out, err := r.engine.IntentSubmit(as(agent), whole(post, "k"))
	if err != nil || out.Status != string(writ.ExecAwaitingApproval) {
		t.Fatalf("got %+v, %v", out, err)
	}
	dry := whole(twoSteps, "d")
	dry.Mode = contract.RunDry
	out, err = r.engine.IntentSubmit(as(service), dry)
	if err != nil || out.Status != string(writ.Autonomous) || out.RunID != "" {
		t.Fatalf("got %+v, %v", out, err)
	}
	r.expect(out.ExecutionID, writ.ExecCompiled)
}
