// Package meter derives the module that is run from the module that is signed:
// execution is counted and bounded in it, the same way on every machine.
package meter

import (
	"fmt"
	"strings"

	"github.com/writ-run/writ/host/wasm"
)

// Version names what Rewrite does. It changes with every change of the bytes that
// come out, so whoever keeps them or what they did keeps it beside them.
const Version = "meter/2"

// The one import that Rewrite adds, an (i64) -> i64. It is called when the fuel
// has fallen below zero, with that fuel, and gives the fuel to go on with; what is
// still negative is asked for again at the next function or loop. A host that wants
// the run to end does not return.
const (
	HostModule   = "writ:meter/v1"
	HostFunction = "refill"
)

// Stack is what the frames of all active calls may weigh, in units that come close
// to bytes of the host's memory. A trivial function weighs 72.
const Stack = 4 << 20

// maxPages is all that 32 bits address.
const maxPages = 1 << 16

// exportPrefix begins the names of all exports that are added.
const exportPrefix = "writ:meter/"

// Options say what cannot be read from the module. The zero Options take a module
// that has no memory.
type Options struct {
	// Pages of 64 KiB are the memory of the derived module, from its beginning to
	// its end. The module sees what it asked for and may grow up to its own maximum
	// and no further than Pages.
	Pages uint32
}

// Module is a derived module.
type Module struct {
	Bytes []byte
	// Globals are the export names of all mutable globals in the order of their
	// indices, the guest's before those of the meter.
	Globals []string
	// Fuel is the export name of the i64 that counts down. What a run used is what
	// it was given less what is left here.
	Fuel string
	// Depth is the export name of the i64 that starts at Stack. A trap that leaves
	// it negative came from calls that were nested too deeply.
	Depth string
	// Pages is the export name of the i32 that is the memory's size as the module
	// sees it; empty where there is no memory.
	Pages string
	// Refused is the export name of the i32 that is 1 once the memory could not grow
	// because of Options.Pages; empty where there is no memory.
	Refused string
	// MinPages is the size that the memory begins with.
	MinPages uint32
	// Resettable: memory and Globals are all of an instance's state, so putting them
	// back puts the instance back.
	Resettable bool
	// Remains says what else there is where the module is not Resettable.
	Remains string
}

// Error says where and why a module is refused.
type Error = wasm.Error

// Rewrite derives a module that does what the given one does, and besides
//
//   - counts its fuel down and calls HostFunction below zero (see DESIGN.md),
//   - traps where calls are nested beyond Stack,
//   - gives every NaN that arithmetic makes the same bits,
//   - compares with zero in a way that wazero compiles well,
//   - has a memory of o.Pages pages and keeps the size that it shows in a global,
//   - has tables of at most wasm.MaxTableEntries entries,
//   - exports its mutable globals, and has no custom sections.
//
// The result is a function of the arguments and of Version. It is valid where the
// module is. An error is *Error: what is not WebAssembly 2.0, what a host of Writ
// never has (imports of memories, tables and globals), and what is over a bound.
func Rewrite(module []byte, o Options) (*Module, error) {
	m, err := wasm.Parse(module)
	if err != nil {
		return nil, err
	}
	if err := check(m, &o); err != nil {
		return nil, err
	}
	r := newRewriter(m, &o)
	if err := r.rewriteCode(); err != nil {
		return nil, err
	}
	return r.module(), nil
}

func refuse(format string, args ...any) error { return &Error{Message: fmt.Sprintf(format, args...)} }

func check(m *wasm.Module, o *Options) error {
	for _, im := range m.Imports {
		switch {
		case im.Kind != wasm.KindFunc:
			return refuse("it imports %q %q, which is not a function", im.Module, im.Name)
		case im.Module == HostModule:
			return refuse("it imports from %s, which is the meter's own", HostModule)
		}
	}
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, exportPrefix) {
			return refuse("it exports %q, and names that begin with %s are the meter's own", e.Name, exportPrefix)
		}
	}
	return checkMemory(m, o)
}

func checkMemory(m *wasm.Module, o *Options) error {
	switch {
	case o.Pages > maxPages:
		return refuse("a memory has at most %d pages, not %d", maxPages, o.Pages)
	case m.Memory == nil:
		return nil
	case m.Memory.Max > maxPages:
		return refuse("a memory has at most %d pages, not %d", maxPages, m.Memory.Max)
	case m.Memory.Min > o.Pages:
		return refuse("its memory begins with %d pages: at most %d are allowed", m.Memory.Min, o.Pages)
	}
	for _, d := range m.Data {
		if d.Active && d.Known && uint64(d.Offset)+uint64(d.Size) > uint64(m.Memory.Min)<<16 {
			return refuse("a data segment reaches beyond the memory's %d pages", m.Memory.Min)
		}
	}
	return nil
}
