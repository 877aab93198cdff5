package trace

import (
	"bytes"
	"errors"
	"os"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// schemaVersion is the version of the stored form. A store of a later one is
// refused, never guessed at.
const schemaVersion = 3

// tailChecked is how many of the last records Open reads again: what a crash can
// damage is at the end.
const tailChecked = 256

// recoverState reads what is stored and compares it with the anchor.
func (j *Journal) recoverState(suspicious string) error {
	fresh := false
	err := j.view(func(txn *badger.Txn) error {
		var err error
		if fresh, err = checkSchema(txn); err != nil {
			return err
		}
		s, err := readState(txn)
		if err != nil {
			return err
		}
		j.stored, j.position, j.durable = *s, s.Position, s.Position
		j.chain = [32]byte(s.Chain)
		if err := j.loadOpened(txn); err != nil {
			return err
		}
		if j.disk == nil || j.opts.ReanchorUnsafe {
			return nil
		}
		return j.compareAnchor(txn, s, suspicious)
	})
	if err != nil {
		return err
	}
	if fresh {
		version, err := canon.MarshalCBOR(schemaVersion)
		if err != nil {
			return err
		}
		if err := j.put([]write{{keySchema, version}}); err != nil {
			return writ.Errorf(writ.CodeUnavailable, "journal: open", "%w", err)
		}
	}
	// An anchor stands before the first record does, so a missing one is a sign.
	return j.writeAnchor()
}

func checkSchema(txn *badger.Txn) (fresh bool, err error) {
	value, err := get(txn, keySchema)
	if value == nil || err != nil {
		return true, err
	}
	var version int
	if err := canon.UnmarshalCBOR(value, &version); err != nil {
		return false, damaged(err)
	}
	if version != schemaVersion {
		return false, writ.Errorf(writ.CodeUnavailable, "journal: open",
			"the store has version %d and this program knows version %d", version, schemaVersion).
			WithFix("install the version of writ that wrote the store, or a later one")
	}
	return false, nil
}

// readState is the state of a new store where there is none.
func readState(txn *badger.Txn) (*state, error) {
	value, err := get(txn, keyState)
	if err != nil {
		return nil, err
	}
	s := &state{Chain: make([]byte, 32)}
	if value == nil {
		return s, nil
	}
	if err := canon.UnmarshalForeignCBOR(value, s); err != nil || len(s.Chain) != 32 || s.Leaves < 0 {
		return nil, writ.Errorf(writ.CodeTampered, "journal", "the state does not decode")
	}
	return s, nil
}

// compareAnchor refuses a store that is not a continuation of what was signed.
func (j *Journal) compareAnchor(txn *badger.Txn, s *state, suspicious string) error {
	signed, err := os.ReadFile(j.anchorPath())
	if errors.Is(err, os.ErrNotExist) {
		if s.Position == 0 {
			return nil
		}
		return refused("the anchor is missing and the store holds %d records", s.Position)
	}
	if err != nil {
		return writ.Errorf(writ.CodeUnavailable, "journal: open", "%w", err)
	}
	anchor, err := openCheckpoint(signed, j.signer.verifier)
	if err != nil {
		return refused("the anchor is not signed by this host's key for %s: %w", j.opts.Origin, err)
	}
	if s.Position < anchor.Position || s.Leaves < anchor.Leaves {
		return refused("the store ends at record %d of %d journals, the anchor at record %d of %d: records are gone",
			s.Position, s.Leaves, anchor.Position, anchor.Leaves)
	}
	root, err := rootAt(txn, anchor.Leaves)
	if err != nil || root != anchor.root {
		return refused("the log of journals is not the one that was signed")
	}
	j.anchored, j.anchorWritten = anchor.Position, true
	return checkTail(txn, s, &anchor.state, suspicious)
}

func refused(format string, args ...any) error {
	return writ.Errorf(writ.CodeTampered, "journal: open", format, args...).
		WithFix("restore db and anchor together from the newest backup; to accept the store as it stands, look into why they differ first and open it with the unsafe re-anchor option")
}

// checkTail reads the last records again, follows the chain from the anchor to
// the end, and checks every position where the files of the database look odd.
func checkTail(txn *badger.Txn, s, anchor *state, suspicious string) error {
	from, chain := anchor.Position, [32]byte(anchor.Chain)
	if suspicious != "" {
		from, chain = 0, [32]byte{}
	}
	if from == s.Position && !bytes.Equal(chain[:], s.Chain) {
		return refused("the chain over all records is not the one that was signed")
	}
	read := min(from, s.Position-min(s.Position, tailChecked))
	heads, last, of := map[string]run{}, read, &segments{txn: txn}
	err := eachRun(txn, read, func(r *run) error {
		// The first may begin before what is read: batches stand as a whole.
		if r.first > last+1 || (r.first <= last && last != read) {
			return refused("record %d is missing (%s)", last+1, orDefault(suspicious, "a gap in the index of positions"))
		}
		last = r.last()
		if r.first > from {
			chain = link(chain, r.digest[:])
		}
		if r.stream == "" {
			return nil
		}
		heads[streamName(r.tenant, r.stream)] = *r
		_, err := r.records(of)
		return err
	})
	if err != nil {
		return err
	}
	if last != s.Position || !bytes.Equal(chain[:], s.Chain) {
		return refused("the records after the anchor do not lead to the end of the store")
	}
	return checkHeads(txn, heads)
}

func checkHeads(txn *badger.Txn, last map[string]run) error {
	for name, r := range last {
		h, err := readHead(txn, name)
		if err != nil {
			return err
		}
		seq := r.seq + r.count - 1
		if h == nil || h.Seq != seq || h.Position != r.last() || h.Digest != digestOf(r.digest[:]) {
			return broken(where{r.stream, seq, "head"}, "is not at the last record of the journal")
		}
	}
	return nil
}
