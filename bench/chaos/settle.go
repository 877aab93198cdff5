//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// settleTimeout is far more than what is left over takes.
const settleTimeout = 3 * time.Minute

// unsettled are the statuses that something must still happen to.
var unsettled = []writ.ExecutionStatus{
	writ.ExecReceived, writ.ExecCompiled, writ.ExecRunning, writ.ExecAwaitingApproval, writ.ExecIndeterminate,
}

// settle sends what was never acknowledged again, approves what waits, decides
// what is indeterminate, and returns when nothing moves any more.
func (s *stage) settle(ctx context.Context, t *traffic) (resolved int, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for _, j := range t.jobs {
		for j.execution == "" {
			if err := t.submit(ctx, j); err != nil && (!passing(err) || pause(ctx, 20*time.Millisecond) != nil) {
				t.tally.breakPromise(t.name, "submission %s is never accepted: %v", j.key, err)
				return resolved, nil
			}
		}
	}
	for {
		t.approve(ctx)
		n, err := t.resolve(ctx, s.ledger)
		if err != nil {
			return resolved, err
		}
		resolved += n
		left, err := t.left(ctx)
		if err != nil || left == "" {
			return resolved, err
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			t.tally.breakPromise(t.name, "it does not come to rest: %s", left)
			return resolved, nil
		}
	}
}

// left says what has not ended.
func (t *traffic) left(ctx context.Context) (string, error) {
	var found []string
	for _, status := range unsettled {
		out, err := call(ctx, t.doors.operator, contract.ExecutionList, &contract.ExecutionListInput{Status: status, Page: contract.Page{Limit: 500}})
		if err != nil {
			return "", err
		}
		if len(out.Items) > 0 {
			found = append(found, fmt.Sprintf("%d %s, such as %s", len(out.Items), status, out.Items[0].ExecutionID))
		}
	}
	return strings.Join(found, "; "), nil
}

// resolve decides about writes whose outcome is not known, as an operator who
// can look at the server would.
func (t *traffic) resolve(ctx context.Context, l *ledger) (int, error) {
	out, err := call(ctx, t.doors.operator, contract.ExecutionList, &contract.ExecutionListInput{
		Status: writ.ExecIndeterminate, Page: contract.Page{Limit: 500},
	})
	if err != nil {
		return 0, err
	}
	jobs := map[writ.ExecutionID]*job{}
	for _, j := range t.jobs {
		jobs[j.execution] = j
	}
	resolved := 0
	for i := range out.Items {
		id := out.Items[i].ExecutionID
		j := jobs[id]
		if j == nil {
			t.tally.breakPromise(t.name, "%s belongs to no submission", id)
			continue
		}
		got, err := call(ctx, t.doors.operator, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: id})
		if err != nil {
			return resolved, err
		}
		for k := range got.Execution.Steps {
			step := &got.Execution.Steps[k]
			if step.Status != writ.StepIndeterminate {
				continue
			}
			if err := t.decide(ctx, l, id, step, j.token(step.Name)); err != nil {
				return resolved, err
			}
			resolved++
		}
	}
	return resolved, nil
}

// decide says done where the server has the effect, and retry where it has not.
func (t *traffic) decide(ctx context.Context, l *ledger, id writ.ExecutionID, step *contract.Step, token string) error {
	in := &contract.ExecutionResolveInput{ExecutionID: id, StepID: step.ID, Ruling: writ.RulingRetry, Reason: "the server does not know it"}
	if l.has(token) {
		in.Ruling, in.Reason = writ.RulingDone, "the server has it"
		answer, err := json.Marshal(map[string]any{"status": 200, "headers": map[string]string{}, "body": token})
		if err != nil {
			return err
		}
		in.Answer = answer
	}
	_, err := call(ctx, t.doors.operator, contract.ExecutionResolve, in)
	return err
}
