package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

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

func TestEndlessGuestsAreStopped(t *testing.T) {
	startLoop := New()
	startLoop.Start(startLoop.Func(Func{Code: Repeat(Branch(0))}))
	startLoop.Func(Func{Export: abi.EntryRun, Results: "i", Code: I32(0)})
	initLoop := NewGuest(1, 1)
	initLoop.Func(Func{Export: abi.EntryInitialize, Code: Repeat(Branch(0))})
	sleeper := NewGuest(1, 1)
	poll := sleeper.Import(abi.ModuleWASI, "poll_oneoff", "iiii", "i")
	for name, module := range map[string][]byte{
		"a loop":               Loop(),
		"a loop at start":      startLoop.Bytes(),
		"a loop in initialise": initLoop.Run(I32(0)).Bytes(),
		"recursion without loop": guestWith(func(g *Guest) [][]byte {
			return [][]byte{I32(60), Call(fib(g))}
		}),
		"a loop of naps": sleeper.Run(Repeat(I32(0), I32(64), I32(1), I32(128), Call(poll), Op(Drop), Branch(0)), I32(0)).Bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s writ.Sandbox) {
				run := runOf(t, module, `{}`)
				run.Limits.Time = short
				wants(t, s, run, "! timeout: the step's time is over")
			})
		})
	}
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

func TestMemoryIsBounded(t *testing.T) {
	grow := func(pages int32) []byte {
		return guestWith(func(g *Guest) [][]byte {
			return [][]byte{I32(pages), Grow(), I32(-1), Op(0x46), If(Op(Unreachable)), g.Say(`"grown"`)}
		})
	}
	bomb := guestWith(func(g *Guest) [][]byte {
		return [][]byte{Repeat(I32(1), Grow(), I32(-1), Op(0x47), Op(0x0d, 0)), Op(Unreachable)}
	})
	const outOf = "! memory_limit: the guest needed more memory than the step's limit"
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		limited := func(module []byte, limit abi.Bytes, want string) {
			t.Helper()
			run := runOf(t, module, `{}`)
			run.Limits.Memory = limit
			wants(t, s, run, want)
		}
		limited(grow(9), 10*pageBytes, `"grown"`)
		limited(grow(10), 10*pageBytes, outOf)
		limited(bomb, 0, outOf)
		limited(bomb, MaxMemory, outOf)
		big := NewGuest(16, 0)
		starts := big.Run(big.Say(`"big"`)).Bytes()
		limited(starts, 16*pageBytes, `"big"`)
		limited(starts, 16*pageBytes-1, outOf)
		limited(NewGuest(65536, 65536).Run(I32(0)).Bytes(), 0, outOf)
		limited(NewGuest(65536, 65536).Run(I32(0)).Bytes(), MaxMemory, outOf)
	})
}

func TestTablesAreBounded(t *testing.T) {
	grows := func(entries int32) []byte {
		g := NewGuest(1, 1)
		g.Table(1, 0)
		return g.Run(NullFunc(), I32(entries), GrowTable(0), I32(-1), Op(0x46), If(Op(Unreachable)), g.Say(`"grown"`)).Bytes()
	}
	huge := NewGuest(1, 1)
	huge.Table(100_000_000, 0)
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		wants(t, s, runOf(t, grows(MaxTableEntries-1), `{}`), `"grown"`)
		wants(t, s, runOf(t, grows(MaxTableEntries), `{}`), "! trap: the guest trapped: unreachable")
		got := outcomeOf(t, s, runOf(t, huge.Run(I32(0)).Bytes(), `{}`))
		if !strings.HasPrefix(got, "! module_invalid: ") {
			t.Fatal(got)
		}
	})
}

func TestOutputIsBounded(t *testing.T) {
	outputs := func(size int32) []byte {
		g := NewGuest(200, 200)
		// A JSON string of the size: quotes around what is filled with spaces.
		fill := Code(I32(1), I32(' '), I32(size-2), Op(0xfc, 11, 0), I32(0), I32('"'), Op(0x3a, 0, 0), I32(size-1), I32('"'), Op(0x3a, 0, 0))
		return g.Run(fill, I32(0), I32(size), Call(g.Output), I32(0)).Bytes()
	}
	const limited = "! output_limit: the output is larger than the step's limit"
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		if got := outcomeOf(t, s, runOf(t, outputs(int32(DefaultOutput)), `{}`)); len(got) != int(DefaultOutput) {
			t.Fatalf("at the limit: %d bytes, %.80s", len(got), got)
		}
		wants(t, s, runOf(t, outputs(int32(DefaultOutput)+1), `{}`), limited)
		run := runOf(t, outputs(100), `{}`)
		run.Limits.Output = 99
		wants(t, s, run, limited)
	})
}

func TestCallsAreBounded(t *testing.T) {
	g := NewGuest(1, 1)
	tool := g.Tool(abi.ToolLog)
	g.Data(0, []byte("{}"))
	module := g.Run(Repeat(I32(0), I32(2), Call(tool), Op(Drop), Branch(0)), I32(0)).Bytes()
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for limit, want := range map[int]int{0: DefaultCalls, 1: 1, 7: 7} {
			run := runOf(t, module, `{}`)
			run.Limits.Calls = limit
			calls := &gate{}
			run.Gate = calls
			result, err := s.Run(context.Background(), run)
			if err != nil || result.Failure == nil || result.Failure.Code != writ.GuestCallLimit {
				t.Fatalf("got %+v, %v", result, err)
			}
			if len(calls.calls) != want || result.Calls != want {
				t.Fatalf("%d calls, %d counted, want %d", len(calls.calls), result.Calls, want)
			}
		}
	})
}

func TestPointersThatLie(t *testing.T) {
	const outside = "! trap: the guest gave a pointer outside its memory"
	wild := [][2]int32{{65536, 1}, {65535, 2}, {-1, 1}, {-1, -1}, {0, 65537}, {math.MinInt32, math.MinInt32}}
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		input := `"` + strings.Repeat("x", 70_000) + `"`
		for _, at := range wild {
			read := guestWith(func(g *Guest) [][]byte {
				return [][]byte{I32(at[0]), I32(at[1]), Call(g.Input), Op(Drop), I32(0)}
			})
			wants(t, s, runOf(t, read, input), outside)
			tool := guestWith(func(g *Guest) [][]byte {
				kv := g.Tool(abi.ToolKVGet)
				return [][]byte{I32(at[0]), I32(at[1]), Call(kv), Op(Drop), g.Say(`"went on"`)}
			})
			got := outcomeOf(t, s, runOf(t, tool, `{}`))
			if got != outside && !(uint32(at[1]) > MaxArguments && got == `"went on"`) {
				t.Fatalf("%v: %s", at, got)
			}
			output := guestWith(func(g *Guest) [][]byte {
				return [][]byte{I32(at[0]), I32(at[1]), Call(g.Output), I32(0)}
			})
			if got := outcomeOf(t, s, runOf(t, output, `{}`)); got != outside && !strings.HasPrefix(got, "! output_limit") {
				t.Fatalf("%v: %s", at, got)
			}
		}
	})
}

func TestGuestsWithoutMemory(t *testing.T) {
	m := New()
	input := m.Import(abi.ModuleCore, abi.CoreInput, "ii", "i")
	m.Func(Func{Export: abi.EntryRun, Results: "i", Code: Code(I32(0), I32(0), Call(input))})
	reader := New()
	input = reader.Import(abi.ModuleCore, abi.CoreInput, "ii", "i")
	reader.Func(Func{Export: abi.EntryRun, Results: "i", Code: Code(I32(0), I32(1), Call(input))})
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		wants(t, s, runOf(t, m.Bytes(), `{}`), "! failed: the action ended with status 2")
		wants(t, s, runOf(t, reader.Bytes(), `{}`), "! trap: the guest gave a pointer outside its memory")
	})
}

func TestInitialisationReachesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for what, want := range map[string]string{
			abi.CoreInput:  "! trap: the guest used input while it was being initialised",
			abi.CoreOutput: "! trap: the guest used output while it was being initialised",
			abi.ToolKVGet:  "! trap: the guest called kv.get outside an action",
			"exit":         "! trap: the guest exited while it was being initialised",
			"trap":         "! trap: the guest trapped: unreachable",
		} {
			g := NewGuest(1, 1)
			tool := g.Tool(abi.ToolKVGet)
			exit := g.Import(abi.ModuleWASI, "proc_exit", "i", "")
			g.Func(Func{Export: abi.EntryInitialize, Code: map[string][]byte{
				abi.CoreInput:  Code(I32(0), I32(0), Call(g.Input), Op(Drop)),
				abi.CoreOutput: Code(I32(0), I32(0), Call(g.Output)),
				abi.ToolKVGet:  Code(I32(0), I32(0), Call(tool), Op(Drop)),
				"exit":         Code(I32(0), Call(exit)),
				"trap":         Op(Unreachable),
			}[what]})
			run := runOf(t, g.Run(I32(0)).Bytes(), `{}`)
			calls := &gate{}
			run.Gate = calls
			wants(t, s, run, want)
			if len(calls.calls) > 0 {
				t.Fatal("the gate was reached")
			}
		}
	})
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

func TestManyAtOnceShareNothing(t *testing.T) {
	g := NewGuest(1, 0)
	tool := g.Tool(abi.ToolKVGet)
	seen := g.Global(0)
	module := g.Run(GetGlobal(seen), I64(1), Op(I64Add), SetGlobal(seen),
		GetGlobal(seen), I64(1), Op(0x52), If(Op(Unreachable)), g.CallTool(tool)).Bytes()
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		var wg sync.WaitGroup
		failed := make(chan error, 50)
		for i := range 50 {
			run := runOf(t, module, fmt.Sprintf(`{"n":%d}`, i))
			run.Gate = &gate{answer: func(_ context.Context, _ string, args []byte) (*writ.ToolReply, error) {
				return &writ.ToolReply{Body: args}, nil
			}}
			wg.Go(func() {
				result, err := s.Run(context.Background(), run)
				if err == nil && string(result.Output) != string(run.Input) {
					err = errors.New(string(result.Output))
				}
				failed <- err
			})
		}
		wg.Wait()
		close(failed)
		for err := range failed {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A guest in a tool call holds no slot: with one slot, a call can wait for
// another run.
func TestSlotIsFreeDuringACall(t *testing.T) {
	for name, open := range sandboxes {
		t.Run(name, func(t *testing.T) {
			s := opened(t, open, Options{Slots: 1})
			run := runOf(t, ToolCaller(abi.ToolKVGet), `{}`)
			run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
				wants(t, s, runOf(t, Echo(), `"inner"`), `"inner"`)
				return &writ.ToolReply{Body: []byte(`"outer"`)}, nil
			}}
			wants(t, s, run, `"outer"`)
		})
	}
}
