package host

import (
	"context"
	"errors"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// phase is how far a guest has come. Tools and the step's data exist only while
// it runs.
type phase int

const (
	initialising phase = iota
	describing
	running
)

// guest is the state of one run. One goroutine uses it.
type guest struct {
	run    *writ.GuestRun
	limits abi.Limits
	slots  slots

	phase     phase
	executing bool // it holds one of slots
	memory    memories
	fuel      tank
	ambient   *ambient
	console   console
	plugin    plugin // of the Extism interface
	calls     int
	result    []byte // of the last tool call
	output    []byte // nil until it is set
	failure   *abi.Failure
	told      string // where it failed, as it says itself
	ending    *ending
}

// ending is why a run was ended by the host. It is kept here and not in the error
// that unwinds the guest, so that it arrives unchanged whatever engine is between.
type ending struct {
	failure *abi.Failure // a result
	err     error        // Run's own error
	exited  bool         // the guest asked to end, with status
	status  uint32
}

// errEnded unwinds the guest; guest.ending says why.
var errEnded = errors.New("the host ended the run")

func newGuest(run *writ.GuestRun, limits abi.Limits, slots slots) *guest {
	scope := run.Permit.Scope()
	return &guest{
		console: console{execution: scope.Execution, step: scope.Step},
		run:     run, limits: limits, slots: slots,
		ambient: newAmbient(run.Digest),
		memory:  memories{limit: int64(limits.Memory)},
	}
}

// runContext is the context of a run, with its guest.
type runContext struct {
	context.Context
	g *guest
}

type guestKey struct{}

// Value implements context.Context.
func (c *runContext) Value(key any) any {
	if key == (guestKey{}) {
		return c.g
	}
	return c.Context.Value(key)
}

func withGuest(ctx context.Context, g *guest) context.Context {
	g.fuel.ctx = ctx
	return &runContext{ctx, g}
}

// guestFrom is the guest of a host function's context, which a runtime may have
// wrapped.
func guestFrom(ctx context.Context) *guest {
	if c, ok := ctx.(*runContext); ok {
		return c.g
	}
	return ctx.Value(guestKey{}).(*guest)
}

// end unwinds the guest. The first ending counts.
func (g *guest) end(e ending) {
	if g.ending == nil {
		g.ending = &e
	}
	panic(errEnded)
}

// fail ends the run with a failure of the sandbox's.
func (g *guest) fail(code, message string) {
	g.end(ending{failure: &abi.Failure{Code: code, Message: message}})
}

// misuse ends the run of a guest that breaks the rules of the interface.
func (g *guest) misuse(message string) { g.fail(writ.GuestTrapped, message) }

// begin lets the initialised guest work.
func (g *guest) begin(p phase) {
	g.phase = p
	g.flush() // what an initialisation printed is no part of the run
	g.console.printed = 0
	g.ambient.start(g.run.Start, g.run.Seed)
	g.fuel.begin(g.limits.Fuel, g.run.StopAt)
}

// slots are the right to execute, a fixed number of times. A guest gives its slot
// back while it waits for a tool.
type slots chan struct{}

// resume waits for a slot as long as ctx lasts.
func (g *guest) resume(ctx context.Context) bool {
	select {
	case g.slots <- struct{}{}:
		g.executing = true
	case <-ctx.Done():
	}
	return g.executing
}

// yield gives the slot back, if the guest has one.
func (g *guest) yield() {
	if g.executing {
		<-g.slots
	}
	g.executing = false
}
