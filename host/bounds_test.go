package host

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/wasm"
	"github.com/writ-run/writ/host/wasmtest"
)

// many is a section that holds n times an item.
func many(id byte, n int, item ...byte) []byte {
	return wasmtest.Section(id, slices.Concat(wasmtest.U32(uint32(n)), bytes.Repeat(item, n)))
}

// Every count that a module gives of itself is bounded before anything is made of
// it: as many are read, and not one more.
func TestCountsAtTheirBounds(t *testing.T) {
	oneType := many(1, 1, 0x60, 0, 0)
	memory := wasmtest.Section(5, []byte{1, 0, 1})
	for name, c := range map[string]struct {
		bound int
		of    func(n int) []byte
	}{
		"types":            {wasm.MaxItems, func(n int) []byte { return concat(many(1, n, 0x60, 0, 0)) }},
		"parameters":       {wasm.MaxArity, func(n int) []byte { return concat(arity(n, 0)) }},
		"results":          {wasm.MaxArity, func(n int) []byte { return concat(arity(0, n)) }},
		"imports":          {wasm.MaxImports, func(n int) []byte { return concat(oneType, many(2, n, 1, 'm', 1, 'f', 0, 0)) }},
		"functions":        {wasm.MaxItems, func(n int) []byte { return concat(oneType, many(3, n, 0), many(10, n, 2, 0, 0x0b)) }},
		"tables":           {wasm.MaxTables, func(n int) []byte { return concat(many(4, n, 0x70, 0, 1)) }},
		"memories":         {1, func(n int) []byte { return concat(many(5, n, 0, 1)) }},
		"globals":          {wasm.MaxItems, func(n int) []byte { return concat(many(6, n, 0x7f, 0, 0x41, 0, 0x0b)) }},
		"element segments": {wasm.MaxItems, func(n int) []byte { return concat(many(9, n, 1, 0, 0)) }},
		"elements": {wasm.MaxItems, func(n int) []byte {
			return concat(oneType, many(3, 1, 0), wasmtest.Section(9, elements(n)), many(10, 1, 2, 0, 0x0b))
		}},
		"data segments": {wasm.MaxItems, func(n int) []byte { return concat(memory, many(11, n, 1, 0)) }},
		"name":          {wasm.MaxNameBytes, func(n int) []byte { return concat(oneType, wasmtest.Section(2, named(n))) }},
		"locals":        {wasm.MaxLocals, func(n int) []byte { return localsOf(uint32(n)) }},
		"table entries": {wasm.MaxTableEntries, func(n int) []byte { return wasmtest.New().Table(uint32(n), 0).Bytes() }},
	} {
		if _, err := NewInspector().Inspect(c.of(c.bound)); err != nil {
			t.Errorf("%s at the bound: %v", name, err)
		}
		if _, err := NewInspector().Inspect(c.of(c.bound + 1)); writ.CodeOf(err) != writ.CodeInvalid {
			t.Errorf("%s past the bound: %v", name, err)
		}
	}
}

func arity(params, results int) []byte {
	values := func(n int) []byte { return append(wasmtest.U32(uint32(n)), bytes.Repeat([]byte{0x7f}, n)...) }
	return wasmtest.Section(1, slices.Concat([]byte{1, 0x60}, values(params), values(results)))
}

func elements(n int) []byte {
	return slices.Concat([]byte{1, 1, 0}, wasmtest.U32(uint32(n)), make([]byte, n))
}

func named(n int) []byte {
	return slices.Concat([]byte{1}, wasmtest.U32(uint32(n)), []byte(strings.Repeat("x", n)), []byte{1, 'f', 0, 0})
}

// Whatever the bytes are, a run of them ends, in a result.
func FuzzRun(f *testing.F) {
	f.Add(wasmtest.Echo())
	f.Add(wasmtest.Loop())
	f.Add(wasmtest.ToolCaller(abi.ToolKVGet))
	f.Add(wasmtest.NewGuest(65536, 0).Run(wasmtest.I32(0)).Bytes())
	f.Add(phiBomb(10, 10))
	f.Add(concat())
	s := opened(f, NewSandbox, Options{Modules: 1 << 20})
	f.Fuzz(func(t *testing.T, module []byte) {
		run := runOfPermit(module)
		run.Limits = abi.Limits{Memory: 2 << 20, Time: abi.Duration(20 * time.Millisecond), Fuel: 10_000_000}
		result, err := s.Run(context.Background(), run)
		if err != nil {
			t.Fatal(err)
		}
		if (result.Failure == nil) == (result.Output == nil) {
			t.Fatalf("output %q, failure %v", result.Output, result.Failure)
		}
	})
}
