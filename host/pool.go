package host

import (
	"context"
	"sync"
)

// Bounds on what waits for its next run, over all programs. An instance serves one
// run at a time and at most Options.Slots runs execute at once, so a few for each
// skill that is in use are enough; more would only keep memory from others.
const (
	maxIdle      = 64
	maxIdleBytes = 32 << 20
	// idleCost is what the runtime holds for an instance besides its memory: its
	// tables, exports and stack.
	idleCost = 64 << 10
)

// pool keeps instances that were reset, until they are used again, others take
// their place or their program goes.
type pool struct {
	most      int
	mostBytes int64

	mu       sync.Mutex
	programs map[*nativeProgram]struct{} // that have idle instances
	count    int
	bytes    int64
	puts     uint64
}

func newPool() *pool {
	return &pool{most: maxIdle, mostBytes: maxIdleBytes, programs: map[*nativeProgram]struct{}{}}
}

// take gives an idle instance of the program, or nil.
func (p *pool) take(of *nativeProgram) *nativeInstance {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(of.idle) == 0 {
		return nil
	}
	return p.remove(of, len(of.idle)-1)
}

// remove takes an idle instance out; mu is held.
func (p *pool) remove(of *nativeProgram, at int) *nativeInstance {
	i := of.idle[at]
	copy(of.idle[at:], of.idle[at+1:])
	last := len(of.idle) - 1
	of.idle[last] = nil
	if of.idle = of.idle[:last]; last == 0 {
		delete(p.programs, of)
	}
	p.count--
	p.bytes -= i.cost
	return i
}

// put keeps the instance, and lets go of those that were used longest ago where
// there are too many.
func (p *pool) put(ctx context.Context, i *nativeInstance) {
	p.mu.Lock()
	of := i.program
	of.idle = append(of.idle, i)
	p.programs[of] = struct{}{}
	p.count++
	p.bytes += i.cost
	p.puts++
	of.used = p.puts
	var dropped []*nativeInstance
	for p.count > p.most || p.bytes > p.mostBytes {
		dropped = append(dropped, p.remove(p.oldest(), 0))
	}
	p.mu.Unlock()
	for _, i := range dropped {
		i.discard(ctx)
	}
}

// oldest is the program that was used longest ago of those with idle instances.
func (p *pool) oldest() *nativeProgram {
	var oldest *nativeProgram
	for of := range p.programs {
		if oldest == nil || of.used < oldest.used {
			oldest = of
		}
	}
	return oldest
}

// drop discards the idle instances of a program that nobody uses any more.
func (p *pool) drop(ctx context.Context, of *nativeProgram) {
	p.mu.Lock()
	idle := of.idle
	of.idle = nil
	delete(p.programs, of)
	p.count -= len(idle)
	for _, i := range idle {
		p.bytes -= i.cost
	}
	p.mu.Unlock()
	for _, i := range idle {
		i.discard(ctx)
	}
}
