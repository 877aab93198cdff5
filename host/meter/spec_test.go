package meter

import (
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/writ-run/writ/host/wasm"
)

// moduleDir is where the go command keeps the sources of a dependency.
func moduleDir(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// script is a test of the WebAssembly specification, as wazero carries it.
type script struct {
	Commands []struct {
		Type     string
		Line     int
		Filename string
		Action   struct {
			Type, Module, Field string
			Args                []specValue
		}
	}
}

type specValue struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

// bits are the value as wazero takes it; false for references, which differ
// between instances.
func (v specValue) bits() ([]uint64, bool) {
	if v.Type != "v128" {
		text, ok := v.Value.(string)
		if !ok || strings.HasSuffix(v.Type, "ref") {
			return nil, false
		}
		return []uint64{number(text, v.Type)}, true
	}
	lanes := v.Value.([]any)
	width := 128 / len(lanes)
	out := make([]uint64, 2)
	for i, lane := range lanes {
		at := i * width
		n := number(lane.(string), v.LaneType)
		if width < 64 {
			n &= 1<<width - 1
		}
		out[at/64] |= n << (at % 64)
	}
	return out, true
}

func number(text, kind string) uint64 {
	if strings.HasPrefix(text, "nan:") {
		if kind == "f32" {
			return 0x7fc00000
		}
		return 0x7ff8000000000000
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		negative, _ := strconv.ParseInt(text, 10, 64)
		n = uint64(negative)
	}
	if kind == "i32" || kind == "f32" {
		n = uint64(uint32(n))
	}
	return n
}

const (
	outOfBounds = "out of bounds memory access"
	overflow    = "stack overflow"
)

// trio is a module as it is, and derived on both engines.
type trio struct {
	outline                      *wasm.Module
	reserved                     bool // more memory than the module has
	plain, compiled, interpreted *subject
}

func openTrio(t *testing.T, module []byte) *trio {
	t.Helper()
	outline, err := wasm.Parse(module)
	if err != nil {
		return nil
	}
	for _, im := range outline.Imports {
		if im.Kind != wasm.KindFunc {
			return nil
		}
	}
	var three trio
	pages := pagesFor(outline)
	three.reserved = outline.Memory != nil && pages > outline.Memory.Min
	derived, err := Rewrite(module, Options{Pages: pages})
	if err != nil {
		return nil
	}
	var faults [3]error
	three.outline = outline
	three.plain, faults[0] = compiler.open(t, module, nil, 0)
	three.compiled, faults[1] = compiler.open(t, module, derived, limit)
	three.interpreted, faults[2] = interpreter.open(t, module, derived, limit)
	if (faults[0] == nil) != (faults[1] == nil) || (faults[0] == nil) != (faults[2] == nil) {
		t.Errorf("instantiation differs: %v", faults)
	}
	if faults[0] != nil || faults[1] != nil || faults[2] != nil {
		return nil
	}
	return &three
}

// pagesFor is memory to grow for a module that does, and no more than it has for
// one that does not: then it traps where it did.
func pagesFor(m *wasm.Module) uint32 {
	switch {
	case m.Memory == nil:
		return 0
	case grows(m):
		return min(m.Memory.Min+1000, maxPages)
	}
	return m.Memory.Min
}

// grows reports whether the module has a memory.grow.
func grows(m *wasm.Module) bool {
	for _, b := range m.Bodies {
		var in wasm.Instruction
		for code := m.Code(b); code.Next(&in); {
			if in.Op == wasm.OpMemoryGrow {
				return true
			}
		}
	}
	return false
}

func (x *trio) close() {
	for _, s := range []*subject{x.plain, x.compiled, x.interpreted} {
		s.close()
	}
}

// signature gives the type of an exported function.
func (x *trio) signature(field string) (wasm.Signature, bool) {
	for _, e := range x.outline.Exports {
		if e.Kind == wasm.KindFunc && e.Name == field {
			return x.outline.TypeOf(e.Index), true
		}
	}
	return wasm.Signature{}, false
}

// compare calls a function on all three and says how they differ.
func (x *trio) compare(field string, params []uint64) string {
	sig, _ := x.signature(field)
	compiled, interpreted := x.compiled.used(), x.interpreted.used()
	want, wantFault := x.plain.call(field, params...)
	got, gotFault := x.compiled.call(field, params...)
	also, alsoFault := x.interpreted.call(field, params...)
	switch {
	case wantFault == outOfBounds && x.reserved && gotFault == alsoFault:
		return "" // there is more memory than the module sees
	case wantFault == overflow && gotFault == overflow:
		return "" // the interpreter has a stack of its own
	case gotFault != wantFault || alsoFault != wantFault:
		return fmt.Sprintf("faults %q, %q, %q", wantFault, gotFault, alsoFault)
	case wantFault == "":
		if difference := sameResults(sig.Results, want, got); difference != "" {
			return "derived: " + difference
		}
		if difference := sameResults(sig.Results, got, also); difference != "" {
			return "interpreted: " + difference
		}
	}
	if a, b := x.compiled.used()-compiled, x.interpreted.used()-interpreted; a != b {
		return fmt.Sprintf("fuel %d compiled, %d interpreted", a, b)
	}
	return ""
}

// sameResults compares bit by bit, but a NaN may have become the canonical one.
func sameResults(types string, want, got []uint64) string {
	at := 0
	for i := range len(types) {
		same := true
		switch types[i] {
		case wasm.I32:
			same = uint32(want[at]) == uint32(got[at])
		case wasm.I64:
			same = want[at] == got[at]
		case wasm.F32:
			same = same32(uint32(want[at]), uint32(got[at]))
		case wasm.F64:
			same = same64(want[at], got[at])
		case wasm.V128:
			for range 2 {
				same = same && (same64(want[at], got[at]) ||
					same32(uint32(want[at]), uint32(got[at])) && same32(uint32(want[at]>>32), uint32(got[at]>>32)))
				at++
			}
			at--
		default:
			same = (want[at] == 0) == (got[at] == 0)
		}
		at++
		if !same {
			return fmt.Sprintf("result %d: %x, want %x", i, got, want)
		}
	}
	return ""
}

func same32(want, got uint32) bool {
	return want == got || got == 0x7fc00000 && math.IsNaN(float64(math.Float32frombits(want)))
}

func same64(want, got uint64) bool {
	return want == got || got == 0x7ff8000000000000 && math.IsNaN(math.Float64frombits(want))
}

// known are the calls whose results may differ: an earlier one wrote behind the
// memory that the module has, and did not trap.
var known = map[string]bool{
	"memory_grow.json load_at_zero":      true,
	"memory_grow.json load_at_page_size": true,
}

// TestSpecification runs the scripts of the WebAssembly specification on modules
// as they are and derived: results, traps and, on both engines, fuel are equal.
func TestSpecification(t *testing.T) {
	dir := filepath.Join(moduleDir(t, "github.com/tetratelabs/wazero"), "internal", "integration_test", "spectest", "v2", "testdata")
	scripts, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(scripts) < 100 {
		t.Fatal(len(scripts), err)
	}
	modules, calls := 0, 0
	for _, path := range scripts {
		m, c := runScript(t, path)
		modules, calls = modules+m, calls+c
	}
	t.Logf("%d modules, %d calls", modules, calls)
	if modules < 1000 || calls < 20_000 {
		t.Errorf("only %d modules and %d calls were compared", modules, calls)
	}
}

func runScript(t *testing.T, path string) (modules, calls int) {
	var s script
	if err := json.Unmarshal(load(t, path), &s); err != nil {
		t.Fatal(path, err)
	}
	var x *trio
	for _, c := range s.Commands {
		switch c.Type {
		case "module":
			if x != nil {
				x.close()
			}
			if x = openTrio(t, load(t, filepath.Join(filepath.Dir(path), c.Filename))); x != nil {
				modules++
			}
		case "assert_return", "assert_trap", "assert_exhaustion", "action":
			if x == nil || c.Action.Type != "invoke" || c.Action.Module != "" {
				continue
			}
			var params []uint64
			passable := true
			for _, a := range c.Action.Args {
				bits, ok := a.bits()
				params, passable = append(params, bits...), passable && ok
			}
			if _, ok := x.signature(c.Action.Field); !ok || !passable {
				continue
			}
			calls++
			if difference := x.compare(c.Action.Field, params); difference != "" && !known[filepath.Base(path)+" "+c.Action.Field] {
				t.Errorf("%s line %d: %s%v: %s", filepath.Base(path), c.Line, c.Action.Field, params, difference)
			}
		}
	}
	if x != nil {
		x.close()
	}
	return modules, calls
}
