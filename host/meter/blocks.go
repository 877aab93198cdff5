package meter

import "github.com/writ-run/writ/host/wasm"

const (
	// bytesPerFuel: what fills or copies memory moves so many bytes in the time of
	// one instruction.
	bytesPerFuel = 16
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
// that number.
func (f *function) bulk(in *wasm.Instruction) {
	switch {
	case in.Op == wasm.OpTableSet:
		f.remain("table.set is used")
	case in.Sub == wasm.MiscMemoryInit || in.Sub == wasm.MiscMemoryCopy || in.Sub == wasm.MiscMemoryFill:
		f.chargeTop(in, 4)
	case in.Sub == wasm.MiscDataDrop || in.Sub == wasm.MiscElemDrop:
		f.remain("data.drop or elem.drop is used")
	case in.Sub == wasm.MiscTableInit || in.Sub == wasm.MiscTableCopy || in.Sub == wasm.MiscTableGrow || in.Sub == wasm.MiscTableFill:
		f.remain("a table is changed as a whole")
		f.chargeTop(in, 0)
	}
}

// remain notes the first reason why an instance cannot be put back.
func (r *rewriter) remain(reason string) {
	if r.remains == "" {
		r.remains = reason
	}
}

// chargeTop takes the i32 on top of the stack, shifted to the right, from the fuel.
func (f *function) chargeTop(in *wasm.Instruction, shift int64) {
	if !f.live() {
		return
	}
	c, length := f.before(in), f.local(wasm.I32)
	c.indexed(wasm.OpLocalTee, length)
	c.indexed(wasm.OpGlobalGet, f.fuel)
	c.indexed(wasm.OpLocalGet, length)
	c.op(opI64ExtendU)
	if shift > 0 {
		c.i64(shift)
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
