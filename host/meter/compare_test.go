package meter

import (
	"cmp"
	"testing"

	asm "github.com/writ-run/writ/host/wasmtest"
)

// TestBranchesOnAnAndComparedWithZero: each ordered comparison, of an "and" with
// zero and of zero with an "and", decides a branch as WebAssembly has it.
func TestBranchesOnAnAndComparedWithZero(t *testing.T) {
	values := []uint64{0, 1, 1 << 31, 1<<32 - 1, 1 << 63, 1<<64 - 1}
	onBoth(t, func(t *testing.T, m machine) {
		for op := 0x48; op <= 0x5a; op++ {
			if op >= 0x50 && op <= 0x52 {
				continue // i64.eqz, eq, ne
			}
			wide := op >= 0x53
			for _, left := range []bool{false, true} {
				s := opened(t, m, comparing(byte(op), wide, left), Options{}, limit)
				for _, v := range values {
					got, fault := s.call("run", v)
					if fault != "" {
						t.Fatal(fault)
					}
					if want := compares(byte(op), wide, left, v); uint32(got[0]) != want {
						t.Errorf("0x%x of %x, zero on the left %v: %d, want %d", op, v, left, got[0], want)
					}
				}
			}
		}
	})
}

// comparing is a module that takes one way where (v & v) compares with a zero that
// is a local's first value, and another one else.
func comparing(op byte, wide, left bool) []byte {
	kind, and := "i", asm.Op(opI32And)
	if wide {
		kind, and = "l", asm.Op(opI64And)
	}
	masked := asm.Code(asm.Get(0), asm.Get(0), and)
	code := asm.Code(masked, asm.Get(1), asm.Op(op))
	if left {
		code = asm.Code(asm.Get(1), masked, asm.Op(op))
	}
	code = asm.Code(code, []byte{0x04, 0x7f}, asm.I32(1), []byte{0x05}, asm.I32(0), asm.Op(asm.End))
	g := asm.New()
	g.Func(asm.Func{Export: "run", Params: kind, Results: "i", Locals: kind, Code: code})
	return g.Bytes()
}

// compares is what the instruction says, by Go.
func compares(op byte, wide, left bool, v uint64) uint32 {
	order := op - 0x48
	if wide {
		order = op - 0x53
	}
	var sign int
	switch signed := order%2 == 0; {
	case wide && signed:
		sign = cmp.Compare(int64(v), 0)
	case wide:
		sign = cmp.Compare(v, 0)
	case signed:
		sign = cmp.Compare(int32(uint32(v)), 0)
	default:
		sign = cmp.Compare(uint32(v), 0)
	}
	if left {
		sign = -sign
	}
	// lt, gt, le, ge, each signed and unsigned.
	if [4]bool{sign < 0, sign > 0, sign <= 0, sign >= 0}[order/2] {
		return 1
	}
	return 0
}
