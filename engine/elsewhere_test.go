package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host"
)

// Going on with a step on another engine, as after an upgrade, is for people where
// the step has written something, and for nobody else.
func TestGoingOnWithAStepOnAnotherEngine(t *testing.T) {
	for name, c := range map[string]struct {
		draft  string
		dies   writ.RecordType // before it is written
		asks   bool
		ruling writ.Ruling
		ends   writ.ExecutionStatus
		writes int
	}{
		"nothing written":      {store, writ.RecToolCalled, false, "", writ.ExecCompleted, 1},
		"written, goes on":     {store, writ.RecStepCompleted, true, writ.RulingRetry, writ.ExecCompleted, 1},
		"written, fails":       {store, writ.RecStepCompleted, true, writ.RulingFail, writ.ExecFailed, 1},
		"answer lost, goes on": {store, writ.RecToolReturned, true, writ.RulingRetry, writ.ExecCompleted, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			id := r.submit(agent, c.draft)
			r.compile(agent, id)
			r.line.before = func(b *writ.Batch) bool {
				return !slices.ContainsFunc(b.Records, func(n writ.NewRecord) bool { return n.Type == c.dies })
			}
			_, _ = r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Wait: true})
			r.machine = "wazero/v9 compiler elsewhere"
			r.crash()
			r.start(agent, id)
			if c.asks {
				state := r.expect(id, writ.ExecIndeterminate)
				if f := state.Steps[0].Failure; f == nil || f.Code != writ.GuestEngineChanged {
					t.Fatalf("the failure is %+v", f)
				}
				r.identical(id)
				r.crash()
				r.start(agent, id)
				r.expect(id, writ.ExecIndeterminate)
				if c.dies == writ.RecStepCompleted {
					if err := r.rule(id, writ.RulingDone); !writ.IsCode(err, writ.CodeConflict) {
						t.Errorf("done, and every call has its answer: %v", err)
					}
				}
				r.do(r.rule(id, c.ruling))
				r.start(agent, id)
			}
			r.expect(id, c.ends)
			if r.tools.count() != c.writes {
				t.Errorf("%d writes, want %d", r.tools.count(), c.writes)
			}
			r.identical(id)
		})
	}
}

// clockedSandbox notes of each run whether the clock of this machine ends it.
type clockedSandbox struct {
	writ.Sandbox
	mu      sync.Mutex
	clocked []bool
}

func (s *clockedSandbox) Run(ctx context.Context, run *writ.GuestRun) (*writ.GuestResult, error) {
	s.mu.Lock()
	s.clocked = append(s.clocked, run.StopAt == 0 && run.Limits.Time != host.MaxTime)
	s.mu.Unlock()
	return s.Sandbox.Run(ctx, run)
}

// A replay on another engine compares as ever and says what recorded the steps. No
// clock ends it, metered or not: another machine may be slower.
func TestReplayOnAnotherEngine(t *testing.T) {
	for lane, open := range map[string]func(host.Options) (writ.Sandbox, error){"writ": host.NewSandbox, "extism": host.NewExtismSandbox} {
		t.Run(lane, func(t *testing.T) {
			inner, err := open(host.Options{CompileInProcessUnsafe: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = inner.Close(context.Background()) })
			sandbox := &clockedSandbox{Sandbox: inner}
			r := newRigWith(t, &rig{sandbox: sandbox})
			id := r.begin(service, twoSteps)
			r.expect(id, writ.ExecCompleted)

			out := r.replay(id)
			if !out.Identical || len(out.RecordedOn) > 0 || out.Engine != host.EngineID() {
				t.Errorf("on the same engine: %+v", out)
			}
			r.machine = "wazero/v9 compiler elsewhere"
			r.reboot()
			out = r.replay(id)
			if !out.Identical || !slices.Equal(out.RecordedOn, []string{host.EngineID()}) || out.Engine != r.machine {
				t.Errorf("on another engine: %+v", out)
			}
			if want := []bool{true, true, false, false, false, false}; !slices.Equal(sandbox.clocked, want) {
				t.Errorf("the clock may end %v, want %v", sandbox.clocked, want)
			}
		})
	}
}
