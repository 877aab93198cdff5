package host

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	. "github.com/writ-run/writ/host/wasmtest"
)

// short is a limit that hostile guests run into.
const short = abi.Duration(50 * time.Millisecond)

// fib recurses without a loop: exponential in the i32 that stands before it.
func fib(g *Guest) uint32 {
	self := uint32(5) // after the five imports of the core
	return g.Func(Func{Params: "i", Results: "i", Code: Code(
		Get(0), I32(2), Op(I32LtS), If(Get(0), Op(Return)),
		Get(0), I32(1), Op(I32Sub), Call(self),
		Get(0), I32(2), Op(I32Sub), Call(self), Op(I32Add),
	)})
}

func guestWith(build func(g *Guest) [][]byte) []byte {
	g := NewGuest(1, 0)
	return g.Run(build(g)...).Bytes()
}

func TestCallerCanCancel(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		ctx, cancel := context.WithCancel(context.Background())
		g := NewGuest(1, 0)
		tool := g.Tool(abi.ToolLog)
		run := runOf(t, g.Run(g.CallTool(tool), Op(0x1a), Repeat(Branch(0)), I32(0)).Bytes(), `{}`)
		run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
			cancel()
			return &writ.ToolReply{Body: []byte(`{}`)}, nil
		}}
		if result, err := s.Run(ctx, run); result != nil || writ.CodeOf(err) != writ.CodeCancelled {
			t.Fatalf("got %v, %v", result, err)
		}
		if result, err := s.Run(ctx, run); result != nil || writ.CodeOf(err) != writ.CodeCancelled {
			t.Fatalf("with a cancelled context: %v, %v", result, err)
		}
		ctx, cancel = context.WithTimeout(context.Background(), short.Std())
		defer cancel()
		if result, err := s.Run(ctx, runOf(t, Loop(), `{}`)); result != nil || writ.CodeOf(err) != writ.CodeTimeout {
			t.Fatalf("with a deadline: %v, %v", result, err)
		}
	})
}

// Recursion that overflows the stack costs the host much memory, so it runs once.
func TestDeepRecursion(t *testing.T) {
	module := guestWith(func(g *Guest) [][]byte {
		deep := g.Func(Func{Params: "i", Results: "i", Code: Code(Get(0), Call(5), I32(1), Op(I32Add))})
		return [][]byte{I32(0), Call(deep)}
	})
	run := runOf(t, module, `{}`)
	wants(t, opened(t, NewSandbox, Options{}), run, "! stack_limit: the guest's calls are nested too deeply")
}

func TestExits(t *testing.T) {
	exits := func(status int32, said bool) []byte {
		g := NewGuest(1, 1)
		exit := g.Import(abi.ModuleWASI, "proc_exit", "i", "")
		say := Code()
		if said {
			say = Code(g.Say(`"said"`), Op(Drop))
		}
		return g.Run(say, I32(status), Call(exit), Op(Unreachable)).Bytes()
	}
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		wants(t, s, runOf(t, exits(0, true), `{}`), `"said"`)
		wants(t, s, runOf(t, exits(0, false), `{}`), "! output_invalid: the action ended without an output")
		wants(t, s, runOf(t, exits(3, true), `{}`), "! trap: the guest exited with code 3")
		// The numbers by which wazero says that time is over.
		wants(t, s, runOf(t, exits(-1, true), `{}`), "! trap: the guest exited with code 4294967295")
		wants(t, s, runOf(t, exits(-268435457, true), `{}`), "! trap: the guest exited with code 4026531839")
	})
}

func TestAPanickingGateIsAFaultOfTheHost(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		run := runOf(t, ToolCaller(abi.ToolKVGet), `{}`)
		run.Gate = &gate{answer: func(_ context.Context, _ string, args []byte) (*writ.ToolReply, error) {
			return &writ.ToolReply{Body: args[len(args)+1:]}, nil
		}}
		if result, err := s.Run(context.Background(), run); result != nil || writ.CodeOf(err) != writ.CodeInternal {
			t.Fatalf("got %v, %v", result, err)
		}
		wants(t, s, runOf(t, Echo(), `1`), `1`) // its slot came back
	})
}

// attack is what a hostile module is run with.
type attack struct {
	s      writ.Sandbox
	limits abi.Limits
	plugin string // an Extism entry; empty: abi.V1
}

const overTime = "! timeout: the step's time is over"

// underAttack gives each lane's sandbox a single slot, so that a guest that keeps
// it is found out, and wants every goroutine back when it is closed.
func underAttack(t *testing.T, test func(t *testing.T, a *attack)) {
	t.Helper()
	for name, open := range sandboxes {
		t.Run(name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			test(t, &attack{s: opened(t, open, Options{Slots: 1})})
		})
	}
}

// run wants the attack's outcome, and the host to serve another run at once.
func (a *attack) run(t *testing.T, module []byte, want string) {
	t.Helper()
	if got := a.outcome(t, module); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// begins is run with the beginning of the outcome.
func (a *attack) begins(t *testing.T, module []byte, want string) {
	t.Helper()
	if got := a.outcome(t, module); !strings.HasPrefix(got, want) {
		t.Fatalf("got  %s\nwant %s...", got, want)
	}
}

func (a *attack) outcome(t *testing.T, module []byte) string {
	t.Helper()
	run := runOf(t, module, `{}`)
	if a.plugin != "" {
		run.ABI, run.Action = abi.Extism1, a.plugin
	}
	run.Limits = a.limits
	got := outcomeOf(t, a.s, run)
	wants(t, a.s, runOf(t, Echo(), `"next"`), `"next"`)
	return got
}

func TestAttackLoop(t *testing.T) {
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Time = short
		a.run(t, Loop(), overTime)
	})
}

// Metered guests end where their fuel does, however much time is left, and at the
// same place each time.
func TestAttackLoopWithoutFuel(t *testing.T) {
	s := opened(t, NewSandbox, Options{Slots: 1})
	for range 3 {
		run := runOf(t, Loop(), `{}`)
		run.Limits = abi.Limits{Time: MaxTime, Fuel: 5_000_000}
		result, err := s.Run(context.Background(), run)
		if err != nil || result.Failure == nil || result.Failure.Code != writ.GuestFuelLimit || result.Fuel != 5_000_000 {
			t.Fatalf("got %+v, %v", result, err)
		}
		wants(t, s, runOf(t, Echo(), `"next"`), `"next"`)
	}
}

func TestAttackLoopInInitialise(t *testing.T) {
	g := NewGuest(1, 1)
	g.Func(Func{Export: abi.EntryInitialize, Code: Repeat(Branch(0))})
	module := g.Run(I32(0)).Bytes()
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Time = short
		a.run(t, module, overTime)
	})
}

func TestAttackLoopInStartSection(t *testing.T) {
	m := New()
	m.Start(m.Func(Func{Code: Repeat(Branch(0))}))
	m.Func(Func{Export: abi.EntryRun, Results: "i", Code: I32(0)})
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Time = short
		a.run(t, m.Bytes(), overTime)
	})
}

// fib(60) would take centuries and has no loop.
func TestAttackExponentialRecursion(t *testing.T) {
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Time = short
		a.run(t, guestWith(func(g *Guest) [][]byte { return [][]byte{I32(60), Call(fib(g))} }), overTime)
	})
}

func TestAttackNaps(t *testing.T) {
	g := NewGuest(1, 1)
	poll := g.Import(abi.ModuleWASI, "poll_oneoff", "iiii", "i")
	module := g.Run(Repeat(I32(0), I32(64), I32(1), I32(128), Call(poll), Op(Drop), Branch(0)), I32(0)).Bytes()
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Time = short
		a.run(t, module, overTime)
	})
}

// A module that would take long to compile is refused by what it is made of; what
// the process that compiles does with it is TestACompileBombIsKilledInItsProcess.
func TestAttackCompileBomb(t *testing.T) {
	underAttack(t, func(t *testing.T, a *attack) {
		a.begins(t, phiBomb(2000, 4000), "! module_invalid: byte 4043: module: inspect: a function would cost ")
	})
}

func TestAttackTraps(t *testing.T) {
	const self = 5 // after the imports of the core
	plain := func(code ...[]byte) []byte { return NewGuest(1, 1).Run(code...).Bytes() }
	tabled := func(code ...[]byte) []byte {
		g := NewGuest(1, 1)
		g.Table(1, 1)
		return g.Run(code...).Bytes()
	}
	indirect := func(index int32) []byte { return Code(I32(0), I32(0), I32(index), Op(0x11, 0, 0)) }
	for what, modules := range map[string][][]byte{
		"unreachable": {plain(Op(Unreachable))},
		"out of bounds memory access": {
			plain(I32(65_533), Load()),
			plain(I32(65_535), I32(0), I32(2), Op(0xfc, 11, 0), I32(0)),    // memory.fill
			plain(I32(0), I32(65_535), I32(2), Op(0xfc, 10, 0, 0), I32(0)), // memory.copy
		},
		"integer divide by zero":        {plain(I32(1), I32(0), Op(0x6d))},
		"integer overflow":              {plain(I32(math.MinInt32), I32(-1), Op(0x6d))},
		"invalid conversion to integer": {plain(Op(0x43, 0, 0, 0xc0, 0x7f), Op(0xa8))}, // of a NaN
		"invalid table access":          {tabled(indirect(0)), tabled(indirect(1))},    // null, and beyond
		"indirect call type mismatch":   {tabled(I32(0), Op(0xd2, self), Op(0x26, 0), indirect(0))},
	} {
		t.Run(what, func(t *testing.T) {
			underAttack(t, func(t *testing.T, a *attack) {
				a.limits.Memory = pageBytes // what lies between it and the limit is no trap
				for _, module := range modules {
					a.run(t, module, "! trap: the guest trapped: "+what)
				}
			})
		})
	}
}

// Many hostile guests at once, of every kind, share one sandbox.
func TestAttackAHundredAtOnce(t *testing.T) {
	bomb := guestWith(func(*Guest) [][]byte {
		return [][]byte{Repeat(I32(1), Grow(), I32(-1), Op(0x47), Op(0x0d, 0)), Op(Unreachable)}
	})
	kinds := []struct {
		module []byte
		want   string
	}{
		{Echo(), `{}`},
		{Loop(), overTime},
		{bomb, outOfMemoryLine},
		{NewGuest(1, 1).Run(Op(Unreachable)).Bytes(), "! trap: the guest trapped: unreachable"},
		{Fail("no"), "! no: the guest says no"},
	}
	for lane, open := range sandboxes {
		t.Run(lane, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			s := opened(t, open, Options{Slots: 4})
			var wg sync.WaitGroup
			failed := make(chan error, 100)
			for i := range cap(failed) {
				kind := kinds[i%len(kinds)]
				wg.Go(func() {
					run := runOfPermit(kind.module)
					run.Limits.Time = abi.Duration(5 * time.Millisecond)
					if kind.want != overTime {
						run.Limits.Time = 0
					}
					if got, err := lineOf(s, run); err != nil || got != kind.want {
						failed <- fmt.Errorf("%s, %w, want %s", got, err, kind.want)
					}
				})
			}
			wg.Wait()
			close(failed)
			for err := range failed {
				t.Error(err)
			}
		})
	}
}
