package host

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	. "github.com/writ-run/writ/host/wasmtest"
)

// finds is code that ends the action with the text where the popped i32 is not zero.
func finds(g *Guest, at uint32, text string) []byte {
	g.Data(at, []byte(text))
	return If(I32(int32(at)), I32(int32(len(text))), Call(g.Output), I32(0), Op(Return))
}

// leaver leaves a mark wherever a guest of abi.V1 can write, and says where it
// finds one. beyond is an address outside its memory and within what is reserved.
func leaver() []byte {
	const low, grown, beyond = 1000, 2 * pageBytes, smallMemory - 8
	g := NewGuest(1, 0)
	seen := g.Global(0)
	mark := func(address int32) []byte { return Code(I32(address), I32(1), Store()) }
	check := func(at uint32, address int32, text string) []byte {
		return Code(I32(address), Load(), finds(g, at, text))
	}
	return g.Run(
		GetGlobal(seen), Op(I32WrapI64), finds(g, 4096, `"in a global"`),
		check(4160, low, `"in memory"`),
		[]byte{0x3f, 0}, I32(1), Op(I32Sub), finds(g, 4224, `"in the size of memory"`),
		I32(3), Grow(), Op(Drop),
		check(4288, grown, `"in memory that was grown"`),
		check(4352, beyond, `"in memory that it does not have"`),
		I64(1), SetGlobal(seen), mark(low), mark(grown), mark(beyond),
		g.Say(`"nothing"`),
	).Bytes()
}

// tableLeaver is leaver for a table, whose instances are never used again.
func tableLeaver() []byte {
	g := NewGuest(1, 1)
	g.Table(1, 1)
	return g.Run(
		I32(0), []byte{0x25, 0, 0xd1}, Op(I32Eqz), finds(g, 4200, `"in a table"`), // table.get, ref.is_null
		I32(0), []byte{0xd2, 5, 0x26, 0}, // ref.func, table.set
		g.Say(`"nothing"`),
	).Bytes()
}

// blockLeaver is a plug-in that looks into blocks and variables.
func blockLeaver() []byte {
	m := New()
	alloc := m.Import(abi.ModuleExtism, "alloc", "l", "l")
	load := m.Import(abi.ModuleExtism, "load_u64", "l", "l")
	store := m.Import(abi.ModuleExtism, "store_u64", "ll", "")
	get := m.Import(abi.ModuleExtism, "var_get", "l", "l")
	set := m.Import(abi.ModuleExtism, "var_set", "ll", "")
	name := func() []byte { return Code(I64(8), Call(alloc), Set(0), Get(0), I64(0x61), Call(store), Get(0)) }
	m.Memory(1, 1)
	m.Func(Func{Export: abi.EntryRun, Results: "i", Locals: "ll", Code: Code(
		I64(4096), Call(alloc), Set(1), Get(1), Call(load), Op(I32WrapI64), If(I32(1), Op(Return)),
		name(), Call(get), Op(I32WrapI64), If(I32(2), Op(Return)),
		Get(1), I64(-1), Call(store), name(), Get(1), Call(set), I32(0),
	)})
	return m.Bytes()
}

// Nothing that a run leaves behind reaches the next one, of whatever step,
// execution or tenant, however its instance was come by.
func TestNothingLeaksFromRunToRun(t *testing.T) {
	for name, c := range map[string]struct {
		module []byte
		abi    string
		want   string
	}{
		"memory and globals":   {leaver(), abi.V1, `"nothing"`},
		"tables":               {tableLeaver(), abi.V1, `"nothing"`},
		"blocks and variables": {blockLeaver(), abi.Extism1, `""`},
		"variables of the SDK": {extismModule(t, "var"), abi.Extism1, `"a: 0"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := opened(t, NewSandbox, Options{})
			p := programOf(t, s, c.module)
			for n, origin := range []string{"fresh", "reused", "reused", "cloned", "reused", "fresh", "cloned", "cloned"} {
				origins[origin](p)
				run := runOf(t, c.module, `{}`)
				run.ABI, run.Permit, run.Limits.Memory = c.abi, tenantPermit(t, c.module, n), smallMemory
				if c.abi == abi.Extism1 {
					run.Action = map[bool]string{true: "run_test", false: abi.EntryRun}[c.want == `"a: 0"`]
				}
				wants(t, s, run, c.want)
			}
		})
	}
}

// tenantPermit is a permit of a tenant, execution and step of its own.
func tenantPermit(t testing.TB, module []byte, n int) writ.Permit {
	t.Helper()
	id := fmt.Sprint("_", n)
	p, err := writ.MintPermit(writ.PermitScope{
		Tenant: writ.TenantID("tenant" + id), Execution: writ.ExecutionID("exe" + id), Step: writ.StepID("stp" + id),
		Skill: writ.SkillRef{Key: "test/guest", Version: "1.0.0", Module: canon.SHA256(module)},
	}, writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: abi.RiskLow}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestALineThatWasBegunEndsWithItsRun(t *testing.T) {
	g := NewGuest(1, 1)
	write := g.Import(abi.ModuleWASI, "fd_write", "iiii", "i")
	g.Data(8, []byte{16, 0, 0, 0, 5, 0, 0, 0}).Data(16, []byte("begun"))
	var lines []string
	s := opened(t, NewSandbox, Options{GuestOutput: func(l GuestLine) { lines = append(lines, fmt.Sprint(l.Execution, " ", l.Text)) }})
	module := g.Run(I32(1), I32(8), I32(1), I32(0), Call(write), Op(Drop), g.Say(`"x"`)).Bytes()
	for n := range 3 {
		run := runOf(t, module, `{}`)
		run.Permit = tenantPermit(t, module, n)
		wants(t, s, run, `"x"`)
	}
	if want := []string{"exe_0 begun", "exe_1 begun", "exe_2 begun"}; !slices.Equal(lines, want) {
		t.Fatalf("lines %q", lines)
	}
}

// What the host takes from a guest is a copy: the guest's memory is another's soon.
func TestWhatLeavesAGuestIsACopy(t *testing.T) {
	s := opened(t, NewSandbox, Options{})
	module := ToolCaller(abi.ToolLog)
	var kept [][]byte
	var outputs [][]byte
	for n := range 3 {
		run := runOf(t, module, fmt.Sprintf(`{"message":"%s"}`, bytes.Repeat([]byte{byte('a' + n)}, 3000)))
		run.Gate = &gate{answer: func(_ context.Context, _ string, args []byte) (*writ.ToolReply, error) {
			kept = append(kept, args)
			return &writ.ToolReply{Body: bytes.Clone(args)}, nil
		}}
		result, err := s.Run(context.Background(), run)
		if err != nil || result.Failure != nil {
			t.Fatalf("%+v, %v", result, err)
		}
		outputs = append(outputs, result.Output)
	}
	for n := range kept {
		want := fmt.Sprintf(`{"message":"%s"}`, bytes.Repeat([]byte{byte('a' + n)}, 3000))
		if string(kept[n]) != want || string(outputs[n]) != want {
			t.Errorf("run %d: %.40s and %.40s", n, kept[n], outputs[n])
		}
	}
}
