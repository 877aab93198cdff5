package host

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// epoch is what a guest's clock says while it is initialised, the same for every
// run, so that what _initialize leaves behind is too: 2022-01-01, wazero's own.
const epoch = 1_640_995_200_000_000_000

// tick is how far every reading moves the clocks, in nanoseconds: guests that
// wait by reading the time come to an end.
const tick = 1_000

// ambient is a guest's time and randomness. Both are functions of the module, the
// run's seed and start and the times that the gate answered with.
type ambient struct {
	wall, mono int64
	seed       func() [32]byte
	random     *rand.ChaCha8 // nil until it is read: most guests never do
}

// newAmbient is how every instance of the module starts.
func newAmbient(module writ.Digest) *ambient {
	return &ambient{wall: epoch, seed: func() [32]byte {
		return canon.Hash(canon.DomainSeed, []byte("initialize"), []byte(module))
	}}
}

// start is where a step begins. The monotonic clock goes on.
func (a *ambient) start(at writ.Time, seed [32]byte) {
	a.wall = max(0, int64(at))
	a.seed, a.random = func() [32]byte { return seed }, nil
}

func (a *ambient) pass(ns int64) {
	a.wall = saturate(a.wall, ns)
	a.mono = saturate(a.mono, ns)
}

// until moves the clocks on to a recorded time; they never go back.
func (a *ambient) until(now writ.Time) {
	if ahead := int64(now) - a.wall; int64(now) > a.wall {
		a.pass(ahead)
	}
}

func saturate(t, ns int64) int64 {
	if ns > math.MaxInt64-t {
		return math.MaxInt64
	}
	return t + ns
}

// read fills b; it cannot fail.
func (a *ambient) read(b []byte) {
	if a.random == nil {
		a.random = rand.NewChaCha8(a.seed())
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, a.random.Uint64())
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], a.random.Uint64())
		copy(b, last[:])
	}
}
