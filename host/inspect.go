// Package host runs guests: it reads and bounds their modules, compiles them and
// runs one action of one step in a sandbox that reaches nothing but the tools of
// its ToolGate.
package host

import (
	"fmt"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host/wasm"
)

// NewInspector gives an Inspector that reads a module's bytes itself: nothing is
// compiled or run. Besides the interface's promise, Inspect is CodeTooLarge for
// a module beyond wasm.MaxModuleBytes and CodeInvalid for one beyond the other bounds
// there and here, so what passes here is also what a sandbox takes.
func NewInspector() writ.Inspector { return inspector{} }

type inspector struct{}

// Inspect implements writ.Inspector.
func (inspector) Inspect(module []byte) (*writ.ModuleFacts, error) {
	m, err := inspect(module)
	if err != nil {
		return nil, err
	}
	facts := &writ.ModuleFacts{}
	for _, im := range m.Imports {
		facts.Imports = append(facts.Imports, writ.ModuleImport{Module: im.Module, Name: im.Name, Kind: kindNames[im.Kind]})
	}
	for _, e := range m.Exports {
		if e.Kind == wasm.KindFunc {
			facts.Exports = append(facts.Exports, e.Name)
			if sig := m.TypeOf(e.Index); sig.Params == "" && (sig.Results == "" || sig.Results == i32) {
				facts.Entries = append(facts.Entries, e.Name)
			}
		}
	}
	return facts, nil
}

// Unserved are the imports that no sandbox of this package serves, with its types
// left aside: a module with one of them cannot be run here.
func Unserved(facts *writ.ModuleFacts) []writ.ModuleImport {
	served := allFunctions()
	var out []writ.ModuleImport
	for _, i := range facts.Imports {
		if _, ok := served[importKey{i.Module, i.Name}]; (!ok || i.Kind != "func") && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// SpeaksMCP reports whether the module is an Extism plug-in that lists and runs
// tools as in MCP.
func SpeaksMCP(facts *writ.ModuleFacts) bool {
	return speaksMCP(func(name string) bool { return slices.Contains(facts.Exports, name) })
}

// kindNames are the kinds of imports, as ModuleImport has them.
var kindNames = [...]string{wasm.KindFunc: "func", wasm.KindTable: "table", wasm.KindMemory: "memory", wasm.KindGlobal: "global"}

// inspect reads a module and holds it to the bounds, with errors for people.
func inspect(module []byte) (*wasm.Module, error) {
	const op = "module: inspect"
	if len(module) > wasm.MaxModuleBytes {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "it has %d bytes and at most %d are allowed", len(module), wasm.MaxModuleBytes).
			WithFix("build the module without debug information, or split the skill")
	}
	m, err := wasm.Parse(module)
	if err == nil {
		err = checkCost(m)
	}
	if err == nil {
		return m, nil
	}
	e := &writ.Error{
		Code: writ.CodeInvalid, Op: op, Message: err.Error(), Err: err,
		Fix: "build the module again for wasm32 with core features of WebAssembly 2.0",
	}
	if fault, ok := err.(*wasm.Error); ok {
		e.Place, e.Message = fmt.Sprintf("byte %d", fault.Offset), fault.Message
	}
	return nil, e
}
