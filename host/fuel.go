package host

import (
	"context"
	"runtime"

	"github.com/tetratelabs/wazero/api"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

const (
	// fuelSlice is how much a guest gets at once: when it is used up, the host looks
	// at the clock and lets others run. A tight loop needs a millisecond for it.
	fuelSlice = 1 << 20
	// hostBytes is how many bytes that the host moves for a guest cost what one
	// instruction does; every call that moves some costs one more.
	hostBytes = 16
)

// tank is the fuel of one run. The guest counts a global of its own down and asks
// for more below zero, so what it used is what it was given less what is left.
type tank struct {
	level api.MutableGlobal // nil: the guest is not metered
	given uint64
	limit uint64
	until uint64 // the run is to end where this much is used; 0: it is not
	ctx   context.Context
}

// used is how much the run has used.
func (t *tank) used() uint64 {
	if t.level == nil {
		return 0
	}
	return t.after(int64(t.level.Get()))
}

// after is how much was used where left is what the guest has.
func (t *tank) after(left int64) uint64 {
	if left < 0 {
		return t.given + uint64(-left)
	}
	return t.given - uint64(left)
}

// begin starts a run at nothing used.
func (t *tank) begin(limit, until uint64) {
	t.given, t.limit, t.until = 0, limit, until
	if t.level != nil {
		t.level.Set(uint64(t.next(0)))
	}
}

// next gives what the guest may use from here to the next look at it.
func (t *tank) next(used uint64) int64 {
	t.given = min(used+fuelSlice, t.limit)
	if t.until > 0 {
		t.given = min(t.given, t.until-1)
	}
	return int64(t.given - used)
}

// refill answers a guest that has less than nothing left: it goes on when it is
// its turn again, or its time or fuel is over. Only here does a metered guest need
// one of the slots: most end within their first slice of fuel, and handing slots
// on for some microseconds' work cost more than the work.
func (g *guest) refill(left int64) int64 {
	t := &g.fuel
	used := t.after(left)
	switch {
	case used > t.limit:
		g.end(ending{failure: outOfFuel()})
	case t.until > 0 && used >= t.until:
		g.end(ending{failure: timeIsOver()})
	case t.ctx.Err() != nil:
		panic(errEnded) // what ctx says is the reason
	}
	g.yield()
	runtime.Gosched()
	if !g.resume(t.ctx) {
		panic(errEnded)
	}
	return t.next(used)
}

// spend charges the run for bytes that the host moves on the guest's behalf.
func (g *guest) spend(bytes int) {
	if g.fuel.level == nil {
		return
	}
	left := int64(g.fuel.level.Get()) - 1 - int64(bytes/hostBytes)
	if left < 0 {
		g.fuel.level.Set(uint64(left)) // so that it counts where the run ends here
		left = g.refill(left)
	}
	g.fuel.level.Set(uint64(left))
}

// used is the fuel of the step: what was used for its initialisation is not part of
// it, for another run may have done that.
func (g *guest) used() uint64 {
	if g.phase == initialising {
		return 0
	}
	return min(g.fuel.used(), g.fuel.limit)
}

func tooDeep() *abi.Failure {
	return &abi.Failure{
		Code: writ.GuestStackLimit, Message: "the guest's calls are nested too deeply",
		Fix: "look for a recursion without an end, or use a loop",
	}
}

func outOfFuel() *abi.Failure {
	return &abi.Failure{
		Code: writ.GuestFuelLimit, Message: "the step's fuel is used up",
		Fix: "raise limits.fuel in the skill's manifest, or do less in one step",
	}
}

func timeIsOver() *abi.Failure {
	return &abi.Failure{Code: writ.GuestTimeout, Message: "the step's time is over"}
}
