package wasmtest

import "slices"

// Instructions without operands.
const (
	Unreachable = 0x00
	Else        = 0x05
	End         = 0x0b
	Return      = 0x0f
	Drop        = 0x1a
	I32Eqz      = 0x45
	I32Add      = 0x6a
	I32Sub      = 0x6b
	I32ShrU     = 0x76
	I32LtS      = 0x48
	I64Add      = 0x7c
	I64Sub      = 0x7d
	I64ShrU     = 0x88
	I32WrapI64  = 0xa7
	I64ExtendU  = 0xad
)

// Op is an instruction without operands.
func Op(codes ...byte) []byte { return codes }

// U32 is the unsigned LEB128 of n.
func U32(n uint32) []byte {
	var out []byte
	for n >= 0x80 {
		out = append(out, byte(n)|0x80)
		n >>= 7
	}
	return append(out, byte(n))
}

// signed is the signed LEB128 of n.
func signed(n int64) []byte {
	var out []byte
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if (n == 0 && b&0x40 == 0) || (n == -1 && b&0x40 != 0) {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// I32 pushes a constant.
func I32(n int32) []byte { return append([]byte{0x41}, signed(int64(n))...) }

// I64 pushes a constant.
func I64(n int64) []byte { return append([]byte{0x42}, signed(n)...) }

// Get pushes a local.
func Get(local uint32) []byte { return append([]byte{0x20}, U32(local)...) }

// Set pops into a local.
func Set(local uint32) []byte { return append([]byte{0x21}, U32(local)...) }

// GetGlobal pushes a global.
func GetGlobal(global uint32) []byte { return append([]byte{0x23}, U32(global)...) }

// SetGlobal pops into a global.
func SetGlobal(global uint32) []byte { return append([]byte{0x24}, U32(global)...) }

// Call calls the function.
func Call(function uint32) []byte { return append([]byte{0x10}, U32(function)...) }

// Branch goes to the label that stands depth levels out.
func Branch(depth uint32) []byte { return append([]byte{0x0c}, U32(depth)...) }

// Repeat repeats its body as long as the body branches to it.
func Repeat(body ...[]byte) []byte { return structured(0x03, body) }

// If runs its body where the popped i32 is not zero.
func If(body ...[]byte) []byte { return structured(0x04, body) }

// Grow pops a number of pages and pushes the memory's former size, or -1.
func Grow() []byte { return []byte{0x40, 0} }

// Load pops an address and pushes the i32 there.
func Load() []byte { return []byte{0x28, 2, 0} }

// LoadByte pops an address and pushes the byte that stands offset behind it.
func LoadByte(offset uint32) []byte { return append([]byte{0x2d, 0}, U32(offset)...) }

// Store pops a value and an address and stores the i32.
func Store() []byte { return []byte{0x36, 2, 0} }

// Store64 pops a value and an address and stores the i64.
func Store64() []byte { return []byte{0x37, 3, 0} }

// GrowTable pops a number of entries and a reference and pushes the former size, or -1.
func GrowTable(table uint32) []byte { return slices.Concat([]byte{0xfc, 15}, U32(table)) }

// NullFunc pushes a null reference to a function.
func NullFunc() []byte { return []byte{0xd0, 0x70} }

// Code joins pieces of code.
func Code(parts ...[]byte) []byte { return slices.Concat(parts...) }

func structured(op byte, body [][]byte) []byte {
	return slices.Concat([]byte{op, 0x40}, slices.Concat(body...), []byte{End})
}
