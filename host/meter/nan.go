package meter

import "github.com/writ-run/writ/host/wasm"

// lanes is how a floating-point type compares with itself and chooses.
type lanes struct {
	local  byte   // type of a local that holds it
	nan    code   // pushes the canonical NaN
	equal  code   // which lanes are numbers
	choose []byte // between the value and the NaN
}

const (
	opF32Eq      = 0x5b
	opF64Eq      = 0x61
	vectorConst  = 0x0c
	vectorSelect = 0x52
	vectorF32Eq  = 0x41
	vectorF64Eq  = 0x47
)

// The canonical NaN of the core specification: the sign clear, only the top bit of
// the fraction set.
var (
	nan32 = []byte{0, 0, 0xc0, 0x7f}
	nan64 = []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f}
)

var (
	f32   = &lanes{wasm.F32, append(code{wasm.OpF32Const}, nan32...), code{opF32Eq}, []byte{wasm.OpSelect}}
	f64   = &lanes{wasm.F64, append(code{wasm.OpF64Const}, nan64...), code{opF64Eq}, []byte{wasm.OpSelect}}
	f32x4 = &lanes{wasm.V128, repeated(nan32, 4), code{wasm.OpVector, vectorF32Eq}, []byte{wasm.OpVector, vectorSelect}}
	f64x2 = &lanes{wasm.V128, repeated(nan64, 2), code{wasm.OpVector, vectorF64Eq}, []byte{wasm.OpVector, vectorSelect}}
)

func repeated(lane []byte, times int) code {
	c := code{wasm.OpVector, vectorConst}
	for range times {
		c.op(lane...)
	}
	return c
}

// arithmetic is the type of an instruction's result where that may be a NaN with
// bits that differ between machines; nil for all others.
func arithmetic(in *wasm.Instruction) *lanes {
	switch op := in.Op; {
	case op < 0x8d || op > 0xbb && op != wasm.OpVector:
	case op <= 0x97 || op == 0xb6: // f32: ceil to max, demote
		return f32
	case op >= 0x9b && op <= 0xa5 || op == 0xbb: // f64: ceil to max, promote
		return f64
	case op == wasm.OpVector:
		return vectorArithmetic(in.Sub)
	}
	return nil
}

func vectorArithmetic(sub byte) *lanes {
	switch {
	case sub >= 0x67 && sub <= 0x6a, sub == 0x5e, // ceil, floor, trunc, nearest; demote
		sub >= 0xe3 && sub <= 0xe9: // sqrt, add, sub, mul, div, min, max
		return f32x4
	case sub == 0x74, sub == 0x75, sub == 0x7a, sub == 0x94, sub == 0x5f,
		sub >= 0xef && sub <= 0xf5:
		return f64x2
	}
	return nil
}

// absorbs reports whether an instruction treats all NaNs on top of the stack
// alike: arithmetic whose result is made canonical itself, and comparisons.
func absorbs(op byte, l *lanes) bool {
	switch l {
	case f32:
		return op >= 0x5b && op <= 0x60 || op >= 0x8d && op <= 0x97 || op == 0xbb
	case f64:
		return op >= 0x61 && op <= 0x66 || op >= 0x9b && op <= 0xa5 || op == 0xb6
	}
	return false
}

// canonical writes behind arithmetic what turns any NaN into the one.
func (f *function) canonical(in *wasm.Instruction) {
	l := arithmetic(in)
	if l == nil || !f.live() || absorbs(f.in.Peek(), l) {
		return
	}
	c, value := f.after(in), f.local(l.local)
	c.indexed(wasm.OpLocalTee, value)
	c.op(l.nan...)
	c.indexed(wasm.OpLocalGet, value)
	c.indexed(wasm.OpLocalGet, value)
	c.op(l.equal...)
	c.op(l.choose...)
}
