package host

import "github.com/tetratelabs/wazero/experimental"

// memories hands out a guest's linear memories and holds them, together with the
// blocks of an Extism plug-in, below one limit.
type memories struct {
	limit, used int64
	refused     bool // something was not given: a later trap is put down to it
	all         []*linear
	// skip is how many memories come before the guest's own: go-sdk's kernel, which
	// is held below the limit for itself.
	skip int
}

// Allocate implements experimental.MemoryAllocator.
func (m *memories) Allocate(_, maximum uint64) experimental.LinearMemory {
	l := &linear{owner: m, reserve: uint64(m.limit), apart: len(m.all) < m.skip}
	if l.apart {
		l.reserve += sdkKernel
	}
	l.reserve = min(maximum, l.reserve)
	m.all = append(m.all, l)
	return l
}

// take reserves n bytes of the limit; it says no for good reason only.
func (m *memories) take(n int64) bool {
	if n > m.limit-m.used {
		m.refused = true
		return false
	}
	m.used += n
	return true
}

// guest is the guest's own memory, nil where it has none.
func (m *memories) guest() *linear {
	if len(m.all) <= m.skip {
		return nil
	}
	return m.all[m.skip]
}

// linear is one linear memory.
type linear struct {
	owner   *memories
	reserve uint64
	apart   bool   // not counted together with the others
	region  []byte // all of the reservation
	buf     []byte // what the guest has now
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
	if l.region == nil {
		l.region = reserve(int(l.reserve))
	}
	if uint64(len(l.region)) < size {
		l.owner.refused = true
		return nil
	}
	l.buf = l.region[:size]
	return l.buf
}

// Free implements experimental.LinearMemory. No view of buf may be alive.
func (l *linear) Free() {
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
	if l == nil || uint64(ptr)+uint64(n) > uint64(len(l.buf)) {
		return nil, false
	}
	return l.buf[ptr:][:n:n], true
}

// read copies n bytes at ptr.
func (l *linear) read(ptr, n uint32) ([]byte, bool) {
	v, ok := l.view(ptr, n)
	return append([]byte{}, v...), ok
}
