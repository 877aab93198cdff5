package host

import (
	"context"
	"errors"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/writ-run/writ/host/meter"
	"github.com/writ-run/writ/host/wasm"
)

// native runs guests on wazero itself and serves both guest interfaces in Go.
type native struct {
	functions map[importKey]hostFunc
	code      *codeCache
	pool      *pool
}

func newNative(o *Options) (*native, error) {
	code, err := newCodeCache(o, true)
	idle := newPool()
	if o.FreshInstances {
		idle.most = 0
	}
	return &native{functions: allFunctions(), code: code, pool: idle}, err
}

// close implements compiler.
func (n *native) close() error { return n.code.close() }

// runtimeConfig is the same for every module. What is not metered has to be stopped
// by the engine, which costs a tight loop ten times its time.
func runtimeConfig(metered bool) wazero.RuntimeConfig {
	c := wazero.NewRuntimeConfigInterpreter()
	if execution() == "compiler" {
		c = wazero.NewRuntimeConfigCompiler()
	}
	return c.WithCloseOnContextDone(!metered).WithDebugInfoEnabled(false)
}

// compile implements compiler.
func (n *native) compile(ctx context.Context, f form, m *wasm.Module) (program, error) {
	functions, err := functionsFor(m, n.functions)
	if err != nil {
		return nil, err
	}
	if m.Memory != nil && m.Memory.Min > f.pages {
		return nil, errMinimum
	}
	parts := divide(m)
	derived, err := meter.Rewrite(parts.module, meter.Options{Pages: f.pages})
	if err != nil {
		return nil, &moduleError{err.Error()}
	}
	p := &nativeProgram{known: factsOf(m), derived: derived, start: parts.start, kept: parts.kept, pool: n.pool, raw: &snapshot{}}
	if m.Memory != nil {
		p.memory = uint64(f.pages) * pageBytes
	}
	p.cache, err = n.code.compile(ctx, &derivedModule{module: f.digest, bytes: derived.Bytes}, func(config wazero.RuntimeConfig) error {
		p.runtime = wazero.NewRuntimeWithConfig(ctx, config)
		for module, named := range functions {
			if err := mount(ctx, p.runtime, module, named); err != nil {
				return err
			}
		}
		if err := mountRefill(ctx, p.runtime); err != nil {
			return err
		}
		p.compiled, err = p.runtime.CompileModule(ctx, derived.Bytes)
		return asModuleError(err)
	})
	p.known.metered = true
	derived.Bytes = nil // they are compiled now
	if err == nil {
		p.raw.image, err = newImage(parts.size(), parts.write)
	}
	if err != nil {
		p.close(ctx)
		return nil, err
	}
	return p, nil
}

// errMinimum is a module that cannot begin within the run's memory limit.
var errMinimum = errors.New("the module starts with more memory than the limit")

// asModuleError keeps the validator's first line: it names what is wrong in terms
// of the module, the same on every machine.
func asModuleError(err error) error {
	if err == nil {
		return nil
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return &moduleError{"it is not valid: " + line}
}

// mountRefill mounts what a metered module asks for fuel. No guest can import it:
// it is none of native.functions.
func mountRefill(ctx context.Context, r wazero.Runtime) error {
	_, err := r.NewHostModuleBuilder(meter.HostModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
			stack[0] = uint64(guestFrom(ctx).refill(int64(stack[0])))
		}), valueTypes("l"), valueTypes("l")).
		Export(meter.HostFunction).Instantiate(ctx)
	return err
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
