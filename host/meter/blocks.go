package meter

import "github.com/writ-run/writ/host/wasm"

const (
	// bytesPerFuel: what fills or copies memory moves so many bytes in the time of
	// one instruction.
	bytesPerFuel     = 1 << bytesPerFuelBits
	bytesPerFuelBits = 4
	// pageFuel: a new page costs the host as much as filling it.
	pageFuel = 64 << 10 / bytesPerFuel
)

// look writes the question whether fuel is left.
func (r *rewriter) look(c *code) {
	c.indexed(wasm.OpGlobalGet, r.fuel)
	c.i64(0)
	c.op(opI64LtS, wasm.OpIf, noBlockType)
	c.indexed(wasm.OpCall, r.tick)
	c.op(wasm.OpEnd)
}

// bulk charges an instruction whose work is as large as a number on the stack by
// that number, once it has not trapped.
func (f *function) bulk(in *wasm.Instruction) {
	switch {
	case in.Op == wasm.OpTableSet:
		f.remain("table.set is used")
	case in.Sub == wasm.MiscMemoryInit || in.Sub == wasm.MiscMemoryCopy || in.Sub == wasm.MiscMemoryFill:
		f.chargeLength(in)
	case in.Sub == wasm.MiscDataDrop || in.Sub == wasm.MiscElemDrop:
		f.remain("data.drop or elem.drop is used")
	case in.Sub == wasm.MiscTableInit || in.Sub == wasm.MiscTableCopy || in.Sub == wasm.MiscTableGrow || in.Sub == wasm.MiscTableFill:
		f.remain("a table is changed as a whole")
		f.chargeLength(in)
	}
}

// remain notes the first reason why an instance cannot be put back.
func (r *rewriter) remain(reason string) {
	if r.remains == "" {
		r.remains = reason
	}
}

// chargeLength takes the i32 that is on top of the stack before the instruction
// from the fuel: an entry of a table counts one, a byte the part that bytesPerFuel
// says.
func (f *function) chargeLength(in *wasm.Instruction) {
	if !f.live() {
		return
	}
	length := f.local(wasm.I32)
	f.before(in).indexed(wasm.OpLocalTee, length)
	c := f.after(in)
	c.indexed(wasm.OpGlobalGet, f.fuel)
	c.indexed(wasm.OpLocalGet, length)
	if in.Sub == wasm.MiscTableGrow { // what fails by this much has done nothing
		c.i32(0)
		c.indexed(wasm.OpLocalGet, length)
		c.i32(wasm.MaxTableEntries)
		c.op(opI32LeU, wasm.OpSelect)
	}
	c.op(opI64ExtendU)
	if in.Sub <= wasm.MiscMemoryFill {
		c.i64(bytesPerFuelBits)
		c.op(opI64ShrU)
	}
	c.op(opI64Sub)
	c.indexed(wasm.OpGlobalSet, f.fuel)
	f.look(c)
}

// assemble appends the function to out: the length, the locals, what comes before
// the body, the body, and what comes behind.
func (f *function) assemble(out code) code {
	var head, tail code
	f.declare(&head)
	weight := f.weight.of(f.locals)
	counted := f.weight.calls || weight > leafWeight
	head.indexed(wasm.OpGlobalGet, f.fuel)
	head.i64(f.regions[0].cost)
	head.op(opI64Sub)
	head.indexed(wasm.OpGlobalSet, f.fuel)
	if !counted {
		f.look(&head)
	} else {
		head.indexed(wasm.OpGlobalGet, f.depth)
		head.i64(weight)
		head.op(opI64Sub)
		head.indexed(wasm.OpGlobalSet, f.depth)
		// One branch for both: or is negative where one of them is.
		head.indexed(wasm.OpGlobalGet, f.fuel)
		head.indexed(wasm.OpGlobalGet, f.depth)
		head.op(opI64Or)
		head.i64(0)
		head.op(opI64LtS, wasm.OpIf, noBlockType)
		head.indexed(wasm.OpCall, f.tick)
		head.op(wasm.OpEnd, wasm.OpBlock)
		f.resultType(&head)

		tail.indexed(wasm.OpGlobalGet, f.depth)
		tail.i64(weight)
		tail.op(opI64Add)
		tail.indexed(wasm.OpGlobalSet, f.depth)
		tail.op(wasm.OpEnd)
	}
	rest := f.m.Bytes[f.copied:f.body.To]
	out = appendU32(out, uint32(len(head)+len(f.out)+len(rest)+len(tail)))
	out = append(append(out, head...), f.out...)
	return append(append(out, rest...), tail...)
}

// declare writes the function's locals and those that were added.
func (f *function) declare(c *code) {
	groups := f.m.Bytes[f.body.Declared.From:f.body.Declared.To]
	*c = appendU32(*c, uint32(f.body.Groups+len(f.scratch)))
	c.op(groups...)
	for order := range uint32(len(f.scratch)) {
		for t, l := range f.scratch {
			if l.order == order {
				c.op(1, t)
			}
		}
	}
}

// resultType writes the type of a block that takes nothing and gives what the
// function does.
func (f *function) resultType(c *code) {
	switch results := f.m.TypeOf(f.index).Results; len(results) {
	case 0:
		c.op(noBlockType)
	case 1:
		c.op(results[0])
	default:
		// A type's index is signed here, and no index is near the sign.
		*c = appendSigned(*c, int64(f.typeOf(wasm.Signature{Results: results})))
	}
}
