package trace

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

func digestOf(sum []byte) writ.Digest { return writ.Digest("sha256:" + hex.EncodeToString(sum)) }

// Records implements writ.Traces. It checks the chain of what it returns.
func (j *Journal) Records(ctx context.Context, query writ.RecordQuery) ([]writ.Stored, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError("records", err)
	}
	var out []writ.Stored
	err := j.view(func(txn *badger.Txn) error {
		var err error
		out, err = readRecords(txn, &query)
		return err
	})
	return out, err
}

func readRecords(txn *badger.Txn, query *writ.RecordQuery) ([]writ.Stored, error) {
	name, space, owner := streamName(query.Tenant, query.Stream), byte(spaceRecord), query.Tenant
	h, err := existingHead(txn, query.Tenant, query.Stream)
	if err != nil || query.After >= h.Seq {
		return []writ.Stored{}, err
	}
	if h.imported() {
		space, owner = spaceForeign, h.Owner
	}
	last := h.Seq
	if query.Limit > 0 && uint64(query.Limit) < last-query.After {
		last = query.After + uint64(query.Limit)
	}
	out := make([]writ.Stored, 0, last-query.After)
	seq := query.After
	err = scan(txn, numberedPrefix(space, name), numberedKey(space, name, query.After+1), func(item *badger.Item) (bool, error) {
		seq++
		stored, err := readStored(item, seq, query.Stream)
		if err != nil {
			return false, err
		}
		if stored.Tenant != owner || stored.Stream != query.Stream {
			return false, broken(where{query.Stream, seq, "stream"}, "is of another journal")
		}
		if err := checkLink(stored, out, seq); err != nil {
			return false, err
		}
		out = append(out, *stored)
		return seq < last, nil
	})
	if err != nil {
		return nil, err
	}
	if seq < last {
		return nil, broken(where{query.Stream, seq + 1, "record"}, "is missing")
	}
	if last == h.Seq && out[len(out)-1].Digest != h.Digest {
		return nil, broken(where{query.Stream, last, "digest"}, "is not the one of the stream's head")
	}
	return out, nil
}

// existingHead is CodeNotFound for a stream that does not exist, and says so
// where it has expired.
func existingHead(txn *badger.Txn, tenant writ.TenantID, stream writ.StreamID) (*head, error) {
	if !validName(string(tenant)) || !validName(string(stream)) {
		return nil, noJournal(stream)
	}
	name := streamName(tenant, stream)
	h, err := readHead(txn, name)
	if h != nil || err != nil {
		return h, err
	}
	if err := checkGone(txn, name, stream); err != nil {
		return nil, err
	}
	first, err := get(txn, recordKey(name, 1))
	if err != nil {
		return nil, err
	}
	if first != nil {
		return nil, broken(where{stream, 1, "head"}, "is missing, and the stream has records")
	}
	return nil, noJournal(stream)
}

func noJournal(stream writ.StreamID) error {
	return writ.Errorf(writ.CodeNotFound, "stream "+string(stream), "there is no such journal")
}

// where names a field of a record.
type where struct {
	stream writ.StreamID
	seq    uint64
	field  string
}

func broken(at where, format string, args ...any) error {
	err := writ.Errorf(writ.CodeTampered, "stream "+string(at.stream), format, args...)
	err.Op += ": record " + uitoa(at.seq) + ": " + at.field
	err.Place = at.field
	err.Details = Problem{Stream: at.stream, Seq: at.seq, Field: at.field, Message: err.Message}
	return err.WithFix("compare with an exported evidence bundle or a backup; do not write to this store")
}

func readStored(item *badger.Item, seq uint64, stream writ.StreamID) (*writ.Stored, error) {
	key := item.Key()
	if binary.BigEndian.Uint64(key[len(key)-8:]) != seq {
		return nil, broken(where{stream, seq, "record"}, "is missing")
	}
	value, err := item.ValueCopy(nil)
	if err != nil {
		return nil, unreadable(err)
	}
	return decodeStored(value, seq, stream)
}

func decodeStored(value []byte, seq uint64, stream writ.StreamID) (*writ.Stored, error) {
	if len(value) <= 8 {
		return nil, broken(where{stream, seq, "record"}, "is cut off")
	}
	s := &writ.Stored{Position: writ.Position(binary.BigEndian.Uint64(value)), Bytes: value[8:]}
	s.Digest = canon.Sum(canon.DomainRecord, s.Bytes)
	if err := canon.UnmarshalCBOR(s.Bytes, &s.Record); err != nil {
		return nil, broken(where{stream, seq, "record"}, "does not decode: %w", err)
	}
	return s, nil
}

// checkLink compares a record with the ones before it that were read too.
func checkLink(s *writ.Stored, before []writ.Stored, seq uint64) error {
	switch {
	case s.Seq != seq:
		return broken(where{s.Stream, seq, "seq"}, "is %d", s.Seq)
	case seq == 1 && s.Prev != Genesis(s.Tenant, s.Stream):
		return broken(where{s.Stream, seq, "prev"}, "is not the genesis of the journal")
	case len(before) == 0:
		return nil
	case s.Prev != before[len(before)-1].Digest:
		return broken(where{s.Stream, seq, "prev"}, "is not the digest of record %d", seq-1)
	case s.Position <= before[len(before)-1].Position:
		return broken(where{s.Stream, seq, "position"}, "is not behind that of record %d", seq-1)
	}
	return nil
}

// Execution implements writ.Traces.
func (j *Journal) Execution(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) (*writ.Execution, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError("execution", err)
	}
	if writ.StreamID(id) == writ.SystemStream {
		return nil, writ.Errorf(writ.CodeNotFound, "execution "+string(id), "there is no such execution")
	}
	var execution *writ.Execution
	err := j.view(func(txn *badger.Txn) error {
		var err error
		execution, _, err = readExecution(txn, tenant, writ.StreamID(id))
		return err
	})
	return execution, err
}

// readExecution returns the projection and its stored size.
func readExecution(txn *badger.Txn, tenant writ.TenantID, stream writ.StreamID) (*writ.Execution, int, error) {
	h, err := existingHead(txn, tenant, stream)
	if err != nil {
		return nil, 0, err
	}
	value, err := get(txn, streamPrefix(spaceProject, streamName(tenant, stream)))
	if err != nil {
		return nil, 0, err
	}
	if len(value) == 0 {
		return foldStream(txn, tenant, stream, value == nil)
	}
	execution := new(writ.Execution)
	if err := canon.UnmarshalCBOR(value, execution); err != nil {
		return nil, 0, broken(where{stream, h.Seq, "projection"}, "does not decode: %w", err)
	}
	if execution.Seq != h.Seq {
		return nil, 0, broken(where{stream, h.Seq, "projection"}, "is of record %d", execution.Seq)
	}
	return execution, len(value), nil
}

// foldStream folds what has no projection: an execution that is too large for
// one, and a stream that is no execution, which is the only one to have no entry.
func foldStream(txn *badger.Txn, tenant writ.TenantID, stream writ.StreamID, absent bool) (*writ.Execution, int, error) {
	records, err := readRecords(txn, &writ.RecordQuery{Tenant: tenant, Stream: stream})
	if err != nil {
		return nil, 0, err
	}
	execution := Fold(records)
	if absent && execution.ID != "" {
		return nil, 0, broken(where{stream, execution.Seq, "projection"}, "is missing")
	}
	if execution.ID != "" {
		execution.Tenant = tenant
		return execution, maxProjection, nil
	}
	return execution, 0, nil
}

// Fold is the state of an execution after the records.
func Fold(records []writ.Stored) *writ.Execution {
	execution := &writ.Execution{}
	for i := range records {
		execution.Apply(&records[i].Record)
	}
	return execution
}

// Payload implements writ.Traces.
func (j *Journal) Payload(ctx context.Context, tenant writ.TenantID, ref writ.PayloadRef) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError("payload", err)
	}
	var p *salted
	err := j.view(func(txn *badger.Txn) error {
		var err error
		p, err = readPayload(txn, tenant, ref)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.data, nil
}

func readPayload(txn *badger.Txn, tenant writ.TenantID, ref writ.PayloadRef) (*salted, error) {
	op := "payload " + ref.Name
	if !ref.Digest.Valid() || !validName(string(tenant)) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "the reference has no tenant or no digest")
	}
	key := payloadKey(tenant, ref.Digest)
	value, err := get(txn, key)
	if err != nil {
		return nil, err
	}
	if len(value) == expiredSize && value[0] == payloadExpired {
		return nil, expired(op, value)
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
	if int64(len(p.data)) != ref.Size || canon.Sum(canon.DomainPayload, p.salt, p.data) != ref.Digest {
		return nil, writ.Errorf(writ.CodeTampered, op, "the bytes are not what the record names")
	}
	return p, nil
}

func expired(op string, value []byte) error {
	at := binary.BigEndian.Uint64(value[1:])
	if at == 0 {
		return writ.Errorf(writ.CodeUnreplayable, op, "was not in the evidence that was imported")
	}
	return writ.Errorf(writ.CodeUnreplayable, op, "was removed on %s: its retention had passed",
		time.Unix(0, int64(at)).UTC().Format(time.DateOnly))
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

// Get implements writ.Store.
func (j *Journal) Get(ctx context.Context, tenant writ.TenantID, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError("document", err)
	}
	if !validName(string(tenant)) || !validDocumentKey(key) {
		return nil, noDocument(key)
	}
	var value []byte
	err := j.view(func(txn *badger.Txn) error {
		var err error
		value, err = get(txn, documentKey(tenant, key))
		return err
	})
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, noDocument(key)
	}
	return value, nil
}

func noDocument(key string) error {
	return writ.Errorf(writ.CodeNotFound, "document "+key, "there is no such document")
}

// List implements writ.Store.
func (j *Journal) List(ctx context.Context, query writ.StoreQuery) ([]writ.Document, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError("documents", err)
	}
	if !validName(string(query.Tenant)) || query.Limit < 0 {
		return nil, writ.Errorf(writ.CodeInvalid, "documents", "no tenant is named, or the limit is negative")
	}
	out := []writ.Document{}
	base := len(tenantKey(spaceDocument, query.Tenant))
	start := documentKey(query.Tenant, query.After)
	if query.After != "" {
		start = append(start, 0)
	}
	err := j.view(func(txn *badger.Txn) error {
		return scan(txn, documentKey(query.Tenant, query.Prefix), start, func(item *badger.Item) (bool, error) {
			value, err := item.ValueCopy(nil)
			if err != nil {
				return false, unreadable(err)
			}
			out = append(out, writ.Document{Key: string(item.Key()[base:]), Value: value})
			return query.Limit == 0 || len(out) < query.Limit, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
