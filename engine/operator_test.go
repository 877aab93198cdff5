package engine_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (r *rig) pause(id writ.ExecutionID) error {
	_, err := r.engine.ExecutionPause(as(operator), &contract.ExecutionPauseInput{ExecutionID: id, Reason: "wait"})
	return err
}

func (r *rig) resume(id writ.ExecutionID) error {
	_, err := r.engine.ExecutionResume(as(operator), &contract.ExecutionResumeInput{ExecutionID: id, Wait: true})
	return err
}

func (r *rig) retry(id writ.ExecutionID) error {
	_, err := r.engine.ExecutionRetry(as(operator), &contract.ExecutionRetryInput{ExecutionID: id, Reason: "again", Wait: true})
	return err
}

func (r *rig) rule(id writ.ExecutionID, ruling writ.Ruling) error {
	in := &contract.ExecutionResolveInput{ExecutionID: id, Ruling: ruling, Reason: "I looked", Wait: true}
	if ruling == writ.RulingDone {
		in.Answer = json.RawMessage(`{"status":201,"headers":{}}`)
	}
	_, err := r.engine.ExecutionResolve(as(operator), in)
	return err
}

// do fails where the operator's word is refused.
func (r *rig) do(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%+v", err)
	}
}

// hold lets the nth call of a tool wait until the returned function is called.
func (f *fakeTools) hold(n int) (began <-chan struct{}, release func()) {
	working, free := make(chan struct{}), make(chan struct{})
	f.fail = func(at int, _ *writ.ToolCall) *writ.ToolResult {
		if at == n {
			close(working)
			<-free
		}
		return nil
	}
	return working, func() { close(free) }
}

const errandTwice = head + `
  - name: first
    uses: test/twice#run
    with: {key: "k1", value: "v"}
  - name: second
    uses: test/keep#run
    needs: [first]
    with: {key: "k2", value: "v"}
`

// TestAPauseHoldsWhatHasNotBegun: the call in flight is waited for and kept, the
// guest is stopped at its next one, no step begins, and a restart changes
// nothing of that.
func TestAPauseHoldsWhatHasNotBegun(t *testing.T) {
	r := newRig(t)
	working, release := r.tools.hold(1)
	id := r.submit(agent, errandTwice)
	r.compile(agent, id)
	r.do(func() error {
		_, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id})
		return err
	}())
	<-working
	r.do(r.pause(id))
	r.expect(id, writ.ExecPaused)
	release()
	r.do(r.engine.Rest(context.Background()))
	r.line.settle(t)
	state := r.expect(id, writ.ExecPaused)
	if r.tools.count() != 1 || r.countRecords(id, writ.RecToolReturned) != 1 || state.Step("first").Status != writ.StepRunning {
		t.Fatalf("%d calls, step first %s", r.tools.count(), state.Step("first").Status)
	}
	r.do(r.pause(id)) // twice is once
	r.reboot()
	r.do(r.engine.Rest(context.Background()))
	if r.countRecords(id, writ.RecRunPaused) != 1 || r.tools.count() != 1 {
		t.Fatalf("%d pauses, %d calls", r.countRecords(id, writ.RecRunPaused), r.tools.count())
	}
	r.do(r.resume(id))
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 3 || r.countRecords(id, writ.RecStepStarted) != 2 {
		t.Errorf("%d calls, %d attempts", r.tools.count(), r.countRecords(id, writ.RecStepStarted))
	}
	r.tools.once(t)
	r.identical(id)
	if err := r.pause(id); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a pause after the end: %v", err)
	}
	if err := r.resume(id); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a resumption after the end: %v", err)
	}
}

// TestPeopleMayDecideInAPause: an approval is taken and its step waits, and a
// cancellation ends it all.
func TestPeopleMayDecideInAPause(t *testing.T) {
	r := newRig(t)
	for _, cancel := range []bool{false, true} {
		id := r.begin(agent, post)
		r.do(r.pause(id))
		item := r.pending(id)
		if out, err := r.engine.ApprovalList(as(approver), &contract.ApprovalListInput{}); err != nil || len(out.Items) != 1 {
			t.Errorf("the list of approvals leaves out a paused execution: %+v %v", out, err)
		}
		r.say(approver, id, item)
		r.do(r.engine.Rest(context.Background()))
		before := r.tools.count()
		r.expect(id, writ.ExecPaused)
		want := writ.ExecCompleted
		if cancel {
			want = writ.ExecCancelled
			_, err := r.engine.ExecutionCancel(as(agent), &contract.ExecutionCancelInput{ExecutionID: id})
			r.do(err)
			r.start(agent, id)
		} else {
			r.do(r.resume(id))
		}
		r.expect(id, want)
		if calls := r.tools.count() - before; calls != map[bool]int{false: 1, true: 0}[cancel] {
			t.Errorf("%d calls after the pause", calls)
		}
		r.identical(id)
	}
}

func TestWhatCannotBePausedOrRetried(t *testing.T) {
	r := newRig(t)
	id := r.submit(agent, store)
	for name, act := range map[string]func(writ.ExecutionID) error{"pause": r.pause, "resume": r.resume, "retry": r.retry} {
		if err := act(id); !writ.IsCode(err, writ.CodeConflict) {
			t.Errorf("%s before the start: %v", name, err)
		}
		if err := act("exe_none"); !writ.IsCode(err, writ.CodeNotFound) {
			t.Errorf("%s of nothing: %v", name, err)
		}
	}
	r.compile(agent, id)
	r.start(agent, id)
	r.expect(id, writ.ExecCompleted)
	if err := r.retry(id); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a retry of what has completed: %v", err)
	}
	if err := r.rule(id, writ.RulingRetry); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a ruling on what has completed: %v", err)
	}
	waiting := r.begin(agent, post)
	if err := r.retry(waiting); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a retry of what is under way: %v", err)
	}
}

const lostPost = head + `
  - name: send
    uses: test/web#run
    with: {method: POST, url: "https://api.example.com/a", body: "one"}
  - name: after
    uses: test/keep#run
    needs: [send]
    with: {key: "k1", value: "v"}
  - name: beside
    uses: test/keep#run
    with: {key: "k2", value: "v"}
`

// lose runs lostPost until the outcome of its write is unknown.
func (r *rig) lose() writ.ExecutionID {
	r.t.Helper()
	r.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult {
		if strings.Contains(string(call.Arguments), `"body":"one"`) {
			return &unknown
		}
		return nil
	}
	id := r.begin(agent, lostPost)
	r.approve(approver, id)
	r.tools.fail = nil
	return id
}

// TestAnUnknownOutcomeWaitsForAnOperator: the guest never sees it, nothing sends
// it again, what depends on it waits, and what does not goes on.
func TestAnUnknownOutcomeWaitsForAnOperator(t *testing.T) {
	for ruling, want := range map[writ.Ruling]writ.ExecutionStatus{
		writ.RulingRetry: writ.ExecCompleted, writ.RulingDone: writ.ExecCompleted, writ.RulingFail: writ.ExecFailed,
	} {
		t.Run(string(ruling), func(t *testing.T) {
			r := newRig(t)
			id := r.lose()
			state := r.expect(id, writ.ExecIndeterminate)
			if state.Step("after").Status != writ.StepPlanned || state.Step("beside").Status != writ.StepCompleted {
				t.Fatalf("after is %s, beside %s", state.Step("after").Status, state.Step("beside").Status)
			}
			if r.countRecords(id, writ.RecSealed) != 0 {
				t.Fatal("the journal is sealed while an outcome is not known")
			}
			sent := r.tools.count()
			r.reboot()
			r.start(agent, id)
			r.expect(id, writ.ExecIndeterminate)
			if r.tools.count() != sent {
				t.Fatal("the write was sent again")
			}
			r.identical(id)
			if err := r.retry(id); !writ.IsCode(err, writ.CodeConflict) {
				t.Errorf("a retry without a ruling: %v", err)
			}
			r.do(r.rule(id, ruling))
			state = r.expect(id, want)
			posts := map[string]int{}
			for _, key := range r.tools.keys {
				posts[key]++
			}
			key := r.keyOf(id, "send")
			if posts[key] != map[writ.Ruling]int{writ.RulingRetry: 2, writ.RulingDone: 1, writ.RulingFail: 1}[ruling] {
				t.Errorf("sent %d times under its key", posts[key])
			}
			if ruling == writ.RulingDone && r.output(id, "send") != `{"headers":{},"status":201}` {
				t.Errorf("the answer is %s", r.output(id, "send"))
			}
			r.tools.once(t)
			r.identical(id)
			r.reboot()
			r.identical(id)
			if by := r.actorOf(id, writ.RecStepResolved); by != operator.ID {
				t.Errorf("the ruling is of %s", by)
			}
			if err := r.rule(id, ruling); !writ.IsCode(err, writ.CodeConflict) {
				t.Errorf("a second ruling: %v", err)
			}
			if ruling == writ.RulingFail {
				if state.Step("after").Status != writ.StepSkipped {
					t.Errorf("after is %s", state.Step("after").Status)
				}
				if err := r.retry(id); !writ.IsCode(err, writ.CodeConflict) {
					t.Errorf("a retry would send the write whose outcome nobody knows: %v", err)
				}
			}
		})
	}
}

func (r *rig) keyOf(id writ.ExecutionID, step string) string {
	for _, record := range r.records(id) {
		if record.Type == writ.RecToolCalled && record.Step == r.state(id).Step(step).ID {
			return record.Body.Call.Key
		}
	}
	return ""
}

func (r *rig) actorOf(id writ.ExecutionID, kind writ.RecordType) writ.PrincipalID {
	for _, record := range r.records(id) {
		if record.Type == kind {
			return record.Actor.ActorID
		}
	}
	return ""
}

// TestARulingMustFit refuses what says nothing about the call.
func TestARulingMustFit(t *testing.T) {
	r := newRig(t)
	id := r.lose()
	good := json.RawMessage(`{"status":201,"headers":{}}`)
	for name, test := range map[string]struct {
		in   contract.ExecutionResolveInput
		code writ.Code
	}{
		"no reason":          {contract.ExecutionResolveInput{Ruling: writ.RulingRetry}, writ.CodeInvalid},
		"no ruling":          {contract.ExecutionResolveInput{Reason: "x"}, writ.CodeInvalid},
		"done without":       {contract.ExecutionResolveInput{Ruling: writ.RulingDone, Reason: "x"}, writ.CodeInvalid},
		"not JSON":           {contract.ExecutionResolveInput{Ruling: writ.RulingDone, Answer: json.RawMessage(`{`), Reason: "x"}, writ.CodeInvalid},
		"not the schema":     {contract.ExecutionResolveInput{Ruling: writ.RulingDone, Answer: json.RawMessage(`{"ok":true}`), Reason: "x"}, writ.CodeInvalid},
		"an answer too many": {contract.ExecutionResolveInput{Ruling: writ.RulingRetry, Answer: good, Reason: "x"}, writ.CodeInvalid},
		"another step":       {contract.ExecutionResolveInput{StepID: "beside", Ruling: writ.RulingDone, Answer: good, Reason: "x"}, writ.CodeConflict},
		"no such step":       {contract.ExecutionResolveInput{StepID: "none", Ruling: writ.RulingDone, Answer: good, Reason: "x"}, writ.CodeNotFound},
		"in another's name":  {contract.ExecutionResolveInput{Ruling: writ.RulingFail, Reason: "x", ResolvedBy: "human:bob"}, writ.CodeForbidden},
	} {
		test.in.ExecutionID = id
		if _, err := r.engine.ExecutionResolve(as(operator), &test.in); !writ.IsCode(err, test.code) {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
	r.expect(id, writ.ExecIndeterminate)
	if r.countRecords(id, writ.RecStepResolved) != 0 {
		t.Error("a refused ruling was recorded")
	}
}

// TestACancelledExecutionSendsNothingAgain: what is unknown stays with people.
func TestACancelledExecutionSendsNothingAgain(t *testing.T) {
	r := newRig(t)
	id := r.lose()
	_, err := r.engine.ExecutionCancel(as(agent), &contract.ExecutionCancelInput{ExecutionID: id, Reason: "enough"})
	r.do(err)
	r.expect(id, writ.ExecIndeterminate)
	sent := r.tools.count()
	if err := r.rule(id, writ.RulingRetry); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a cancelled execution sends again: %v", err)
	}
	r.do(r.rule(id, writ.RulingDone))
	state := r.expect(id, writ.ExecCancelled)
	if r.tools.count() != sent || state.Step("send").Status != writ.StepCancelled {
		t.Errorf("%d calls more, send is %s", r.tools.count()-sent, state.Step("send").Status)
	}
	r.identical(id)
}

const faulty = head + `
  - name: keep
    uses: test/keep#run
    with: {key: "k1", value: "v"}
  - name: send
    uses: test/doubtful#run
    needs: [keep]
    retry: {attempts: 2}
    with: {method: POST, url: "https://api.example.com/a", body: "one"}
  - name: after
    uses: test/keep#run
    needs: [send]
    with: {key: "k2", value: "v"}
`

// TestARetryDoesNotRepeatWhatWasDone: the first call of step send is done and its
// second refused twice; the retry makes the second alone, with approvals anew.
func TestARetryDoesNotRepeatWhatWasDone(t *testing.T) {
	r := newRig(t)
	posts := 0
	r.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult {
		if strings.Contains(string(call.Arguments), `"body":"one"`) {
			if posts++; posts == 2 || posts == 3 {
				return &notYet
			}
		}
		return nil
	}
	id := r.begin(agent, faulty)
	for range 10 {
		if r.state(id).Status != writ.ExecAwaitingApproval {
			break
		}
		r.approve(approver, id)
	}
	state := r.expect(id, writ.ExecFailed)
	if state.Step("send").Attempt != 2 || state.Step("after").Status != writ.StepSkipped || posts != 3 {
		t.Fatalf("attempt %d, after %s, %d posts", state.Step("send").Attempt, state.Step("after").Status, posts)
	}
	r.identical(id)
	r.reboot()
	r.do(r.retry(id))
	state = r.expect(id, writ.ExecAwaitingApproval)
	if state.Step("keep").Status != writ.StepCompleted || posts != 3 {
		t.Fatalf("keep %s, %d posts", state.Step("keep").Status, posts)
	}
	for r.state(id).Status == writ.ExecAwaitingApproval {
		r.approve(approver, id)
	}
	r.expect(id, writ.ExecCompleted)
	if posts != 4 || r.countRecords(id, writ.RecSealed) != 2 {
		t.Errorf("%d posts, %d seals", posts, r.countRecords(id, writ.RecSealed))
	}
	r.tools.once(t)
	r.identical(id)
}

// TestARetryAsksAgain: a rejected step may be proposed again, a blocked one is
// judged under the grants of now.
func TestARetryAsksAgain(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	_, err := r.engine.ExecutionReject(as(approver), &contract.ExecutionRejectInput{ExecutionID: id, StepID: r.pending(id).StepID, Reason: "no"})
	r.do(err)
	r.expect(id, writ.ExecRejected)
	r.do(r.retry(id))
	r.expect(id, writ.ExecAwaitingApproval)
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	r.identical(id)

	grants := r.grants
	r.grants = nil
	id = r.submit(agent, store)
	r.compile(agent, id)
	if _, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Wait: true}); !writ.IsCode(err, writ.CodeBlocked) {
		t.Fatalf("without a grant: %v", err)
	}
	r.line.settle(t)
	r.grants = grants
	r.do(r.retry(id))
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

// TestAFailedCompensationIsTriedAgain: nothing else is, and once everything has
// been undone nothing is left to be tried.
func TestAFailedCompensationIsTriedAgain(t *testing.T) {
	r := newRig(t)
	refused := true
	r.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult {
		if call.Target.Key == "k/undo-hotel" && refused {
			return &notYet
		}
		return nil
	}
	id := r.begin(agent, saga)
	state := r.expect(id, writ.ExecFailed)
	if state.Step("hotel/compensate").Status != writ.StepFailed || state.Step("flight/compensate").Status != writ.StepSkipped {
		t.Fatalf("%s", state.Reason)
	}
	refused = false
	r.reboot()
	r.do(r.retry(id))
	state = r.expect(id, writ.ExecFailed)
	if got, want := r.effects(id), "key k/flight, key k/hotel, key k/undo-hotel, key k/undo-flight-1"; got != want || state.Step("pay").Attempt != 1 {
		t.Errorf("%s, want %s; pay was tried %d times", got, want, state.Step("pay").Attempt)
	}
	r.tools.once(t)
	r.identical(id)
	if err := r.retry(id); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a retry of what has been undone: %v", err)
	}
}

// TestARetryOfAListTriesTheRest: iterations that completed stay.
func TestARetryOfAListTriesTheRest(t *testing.T) {
	r := newRig(t)
	refused := true
	r.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult {
		if call.Target.Key == "k/two" && refused {
			return &notYet
		}
		return nil
	}
	id := r.begin(agent, head+`
  - name: each
    uses: test/keep#run
    forEach: '["one", "two", "three"]'
    with: {key: "k/${{ item }}", value: "v"}
  - name: after
    uses: test/keep#run
    needs: [each]
    with: {key: "k/after", value: "v"}
`)
	r.expect(id, writ.ExecFailed)
	r.identical(id)
	refused = false
	r.do(r.retry(id))
	state := r.expect(id, writ.ExecCompleted)
	if state.Step("each/0").Attempt != 1 || state.Step("each/1").Attempt != 2 || state.Step("after").Status != writ.StepCompleted {
		t.Errorf("attempts %d and %d, after %s", state.Step("each/0").Attempt, state.Step("each/1").Attempt, state.Step("after").Status)
	}
	r.tools.once(t)
	r.identical(id)
}
