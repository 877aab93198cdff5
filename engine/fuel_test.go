package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/wasmtest"
)

// watched is a sandbox that remembers the last run and what it came to.
type watched struct {
	writ.Sandbox
	run    *writ.GuestRun
	result *writ.GuestResult
}

// Run implements writ.Sandbox.
func (s *watched) Run(ctx context.Context, run *writ.GuestRun) (result *writ.GuestResult, err error) {
	s.run = run
	s.result, err = s.Sandbox.Run(ctx, run)
	return s.result, err
}

// A step that ends at a limit is recorded with the fuel that it had used, and its
// replay ends at exactly that.
func TestAStepThatEndsAtALimitReplaysToTheSameFuel(t *testing.T) {
	inner, err := host.NewSandbox(host.Options{CompileInProcessUnsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close(context.Background()) })
	// Every look at the clock finds it a second later, so that no retry is waited for.
	var seconds atomic.Int64
	now := func() time.Time { return time.Unix(1_800_000_000+seconds.Add(1), 0) }
	for name, c := range map[string]struct {
		limits abi.Limits
		code   string
		beyond uint64 // what it was recorded to have used
		retry  string
	}{
		"time":           {abi.Limits{Time: abi.Duration(30 * time.Millisecond)}, writ.GuestTimeout, 0, ""},
		"time, repeated": {abi.Limits{Time: abi.Duration(30 * time.Millisecond)}, writ.GuestTimeout, 0, ", retry: {attempts: 2, backoff: 1ms}"},
		"fuel":           {abi.Limits{Fuel: 123_456}, writ.GuestFuelLimit, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			sandbox := &watched{Sandbox: inner}
			r := newRigWith(t, &rig{sandbox: sandbox, now: now})
			r.skills["test/endless"].Manifest.Limits = c.limits
			id := r.submit(agent, head+"  - {name: spin, uses: test/endless#run, with: {message: x}"+c.retry+"}\n")
			r.compile(agent, id)
			r.start(agent, id)
			state := r.finish(id)
			step := &state.Steps[0]
			if step.Failure == nil || step.Failure.Code != c.code || step.Fuel == 0 || step.Fuel != sandbox.result.Fuel {
				t.Fatalf("%+v, %d fuel of %+v", step.Failure, step.Fuel, sandbox.result)
			}
			r.identical(id)
			if sandbox.result.Fuel != step.Fuel || sandbox.run.StopAt != step.Fuel+c.beyond {
				t.Fatalf("replayed to %+v, to stop at %d, not at %d", sandbox.result, sandbox.run.StopAt, step.Fuel)
			}
		})
	}
}

// callThenLoop calls a tool and then never ends.
func callThenLoop() []byte {
	g := wasmtest.NewGuest(1, 0)
	tool := g.Tool(abi.ToolLog)
	return g.Run(g.CallTool(tool), wasmtest.Op(wasmtest.Drop), wasmtest.Repeat(wasmtest.Branch(0)), wasmtest.I32(0)).Bytes()
}
