package host

import (
	"encoding/binary"
	"slices"

	"github.com/writ-run/writ/host/wasm"
)

// guardVersion names what guard does, for EngineID and for the keys of caches.
const guardVersion = "guard/1"

// emptyLoop is "loop end": it does nothing, but wazero checks at every loop header
// whether the run's time is over.
var emptyLoop = []byte{0x03, 0x40, 0x0b}

// guard derives the module that is run from the one that is signed. It is a
// function of its arguments alone.
//
//   - A function that calls begins with emptyLoop: without it recursion that
//     never loops cannot be stopped and stalls the garbage collector, and with
//     it the whole process.
//   - A table may not grow beyond wasm.MaxTableEntries; no memory limit counts tables.
//   - Imports are looked up in the modules that moved says; nil moves none.
//   - Custom sections go: debug information is large and its offsets are wrong now.
func guard(m *wasm.Module, moved func(module, name string) string) []byte {
	out := slices.Grow(slices.Clone(wasm.Header), len(m.Bytes))
	for _, section := range m.Sections {
		content := m.Bytes[section.From:section.To]
		switch section.ID {
		case wasm.SectionImport:
			if moved != nil {
				content = moveImports(m, section.Span, moved)
			}
		case wasm.SectionTable:
			content = m.BoundedTables()
		case wasm.SectionCode:
			content = guardCode(m)
		}
		out = append(out, section.ID)
		out = binary.AppendUvarint(out, uint64(len(content)))
		out = append(out, content...)
	}
	return out
}

func moveImports(m *wasm.Module, section wasm.Span, moved func(module, name string) string) []byte {
	var out []byte
	at := section.From
	for _, im := range m.Imports {
		out = append(out, m.Bytes[at:im.Place.From]...)
		module := moved(im.Module, im.Name)
		out = binary.AppendUvarint(out, uint64(len(module)))
		out = append(out, module...)
		at = im.Place.To
	}
	return append(out, m.Bytes[at:section.To]...)
}

func guardCode(m *wasm.Module) []byte {
	out := binary.AppendUvarint(nil, uint64(len(m.Bodies)))
	for _, b := range m.Bodies {
		locals, code := m.Bytes[b.From:b.Code], m.Bytes[b.Code:b.To]
		if !mayCall(code) {
			out = binary.AppendUvarint(out, uint64(b.To-b.From))
			out = append(out, m.Bytes[b.From:b.To]...)
			continue
		}
		out = binary.AppendUvarint(out, uint64(b.To-b.From+len(emptyLoop)))
		out = append(append(append(out, locals...), emptyLoop...), code...)
	}
	return out
}

// mayCall reports whether a call instruction (0x10 to 0x15 with tail calls and
// references) could stand in the code. Immediates that look like one count.
func mayCall(code []byte) bool {
	return slices.ContainsFunc(code, func(b byte) bool { return b >= 0x10 && b <= 0x15 })
}
