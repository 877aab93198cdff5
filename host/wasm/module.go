// Package wasm reads the binary form of WebAssembly modules as far as core
// specification 2.0 goes, without running or compiling anything. It refuses what
// later proposals add.
//
// Bounds are checked before anything is allocated: a module comes from strangers.
package wasm

import (
	"bytes"
	"fmt"
)

// Bounds on a module.
const (
	// MaxModuleBytes: a stock Go skill with encoding/json is 3.3 MB, QuickJS with
	// its script 0.5 MB; 32 MiB leaves room and bounds compilation.
	MaxModuleBytes = 32 << 20
	// MaxTableEntries over all tables. A table holds the functions that are called
	// indirectly, so a large Go program needs some 20,000; an entry costs 8 bytes
	// of host memory that no memory limit counts.
	MaxTableEntries = 100_000
	// MaxLocals of one function; compilers of every language stay below 1,000.
	MaxLocals = 10_000

	MaxNameBytes = 4 << 10
	MaxImports   = 1_000
	MaxItems     = 200_000 // types, functions, exports, globals, segments: each
	MaxTables    = 16
	MaxArity     = 1_000 // parameters or results of one function type
)

// Section ids of the core specification.
const (
	SectionCustom    = 0
	SectionType      = 1
	SectionImport    = 2
	SectionFunction  = 3
	SectionTable     = 4
	SectionMemory    = 5
	SectionGlobal    = 6
	SectionExport    = 7
	SectionStart     = 8
	SectionElement   = 9
	SectionCode      = 10
	SectionData      = 11
	SectionDataCount = 12
)

// sectionOrder ranks the ids: the data count stands between elements and code.
var sectionOrder = [...]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10}

// Value types of the core specification.
const (
	I32       = 0x7f
	I64       = 0x7e
	F32       = 0x7d
	F64       = 0x7c
	V128      = 0x7b
	FuncRef   = 0x70
	ExternRef = 0x6f
)

func isValueType(t byte) bool { return t >= V128 && t <= I32 || t == FuncRef || t == ExternRef }

// Kinds of imports and exports.
const (
	KindFunc = iota
	KindTable
	KindMemory
	KindGlobal
	kinds
)

// Header is how every module of version 1 begins.
var Header = []byte("\x00asm\x01\x00\x00\x00")

// Module is what is known of a module without running it. Outside code, the types
// and functions that it names are there.
type Module struct {
	Bytes     []byte
	Sections  []Section // without custom ones, in the order of the specification
	Types     []Signature
	Imports   []Import
	Imported  int      // functions among them
	Functions []uint32 // type of each function, imported ones first
	Tables    []Table  // defined
	Memory    *Limits  // defined, in pages of 64 KiB; nil where there is none
	Globals   []Global // defined
	Exports   []Export
	Bodies    []Body
	Data      []DataSegment
	// References are the places outside code where a function's index stands, in
	// the order of the bytes.
	References []Reference
}

// Section is a section that is not a custom one.
type Section struct {
	ID    byte
	Span      // of the content
	Items int // where the items of a vector begin, behind their number
}

// Signature is a function's type, one byte for each value.
type Signature struct{ Params, Results string }

// Import is an entry of the import section.
type Import struct {
	Module, Name string
	Kind         byte
	Place        Span // of the module's name, with its length
}

// Table is a defined table.
type Table struct {
	Type byte
	Limits
}

// Global is a defined global.
type Global struct {
	Type    byte
	Mutable bool
}

// Export is an entry of the export section.
type Export struct {
	Name  string
	Kind  byte
	Index uint32
}

// Body is a function's code.
type Body struct {
	Span          // of the whole, without its length
	Groups   int  // of locals
	Declared Span // of the groups, behind their number
	Locals   int  // how many they declare; parameters come before them
	Vectors  bool // some of them are V128
	Code     int  // where the instructions begin
}

// DataSegment is a piece of the data section.
type DataSegment struct {
	Active bool
	Known  bool // Offset is a constant
	Offset uint32
	Size   int
	To     int // the end of its bytes in the module
}

// Reference is a place where a function's index stands.
type Reference struct {
	Span
	Function uint32
}

// TypeOf is the type of a function; the zero Signature where there is none.
func (m *Module) TypeOf(function uint32) Signature {
	if int64(function) < int64(len(m.Functions)) {
		return m.Types[m.Functions[function]]
	}
	return Signature{}
}

// Parse reads a module's outline; what functions do is left to Code. Errors are
// *Error.
func Parse(module []byte) (*Module, error) {
	r := &reader{data: module, end: len(module)}
	if len(module) > MaxModuleBytes {
		r.fail("the module has %d bytes: at most %d are allowed", len(module), MaxModuleBytes)
		return nil, r.err
	}
	if !bytes.HasPrefix(module, Header) {
		r.fail("not a WebAssembly module of version 1")
		return nil, r.err
	}
	r.skip(len(Header))
	m := &Module{Bytes: module}
	for last := 0; r.left() > 0; {
		id := r.byte()
		content := r.sub(r.count("bytes of a section", MaxModuleBytes))
		if r.err != nil {
			return nil, r.err
		}
		if id != SectionCustom {
			// Two sections of one kind could show one list here and another to wazero.
			if int(id) >= len(sectionOrder) || sectionOrder[id] <= last {
				r.fail("section %d is unknown, repeated or out of order", id)
				return nil, r.err
			}
			last = sectionOrder[id]
		}
		if err := m.section(id, content); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if declared := len(m.Functions) - m.Imported; len(m.Bodies) != declared {
		r.fail("%d functions are declared and %d are there", declared, len(m.Bodies))
		return nil, r.err
	}
	if err := m.checkIndices(); err != nil {
		return nil, err
	}
	return m, nil
}

// checkIndices refuses what wazero's validator trips over: it takes a function's
// type for granted where the function is called.
func (m *Module) checkIndices() error {
	for i, t := range m.Functions {
		if int64(t) >= int64(len(m.Types)) {
			return &Error{Offset: len(m.Bytes), Message: fmt.Sprintf("function %d has the type %d, which is not there", i, t)}
		}
	}
	for _, f := range m.References {
		if int64(f.Function) >= int64(len(m.Functions)) {
			return &Error{Offset: f.From, Message: fmt.Sprintf("the function %d is not there", f.Function)}
		}
	}
	others := len(m.Imports) - m.Imported // globals among them
	for _, e := range m.Exports {
		if e.Kind == KindGlobal && int64(e.Index) >= int64(len(m.Globals)+others) {
			return &Error{Offset: len(m.Bytes), Message: fmt.Sprintf("the export %q is of a global that is not there", e.Name)}
		}
	}
	return nil
}

func (m *Module) section(id byte, r *reader) error {
	if id == SectionCustom {
		r.name()
		r.at = r.end
	} else {
		s := Section{ID: id, Span: Span{r.at, r.end}}
		m.read(id, r, &s)
		m.Sections = append(m.Sections, s)
	}
	if r.err == nil && r.left() > 0 {
		r.fail("section %d has %d bytes too many", id, r.left())
	}
	if r.err != nil {
		return r.err
	}
	return nil
}
