package trace

import (
	"encoding/binary"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
)

// A segment holds the records that one commit adds to one stream. Its key has the
// sequence number of its last record, so that the first key at or behind a number
// is that of the segment which holds it.
//
//	r tenant NUL stream NUL last seq -> block of first seq, (position, size, CBOR of the record)...

// slot is a record in a segment.
type slot struct {
	seq      uint64
	position writ.Position
	bytes    []byte // that were hashed
}

// appendSlot adds a record to a segment, which begins with it where it is empty.
func appendSlot(segment []byte, s slot) []byte {
	if len(segment) == 0 {
		segment = binary.AppendUvarint(segment, s.seq)
	}
	return appendField(binary.AppendUvarint(segment, uint64(s.position)), s.bytes)
}

// openSegment takes a segment apart. That it ends where its key says is for the
// caller to find out, who names the record that is missing.
func openSegment(value []byte) ([]slot, error) {
	body, err := openBlock(value)
	if err != nil {
		return nil, err
	}
	var slots []slot
	r := reader{rest: body}
	for seq := r.number(); r.more(); seq++ {
		slots = append(slots, slot{seq: seq, position: writ.Position(r.number()), bytes: r.sized()})
	}
	if r.bad || len(slots) == 0 {
		return nil, errBlock
	}
	return slots, nil
}

// segments reads the segments of streams and keeps the last one that it opened:
// who walks the order of the store meets it again for each batch.
type segments struct {
	txn   *badger.Txn
	name  string // of the stream whose segment is kept
	slots []slot
}

// at is a record of the stream; nil where there is none with that number.
func (s *segments) at(name string, seq uint64) (*slot, error) {
	if s.name != name || len(s.slots) == 0 || seq < s.slots[0].seq || seq > s.slots[len(s.slots)-1].seq {
		s.name, s.slots = name, nil
		err := scan(s.txn, numberedPrefix(spaceRecord, name), recordKey(name, seq), func(item *badger.Item) (bool, error) {
			var err error
			s.slots, err = segmentOf(item)
			return false, err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(s.slots) == 0 || seq < s.slots[0].seq || seq > s.slots[len(s.slots)-1].seq {
		return nil, nil
	}
	return &s.slots[seq-s.slots[0].seq], nil
}

func segmentOf(item *badger.Item) ([]slot, error) {
	value, err := item.ValueCopy(nil)
	if err != nil {
		return nil, unreadable(err)
	}
	slots, err := openSegment(value)
	if err != nil {
		return nil, tampered("record", "%w", err)
	}
	return slots, nil
}
