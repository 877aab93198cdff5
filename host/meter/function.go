package meter

import (
	"strings"

	"github.com/writ-run/writ/host/wasm"
)

// function rewrites one function after the other.
type function struct {
	*rewriter
	flow
	in     *wasm.Code
	out    code
	copied int // the input up to here is in out, or what stands for it

	index   uint32
	body    wasm.Body
	locals  uint32         // with parameters
	scratch map[byte]local // by type
	weight  weight

	and32, and64 bool // whether there may be such an instruction
}

// local is a local that was added.
type local struct{ index, order uint32 }

// rewrite appends the body of the function to out.
func (f *function) rewrite(out code, index uint32, b wasm.Body) (code, error) {
	t := f.m.TypeOf(index)
	f.flow.reset()
	f.in, f.out, f.copied = f.m.Code(b), f.out[:0], b.Code
	f.index, f.body, f.locals = index, b, uint32(b.Locals+len(t.Params))
	f.and32, f.and64 = f.has(opI32And), f.has(opI64And)
	clear(f.scratch)
	f.weight = weight{wide: b.Vectors || strings.IndexByte(t.Params, wasm.V128) >= 0}
	var in wasm.Instruction
	for f.in.Next(&in) {
		if len(f.frames) == 0 {
			return nil, &Error{Offset: in.From, Message: "there are instructions behind a function's end"}
		}
		if err := f.step(&in); err != nil {
			return nil, err
		}
	}
	if err := f.in.Err(); err != nil {
		return nil, err
	}
	if len(f.frames) > 0 {
		return nil, &Error{Offset: b.To, Message: "a function does not end"}
	}
	for _, r := range f.regions {
		if r.at >= 0 {
			patch(f.out[r.at:], r.cost)
		}
	}
	return f.assemble(out), nil
}

// step takes the next instruction over.
func (f *function) step(in *wasm.Instruction) error {
	if f.live() {
		f.pay(in)
		f.weigh(in)
	}
	// What names something beyond the module's own would find what is added to it.
	if bound, ok := f.bound(in.Op); ok && int64(in.Index) >= int64(bound) {
		return &Error{Offset: in.From, Message: "an index is beyond what the module has"}
	}
	switch in.Op {
	case wasm.OpCall, wasm.OpRefFunc:
		f.replace(in).indexed(in.Op, f.shifted(in.Index))
	case wasm.OpMemorySize:
		if f.m.Memory == nil {
			return &Error{Offset: in.From, Message: "there is no memory to measure"}
		}
		f.replace(in).indexed(wasm.OpGlobalGet, f.pages)
	case wasm.OpMemoryGrow:
		if f.m.Memory == nil {
			return &Error{Offset: in.From, Message: "there is no memory to grow"}
		}
		f.replace(in).indexed(wasm.OpCall, f.grow)
	case wasm.OpTableSet, wasm.OpMisc:
		f.bulk(in)
	default:
		if err := f.control(in); err != nil {
			return err
		}
		f.compared(in)
		f.canonical(in)
	}
	return nil
}

// bound is how many functions, globals or locals there are to name.
func (f *function) bound(op byte) (int, bool) {
	switch op {
	case wasm.OpCall, wasm.OpRefFunc:
		return len(f.m.Functions), true
	case wasm.OpGlobalGet, wasm.OpGlobalSet:
		return len(f.m.Globals), true
	case wasm.OpLocalGet, wasm.OpLocalSet, wasm.OpLocalTee:
		return int(f.locals), true
	}
	return 0, false
}

// before copies the input up to the instruction, so that something can be put
// before it.
func (f *function) before(in *wasm.Instruction) *code {
	f.out = append(f.out, f.m.Bytes[f.copied:in.From]...)
	f.copied = in.From
	return &f.out
}

// after copies the input with the instruction.
func (f *function) after(in *wasm.Instruction) *code {
	f.out = append(f.out, f.m.Bytes[f.copied:in.To]...)
	f.copied = in.To
	return &f.out
}

// replace leaves the instruction out.
func (f *function) replace(in *wasm.Instruction) *code {
	f.before(in)
	f.copied = in.To
	return &f.out
}

// control follows the instructions that change the flow.
func (f *function) control(in *wasm.Instruction) error {
	ok := true
	switch in.Op {
	case wasm.OpBlock:
		f.open(in.Op)
	case wasm.OpIf:
		if f.live() {
			f.branched()
		}
		f.open(in.Op)
	case wasm.OpLoop:
		f.loop(in)
	case wasm.OpElse:
		ok = f.otherwise()
	case wasm.OpEnd:
		f.weight.join(f.end(), f.flow.frames, f.locals)
	}
	if f.live() {
		switch in.Op {
		case wasm.OpBr, wasm.OpBrIf:
			ok = f.jump(in.Index, f.current)
		case wasm.OpBrTable:
			// One of many is reached: none of them is paid for before.
			for _, label := range in.Labels {
				ok = f.jump(label, mixed) && ok
			}
		case wasm.OpReturn:
			// The way out leads through the end of what the body is wrapped in.
			f.replace(in).indexed(wasm.OpBr, uint32(len(f.frames)-1))
		}
		switch in.Op {
		case wasm.OpBrIf:
			f.branched()
		case wasm.OpBr, wasm.OpBrTable, wasm.OpReturn, wasm.OpUnreachable:
			f.current = none
		}
	}
	if !ok {
		return &Error{Offset: in.From, Message: "a branch or an else has no place to belong to"}
	}
	return nil
}

func (f *function) loop(in *wasm.Instruction) {
	f.open(in.Op)
	f.loops++
	if f.live() {
		f.begin()
		f.after(in)
		f.charge()
		f.look(&f.out)
	}
}

// pay adds the instruction to the region that it is in.
func (f *function) pay(in *wasm.Instruction) {
	switch in.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpElse, wasm.OpEnd, wasm.OpNop:
		return // nothing is executed
	}
	r := &f.regions[f.current]
	if r.soft && r.cost >= branchLimit || r.cost >= straightLimit {
		long := r.cost >= straightLimit
		f.begin()
		if r = &f.regions[f.current]; long {
			f.before(in)
			f.charge()
			f.look(&f.out)
		}
	}
	r.cost++
	if r.at == unpaid {
		f.before(in)
		f.charge()
	}
}

// charge writes what takes the current region's cost from the fuel.
func (f *function) charge() {
	f.out.indexed(wasm.OpGlobalGet, f.fuel)
	f.out.op(wasm.OpI64Const)
	f.regions[f.current].at = len(f.out)
	f.out.op(make([]byte, patchWidth)...)
	f.out.op(opI64Sub)
	f.out.indexed(wasm.OpGlobalSet, f.fuel)
}

// local gives the index of a local of the type that is used between two
// instructions of the input and not beyond.
func (f *function) local(t byte) uint32 {
	l, ok := f.scratch[t]
	if !ok {
		order := uint32(len(f.scratch))
		l = local{index: f.locals + order, order: order}
		f.scratch[t] = l
	}
	return l.index
}
