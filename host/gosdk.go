package host

import (
	"context"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/wasm"
)

// NewExtismSandbox gives the sandbox that runs guests through extism/go-sdk: the
// fallback, and the oracle that NewSandbox's Extism interface is compared with. It
// serves both interfaces and never uses go-sdk's own HTTP client: a plug-in's imports of it are led to the gate. A module's start
// section cannot call the host here, go-sdk has no plug-in at that time.
func NewExtismSandbox(o Options) (writ.Sandbox, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	code, err := newCodeCache(&o, false)
	if err != nil {
		return nil, err
	}
	code.beside = 1 // go-sdk's kernel
	return newSandbox(&goSDK{functions: allFunctions(), code: code}, &o), nil
}

// sdkEnv is where the functions of envFunctions are found here; go-sdk has others
// of the same names, and a host cannot replace those.
const sdkEnv = "writ:extism/env"

// sdkModule is where an import is looked up.
func sdkModule(module, name string) string {
	if module == abi.ModuleExtism && isEnv(name) {
		return sdkEnv
	}
	return module
}

// sdkKernel is what go-sdk's kernel, itself a module, takes besides a plug-in's
// blocks: 16 pages, and a page for rounding.
const sdkKernel = 17 * pageBytes

type goSDK struct {
	functions map[importKey]hostFunc
	code      *codeCache
}

// close implements compiler.
func (c *goSDK) close() error { return c.code.close() }

// compile implements compiler.
func (c *goSDK) compile(ctx context.Context, f form, m *wasm.Module) (program, error) {
	picked, err := functionsFor(m, c.functions)
	if err != nil {
		return nil, err
	}
	var functions []extism.HostFunction
	for module, named := range picked {
		for name, f := range named {
			namespace := module
			if module == abi.ModuleExtism {
				if namespace = sdkEnv; !isEnv(name) {
					continue
				}
			}
			h := extism.NewHostFunctionWithStack(name, sdkCallback(f), sdkTypes(f.params), sdkTypes(f.results))
			h.SetNamespace(namespace)
			functions = append(functions, h)
		}
	}
	module := guard(m, sdkModule)
	p := &sdkProgram{known: factsOf(m)}
	p.cache, err = c.code.compile(ctx, &derivedModule{module: f.digest, bytes: module}, func(config wazero.RuntimeConfig) error {
		p.plugin, err = extism.NewCompiledPlugin(ctx, extism.Manifest{
			Wasm:   []extism.Wasm{extism.WasmData{Data: module}},
			Memory: &extism.ManifestMemory{MaxVarBytes: MaxVars},
		}, extism.PluginConfig{RuntimeConfig: config}, functions)
		return asModuleError(err)
	})
	if err != nil {
		p.close(ctx)
		return nil, err
	}
	return p, nil
}

func sdkTypes(types string) []extism.ValueType { return valueTypes(types) }

func sdkCallback(f hostFunc) extism.HostFunctionStackCallback {
	call := f.goFunc()
	return func(ctx context.Context, p *extism.CurrentPlugin, stack []uint64) {
		guestFrom(ctx).plugin.blocks = sdkBlocks{ctx, p}
		call(ctx, stack)
	}
}

// sdkBlocks are the blocks of go-sdk's kernel during one host call.
type sdkBlocks struct {
	ctx    context.Context
	plugin *extism.CurrentPlugin
}

// fault is why a call of the kernel failed: the run is over, or the block is none.
func (b sdkBlocks) fault() error {
	if b.ctx.Err() != nil {
		return errEnded
	}
	return errBlock
}

func (b sdkBlocks) read(offset uint64) []byte {
	n, err := b.plugin.LengthWithContext(b.ctx, offset)
	view, ok := b.plugin.Memory().Read(uint32(offset), uint32(n))
	if err != nil || !ok {
		panic(b.fault())
	}
	return append([]byte{}, view...)
}

func (b sdkBlocks) write(content []byte) uint64 {
	if len(content) == 0 {
		return 0
	}
	offset, err := b.plugin.AllocWithContext(b.ctx, uint64(len(content)))
	if err != nil || offset == 0 || !b.plugin.Memory().Write(uint32(offset), content) {
		panic(b.fault())
	}
	return offset
}

func (b sdkBlocks) release(offset uint64) {
	if err := b.plugin.FreeWithContext(b.ctx, offset); err != nil {
		panic(b.fault())
	}
}

type sdkProgram struct {
	known  *facts
	plugin *extism.CompiledPlugin
	cache  wazero.CompilationCache // nil, or what owns the compiled code
}

func (p *sdkProgram) timed(ctx context.Context, g *guest) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, g.limits.Time.Std())
}

func (p *sdkProgram) facts() *facts { return p.known }

func (p *sdkProgram) close(ctx context.Context) {
	if p.plugin != nil {
		_ = p.plugin.Close(ctx)
	}
	if p.cache != nil {
		_ = p.cache.Close(ctx)
	}
}

func (p *sdkProgram) instance(ctx context.Context, g *guest) (instance, error) {
	g.memory.skip, g.memory.late = 1, true
	plugin, err := p.plugin.Instance(experimental.WithMemoryAllocator(ctx, &g.memory), extism.PluginInstanceConfig{ModuleConfig: moduleConfig()})
	if err != nil {
		g.memory.release()
		return nil, err
	}
	i := &sdkInstance{plugin: plugin, memories: &g.memory}
	if p.known.isHaskell() {
		return i, nil // go-sdk initialises it itself, at the first call
	}
	for _, name := range p.known.initialisers() {
		if _, err := i.call(ctx, name, nil); err != nil {
			i.close(ctx)
			return nil, err
		}
	}
	return i, nil
}

type sdkInstance struct {
	plugin   *extism.Plugin
	memories *memories
}

func (i *sdkInstance) call(ctx context.Context, export string, input []byte) (uint32, error) {
	status, _, err := i.plugin.CallWithContext(ctx, export, input)
	// go-sdk gives a plug-in's own error message as the error of the call.
	if err != nil && err.Error() == i.plugin.GetErrorWithContext(context.WithoutCancel(ctx)) {
		err = nil
	}
	return status, err
}

func (i *sdkInstance) plugged(ctx context.Context) ([]byte, string) {
	output, err := i.plugin.GetOutputWithContext(ctx)
	if err != nil {
		panic(err)
	}
	return output, i.plugin.GetErrorWithContext(ctx)
}

func (i *sdkInstance) close(ctx context.Context) {
	_ = i.plugin.CloseWithContext(ctx)
	i.memories.release()
}
