package host

import (
	"context"
	"slices"
	"sync"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// programs keeps compiled modules by digest, compiles each once however many ask
// for it, and one at a time: compiling takes a core and tens of megabytes.
type programs struct {
	compiler   compiler
	bound      int64
	onTampered func(writ.Digest)
	turn       chan struct{}

	mu      sync.Mutex
	entries map[writ.Digest]*held
	use     int64 // grows with every acquire
	closed  bool
	busy    sync.WaitGroup // compilations and programs in use
}

// held is one program. ready is closed when program or err is set; the other
// members are guarded by programs.mu.
type held struct {
	ready   chan struct{}
	program program
	err     error

	size   int64
	used   int64 // when, in units of programs.use
	users  int
	closed bool // to be closed by its last user
}

// entryCost is what a compiled module of no size still takes.
const entryCost = 64 << 10

func newPrograms(c compiler, o *Options) *programs {
	bound := int64(o.Modules)
	if bound == 0 {
		bound = defaultModules
	}
	return &programs{
		compiler: c, bound: bound, onTampered: o.OnTampered,
		turn: make(chan struct{}, 1), entries: map[writ.Digest]*held{},
	}
}

// acquire gives the module's program; release must be called after its last use.
// What goes wrong is a *moduleError, CodeTampered where the bytes are not those of
// the digest, or ctx's error: then the compilation goes on for the next one.
func (p *programs) acquire(ctx context.Context, digest writ.Digest, module []byte) (program, func(), error) {
	h, err := p.enter(digest, module)
	if err != nil {
		return nil, nil, err
	}
	release := func() { p.leave(h) }
	select {
	case <-h.ready:
	case <-ctx.Done():
		release()
		return nil, nil, ctx.Err()
	}
	if h.err != nil {
		release()
		return nil, nil, h.err
	}
	return h.program, release, nil
}

func (p *programs) enter(digest writ.Digest, module []byte) (*held, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, writ.Errorf(writ.CodeUnavailable, "sandbox", "it is closed")
	}
	h, ok := p.entries[digest]
	if !ok {
		h = &held{ready: make(chan struct{}), size: int64(len(module)) + entryCost, users: 1}
		p.entries[digest] = h
		p.busy.Add(1)
		// The compilation outlives a caller who gives up, and so must the bytes.
		go p.compile(digest, h, slices.Clone(module))
	}
	p.use++
	h.used, h.users = p.use, h.users+1
	p.busy.Add(1)
	return h, nil
}

// compile is the goroutine of one compilation and the first user of its entry.
func (p *programs) compile(digest writ.Digest, h *held, module []byte) {
	p.turn <- struct{}{}
	h.program, h.err = p.build(digest, module)
	<-p.turn
	p.mu.Lock()
	if h.err != nil && p.entries[digest] == h {
		delete(p.entries, digest)
	}
	p.mu.Unlock()
	if writ.IsCode(h.err, writ.CodeTampered) && p.onTampered != nil {
		p.onTampered(digest)
	}
	close(h.ready)
	p.leave(h)
	p.evict()
}

func (p *programs) build(digest writ.Digest, module []byte) (program, error) {
	if canon.SHA256(module) != digest {
		return nil, writ.Errorf(writ.CodeTampered, "module "+string(digest), "its bytes have another digest").
			WithFix("install the skill again")
	}
	s, err := inspect(module)
	if err != nil {
		return nil, &moduleError{err.Error()}
	}
	return p.compiler.compile(context.Background(), digest, s)
}

func (p *programs) leave(h *held) {
	p.mu.Lock()
	h.users--
	last := h.users == 0 && h.closed && h.program != nil
	p.mu.Unlock()
	if last {
		h.program.close(context.Background())
	}
	p.busy.Done()
}

// evict lets go of the programs that were used longest ago, until the rest fits.
func (p *programs) evict() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		total, oldest := int64(0), writ.Digest("")
		for digest, h := range p.entries {
			total += h.size
			if oldest == "" || h.used < p.entries[oldest].used {
				oldest = digest
			}
		}
		if total <= p.bound || len(p.entries) <= 1 {
			return
		}
		p.drop(oldest)
	}
}

// drop takes an entry out; mu is held.
func (p *programs) drop(digest writ.Digest) {
	h := p.entries[digest]
	delete(p.entries, digest)
	h.closed = true
	if h.users == 0 && h.program != nil {
		h.program.close(context.Background())
	}
}

// close waits, as long as ctx lasts, until nothing is in use any more.
func (p *programs) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	for digest := range p.entries {
		p.drop(digest)
	}
	p.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		p.busy.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return writ.Errorf(writ.CodeTimeout, "sandbox: close", "guests are still running")
	}
}
