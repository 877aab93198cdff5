package trace

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// A pack holds the payloads that one commit adds to one stream, under the number
// of the segment that names them. Payloads that are too large for a transaction,
// and those of imported evidence, stand by themselves, under their digest.
//
//	k tenant NUL stream NUL last seq -> form, count, tags, then
//	    packKept:    block of (salt, size, data)...
//	    packExpired: time of the sweep in nanoseconds
//
// A tag is the beginning of a payload's digest: it says which pack to open.

const (
	packKept    = 0
	packExpired = 1
	tagSize     = 8
)

type pack struct {
	form byte
	tags []byte
	rest []byte
	open []salted // once the block was opened, without digests
}

func appendPack(out, tags, body []byte) []byte {
	out = binary.AppendUvarint(append(out, packKept), uint64(len(tags)/tagSize))
	return appendBlock(append(out, tags...), body)
}

// expiredPack is what a pack leaves behind: that it was there, and when it went.
func (p *pack) expired(at writ.Time) []byte {
	head := binary.AppendUvarint([]byte{packExpired}, uint64(len(p.tags)/tagSize))
	return binary.BigEndian.AppendUint64(append(head, p.tags...), uint64(at))
}

func appendPacked(body []byte, p *salted) []byte {
	return appendField(append(body, p.salt...), p.data)
}

// tagOf is of a valid digest.
func tagOf(digest writ.Digest) []byte { return digest.Bytes()[:tagSize] }

// salted is a payload as it will be stored.
type salted struct {
	digest writ.Digest
	tag    [tagSize]byte // of what is to be written
	salt   []byte
	data   []byte
}

func readPack(value []byte) (*pack, error) {
	if len(value) == 0 || value[0] > packExpired {
		return nil, errBlock
	}
	r := reader{rest: value[1:]}
	p := &pack{form: value[0]}
	count := r.number()
	if count > uint64(len(value)) {
		return nil, errBlock
	}
	p.tags = r.bytes(count * tagSize)
	p.rest = r.rest
	if r.bad || (p.form == packExpired && len(p.rest) != 8) {
		return nil, errBlock
	}
	return p, nil
}

// payloads opens the block, once.
func (p *pack) payloads() ([]salted, error) {
	if p.open != nil {
		return p.open, nil
	}
	body, err := openBlock(p.rest)
	if err != nil {
		return nil, err
	}
	r := reader{rest: body}
	for r.more() {
		p.open = append(p.open, salted{salt: r.bytes(saltSize), data: r.sized()})
	}
	if r.bad || len(p.open) != len(p.tags)/tagSize {
		p.open = nil
		return nil, errBlock
	}
	return p.open, nil
}

// find is the payload of a digest, whose tag is tag: nil where the pack has none.
func (p *pack) find(tag []byte, ref writ.PayloadRef) (*salted, error) {
	for i := 0; i < len(p.tags); i += tagSize {
		if !bytes.Equal(p.tags[i:i+tagSize], tag) {
			continue
		}
		if p.form == packExpired {
			return nil, expired("payload "+ref.Name, p.rest)
		}
		open, err := p.payloads()
		if err != nil {
			return nil, tampered("payload "+ref.Name, "%w", err)
		}
		if found := open[i/tagSize]; found.is(ref) {
			found.digest = ref.Digest
			return &found, nil
		}
	}
	return nil, nil
}

func (p *salted) is(ref writ.PayloadRef) bool {
	return int64(len(p.data)) == ref.Size && canon.Sum(canon.DomainPayload, p.salt, p.data) == ref.Digest
}

// payloads reads what the records of one stream name, in one view.
type payloads struct {
	txn    *badger.Txn
	tenant writ.TenantID
	packs  []*pack
}

func openPayloads(txn *badger.Txn, tenant writ.TenantID, stream writ.StreamID) (*payloads, error) {
	p := &payloads{txn: txn, tenant: tenant}
	prefix := numberedPrefix(spacePack, streamName(tenant, stream))
	err := scan(txn, prefix, prefix, func(item *badger.Item) (bool, error) {
		value, err := item.ValueCopy(nil)
		if err != nil {
			return false, unreadable(err)
		}
		one, err := readPack(value)
		if err != nil {
			return false, tampered("payload", "of %s: %w", stream, err)
		}
		p.packs = append(p.packs, one)
		return true, nil
	})
	return p, err
}

// read is CodeUnreplayable where the payload has expired, CodeTampered where it
// is neither here nor said to have gone.
func (p *payloads) read(ref writ.PayloadRef) (*salted, error) {
	if !ref.Digest.Valid() {
		return nil, writ.Errorf(writ.CodeInvalid, "payload "+ref.Name, "the reference has no digest")
	}
	tag := tagOf(ref.Digest)
	for _, one := range p.packs {
		if found, err := one.find(tag, ref); found != nil || err != nil {
			return found, err
		}
	}
	return readLarge(p.txn, p.tenant, ref)
}

// Payloads implements writ.Traces. The packs are read at once, the larger payloads
// when they are asked for; no view stays open between.
func (j *Journal) Payloads(ctx context.Context, tenant writ.TenantID, stream writ.StreamID) (writ.PayloadReader, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError("payload", err)
	}
	if !validName(string(tenant)) || !validName(string(stream)) {
		return nil, writ.Errorf(writ.CodeInvalid, "payload", "no tenant or no stream is named")
	}
	var of *payloads
	err := j.view(func(txn *badger.Txn) (err error) {
		of, err = openPayloads(txn, tenant, stream)
		return err
	})
	if err != nil {
		return nil, err
	}
	return func(ref writ.PayloadRef) (data []byte, err error) {
		err = j.view(func(txn *badger.Txn) error {
			of.txn = txn
			found, err := of.read(ref)
			if found != nil {
				data = found.data
			}
			return err
		})
		return data, err
	}, nil
}

func expired(op string, stamp []byte) error {
	at := binary.BigEndian.Uint64(stamp)
	if at == 0 {
		return writ.Errorf(writ.CodeUnreplayable, op, "was not in the evidence that was imported")
	}
	return writ.Errorf(writ.CodeUnreplayable, op, "was removed on %s: its retention had passed",
		time.Unix(0, int64(at)).UTC().Format(time.DateOnly))
}

// Payloads that stand by themselves. The first byte of a value says what it is.
const (
	payloadWhole   = 0 // salt, data
	payloadPieces  = 1 // salt, size: the data is at the key with a number after it
	payloadExpired = 2 // time of the sweep in nanoseconds; zero: it never was here
)

const expiredSize = 9

func expiredMark(at writ.Time) []byte {
	return binary.BigEndian.AppendUint64([]byte{payloadExpired}, uint64(at))
}

// pieceSize keeps a piece of a payload well under the value threshold.
const pieceSize = 512 << 10

func payloadWrites(tenant writ.TenantID, p *salted) []write {
	key := payloadKey(tenant, p.digest)
	if len(p.data) <= pieceSize {
		value := append(append(make([]byte, 0, 1+saltSize+len(p.data)), payloadWhole), p.salt...)
		return []write{{key, append(value, p.data...)}}
	}
	value := append([]byte{payloadPieces}, p.salt...)
	value = binary.BigEndian.AppendUint64(value, uint64(len(p.data)))
	return append(pieceWrites(key, p.data), write{key, value})
}

// pieceWrites are data cut into values that fit, at the key with a number after
// it. The first of them has number 1.
func pieceWrites(key, data []byte) []write {
	var writes []write
	for i := uint32(1); len(data) > 0; i++ {
		n := min(len(data), pieceSize)
		writes = append(writes, write{binary.BigEndian.AppendUint32(append([]byte{}, key...), i), data[:n]})
		data = data[n:]
	}
	return writes
}

func readLarge(txn *badger.Txn, tenant writ.TenantID, ref writ.PayloadRef) (*salted, error) {
	op := "payload " + ref.Name
	key := payloadKey(tenant, ref.Digest)
	value, err := get(txn, key)
	if err != nil {
		return nil, err
	}
	if len(value) == expiredSize && value[0] == payloadExpired {
		return nil, expired(op, value[1:])
	}
	if len(value) < 1+saltSize || value[0] > payloadPieces {
		return nil, writ.Errorf(writ.CodeTampered, op, "is neither stored nor recorded as expired")
	}
	p := &salted{digest: ref.Digest, salt: value[1 : 1+saltSize], data: value[1+saltSize:]}
	if value[0] == payloadPieces {
		size := p.data
		if p.data, err = readPieces(txn, key); err != nil {
			return nil, err
		}
		if !bytes.Equal(size, binary.BigEndian.AppendUint64(nil, uint64(len(p.data)))) {
			return nil, writ.Errorf(writ.CodeTampered, op, "a piece is missing")
		}
	}
	if !p.is(ref) {
		return nil, writ.Errorf(writ.CodeTampered, op, "the bytes are not what the record names")
	}
	return p, nil
}

// readPieces reads what follows the key. What is missing shows in the digest.
func readPieces(txn *badger.Txn, key []byte) ([]byte, error) {
	data := []byte{}
	err := scan(txn, key, append(append([]byte{}, key...), 0), func(item *badger.Item) (bool, error) {
		return true, item.Value(func(piece []byte) error {
			data = append(data, piece...)
			return nil
		})
	})
	if err != nil {
		return nil, unreadable(err)
	}
	return data, nil
}
