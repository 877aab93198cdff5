package host

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// form names one derived form of a module: the size of its memory is part of it.
type form struct {
	digest writ.Digest
	pages  uint32 // of 64 KiB, the most that the guest may have
}

func formOf(module writ.Digest, limits *abi.Limits) form {
	return form{module, uint32(limits.Memory / pageBytes)}
}

// programs keeps compiled modules by form, compiles each once however many ask
// for it, and one at a time: compiling takes a core and tens of megabytes.
type programs struct {
	compiler   compiler
	bound      int64
	onTampered func(writ.Digest)
	turn       chan struct{}
	open       context.Context // ends with close, and compilations with it
	stop       context.CancelFunc
	shut       func() error

	mu      sync.Mutex
	entries map[form]*held
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

const (
	// entryCost is what a compiled module of no size still takes.
	entryCost = 64 << 10
	// refusedCost is what it takes to remember that a module cannot be run, so that
	// it is not compiled again at every step.
	refusedCost = 1 << 10
)

func newPrograms(c compiler, o *Options) *programs {
	bound := int64(o.Modules)
	if bound == 0 {
		bound = defaultModules
	}
	open, stop := context.WithCancel(context.Background())
	return &programs{
		compiler: c, bound: bound, onTampered: o.OnTampered,
		turn: make(chan struct{}, 1), entries: map[form]*held{},
		open: open, stop: stop, shut: sync.OnceValue(c.close),
	}
}

// acquire gives the module's program; release must be called after its last use.
// What goes wrong is a *moduleError, CodeTampered where the bytes are not those of
// the digest, or ctx's error: then the compilation goes on for the next one.
func (p *programs) acquire(ctx context.Context, f form, module []byte) (program, func(), error) {
	h, err := p.enter(f, module)
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

func (p *programs) enter(f form, module []byte) (*held, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, writ.Errorf(writ.CodeUnavailable, "sandbox", "it is closed")
	}
	h, ok := p.entries[f]
	if !ok {
		h = &held{ready: make(chan struct{}), size: int64(len(module)) + entryCost, users: 1}
		p.entries[f] = h
		p.busy.Add(1)
		// The compilation outlives a caller who gives up, and so must the bytes.
		go p.compile(f, h, slices.Clone(module))
	}
	p.use++
	h.used, h.users = p.use, h.users+1
	p.busy.Add(1)
	return h, nil
}

// compile is the goroutine of one compilation and the first user of its entry.
func (p *programs) compile(f form, h *held, module []byte) {
	p.turn <- struct{}{}
	h.program, h.err = p.build(f, module)
	<-p.turn
	p.mu.Lock()
	switch refused := errors.As(h.err, new(*moduleError)); {
	case refused:
		h.size = refusedCost
	case h.err != nil && p.entries[f] == h:
		delete(p.entries, f)
	}
	p.mu.Unlock()
	if writ.IsCode(h.err, writ.CodeTampered) && p.onTampered != nil {
		p.onTampered(f.digest)
	}
	close(h.ready)
	p.leave(h)
	p.evict()
}

func (p *programs) build(f form, module []byte) (program, error) {
	if canon.SHA256(module) != f.digest {
		return nil, writ.Errorf(writ.CodeTampered, "module "+string(f.digest), "its bytes have another digest").
			WithFix("install the skill again")
	}
	s, err := inspect(module)
	if err != nil {
		return nil, &moduleError{err.Error()}
	}
	return p.compiler.compile(p.open, f, s)
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
		total, oldest := int64(0), form{}
		for f, h := range p.entries {
			total += h.size
			if oldest == (form{}) || h.used < p.entries[oldest].used {
				oldest = f
			}
		}
		if total <= p.bound || len(p.entries) <= 1 {
			return
		}
		p.drop(oldest)
	}
}

// drop takes an entry out; mu is held.
func (p *programs) drop(f form) {
	h := p.entries[f]
	delete(p.entries, f)
	h.closed = true
	if h.users == 0 && h.program != nil {
		h.program.close(context.Background())
	}
}

// close ends what is being compiled and waits, as long as ctx lasts, until nothing
// is in use any more.
func (p *programs) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.stop()
	for f := range p.entries {
		p.drop(f)
	}
	p.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		p.busy.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return p.shut()
	case <-ctx.Done():
		return writ.Errorf(writ.CodeTimeout, "sandbox: close", "guests are still running")
	}
}
