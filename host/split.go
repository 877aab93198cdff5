package host

import (
	"encoding/binary"
	"slices"

	"github.com/writ-run/writ/host/wasm"
)

// split is a module without what instantiation would do to its memory. The host
// does that once, and every instance begins with the result: a stock Go skill has
// some 28,000 data segments, which cost 3 ms an instance.
type split struct {
	module []byte
	start  string // the export to call first, empty: none
	kept   bool   // the data could not be taken out: instantiation writes it

	from *wasm.Module
}

// startExport is what the start function is exported as, with more colons where a
// module has such an export.
const startExport = "writ:start"

// divide takes the start section and the active data out of a module.
func divide(m *wasm.Module) *split {
	d := &split{from: m, kept: !plainData(m)}
	start := plainStart(m)
	if start != nil {
		d.start = startExport
		for slices.ContainsFunc(m.Exports, func(e wasm.Export) bool { return e.Name == d.start }) {
			d.start += ":"
		}
	}
	_, counted := contentOf(m, wasm.SectionDataCount)
	d.module = slices.Grow(slices.Clone(wasm.Header), len(m.Bytes))
	exported := start == nil
	for _, s := range m.Sections {
		content := m.Bytes[s.From:s.To]
		switch {
		case s.ID == wasm.SectionStart && start != nil:
			continue
		case s.ID == wasm.SectionData && !d.kept && !counted:
			continue
		case s.ID == wasm.SectionData && !d.kept:
			content = emptied(len(m.Data))
		case s.ID == wasm.SectionExport && start != nil:
			content = d.exports(len(m.Exports), m.Bytes[s.Items:s.To], start)
			exported = true
		case s.ID > wasm.SectionExport && !exported:
			d.add(wasm.SectionExport, d.exports(0, nil, start))
			exported = true
		}
		d.add(s.ID, content)
	}
	return d
}

func (d *split) add(id byte, content []byte) {
	d.module = binary.AppendUvarint(append(d.module, id), uint64(len(content)))
	d.module = append(d.module, content...)
}

// exports is a vector of n exports and the start function's.
func (d *split) exports(n int, items, start []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(n)+1)
	out = binary.AppendUvarint(append(out, items...), uint64(len(d.start)))
	out = append(append(out, d.start...), wasm.KindFunc)
	return append(out, start...)
}

// contentOf gives the content of the one section with the id.
func contentOf(m *wasm.Module, id byte) ([]byte, bool) {
	for _, s := range m.Sections {
		if s.ID == id {
			return m.Bytes[s.From:s.To], true
		}
	}
	return nil, false
}

// plainStart is the index of the start function, nil where there is none. A module
// whose start function has not the type that it must have is left for the
// validator to refuse.
func plainStart(m *wasm.Module) []byte {
	content, ok := contentOf(m, wasm.SectionStart)
	if !ok {
		return nil
	}
	index, _ := binary.Uvarint(content)
	if index >= uint64(len(m.Functions)) || int64(m.Functions[index]) >= int64(len(m.Types)) ||
		m.TypeOf(uint32(index)) != (wasm.Signature{}) {
		return nil
	}
	return content
}

// plainData reports whether all data is active, at constant offsets and within the
// memory. Otherwise instantiation says what happens.
func plainData(m *wasm.Module) bool {
	if len(m.Data) > 0 && m.Memory == nil {
		return false
	}
	return !slices.ContainsFunc(m.Data, func(d wasm.DataSegment) bool {
		return !d.Active || !d.Known || uint64(d.Offset)+uint64(d.Size) > uint64(m.Memory.Min)*pageBytes
	})
}

// emptied is a vector of n passive segments of no bytes: to the instructions that
// name a segment, what an active one is once it was written to memory.
func emptied(n int) []byte {
	out := binary.AppendUvarint(nil, uint64(n))
	for range n {
		out = append(out, 1, 0)
	}
	return out
}

// size is that of an image of the data.
func (d *split) size() int {
	if d.kept || len(d.from.Data) == 0 {
		return 0
	}
	return int(d.from.Memory.Min) * pageBytes
}

// write puts the data into a memory.
func (d *split) write(memory []byte) {
	for _, s := range d.from.Data {
		copy(memory[s.Offset:], d.from.Bytes[s.To-s.Size:s.To])
	}
}
