package trace

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Bounds of one batch. Its records and changes stand in one transaction; its
// payloads may go before them, in pieces.
const (
	maxBatchBytes   = 1 << 20
	maxBatchEntries = 4096
	maxPayload      = 64 << 20
	// maxInline is how much payload a transaction takes along: what is small is
	// one write, what is large does not crowd out other batches.
	maxInline = 64 << 10
	saltSize  = 16
)

// head is the end of a stream.
type head struct {
	Seq      uint64        `json:"seq"`
	Digest   writ.Digest   `json:"digest"`
	Position writ.Position `json:"position"`
	Leaf     int64         `json:"leaf"`
	// Owner is the tenant that an imported journal names in its records. Such a
	// journal has no leaf here and takes no more records.
	Owner writ.TenantID `json:"owner,omitempty"`
	Key   []byte        `json:"key,omitempty"` // of the host that an imported journal came from
	// Swept is when payloads were first removed, SweepDone whether all are.
	Swept     writ.Time `json:"swept,omitempty"`
	SweepDone bool      `json:"sweepDone,omitempty"`
}

func (h *head) imported() bool { return h.Owner != "" }

// batch is a writ.Batch with its place in the chain.
type batch struct {
	name     string // of streamName
	tenant   writ.TenantID
	stream   writ.StreamID
	first    bool // it begins the stream
	records  []sealed
	payloads []salted
	inline   bool // payloads go with the records
	changes  []writ.Change
	bulk     []write  // ahead of the transaction: nothing names it yet
	extra    []write  // in the transaction
	size     int      // bytes of the transaction, without heads and projections
	chain    [32]byte // of the store, after the last record
}

// write sets one key.
type write struct{ key, value []byte }

// sealed is a record that has its place.
type sealed struct {
	bytes    []byte
	digest   writ.Digest
	position writ.Position
	seq      uint64
}

// salted is a payload as it will be stored.
type salted struct {
	digest writ.Digest
	salt   []byte
	data   []byte
}

// Genesis is the previous digest of a stream's first record.
func Genesis(tenant writ.TenantID, stream writ.StreamID) writ.Digest {
	return canon.Sum(canon.DomainRecord, []byte("genesis"), []byte(tenant), []byte(stream))
}

// link adds a record's digest to the chain over the whole store.
func link(chain [32]byte, digest []byte) [32]byte {
	return canon.Hash(canon.DomainRecord, []byte("store"), chain[:], digest)
}

// Append implements writ.Journal. Beyond its codes: CodeInvalid for names,
// records or changes that do not fit, CodeTooLarge for a batch of more than 1 MiB
// of records and changes or a payload of more than 64 MiB.
func (j *Journal) Append(ctx context.Context, in *writ.Batch) (writ.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return writ.Receipt{}, contextError("journal: append", err)
	}
	b, err := j.prepare(in)
	if err != nil {
		return writ.Receipt{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.accept(b, in)
}

// accept orders a prepared batch. mu is held.
func (j *Journal) accept(b *batch, in *writ.Batch) (writ.Receipt, error) {
	if err := j.accepting(in.Expect == 0); err != nil {
		return writ.Receipt{}, err
	}
	h, err := j.head(b.name)
	if err != nil {
		return writ.Receipt{}, err
	}
	if h.imported() {
		return writ.Receipt{}, writ.Errorf(writ.CodeConflict, "stream "+string(in.Stream), "was imported and takes no more records")
	}
	if in.Expect != writ.AnySeq && in.Expect != h.Seq {
		return writ.Receipt{}, fenced(in, h.Seq)
	}
	if err := j.checkEpoch(in); err != nil {
		return writ.Receipt{}, err
	}
	receipt, err := j.seal(b, in, h)
	if err != nil {
		return writ.Receipt{}, err
	}
	j.enqueue(b)
	return receipt, nil
}

func fenced(in *writ.Batch, last uint64) error {
	return writ.Errorf(writ.CodeConflict, "stream "+string(in.Stream),
		"the last record is %d, not %d: somebody else writes this stream", last, in.Expect).
		WithFix("read the stream again before writing to it")
}

// prepare makes all checks and hashes that need no place in the chain.
func (j *Journal) prepare(in *writ.Batch) (*batch, error) {
	if err := checkBatch(in); err != nil {
		return nil, err
	}
	b := &batch{
		name: streamName(in.Tenant, in.Stream), tenant: in.Tenant, stream: in.Stream,
		inline: true, changes: in.Changes,
	}
	bulk := 0
	for i := range in.Records {
		for _, p := range in.Records[i].Payloads {
			salt := make([]byte, saltSize)
			if _, err := io.ReadFull(j.opts.Entropy, salt); err != nil {
				return nil, writ.Errorf(writ.CodeUnavailable, "journal: append", "no entropy: %w", err)
			}
			// The caller may use its buffer again before the commit.
			data := append([]byte{}, p.Data...)
			b.payloads = append(b.payloads, salted{canon.Sum(canon.DomainPayload, salt, data), salt, data})
			bulk += len(data)
		}
	}
	b.inline = bulk <= maxInline
	return b, nil
}

// accepting: CodeUnavailable where nothing more is taken.
func (j *Journal) accepting(newStream bool) error {
	const op = "journal: append"
	switch {
	case j.failed != nil:
		return poisoned(op, j.failed)
	case j.closing:
		return writ.Errorf(writ.CodeUnavailable, op, "the journal is closing")
	}
	return j.disk.refuse(newStream)
}

// head is the end of a stream, accepted batches included. mu is held.
func (j *Journal) head(name string) (*head, error) {
	if h, ok := j.heads[name]; ok {
		return h, nil
	}
	h := &head{}
	err := j.view(func(txn *badger.Txn) error {
		found, err := readHead(txn, name)
		if found != nil {
			h = found
			return nil
		}
		if err != nil {
			return err
		}
		return checkUnused(txn, name)
	})
	if err != nil {
		return nil, err
	}
	j.forgetHeads()
	j.heads[name] = h
	return h, nil
}

// maxHeads bounds the cache: 300 bytes each.
const maxHeads = 4 << 10

// forgetHeads drops heads that can be read again.
func (j *Journal) forgetHeads() {
	if len(j.heads) < maxHeads {
		return
	}
	for name, h := range j.heads {
		if h.Position <= j.durable {
			delete(j.heads, name)
		}
	}
}

// readHead is nil, nil where the stream does not exist.
func readHead(txn *badger.Txn, name string) (*head, error) {
	value, err := get(txn, streamPrefix(spaceHead, name))
	if value == nil || err != nil {
		return nil, err
	}
	h := new(head)
	if err := canon.UnmarshalForeignCBOR(value, h); err != nil {
		return nil, writ.Errorf(writ.CodeTampered, "stream", "the head does not decode: %w", err)
	}
	return h, nil
}

// checkUnused refuses to begin a stream whose name has a past.
func checkUnused(txn *badger.Txn, name string) error {
	gone, err := get(txn, streamPrefix(spaceGone, name))
	if err != nil {
		return err
	}
	if gone != nil {
		return writ.Errorf(writ.CodeConflict, "journal: append", "the stream has expired and takes no more records")
	}
	first, err := get(txn, recordKey(name, 1))
	if err != nil {
		return err
	}
	if first != nil {
		return writ.Errorf(writ.CodeTampered, "journal: append", "the stream has records and no head")
	}
	return nil
}

// seal gives the records of in their places after h and moves h. mu is held.
func (j *Journal) seal(b *batch, in *writ.Batch, h *head) (writ.Receipt, error) {
	next, position, chain := *h, j.position, j.chain
	b.first = h.Seq == 0
	payloads := b.payloads
	receipt := writ.Receipt{Records: make([]writ.Record, len(in.Records))}
	for i := range in.Records {
		record := &receipt.Records[i]
		fillRecord(record, in, &in.Records[i], &next)
		payloads = fillPayloads(record, &in.Records[i], payloads)
		encoded, err := canon.MarshalCBOR(record)
		if err != nil {
			return writ.Receipt{}, writ.Errorf(writ.CodeInvalid, "journal: append", "%w", err)
		}
		position++
		next.Seq, next.Digest, next.Position = record.Seq, canon.Sum(canon.DomainRecord, encoded), position
		chain = link(chain, next.Digest.Bytes())
		b.records = append(b.records, sealed{encoded, next.Digest, position, record.Seq})
	}
	if err := b.measure(); err != nil {
		return writ.Receipt{}, err
	}
	b.chain = chain
	*h, j.position, j.chain = next, position, chain
	receipt.Position, receipt.Seq, receipt.Digest = position, next.Seq, next.Digest
	return receipt, nil
}

func fillRecord(record *writ.Record, in *writ.Batch, n *writ.NewRecord, h *head) {
	prev := h.Digest
	if h.Seq == 0 {
		prev = Genesis(in.Tenant, in.Stream)
	}
	*record = writ.Record{
		Tenant: in.Tenant, Stream: in.Stream, Seq: h.Seq + 1, Prev: prev, Type: n.Type, Time: n.Time,
		Actor: n.Actor, Step: n.Step, Attempt: n.Attempt, Body: n.Body,
	}
}

func fillPayloads(record *writ.Record, n *writ.NewRecord, payloads []salted) (rest []salted) {
	for i, p := range n.Payloads {
		record.Payloads = append(record.Payloads, writ.PayloadRef{
			Name: p.Name, Digest: payloads[i].digest, Size: int64(len(p.Data)),
		})
	}
	return payloads[len(n.Payloads):]
}

// entryOverhead is what Badger and the key add to a value, rounded up.
const entryOverhead = 96

func (b *batch) measure() error {
	entries := 2*len(b.records) + len(b.changes) + len(b.extra)
	for i := range b.records {
		b.size += len(b.records[i].bytes) + 2*(len(b.name)+entryOverhead)
	}
	for _, c := range b.changes {
		b.size += len(c.Key) + len(c.Value) + len(b.tenant) + entryOverhead
	}
	for _, w := range b.extra {
		b.size += len(w.value) + 2*entryOverhead
	}
	if b.inline {
		entries += len(b.payloads)
		for _, p := range b.payloads {
			b.size += len(p.data) + saltSize + entryOverhead
		}
	}
	if b.size > maxBatchBytes || entries > maxBatchEntries {
		return writ.Errorf(writ.CodeTooLarge, "stream "+string(b.stream),
			"a batch of %d bytes in %d entries: at most %d in %d", b.size, entries, maxBatchBytes, maxBatchEntries)
	}
	return nil
}

// enqueue hands b to the writer. mu is held.
func (j *Journal) enqueue(b *batch) {
	j.pending = append(j.pending, b)
	j.bytes += b.size
	if len(j.pending) == 1 || j.bytes >= groupBytes {
		j.wake()
	}
}

func (j *Journal) wake() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

func contextError(op string, err error) error {
	code := writ.CodeCancelled
	if errors.Is(err, context.DeadlineExceeded) {
		code = writ.CodeTimeout
	}
	return writ.Errorf(code, op, "%w", err)
}

func poisoned(op string, cause error) error {
	return writ.Errorf(writ.CodeUnavailable, op, "a commit has failed and nothing more is written: %w", cause).
		WithFix("restart the process: it recovers from what is on disk")
}

// storedRecord is the value of a record key: the position and the hashed bytes.
func storedRecord(r *sealed) []byte {
	value := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(r.bytes)), uint64(r.position))
	return append(value, r.bytes...)
}
