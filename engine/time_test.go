package engine_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/trace"
)

const hurried = head + `
  - name: first
    uses: test/twice#run
    timeout: 1m
    with: {key: "k1", value: "v"}
`

// begun starts an execution whose first call is under way.
func (r *rig) begun(draft string, working <-chan struct{}) writ.ExecutionID {
	r.t.Helper()
	id := r.submit(agent, draft)
	r.compile(agent, id)
	_, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id})
	r.do(err)
	<-working
	return id
}

// TestATimeoutCountsFromTheRecordedStart: a host that was down for longer does
// not give the attempt its time again.
func TestATimeoutCountsFromTheRecordedStart(t *testing.T) {
	for name, test := range map[string]struct {
		down time.Duration
		want writ.ExecutionStatus
	}{
		"within": {30 * time.Second, writ.ExecCompleted},
		"past":   {2 * time.Minute, writ.ExecFailed},
	} {
		t.Run(name, func(t *testing.T) {
			var late atomic.Int64
			r := newRigWith(t, &rig{now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }})
			working, release := r.tools.hold(1)
			id := r.begun(hurried, working)
			r.do(r.pause(id)) // so that nothing but the first call is under way
			release()
			r.do(r.engine.Rest(t.Context()))
			r.do(r.resumed(id))
			late.Store(int64(test.down))
			r.reboot()
			r.start(agent, id)
			state := r.expect(id, test.want)
			if test.want == writ.ExecFailed && state.Steps[0].Failure.Code != writ.GuestTimeout {
				t.Errorf("failed with %+v", state.Steps[0].Failure)
			}
			r.identical(id)
		})
	}
}

// resumed records that a pause ends and lets the engine die before anything else.
func (r *rig) resumed(id writ.ExecutionID) error {
	seen := false
	r.line.mu.Lock()
	r.line.before = func(b *writ.Batch) bool {
		was := seen
		seen = seen || b.Records[0].Type == writ.RecRunResumed
		return !was
	}
	r.line.mu.Unlock()
	_, err := r.engine.ExecutionResume(as(operator), &contract.ExecutionResumeInput{ExecutionID: id})
	return err
}

// TestTheTimeOfAPauseIsNotTheSteps: people took it.
func TestTheTimeOfAPauseIsNotTheSteps(t *testing.T) {
	var late atomic.Int64
	r := newRigWith(t, &rig{now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }})
	working, release := r.tools.hold(1)
	id := r.begun(hurried, working)
	r.do(r.pause(id))
	release()
	r.do(r.engine.Rest(t.Context()))
	late.Store(int64(2 * time.Hour))
	r.reboot()
	r.do(r.resume(id))
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

// TestARetryWaitsOverARestart: its moment is in the journal.
func TestARetryWaitsOverARestart(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{judge}})
		r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
			if n == 1 {
				return &notYet
			}
			return nil
		}
		id := r.begin(agent, head+`
  - name: keep
    uses: test/keep#run
    retry: {attempts: 2, backoff: 5m}
    with: {key: "k1", value: "v"}
`)
		pass(r, time.Minute)
		r.reboot()
		pass(r, 2*time.Minute)
		if r.tools.count() != 1 {
			t.Fatalf("%d calls after three minutes", r.tools.count())
		}
		pass(r, 3*time.Minute)
		r.expect(id, writ.ExecCompleted)
		if r.tools.count() != 2 {
			t.Errorf("%d calls, want 2", r.tools.count())
		}
		r.identical(id)
	})
}

// TestAClockSetBackDelaysNoRetry: it waits five minutes, not an hour and five.
func TestAClockSetBackDelaysNoRetry(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		var early atomic.Int64
		r := newRigWith(t, &rig{judges: judges{judge}, now: func() time.Time { return time.Now().Add(-time.Duration(early.Load())) }})
		r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
			if n == 1 {
				return &notYet
			}
			return nil
		}
		id := r.begin(agent, head+`
  - name: keep
    uses: test/keep#run
    retry: {attempts: 2, backoff: 5m}
    with: {key: "k1", value: "v"}
`)
		pass(r, time.Minute)
		early.Store(int64(time.Hour))
		pass(r, 5*time.Minute)
		r.expect(id, writ.ExecCompleted)
		r.identical(id)
	})
}

// TestASubmissionIsFoundBeforeItIsOnDisk: its sender went away while the disk
// was slow, and sends it again.
func TestASubmissionIsFoundBeforeItIsOnDisk(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		held, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		var slow atomic.Bool
		r := &rig{judges: judges{judge}}
		var err error
		r.journal, err = trace.Open(t.Context(), trace.Options{InMemory: true, Clock: time.Now, AnchorEvery: 24 * time.Hour, OnCommit: func(writ.Position) {
			if slow.Load() {
				once.Do(func() { close(held) })
				<-release
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		newRigWith(t, r)
		slow.Store(true)
		go func() {
			_, _ = r.engine.IntentSubmit(as(agent), &contract.IntentSubmitInput{Text: "before", Draft: post})
		}()
		<-held
		in := &contract.IntentSubmitInput{Text: "do it", Draft: post, IdempotencyKey: "one"}
		gone, leave := context.WithCancel(as(agent))
		leave()
		if _, err := r.engine.IntentSubmit(gone, in); !writ.IsCode(err, writ.CodeCancelled) {
			t.Fatalf("its sender had gone: %v", err)
		}
		again := make(chan error, 1)
		go func() {
			_, err := r.engine.IntentSubmit(as(agent), in)
			again <- err
		}()
		synctest.Wait()
		close(release)
		if err := <-again; err != nil {
			t.Error(err)
		}
	})
}

// TestTheJournalsTimeNeverGoesBack: the clock is set back by an hour in the
// middle of an execution.
func TestTheJournalsTimeNeverGoesBack(t *testing.T) {
	var early atomic.Int64
	r := newRigWith(t, &rig{now: func() time.Time { return time.Now().Add(-time.Duration(early.Load())) }})
	r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
		early.Store(int64(n) * int64(time.Hour))
		return nil
	}
	id := r.begin(agent, errand)
	for r.state(id).Status == writ.ExecAwaitingApproval {
		r.reboot()
		r.approve(approver, id)
	}
	r.expect(id, writ.ExecCompleted)
	last := writ.Time(0)
	for _, record := range r.records(id) {
		if record.Time < last {
			t.Fatalf("%s at %s, after %s", record.Type, record.Time, last)
		}
		last = record.Time
	}
	r.identical(id)
}

// TestNothingIsSentAgainAfterItsWindow: a server forgets keys one day.
func TestNothingIsSentAgainAfterItsWindow(t *testing.T) {
	for down, want := range map[time.Duration]writ.ExecutionStatus{
		23 * time.Hour: writ.ExecCompleted, 25 * time.Hour: writ.ExecIndeterminate,
	} {
		t.Run(down.String(), func(t *testing.T) {
			var late atomic.Int64
			r := newRigWith(t, &rig{now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }})
			working, release := r.tools.hold(1)
			defer release()
			id := r.begun(store, working)
			late.Store(int64(down))
			r.crash()
			state := r.finish(id)
			if state.Status != want {
				t.Errorf("%s after %v, want %s", state.Status, down, want)
			}
			r.identical(id)
		})
	}
}

// TestRecordsOfOneMomentKeepTheirOrder: with a clock that moves at each look,
// what is written together does not stand before what it follows.
func TestRecordsOfOneMomentKeepTheirOrder(t *testing.T) {
	var looks atomic.Int64
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := newRigWith(t, &rig{judges: judges{defaultJudge(t)}, now: func() time.Time { return began.Add(time.Duration(looks.Add(1))) }})
	id := r.begin(agent, post)
	r.approve(approver, id)
	r.finish(id)
	records := r.records(id)
	for i := 1; i < len(records); i++ {
		if a, b := &records[i-1], &records[i]; b.Time < a.Time {
			t.Errorf("record %d: %s at %s, after %s at %s", b.Seq, b.Type, b.Time, a.Type, a.Time)
		}
	}
	r.identical(id)
}
