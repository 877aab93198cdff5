package trace

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/klauspost/compress/s2"
)

// A block is how what is written in one piece is stored: compressed where that
// makes it smaller, behind a checksum of the stored bytes. The records of an
// execution repeat who acts, and its questions repeat most of each other: a
// quarter of the bytes goes through Badger's log, memtable and tables, each of
// which costs more than the compression.
//
//	form (1 byte), CRC-32C of form and rest (4 bytes, big-endian), rest

const (
	blockPlain      = 0
	blockCompressed = 1
	blockHeader     = 5
)

// compressFrom is the size from which compression is worth its call.
const compressFrom = 128

// maxBlock bounds what a block is inflated to, in bytes: a commit's records and
// payloads are at most two groups.
const maxBlock = 4 * groupBytes

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errBlock = errors.New("the stored block is damaged")

// appendBlock stores data, of which the result shares nothing, behind what out holds.
func appendBlock(out, data []byte) []byte {
	start := len(out)
	out = slices.Grow(out, blockHeader+max(len(data), s2.MaxEncodedLen(len(data))))
	b := out[start : start+blockHeader]
	b[0] = blockPlain
	if len(data) >= compressFrom {
		rest := s2.Encode(out[start+blockHeader:cap(out)], data)
		if len(rest) < len(data) {
			b[0], b = blockCompressed, b[:blockHeader+len(rest)]
		}
	}
	if b[0] == blockPlain {
		b = append(b, data...)
	}
	binary.BigEndian.PutUint32(b[1:], blockSum(b))
	return out[:start+len(b)]
}

func sealBlock(data []byte) []byte { return appendBlock(nil, data) }

// openBlock is the inverse; the result may share b.
func openBlock(b []byte) ([]byte, error) {
	if len(b) < blockHeader || binary.BigEndian.Uint32(b[1:]) != blockSum(b) {
		return nil, errBlock
	}
	rest := b[blockHeader:]
	if b[0] == blockPlain {
		return rest, nil
	}
	if size, err := s2.DecodedLen(rest); b[0] != blockCompressed || err != nil || size > maxBlock {
		return nil, errBlock
	}
	data, err := s2.Decode(nil, rest)
	if err != nil {
		return nil, errBlock
	}
	return data, nil
}

func blockSum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:1])
	return crc32.Update(sum, castagnoli, b[blockHeader:])
}

// reader takes a decoded block apart. The first thing that does not fit makes
// all that follow zero, and ok false.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) more() bool { return !r.bad && len(r.rest) > 0 }

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if r.bad || size <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// sized are bytes behind their length.
func (r *reader) sized() []byte { return r.bytes(r.number()) }

func appendField[T ~string | ~[]byte](b []byte, data T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}
