package engine_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

const head = "apiVersion: writ/v1\nkind: Plan\nsteps:\n"

const twoSteps = head + `
  - name: first
    uses: test/echo#run
    with: {name: "${{ intent.metadata.name }}"}
  - name: second
    uses: test/echo#run
    with: {from: "${{ steps.first.output.name }}", fixed: 1}
`

func TestStepsRunInOrderAndReplay(t *testing.T) {
	r := newRig(t)
	id := r.begin(service, twoSteps)
	r.expect(id, writ.ExecCompleted)
	if got := r.output(id, "second"); got != `{"fixed":1,"from":"Ada"}` {
		t.Errorf("output %s", got)
	}
	r.identical(id)
}

const post = head + `
  - name: send
    uses: test/web#run
    with: {method: POST, url: "https://api.example.com/items", body: "hi"}
`

func TestAnOutwardCallWaitsForAHumanAndRunsOnce(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	state := r.expect(id, writ.ExecAwaitingApproval)
	if r.tools.count() != 0 {
		t.Fatal("the call was made before anybody approved it")
	}
	item := r.pending(id)
	if !strings.Contains(item.Summary, "POST https://api.example.com/items") || !strings.Contains(string(item.Request), `"body":"hi"`) {
		t.Errorf("the approver does not see the call: %s\n%s", item.Summary, item.Request)
	}
	if state.Steps[0].Status != writ.StepAwaitingApproval || !state.RequiresApproval {
		t.Errorf("step %s, requires approval %v", state.Steps[0].Status, state.RequiresApproval)
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d effects, want 1", r.tools.count())
	}
	r.identical(id)
}

func TestWhoMayDecide(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	item := r.pending(id)
	peer := *approver
	peer.Strength = writ.StrengthPeer
	robot := *approver
	robot.Kind, robot.ID = writ.Agent, "agent:other"
	plain := *approver
	plain.Roles = nil
	for name, c := range map[string]struct {
		who    *writ.Principal
		change func(*contract.ExecutionApproveInput)
		code   writ.Code
	}{
		"the socket's user": {who: &peer, code: writ.CodeForbidden},
		"an agent":          {who: &robot, code: writ.CodeForbidden},
		"without the role":  {who: &plain, code: writ.CodeForbidden},
		"the requester":     {who: agent, code: writ.CodeForbidden},
		"unsigned":          {who: approver, change: func(in *contract.ExecutionApproveInput) { in.Signature = nil }, code: writ.CodeForbidden},
		"for another actor": {who: approver, change: func(in *contract.ExecutionApproveInput) { in.ApprovedBy = second.ID }, code: writ.CodeForbidden},
		"another digest":    {who: approver, change: func(in *contract.ExecutionApproveInput) { in.ApprovalDigest = "sha256:00" }, code: writ.CodeConflict},
		"an unknown step":   {who: approver, change: func(in *contract.ExecutionApproveInput) { in.StepID = "stp_x" }, code: writ.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			in := &contract.ExecutionApproveInput{ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, Signature: []byte("signed")}
			if c.change != nil {
				c.change(in)
			}
			if _, err := r.engine.ExecutionApprove(as(c.who), in); writ.CodeOf(err) != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
	if r.tools.count() != 0 {
		t.Error("a refused approval let the call pass")
	}
}

func TestARejectionEndsTheStep(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	item := r.pending(id)
	if _, err := r.engine.ExecutionReject(as(approver), &contract.ExecutionRejectInput{ExecutionID: id, StepID: item.StepID, Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	r.start(agent, id)
	r.expect(id, writ.ExecRejected)
	if r.tools.count() != 0 {
		t.Error("a rejected call was made")
	}
	r.identical(id)
}

func TestAnApprovalSurvivesARestart(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	r.reboot()
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d effects, want 1", r.tools.count())
	}
	r.identical(id)
}

func TestAnUnknownOutcomeIsIndeterminateAndNeverSentAgain(t *testing.T) {
	r := newRig(t)
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult { return &writ.ToolResult{Outcome: writ.OutcomeUnknown} }
	id := r.begin(agent, strings.Replace(post, "uses: test/web#run", "uses: test/web#run\n    retry: {attempts: 3}", 1))
	r.approve(approver, id)
	state := r.expect(id, writ.ExecIndeterminate)
	if r.tools.count() != 1 || state.Steps[0].Status != writ.StepIndeterminate {
		t.Errorf("%d calls, step %s", r.tools.count(), state.Steps[0].Status)
	}
	r.identical(id)
}

func TestAnIdempotentWriteIsSentAgainUnderItsKey(t *testing.T) {
	r := newRig(t)
	r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
		if n < 3 {
			return &writ.ToolResult{Outcome: writ.OutcomeUnknown}
		}
		return nil
	}
	id := r.begin(agent, strings.Replace(post, "method: POST", "method: PUT", 1))
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	if len(r.tools.keys) != 3 || r.tools.keys[0] != r.tools.keys[1] || r.tools.keys[1] != r.tools.keys[2] || r.tools.keys[0] == "" {
		t.Errorf("keys %q", r.tools.keys)
	}
}

func TestWithoutAGrantTheStepIsBlockedAndNothingRuns(t *testing.T) {
	r := newRig(t)
	r.grants = []writ.Grant{}
	id := r.submit(agent, post)
	if _, err := r.engine.PlanCompile(as(agent), &contract.PlanCompileInput{ExecutionID: id}); err != nil {
		t.Fatal(err)
	}
	_, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Wait: true})
	if !writ.IsCode(err, writ.CodeBlocked) {
		t.Fatalf("got %v, want blocked", err)
	}
	r.expect(id, writ.ExecBlocked)
	if r.countRecords(id, writ.RecStepStarted) != 0 {
		t.Error("a blocked step began")
	}
	r.identical(id)
}

func TestAFailureSkipsWhatFollowsAndRetriesFirst(t *testing.T) {
	r := newRig(t)
	id := r.begin(service, head+`
  - name: bad
    uses: test/fail#run
    retry: {attempts: 2}
  - name: after
    uses: test/echo#run
    with: {x: "${{ string(steps.bad.output) }}"}
`)
	state := r.expect(id, writ.ExecFailed)
	if state.Step("bad").Failure.Code != "went_wrong" || state.Step("bad").Attempt != 2 || state.Step("after").Status != writ.StepSkipped {
		t.Errorf("bad: %+v attempt %d, after: %s", state.Step("bad").Failure, state.Step("bad").Attempt, state.Step("after").Status)
	}
	r.identical(id)
}

func TestAConditionSkipsAStep(t *testing.T) {
	r := newRig(t)
	id := r.begin(service, head+`
  - name: never
    uses: test/echo#run
    when: intent.metadata.n > 5
  - name: always
    uses: test/echo#run
    when: intent.metadata.n == 3
    with: {ok: true}
`)
	state := r.expect(id, writ.ExecCompleted)
	if state.Step("never").Status != writ.StepSkipped || state.Step("always").Status != writ.StepCompleted {
		t.Errorf("never %s, always %s", state.Step("never").Status, state.Step("always").Status)
	}
	r.identical(id)
}

func TestLocalWritesAndReadsAreAutonomous(t *testing.T) {
	r := newRig(t)
	r.grants[0].Principal = service.ID
	id := r.begin(service, head+`
  - name: keep
    uses: test/keep#run
    with: {key: "k1", value: "v"}
  - name: look
    uses: test/look#run
    with: {method: GET, url: "https://api.example.com/x"}
`)
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 2 {
		t.Errorf("%d calls, want 2", r.tools.count())
	}
	r.identical(id)
}

func TestAToolOutsideTheGrantIsDeniedToTheGuest(t *testing.T) {
	r := newRig(t)
	r.grants[0].Principal = service.ID
	id := r.begin(service, head+`
  - name: look
    uses: test/look#run
    with: {method: GET, url: "https://elsewhere.example.com/x"}
`)
	state := r.state(id)
	if r.tools.count() != 0 || r.countRecords(id, writ.RecToolDenied) != 1 {
		t.Errorf("%d calls, %d denials; execution %s", r.tools.count(), r.countRecords(id, writ.RecToolDenied), state.Status)
	}
	r.identical(id)
}

func TestSubmittingAgainUnderAKey(t *testing.T) {
	r := newRig(t)
	in := contract.IntentSubmitInput{Text: "a", IdempotencyKey: "k"}
	first, err := r.engine.IntentSubmit(as(agent), &in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.engine.IntentSubmit(as(agent), &in)
	if err != nil || again.ExecutionID != first.ExecutionID {
		t.Fatalf("%v %v", again, err)
	}
	in.Text = "b"
	if _, err := r.engine.IntentSubmit(as(agent), &in); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("other content under the key: %v", err)
	}
	in.Text, in.ActorID = "a", "human:somebody"
	if _, err := r.engine.IntentSubmit(as(agent), &in); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("another actor: %v", err)
	}
}

func TestAGuestThatLoopsIsCancelled(t *testing.T) {
	r := newRig(t)
	id := r.submit(service, head+"  - {name: spin, uses: test/loop#run}\n")
	if _, err := r.engine.PlanCompile(as(service), &contract.PlanCompileInput{ExecutionID: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.engine.ExecutionStart(as(service), &contract.ExecutionStartInput{ExecutionID: id}); err != nil {
		t.Fatal(err)
	}
	stranger, own := *agent, *service
	stranger.Strength, own.Strength = writ.StrengthChannel, writ.StrengthChannel
	if _, err := r.engine.ExecutionCancel(as(&stranger), &contract.ExecutionCancelInput{ExecutionID: id}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("a sender of a channel cancels another's: %v", err)
	}
	if _, err := r.engine.ExecutionCancel(as(&own), &contract.ExecutionCancelInput{ExecutionID: id}); err != nil {
		t.Fatal(err)
	}
	r.start(service, id)
	state := r.expect(id, writ.ExecCancelled)
	if state.Steps[0].Status != writ.StepCancelled {
		t.Errorf("step %s", state.Steps[0].Status)
	}
}

func TestTheZeroPermitRefuses(t *testing.T) {
	call := &writ.CallFacts{Tool: abi.ToolLog}
	if _, err := (writ.Permit{}).Covers(call); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("got %v", err)
	}
	if _, err := writ.MintPermit(writ.PermitScope{}, writ.PermitEvidence{Verdict: &writ.Verdict{}}); !writ.IsCode(err, writ.CodeBlocked) {
		t.Errorf("the zero verdict minted: %v", err)
	}
	high := &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskHigh}
	if _, err := writ.MintPermit(writ.PermitScope{}, writ.PermitEvidence{Verdict: high}); !writ.IsCode(err, writ.CodeBlocked) {
		t.Errorf("a high-risk verdict minted an autonomous permit: %v", err)
	}
}
