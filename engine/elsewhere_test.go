package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host"
)

// timedSandbox notes the time that each run is given.
type timedSandbox struct {
	writ.Sandbox
	mu    sync.Mutex
	times []time.Duration
}

func (s *timedSandbox) Run(ctx context.Context, run *writ.GuestRun) (*writ.GuestResult, error) {
	s.mu.Lock()
	s.times = append(s.times, run.Limits.Time.Std())
	s.mu.Unlock()
	return s.Sandbox.Run(ctx, run)
}

// A replay on another engine compares as ever and says what recorded the steps. It
// is not held to the step's time: another machine may be slower.
func TestReplayOnAnotherEngine(t *testing.T) {
	inner, err := host.NewSandbox(host.Options{CompileInProcessUnsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close(context.Background()) })
	timed := &timedSandbox{Sandbox: inner}
	r := newRigWith(t, &rig{sandbox: timed})
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
	most, runs := host.MaxTime.Std(), len(timed.times)
	if runs != 6 || slices.Max(timed.times[:2]) >= most || slices.Min(timed.times[2:]) != most {
		t.Errorf("the runs were given %v", timed.times)
	}
	if _, err := host.EffectiveLimits(abi.Limits{Time: abi.Duration(slices.Max(timed.times))}); err != nil {
		t.Error(err)
	}
}
