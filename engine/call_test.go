package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func calling(skill, callee, input string) string {
	return head + `
  - name: outer
    uses: test/` + skill + `#run
    with: {skill: test/` + callee + `, action: run, input: ` + input + `}
`
}

func TestASkillCallsASkill(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, calling("call", "echo", `{a: 1}`))
	state := r.expect(id, writ.ExecCompleted)
	if got := r.output(id, "outer"); got != `{"a":1}` {
		t.Errorf("output %s", got)
	}
	inner := state.Step("outer/call-1")
	if inner == nil || inner.Kind != writ.KindCall || inner.Parent != state.Steps[0].ID || inner.Status != writ.StepCompleted || inner.Verdict == nil {
		t.Fatalf("%+v", inner)
	}
	if string(inner.Skill.Key) != "test/echo" || r.countRecords(id, writ.RecStepStarted) != 2 {
		t.Errorf("%+v", inner)
	}
	r.identical(id)
}

// TestCallsInsideCalls: what a called skill calls is within all that stand above
// it.
func TestCallsInsideCalls(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, calling("call", "pass", `{skill: test/keep, action: run, input: {key: k1, value: v}}`))
	state := r.expect(id, writ.ExecCompleted)
	if state.Step("outer/call-1/call-1") == nil || state.Step("outer").Effect != abi.EffectWriteLocal || r.tools.count() != 1 {
		t.Errorf("%+v", state.Steps)
	}
	r.identical(id)
}

func TestTheFailureOfACalledStepIsTheCalls(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, calling("call", "fail", `{}`))
	state := r.expect(id, writ.ExecFailed)
	if f := state.Step("outer").Failure; f == nil || f.Code != "went_wrong" || state.Reason != "step outer failed" {
		t.Errorf("%+v: %s", f, state.Reason)
	}
	r.identical(id)
}

// TestACalledStepHasNoMoreThanItsCaller: a caller that may not write gives
// nobody the right to, and what is not pinned is not called.
func TestACalledStepHasNoMoreThanItsCaller(t *testing.T) {
	r := newRig(t)
	for draft, code := range map[string]string{
		calling("bare", "keep", `{key: k1, value: v}`):                                           abi.FailDenied,
		calling("call", "look", `{}`):                                                            abi.FailDenied,
		calling("call", "pass", `{skill: test/pay, action: run, input: {}}`):                     abi.FailDenied,
		calling("call", "pass", `{skill: test/web, action: run, input: {}}`):                     abi.FailDenied,
		calling("call", "keep", `{key: other, value: v}`):                                        abi.FailDenied,
		strings.Replace(calling("call", "echo", `{}`), "action: run", "action: nothing", 1):      abi.FailDenied,
		strings.Replace(calling("call", "echo", `{}`), "skill: test/echo", `skill: "test/*"`, 1): abi.FailInvalid,
	} {
		id := r.begin(agent, draft)
		state := r.expect(id, writ.ExecFailed)
		if f := state.Step("outer").Failure; f == nil || f.Code != code {
			t.Errorf("%+v\n%s", f, draft)
		}
		r.identical(id)
	}
	if r.tools.count() != 0 {
		t.Error("a call took place")
	}
}

func TestASkillCannotCallItself(t *testing.T) {
	r := newRig(t)
	id := r.submit(agent, calling("self", "self", `{}`))
	_, err := r.engine.PlanCompile(as(agent), &contract.PlanCompileInput{ExecutionID: id})
	if !writ.IsCode(err, writ.CodePlanRejected) || !strings.Contains(err.Error(), "would call itself") {
		t.Errorf("%v", err)
	}
}

// TestCallsAreCounted: the 257th step is not made, and its caller learns it.
func TestCallsAreCounted(t *testing.T) {
	for n, code := range map[int]string{254: "", 255: abi.FailLimit} {
		r := newRig(t)
		id := r.begin(agent, head+`
  - {name: each, uses: test/echo#run, forEach: "[`+strings.TrimSuffix(strings.Repeat("1,", n), ",")+`]", with: {}}
  - {name: outer, uses: test/call#run, needs: [each], with: {skill: test/echo, action: run, input: {}}}
`)
		got := ""
		if f := r.state(id).Step("outer").Failure; f != nil {
			got = f.Code
		}
		if got != code {
			t.Errorf("%d steps before: %q, want %q", n, got, code)
		}
		r.identical(id)
	}
}

var outwardCall = calling("send", "web", `{method: POST, url: "https://api.example.com/a", body: x}`)

func TestACalledStepWaitsForPeople(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, outwardCall)
	state := r.expect(id, writ.ExecAwaitingApproval)
	item := r.pending(id)
	if item.StepID != state.Step("outer/call-1").ID || !strings.Contains(item.Summary, "POST https://api.example.com/a") {
		t.Errorf("%+v", item)
	}
	r.reboot()
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d effects", r.tools.count())
	}
	r.identical(id)
}

func TestACalledStepIsRejected(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, outwardCall)
	if _, err := r.engine.ExecutionReject(as(approver), &contract.ExecutionRejectInput{ExecutionID: id, StepID: r.pending(id).StepID, Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	r.start(agent, id)
	state := r.expect(id, writ.ExecFailed)
	if f := state.Step("outer").Failure; f == nil || f.Code != abi.FailDenied || !strings.Contains(f.Message, "rejected") {
		t.Errorf("%+v", f)
	}
	r.identical(id)
}

func TestACallIsCancelled(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, outwardCall)
	if _, err := r.engine.ExecutionCancel(as(agent), &contract.ExecutionCancelInput{ExecutionID: id}); err != nil {
		t.Fatal(err)
	}
	r.start(agent, id)
	state := r.expect(id, writ.ExecCancelled)
	if slices.ContainsFunc(state.Steps, func(s writ.StepState) bool { return s.Status != writ.StepCancelled }) {
		t.Errorf("%+v", state.Steps)
	}
	r.identical(id)
}

func TestAnUnknownOutcomeInsideACall(t *testing.T) {
	r := newRig(t)
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult { return &unknown }
	id := r.begin(agent, outwardCall)
	r.approve(approver, id)
	state := r.expect(id, writ.ExecIndeterminate)
	if state.Step("outer/call-1").Status != writ.StepIndeterminate || state.Step("outer").Status.Final() {
		t.Errorf("%+v", state.Steps)
	}
	r.reboot()
	if _, err := r.engine.ExecutionResolve(as(approver), &contract.ExecutionResolveInput{
		ExecutionID: id, StepID: state.Step("outer/call-1").ID, Ruling: writ.RulingDone, Reason: "it is there", Answer: []byte(`{"headers":{},"status":201}`), Wait: true,
	}); err != nil {
		t.Fatal(err)
	}
	r.expect(id, writ.ExecCompleted)
	if got := r.output(id, "outer"); !strings.Contains(got, "201") {
		t.Errorf("output %s", got)
	}
	r.identical(id)
}

// TestACallerIsTriedAgain: another try makes another called step, and what was
// called before stays as it ended.
func TestACallerIsTriedAgain(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, calling("call", "fail", `{}`))
	r.expect(id, writ.ExecFailed)
	if _, err := r.engine.ExecutionRetry(as(agent), &contract.ExecutionRetryInput{ExecutionID: id, Wait: true}); err != nil {
		t.Fatal(err)
	}
	state := r.expect(id, writ.ExecFailed)
	if first, again := state.Step("outer/call-1"), state.Step("outer/call-2"); first.Status != writ.StepFailed || again == nil || again.Status != writ.StepFailed {
		t.Errorf("%+v", state.Steps)
	}
	r.identical(id)
}

func TestCallsSurviveACrashAtEveryRecord(t *testing.T) {
	inner := calling("call", "pass", `{skill: test/keep, action: run, input: {key: k1, value: v}}`)
	if unknown := crashes(t, agent, inner, func(t *testing.T, r *rig, id writ.ExecutionID, state *writ.Execution) {
		if state.Status != writ.ExecCompleted || r.tools.distinct() != 1 {
			t.Errorf("%s, %d effects", state.Status, r.tools.distinct())
		}
	}); unknown != 0 {
		t.Errorf("%d outcomes unknown", unknown)
	}
	if unknown := crashes(t, agent, outwardCall, func(t *testing.T, r *rig, id writ.ExecutionID, state *writ.Execution) {
		if state.Status != writ.ExecCompleted || r.tools.distinct() != 1 {
			t.Errorf("%s, %d effects", state.Status, r.tools.distinct())
		}
	}); unknown != 1 {
		t.Errorf("%d outcomes unknown, want that of the POST", unknown)
	}
}
