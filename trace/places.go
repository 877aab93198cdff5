package trace

import (
	"bytes"
	"encoding/binary"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
)

// The index of positions says which record stands at each place of the store. One
// entry has what a commit added for one tenant, under the position of its last
// record: a run for each batch, whose records stand together.
//
//	p tenant NUL last position -> block of (first position, count, first seq,
//	    digest of the last record, size of the stream's name, stream)...

// run is the records of one batch.
type run struct {
	first  writ.Position
	count  uint64
	seq    uint64        // of the first record
	digest [32]byte      // of the last record, which binds those before it
	stream writ.StreamID // empty: the records have expired
	tenant writ.TenantID // as the key says
}

func (r *run) last() writ.Position { return r.first + writ.Position(r.count) - 1 }

func (r *run) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.first))
	b = binary.AppendUvarint(b, r.count)
	b = binary.AppendUvarint(b, r.seq)
	b = append(b, r.digest[:]...)
	return appendField(b, r.stream)
}

func sealRuns(runs []run) []byte {
	var b []byte
	for i := range runs {
		b = runs[i].append(b)
	}
	return sealBlock(b)
}

func readRuns(item *badger.Item) ([]run, error) {
	value, err := item.ValueCopy(nil)
	if err != nil {
		return nil, unreadable(err)
	}
	return openRuns(item.Key(), value)
}

// openRuns takes an entry apart, whose key must be of its end.
func openRuns(key, value []byte) ([]run, error) {
	tenant, last, ok := splitPositionKey(key)
	body, err := openBlock(value)
	if !ok || err != nil {
		return nil, noIndex()
	}
	var runs []run
	r := reader{rest: body}
	for r.more() {
		one := run{tenant: tenant, first: writ.Position(r.number()), count: r.number(), seq: r.number()}
		copy(one.digest[:], r.bytes(32))
		one.stream = writ.StreamID(r.sized())
		if one.count == 0 || one.count > uint64(last) || one.first == 0 || one.first > last || one.last() < one.first || one.last() > last {
			r.bad = true
		}
		if n := len(runs); n > 0 && runs[n-1].last() >= one.first {
			r.bad = true
		}
		runs = append(runs, one)
	}
	if r.bad || len(runs) == 0 || runs[len(runs)-1].last() != last {
		return nil, noIndex()
	}
	return runs, nil
}

func noIndex() error { return tampered("position", "the index of positions does not decode") }

// index looks places up and keeps the last entry that it read.
type index struct {
	txn    *badger.Txn
	tenant writ.TenantID
	runs   []run
}

// at is the run that holds a position; nil where there is none.
func (x *index) at(position writ.Position) (*run, error) {
	if len(x.runs) == 0 || position < x.runs[0].first || position > x.runs[len(x.runs)-1].last() {
		x.runs = nil
		err := scan(x.txn, tenantKey(spacePosition, x.tenant), positionKey(x.tenant, position), func(item *badger.Item) (bool, error) {
			var err error
			x.runs, err = readRuns(item)
			return false, err
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range x.runs {
		if r := &x.runs[i]; r.first <= position && position <= r.last() {
			return r, nil
		}
	}
	return nil, nil
}

// records reads those of a run and compares them with it.
func (r *run) records(s *segments) ([]writ.Stored, error) {
	name := streamName(r.tenant, r.stream)
	out := make([]writ.Stored, 0, min(r.count, maxBatchEntries))
	for i := range r.count {
		seq, position := r.seq+i, r.first+writ.Position(i)
		at, err := s.at(name, seq)
		if err != nil {
			return nil, err
		}
		if at == nil {
			return nil, broken(where{r.stream, seq, "record"}, "is missing")
		}
		stored, err := at.decode(r.stream)
		if err != nil {
			return nil, err
		}
		switch {
		case stored.Position != position:
			return nil, broken(where{r.stream, seq, "position"}, "is %d, not %d", stored.Position, position)
		case stored.Seq != seq || stored.Stream != r.stream || stored.Tenant != r.tenant:
			return nil, broken(where{r.stream, seq, "seq"}, "the record stands in another place than it says")
		case i > 0 && stored.Prev != out[i-1].Digest:
			return nil, broken(where{r.stream, seq, "prev"}, "is not the digest of record %d", seq-1)
		}
		out = append(out, *stored)
	}
	if last := &out[len(out)-1]; last.Digest != digestOf(r.digest[:]) {
		return nil, broken(where{r.stream, last.Seq, "digest"}, "is not the one at position %d", r.last())
	}
	return out, nil
}

// eachRun calls fn for the runs of all tenants that reach behind a position, in
// order.
func eachRun(txn *badger.Txn, after writ.Position, fn func(*run) error) error {
	tenants, err := tenantsOf(txn)
	if err != nil {
		return err
	}
	walks := make([]runWalk, len(tenants))
	for i, tenant := range tenants {
		opts := badger.DefaultIteratorOptions
		opts.PrefetchValues, opts.Prefix = false, tenantKey(spacePosition, tenant)
		walks[i].it = txn.NewIterator(opts)
		defer walks[i].it.Close()
		walks[i].it.Seek(positionKey(tenant, after+1))
		if err := walks[i].skip(after); err != nil {
			return err
		}
	}
	for {
		var next *runWalk
		for i := range walks {
			if w := &walks[i]; len(w.runs) > 0 && (next == nil || w.runs[0].first < next.runs[0].first) {
				next = w
			}
		}
		if next == nil {
			return nil
		}
		at := next.runs[0]
		if err := fn(&at); err != nil {
			return err
		}
		if err := next.skip(at.last()); err != nil {
			return err
		}
	}
}

// runWalk is where eachRun is in the index of one tenant.
type runWalk struct {
	it   *badger.Iterator
	runs []run // of the entry that it stands at; none at the end
}

// skip goes on to the first run that reaches behind a position.
func (w *runWalk) skip(after writ.Position) error {
	for {
		for len(w.runs) > 0 && w.runs[0].last() <= after {
			w.runs = w.runs[1:]
		}
		if len(w.runs) > 0 || !w.it.Valid() {
			return nil
		}
		var err error
		if w.runs, err = readRuns(w.it.Item()); err != nil {
			return err
		}
		w.it.Next()
	}
}

// tenantsOf skips from tenant to tenant.
func tenantsOf(txn *badger.Txn) ([]writ.TenantID, error) {
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues, opts.Prefix = false, []byte{spacePosition}
	it := txn.NewIterator(opts)
	defer it.Close()
	var tenants []writ.TenantID
	for it.Seek(opts.Prefix); it.ValidForPrefix(opts.Prefix); {
		tenant, _, ok := splitPositionKey(it.Item().Key())
		if !ok {
			return nil, noIndex()
		}
		tenants = append(tenants, tenant)
		it.Seek(append(append([]byte{spacePosition}, tenant...), nul+1))
	}
	return tenants, nil
}

// splitPositionKey is the inverse of positionKey.
func splitPositionKey(key []byte) (writ.TenantID, writ.Position, bool) {
	tenant, rest, ok := bytes.Cut(key[1:], []byte{nul})
	if !ok || len(rest) != 8 {
		return "", 0, false
	}
	return writ.TenantID(tenant), writ.Position(binary.BigEndian.Uint64(rest)), true
}
