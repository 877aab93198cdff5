package trace

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
)

// The executions that have not ended. The database holds each in a numbered slot
// that is used again when it has ended: as many keys as there ever were at once,
// which are read at Open, and nothing deleted on the way.
//
//	o NUL slot -> status, risk, created, tenant NUL workspace NUL stream

// opened is one of them, under the name of its stream.
type opened struct {
	name   string
	tenant writ.TenantID
	entry  listEntry
}

// slots gives numbers out. It is of the writer alone.
type slots struct {
	of   map[string]int64
	free []int64
	next int64
}

func (s *slots) take(name string) int64 {
	if slot, ok := s.of[name]; ok {
		return slot
	}
	slot := s.next
	if last := len(s.free) - 1; last >= 0 {
		slot, s.free = s.free[last], s.free[:last]
	} else {
		s.next++
	}
	s.of[name] = slot
	return slot
}

// reopen puts the stream into its slot, or gives that back.
func (c *change) reopen(name string, tenant writ.TenantID, now listEntry) error {
	slots := &c.j.slots
	slot, had := slots.of[name]
	if !now.open && !had {
		return nil
	}
	o := opened{name: name, tenant: tenant, entry: now}
	c.opened = append(c.opened, o)
	if now.open {
		return c.set(indexKey(spaceOpen, slots.take(name)), o.encode())
	}
	delete(slots.of, name)
	slots.free = append(slots.free, slot)
	return c.set(indexKey(spaceOpen, slot), []byte{})
}

func (o *opened) encode() []byte {
	b := make([]byte, 0, 12+len(o.tenant)+len(o.entry.workspace)+len(o.entry.stream))
	b = binary.BigEndian.AppendUint64(append(b, o.entry.status, o.entry.risk), uint64(o.entry.created))
	b = append(append(b, o.tenant...), nul)
	b = append(append(b, o.entry.workspace...), nul)
	return append(b, o.entry.stream...)
}

func decodeOpened(b []byte) (opened, bool) {
	const fixed = 10
	if len(b) < fixed {
		return opened{}, false
	}
	parts := bytes.Split(b[fixed:], []byte{nul})
	if len(parts) != 3 {
		return opened{}, false
	}
	o := opened{tenant: writ.TenantID(parts[0]), entry: listEntry{
		workspace: writ.WorkspaceID(parts[1]), status: b[0], risk: b[1], open: true,
		created: writ.Time(binary.BigEndian.Uint64(b[2:])), stream: writ.StreamID(parts[2]),
	}}
	o.name = streamName(o.tenant, o.entry.stream)
	return o, o.entry.stream != ""
}

// scanOpened calls fn for every slot; a free one has no stream.
func scanOpened(txn *badger.Txn, fn func(slot int64, o opened) error) error {
	prefix := []byte{spaceOpen, nul}
	return scan(txn, prefix, prefix, func(item *badger.Item) (bool, error) {
		value, err := item.ValueCopy(nil)
		if err != nil {
			return false, unreadable(err)
		}
		key := item.Key()
		if len(key) != len(prefix)+8 {
			return false, tampered("open", "a slot has another key")
		}
		o, ok := decodeOpened(value)
		if !ok && len(value) > 0 {
			return false, tampered("open", "a slot does not decode")
		}
		return true, fn(int64(binary.BigEndian.Uint64(key[len(prefix):])), o)
	})
}

// loadOpened reads the slots at Open.
func (j *Journal) loadOpened(txn *badger.Txn) error {
	j.slots.of = map[string]int64{}
	var all []opened
	err := scanOpened(txn, func(slot int64, o opened) error {
		for ; j.slots.next < slot; j.slots.next++ {
			j.slots.free = append(j.slots.free, j.slots.next)
		}
		j.slots.next = slot + 1
		if o.name == "" {
			j.slots.free = append(j.slots.free, slot)
			return nil
		}
		j.slots.of[o.name] = slot
		all = append(all, o)
		return nil
	})
	j.live.apply(all)
	return err
}

// openIndex lists what has not ended, as of the last durable commit.
type openIndex struct {
	mu    sync.RWMutex // guards what follows
	of    map[string]opened
	lists map[openList][][]byte // suffixes in order
}

type openList struct {
	tenant writ.TenantID
	status byte
}

func (x *openIndex) apply(changes []opened) {
	if len(changes) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of == nil {
		x.of, x.lists = map[string]opened{}, map[openList][][]byte{}
	}
	for _, o := range changes {
		if before, ok := x.of[o.name]; ok {
			x.remove(&before)
		}
		if o.entry.open {
			x.insert(o)
		}
	}
}

func (x *openIndex) insert(o opened) {
	x.of[o.name] = o
	list := openList{o.tenant, o.entry.status}
	suffix := listSuffix(o.entry.created, o.entry.stream)
	at, _ := slices.BinarySearchFunc(x.lists[list], suffix, bytes.Compare)
	x.lists[list] = slices.Insert(x.lists[list], at, suffix)
}

func (x *openIndex) remove(o *opened) {
	delete(x.of, o.name)
	list := openList{o.tenant, o.entry.status}
	suffix := listSuffix(o.entry.created, o.entry.stream)
	if at, ok := slices.BinarySearchFunc(x.lists[list], suffix, bytes.Compare); ok {
		x.lists[list] = slices.Delete(x.lists[list], at, at+1)
	}
}

// matching are the first suffixes behind one that the query allows, in order.
// Without status and risk it is none: then the list of all is read.
func (x *openIndex) matching(query *writ.ExecutionQuery, after []byte, limit int) [][]byte {
	if (query.Status == "" && query.Risk == "") || query.Status.Final() {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out [][]byte
	for status, name := range listStatuses {
		if name.Final() || (query.Status != "" && query.Status != name) {
			continue
		}
		list := x.lists[openList{query.Tenant, byte(status)}]
		at, found := slices.BinarySearchFunc(list, after, bytes.Compare)
		if found {
			at++
		}
		for taken := 0; at < len(list) && taken < limit; at++ {
			o := x.of[streamName(query.Tenant, writ.StreamID(list[at][8:]))]
			if query.Risk != "" && query.Risk != listRisks[min(int(o.entry.risk), len(listRisks)-1)] {
				continue
			}
			if query.Workspace == "" || query.Workspace == o.entry.workspace {
				out = append(out, list[at])
				taken++
			}
		}
	}
	slices.SortFunc(out, bytes.Compare)
	return out[:min(len(out), limit)]
}

// opened compares the slots with the executions that were verified.
func (v *verifier) opened() error {
	return scanOpened(v.txn, func(_ int64, o opened) error {
		if o.name == "" {
			return nil
		}
		execution, _, err := readExecution(v.txn, o.tenant, o.entry.stream)
		if writ.IsCode(err, writ.CodeNotFound) {
			return tampered("open", "a slot shows %s, which is not there", o.entry.stream)
		}
		if err != nil {
			return err
		}
		if o.entry != listEntryOf(execution) {
			return tampered("open", "a slot shows %s as it is not", o.entry.stream)
		}
		v.open--
		return nil
	})
}
