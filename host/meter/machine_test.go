package meter

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/writ-run/writ/host/wasm"
)

var background = context.Background()

// errNoFuel ends a run whose fuel is used up.
var errNoFuel = errors.New("no fuel")

// machine runs modules, each with a set of host functions of its own.
type machine struct{ config wazero.RuntimeConfig }

var (
	interpreter = machine{wazero.NewRuntimeConfigInterpreter()}
	compiler    = machine{wazero.NewRuntimeConfigCompiler()}
)

// subject is an instance of a module or of what was derived from it.
type subject struct {
	t       testing.TB
	runtime wazero.Runtime
	module  api.Module
	derived *Module // nil: as it was
	limit   int64   // of fuel
	given   int64
	asked   int
	calls   hash.Hash // of the host
	deep    bool      // the last call was nested too deeply
	input   []byte    // what writ:core/v1 reads
	output  []byte
}

// open instantiates a module. Host functions answer zeros, but for WASI, which is
// wazero's own, and writ:core/v1.
func (m machine) open(t testing.TB, module []byte, derived *Module, limit int64) (*subject, error) {
	t.Helper()
	s := &subject{t: t, runtime: wazero.NewRuntimeWithConfig(background, m.config), derived: derived, limit: limit, calls: sha256.New()}
	t.Cleanup(s.close)
	outline, err := wasm.Parse(module)
	if err != nil {
		return nil, err
	}
	if derived != nil {
		module = derived.Bytes
	}
	compiled, err := s.runtime.CompileModule(background, module)
	if err != nil {
		return nil, err
	}
	s.mount(outline)
	s.module, err = s.runtime.InstantiateModule(background, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	return s, err
}

func (s *subject) close() { _ = s.runtime.Close(background) }

func (s *subject) mount(outline *wasm.Module) {
	builders := map[string]wazero.HostModuleBuilder{}
	function := 0
	for _, im := range outline.Imports {
		if im.Kind != wasm.KindFunc {
			continue
		}
		sig := outline.TypeOf(uint32(function))
		function++
		b, ok := builders[im.Module]
		if !ok {
			b = s.runtime.NewHostModuleBuilder(im.Module)
			if im.Module == wasi_snapshot_preview1.ModuleName {
				wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
			}
			builders[im.Module] = b
		}
		if im.Module != wasi_snapshot_preview1.ModuleName {
			b.NewFunctionBuilder().WithGoModuleFunction(s.stub(im, sig), []byte(sig.Params), []byte(sig.Results)).Export(im.Name)
		}
	}
	builders[HostModule] = s.runtime.NewHostModuleBuilder(HostModule)
	builders[HostModule].NewFunctionBuilder().
		WithGoFunction(api.GoFunc(s.refill), []byte{wasm.I64}, []byte{wasm.I64}).Export(HostFunction)
	for name, b := range builders {
		if _, err := b.Instantiate(background); err != nil {
			s.t.Fatal(name, err)
		}
	}
}

// stub records the call and answers zeros.
func (s *subject) stub(im wasm.Import, sig wasm.Signature) api.GoModuleFunc {
	return func(_ context.Context, m api.Module, stack []uint64) {
		s.calls.Write([]byte(im.Module + " " + im.Name))
		for i := range sig.Params {
			value := stack[i]
			if sig.Params[i] == wasm.I32 || sig.Params[i] == wasm.F32 {
				value = uint64(uint32(value))
			}
			s.calls.Write(binary.LittleEndian.AppendUint64(nil, value))
		}
		if im.Module == "writ:core/v1" {
			s.core(im.Name, m, stack)
			return
		}
		clear(stack)
	}
}

func (s *subject) core(name string, m api.Module, stack []uint64) {
	at, n := uint32(stack[0]), uint32(stack[1])
	if name == "output" {
		s.output, _ = m.Memory().Read(at, n)
		s.output = append([]byte{}, s.output...)
		return
	}
	data := s.input
	if name == "action" {
		data = []byte("query")
	}
	m.Memory().Write(at, data[:min(len(data), int(n))])
	stack[0] = uint64(len(data))
}

// slice is what a run gets at once.
const slice = 1 << 20

func (s *subject) refill(_ context.Context, stack []uint64) {
	left := int64(stack[0])
	if left >= 0 {
		s.t.Fatalf("asked for fuel with %d left", left)
	}
	s.asked++
	for left < 0 {
		give := min(slice, s.limit-s.given)
		if give <= 0 {
			panic(errNoFuel)
		}
		s.given += give
		left += give
	}
	stack[0] = uint64(left)
}

// used is the fuel that was used so far.
func (s *subject) used() int64 {
	return s.given - int64(s.module.ExportedGlobal(s.derived.Fuel).Get())
}

func (s *subject) tooDeep() bool {
	return s.derived != nil && int64(s.module.ExportedGlobal(s.derived.Depth).Get()) < 0
}

// call gives the results and the first line of what went wrong.
func (s *subject) call(name string, params ...uint64) ([]uint64, string) {
	results, err := s.module.ExportedFunction(name).Call(background, params...)
	if err == nil {
		return results, ""
	}
	if errors.Is(err, errNoFuel) {
		return nil, errNoFuel.Error()
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	line = strings.TrimPrefix(line, "wasm error: ")
	if s.deep = s.tooDeep(); s.deep {
		line = overflow
	}
	if s.derived != nil { // as a host does that goes on with the instance
		s.module.ExportedGlobal(s.derived.Depth).(api.MutableGlobal).Set(Stack)
	}
	return nil, line
}

func must(t testing.TB, module []byte, o Options) *Module {
	t.Helper()
	derived, err := Rewrite(module, o)
	if err != nil {
		t.Fatal(err)
	}
	return derived
}

func load(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
