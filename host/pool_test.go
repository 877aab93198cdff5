package host

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	. "github.com/writ-run/writ/host/wasmtest"
)

// origins are the ways in which a run comes by its instance. Each leaves the
// program so that the next run begins in that way.
var origins = map[string]func(p *nativeProgram){
	"reused": func(*nativeProgram) {},
	"cloned": func(p *nativeProgram) { p.pool.drop(context.Background(), p) },
	"fresh": func(p *nativeProgram) {
		p.pool.drop(context.Background(), p)
		if s := p.ready.Swap(nil); s != nil {
			s.image.close()
		}
	},
}

// smallMemory is enough for every guest here, and quick to compare as a whole.
const smallMemory = 16 << 20

// programOf is the module's program with smallMemory.
func programOf(t testing.TB, s writ.Sandbox, module []byte) *nativeProgram {
	t.Helper()
	run := runOf(t, module, `{}`)
	p, release, err := s.(*sandbox).programs.acquire(context.Background(), form{run.Digest, smallMemory / pageBytes}, module)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return p.(*nativeProgram)
}

// trace is everything that a run can be told by.
type trace struct {
	output, failure string
	fuel            uint64
	calls           []string
	memory, globals uint64
}

func (t *trace) String() string {
	return fmt.Sprintf("%s %s %d %q %x %x", t.output, t.failure, t.fuel, t.calls, t.memory, t.globals)
}

// traced runs an action as execute does, and looks at the instance before it goes
// back.
func traced(t testing.TB, s writ.Sandbox, p *nativeProgram, run *writ.GuestRun) *trace {
	t.Helper()
	run.Limits.Memory = smallMemory
	limits, err := checkRun(run)
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(run, limits, s.(*sandbox).slots)
	calls := &gate{answer: run.Gate.(*gate).answer}
	run.Gate = calls
	g.resume(context.Background())
	defer g.yield()
	ctx := withGuest(context.Background(), g)
	i, err := p.instance(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	defer i.close(ctx)
	g.begin(running)
	status, failure, err := g.settle(i.call(ctx, abi.EntryRun, nil))
	if err != nil {
		t.Fatal(err)
	}
	result := g.resultOf(failure)
	if failure == nil {
		result = g.ended(status)
	}
	n := i.(*nativeInstance)
	out := &trace{output: string(result.Output), fuel: result.Fuel, calls: calls.calls, memory: maphash.Bytes(sums, n.memory.buf)}
	if result.Failure != nil {
		out.failure = result.Failure.Code
	}
	var globals []uint64
	for _, global := range n.globals {
		globals = append(globals, global.Get())
	}
	out.globals = maphash.Comparable(sums, fmt.Sprint(globals))
	return out
}

var sums = maphash.MakeSeed()

// Whether a guest was kept, copied or made for a run makes no difference to it.
func TestKeptCopiedAndFreshRunsAreEqual(t *testing.T) {
	modules := conformanceModules(t)
	modules["hand-made"] = drawer()
	modules["a guest that grows"] = grower()
	modules["a guest with a start section"] = starter()
	for name, module := range modules {
		t.Run(name, func(t *testing.T) {
			s := opened(t, NewSandbox, Options{})
			p := programOf(t, s, module)
			runs := map[string]*trace{}
			for _, origin := range []string{"fresh", "cloned", "reused"} {
				times := 50
				if origin == "fresh" && len(module) > 1<<20 {
					times = 5 // each takes milliseconds
				}
				for range times {
					origins[origin](p)
					run := actionRun(t, module, "random_and_clock", `{}`)
					run.Gate = store()
					got := traced(t, s, p, run)
					runs[got.String()] = got
				}
			}
			if len(runs) != 1 {
				t.Fatalf("%d different runs: %v", len(runs), runs)
			}
			for _, r := range runs {
				if r.failure != "" || r.fuel == 0 {
					t.Fatalf("%s after %d fuel", r.failure, r.fuel)
				}
			}
		})
	}
}

// grower writes to memory that it grows.
func grower() []byte {
	return guestWith(func(g *Guest) [][]byte {
		return [][]byte{I32(3), Grow(), Op(Drop), I32(3 * pageBytes), I32(7), Store(), g.Say(`"grown"`)}
	})
}

// starter says what its start function left for it.
func starter() []byte {
	g := NewGuest(1, 1)
	g.Data(0, []byte(`"_"`))
	start := g.Func(Func{Code: Code(I32(1), I32('s'), []byte{0x3a, 0, 0})})
	g.Start(start)
	return g.Run(I32(0), I32(3), Call(g.Output), I32(0)).Bytes()
}

func TestTheStartFunctionRuns(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for range 3 {
			wants(t, s, runOf(t, starter(), `{}`), `"s"`)
		}
	})
}

// reusedAfter reports whether a run's instance serves the next run as well.
func reusedAfter(t *testing.T, module []byte, alter func(run *writ.GuestRun)) bool {
	t.Helper()
	s := opened(t, NewSandbox, Options{})
	p := programOf(t, s, module)
	for range 2 { // the second begins with a snapshot
		run := runOf(t, module, `{}`)
		run.Limits.Memory = smallMemory
		alter(run)
		if _, err := s.Run(context.Background(), run); err != nil {
			t.Fatal(err)
		}
	}
	return len(p.idle) > 0
}

func TestWhatEndsBadlyIsNotUsedAgain(t *testing.T) {
	exits := NewGuest(1, 1)
	exit := exits.Import(abi.ModuleWASI, "proc_exit", "i", "")
	refused := NewGuest(1, 0)
	table := NewGuest(1, 1)
	table.Table(2, 2)
	for name, c := range map[string]struct {
		module []byte
		again  bool
	}{
		"an answer":               {sayer(`"x"`), true},
		"a failure of its own":    {Fail("no"), true},
		"a status":                {silent(3), true},
		"memory that was grown":   {grower(), true},
		"a start section":         {starter(), true},
		"a trap":                  {NewGuest(1, 1).Run(Op(Unreachable)).Bytes(), false},
		"an exit":                 {exits.Run(I32(0), Call(exit), I32(0)).Bytes(), false},
		"a lie":                   {guestWith(func(g *Guest) [][]byte { return [][]byte{I32(-1), I32(9), Call(g.Output), I32(0)} }), false},
		"a call that never ends":  {Loop(), false},
		"memory that was refused": {refused.Run(I32(1<<15), Grow(), Op(Drop), refused.Say(`"x"`)).Bytes(), false},
		"a table that is written": {table.Run(I32(0), NullFunc(), []byte{0x26, 0}, table.Say(`"x"`)).Bytes(), false},
	} {
		t.Run(name, func(t *testing.T) {
			got := reusedAfter(t, c.module, func(run *writ.GuestRun) { run.Limits.Time = short })
			if got != (c.again && canReset) {
				t.Fatalf("used again: %v", got)
			}
		})
	}
}

func TestThePoolIsBounded(t *testing.T) {
	if !canReset {
		return // nothing is kept at all
	}
	s := opened(t, NewSandbox, Options{Slots: 8})
	pool := s.(*sandbox).programs.compiler.(*native).pool
	pool.most = 3
	var programs []*nativeProgram
	for i := range 3 {
		module := sayer(fmt.Sprintf(`"%d"`, i))
		programs = append(programs, programOf(t, s, module))
	}
	// Two runs of each at once, so that two instances of each come back.
	for i, p := range programs {
		module := sayer(fmt.Sprintf(`"%d"`, i))
		var open []instance
		for range 2 {
			g := newGuest(runOf(t, module, `{}`), abi.Limits{Output: 9, Fuel: 1 << 20}, make(slots, 1))
			ctx := withGuest(context.Background(), g)
			in, err := p.instance(ctx, g)
			if err != nil {
				t.Fatal(err)
			}
			g.begin(running)
			if _, err := in.call(ctx, abi.EntryRun, nil); err != nil {
				t.Fatal(err)
			}
			open = append(open, in)
		}
		for _, in := range open {
			in.close(context.Background())
		}
	}
	var idle []int
	for _, p := range programs {
		idle = append(idle, len(p.idle))
	}
	if !slices.Equal(idle, []int{0, 1, 2}) || pool.count != 3 || len(pool.programs) != 2 {
		t.Fatalf("idle %v, count %d", idle, pool.count)
	}
	pool.mostBytes = idleCost - 1
	run := runOf(t, sayer(`"2"`), `{}`)
	run.Limits.Memory = smallMemory
	if _, err := s.Run(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	if pool.count != 0 || pool.bytes != 0 {
		t.Fatalf("%d instances of %d bytes are left", pool.count, pool.bytes)
	}
}

// Who measures what an instance costs has none kept; what a run says is the same.
func TestFreshInstancesAreNotKept(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		s, err := NewSandbox(Options{CompileInProcessUnsafe: true, FreshInstances: fresh})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close(context.Background()) })
		p := programOf(t, s, Echo())
		for range 3 {
			run := runOf(t, Echo(), `{"a":1}`)
			run.Limits.Memory = smallMemory
			result, err := s.Run(context.Background(), run)
			if err != nil || string(result.Output) != `{"a":1}` || result.Memory != pageBytes {
				t.Fatalf("%+v %v", result, err)
			}
		}
		if fresh && len(p.idle) > 0 {
			t.Errorf("%d instances are kept", len(p.idle))
		}
	}
}
