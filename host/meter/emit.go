package meter

import "github.com/writ-run/writ/host/wasm"

// Instructions that only emitted code needs; wasm has the others.
const (
	opI64ShrU     = 0x88
	opI64ExtendU  = 0xad
	opI32Add      = 0x6a
	opI32Sub      = 0x6b
	opI32GtU      = 0x4b
	opI32LeU      = 0x4d
	opI64LtS      = 0x53
	opI64Add      = 0x7c
	opI64Sub      = 0x7d
	opI64Mul      = 0x7e
	opI64Or       = 0x84
	noBlockType   = 0x40
	functionType  = 0x60
	mutableGlobal = 1
)

// code is WebAssembly that is being written.
type code []byte

func (c *code) op(ops ...byte) { *c = append(*c, ops...) }

// indexed writes an instruction that names an index.
func (c *code) indexed(op byte, index uint32) { *c = appendU32(append(*c, op), index) }

func (c *code) i32(value int32) { *c = appendSigned(append(*c, wasm.OpI32Const), int64(value)) }

func (c *code) i64(value int64) { *c = appendSigned(append(*c, wasm.OpI64Const), value) }

// name writes a string with its length.
func (c *code) name(s string) { *c = append(appendU32(*c, uint32(len(s))), s...) }

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendSigned(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && low&0x40 == 0) || (v == -1 && low&0x40 != 0) {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

// patchWidth is the length of a constant that is filled in later: LEB128 may have
// more bytes than it needs. It holds more than a region may cost.
const patchWidth = 3

// patch writes v over the patchWidth bytes at b.
func patch(b []byte, v int64) {
	b[0], b[1], b[2] = byte(v)|0x80, byte(v>>7)|0x80, byte(v>>14)&0x7f
}
