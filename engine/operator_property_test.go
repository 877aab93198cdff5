package engine_test

import (
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// operations are what may happen to an execution at any time. Each either does
// something or is refused; which of the two is none of this test's business.
var operations = map[string]func(r *rig, id writ.ExecutionID) error{
	"pause":  (*rig).pause,
	"resume": (*rig).resume,
	"retry":  (*rig).retry,
	"send":   func(r *rig, id writ.ExecutionID) error { return r.rule(id, writ.RulingRetry) },
	"done":   func(r *rig, id writ.ExecutionID) error { return r.rule(id, writ.RulingDone) },
	"fail":   func(r *rig, id writ.ExecutionID) error { return r.rule(id, writ.RulingFail) },
	"cancel": func(r *rig, id writ.ExecutionID) error {
		_, err := r.engine.ExecutionCancel(as(agent), &contract.ExecutionCancelInput{ExecutionID: id})
		return err
	},
	"approve": func(r *rig, id writ.ExecutionID) error {
		out, err := r.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
		if err != nil || len(out.Items) == 0 {
			return err
		}
		return r.word(approver, id, out.Items[0])
	},
	"crash":   func(r *rig, _ writ.ExecutionID) error { r.crash(); return nil },
	"restart": func(r *rig, _ writ.ExecutionID) error { r.reboot(); return nil },
}

// TestPropertyOperatorsNeverRepeatAnEffect: whatever is done to an execution, in
// whatever order, a key has one effect, the chain verifies and a replay derives
// the same.
func TestPropertyOperatorsNeverRepeatAnEffect(t *testing.T) {
	t.Parallel()
	judge := defaultJudge(t)
	names := rapid.SampledFrom([]string{"pause", "resume", "retry", "send", "done", "fail", "cancel", "approve", "approve", "approve", "crash", "restart"})
	outcomes := rapid.SampledFrom([]string{"done", "done", "done", "refused", "unknown"})
	rapid.Check(t, func(draw *rapid.T) {
		r := newRigWith(t, &rig{judges: judges{judge}})
		script := rapid.SliceOfN(outcomes, 0, 12).Draw(draw, "outcomes")
		r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
			if n > len(script) {
				return nil
			}
			return map[string]*writ.ToolResult{"refused": &notYet, "unknown": &unknown}[script[n-1]]
		}
		id := r.begin(agent, strings.Replace(errand, "test/echo#run", "test/echo#run\n    retry: {attempts: 2}", 1))
		for _, name := range rapid.SliceOfN(names, 1, 12).Draw(draw, "operations") {
			err := operations[name](r, id)
			if err != nil && !writ.IsCode(err, writ.CodeConflict) {
				draw.Fatalf("%s: %+v", name, err)
			}
			if err := r.engine.Rest(context.Background()); err != nil {
				draw.Fatal(err)
			}
			r.line.settle(t)
		}
		r.tools.once(t)
		r.identical(id)
		report, err := r.journal.Verify(context.Background(), writ.DefaultTenant, writ.StreamID(id))
		if err != nil || !report.Valid() {
			draw.Fatalf("the chain: %+v %v", report, err)
		}
		if t.Failed() {
			draw.Fatalf("%+v", r.state(id))
		}
	})
}
