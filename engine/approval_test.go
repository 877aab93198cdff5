package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// hasty gives people minutes where the policy gives them hours: the store's own
// tickers make a day in a bubble long.
type hasty struct{ slow writ.Judge }

func (h hasty) Policy() writ.PolicyRef { return h.slow.Policy() }

func (h hasty) Judge(ctx context.Context, q *writ.Question) (*writ.Verdict, error) {
	v, err := h.slow.Judge(ctx, q)
	if err == nil && v.Mode == writ.Assist {
		v.Approvals.EscalateAfter, v.Approvals.ExpiresIn = abi.Duration(2*time.Minute), abi.Duration(10*time.Minute)
	}
	return v, err
}

// TestTimeAloneEscalatesAndExpires: the deadline is in the journal, so it holds
// over a restart, and nobody has to ask for it.
func TestTimeAloneEscalatesAndExpires(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{hasty{judge}}})
		id := r.begin(agent, post)
		admin := &writ.Principal{ID: "human:root", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Roles: []string{"admin"}, Strength: writ.StrengthToken}
		if err := r.tryWord(admin, id); !writ.IsCode(err, writ.CodeForbidden) {
			t.Fatalf("an admin before the escalation: %v", err)
		}
		r.reboot()
		pass(r, 3*time.Minute)
		if r.countRecords(id, writ.RecApprovalEscalated) != 1 {
			t.Fatal("nothing was escalated after three minutes")
		}
		r.reboot()
		pass(r, 8*time.Minute)
		state := r.expect(id, writ.ExecExpired)
		if state.Steps[0].Status != writ.StepExpired || r.tools.count() != 0 {
			t.Errorf("step %s, %d calls", state.Steps[0].Status, r.tools.count())
		}
		if err := r.tryWord(approver, id); err == nil {
			t.Error("an expired approval was decided")
		}
		r.identical(id)
	})
}

// pass lets time go by, and what it sets off come to rest.
func pass(r *rig, d time.Duration) {
	time.Sleep(d) // of the bubble: no real time
	synctest.Wait()
	r.line.settle(r.t)
}

func TestAnEscalatedApprovalIsOpenToOthers(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{hasty{judge}}})
		id := r.begin(agent, post)
		admin := &writ.Principal{ID: "human:root", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Roles: []string{"admin"}, Strength: writ.StrengthToken}
		pass(r, 3*time.Minute)
		r.approve(admin, id)
		r.expect(id, writ.ExecCompleted)
		r.identical(id)
	})
}

// TestWhatIsApprovedMustBeExecutedInTime: the host was down for two days after
// somebody said yes.
func TestWhatIsApprovedMustBeExecutedInTime(t *testing.T) {
	var late atomic.Int64
	r := newRigWith(t, &rig{now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }})
	id := r.begin(agent, post)
	r.line.mu.Lock()
	r.line.before = func(b *writ.Batch) bool { return b.Records[0].Type == writ.RecApprovalDecided }
	r.line.mu.Unlock()
	r.say(approver, id, r.pending(id))
	late.Store(int64(49 * time.Hour))
	r.crash()
	r.start(agent, id)
	state := r.expect(id, writ.ExecExpired)
	if r.tools.count() != 0 || state.Steps[0].Approval.Status != writ.ApprovalApproved {
		t.Errorf("%d calls, approval %s", r.tools.count(), state.Steps[0].Approval.Status)
	}
	r.identical(id)
}

func TestHighRiskWantsTwoPeople(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, strings.Replace(post, "test/web", "test/pay", 1))
	item := r.pending(id)
	r.approve(approver, id)
	r.expect(id, writ.ExecAwaitingApproval)
	if err := r.tryWord(approver, id); !writ.IsCode(err, writ.CodeConflict) || r.tools.count() != 0 {
		t.Fatalf("the same person again: %v, %d calls", err, r.tools.count())
	}
	r.reboot()
	if r.pending(id).Digest != item.Digest {
		t.Error("the restart changed what is asked")
	}
	r.approve(second, id)
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d calls, want 1", r.tools.count())
	}
	r.identical(id)
}

const whim = head + `
  - name: send
    uses: test/moody#run
    retry: {attempts: 2}
`

// TestAnApprovalIsForOneCall: another attempt's guest wants another call.
func TestAnApprovalIsForOneCall(t *testing.T) {
	r := newRigWith(t, &rig{entropy: &counter{}})
	r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
		if n == 1 {
			return &notYet
		}
		return nil
	}
	id := r.begin(agent, whim)
	first := r.pending(id)
	r.approve(approver, id)
	r.expect(id, writ.ExecAwaitingApproval)
	again := r.pending(id)
	if again.Digest == first.Digest || again.Summary == first.Summary || r.tools.count() != 1 {
		t.Fatalf("%s after %s, %d calls", again.Summary, first.Summary, r.tools.count())
	}
	in := &contract.ExecutionApproveInput{ExecutionID: id, StepID: first.StepID, ApprovalDigest: first.Digest, Signature: []byte("signed")}
	if _, err := r.engine.ExecutionApprove(as(approver), in); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("the first approval again: %v", err)
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

// TestAnotherWriteAfterACompletedOneIsAPersonsMatter: the first attempt's call
// took place and its guest failed all the same.
func TestAnotherWriteAfterACompletedOneIsAPersonsMatter(t *testing.T) {
	r := newRigWith(t, &rig{entropy: &counter{}})
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult {
		return &writ.ToolResult{Outcome: writ.OutcomeDone, Failure: &abi.Failure{Code: "odd", Message: "done, but"}}
	}
	id := r.begin(agent, whim)
	r.approve(approver, id)
	state := r.expect(id, writ.ExecIndeterminate)
	if r.tools.count() != 1 || state.Steps[0].Attempt != 2 {
		t.Errorf("%d calls in %d attempts", r.tools.count(), state.Steps[0].Attempt)
	}
	r.identical(id)
}

// counter gives other bytes each time, and the same ones in each run.
type counter struct {
	mu sync.Mutex
	n  byte
}

func (c *counter) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range p {
		p[i] = c.n
	}
	c.n += 37
	return len(p), nil
}

func TestAssistAsksBeforeAnything(t *testing.T) {
	r := newRig(t)
	id := r.submit(service, twoSteps)
	r.compile(service, id)
	if _, err := r.engine.ExecutionStart(as(service), &contract.ExecutionStartInput{ExecutionID: id, Mode: contract.RunAssist, Wait: true}); err != nil {
		t.Fatal(err)
	}
	state := r.expect(id, writ.ExecAwaitingApproval)
	if state.Step("first").Status != writ.StepAwaitingApproval || state.Step("second").Status != writ.StepPlanned {
		t.Errorf("first %s, second %s", state.Step("first").Status, state.Step("second").Status)
	}
	r.approve(approver, id)
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

func TestADryRunStartsNothing(t *testing.T) {
	r := newRig(t)
	id := r.submit(agent, post)
	r.compile(agent, id)
	out, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Mode: contract.RunDry, Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	state := r.expect(id, writ.ExecCompiled)
	if out.Status != string(writ.Assist) || out.RunID != "" || state.RunID != "" || r.countRecords(id, writ.RecStepStarted) != 0 || r.tools.count() != 0 {
		t.Errorf("answer %+v, run %q, %d calls", out, state.RunID, r.tools.count())
	}
	r.start(agent, id) // and it can still be started
	r.expect(id, writ.ExecAwaitingApproval)
	r.identical(id)
}

// TestACancelWaitsForTheWriteInFlight: what happened is written down.
func TestACancelWaitsForTheWriteInFlight(t *testing.T) {
	r := newRig(t)
	working, release := r.tools.holdFirst()
	id := r.begin(agent, post+"  - {name: after, uses: test/echo#run, needs: [send]}\n")
	r.say(approver, id, r.pending(id))
	<-working
	if _, err := r.engine.ExecutionCancel(as(agent), &contract.ExecutionCancelInput{ExecutionID: id}); err != nil {
		t.Fatal(err)
	}
	if r.state(id).Status.Final() {
		t.Error("it ended while a write was in flight")
	}
	close(release)
	r.start(agent, id)
	state := r.expect(id, writ.ExecCancelled)
	if r.tools.count() != 1 || r.countRecords(id, writ.RecToolReturned) != 1 || state.Step("after").Status != writ.StepCancelled {
		t.Errorf("%d calls, %d answers, after: %s", r.tools.count(), r.countRecords(id, writ.RecToolReturned), state.Step("after").Status)
	}
	r.identical(id)
}

// TestStepsRunBesideEachOther: each of two calls waits for the other one.
func TestStepsRunBesideEachOther(t *testing.T) {
	r := newRig(t)
	var both sync.WaitGroup
	both.Add(2)
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult {
		both.Done()
		both.Wait()
		return nil
	}
	id := r.begin(agent, head+`
  - {name: left, uses: test/keep#run, with: {key: kl, value: v}}
  - {name: right, uses: test/keep#run, with: {key: kr, value: v}}
`)
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

func TestAPlanOfTheMostStepsRuns(t *testing.T) {
	r := newRig(t)
	var b strings.Builder
	b.WriteString(head)
	for i := range writ.MaxPlanSteps {
		fmt.Fprintf(&b, "  - {name: s%d, uses: test/echo#run, with: {n: %d}", i, i)
		if i%8 > 0 {
			fmt.Fprintf(&b, ", needs: [s%d]", i-1)
		}
		b.WriteString("}\n")
	}
	id := r.begin(service, b.String())
	state := r.expect(id, writ.ExecCompleted)
	if len(state.Steps) != writ.MaxPlanSteps {
		t.Errorf("%d steps", len(state.Steps))
	}
	r.identical(id)
	draft := b.String() + "  - {name: more, uses: test/echo#run}\n"
	over := r.submit(service, draft)
	if _, err := r.engine.PlanCompile(as(service), &contract.PlanCompileInput{ExecutionID: over}); !writ.IsCode(err, writ.CodePlanRejected) {
		t.Errorf("a step more: %v", err)
	}
}
