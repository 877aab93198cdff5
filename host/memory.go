package host

import (
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// memories hands out a guest's linear memories and holds them, together with the
// blocks of an Extism plug-in, below one limit.
type memories struct {
	limit, used int64
	refused     bool    // something was not given: a later trap is put down to it
	own         *linear // the guest's, nil where it has none
	all         []*linear
	// skip is how many memories come before the guest's own: go-sdk's kernel, which
	// is held below the limit for itself.
	skip int
	// late leaves memory where it is until release: go-sdk goes on to call into its
	// kernel when a run that has ended has closed that, and such code may touch it.
	late bool
}

// Allocate implements experimental.MemoryAllocator.
func (m *memories) Allocate(_, maximum uint64) experimental.LinearMemory {
	l := &linear{owner: m, reserve: uint64(m.limit), apart: len(m.all) < m.skip}
	if l.apart {
		l.reserve += sdkKernel
	}
	l.reserve = min(maximum, l.reserve)
	if m.all = append(m.all, l); len(m.all) == m.skip+1 {
		m.own = l
	}
	return l
}

// take reserves n bytes of the limit; it says no for good reason only.
func (m *memories) take(n int64) bool {
	if n > m.limit-m.used-m.own.counted() {
		m.refused = true
		return false
	}
	m.used += n
	return true
}

// linear is one linear memory.
type linear struct {
	owner   *memories
	reserve uint64
	apart   bool   // not counted together with the others
	region  []byte // all of the reservation
	buf     []byte // what the engine takes for the memory
	// pages is what the guest takes for the size of its memory, where growing is its
	// own affair; nil: buf is that.
	pages api.Global
	image *image // that it begins with, nil: zeros
}

// Reallocate implements experimental.LinearMemory.
func (l *linear) Reallocate(size uint64) []byte {
	if size > l.reserve {
		l.owner.refused = true
		return nil
	}
	if !l.apart && !l.owner.take(int64(size)-int64(len(l.buf))) {
		return nil
	}
	if l.region == nil && !l.begin() {
		l.owner.refused = true
		return nil
	}
	if uint64(len(l.region)) < size {
		l.owner.refused = true
		return nil
	}
	l.buf = l.region[:size]
	return l.buf
}

// begin reserves the region and lays the image into it.
func (l *linear) begin() bool {
	l.region = reserve(int(l.reserve))
	return l.region != nil && (l.image == nil || l.image.layOver(l.region) == nil)
}

// size is how many bytes the guest has.
func (l *linear) size() uint64 {
	if l == nil {
		return 0
	}
	if l.pages == nil {
		return uint64(len(l.buf))
	}
	return min(uint64(len(l.buf)), l.pages.Get()*pageBytes)
}

// counted is what the guest has of the limit that take does not know of.
func (l *linear) counted() int64 {
	if l == nil || l.pages == nil {
		return 0
	}
	return int64(l.size())
}

// release frees what was left where it is. No code of the run may follow.
func (m *memories) release() {
	for _, l := range m.all {
		l.free()
	}
}

// Free implements experimental.LinearMemory.
func (l *linear) Free() {
	if !l.owner.late {
		l.free()
	}
}

// free gives the memory back. No view of buf may be alive.
func (l *linear) free() {
	if l.region != nil {
		release(l.region)
	}
	if !l.apart {
		l.owner.used -= int64(len(l.buf))
	}
	l.region, l.buf = nil, nil
}

// view is the memory at ptr, to be used up before the host function returns.
// Nothing can be had from anywhere: a guest without memory may pass empty buffers.
func (l *linear) view(ptr, n uint32) ([]byte, bool) {
	if n == 0 {
		return nil, true
	}
	if l == nil || uint64(ptr)+uint64(n) > l.size() {
		return nil, false
	}
	return l.buf[ptr:][:n:n], true
}

// read copies n bytes at ptr.
func (l *linear) read(ptr, n uint32) ([]byte, bool) {
	v, ok := l.view(ptr, n)
	return append([]byte{}, v...), ok
}
