package host

import (
	"bytes"
	"maps"
	"slices"
)

// snapshot is a guest after its initialisation, or before it: what an instance of
// the module begins with.
type snapshot struct {
	image       *image
	initialised bool
	globals     []uint64 // nil: as the module declares them
	mono        int64    // of the guest's clock
	vars        map[string][]byte
}

// span is a piece of a memory.
type span struct{ from, to int }

// take makes a snapshot of an instance whose guest has just been initialised. What
// the guest wrote beyond its own memory is no part of it.
func (i *nativeInstance) take() (*snapshot, error) {
	s := &snapshot{initialised: true, mono: i.g.ambient.mono, vars: maps.Clone(i.g.plugin.vars)}
	for _, g := range i.globals {
		s.globals = append(s.globals, g.Get())
	}
	var err error
	own := i.memory.buf[:i.memory.size()]
	s.image, err = newImage(lastWritten(own), func(memory []byte) { copySparsely(memory, own) })
	return s, err
}

// granule is the smallest page of the systems that this runs on.
const granule = 4 << 10

var zeros [granule]byte

// lastWritten is the size of a memory without the zeros at its end, in pages of
// WebAssembly, which are whole pages of every system.
func lastWritten(memory []byte) int {
	n := len(memory)
	for n > 0 && bytes.Equal(memory[n-granule:n], zeros[:]) {
		n -= granule
	}
	return (n + pageBytes - 1) / pageBytes * pageBytes
}

// copySparsely leaves pages of zeros untouched: they take no memory.
func copySparsely(to, from []byte) {
	for at := 0; at < len(to); at += granule {
		if page := from[at:][:granule]; !bytes.Equal(page, zeros[:]) {
			copy(to[at:], page)
		}
	}
}

// written lists the parts of a memory that differ from its image, whole granules,
// joined where little lies between them. It looks at the first bytes only.
func (s *snapshot) written(memory []byte) []span {
	var spans []span
	for at := 0; at < len(memory); at += granule {
		was := zeros[:]
		if at < len(s.image.view) {
			was = s.image.view[at:][:granule]
		}
		if bytes.Equal(memory[at:][:granule], was) {
			continue
		}
		if last := len(spans) - 1; last >= 0 && at-spans[last].to <= joined {
			spans[last].to = at + granule
			continue
		}
		spans = append(spans, span{at, at + granule})
	}
	return spans
}

const (
	// joined: copying 16 KiB takes a microsecond, about what it costs to give back
	// the pages on both sides of a gap apart.
	joined = 4 * granule
	// maxWarm bounds what an idle instance keeps for the next run.
	maxWarm = 2 << 20
)

// warm keeps of the spans what fits into maxWarm, from the start.
func warm(spans []span) []span {
	total := 0
	for i, s := range spans {
		if total += s.to - s.from; total > maxWarm {
			return slices.Clip(spans[:i])
		}
	}
	return spans
}

// unite joins two lists of spans, each in order.
func unite(a, b []span) []span {
	all := append(slices.Clone(a), b...)
	slices.SortFunc(all, func(x, y span) int { return x.from - y.from })
	var out []span
	for _, s := range all {
		if last := len(out) - 1; last >= 0 && s.from-out[last].to <= joined {
			out[last].to = max(out[last].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// restore makes a memory what the snapshot holds. Pages of the warm spans, those
// that runs write to as a rule, are written again, which is cheaper than to fault
// them in at the next run; all others are given back.
func (s *snapshot) restore(memory []byte, warm []span) error {
	at := 0
	for _, w := range warm {
		if err := forget(memory[at:w.from]); err != nil {
			return err
		}
		n := 0
		if w.from < len(s.image.view) {
			n = copy(memory[w.from:w.to], s.image.view[w.from:])
		}
		clear(memory[w.from+n : w.to])
		at = w.to
	}
	return forget(memory[at:])
}
