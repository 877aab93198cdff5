package host

import (
	"context"
	"encoding/binary"
	"math"
	"strings"

	"github.com/writ-run/writ/abi"
)

// Error numbers of WASI preview 1 (witx, $errno).
const (
	wasiOK         = 0
	wasiBadFD      = 8
	wasiFault      = 21
	wasiInvalid    = 28
	wasiNotCapable = 76
)

// Sizes of preview 1 structures, and offsets within a subscription.
const (
	iovecBytes        = 8
	subscriptionBytes = 48
	eventBytes        = 32
	subscriptionTag   = 8
	subscriptionClock = 16
	subscriptionTime  = 24
	subscriptionFlags = 40

	// maxVectors bounds loops that the guest counts, between two checks of its time.
	maxVectors = 1024
)

// wasiRefused are the functions that answer not-capable, with their parameters.
// Each gives an errno.
const wasiRefused = `clock_res_set il
fd_advise illi
fd_allocate ill
fd_close i
fd_datasync i
fd_fdstat_get ii
fd_fdstat_set_flags ii
fd_fdstat_set_rights ill
fd_filestat_get ii
fd_filestat_set_size il
fd_filestat_set_times illi
fd_pread iiili
fd_pwrite iiili
fd_read iiii
fd_readdir iiili
fd_renumber ii
fd_seek ilii
fd_sync i
fd_tell ii
path_create_directory iii
path_filestat_get iiiii
path_filestat_set_times iiiilli
path_link iiiiiii
path_open iiiiillii
path_readlink iiiiii
path_remove_directory iii
path_rename iiiiii
path_symlink iiiii
path_unlink_file iii
proc_raise i
sock_accept iii
sock_recv iiiiii
sock_send iiiii
sock_shutdown ii`

// wasiFunctions are the limited preview 1: time, randomness, printing and exit
// work, arguments and environment are empty, nothing else is capable.
func wasiFunctions(add func(importKey, hostFunc)) {
	errno := func(name, params string, call func(g *guest, stack []uint64) uint64) {
		add(importKey{abi.ModuleWASI, name}, hostFunc{params, "i", func(_ context.Context, g *guest, stack []uint64) {
			stack[0] = call(g, stack)
		}})
	}
	for line := range strings.Lines(wasiRefused) {
		name, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		errno(name, params, func(*guest, []uint64) uint64 { return wasiNotCapable })
	}
	// A stock Go guest takes anything but EBADF here for a preopened directory.
	badFD := func(*guest, []uint64) uint64 { return wasiBadFD }
	errno("fd_prestat_get", "ii", badFD)
	errno("fd_prestat_dir_name", "iii", badFD)

	nothing := func(*guest, []uint64) uint64 { return wasiOK }
	errno("args_get", "ii", nothing)
	errno("environ_get", "ii", nothing)
	errno("sched_yield", "", nothing)
	sizes := func(g *guest, stack []uint64) uint64 {
		if g.put32(stack[0], 0) && g.put32(stack[1], 0) {
			return wasiOK
		}
		return wasiFault
	}
	errno("args_sizes_get", "ii", sizes)
	errno("environ_sizes_get", "ii", sizes)
	errno("clock_res_get", "ii", wasiResolution)
	errno("clock_time_get", "ili", wasiTime)
	errno("random_get", "ii", wasiRandom)
	errno("fd_write", "iiii", wasiWrite)
	errno("poll_oneoff", "iiii", wasiPoll)
	add(importKey{abi.ModuleWASI, "proc_exit"}, hostFunc{"i", "", func(_ context.Context, g *guest, stack []uint64) {
		g.end(ending{exited: true, status: uint32(stack[0])})
	}})
}

func (g *guest) put32(ptr uint64, value uint32) bool {
	b, ok := g.memory.own.view(uint32(ptr), 4)
	if ok {
		binary.LittleEndian.PutUint32(b, value)
	}
	return ok
}

func (g *guest) put64(ptr uint64, value uint64) bool {
	b, ok := g.memory.own.view(uint32(ptr), 8)
	if ok {
		binary.LittleEndian.PutUint64(b, value)
	}
	return ok
}

// wasiClock reads a clock by its id: realtime, monotonic and the two CPU times.
func (g *guest) wasiClock(id uint64) (int64, bool) {
	switch id {
	case 0:
		return g.ambient.wall, true
	case 1, 2, 3:
		return g.ambient.mono, true
	}
	return 0, false
}

func wasiResolution(g *guest, stack []uint64) uint64 {
	if _, ok := g.wasiClock(stack[0]); !ok {
		return wasiInvalid
	}
	if !g.put64(stack[1], tick) {
		return wasiFault
	}
	return wasiOK
}

func wasiTime(g *guest, stack []uint64) uint64 {
	g.ambient.pass(tick)
	now, ok := g.wasiClock(stack[0])
	if !ok {
		return wasiInvalid
	}
	if !g.put64(stack[2], uint64(now)) {
		return wasiFault
	}
	return wasiOK
}

func wasiRandom(g *guest, stack []uint64) uint64 {
	b, ok := g.memory.own.view(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		return wasiFault
	}
	g.spend(len(b))
	g.ambient.read(b)
	return wasiOK
}

func wasiWrite(g *guest, stack []uint64) uint64 {
	stream := map[uint64]string{1: "stdout", 2: "stderr"}[stack[0]]
	if stream == "" {
		return wasiBadFD
	}
	n := uint32(stack[2])
	if n > maxVectors {
		return wasiInvalid
	}
	vectors, ok := g.memory.own.view(uint32(stack[1]), n*iovecBytes)
	if !ok {
		return wasiFault
	}
	var written uint32
	for ; len(vectors) > 0; vectors = vectors[iovecBytes:] {
		text, ok := g.memory.own.view(binary.LittleEndian.Uint32(vectors), binary.LittleEndian.Uint32(vectors[4:]))
		if !ok || uint64(written)+uint64(len(text)) > math.MaxUint32 {
			return wasiFault
		}
		g.spend(len(text))
		g.print(stream, text)
		written += uint32(len(text))
	}
	if !g.put32(stack[3], written) {
		return wasiFault
	}
	return wasiOK
}

// wasiPoll sleeps: it waits, in the guest's own time, for the first of some
// clocks. There is nothing else that a guest could wait for.
func wasiPoll(g *guest, stack []uint64) uint64 {
	in, out, n := uint32(stack[0]), uint32(stack[1]), uint32(stack[2])
	if n == 0 || n > maxVectors {
		return wasiInvalid
	}
	subscriptions, ok := g.memory.own.read(in, n*subscriptionBytes)
	if !ok {
		return wasiFault
	}
	g.spend(len(subscriptions))
	left := make([]uint64, n) // nanoseconds until each clock is due
	shortest := uint64(math.MaxUint64)
	for i := range left {
		s := subscriptions[i*subscriptionBytes:][:subscriptionBytes]
		if s[subscriptionTag] != 0 {
			return wasiNotCapable
		}
		now, ok := g.wasiClock(uint64(binary.LittleEndian.Uint32(s[subscriptionClock:])))
		if !ok {
			return wasiInvalid
		}
		left[i] = binary.LittleEndian.Uint64(s[subscriptionTime:])
		if s[subscriptionFlags]&1 != 0 { // an absolute time
			left[i] -= min(left[i], uint64(now))
		}
		shortest = min(shortest, left[i])
	}
	events, ok := g.memory.own.view(out, n*eventBytes)
	if !ok {
		return wasiFault
	}
	g.ambient.pass(int64(min(shortest, math.MaxInt64)))
	due := uint32(0)
	for i, wait := range left {
		if wait > shortest {
			continue
		}
		event := events[due*eventBytes:][:eventBytes]
		clear(event)
		copy(event, subscriptions[i*subscriptionBytes:][:8]) // its user data
		due++
	}
	if !g.put32(stack[3], due) {
		return wasiFault
	}
	return wasiOK
}
