package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// settleAll approves whatever is asked, also of several steps at once, until the
// execution has ended.
func (r *rig) settleAll(id writ.ExecutionID) *writ.Execution {
	r.t.Helper()
	for range 40 {
		r.start(agent, id)
		state := r.state(id)
		if state.Status.Final() || state.Status == writ.ExecIndeterminate {
			return state
		}
		out, err := r.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
		if err != nil {
			r.t.Fatal(err)
		}
		for i, item := range out.Items {
			for _, p := range []*writ.Principal{approver, second}[:out.Items[i].Required] {
				r.say(p, id, item)
			}
		}
	}
	r.t.Fatalf("the execution does not end: %+v", r.state(id))
	return nil
}

// crashes runs a draft once for each batch of records, and kills the engine
// before that batch. It returns how often an outcome was left unknown.
func crashes(t *testing.T, who *writ.Principal, draft string, check func(t *testing.T, r *rig, id writ.ExecutionID, state *writ.Execution)) int {
	t.Helper()
	judge := defaultJudge(t)
	unknown, whole := 0, false
	for at := 1; !whole; at++ {
		if at > 150 {
			t.Fatal("the run does not get shorter")
		}
		r := newRigWith(t, &rig{judges: judges{judge}})
		id := r.submit(who, draft)
		r.compile(who, id)
		batches, answer := 0, writ.RecordType("")
		whole = true
		r.line.before = func(b *writ.Batch) bool {
			if batches++; batches == at {
				answer, whole = b.Records[len(b.Records)-1].Type, false
			}
			return batches != at
		}
		r.fallibleAll(id)
		if !whole {
			r.crash()
		}
		state := r.settleAll(id)
		if state.Status == writ.ExecIndeterminate {
			unknown++
		} else {
			check(t, r, id, state)
		}
		if t.Failed() {
			t.Fatalf("after a crash before batch %d (%s): %s %s", at, answer, state.Status, state.Reason)
		}
		r.bury()
		r.identical(id)
	}
	return unknown
}

// distinct is how many effects took place, those under one key counted once.
func (f *fakeTools) distinct() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := map[string]bool{}
	for _, key := range f.done {
		keys[key] = true
	}
	return len(keys)
}

// fallibleAll starts and approves for as long as the engine lives.
func (r *rig) fallibleAll(id writ.ExecutionID) {
	for range 20 {
		if _, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Wait: true}); err != nil {
			return
		}
		r.line.settle(r.t)
		out, err := r.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
		if err != nil || len(out.Items) == 0 {
			return
		}
		for i, item := range out.Items {
			for _, p := range []*writ.Principal{approver, second}[:out.Items[i].Required] {
				if r.word(p, id, item) != nil {
					return
				}
			}
		}
	}
}

const eachName = head + `
  - name: names
    uses: test/echo#run
    with: {all: ["a", "b", "c"]}
  - name: each
    uses: test/echo#run
    forEach: steps.names.output.all
    when: item != "b"
    with: {name: "${{ item }}", at: "${{ index }}"}
  - name: last
    uses: test/echo#run
    with: {all: "${{ steps.each.output }}", first: "${{ steps.each.output[0].name }}"}
`

func TestForEachRunsOncePerElement(t *testing.T) {
	r := newRig(t)
	id := r.begin(service, eachName)
	state := r.expect(id, writ.ExecCompleted)
	if got := r.output(id, "last"); got != `{"all":[{"at":0,"name":"a"},{"at":2,"name":"c"}],"first":"a"}` {
		t.Errorf("output %s", got)
	}
	var lines []string
	for _, s := range state.Steps {
		lines = append(lines, fmt.Sprintf("%s %s %s", s.Name, s.Kind, s.Status))
		if s.Kind == writ.KindIteration && (!strings.HasPrefix(string(s.ID), string(s.Parent)+"/") || s.Verdict == nil) {
			t.Errorf("%+v", s)
		}
	}
	want := "names  completed,each  completed,each/0 iteration completed,each/1 iteration skipped,each/2 iteration completed,last  completed"
	if got := strings.Join(lines, ","); got != want {
		t.Errorf("steps\n%s, want\n%s", got, want)
	}
	if labels := state.Step("each").Labels; len(labels) == 0 {
		t.Error("the joined output has no labels")
	}
	r.identical(id)
}

func TestForEachOfNothing(t *testing.T) {
	r := newRig(t)
	id := r.begin(service, head+`
  - {name: each, uses: test/echo#run, forEach: "[]", with: {name: "${{ item }}"}}
  - {name: last, uses: test/echo#run, with: {n: "${{ size(steps.each.output) }}"}}
`)
	r.expect(id, writ.ExecCompleted)
	if got := r.output(id, "each") + r.output(id, "last"); got != `[]{"n":0}` {
		t.Errorf("outputs %s", got)
	}
	r.identical(id)
}

// TestForEachIsSkippedAsAWhole: a condition that does not read the element is
// asked before the list, which need not exist then.
func TestForEachIsSkippedAsAWhole(t *testing.T) {
	r := newRig(t)
	id := r.begin(service, head+`
  - {name: each, uses: test/echo#run, when: intent.metadata.n > 5, forEach: intent.metadata.missing, with: {name: "${{ item }}"}}
  - {name: last, uses: test/echo#run, needs: [each], with: {}}
`)
	state := r.expect(id, writ.ExecCompleted)
	if state.Step("each").Status != writ.StepSkipped || state.Step("last").Status != writ.StepSkipped {
		t.Errorf("%+v", state.Steps)
	}
	r.identical(id)
}

func TestOneIterationFails(t *testing.T) {
	r := newRig(t)
	id := r.begin(service, head+`
  - {name: each, uses: test/fail#run, forEach: "[1, 2, 3]", with: {n: "${{ item }}"}}
  - {name: last, uses: test/echo#run, needs: [each], with: {}}
`)
	state := r.expect(id, writ.ExecFailed)
	each := state.Step("each")
	if each.Status != writ.StepFailed || each.Failure.Code != "went_wrong" || !strings.HasPrefix(each.Failure.Message, "each/") {
		t.Errorf("each: %+v", each)
	}
	if state.Step("last").Status != writ.StepSkipped {
		t.Errorf("last: %+v", state.Step("last"))
	}
	r.identical(id)
}

// TestForEachBounds: 256 steps with the iterations; one more is said when it is
// known.
func TestForEachBounds(t *testing.T) {
	r := newRig(t)
	long := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	draft := func(n int) string {
		return head + `
  - {name: first, uses: test/echo#run, with: {all: ` + long(n) + `}}
  - {name: each, uses: test/echo#run, forEach: steps.first.output.all, with: {n: "${{ index }}"}}
`
	}
	id := r.begin(service, draft(255))
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
	for _, n := range []int{256, 257} {
		id = r.begin(service, draft(n))
		state := r.expect(id, writ.ExecFailed)
		if f := state.Step("each").Failure; f == nil || f.Code != string(writ.CodeTooLarge) {
			t.Errorf("%d: %+v", n, state.Step("each"))
		}
		r.identical(id)
	}
}

const eachPost = head + `
  - name: each
    uses: test/web#run
    forEach: '["one", "two"]'
    with: {method: POST, url: "https://api.example.com/${{ item }}", body: "n${{ index }}"}
  - name: last
    uses: test/echo#run
    with: {n: "${{ size(steps.each.output) }}"}
`

func TestEachIterationIsApprovedByItself(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, eachPost)
	r.expect(id, writ.ExecAwaitingApproval)
	out, err := r.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
	if err != nil || len(out.Items) != 2 {
		t.Fatalf("%d approvals, %v", len(out.Items), err)
	}
	for _, item := range out.Items {
		want := map[bool]string{true: "/one", false: "/two"}[strings.HasSuffix(string(item.StepID), "/0")]
		if !strings.HasSuffix(item.Summary, want) {
			t.Errorf("%s: %s", item.StepID, item.Summary)
		}
	}
	if _, err := r.engine.ExecutionReject(as(approver), &contract.ExecutionRejectInput{ExecutionID: id, StepID: out.Items[0].StepID, Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	r.reboot()
	state := r.settleAll(id)
	if state.Status != writ.ExecRejected || state.Step("each").Status != writ.StepRejected {
		t.Errorf("%s: %+v", state.Status, state.Step("each"))
	}
	r.identical(id)
	id = r.begin(agent, eachPost)
	r.settleAll(id)
	r.expect(id, writ.ExecCompleted)
	r.tools.once(t)
	r.identical(id)
}

func TestForEachIsCancelled(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, eachPost)
	if _, err := r.engine.ExecutionCancel(as(agent), &contract.ExecutionCancelInput{ExecutionID: id}); err != nil {
		t.Fatal(err)
	}
	r.start(agent, id)
	state := r.expect(id, writ.ExecCancelled)
	if state.Step("each").Status != writ.StepCancelled || state.Step("each/1").Status != writ.StepCancelled {
		t.Errorf("%+v", state.Steps)
	}
	r.identical(id)
}

// TestAnItemCannotWidenAPath: what an element says is put in as one segment of
// what was planned, or not at all.
func TestAnItemCannotWidenAPath(t *testing.T) {
	for _, item := range []string{"../admin", "**", "a/b", ""} {
		r := newRig(t)
		id := r.begin(agent, head+`
  - {name: first, uses: test/echo#run, with: {all: ["ok", "`+item+`"]}}
  - {name: each, uses: test/note#run, forEach: steps.first.output.all, with: {key: "${{ item }}", value: v}}
`)
		state := r.expect(id, writ.ExecFailed)
		if f := state.Step("each/1").Failure; f == nil || (f.Code != string(writ.CodeForbidden) && f.Code != abi.FailDenied) || r.tools.count() > 1 {
			t.Errorf("%q: %+v", item, state.Step("each/1"))
		}
		r.identical(id)
	}
}

func TestForEachSurvivesACrashAtEveryRecord(t *testing.T) {
	draft := head + `
  - name: keys
    uses: test/echo#run
    with: {all: ["k1", "k2", "k3"]}
  - name: each
    uses: test/keep#run
    forEach: steps.keys.output.all
    with: {key: "${{ item }}", value: "v${{ index }}"}
  - name: last
    uses: test/echo#run
    with: {n: "${{ size(steps.each.output) }}"}
`
	unknown := crashes(t, agent, draft, func(t *testing.T, r *rig, id writ.ExecutionID, state *writ.Execution) {
		if state.Status != writ.ExecCompleted || r.output(id, "last") != `{"n":3}` || r.tools.distinct() != 3 {
			t.Errorf("%s, %d effects", state.Status, r.tools.distinct())
		}
	})
	if unknown != 0 {
		t.Errorf("%d outcomes unknown", unknown)
	}
}
