package engine_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// TestWhatIsPrivateStaysSo: typing over a value does not make known to everybody what
// stood there.
func TestWhatIsPrivateStaysSo(t *testing.T) {
	r := newRig(t)
	own := *r.skills["test/look"]
	manifest := *own.Manifest
	manifest.Actions = slices.Clone(manifest.Actions)
	manifest.Actions[0].Sensitivity = abi.SensitivityPrivate
	own.Manifest = &manifest
	r.skills["test/look"] = &own
	id := r.begin(agent, readThenSend)
	if got := labelled(flowOf(t, r, id, "with.body")); got != "steps.look.output.status: http model private" {
		t.Fatalf("the body is from %s", got)
	}
	out, err := r.edit(approver, id, "", input("send", `{"method":"POST","url":"https://api.example.com/items","body":"about 200!"}`))
	r.do(err)
	if got := labelled(flowOf(t, r, out.ExecutionID, "with.body")); got != "edited: principal private" {
		t.Errorf("the body is from %s", got)
	}
	r.identical(out.ExecutionID)
}

// TestAnEditAfterTheDeadline is as late as a yes.
func TestAnEditAfterTheDeadline(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newRigWith(t, &rig{now: func() time.Time { return now }})
	id := r.begin(agent, post)
	now = now.Add(24 * time.Hour)
	if _, err := r.edit(approver, id, "", input("send", edited)); !writ.IsCode(err, writ.CodeExpired) {
		t.Fatalf("%v", err)
	}
	r.rest()
	r.expect(id, writ.ExecExpired)
	if _, err := r.edit(approver, id, "", input("send", edited)); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("after its end: %v", err)
	}
	r.identical(id)
}

// TestAnEditKeepsTheMode: who wanted to be asked about every
// step is asked about every step of the new plan.
func TestAnEditKeepsTheMode(t *testing.T) {
	r := newRig(t)
	id := r.submit(agent, twoSteps)
	r.compile(agent, id)
	_, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Mode: contract.RunAssist, Wait: true})
	r.do(err)
	out, err := r.edit(approver, id, "", input("first", `{"name":"Eve"}`), input("second", `{"from":null,"fixed":2}`))
	r.do(err)
	for range 2 {
		r.expect(out.ExecutionID, writ.ExecAwaitingApproval)
		r.approve(second, out.ExecutionID)
	}
	r.expect(out.ExecutionID, writ.ExecCompleted)
	if got := r.output(out.ExecutionID, "second"); got != `{"fixed":2,"from":"Eve"}` {
		t.Errorf("%s", got)
	}
	r.identical(out.ExecutionID)
}

// TestAnEditWhileAStepRuns is refused; afterwards everything that waits ends.
func TestAnEditWhileAStepRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		working, release := r.tools.holdFirst()
		draft := post + strings.TrimPrefix(strings.Replace(readThenSend, "name: send", "name: tell", 1), head)
		draft = draft[:strings.Index(draft, "  - name: later")]
		id := r.submit(agent, draft)
		r.compile(agent, id)
		_, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id})
		r.do(err)
		<-working
		synctest.Wait()
		if _, err := r.edit(approver, id, "", input("send", edited)); !writ.IsCode(err, writ.CodeConflict) || !strings.Contains(err.Error(), "look is running") {
			t.Fatalf("%v", err)
		}
		close(release)
		synctest.Wait()
		out, err := r.edit(approver, id, "", input("send", edited))
		r.do(err)
		old := r.expect(id, writ.ExecRejected)
		for _, name := range []string{"send", "tell"} {
			if s := old.Step(name); s.Status != writ.StepRejected || s.Approval.Status != writ.ApprovalRejected {
				t.Errorf("%s is %s, its approval %s", name, s.Status, s.Approval.Status)
			}
		}
		r.identical(id)
		r.identical(out.ExecutionID)
	})
}

// TestADraftOfAnEditIsNotReplaced: its plan is what the editor has seen.
func TestADraftOfAnEditIsNotReplaced(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	r.line.mu.Lock()
	batches := 0
	r.line.before = func(*writ.Batch) bool { batches++; return batches != 3 }
	r.line.mu.Unlock()
	if _, err := r.edit(approver, id, "k", input("send", edited)); err == nil {
		t.Fatal("it survived")
	}
	r.crash()
	for _, x := range r.executions() {
		if x.ID == id {
			continue
		}
		_, err := r.engine.PlanCompile(as(agent), &contract.PlanCompileInput{ExecutionID: x.ID, Draft: post})
		if !writ.IsCode(err, writ.CodeConflict) {
			t.Errorf("%v", err)
		}
	}
	if n := len(r.executions()); n != 2 {
		t.Errorf("%d executions", n)
	}
}

func TestEditsThatDoNotCompile(t *testing.T) {
	r := newRig(t)
	strict := *r.skills["test/web"]
	manifest := *strict.Manifest
	manifest.Actions = slices.Clone(manifest.Actions)
	manifest.Actions[0].Input = []byte(`{"type":"object","properties":{"body":{"type":"string"},"method":{},"url":{}}}`)
	strict.Manifest = &manifest
	r.skills["test/web"] = &strict
	id := r.begin(agent, post)
	_, err := r.edit(approver, id, "", input("send", `{"method":"POST","url":"https://api.example.com/b","body":7}`))
	if !writ.IsCode(err, writ.CodePlanRejected) {
		t.Fatalf("%v", err)
	}
	if all := r.executions(); len(all) != 1 || all[0].Status != writ.ExecAwaitingApproval {
		t.Errorf("%d executions", len(all))
	}
}

// TestEditsAreCounted: a word of its own, of what was edited alone.
func TestEditsAreCounted(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	both := post + strings.TrimPrefix(strings.Replace(post, "name: send", "name: also", 1), head)
	r := newRigWith(t, &rig{now: func() time.Time { return now }})
	var heard []contract.ApprovalSample
	r.engine.Observe = func(s contract.ApprovalSample) { heard = append(heard, s) }
	id := r.begin(agent, both)
	now = now.Add(time.Minute)
	if _, err := r.edit(approver, id, "", input("also", edited)); err != nil {
		t.Fatal(err)
	}
	r.line.settle(t)
	stats := r.stats(0)
	if len(stats) == 0 || len(heard) != 1 || !heard[0].Edited {
		t.Fatalf("%+v, heard %+v", stats, heard)
	}
	for rule, s := range stats {
		if s.Edited != 1 || s.Rejected != 0 || s.EditRate != 1 || s.Median.Std() != time.Minute {
			t.Errorf("%s: %+v", rule, s)
		}
	}
}

// TestManyEditsAtOnce: of those who edit the same at one moment one wins, whoever
// sends its request again is answered with what it made, and the others hear of it.
func TestManyEditsAtOnce(t *testing.T) {
	r := newRig(t)
	for round := range 5 {
		id := r.begin(agent, post)
		type answer struct {
			by  writ.PrincipalID
			out *contract.ExecutionEditOutput
			err error
		}
		answers := make(chan answer)
		for i := range 8 {
			p := []*writ.Principal{approver, second}[i%2]
			go func() {
				out, err := r.edit(p, id, "k", input("send", edited))
				answers <- answer{p.ID, out, err}
			}()
		}
		won := map[writ.PrincipalID]writ.ExecutionID{}
		for range 8 {
			a := <-answers
			if a.err == nil {
				won[a.by] = a.out.ExecutionID
			} else if !writ.IsCode(a.err, writ.CodeConflict) {
				t.Errorf("%s: %v", a.by, a.err)
			}
		}
		if len(won) != 1 {
			t.Fatalf("round %d: won by %v", round, won)
		}
		into := r.state(id).EditedInto
		if into == nil || won[into.By] != into.Execution {
			t.Fatalf("round %d: edited into %+v, won %v", round, into, won)
		}
		r.expect(into.Execution, writ.ExecAwaitingApproval)
		for _, x := range r.executions() {
			if x.ID != into.Execution && !x.Status.Final() && x.RunID != "" {
				t.Errorf("round %d: %s is %s", round, x.ID, x.Status)
			}
		}
		r.approve(person("human:cyd", "approver"), into.Execution)
		r.expect(into.Execution, writ.ExecCompleted)
		r.identical(id)
		r.identical(into.Execution)
	}
	if r.tools.count() != 5 {
		t.Errorf("%d calls", r.tools.count())
	}
}
