package meter

import "github.com/writ-run/writ/host/wasm"

const (
	frameWeight = 64 // what a call takes where nothing is kept
	slotWeight  = 8  // one value that is kept over a call
	// spillShare: a compiler may keep every value that a function ever computes in
	// a slot of its own, but keeps one in a hundred. A frame weighs at least this
	// part of the worst case, so that Stack in weights is never more than 48 MiB in
	// bytes, and wazero's stack has room for 50 MB on every architecture.
	spillShare = 12
	// leafWeight: a function that calls nothing and weighs no more is not counted.
	leafWeight = 1 << 10
)

// weight estimates a function's frame from its code alone: what a compiler makes
// of it differs between architectures.
type weight struct {
	calls  bool  // functions of the module
	values int64 // that it computes, or that two branches bring to one place
	wide   bool  // values may be vectors
}

// of is the weight of a frame with so many locals.
func (w *weight) of(locals uint32) int64 {
	slot := int64(slotWeight)
	if w.wide {
		slot *= 2
	}
	return max(frameWeight+slot*int64(locals), slot*w.values/spillShare)
}

// weigh takes an instruction that can be reached into account.
func (f *function) weigh(in *wasm.Instruction) {
	w := &f.weight
	w.values++
	switch in.Op {
	case wasm.OpLocalSet, wasm.OpLocalTee:
		f.top().sets++
	case wasm.OpVector:
		w.wide = true
	case wasm.OpCall:
		w.call(f.m.TypeOf(in.Index))
		w.calls = w.calls || int64(in.Index) >= int64(f.m.Imported)
	case wasm.OpCallIndirect:
		if int64(in.Index) < int64(len(f.m.Types)) {
			w.call(f.m.Types[in.Index])
		}
		w.calls = true
	}
}

// call counts what is passed: much of it goes by the stack.
func (w *weight) call(t wasm.Signature) { w.values += int64(len(t.Params) + len(t.Results)) }

// join counts the locals that may have come with different values to the end of a
// frame.
func (w *weight) join(closed frame, open []frame, locals uint32) {
	w.values += int64(min(closed.sets, int(locals)))
	if len(open) > 0 {
		open[len(open)-1].sets += closed.sets
	}
}
