package writ

import (
	"context"
	"errors"
)

// Position is a record's place in the store-wide order. It is also the
// Last-Event-ID of the event stream.
type Position uint64

// AnySeq as Batch.Expect appends without a fence. Only the system journal may
// use it: what is written there does not depend on the record before.
const AnySeq = ^uint64(0)

// Batch is appended as a whole or not at all.
type Batch struct {
	Tenant  TenantID
	Stream  StreamID
	Expect  uint64 // sequence number of the last record that the caller has seen; 0: the stream is new
	Records []NewRecord
	Changes []Change // of the tenant's store, in the same transaction
	Epoch   uint64   // refuse with ErrStaleEpoch where the tenant's epoch is another; 0: any
}

// ErrStaleEpoch is the cause of a CodeConflict: between the decision and the
// batch that rests on it something was revoked, granted, installed or activated.
// Nothing was written; decide again.
var ErrStaleEpoch = errors.New("the tenant's epoch has moved on")

// NewRecord is a record before the journal gives it its place in the chain.
type NewRecord struct {
	Type     RecordType
	Time     Time
	Actor    Audit
	Step     StepID
	Attempt  int
	Body     Body
	Payloads []Payload
}

// Payload is bytes to be kept beside a record.
type Payload struct {
	Name string
	Data []byte
}

// Receipt says where a batch stands.
type Receipt struct {
	Position Position // of the last record
	Seq      uint64   // of the last record
	Digest   Digest   // of the last record
	Records  []Record // the batch's records as they stand in the chain, with payload references
}

// Stored is a record as it was stored.
type Stored struct {
	Record
	Digest   Digest
	Position Position
	Bytes    []byte // the CBOR that was hashed
}

// Journal is the writer that all executions share. Accepted batches are ordered
// at once and become durable together: many appends, one sync.
type Journal interface {
	// Append orders a batch and returns before it is durable. What its records
	// point to must not change afterwards. CodeConflict where
	// Expect is not the stream's last sequence number (somebody else writes this
	// stream: stop; the receipt says where it stands, which may not be durable yet) or, because of ErrStaleEpoch, where Epoch is not the tenant's;
	// CodeUnavailable where the store is closing, full or failed.
	Append(ctx context.Context, batch *Batch) (Receipt, error)
	// Barrier returns once everything up to the position is on disk. After an
	// error nothing later may be acknowledged: the writer is poisoned.
	Barrier(ctx context.Context, position Position) error
	// Epoch counts a tenant's changes of trust, skills, policy, grants, freezes, budgets, tokens
	// and secrets, from 1. Every change that it counts can be read when it returns.
	Epoch(ctx context.Context, tenant TenantID) (uint64, error)
}

// Traces reads what the journal holds. It shows durable state only.
type Traces interface {
	// Records of a stream after a sequence number, at most limit (0: all).
	// CodeNotFound for a stream that does not exist, CodeTampered where a record
	// at or below the head is missing or does not decode.
	Records(ctx context.Context, query RecordQuery) ([]Stored, error)
	// Payloads reads what the records of a stream name. A stream that does not
	// exist has none.
	Payloads(ctx context.Context, tenant TenantID, stream StreamID) (PayloadReader, error)
	// Execution is the fold of an execution's records. CodeNotFound.
	Execution(ctx context.Context, tenant TenantID, id ExecutionID) (*Execution, error)
	// Executions lists them, newest first.
	Executions(ctx context.Context, query ExecutionQuery) (*ExecutionPage, error)
	// Feed calls fn with durable records of the tenant after a position, in
	// order, and goes on with new ones until ctx ends or fn errs.
	Feed(ctx context.Context, tenant TenantID, after Position, fn func(*Stored) error) error
}

// PayloadReader is CodeUnreplayable where the payload has expired or was
// redacted, CodeTampered where its bytes do not match the reference or are not
// there. What it returns must not be changed, nor the reader be used by two
// goroutines at once.
type PayloadReader func(ref PayloadRef) ([]byte, error)

// RecordQuery selects records of one stream.
type RecordQuery struct {
	Tenant TenantID
	Stream StreamID
	After  uint64
	Limit  int
}

// ExecutionQuery selects executions. Empty members do not restrict.
type ExecutionQuery struct {
	Tenant    TenantID
	Workspace WorkspaceID
	Status    ExecutionStatus
	Risk      Risk
	Limit     int    // 0: 50, at most 500
	Cursor    string // opaque, from the page before
}

// ExecutionPage is one page. Next is empty on the last one.
type ExecutionPage struct {
	Items []*Execution
	Next  string
}

// Change sets or deletes (nil Value) one document of the tenant's store. Keys
// are slash-separated; the first segment names the owner: kv, skill, trust,
// token, principal, policy, grant, freeze, hook, budget, channel, inbox, delivered,
// following, told, outbox, unsent, asked, askref, askin, askold.
type Change struct {
	Key   string
	Value []byte
}

// Notes change documents without a record: how far something has come that no
// decision and no replay rests on. A record of each step would be the larger part of
// a journal, and move the tenant's epoch.
type Notes interface {
	// Note is on disk when it returns. CodeInvalid for a document whose owner may not
	// change it so, CodeUnavailable where the store is closing or failed.
	Note(ctx context.Context, tenant TenantID, changes ...Change) error
}

// Store reads the documents that Batches and Notes change. It shows durable state only.
type Store interface {
	// Get is CodeNotFound where there is no document.
	Get(ctx context.Context, tenant TenantID, key string) ([]byte, error)
	// List returns documents whose key has the prefix, in order of the key,
	// after a key, at most limit (0: all).
	List(ctx context.Context, query StoreQuery) ([]Document, error)
}

// StoreQuery selects documents.
type StoreQuery struct {
	Tenant TenantID
	Prefix string
	After  string
	Limit  int
}

// Document is one entry of the store.
type Document struct {
	Key   string
	Value []byte
}
