package meter

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	asm "github.com/writ-run/writ/host/wasmtest"
)

// recursing are functions of index 1 that call themselves for ever and make much
// of their frames; 0 is a leaf that gives its parameter back.
func recursing() map[string]asm.Func {
	const many = 900
	get := func(n int) (out []byte) {
		for i := range n {
			out = append(out, asm.Get(uint32(i))...)
		}
		return out
	}
	// keep adds up all locals, so that each is needed after the calls before.
	keep := func(from, n int, add byte) (out []byte) {
		for i := from; i < from+n; i++ {
			out = append(out, asm.Code(asm.Get(uint32(i)), asm.Op(add))...)
		}
		return out
	}
	var fromCalls, onStack, joins []byte
	for i := range many {
		fromCalls = append(fromCalls, asm.Code(asm.Get(0), asm.Call(0), asm.Set(uint32(1+i)))...)
		onStack = append(onStack, asm.Code(asm.Get(0), asm.Call(0))...)
		joins = append(joins, asm.Code(asm.Get(0), asm.Op(asm.I32WrapI64), asm.If(asm.Get(0), asm.Call(0), asm.Set(uint32(1+i%30))))...)
		joins = append(joins, asm.Code(asm.Get(0), asm.Call(0), asm.Get(uint32(1+i%30)), asm.Op(0x7e), asm.Set(0))...)
	}
	longs := strings.Repeat("l", many)
	return map[string]asm.Func{
		"nothing":    {Code: asm.Call(1)},
		"one":        {Params: "l", Results: "l", Code: asm.Code(asm.Get(0), asm.Call(1), asm.Get(0), asm.Op(asm.I64Add))},
		"parameters": {Params: longs, Results: "l", Code: asm.Code(get(many), asm.Call(1), keep(0, many, asm.I64Add))},
		"calls": {Params: "l", Results: "l", Locals: longs, Code: asm.Code(
			fromCalls, asm.Get(0), asm.Call(1), keep(1, many, asm.I64Add),
		)},
		"operands": {Params: "l", Results: "l", Code: asm.Code(
			onStack, asm.Get(0), asm.Call(1), bytes.Repeat(asm.Op(asm.I64Add), many),
		)},
		"vectors": {Params: "l", Results: "l", Code: asm.Code(
			bytes.ReplaceAll(onStack, asm.Call(0), asm.Code(asm.Call(0), []byte{0xfd, 0x12})), asm.Get(0), asm.Call(1), []byte{0xfd, 0x12},
			bytes.Repeat([]byte{0xfd, 0xce, 1}, many), []byte{0xfd, 0x1d, 0},
		)},
		"joins": {Params: "l", Results: "l", Locals: strings.Repeat("l", 30), Code: asm.Code(
			joins, asm.Get(0), asm.Call(1), keep(1, 30, asm.I64Add),
		)},
	}
}

// TestRecursionEndsBeforeTheStackDoes runs into Stack with frames of every kind:
// it is the meter that ends them, after the same fuel each time, and what the
// engine takes for its stack is bounded.
func TestRecursionEndsBeforeTheStackDoes(t *testing.T) {
	for name, f := range recursing() {
		t.Run(name, func(t *testing.T) {
			m := asm.New()
			m.Func(asm.Func{Params: "l", Results: "l", Code: asm.Get(0)})
			f.Export = "run"
			m.Func(f)
			s := opened(t, compiler, m.Bytes(), Options{}, limit)
			params := make([]uint64, len(f.Params))
			for i := range params {
				params[i] = 1
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, fault := s.call("run", params...)
			runtime.ReadMemStats(&after)
			if fault != overflow || !s.deep {
				t.Fatalf("%q, by the meter: %t", fault, s.deep)
			}
			t.Logf("%d KiB allocated, %d fuel", (after.TotalAlloc-before.TotalAlloc)>>10, s.used())
		})
	}
}
