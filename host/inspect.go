// Package host runs guests: it reads and bounds their modules, compiles them and
// runs one action of one step in a sandbox that reaches nothing but the tools of
// its ToolGate.
package host

import (
	"fmt"

	"github.com/writ-run/writ"
)

// NewInspector gives an Inspector that reads a module's bytes itself: nothing is
// compiled or run. Besides the interface's promise, Inspect is CodeTooLarge for
// a module beyond MaxModuleBytes and CodeInvalid for one beyond the other bounds
// of this package, so what passes here is also what a sandbox takes.
func NewInspector() writ.Inspector { return inspector{} }

type inspector struct{}

// Inspect implements writ.Inspector.
func (inspector) Inspect(module []byte) (*writ.ModuleFacts, error) {
	s, err := inspect(module)
	if err != nil {
		return nil, err
	}
	return &writ.ModuleFacts{Imports: s.imports, Exports: s.exports}, nil
}

// inspect is parse with errors for people.
func inspect(module []byte) (*shape, error) {
	const op = "module: inspect"
	if len(module) > MaxModuleBytes {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "it has %d bytes and at most %d are allowed", len(module), MaxModuleBytes).
			WithFix("build the module without debug information, or split the skill")
	}
	s, err := parse(module)
	if err == nil {
		return s, nil
	}
	e := &writ.Error{
		Code: writ.CodeInvalid, Op: op, Message: err.Error(), Err: err,
		Fix: "build the module again for wasm32 with core features of WebAssembly 2.0",
	}
	if f, ok := err.(*formatError); ok {
		e.Place, e.Message = fmt.Sprintf("byte %d", f.offset), f.message
	}
	return nil, e
}
