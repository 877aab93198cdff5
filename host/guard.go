package host

import (
	"encoding/binary"
	"slices"
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
//   - A table may not grow beyond MaxTableEntries; no memory limit counts tables.
//   - Imports of module from are looked up in module to where moved says so.
//   - Custom sections go: debug information is large and its offsets are wrong now.
func guard(s *shape, moved func(name string) bool, from, to string) []byte {
	out := slices.Grow(slices.Clone(header), len(s.module))
	for _, section := range s.sections {
		var content []byte
		switch section.id {
		case sectionImport:
			content = s.moveImports(section.span, moved, from, to)
		case sectionTable:
			content = s.boundTables()
		case sectionCode:
			content = s.guardCode()
		default:
			content = s.module[section.from:section.to]
		}
		out = append(out, section.id)
		out = binary.AppendUvarint(out, uint64(len(content)))
		out = append(out, content...)
	}
	return out
}

func (s *shape) moveImports(section span, moved func(string) bool, from, to string) []byte {
	if moved == nil {
		return s.module[section.from:section.to]
	}
	var out []byte
	at := section.from
	for i, place := range s.importModules {
		out = append(out, s.module[at:place.from]...)
		module := s.imports[i].Module
		if module == from && moved(s.imports[i].Name) {
			module = to
		}
		out = binary.AppendUvarint(out, uint64(len(module)))
		out = append(out, module...)
		at = place.to
	}
	return append(out, s.module[at:section.to]...)
}

func (s *shape) boundTables() []byte {
	out := binary.AppendUvarint(nil, uint64(len(s.tables)))
	for _, t := range s.tables {
		maximum := uint32(MaxTableEntries)
		if t.bounded {
			maximum = min(maximum, t.max)
		}
		out = append(out, t.element, 1)
		out = binary.AppendUvarint(out, uint64(t.min))
		out = binary.AppendUvarint(out, uint64(maximum))
	}
	return out
}

func (s *shape) guardCode() []byte {
	out := binary.AppendUvarint(nil, uint64(len(s.bodies)))
	for _, b := range s.bodies {
		locals, code := s.module[b.from:b.code], s.module[b.code:b.to]
		if !mayCall(code) {
			out = binary.AppendUvarint(out, uint64(b.to-b.from))
			out = append(out, s.module[b.from:b.to]...)
			continue
		}
		out = binary.AppendUvarint(out, uint64(b.to-b.from+len(emptyLoop)))
		out = append(append(append(out, locals...), emptyLoop...), code...)
	}
	return out
}

// mayCall reports whether a call instruction (0x10 to 0x15 with tail calls and
// references) could stand in the code. Immediates that look like one count.
func mayCall(code []byte) bool {
	return slices.ContainsFunc(code, func(b byte) bool { return b >= 0x10 && b <= 0x15 })
}
