package trace

import (
	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// change collects one transaction.
type change struct {
	j       *Journal
	txn     *badger.Txn
	entries []badger.Entry     // to be used next
	strands map[string]*strand // of the streams in it
	touched []*strand          // in order
	runs    map[writ.TenantID][]run
	tree    map[int64][32]byte
	opened  []opened
	state   state
}

// strand is what one transaction adds to one stream. Its memory serves again when
// Badger has copied what it holds.
type strand struct {
	*track
	name    string
	segment []byte
	tags    []byte // of the payloads
	pack    []byte
	out     []byte // values that were made of them
}

// maxSpare bounds the strands that are kept, and the size of each of their buffers.
const (
	maxSpare       = 64
	maxSpareBuffer = 128 << 10
)

func (j *Journal) newStrand(name string, t *track) *strand {
	s := &strand{}
	if last := len(j.spare) - 1; last >= 0 {
		s, j.spare = j.spare[last], j.spare[:last]
	}
	*s = strand{track: t, name: name, segment: s.segment[:0], tags: s.tags[:0], pack: s.pack[:0], out: s.out[:0]}
	return s
}

func (j *Journal) keepSpare(strands []*strand) {
	for _, s := range strands {
		if len(j.spare) < maxSpare && max(cap(s.segment), cap(s.pack), cap(s.out)) <= maxSpareBuffer {
			j.spare = append(j.spare, s)
		}
	}
}

// value cuts off what was put behind the first n bytes of out.
func (s *strand) value(n int) []byte { return s.out[n:len(s.out):len(s.out)] }

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
		j: j, txn: j.db.NewTransactionAt(ts-1, true), strands: map[string]*strand{},
		runs: map[writ.TenantID][]run{}, tree: map[int64][32]byte{}, state: j.committedState(),
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
	for _, s := range c.touched {
		if s.execution.Status.Final() {
			delete(j.tracks, s.name) // little or nothing follows
		}
	}
	j.keepSpare(c.touched)
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
	s, err := c.strand(b)
	if err != nil {
		return err
	}
	for i := range b.records {
		if err := c.addRecord(b, &b.records[i], s); err != nil {
			return err
		}
	}
	first, last := &b.records[0], &b.records[len(b.records)-1]
	c.runs[b.tenant] = append(c.runs[b.tenant], run{
		first: first.position, count: uint64(len(b.records)), seq: first.seq, digest: last.digest, stream: b.stream,
	})
	if b.inline {
		for i := range b.payloads {
			s.tags = append(s.tags, b.payloads[i].tag[:]...)
			s.pack = appendPacked(s.pack, &b.payloads[i])
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
	c.state.Position, c.state.Chain = s.head.Position, b.chain[:]
	return nil
}

func (c *change) strand(b *batch) (*strand, error) {
	if s, ok := c.strands[b.name]; ok {
		return s, nil
	}
	t, err := c.j.track(b)
	if err != nil {
		return nil, err
	}
	s := c.j.newStrand(b.name, t)
	c.strands[b.name] = s
	c.touched = append(c.touched, s)
	return s, nil
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

func (c *change) addRecord(b *batch, r *sealed, s *strand) error {
	s.segment = appendSlot(s.segment, slot{r.seq, r.position, r.bytes})
	s.head.Seq, s.head.Digest, s.head.Position = r.seq, canon.DigestOf(r.digest), r.position
	if r.seq == 1 {
		var err error
		if s.head.Leaf, err = c.addLeaf(b.name, s.head.Digest); err != nil {
			return err
		}
	}
	if b.stream != writ.SystemStream {
		s.fold(r.record)
	}
	return nil
}

// finish writes records, heads, projections, lists and the state.
func (c *change) finish() error {
	for _, s := range c.touched {
		if err := c.finishStream(s); err != nil {
			return err
		}
	}
	for tenant, runs := range c.runs {
		if err := c.set(positionKey(tenant, runs[len(runs)-1].last()), sealRuns(runs)); err != nil {
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

func (c *change) finishStream(s *strand) error {
	s.out = appendBlock(s.out, s.segment)
	if err := c.set(recordKey(s.name, s.head.Seq), s.value(0)); err != nil {
		return err
	}
	if len(s.tags) > 0 {
		n := len(s.out)
		s.out = appendPack(s.out, s.tags, s.pack)
		if err := c.set(numberedKey(spacePack, s.name, s.head.Seq), s.value(n)); err != nil {
			return err
		}
	}
	encoded, err := canon.MarshalCBOR(&s.head)
	if err != nil {
		return err
	}
	if err := c.set(streamPrefix(spaceHead, s.name), encoded); err != nil {
		return err
	}
	if s.execution.ID == "" {
		return nil // not an execution
	}
	n := len(s.out)
	if s.out, s.size, err = appendProjection(s.out, s.execution); err != nil {
		return err
	}
	if err := c.set(streamPrefix(spaceProject, s.name), s.value(n)); err != nil {
		return err
	}
	return c.relist(s)
}
