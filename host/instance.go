package host

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host/meter"
)

// nativeProgram is a derived module in compiled form, with what its instances
// begin with.
type nativeProgram struct {
	known    *facts
	derived  *meter.Module
	start    string // export to call first, empty: none
	kept     bool   // instantiation writes to memory, so the image goes over it
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	cache    wazero.CompilationCache // nil, or what owns the compiled code
	pool     *pool
	memory   uint64 // bytes of every instance's

	raw   *snapshot                // before initialisation
	ready atomic.Pointer[snapshot] // after it; nil: not yet, or never
	warm  atomic.Pointer[[]span]   // where runs write, as far as is known
	runs  atomic.Uint64

	idle []*nativeInstance // guarded by pool.mu, the last one used last
	used uint64            // when one of them was, in units of pool.puts
}

func (p *nativeProgram) timed(ctx context.Context, g *guest) (context.Context, context.CancelFunc) {
	if g.run.StopAt > 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, g.limits.Time.Std())
}

func (p *nativeProgram) facts() *facts { return p.known }

func (p *nativeProgram) close(ctx context.Context) {
	p.pool.drop(ctx, p)
	// Closing frees memory that is ours alone; there is nothing to do about a fault.
	if p.runtime != nil {
		_ = p.runtime.Close(ctx)
	}
	if p.cache != nil {
		_ = p.cache.Close(ctx)
	}
	for _, s := range []*snapshot{p.raw, p.ready.Load()} {
		if s != nil && s.image != nil {
			s.image.close()
		}
	}
}

// moduleConfig reaches nothing: the host functions serve what a guest may have.
func moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions()
}

// instance gives an idle instance, or a new one that begins with the snapshot, or
// one that is initialised now.
func (p *nativeProgram) instance(ctx context.Context, g *guest) (instance, error) {
	if i := p.pool.take(p); i != nil {
		i.serve(g)
		return i, nil
	}
	s := p.ready.Load()
	if s == nil {
		s = p.raw
	}
	i, err := p.clone(ctx, g, s)
	if err != nil || s.initialised {
		return i, err
	}
	if err = i.initialise(ctx); err == nil {
		err = p.keep(i)
	}
	if err != nil {
		i.discard(ctx)
		return nil, err
	}
	return i, nil
}

// keep makes what an instance is after its initialisation the snapshot of the
// program, where there is none and it can be gone back to.
func (p *nativeProgram) keep(i *nativeInstance) error {
	if !i.pure() || i.g.ending != nil {
		return nil
	}
	s, err := i.take()
	if err != nil {
		return noMemory(err)
	}
	if !p.ready.CompareAndSwap(nil, s) {
		s.image.close()
		s = p.ready.Load()
	}
	i.from = s
	if err := errors.Join(s.image.layOver(i.memory.buf), forget(i.memory.buf[len(s.image.view):])); err != nil {
		return noMemory(err)
	}
	return nil
}

// clone makes an instance that begins with the snapshot.
func (p *nativeProgram) clone(ctx context.Context, g *guest, s *snapshot) (*nativeInstance, error) {
	i := &nativeInstance{program: p, from: s, memory: &linear{owner: &memories{}, apart: true, reserve: p.memory}}
	g.memory.own = i.memory // host functions may run from here on
	if !p.kept {
		i.memory.image = s.image
	}
	if !i.memory.begin() {
		i.memory.Free()
		return nil, noMemory(nil)
	}
	allocate := experimental.MemoryAllocatorFunc(func(uint64, uint64) experimental.LinearMemory { return i.memory })
	var err error
	i.module, err = p.runtime.InstantiateModule(experimental.WithMemoryAllocator(ctx, allocate), p.compiled, moduleConfig())
	if err != nil {
		i.memory.Free() // the runtime does so for what it gives back only
		return nil, err
	}
	if p.kept && s.initialised {
		if err := s.image.layOver(i.memory.buf); err != nil {
			i.discard(ctx)
			return nil, noMemory(err)
		}
	}
	for _, name := range p.derived.Globals {
		global, ok := i.module.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			break // and pure says no
		}
		i.globals = append(i.globals, global)
	}
	i.level, _ = i.module.ExportedGlobal(p.derived.Fuel).(api.MutableGlobal)
	i.depth = i.module.ExportedGlobal(p.derived.Depth)
	if p.derived.Pages != "" {
		i.memory.pages, i.refused = i.module.ExportedGlobal(p.derived.Pages), i.module.ExportedGlobal(p.derived.Refused)
	}
	i.rewind()
	i.serve(g)
	return i, nil
}

func noMemory(err error) error {
	return &writ.Error{
		Code: writ.CodeUnavailable, Op: "sandbox: memory", Message: "the system gives a guest no memory", Err: err,
		Fix: "see that the host has memory and address space to spare, then run the step again",
	}
}

// nativeInstance is one instance of a program. One run uses it at a time.
type nativeInstance struct {
	program *nativeProgram
	from    *snapshot // that it began with and goes back to
	module  api.Module
	memory  *linear
	globals []api.MutableGlobal
	level   api.MutableGlobal // of fuel
	depth   api.Global
	refused api.Global   // memory
	entry   api.Function // called last, of that name
	name    string
	result  [1]uint64
	cost    int64 // of keeping it

	g     *guest
	ended bool // its last call returned
}

// pure reports whether all that a run can change is in memory and in globals that
// can be set again.
func (i *nativeInstance) pure() bool {
	p := i.program
	return canReset && p.derived.Resettable && len(i.globals) == len(p.derived.Globals) &&
		!slices.ContainsFunc(i.globals, func(g api.MutableGlobal) bool {
			// References are to one instance; vectors cannot be set from here.
			t := g.Type()
			return t != api.ValueTypeI32 && t != api.ValueTypeI64 && t != api.ValueTypeF32 && t != api.ValueTypeF64
		})
}

// serve makes the instance that of the guest.
func (i *nativeInstance) serve(g *guest) {
	i.g, i.ended = g, false
	g.memory.own = i.memory
	g.fuel.level = i.level
	g.plugin.kernel.g = g
	g.plugin.blocks = &g.plugin.kernel
	g.plugin.vars = maps.Clone(i.from.vars)
	if i.from.initialised {
		g.ambient.mono = i.from.mono
	}
}

// rewind sets the globals to what they are in the snapshot.
func (i *nativeInstance) rewind() {
	for n, value := range i.from.globals {
		i.globals[n].Set(value)
	}
}

func (i *nativeInstance) initialise(ctx context.Context) error {
	i.g.fuel.begin(uint64(DefaultFuel), 0)
	for _, name := range append([]string{i.program.start}, i.program.known.initialisers()...) {
		if name == "" {
			continue
		}
		if _, err := i.invoke(ctx, name); err != nil {
			return err
		}
	}
	if i.program.known.isHaskell() {
		if _, err := i.invoke(ctx, haskellInit, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

func (i *nativeInstance) invoke(ctx context.Context, export string, params ...uint64) (uint32, error) {
	results, err := i.module.ExportedFunction(export).Call(ctx, params...)
	if err != nil || len(results) == 0 {
		return 0, i.ask(err)
	}
	return api.DecodeU32(results[0]), nil
}

func (i *nativeInstance) call(ctx context.Context, export string, input []byte) (uint32, error) {
	p := &i.g.plugin
	p.kernel.reset()
	p.input, p.output, p.outputLength, p.failed = 0, 0, 0, 0
	if len(input) > 0 {
		if p.input = p.kernel.alloc(uint64(len(input))); p.input == 0 {
			return 0, errBlock
		}
		copy(p.kernel.at(p.input, uint64(len(input))), input)
	}
	if i.name != export {
		// A function is kept with its stack, which is worth more than the call.
		i.entry, i.name = i.module.ExportedFunction(export), export
	}
	i.result[0] = 0
	err := i.entry.CallWithStack(ctx, i.result[:])
	i.ended = err == nil
	return api.DecodeU32(i.result[0]), i.ask(err)
}

// ask looks in the module's own globals for why a call ended with an error.
func (i *nativeInstance) ask(err error) error {
	if i.refused != nil && i.refused.Get() != 0 {
		i.g.memory.refused = true
	}
	if err != nil && i.g.ending == nil && int64(i.depth.Get()) < 0 {
		i.g.ending = &ending{failure: tooDeep()}
	}
	return err
}

func (i *nativeInstance) plugged(context.Context) ([]byte, string) {
	k := &i.g.plugin.kernel
	output := append([]byte{}, k.at(i.g.plugin.output, i.g.plugin.outputLength)...)
	if i.g.plugin.failed == 0 {
		return output, ""
	}
	return output, string(k.read(i.g.plugin.failed))
}

// close puts the instance back where its run ended as it should, and discards it
// otherwise.
func (i *nativeInstance) close(ctx context.Context) {
	if !i.ended || i.g.ending != nil || i.g.memory.refused || !i.from.initialised || !i.reset() {
		i.discard(ctx)
		return
	}
	i.g = nil
	i.program.pool.put(ctx, i)
}

// reset goes back to the snapshot.
func (i *nativeInstance) reset() bool {
	i.program.learn(i)
	var warm []span
	i.cost = idleCost
	if known := i.program.warm.Load(); known != nil {
		warm = *known
	}
	for _, w := range warm {
		i.cost += int64(w.to - w.from)
	}
	i.rewind()
	return i.from.restore(i.memory.buf, warm) == nil
}

// learn looks where the run wrote, at runs that become rarer.
func (p *nativeProgram) learn(i *nativeInstance) {
	runs := p.runs.Add(1)
	if runs&(runs-1) != 0 || runs > 1<<10 {
		return
	}
	spans := i.from.written(i.memory.buf[:min(int(i.memory.size()), len(i.from.image.view)+maxWarm)])
	if known := p.warm.Load(); known != nil {
		spans = unite(spans, *known)
	}
	spans = warm(spans)
	p.warm.Store(&spans)
}

func (i *nativeInstance) discard(ctx context.Context) { _ = i.module.Close(ctx) }
