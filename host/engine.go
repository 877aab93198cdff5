package host

import (
	"context"
	"fmt"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/wasm"
)

// compiler is one way to make modules runnable; there are two.
type compiler interface {
	// compile is moduleError where the module is at fault, and CodeUnavailable where
	// ctx ends first.
	compile(ctx context.Context, f form, m *wasm.Module) (program, error)
	// close comes once, after the last program was closed.
	close() error
}

// program is a compiled module.
type program interface {
	// instance gives a fresh, initialised instance that belongs to g. Pooled
	// instances will come from here too.
	instance(ctx context.Context, g *guest) (instance, error)
	// timed bounds a run's time, unless something else does.
	timed(ctx context.Context, g *guest) (context.Context, context.CancelFunc)
	// facts is what is known of the module.
	facts() *facts
	close(ctx context.Context)
}

// instance is a guest that can be called once.
type instance interface {
	// call runs an export without parameters; input is for a plug-in alone. The
	// status is 0 where the export has no result.
	call(ctx context.Context, export string, input []byte) (uint32, error)
	// plugged is the output and the error message of a plug-in.
	plugged(ctx context.Context) (output []byte, message string)
	close(ctx context.Context)
}

// facts are what a program keeps of its module.
type facts struct {
	entries map[string]wasm.Signature // of exported functions
	memory  int64                     // bytes that it starts with
	metered bool                      // it asks for fuel, and can be made to wait there
	// imported of its functions come first.
	imported, functions uint32
}

func factsOf(m *wasm.Module) *facts {
	f := &facts{entries: map[string]wasm.Signature{}, imported: uint32(m.Imported), functions: uint32(len(m.Functions))}
	if m.Memory != nil {
		f.memory = int64(m.Memory.Min) * pageBytes
	}
	for _, e := range m.Exports {
		if e.Kind == wasm.KindFunc {
			f.entries[e.Name] = m.TypeOf(e.Index)
		}
	}
	return f
}

func (f *facts) exports(function string) bool {
	_, ok := f.entries[function]
	return ok
}

// takesNothing reports whether an export can be called as initialiser.
func (f *facts) takesNothing(export string) bool {
	sig, ok := f.entries[export]
	return ok && sig == wasm.Signature{}
}

// initialisers names what to call before anything else, as Extism does: the
// reactor's initialiser or, where there is none, the constructors.
func (f *facts) initialisers() []string {
	for _, name := range []string{abi.EntryInitialize, "__wasm_call_ctors"} {
		if f.takesNothing(name) {
			return []string{name}
		}
	}
	return nil
}

// haskellInit is what a Haskell runtime needs called, with two zeros.
const haskellInit = "hs_init"

func (f *facts) isHaskell() bool {
	return f.entries[haskellInit] == wasm.Signature{Params: "\x7f\x7f"} ||
		f.entries[haskellInit] == wasm.Signature{Params: "\x7f\x7f", Results: "\x7f"}
}

// i32 is the value type in a signature.
const i32 = "\x7f"

// hasEntry reports whether the export can be run as an action.
func (f *facts) hasEntry(abiName, export string) bool {
	sig, ok := f.entries[export]
	if !ok || sig.Params != "" {
		return false
	}
	return sig.Results == i32 || (plugged(abiName) && sig.Results == "")
}

// moduleError says that a module cannot be run here, in words that are the same
// wherever it is said.
type moduleError struct{ message string }

// Error implements error.
func (e *moduleError) Error() string { return e.message }

// functionsFor picks the host functions that the module imports, by module name.
func functionsFor(m *wasm.Module, all map[importKey]hostFunc) (map[string]map[string]hostFunc, error) {
	picked := map[string]map[string]hostFunc{}
	for i, im := range m.Imports { // functions alone pass, so i is that of the function
		f, ok := all[importKey{im.Module, im.Name}]
		if !ok || im.Kind != wasm.KindFunc {
			return nil, &moduleError{fmt.Sprintf("it imports the %s %s %s, which this host does not have", kindNames[im.Kind], im.Module, im.Name)}
		}
		if m.TypeOf(uint32(i)) != f.signature() {
			return nil, &moduleError{fmt.Sprintf("it imports %s %s with another type than this host has it", im.Module, im.Name)}
		}
		if picked[im.Module] == nil {
			picked[im.Module] = map[string]hostFunc{}
		}
		picked[im.Module][im.Name] = f
	}
	return picked, nil
}

// allFunctions are all that a guest may import.
func allFunctions() map[importKey]hostFunc {
	all := map[importKey]hostFunc{}
	add := func(key importKey, f hostFunc) { all[key] = f }
	kernelFunctions(add)
	coreFunctions(add)
	toolFunctions(add)
	wasiFunctions(add)
	envFunctions(add)
	return all
}

// goFunc adapts f to the stack of the runtime: i32 parameters come with garbage
// in their upper halves.
func (f hostFunc) goFunc() func(ctx context.Context, stack []uint64) {
	return func(ctx context.Context, stack []uint64) {
		for i := range f.params {
			if f.params[i] == 'i' {
				stack[i] = uint64(uint32(stack[i]))
			}
		}
		f.call(ctx, guestFrom(ctx), stack)
	}
}

func (f hostFunc) signature() wasm.Signature {
	return wasm.Signature{Params: string(valueTypes(f.params)), Results: string(valueTypes(f.results))}
}

// valueTypes turns "il" into the bytes of the value types.
func valueTypes(types string) []byte {
	out := make([]byte, len(types))
	for i := range types {
		out[i] = map[byte]byte{'i': wasm.I32, 'l': wasm.I64}[types[i]]
	}
	return out
}
