package meter

import (
	"bytes"

	"github.com/writ-run/writ/host/wasm"
)

const (
	opI32And = 0x71
	opI32Or  = 0x72
	opI64And = 0x83
)

// compared keeps wazero's compiler from one mistake. Where an ordered comparison
// of an "and" with zero decides a branch, it tests the "and" and forgets the order
// of the two (zero on the left, on amd64 and arm64) or that a test leaves no carry
// (unsigned, on arm64). A right operand that passes through an "or" with zero is no
// "and" and no constant any more. Found by TestGeneratedModulesDoTheSame; v1.12.0,
// tryLowerBandToFlag. Equality is compiled well.
func (f *function) compared(in *wasm.Instruction) {
	var zero, or byte
	var and bool
	switch {
	case in.Op >= 0x48 && in.Op <= 0x4f: // i32.lt_s to i32.ge_u
		and, zero, or = f.and32, wasm.OpI32Const, opI32Or
	case in.Op >= 0x53 && in.Op <= 0x5a: // i64.lt_s to i64.ge_u
		and, zero, or = f.and64, wasm.OpI64Const, opI64Or
	default:
		return
	}
	if and {
		f.before(in).op(zero, 0, or)
	}
}

// has says whether a body may have an instruction. A byte that only looks like it
// costs an "or" too many.
func (f *function) has(op byte) bool {
	return bytes.IndexByte(f.m.Bytes[f.body.Code:f.body.To], op) >= 0
}
