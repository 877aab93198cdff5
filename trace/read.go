package trace

import (
	"context"
	"encoding/hex"

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
	out := make([]writ.Stored, 0, min(last-query.After, maxBatchEntries)) // the head is not yet believed
	seq := query.After
	err = scan(txn, numberedPrefix(space, name), numberedKey(space, name, query.After+1), func(item *badger.Item) (bool, error) {
		slots, err := segmentOf(item)
		if err != nil {
			return false, broken(where{query.Stream, seq + 1, "record"}, "%w", err)
		}
		for i := range slots {
			if slots[i].seq <= query.After || seq == last {
				continue
			}
			seq++
			stored, err := slots[i].next(seq, query.Stream)
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
		}
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
	exist, err := hasRecords(txn, name)
	if err != nil {
		return nil, err
	}
	if exist {
		return nil, broken(where{stream, 1, "head"}, "is missing, and the stream has records")
	}
	return nil, noJournal(stream)
}

func noJournal(stream writ.StreamID) error {
	return writ.Errorf(writ.CodeNotFound, "stream "+string(stream), "there is no such journal").WithFix("see `writ exec list`")
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

// next decodes the record that is to have the number.
func (s *slot) next(seq uint64, stream writ.StreamID) (*writ.Stored, error) {
	if s.seq != seq {
		return nil, broken(where{stream, seq, "record"}, "is missing")
	}
	return s.decode(stream)
}

func (s *slot) decode(stream writ.StreamID) (*writ.Stored, error) {
	out := &writ.Stored{Position: s.position, Bytes: s.bytes, Digest: canon.Sum(canon.DomainRecord, s.bytes)}
	if err := canon.UnmarshalCBOR(s.bytes, &out.Record); err != nil {
		return nil, broken(where{stream, s.seq, "record"}, "does not decode: %w", err)
	}
	return out, nil
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
		return nil, writ.Errorf(writ.CodeNotFound, "execution "+string(id), "there is no such execution").WithFix("see `writ exec list`")
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
	encoded, err := openBlock(value)
	if err == nil {
		err = canon.UnmarshalCBOR(encoded, execution)
	}
	if err != nil {
		return nil, 0, broken(where{stream, h.Seq, "projection"}, "does not decode: %w", err)
	}
	if execution.Seq != h.Seq {
		return nil, 0, broken(where{stream, h.Seq, "projection"}, "is of record %d", execution.Seq)
	}
	return execution, len(encoded), nil
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
