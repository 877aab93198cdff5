package meter

import (
	"fmt"
	"testing"

	asm "github.com/writ-run/writ/host/wasmtest"

	"github.com/writ-run/writ/host/wasm"
)

// nans are operands that make NaNs, with bits of their own.
var (
	nans32 = []uint64{0x7fc00000, 0xffc00000, 0x7fc12345, 0xffffffff, 0x7fa00001, 0x7f800000, 0xff800000, 0}
	nans64 = []uint64{0x7ff8 << 48, 0xfff8 << 48, 0x7ff812345678_9abc, 1<<64 - 1, 0x7ff4<<48 | 1, 0x7ff0 << 48, 0xfff0 << 48, 0}
)

// TestEveryNaNIsTheCanonicalOne runs all arithmetic on operands that make NaNs. An
// f32 is reinterpreted in the guest: nothing else shows its bits.
func TestEveryNaNIsTheCanonicalOne(t *testing.T) {
	onBoth(t, func(t *testing.T, m machine) {
		found := 0
		for op := 0x8b; op <= 0xbb; op++ {
			l := arithmetic(&wasm.Instruction{Op: byte(op)})
			if l != nil {
				found += scalarNaNs(t, m, byte(op), l)
			}
		}
		for sub := range 256 {
			if l := vectorArithmetic(byte(sub)); l != nil {
				found += vectorNaNs(t, m, byte(sub), l)
			}
		}
		if found < 500 {
			t.Errorf("only %d NaNs were made", found)
		}
	})
}

// operands of f32 for f32 results, but for those that convert.
func scalarNaNs(t *testing.T, m machine, op byte, l *lanes) (found int) {
	from, values, reinterpreted := byte(wasm.F32), nans32, []byte{0xbe}
	if wide := op == 0xb6 || l == f64 && op != 0xbb; wide {
		from, values, reinterpreted = wasm.F64, nans64, []byte{0xbf}
	}
	back, canonical := []byte{0xbc}, uint64(0x7fc00000)
	param, result := map[byte]string{wasm.F32: "i", wasm.F64: "l"}[from], "i"
	if l == f64 {
		back, canonical, result = []byte{0xbd}, 0x7ff8<<48, "l"
	}
	g := asm.New()
	code := asm.Code(asm.Get(0), reinterpreted)
	if binary := op >= 0x92 && op <= 0x97 || op >= 0xa0 && op <= 0xa5; binary {
		code = asm.Code(code, asm.Get(1), reinterpreted)
	}
	g.Func(asm.Func{Export: "run", Params: param + param, Results: result, Code: asm.Code(code, asm.Op(op), back)})
	s := opened(t, m, g.Bytes(), Options{}, limit)
	for _, a := range values {
		for _, b := range values {
			got, fault := s.call("run", a, b)
			if fault != "" {
				t.Fatal(fault)
			}
			if l == f32 {
				got[0] = uint64(uint32(got[0]))
			}
			if isNaN(got[0], l) {
				found++
				if got[0] != canonical {
					t.Errorf("0x%02x(%x, %x) = %x", op, a, b, got[0])
				}
			}
		}
	}
	return found
}

func isNaN(bits uint64, l *lanes) bool {
	if l == f32 || l == f32x4 {
		return bits&0x7fffffff > 0x7f800000
	}
	return bits&^(1<<63) > 0x7ff0<<48
}

func vectorNaNs(t *testing.T, m machine, sub byte, l *lanes) (found int) {
	values := nans64
	if l == f32x4 && sub != 0x5e || sub == 0x5f {
		values = nil
		for i, v := range nans32 {
			values = append(values, v|nans32[(i+3)%len(nans32)]<<32)
		}
	}
	op := []byte{wasm.OpVector, sub}
	if sub >= 0x80 {
		op = append(op, 1)
	}
	splat := []byte{wasm.OpVector, 0x12} // of an i64
	code := asm.Code(asm.Get(0), splat)
	if binary := sub >= 0xe4 && sub <= 0xe9 || sub >= 0xf0; binary {
		code = asm.Code(code, asm.Get(1), splat)
	}
	lane := []byte{wasm.OpVector, 0x1d, 0}
	g := asm.New()
	g.Func(asm.Func{Export: "run", Params: "ll", Results: "l", Code: asm.Code(code, op, lane)})
	s := opened(t, m, g.Bytes(), Options{}, limit)
	for _, a := range values {
		for _, b := range values {
			got, fault := s.call("run", a, b)
			if fault != "" {
				t.Fatal(fault)
			}
			lanes, canonical := []uint64{got[0]}, uint64(0x7ff8<<48)
			if l == f32x4 {
				lanes, canonical = []uint64{got[0] & 0xffffffff, got[0] >> 32}, 0x7fc00000
			}
			for _, bits := range lanes {
				if isNaN(bits, l) {
					found++
					if bits != canonical {
						t.Errorf("0xfd 0x%02x(%x, %x) = %x", sub, a, b, bits)
					}
				}
			}
		}
	}
	return found
}

// TestArithmeticIsAllThatMakesNaNs counts what the specification lists.
func TestArithmeticIsAllThatMakesNaNs(t *testing.T) {
	counts := map[string]int{}
	for op := range 256 {
		if l := arithmetic(&wasm.Instruction{Op: byte(op)}); l != nil && op != wasm.OpVector {
			counts[fmt.Sprintf("%x", l.local)]++
		}
		switch vectorArithmetic(byte(op)) {
		case f32x4:
			counts["f32x4"]++
		case f64x2:
			counts["f64x2"]++
		}
	}
	// ceil, floor, trunc, nearest, sqrt; add, sub, mul, div, min, max; a conversion.
	if counts["7d"] != 12 || counts["7c"] != 12 || counts["f32x4"] != 12 || counts["f64x2"] != 12 {
		t.Errorf("%v", counts)
	}
}
