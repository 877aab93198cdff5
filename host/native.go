package host

import (
	"context"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// native runs guests on wazero itself and serves both guest interfaces in Go.
type native struct {
	functions map[importKey]hostFunc
	code      *codeCache // nil: modules are compiled in this process
}

func newNative(o *Options) (*native, error) {
	code, err := newCodeCache(o)
	return &native{functions: allFunctions(), code: code}, err
}

// close implements compiler.
func (n *native) close() error { return n.code.close() }

// runtimeConfig is the same for every module: the memory limit of a run is kept
// by its allocator, so one compiled form serves all limits.
func runtimeConfig() wazero.RuntimeConfig {
	c := wazero.NewRuntimeConfigInterpreter()
	if execution() == "compiler" {
		c = wazero.NewRuntimeConfigCompiler()
	}
	return c.WithCloseOnContextDone(true).WithDebugInfoEnabled(false)
}

// compile implements compiler.
func (n *native) compile(ctx context.Context, f form, s *shape) (program, error) {
	functions, err := functionsFor(s, n.functions)
	if err != nil {
		return nil, err
	}
	p := &nativeProgram{known: factsOf(s)}
	derived := guard(s, nil, "", "")
	p.cache, err = n.code.compile(ctx, &derivedModule{module: f.digest, bytes: derived}, func(config wazero.RuntimeConfig) error {
		p.runtime = wazero.NewRuntimeWithConfig(ctx, config)
		for module, named := range functions {
			if err := mount(ctx, p.runtime, module, named); err != nil {
				return err
			}
		}
		p.compiled, err = p.runtime.CompileModule(ctx, derived)
		return asModuleError(err)
	})
	if err != nil {
		p.close(ctx)
		return nil, err
	}
	return p, nil
}

// asModuleError keeps the validator's first line: it names what is wrong in terms
// of the module, the same on every machine.
func asModuleError(err error) error {
	if err == nil {
		return nil
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return &moduleError{"it is not valid: " + line}
}

func mount(ctx context.Context, r wazero.Runtime, module string, functions map[string]hostFunc) error {
	b := r.NewHostModuleBuilder(module)
	for name, f := range functions {
		b.NewFunctionBuilder().
			WithGoFunction(api.GoFunc(f.goFunc()), valueTypes(f.params), valueTypes(f.results)).
			Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

type nativeProgram struct {
	known    *facts
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	cache    wazero.CompilationCache // nil, or what owns the compiled code
}

func (p *nativeProgram) facts() *facts { return p.known }

func (p *nativeProgram) close(ctx context.Context) {
	// Closing frees memory that is ours alone; there is nothing to do about a fault.
	if p.runtime != nil {
		_ = p.runtime.Close(ctx)
	}
	if p.cache != nil {
		_ = p.cache.Close(ctx)
	}
}

// moduleConfig reaches nothing: the host functions serve what a guest may have.
func moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions()
}

func (p *nativeProgram) instance(ctx context.Context, g *guest) (instance, error) {
	g.plugin.kernel.memories = &g.memory
	g.plugin.blocks = &g.plugin.kernel
	module, err := p.runtime.InstantiateModule(experimental.WithMemoryAllocator(ctx, &g.memory), p.compiled, moduleConfig())
	if err != nil {
		return nil, err
	}
	i := &nativeInstance{module: module, g: g}
	for _, name := range p.known.initialisers() {
		if _, err := i.invoke(ctx, name); err != nil {
			i.close(ctx)
			return nil, err
		}
	}
	if p.known.isHaskell() {
		if _, err := i.invoke(ctx, haskellInit, 0, 0); err != nil {
			i.close(ctx)
			return nil, err
		}
	}
	return i, nil
}

type nativeInstance struct {
	module api.Module
	g      *guest
}

func (i *nativeInstance) invoke(ctx context.Context, export string, params ...uint64) (uint32, error) {
	results, err := i.module.ExportedFunction(export).Call(ctx, params...)
	if err != nil || len(results) == 0 {
		return 0, err
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
	return i.invoke(ctx, export)
}

func (i *nativeInstance) plugged(context.Context) ([]byte, string) {
	k := &i.g.plugin.kernel
	output := append([]byte{}, k.at(i.g.plugin.output, i.g.plugin.outputLength)...)
	if i.g.plugin.failed == 0 {
		return output, ""
	}
	return output, string(k.read(i.g.plugin.failed))
}

func (i *nativeInstance) close(ctx context.Context) { _ = i.module.Close(ctx) }
