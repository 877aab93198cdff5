package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// finish approves whatever is asked until the execution has ended.
func (r *rig) finish(id writ.ExecutionID) *writ.Execution {
	r.t.Helper()
	for range 20 {
		r.start(agent, id)
		state := r.state(id)
		if state.Status.Final() || state.Status == writ.ExecIndeterminate {
			return state
		}
		if state.Status == writ.ExecAwaitingApproval {
			r.approve(approver, id)
		}
	}
	r.t.Fatalf("the execution does not end: %+v", r.state(id))
	return nil
}

// once fails where two effects took place under one key.
func (f *fakeTools) once(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]bool{}
	for _, key := range f.done {
		if key == "" || seen[key] {
			t.Errorf("key %q has more than one effect: %q", key, f.done)
		}
		seen[key] = true
	}
}

const errand = head + `
  - name: keep
    uses: test/keep#run
    with: {key: "k1", value: "v"}
  - name: note
    uses: test/echo#run
    needs: [keep]
    with: {a: 1}
  - name: send
    uses: test/web#run
    needs: [note]
    with: {method: POST, url: "https://api.example.com/a", body: "one"}
  - name: also
    uses: test/web#run
    needs: [send]
    with: {method: PUT, url: "https://api.example.com/b", body: "two"}
`

// TestACrashAtEveryRecord kills the engine before each batch of records in turn.
// The next one ends the execution without doing anything twice; only a write
// that is not idempotent and whose answer was lost is left to people.
func TestACrashAtEveryRecord(t *testing.T) {
	judge := defaultJudge(t)
	lost, whole := 0, false
	for at := 1; !whole; at++ {
		if at > 60 {
			t.Fatal("the run does not get shorter")
		}
		r := newRigWith(t, &rig{judges: judges{judge}})
		id := r.submit(agent, errand)
		r.compile(agent, id)
		batches, answer := 0, writ.RecordType("")
		whole = true
		r.line.before = func(b *writ.Batch) bool {
			if batches++; batches == at {
				answer, whole = b.Records[len(b.Records)-1].Type, false
			}
			return batches != at
		}
		r.fallible(id)
		if !whole {
			r.crash()
		}
		state := r.finish(id)
		unknown := state.Status == writ.ExecIndeterminate
		if wrote := answer == writ.RecToolReturned && state.Step("send").Status == writ.StepIndeterminate; unknown != wrote {
			t.Errorf("crash before batch %d (%s): %s, step send %s", at, answer, state.Status, state.Step("send").Status)
		}
		if !unknown && state.Status != writ.ExecCompleted {
			t.Errorf("crash before batch %d (%s): %s: %s", at, answer, state.Status, state.Reason)
		}
		if unknown {
			lost++
		}
		// A put whose answer was lost is sent again under its key: that is what
		// the key is for.
		if answer != writ.RecToolReturned {
			r.tools.once(t)
		}
		r.bury()
		r.identical(id)
	}
	if lost != 1 {
		t.Errorf("%d crashes left an outcome unknown, want 1: the answer of the POST", lost)
	}
}

// fallible starts and approves for as long as the engine lives.
func (r *rig) fallible(id writ.ExecutionID) {
	for range 10 {
		if _, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Wait: true}); err != nil {
			return
		}
		r.line.settle(r.t)
		out, err := r.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
		if err != nil || len(out.Items) == 0 || r.word(approver, id, out.Items[0]) != nil {
			return
		}
	}
}

// TestAWriteWhoseAnswerIsLost: the process dies while a tool is at work.
func TestAWriteWhoseAnswerIsLost(t *testing.T) {
	for method, want := range map[string]writ.ExecutionStatus{"POST": writ.ExecIndeterminate, "PUT": writ.ExecCompleted} {
		t.Run(method, func(t *testing.T) {
			r := newRig(t)
			working, release := r.tools.holdFirst()
			id := r.begin(agent, head+fmt.Sprintf("  - {name: send, uses: test/web#run, with: {method: %s, url: \"https://api.example.com/a\", body: x}}\n", method))
			item := r.pending(id)
			r.say(approver, id, item)
			<-working
			r.crash()
			state := r.finish(id)
			close(release)
			if state.Status != want {
				t.Fatalf("%s, want %s", state.Status, want)
			}
			keys := map[string]bool{}
			for _, key := range r.tools.keys {
				keys[key] = true
			}
			if len(keys) != 1 || (method == "POST") != (len(r.tools.keys) == 1) {
				t.Errorf("calls under %q", r.tools.keys)
			}
			r.identical(id)
		})
	}
}

// TestAnUnhurriedEndKeepsTheAnswer: an engine that is closed in the middle of a
// write waits for it and writes down what it answered.
func TestAnUnhurriedEndKeepsTheAnswer(t *testing.T) {
	r := newRig(t)
	working, release := r.tools.holdFirst()
	id := r.begin(agent, post)
	r.say(approver, id, r.pending(id))
	<-working
	closed := make(chan error)
	go func() { closed <- r.engine.Close(context.Background()) }()
	close(release)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	r.reboot()
	r.start(agent, id)
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d calls, want 1", r.tools.count())
	}
	r.identical(id)
}
