package trace

import (
	"slices"

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

// fold applies the record that was encoded. Facts of an intent hold what lives as
// long as the process, the principal and its grants: the projection has copies, so
// that no later change of them reaches it.
func (t *track) fold(record *writ.Record) {
	if facts := record.Body.Intent; facts != nil {
		own := *record
		own.Body.Intent = copyOf(facts)
		record = &own
	}
	t.execution.Apply(record)
}

func copyOf(facts *writ.IntentFacts) *writ.IntentFacts {
	own := *facts
	if p := facts.Principal; p != nil {
		person := *p
		person.Roles, person.Capabilities, person.OnBehalfOf = slices.Clone(p.Roles), slices.Clone(p.Capabilities), slices.Clone(p.OnBehalfOf)
		own.Principal = &person
	}
	own.Grants = slices.Clone(facts.Grants)
	return &own
}

// appendProjection adds the stored form of a projection, nothing where it is too
// large, and returns the size of what it was made from.
func appendProjection(out []byte, execution *writ.Execution) (stored []byte, size int, err error) {
	encoded, err := canon.MarshalCBOR(execution)
	if err != nil || len(encoded) > maxProjection {
		return out, len(encoded), err
	}
	return appendBlock(out, encoded), len(encoded), nil
}
