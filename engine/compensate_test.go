package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

const saga = head + `
  - name: flight
    uses: test/keep#run
    with: {key: "k/flight", value: "v"}
    compensate:
      uses: test/keep#run
      with: {key: "k/undo-flight-${{ output.n }}", value: "${{ input.key }}"}
  - name: hotel
    uses: test/keep#run
    needs: [flight]
    with: {key: "k/hotel", value: "v"}
    compensate:
      uses: test/keep#run
      with: {key: "k/undo-hotel", value: "${{ string(steps.flight.output.n) }}"}
  - name: note
    uses: test/echo#run
    needs: [hotel]
    with: {a: 1}
  - name: pay
    uses: test/fail#run
    needs: [note]
    with: {}
`

// effects are what took place, in order.
func (r *rig) effects(id writ.ExecutionID) string {
	r.t.Helper()
	var out []string
	for _, record := range r.records(id) {
		if record.Type == writ.RecToolReturned && record.Body.Call.Outcome == writ.OutcomeDone && record.Body.Call.Earlier == 0 {
			out = append(out, record.Body.Call.Summary)
		}
	}
	return strings.Join(out, ", ")
}

func TestWhatCompletedIsUndoneInReverse(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, saga)
	state := r.expect(id, writ.ExecFailed)
	if got, want := r.effects(id), "key k/flight, key k/hotel, key k/undo-hotel, key k/undo-flight-1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if state.Reason != "step pay failed; undone: flight, hotel" {
		t.Errorf("reason %q", state.Reason)
	}
	undo := state.Step("hotel/compensate")
	if undo == nil || undo.Status != writ.StepCompleted || undo.Kind != writ.KindCompensation || undo.Parent != state.Step("hotel").ID || undo.ID != undo.Parent+"/compensate" {
		t.Errorf("%+v", undo)
	}
	r.identical(id)
}

func TestNothingIsUndoneAfterASuccess(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, strings.Replace(saga, "test/fail#run", "test/echo#run", 1))
	state := r.expect(id, writ.ExecCompleted)
	if len(state.Steps) != 4 || len(state.Templates) != 2 || state.Templates[0].Verdict == nil {
		t.Errorf("%d steps, templates %+v", len(state.Steps), state.Templates)
	}
	r.identical(id)
}

func TestACompensationThatFails(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, strings.Replace(saga, `test/keep#run
      with: {key: "k/undo-hotel"`, `test/fail#run
      with: {key: "k/undo-hotel"`, 1))
	state := r.expect(id, writ.ExecFailed)
	if state.Reason != "step hotel/compensate failed: what hotel did is not undone" {
		t.Errorf("reason %q", state.Reason)
	}
	if first := state.Step("flight/compensate"); first.Status != writ.StepSkipped || !strings.Contains(first.Reason, "hotel/compensate") {
		t.Errorf("%+v", first)
	}
	r.identical(id)
}

func TestAnUnknownOutcomeIsNotUndone(t *testing.T) {
	r := newRig(t)
	r.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult {
		if strings.HasSuffix(call.Target.Path, "/pay") {
			return &writ.ToolResult{Outcome: writ.OutcomeUnknown}
		}
		return nil
	}
	id := r.begin(agent, strings.Replace(saga, `uses: test/fail#run
    needs: [note]
    with: {}`, `uses: test/web#run
    needs: [note]
    with: {method: POST, url: "https://api.example.com/pay", body: x}`, 1))
	r.approve(approver, id)
	state := r.expect(id, writ.ExecIndeterminate)
	if state.Step("flight/compensate") != nil {
		t.Error("what completed was undone although nobody knows what happened")
	}
	r.identical(id)
}

const outwardSaga = head + `
  - name: book
    uses: test/web#run
    with: {method: POST, url: "https://api.example.com/book", body: x}
    compensate:
      uses: test/web#run
      with: {method: PUT, url: "https://api.example.com/undo/${{ output.status }}", body: "${{ input.body }}"}
  - name: pay
    uses: test/fail#run
    needs: [book]
    with: {}
`

func TestACompensationIsApprovedWithItsStep(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, outwardSaga)
	item := r.pending(id)
	for _, shown := range []string{`"compensation":{`, `"name":"book/compensate"`, `output.status`} {
		if !strings.Contains(string(item.Request), shown) {
			t.Errorf("the approver does not see %s: %s", shown, item.Request)
		}
	}
	r.approve(approver, id)
	state := r.expect(id, writ.ExecFailed)
	if got := r.effects(id); got != "POST https://api.example.com/book, PUT https://api.example.com/undo/200" {
		t.Errorf("effects: %s (%s)", got, state.Reason)
	}
	r.identical(id)
}

// TestACompensationMakesItsStepAsk: a step that would run by itself asks, where
// its compensation would.
func TestACompensationMakesItsStepAsk(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, strings.Replace(outwardSaga, `uses: test/web#run
    with: {method: POST, url: "https://api.example.com/book", body: x}`, `uses: test/echo#run
    with: {body: x, status: 7}`, 1))
	state := r.expect(id, writ.ExecAwaitingApproval)
	if book := state.Step("book"); book.Verdict.Mode != writ.Assist || book.Effect != "write-external" {
		t.Errorf("%+v", book)
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecFailed)
	if got := r.effects(id); got != "PUT https://api.example.com/undo/7" {
		t.Errorf("effects: %s", got)
	}
	r.identical(id)
}

func TestACancelledExecutionIsUndone(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, strings.Replace(saga, `uses: test/fail#run
    needs: [note]
    with: {}`, `uses: test/web#run
    needs: [note]
    with: {method: POST, url: "https://api.example.com/pay", body: x}`, 1))
	r.expect(id, writ.ExecAwaitingApproval)
	if _, err := r.engine.ExecutionCancel(as(agent), &contract.ExecutionCancelInput{ExecutionID: id}); err != nil {
		t.Fatal(err)
	}
	r.start(agent, id)
	r.expect(id, writ.ExecCancelled)
	if got := r.effects(id); !strings.HasSuffix(got, "key k/undo-hotel, key k/undo-flight-1") {
		t.Errorf("effects: %s", got)
	}
	r.identical(id)
}

const eachSaga = head + `
  - name: each
    uses: test/keep#run
    forEach: '["one", "two"]'
    with: {key: "k/${{ item }}", value: "v"}
    compensate:
      uses: test/keep#run
      with: {key: "k/undo-${{ item }}-${{ index }}", value: "${{ input.key }}"}
  - name: pay
    uses: test/fail#run
    needs: [each]
    with: {}
`

func TestEachIterationIsUndone(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, eachSaga)
	state := r.expect(id, writ.ExecFailed)
	got := r.effects(id)
	for i, name := range []string{"one", "two"} {
		if !strings.Contains(got, fmt.Sprintf("key k/undo-%s-%d", name, i)) {
			t.Errorf("effects: %s", got)
		}
		if s := state.Step(fmt.Sprintf("each/%d/compensate", i)); s == nil || s.Status != writ.StepCompleted {
			t.Errorf("%+v", s)
		}
	}
	r.identical(id)
}

// TestSagasSurviveACrashAtEveryRecord: whatever the moment, what completed is
// undone once and in reverse.
func TestSagasSurviveACrashAtEveryRecord(t *testing.T) {
	for draft, want := range map[string]int{saga: 4, eachSaga: 4} {
		unknown := crashes(t, agent, draft, func(t *testing.T, r *rig, id writ.ExecutionID, state *writ.Execution) {
			if state.Status != writ.ExecFailed || !strings.HasPrefix(state.Reason, "step pay failed; undone: ") || r.tools.distinct() != want {
				t.Errorf("%s: %s, %d effects", state.Status, state.Reason, r.tools.distinct())
			}
		})
		if unknown != 0 {
			t.Errorf("%d outcomes unknown", unknown)
		}
	}
	unknown := crashes(t, agent, outwardSaga, func(t *testing.T, r *rig, id writ.ExecutionID, state *writ.Execution) {
		if state.Status != writ.ExecFailed || r.tools.distinct() != 2 {
			t.Errorf("%s: %s, %d effects", state.Status, state.Reason, r.tools.distinct())
		}
	})
	if unknown != 1 {
		t.Errorf("%d outcomes unknown, want that of the POST", unknown)
	}
}
