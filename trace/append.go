package trace

import (
	"context"
	"errors"
	"io"

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
	record   *writ.Record
	bytes    []byte // that were hashed
	digest   [32]byte
	position writ.Position
	seq      uint64
}

// Genesis is the previous digest of a stream's first record.
func Genesis(tenant writ.TenantID, stream writ.StreamID) writ.Digest {
	return canon.Sum(canon.DomainRecord, []byte("genesis"), []byte(tenant), []byte(stream))
}

// link adds a batch to the chain over the whole store: the digest of its last
// record, which binds those before it.
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
	defer j.lockStreams(b.name)()
	return j.accept(b, in)
}

// accept orders a prepared batch. Its stream is locked, and mu is not held: the
// encoding and hashing is done beside that of other streams.
func (j *Journal) accept(b *batch, in *writ.Batch) (writ.Receipt, error) {
	h, err := j.acceptingHead(b.name, in.Expect == 0)
	if err != nil {
		return writ.Receipt{}, err
	}
	if h.imported() {
		return writ.Receipt{}, writ.Errorf(writ.CodeConflict, "stream "+string(in.Stream), "was imported and takes no more records")
	}
	if in.Expect != writ.AnySeq && in.Expect != h.Seq {
		return writ.Receipt{Seq: h.Seq, Digest: h.Digest, Position: h.Position}, fenced(in, h.Seq)
	}
	next := *h
	receipt, err := b.seal(in, &next)
	if err != nil {
		return writ.Receipt{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.accepting(in.Expect == 0); err != nil {
		return writ.Receipt{}, err
	}
	if err := j.checkEpoch(in); err != nil {
		return writ.Receipt{}, err
	}
	j.place(b, &next)
	receipt.Position = next.Position
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
		for k := range in.Records[i].Payloads {
			p, err := j.salt(in.Records[i].Payloads[k].Data)
			if err != nil {
				return nil, err
			}
			b.payloads = append(b.payloads, p)
			bulk += len(p.data)
		}
	}
	b.inline = bulk <= maxInline
	return b, nil
}

// salt copies the data, once: the caller may use its buffer again before the
// commit, and the copy is what the database gets.
func (j *Journal) salt(data []byte) (salted, error) {
	stored := make([]byte, saltSize+len(data))
	p := salted{salt: stored[:saltSize:saltSize], data: stored[saltSize:]}
	if _, err := io.ReadFull(j.opts.Entropy, p.salt); err != nil {
		return p, writ.Errorf(writ.CodeUnavailable, "journal: append", "no entropy: %w", err)
	}
	copy(p.data, data)
	sum := canon.Hash(canon.DomainPayload, p.salt, p.data)
	p.digest, p.tag = canon.DigestOf(sum), [tagSize]byte(sum[:])
	return p, nil
}

// Accepting is nil where a new journal would be taken, CodeUnavailable where the
// store is closing, full or failed.
func (j *Journal) Accepting() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.accepting(true)
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

// place gives a sealed batch its positions. mu is held.
func (j *Journal) place(b *batch, next *head) {
	for i := range b.records {
		r := &b.records[i]
		j.position++
		r.position = j.position
	}
	j.chain = link(j.chain, b.records[len(b.records)-1].digest[:])
	b.chain = j.chain
	next.Position = j.position
	j.forgetHeads()
	j.heads[b.name] = next
}

// seal encodes and hashes the records of in behind h and moves h, all but the
// position, which nothing hashed depends on.
func (b *batch) seal(in *writ.Batch, h *head) (writ.Receipt, error) {
	b.first = h.Seq == 0
	payloads := b.payloads
	receipt := writ.Receipt{Records: make([]writ.Record, len(in.Records))}
	b.records = make([]sealed, len(in.Records))
	for i := range in.Records {
		record := &receipt.Records[i]
		fillRecord(record, in, &in.Records[i], h)
		payloads = fillPayloads(record, &in.Records[i], payloads)
		encoded, err := canon.MarshalCBOR(record)
		if err != nil {
			return writ.Receipt{}, writ.Errorf(writ.CodeInvalid, "journal: append", "%w", err)
		}
		digest := canon.Hash(canon.DomainRecord, encoded)
		h.Seq, h.Digest = record.Seq, canon.DigestOf(digest)
		b.records[i] = sealed{record: record, bytes: encoded, digest: digest, seq: record.Seq}
	}
	receipt.Seq, receipt.Digest = h.Seq, h.Digest
	return receipt, b.measure()
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
	if len(n.Payloads) > 0 {
		record.Payloads = make([]writ.PayloadRef, len(n.Payloads))
	}
	for i, p := range n.Payloads {
		record.Payloads[i] = writ.PayloadRef{Name: p.Name, Digest: payloads[i].digest, Size: int64(len(p.Data))}
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
