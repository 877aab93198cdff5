package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host"
)

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
