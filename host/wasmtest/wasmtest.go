// Package wasmtest assembles small WebAssembly modules by hand, for tests and
// benchmarks that need a guest without a toolchain.
package wasmtest

import "slices"

// Module is a module under construction. Imports come first: a function's index
// counts them.
type Module struct {
	types   [][]byte
	imports [][]byte
	funcs   [][]byte // type indices
	bodies  [][]byte
	tables  [][]byte
	memory  []byte
	globals [][]byte
	exports [][]byte
	start   []byte
	datas   [][]byte

	imported int // functions
}

// New gives an empty module.
func New() *Module { return &Module{} }

var valueTypes = map[rune]byte{'i': 0x7f, 'l': 0x7e, 'f': 0x7d, 'd': 0x7c}

// signature gives the index of a function type. Types are written as strings:
// i is i32, l i64, f f32, d f64.
func (m *Module) signature(params, results string) []byte {
	encode := func(s string) []byte {
		b := U32(uint32(len(s)))
		for _, c := range s {
			b = append(b, valueTypes[c])
		}
		return b
	}
	t := slices.Concat([]byte{0x60}, encode(params), encode(results))
	for i, known := range m.types {
		if slices.Equal(known, t) {
			return U32(uint32(i))
		}
	}
	m.types = append(m.types, t)
	return U32(uint32(len(m.types) - 1))
}

// Import imports a function and gives its index.
func (m *Module) Import(module, name, params, results string) uint32 {
	m.ImportRaw(module, name, slices.Concat([]byte{0}, m.signature(params, results)))
	m.imported++
	return uint32(m.imported - 1)
}

// ImportRaw imports anything: descriptor is its kind byte and type.
func (m *Module) ImportRaw(module, name string, descriptor []byte) *Module {
	m.imports = append(m.imports, slices.Concat(text(module), text(name), descriptor))
	return m
}

// Memory declares a memory in pages of 64 KiB and exports it as "memory"; max 0
// leaves it unbounded.
func (m *Module) Memory(minimum, maximum uint32) *Module {
	m.memory = limits(minimum, maximum)
	m.exports = append(m.exports, slices.Concat(text("memory"), []byte{2, 0}))
	return m
}

// Table declares a table of functions; max 0 leaves it unbounded.
func (m *Module) Table(minimum, maximum uint32) *Module {
	m.tables = append(m.tables, slices.Concat([]byte{0x70}, limits(minimum, maximum)))
	return m
}

// Global declares a mutable i64 with its first value and gives its index.
func (m *Module) Global(value int64) uint32 {
	m.globals = append(m.globals, slices.Concat([]byte{0x7e, 1}, I64(value), []byte{End}))
	return uint32(len(m.globals) - 1)
}

// Data fills memory at the offset.
func (m *Module) Data(offset uint32, content []byte) *Module {
	m.datas = append(m.datas, slices.Concat([]byte{0}, I32(int32(offset)), []byte{End}, U32(uint32(len(content))), content))
	return m
}

// Func is a function for Module.Func. An empty Export exports nothing. Locals
// are types like those of Params; the code's final end is added.
type Func struct {
	Export, Params, Results, Locals string
	Code                            []byte
}

// Func adds a function and gives its index.
func (m *Module) Func(f Func) uint32 {
	index := uint32(m.imported + len(m.funcs))
	m.funcs = append(m.funcs, m.signature(f.Params, f.Results))
	locals := U32(uint32(len(f.Locals)))
	for _, c := range f.Locals {
		locals = append(locals, 1, valueTypes[c])
	}
	code := slices.Concat(locals, f.Code, []byte{End})
	m.bodies = append(m.bodies, slices.Concat(U32(uint32(len(code))), code))
	if f.Export != "" {
		m.exports = append(m.exports, slices.Concat(text(f.Export), []byte{0}, U32(index)))
	}
	return index
}

// Start makes the function run at instantiation.
func (m *Module) Start(index uint32) *Module {
	m.start = U32(index)
	return m
}

// Bytes is the module's binary form.
func (m *Module) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	vector := func(id byte, items [][]byte) {
		if len(items) > 0 {
			out = append(out, Section(id, slices.Concat(U32(uint32(len(items))), slices.Concat(items...)))...)
		}
	}
	vector(1, m.types)
	vector(2, m.imports)
	vector(3, m.funcs)
	vector(4, m.tables)
	if m.memory != nil {
		vector(5, [][]byte{m.memory})
	}
	vector(6, m.globals)
	vector(7, m.exports)
	if m.start != nil {
		out = append(out, Section(8, m.start)...)
	}
	vector(10, m.bodies)
	vector(11, m.datas)
	return out
}

// Section frames a section's content.
func Section(id byte, content []byte) []byte {
	return slices.Concat([]byte{id}, U32(uint32(len(content))), content)
}

func text(s string) []byte { return append(U32(uint32(len(s))), s...) }

func limits(minimum, maximum uint32) []byte {
	if maximum == 0 {
		return slices.Concat([]byte{0}, U32(minimum))
	}
	return slices.Concat([]byte{1}, U32(minimum), U32(maximum))
}
