package trace

import (
	"encoding/binary"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// track is what the writer knows of a stream that it writes: the fold of its
// committed records and where the list shows it.
type track struct {
	head      head
	execution *writ.Execution
	listed    listEntry
	size      int // of the projection when it was last encoded
}

// maxTracks bounds the cache of the writer: a few KiB each, of executions that
// have not ended.
const maxTracks = 1 << 10

// maxProjection is the largest projection that is stored; a larger one is folded
// again at each read.
const maxProjection = 512 << 10

// change collects one transaction.
type change struct {
	j       *Journal
	txn     *badger.Txn
	entries []badger.Entry    // to be used next
	tracks  map[string]*track // of the streams in it
	touched []string
	tree    map[int64][32]byte
	opened  []opened
	state   state
}

// commit makes as many batches of the group durable as fit, at least one, and
// returns how many with the state after them.
func (j *Journal) commit(group []*batch) (int, state, error) {
	n, err := j.fit(group)
	if err != nil {
		return 0, state{}, err
	}
	group = group[:n]
	for _, b := range group {
		if err := j.writeBulk(b); err != nil {
			return 0, state{}, err
		}
	}
	ts := j.views.next()
	c := &change{
		j: j, txn: j.db.NewTransactionAt(ts-1, true), tracks: map[string]*track{},
		tree: map[int64][32]byte{}, state: j.committedState(),
	}
	defer c.txn.Discard()
	for _, b := range group {
		if err := c.add(b); err != nil {
			return 0, state{}, err
		}
	}
	if err := c.finish(); err != nil {
		return 0, state{}, err
	}
	if err := j.commitAt(c.txn, ts); err != nil {
		return 0, state{}, err
	}
	j.live.apply(c.opened)
	for name, t := range c.tracks {
		if t.execution.Status.Final() {
			delete(j.tracks, name) // little or nothing follows
		}
	}
	return n, c.state, nil
}

func (j *Journal) committedState() state {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stored
}

// fit counts the batches whose records and projections fit one transaction.
func (j *Journal) fit(group []*batch) (int, error) {
	size, seen := 0, map[string]bool{}
	for i, b := range group {
		size += b.size
		if !seen[b.name] {
			seen[b.name] = true
			t, err := j.track(b)
			if err != nil {
				return 0, err
			}
			// The fold grows by about its records; heads and lists are small.
			size += min(t.size+b.size, maxProjection) + 8*entryOverhead
		}
		if i > 0 && size > groupBytes {
			return i, nil
		}
	}
	return len(group), nil
}

// track finds or loads what the writer knows of the batch's stream.
func (j *Journal) track(b *batch) (*track, error) {
	if t, ok := j.tracks[b.name]; ok {
		return t, nil
	}
	t := &track{head: head{Leaf: -1}, execution: &writ.Execution{}}
	if !b.first {
		if err := j.view(func(txn *badger.Txn) error { return loadTrack(txn, b, t) }); err != nil {
			return nil, err
		}
	}
	for name := range j.tracks {
		if len(j.tracks) < maxTracks {
			break
		}
		delete(j.tracks, name) // it can be read again
	}
	j.tracks[b.name] = t
	return t, nil
}

func loadTrack(txn *badger.Txn, b *batch, t *track) error {
	h, err := readHead(txn, b.name)
	if err != nil {
		return err
	}
	if h == nil {
		return writ.Errorf(writ.CodeTampered, "stream "+string(b.stream), "the head is gone")
	}
	t.head = *h
	if b.stream == writ.SystemStream {
		return nil
	}
	execution, size, err := readExecution(txn, b.tenant, b.stream)
	if err != nil {
		return err
	}
	t.execution, t.size, t.listed = execution, size, listEntryOf(execution)
	return nil
}

// pieceSize keeps a piece of a payload well under the value threshold.
const pieceSize = 512 << 10

// writeBulk stores large payloads ahead of the records that name them. A crash
// in between leaves payloads that nothing names.
func (j *Journal) writeBulk(b *batch) error {
	if b.inline {
		return nil
	}
	writes := b.bulk
	for i := range b.payloads {
		writes = append(writes, payloadWrites(b.tenant, &b.payloads[i])...)
	}
	return j.putAll(writes)
}

// putAll commits plain writes in as many transactions as they need.
func (j *Journal) putAll(writes []write) error {
	from, size := 0, 0
	for i, w := range writes {
		size += len(w.value) + 2*entryOverhead
		if size > groupBytes && i > from {
			if err := j.put(writes[from:i]); err != nil {
				return err
			}
			from, size = i, len(w.value)+2*entryOverhead
		}
	}
	return j.put(writes[from:])
}

// set deletes where there is no value: an empty value is not nil.
func set(txn *badger.Txn, w write) error {
	if w.value == nil {
		return txn.Delete(w.key)
	}
	return txn.Set(w.key, w.value)
}

// put commits plain writes in a transaction of their own. Only the writer may
// call it.
func (j *Journal) put(writes []write) error {
	if len(writes) == 0 {
		return nil
	}
	ts := j.views.next()
	txn := j.db.NewTransactionAt(ts-1, true)
	defer txn.Discard()
	for _, w := range writes {
		if err := set(txn, w); err != nil {
			return err
		}
	}
	return j.commitAt(txn, ts)
}

// commitAt makes the transaction durable, then visible.
func (j *Journal) commitAt(txn *badger.Txn, ts uint64) error {
	if err := txn.CommitAt(ts, nil); err != nil {
		return err
	}
	if err := j.synced.sync(); err != nil {
		return err
	}
	j.views.advance(ts)
	return nil
}

// add writes a batch's records, payloads and changes and folds the records.
func (c *change) add(b *batch) error {
	t, ok := c.tracks[b.name]
	if !ok {
		var err error
		if t, err = c.j.track(b); err != nil {
			return err
		}
		c.tracks[b.name] = t
		c.touched = append(c.touched, b.name)
	}
	for i := range b.records {
		if err := c.addRecord(b, &b.records[i], t); err != nil {
			return err
		}
	}
	if b.inline {
		for i := range b.payloads {
			p := &b.payloads[i]
			if err := c.set(payloadKey(b.tenant, p.digest), p.stored); err != nil {
				return err
			}
		}
	}
	for _, ch := range b.changes {
		if err := set(c.txn, write{documentKey(b.tenant, ch.Key), ch.Value}); err != nil {
			return err
		}
	}
	for _, w := range b.extra {
		if err := set(c.txn, w); err != nil {
			return err
		}
	}
	c.state.Position, c.state.Chain = t.head.Position, b.chain[:]
	return nil
}

// set takes what Badger keeps for a write from a slab: a group has hundreds.
func (c *change) set(key, value []byte) error {
	const slab = 64
	if len(c.entries) == 0 {
		c.entries = make([]badger.Entry, slab)
	}
	entry := &c.entries[0]
	c.entries = c.entries[1:]
	entry.Key, entry.Value = key, value
	return c.txn.SetEntry(entry)
}

func (c *change) addRecord(b *batch, r *sealed, t *track) error {
	if err := c.set(r.key, r.value); err != nil {
		return err
	}
	p := place{digest: r.digest, seq: r.seq, stream: b.stream}
	if err := c.set(positionKey(b.tenant, r.position), p.encode()); err != nil {
		return err
	}
	t.head.Seq, t.head.Digest, t.head.Position = r.seq, canon.DigestOf(r.digest), r.position
	if r.seq == 1 {
		var err error
		if t.head.Leaf, err = c.addLeaf(b.name, t.head.Digest); err != nil {
			return err
		}
	}
	if b.stream == writ.SystemStream {
		return nil
	}
	return t.fold(r)
}

// fold applies the record that was encoded. Facts of an intent hold what lives as
// long as the process, such as the principal: they are taken from the bytes, so
// that no later change of it reaches the projection.
func (t *track) fold(r *sealed) error {
	record := r.record
	if record.Body.Intent != nil {
		record = new(writ.Record)
		if err := canon.UnmarshalCBOR(r.value[positionSize:], record); err != nil {
			return err
		}
	}
	t.execution.Apply(record)
	return nil
}

// finish writes heads, projections, lists and the state.
func (c *change) finish() error {
	for _, name := range c.touched {
		if err := c.finishStream(name, c.tracks[name]); err != nil {
			return err
		}
	}
	if err := c.writeTree(); err != nil {
		return err
	}
	encoded, err := canon.MarshalCBOR(&c.state)
	if err != nil {
		return err
	}
	return c.set(keyState, encoded)
}

func (c *change) finishStream(name string, t *track) error {
	encoded, err := canon.MarshalCBOR(&t.head)
	if err != nil {
		return err
	}
	if err := c.set(streamPrefix(spaceHead, name), encoded); err != nil {
		return err
	}
	if t.execution.ID == "" {
		return nil // not an execution
	}
	projection, err := canon.MarshalCBOR(t.execution)
	if err != nil {
		return err
	}
	if t.size = len(projection); t.size > maxProjection {
		projection = []byte{}
	}
	if err := c.set(streamPrefix(spaceProject, name), projection); err != nil {
		return err
	}
	return c.relist(name, t)
}

// Payloads. The first byte of a value says what it is.
const (
	payloadInline  = 0 // salt, data
	payloadPieces  = 1 // salt, size: the data is at the key with a number after it
	payloadExpired = 2 // time of the sweep in nanoseconds; zero: it never was here
)

const expiredSize = 9

func expiredMark(at writ.Time) []byte {
	return binary.BigEndian.AppendUint64([]byte{payloadExpired}, uint64(at))
}

func payloadWrites(tenant writ.TenantID, p *salted) []write {
	key := payloadKey(tenant, p.digest)
	if p.stored != nil && len(p.data) <= pieceSize {
		return []write{{key, p.stored}}
	}
	if len(p.data) <= pieceSize {
		value := append(append(make([]byte, 0, 1+saltSize+len(p.data)), payloadInline), p.salt...)
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
