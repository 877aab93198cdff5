//go:build linux

package main

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// settleAndCheck lets everything end and holds the host to its promises.
func (s *stage) settleAndCheck(ctx context.Context, t *traffic) error {
	resolved, err := s.settle(ctx, t)
	if err != nil {
		return err
	}
	// What a dead process sent last is counted now or never was sent.
	if err := pause(ctx, 2*longestHold); err != nil {
		return err
	}
	statuses, err := t.statuses(ctx)
	if err != nil {
		return err
	}
	t.checkAcknowledged(statuses)
	s.checkEffects(t, statuses)
	replayed, err := t.checkTraces(ctx, statuses)
	if err != nil {
		return err
	}
	all, err := call(ctx, t.doors.operator, contract.TraceVerify, &contract.TraceVerifyInput{})
	if err != nil {
		return err
	}
	if !all.Valid {
		t.tally.breakPromise(t.name, "the store does not verify: %+v", all.Problems[:min(3, len(all.Problems))])
	}
	t.tally.count(t.name, "submissions acknowledged", t.answers)
	t.tally.count(t.name, "approvals acknowledged", len(t.approved))
	t.tally.count(t.name, "indeterminate steps decided by the ledger", resolved)
	t.tally.count(t.name, "executions, each chain verified", len(statuses))
	t.tally.count(t.name, "completed executions replayed identical", replayed)
	t.tally.count(t.name, "records in the store, verified as a whole", int(all.Records))
	return nil
}

// statuses lists every execution of the host.
func (t *traffic) statuses(ctx context.Context) (map[writ.ExecutionID]writ.ExecutionStatus, error) {
	all := map[writ.ExecutionID]writ.ExecutionStatus{}
	in := &contract.ExecutionListInput{Page: contract.Page{Limit: 500}}
	for {
		out, err := call(ctx, t.doors.operator, contract.ExecutionList, in)
		if err != nil {
			return nil, err
		}
		for i := range out.Items {
			all[out.Items[i].ExecutionID] = out.Items[i].Status
		}
		if in.Cursor = out.NextCursor; in.Cursor == "" {
			return all, nil
		}
	}
}

// checkAcknowledged holds that what was answered is there, as it was answered,
// and that each submission made one execution.
func (t *traffic) checkAcknowledged(statuses map[writ.ExecutionID]writ.ExecutionStatus) {
	owner := map[writ.ExecutionID]string{}
	for _, j := range t.jobs {
		status, there := statuses[j.execution]
		switch {
		case !there:
			t.tally.breakPromise(t.name, "%s of submission %s was acknowledged and is gone", j.execution, j.key)
		case j.outcome != "" && status != j.outcome:
			t.tally.breakPromise(t.name, "%s was answered %s and is %s", j.execution, j.outcome, status)
		case t.mayFail && (status == writ.ExecExpired || status == writ.ExecFailed):
			t.failed++
		case status != writ.ExecCompleted:
			t.tally.breakPromise(t.name, "%s is %s, nothing stood in its way", j.execution, status)
		}
		if owner[j.execution] != "" {
			t.tally.breakPromise(t.name, "%s answers for submissions %s and %s", j.execution, owner[j.execution], j.key)
		}
		owner[j.execution] = j.key
	}
	for id := range statuses {
		if owner[id] == "" {
			t.tally.breakPromise(t.name, "%s belongs to no submission: one was taken twice", id)
		}
	}
}

// checkEffects compares the executions with what the server has seen.
func (s *stage) checkEffects(t *traffic, statuses map[writ.ExecutionID]writ.ExecutionStatus) {
	tokens, effects := map[string]bool{}, 0
	for _, j := range t.jobs {
		for _, method := range j.methods {
			tokens[j.token(method)] = true
		}
	}
	keys, byToken := s.ledger.page(tokens)
	for _, j := range t.jobs {
		for _, method := range j.methods {
			under := byToken[j.token(method)]
			if len(under) > 1 {
				t.tally.breakPromise(t.name, "%s of %s took place %d times: under the keys %v", method, j.execution, len(under), under)
			}
			if len(under) == 0 && statuses[j.execution] == writ.ExecCompleted {
				t.tally.breakPromise(t.name, "%s is completed, the server never saw its %s", j.execution, method)
			}
			effects += len(under)
		}
	}
	again := 0
	for key, e := range keys {
		switch {
		case key == "":
			t.tally.breakPromise(t.name, "%s of %s came without an idempotency key", e.method, e.token)
		case !tokens[e.token]:
			t.tally.breakPromise(t.name, "key %s came with two bodies: %s", key, e.token)
		case e.method == "POST" && e.requests > 1:
			t.tally.breakPromise(t.name, "POST of %s was sent %d times", e.token, e.requests)
		}
		again += e.requests - 1
	}
	t.tally.count(t.name, "effects", effects)
	t.tally.count(t.name, "... PUTs sent again under their key", again)
}

// checkTraces verifies every execution and replays those that completed.
func (t *traffic) checkTraces(ctx context.Context, statuses map[writ.ExecutionID]writ.ExecutionStatus) (int, error) {
	outcomes := map[writ.ExecutionID]*job{}
	for _, j := range t.jobs {
		outcomes[j.execution] = j
	}
	work := make(chan writ.ExecutionID)
	var group sync.WaitGroup
	var replayed atomic.Int64
	for range 4 {
		group.Go(func() {
			for id := range work {
				if t.checkTrace(ctx, id, statuses[id], outcomes[id]) {
					replayed.Add(1)
				}
			}
		})
	}
	for id := range statuses {
		work <- id
	}
	close(work)
	group.Wait()
	return int(replayed.Load()), ctx.Err()
}

func (t *traffic) checkTrace(ctx context.Context, id writ.ExecutionID, status writ.ExecutionStatus, j *job) (replayed bool) {
	verified, err := call(ctx, t.doors.operator, contract.TraceVerify, &contract.TraceVerifyInput{ExecutionID: id})
	if err != nil || !verified.Valid {
		t.tally.breakPromise(t.name, "%s does not verify: %+v %v", id, verified, err)
	}
	t.checkTimes(ctx, id)
	if status != writ.ExecCompleted {
		return false
	}
	if j != nil {
		t.checkOutput(ctx, j)
	}
	out, err := call(ctx, t.doors.operator, contract.ReplayRun, &contract.ReplayRunInput{ExecutionID: id})
	if err != nil || !out.Identical {
		t.tally.breakPromise(t.name, "%s does not replay: %v %v", id, differences(out), err)
		return false
	}
	return true
}

// checkTimes holds that records of one execution never go back in time.
func (t *traffic) checkTimes(ctx context.Context, id writ.ExecutionID) {
	out, err := call(ctx, t.doors.operator, contract.TraceGet, &contract.TraceGetInput{ExecutionID: id})
	if err != nil {
		t.tally.breakPromise(t.name, "the trace of %s cannot be read: %v", id, err)
		return
	}
	for i := 1; i < len(out.Entries); i++ {
		if a, b := &out.Entries[i-1], &out.Entries[i]; b.Timestamp < a.Timestamp {
			t.tally.breakPromise(t.name, "%s goes back in time at record %d: %s %s, then %s %s", id, b.Seq, a.Type, a.Timestamp, b.Type, b.Timestamp)
			return
		}
	}
}

// checkOutput holds that the number went through the steps.
func (t *traffic) checkOutput(ctx context.Context, j *job) {
	got, err := call(ctx, t.doors.operator, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: j.execution, IncludeOutputs: true})
	if err != nil {
		t.tally.breakPromise(t.name, "%s cannot be read: %v", j.execution, err)
		return
	}
	last := got.Execution.Steps[len(got.Execution.Steps)-1]
	var output struct {
		N *int `json:"n"`
	}
	if err := json.Unmarshal(last.Output, &output); err != nil || output.N == nil || *output.N != j.number {
		t.tally.breakPromise(t.name, "%s ends with %s, not with %d", j.execution, last.Output, j.number)
	}
}

// differences shortens a report to what differs.
func differences(out *contract.ReplayRunOutput) []contract.ReplayStage {
	if out == nil {
		return nil
	}
	var list []contract.ReplayStage
	for _, stage := range out.Report {
		if !stage.Identical {
			list = append(list, stage)
		}
	}
	return list
}
