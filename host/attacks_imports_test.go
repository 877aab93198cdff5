package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	. "github.com/writ-run/writ/host/wasmtest"
)

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

func TestAttackImportsThatThisHostDoesNotHave(t *testing.T) {
	with := func(module, name string, descriptor ...byte) []byte {
		m := New().ImportRaw(module, name, descriptor)
		m.Func(Func{Results: "i", Code: I32(0)}) // gives the module its first type
		m.Func(Func{Export: abi.EntryRun, Results: "i", Code: I32(0)})
		return m.Bytes()
	}
	const refused = "! module_invalid: it imports the %s %s, which this host does not have"
	underAttack(t, func(t *testing.T, a *attack) {
		a.run(t, with("env", "system", 0, 0), fmt.Sprintf(refused, "func", "env system"))
		a.run(t, with(abi.ModuleTool, "shell.exec", 0, 0), fmt.Sprintf(refused, "func", abi.ModuleTool+" shell.exec"))
		a.run(t, with("env", "table", 1, 0x70, 0, 1), fmt.Sprintf(refused, "table", "env table"))
		a.run(t, with("env", "memory", 2, 0, 1), fmt.Sprintf(refused, "memory", "env memory"))
		a.run(t, with("env", "global", 3, 0x7f, 0), fmt.Sprintf(refused, "global", "env global"))
		// A host's function under its name, but as something else.
		a.run(t, with(abi.ModuleCore, abi.CoreInput, 3, 0x7f, 1), fmt.Sprintf(refused, "global", abi.ModuleCore+" "+abi.CoreInput))
		a.run(t, with(abi.ModuleCore, abi.CoreInput, 0, 0),
			"! module_invalid: it imports "+abi.ModuleCore+" "+abi.CoreInput+" with another type than this host has it")
	})
}

// knownEnds are the failures in which a guest's misuse of a host function may end.
var knownEnds = []string{
	writ.GuestTrapped, writ.GuestOutputLimit, writ.GuestOutputBad, writ.GuestOutOfMemory, writ.GuestTimeout, GuestFailed, abi.FailInvalid,
}

// Every function of the host is called with every mixture of wild arguments. The
// guest fails or goes on, and the host serves the next.
func TestAttackWildArgumentsOfEveryHostFunction(t *testing.T) {
	wild := []uint64{0, 1, 65_528, 65_535, 65_536, math.MaxInt32, 1 << 31, math.MaxUint32, 1<<32 + 8, math.MaxInt64, 1 << 63, math.MaxUint64}
	all := allFunctions()
	keys := slices.SortedFunc(maps.Keys(all), func(a, b importKey) int {
		return strings.Compare(a.module+" "+a.name, b.module+" "+b.name)
	})
	for lane, open := range sandboxes {
		t.Run(lane, func(t *testing.T) {
			s := opened(t, open, Options{Slots: 1})
			rapid.Check(t, func(t *rapid.T) {
				key := rapid.SampledFrom(keys).Draw(t, "function")
				var args []uint64
				for range all[key].params {
					args = append(args, rapid.SampledFrom(wild).Draw(t, "argument"))
				}
				wildCall(t, s, key, callWith(all[key], key, args))
			})
		})
	}
}

// callWith is a guest, and a plug-in, that calls the function once.
func callWith(f hostFunc, key importKey, args []uint64) []byte {
	g := NewGuest(1, 1)
	call := Code(Call(g.Import(key.module, key.name, f.params, f.results)))
	if f.results != "" {
		call = append(call, Drop)
	}
	var code []byte
	for i, kind := range f.params {
		if kind == 'i' {
			code = append(code, I32(int32(uint32(args[i])))...)
		} else {
			code = append(code, I64(int64(args[i]))...)
		}
	}
	code = append(code, call...)
	g.Data(65_528, binary.LittleEndian.AppendUint64(nil, math.MaxUint64)) // a vector that lies
	g.Export("plugin", code, I32(0))
	return g.Run(code, g.Say(`"went on"`)).Bytes()
}

func wildCall(t *rapid.T, s writ.Sandbox, key importKey, module []byte) {
	run := runOfPermit(module)
	if key.module == abi.ModuleExtism {
		run.ABI, run.Action = abi.Extism1, "plugin"
	}
	run.Limits.Memory = 2 << 20
	result, err := s.Run(context.Background(), run)
	if err != nil {
		t.Fatal(err)
	}
	if f := result.Failure; f != nil && !slices.Contains(knownEnds, f.Code) {
		t.Fatalf("failure %+v", f)
	}
	next, err := s.Run(context.Background(), runOfPermit(Echo()))
	if err != nil || next.Failure != nil || string(next.Output) != "{}" {
		t.Fatalf("the next run: %+v, %v", next, err)
	}
}

func TestAttackLogFlood(t *testing.T) {
	g := NewGuest(1, 1)
	write := g.Import(abi.ModuleWASI, "fd_write", "iiii", "i")
	g.Data(0, []byte{16, 0, 0, 0, 0, 0xf0, 0, 0}) // one vector of 61,440 bytes
	module := g.Run(Repeat(I32(1), I32(0), I32(1), I32(8), Call(write), Op(Drop), Branch(0)), I32(0)).Bytes()
	for lane, open := range sandboxes {
		t.Run(lane, func(t *testing.T) {
			heard := 0
			s := opened(t, open, Options{Slots: 1, GuestOutput: func(l GuestLine) { heard += len(l.Text) }})
			a := attack{s: s, limits: abi.Limits{Time: short}}
			a.run(t, module, overTime)
			// What is not UTF-8 takes three bytes for one.
			if heard == 0 || heard > 3*MaxGuestOutput {
				t.Fatalf("%d bytes were passed on", heard)
			}
		})
	}
}

func TestAttackPluginLogFlood(t *testing.T) {
	m := New()
	alloc := m.Import(abi.ModuleExtism, "alloc", "l", "l")
	log := m.Import(abi.ModuleExtism, "log_error", "l", "")
	m.Func(Func{Export: "run", Results: "i", Code: Code(Repeat(I64(4096), Call(alloc), Call(log), Branch(0)), I32(0))})
	for lane, open := range sandboxes {
		t.Run(lane, func(t *testing.T) {
			heard := 0
			s := opened(t, open, Options{Slots: 1, GuestOutput: func(l GuestLine) { heard += len(l.Text) }})
			a := attack{s: s, plugin: "run", limits: abi.Limits{Time: short}}
			a.run(t, m.Bytes(), overTime)
			if heard == 0 || heard > 3*MaxGuestOutput {
				t.Fatalf("%d bytes were passed on", heard)
			}
		})
	}
}

func TestAttackRandomAndClockFlood(t *testing.T) {
	random := NewGuest(16, 16)
	get := random.Import(abi.ModuleWASI, "random_get", "ii", "i")
	clock := NewGuest(1, 1)
	now := clock.Import(abi.ModuleWASI, "clock_time_get", "ili", "i")
	draws := random.Run(Repeat(I32(0), I32(1<<20), Call(get), Op(Drop), Branch(0)), I32(0)).Bytes()
	looks := clock.Run(Repeat(I32(0), I64(0), I32(0), Call(now), Op(Drop), Branch(0)), I32(0)).Bytes()
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Time = short
		a.run(t, draws, overTime)
		a.run(t, looks, overTime)
	})
}

func TestAttackToolCallFlood(t *testing.T) {
	g := NewGuest(1, 1)
	tool := g.Tool(abi.ToolKVGet)
	g.Data(0, []byte("{}"))
	module := g.Run(Repeat(I32(0), I32(2), Call(tool), Op(Drop), Branch(0)), I32(0)).Bytes()
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Calls = MaxCalls
		a.run(t, module, "! call_limit: the step's number of tool calls is used up")
	})
}
