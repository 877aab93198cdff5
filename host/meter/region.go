package meter

import "github.com/writ-run/writ/host/wasm"

const (
	// branchLimit is how much of what comes after a branch is paid for before it:
	// a charge costs two instructions, so short pieces of code do not get their own.
	branchLimit = 32
	// straightLimit is how much runs between two looks at whether fuel is left,
	// where no loop or call comes before.
	straightLimit = 1 << 16
)

// A region is a piece of code that is paid for at once, where it is entered: the
// charge dominates all of it, and between two charges no instruction of it runs
// twice.
type region struct {
	at    int   // of the charge's constant in the output; prologue or unpaid
	cost  int64 // in instructions
	soft  bool  // part of it may not be reached
	loops int   // how many loops it is in
}

// Values of region.at besides an offset.
const (
	inPrologue = -1
	unpaid     = -2
)

// Values besides the index of a region.
const (
	none  = -1 // unreachable, or reached from nowhere
	mixed = -2 // from several
)

// frame is one structured instruction that is not closed yet. The outermost is the
// function itself.
type frame struct {
	op     byte // OpBlock, OpLoop, OpIf, OpElse
	dead   bool // never entered
	region int  // of the if: its else goes on there
	from   int  // the region that the end is reached from
	loops  int
	sets   int // local.set within
}

// flow follows how control reaches instructions and which region pays for each.
type flow struct {
	frames  []frame
	regions []region
	current int // none in dead code
	loops   int
}

func (f *flow) reset() {
	f.frames = append(f.frames[:0], frame{op: wasm.OpBlock, region: none, from: none})
	f.regions = append(f.regions[:0], region{at: inPrologue})
	f.current, f.loops = 0, 0
}

func (f *flow) live() bool { return f.current != none }

func (f *flow) top() *frame { return &f.frames[len(f.frames)-1] }

func (f *flow) begin() {
	f.current = len(f.regions)
	f.regions = append(f.regions, region{at: unpaid, loops: f.loops})
}

// branched says that the current region goes on only if no branch is taken.
func (f *flow) branched() { f.regions[f.current].soft = true }

// jump says that control goes to the label from the region. It is false where
// there is no such label.
func (f *flow) jump(label uint32, from int) bool {
	if int64(label) >= int64(len(f.frames)) {
		return false
	}
	f.frames[len(f.frames)-1-int(label)].reached(from)
	return true
}

func (t *frame) reached(from int) {
	switch {
	case t.op == wasm.OpLoop || from == none: // a loop is entered at its head
	case t.from == none:
		t.from = from
	case t.from != from:
		t.from = mixed
	}
}

func (f *flow) open(op byte) {
	f.frames = append(f.frames, frame{op: op, dead: !f.live(), region: f.current, from: none, loops: f.loops})
}

// otherwise is an else; it is false where there is no if.
func (f *flow) otherwise() bool {
	t := f.top()
	if t.op != wasm.OpIf {
		return false
	}
	t.reached(f.current)
	t.op = wasm.OpElse
	f.current = t.region
	return true
}

// end closes the innermost frame.
func (f *flow) end() frame {
	t := f.top()
	if t.op == wasm.OpIf && !t.dead {
		t.reached(t.region) // past the body
	}
	t.reached(f.current)
	closed := *t
	f.frames = f.frames[:len(f.frames)-1]
	f.loops = closed.loops
	switch {
	case len(f.frames) == 0 || closed.dead:
		f.current = none
	case closed.op == wasm.OpLoop:
		if f.live() {
			f.begin()
		}
	case closed.from == none:
		f.current = none
	case closed.from == mixed || f.regions[closed.from].loops != f.loops:
		f.begin()
	default:
		f.current = closed.from
	}
	return closed
}
