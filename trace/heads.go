package trace

import (
	"hash/maphash"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
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

// lockStreams keeps other batches of the streams away: what one hashes depends on
// the one before. It is taken before mu, and held without waiting for the writer.
func (j *Journal) lockStreams(names ...string) (unlock func()) {
	var want [streamLocks]bool
	for _, name := range names {
		want[maphash.String(j.seed, name)%streamLocks] = true
	}
	for i := range want {
		if want[i] {
			j.streams[i].Lock()
		}
	}
	return func() {
		for i := range want {
			if want[i] {
				j.streams[i].Unlock()
			}
		}
	}
}

// acceptingHead is the end of a stream where more is taken, accepted batches
// included. The stream is locked.
func (j *Journal) acceptingHead(name string, newStream bool) (*head, error) {
	j.mu.Lock()
	err := j.accepting(newStream)
	j.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return j.head(name)
}

func (j *Journal) head(name string) (*head, error) {
	j.mu.Lock()
	h, ok := j.heads[name]
	j.mu.Unlock()
	if ok {
		return h, nil
	}
	return j.loadHead(name)
}

// headNow is the end of a stream that is not locked. mu is held.
func (j *Journal) headNow(name string) (*head, error) {
	if h, ok := j.heads[name]; ok {
		return h, nil
	}
	h, err := j.loadHead(name)
	if err == nil {
		j.heads[name] = h
	}
	return h, err
}

func (j *Journal) loadHead(name string) (*head, error) {
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
	return h, err
}

// maxHeads bounds the cache: 300 bytes each.
const maxHeads = 4 << 10

// streamLocks is how many streams can be sealed at once.
const streamLocks = 64

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
	if h.Seq == 0 {
		return nil, writ.Errorf(writ.CodeTampered, "stream", "the head is of no record")
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
	// Every execution has a projection; to look for records would take a walk.
	projection, err := get(txn, streamPrefix(spaceProject, name))
	if err != nil {
		return err
	}
	if projection != nil {
		return writ.Errorf(writ.CodeTampered, "journal: append", "the stream has a projection and no head")
	}
	return nil
}

// hasRecords reports whether the stream has any, whatever its head says.
func hasRecords(txn *badger.Txn, name string) (exist bool, err error) {
	prefix := numberedPrefix(spaceRecord, name)
	err = scan(txn, prefix, prefix, func(*badger.Item) (bool, error) {
		exist = true
		return false, nil
	})
	return exist, err
}
