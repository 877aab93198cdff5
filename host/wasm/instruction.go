package wasm

// Instructions that readers of code tell apart.
const (
	OpUnreachable  = 0x00
	OpNop          = 0x01
	OpBlock        = 0x02
	OpLoop         = 0x03
	OpIf           = 0x04
	OpElse         = 0x05
	OpEnd          = 0x0b
	OpBr           = 0x0c
	OpBrIf         = 0x0d
	OpBrTable      = 0x0e
	OpReturn       = 0x0f
	OpCall         = 0x10
	OpCallIndirect = 0x11
	OpSelect       = 0x1b
	OpLocalGet     = 0x20
	OpLocalSet     = 0x21
	OpLocalTee     = 0x22
	OpGlobalGet    = 0x23
	OpGlobalSet    = 0x24
	OpTableSet     = 0x26
	OpMemorySize   = 0x3f
	OpMemoryGrow   = 0x40
	OpI32Const     = 0x41
	OpI64Const     = 0x42
	OpF32Const     = 0x43
	OpF64Const     = 0x44
	OpRefFunc      = 0xd2
	OpMisc         = 0xfc // Sub says which
	OpVector       = 0xfd // Sub says which
)

// What follows OpMisc.
const (
	MiscMemoryInit = 8
	MiscDataDrop   = 9
	MiscMemoryCopy = 10
	MiscMemoryFill = 11
	MiscTableInit  = 12
	MiscElemDrop   = 13
	MiscTableCopy  = 14
	MiscTableGrow  = 15
	MiscTableSize  = 16
	MiscTableFill  = 17
)

const (
	opTypedSelect = 0x1c
	opRefNull     = 0xd0
	vectorConst   = 0x0c
	noBlockType   = 0x40
)

// Instruction is one instruction of a function.
type Instruction struct {
	Span
	Op    byte
	Sub   byte   // behind OpMisc and OpVector
	Index uint32 // the first index that it names: a label, function, local, type, segment
	// Labels of OpBrTable, the default last; good until the next instruction.
	Labels []uint32
}

// Code decodes the instructions of one function.
type Code struct {
	reader reader
	labels []uint32
}

// Code gives a decoder of the body's instructions.
func (m *Module) Code(b Body) *Code {
	return &Code{reader: reader{data: m.Bytes, at: b.Code, end: b.To}}
}

// Next decodes the next instruction into in. It is false at the end of the body
// and at a fault, which Err gives.
func (c *Code) Next(in *Instruction) bool {
	r := &c.reader
	if r.at >= r.end {
		return false
	}
	in.From = r.at
	in.Op = r.data[r.at]
	r.at++
	c.immediates(in)
	in.To = r.at
	return r.err == nil
}

// Peek is the first byte of the next instruction, OpUnreachable at the end.
func (c *Code) Peek() byte {
	if c.reader.at >= c.reader.end {
		return OpUnreachable
	}
	return c.reader.data[c.reader.at]
}

// Err is nil or an *Error.
func (c *Code) Err() error {
	if c.reader.err != nil {
		return c.reader.err
	}
	return nil
}

func (c *Code) immediates(in *Instruction) {
	r := &c.reader
	switch op := in.Op; {
	case op >= 0x45 && op <= 0xc4: // numbers
	case op >= OpLocalGet && op <= OpTableSet || op == OpBr || op == OpBrIf || op == OpCall || op == OpRefFunc:
		in.Index = r.u32()
	case op == OpI32Const:
		r.signed(32)
	case op == OpI64Const:
		r.signed(64)
	case op == OpF32Const:
		r.skip(4)
	case op == OpF64Const:
		r.skip(8)
	case op >= 0x28 && op <= 0x3e: // loads and stores
		r.memoryArgument()
	case op >= OpBlock && op <= OpIf:
		r.blockType()
	case op == OpBrTable:
		c.brTable(in)
	case op == OpCallIndirect:
		in.Index = r.u32()
		r.u32()
	case op == opTypedSelect:
		if r.byte() != 1 {
			r.fail("a select is not for one type")
		}
		r.valueType()
	case op == OpMemorySize || op == OpMemoryGrow:
		r.zero()
	case op == opRefNull:
		r.refType()
	case op == OpMisc:
		in.misc(r)
	case op == OpVector:
		in.vector(r)
	case op == OpUnreachable || op == OpNop || op == OpElse || op == OpEnd || op == OpReturn,
		op == 0x1a || op == OpSelect || op == 0xd1: // drop, ref.is_null
	default:
		r.at--
		r.fail("the instruction 0x%02x is not one of WebAssembly 2.0", op)
	}
}

func (c *Code) brTable(in *Instruction) {
	r := &c.reader
	n := r.count("labels", MaxModuleBytes)
	c.labels = c.labels[:0]
	for i := 0; i <= n && r.err == nil; i++ {
		c.labels = append(c.labels, r.u32())
	}
	in.Labels = c.labels
}

func (in *Instruction) misc(r *reader) {
	sub := r.u32()
	if in.Sub = byte(sub); sub > MiscTableFill {
		r.fail("the instruction 0xfc 0x%02x is not one of WebAssembly 2.0", sub)
	}
	switch {
	case in.Sub < MiscMemoryInit: // saturating truncations
	case in.Sub == MiscMemoryInit:
		in.Index = r.u32()
		r.zero()
	case in.Sub == MiscMemoryCopy:
		r.zero()
		r.zero()
	case in.Sub == MiscMemoryFill:
		r.zero()
	case in.Sub == MiscTableInit || in.Sub == MiscTableCopy:
		in.Index = r.u32()
		r.u32()
	default:
		in.Index = r.u32()
	}
}

func (in *Instruction) vector(r *reader) {
	in.Sub = r.byte()
	if in.Sub >= 0x80 && r.byte() != 1 {
		r.fail("the instruction 0xfd 0x%02x is not one of WebAssembly 2.0", in.Sub)
	}
	switch sub := in.Sub; {
	case sub <= 0x0b || sub == 0x5c || sub == 0x5d: // loads and stores
		r.memoryArgument()
	case sub <= 0x0d: // v128.const, i8x16.shuffle
		r.skip(16)
	case sub >= 0x15 && sub <= 0x22: // lanes
		r.byte()
	case sub >= 0x54 && sub <= 0x5b: // loads and stores of lanes
		r.memoryArgument()
		r.byte()
	}
}

func (r *reader) memoryArgument() {
	r.u32()
	r.u32()
}

// zero passes the byte that names the one memory.
func (r *reader) zero() {
	if r.byte() != 0 {
		r.fail("a second memory is not supported")
	}
}

func (r *reader) blockType() {
	t := r.byte()
	if t == noBlockType || isValueType(t) {
		return
	}
	r.at--
	if r.signed(33) < 0 {
		r.fail("the block type 0x%02x is not supported", t)
	}
}
