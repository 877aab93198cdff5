package host

import (
	"fmt"

	"github.com/writ-run/writ/host/wasm"
)

// MaxFunctionCost and MaxModuleCost bound how long a compiler may sit over a
// function and over all of them, in units of some 1.4 us: see functionCost. A
// stock Go program of 13.7 MB comes to 800,000 and 11,000,000; a hostile 67 KB
// function with 8,000,000 took 32 s and 1.1 GiB.
const (
	MaxFunctionCost = 2_000_000
	MaxModuleCost   = 30_000_000
)

// checkCost is *wasm.Error where the module would take a compiler too long.
func checkCost(m *wasm.Module) error {
	total := int64(0)
	for i, b := range m.Bodies {
		parameters := len(m.TypeOf(uint32(m.Imported + i)).Params)
		cost := functionCost(int64(b.Locals+parameters), m.Bytes[b.Code:b.To])
		total += cost
		switch {
		case cost > MaxFunctionCost:
			return &wasm.Error{Offset: b.Code, Message: fmt.Sprintf("a function would cost %d to compile: at most %d are allowed; build with optimisation", cost, MaxFunctionCost)}
		case total > MaxModuleCost:
			return &wasm.Error{Offset: b.Code, Message: fmt.Sprintf("the module would cost over %d to compile; build with optimisation or split the skill", MaxModuleCost)}
		}
	}
	return nil
}

// functionCost follows what was measured of the compiler: locals times structured
// instructions (its phi values), and a part that is quadratic in the latter alone
// (10,000 ifs: 2.1 s). Bytes that look like block, loop, if or else are counted
// without decoding, so the cost may come out too high but never too low.
func functionCost(locals int64, code []byte) int64 {
	structured := int64(0)
	for _, b := range code {
		if b >= 0x02 && b <= 0x05 {
			structured++
		}
	}
	return locals*structured + structured*structured/67
}
