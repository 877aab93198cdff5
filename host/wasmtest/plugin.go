package wasmtest

import (
	"maps"
	"slices"

	"github.com/writ-run/writ/abi"
)

// Plugin is an Extism plug-in with the exports, each of which puts its text out.
func Plugin(outputs map[string]string) []byte {
	m := New()
	alloc := m.Import(abi.ModuleExtism, "alloc", "l", "l")
	store := m.Import(abi.ModuleExtism, "store_u8", "li", "")
	set := m.Import(abi.ModuleExtism, "output_set", "ll", "")
	m.Memory(2, 0)
	const block, at = 0, 1 // locals
	offset := uint32(0)
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		text := []byte(outputs[name])
		m.Data(offset, text)
		size := I64(int64(len(text)))
		m.Func(Func{Export: name, Results: "i", Locals: "ll", Code: Code(
			size, Call(alloc), Set(block),
			Repeat(
				Get(block), Get(at), Op(I64Add),
				Get(at), Op(I32WrapI64), LoadByte(offset),
				Call(store),
				Get(at), I64(1), Op(I64Add), Set(at),
				size, Get(at), Op(I64Sub), Op(I32WrapI64), If(Branch(1)),
			),
			Get(block), size, Call(set), I32(0),
		)})
		offset += uint32(len(text))
	}
	return m.Bytes()
}

// Complainer is an Extism plug-in whose export fails with its input as the message.
func Complainer(export string) []byte {
	m := New()
	input := m.Import(abi.ModuleExtism, "input_offset", "", "l")
	fail := m.Import(abi.ModuleExtism, "error_set", "l", "")
	m.Memory(1, 1)
	m.Func(Func{Export: export, Results: "i", Code: Code(Call(input), Call(fail), I32(1))})
	return m.Bytes()
}
