package trace

import (
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Retention says how long what has ended is kept.
type Retention struct {
	Payloads time.Duration // zero: 90 days
	Entries  time.Duration // zero: 400 days
}

const day = 24 * time.Hour

func (r *Retention) complete() {
	r.Payloads = orDefault(r.Payloads, 90*day)
	r.Entries = orDefault(r.Entries, 400*day)
}

// tombstone is what remains of an execution whose retention has passed.
type tombstone struct {
	Head head      `json:"head"`
	At   writ.Time `json:"at"`
}

// checkGone is CodeNotFound for a journal that has expired, with what remains.
func checkGone(txn *badger.Txn, name string, stream writ.StreamID) error {
	value, err := get(txn, streamPrefix(spaceGone, name))
	if value == nil || err != nil {
		return err
	}
	var t tombstone
	if err := canon.UnmarshalForeignCBOR(value, &t); err != nil {
		return writ.Errorf(writ.CodeTampered, "stream "+string(stream), "the tombstone does not decode: %w", err)
	}
	gone := writ.Errorf(writ.CodeNotFound, "stream "+string(stream),
		"was removed on %s: its retention had passed; %d records ended at %s",
		t.At.Std().Format(time.DateOnly), t.Head.Seq, t.Head.Digest)
	return gone.WithFix("look for an exported evidence bundle with that digest")
}
