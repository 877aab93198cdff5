package meter

import (
	"strconv"

	"github.com/writ-run/writ/host/wasm"
)

// rewriter is one Rewrite. Indices are those of the derived module: the added
// import comes behind the module's own and shifts its functions by one; types,
// globals and functions are added behind the module's own.
type rewriter struct {
	m *wasm.Module
	o *Options

	types          []wasm.Signature // added
	refill         uint32           // function: the import
	tick           uint32           // function: asks for fuel, traps beyond Stack
	grow           uint32           // function: memory.grow
	fuel, depth    uint32           // globals
	pages, refused uint32           // globals, where there is a memory

	bodies  code // of the module's functions
	remains string
}

var (
	refillType = wasm.Signature{Params: string([]byte{wasm.I64}), Results: string([]byte{wasm.I64})}
	growType   = wasm.Signature{Params: string([]byte{wasm.I32}), Results: string([]byte{wasm.I32})}
)

func newRewriter(m *wasm.Module, o *Options) *rewriter {
	functions, globals := uint32(len(m.Functions)), uint32(len(m.Globals))
	return &rewriter{
		m: m, o: o,
		refill: uint32(m.Imported), tick: functions + 1, grow: functions + 2,
		fuel: globals, depth: globals + 1, pages: globals + 2, refused: globals + 3,
	}
}

// shifted is the index of one of the module's functions.
func (r *rewriter) shifted(function uint32) uint32 {
	if function >= uint32(r.m.Imported) {
		return function + 1
	}
	return function
}

// typeOf gives the index of a type, added where the module has none like it.
func (r *rewriter) typeOf(want wasm.Signature) uint32 {
	for i, t := range r.m.Types {
		if t == want {
			return uint32(i)
		}
	}
	for i, t := range r.types {
		if t == want {
			return uint32(len(r.m.Types) + i)
		}
	}
	r.types = append(r.types, want)
	return uint32(len(r.m.Types) + len(r.types) - 1)
}

func (r *rewriter) rewriteCode() error {
	f := &function{rewriter: r, scratch: map[byte]local{}}
	r.bodies = make(code, 0, len(r.m.Bytes)+len(r.m.Bytes)/4)
	for i, b := range r.m.Bodies {
		var err error
		if r.bodies, err = f.rewrite(r.bodies, uint32(r.m.Imported+i), b); err != nil {
			return err
		}
	}
	return nil
}

// module puts everything together.
func (r *rewriter) module() *Module {
	derived := &Module{
		Fuel: exportPrefix + "fuel", Depth: exportPrefix + "depth",
		Remains: r.remains,
	}
	for i, g := range r.m.Globals {
		if !g.Mutable {
			continue
		}
		derived.Globals = append(derived.Globals, globalExport(i))
		if g.Type != wasm.I32 && g.Type != wasm.I64 && g.Type != wasm.F32 && g.Type != wasm.F64 && derived.Remains == "" {
			derived.Remains = "a global holds what the host cannot put back"
		}
	}
	derived.Globals = append(derived.Globals, derived.Fuel, derived.Depth)
	if r.m.Memory != nil {
		derived.Pages, derived.MinPages = exportPrefix+"pages", r.m.Memory.Min
		derived.Refused = exportPrefix + "refused"
		derived.Globals = append(derived.Globals, derived.Pages, derived.Refused)
	}
	derived.Resettable = derived.Remains == ""
	derived.Bytes = r.encode()
	return derived
}

func globalExport(index int) string { return exportPrefix + "global/" + strconv.Itoa(index) }
