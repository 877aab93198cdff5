package trace

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// These tests write to the database behind the journal's back.

func openInside(t testing.TB, dir string) *Journal {
	t.Helper()
	seed := sha256.Sum256([]byte("test host"))
	j, err := Open(context.Background(), Options{
		Dir: dir, InMemory: dir == "", Clock: time.Now, Signer: ed25519.NewKeyFromSeed(seed[:]), Ballast: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func inside(t testing.TB) *Journal {
	t.Helper()
	j := openInside(t, "")
	t.Cleanup(func() {
		if err := j.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return j
}

// appendNotes makes an execution with a payload that is stored in pieces.
func appendNotes(t testing.TB, j *Journal, stream writ.StreamID, n int) {
	t.Helper()
	appendSized(t, j, stream, n, pieceSize+5)
}

func appendSized(t testing.TB, j *Journal, stream writ.StreamID, n, size int) {
	t.Helper()
	b := &writ.Batch{Tenant: writ.DefaultTenant, Stream: stream, Records: []writ.NewRecord{{
		Type: writ.RecIntentReceived, Time: 1, Body: writ.Body{Intent: &writ.IntentFacts{ID: "int_x", Workspace: "default"}},
		Payloads: []writ.Payload{{Name: "intent", Data: []byte("words")}, {Name: "large", Data: bytes.Repeat([]byte("x"), size)}},
	}}}
	for i := range n {
		b.Records = append(b.Records, writ.NewRecord{Type: writ.RecSealed, Time: writ.Time(i + 2)})
	}
	b.Records = append(b.Records, writ.NewRecord{
		Type: writ.RecExecutionEnded, Time: writ.Time(n + 3), Body: writ.Body{End: &writ.EndFacts{Status: writ.ExecCompleted}},
	})
	receipt, err := j.Append(context.Background(), b)
	if err == nil {
		err = j.Barrier(context.Background(), receipt.Position)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// appendOpen makes an execution that has not ended.
func appendOpen(t testing.TB, j *Journal, stream writ.StreamID) {
	t.Helper()
	receipt, err := j.Append(context.Background(), &writ.Batch{Tenant: writ.DefaultTenant, Stream: stream, Records: []writ.NewRecord{{
		Type: writ.RecIntentReceived, Time: 1, Body: writ.Body{Intent: &writ.IntentFacts{ID: "int_x", Workspace: "default"}},
	}}})
	if err == nil {
		err = j.Barrier(context.Background(), receipt.Position)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// everything reads all keys and values.
func everything(t testing.TB, j *Journal) (all []write) {
	t.Helper()
	err := j.view(func(txn *badger.Txn) error {
		return scan(txn, nil, nil, func(item *badger.Item) (bool, error) {
			value, err := item.ValueCopy(nil)
			if value == nil {
				value = []byte{}
			}
			all = append(all, write{item.KeyCopy(nil), value})
			return true, err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// overwrite runs in the writer, as every change must.
func overwrite(t interface{ Fatal(...any) }, j *Journal, writes ...write) {
	if err := j.do(context.Background(), func() error { return j.put(writes) }); err != nil {
		t.Fatal(err)
	}
}

func TestEveryFlippedByteIsDetected(t *testing.T) {
	j := inside(t)
	const stream = "exe_1"
	appendNotes(t, j, stream, 3)
	appendSized(t, j, "exe_2", 1, 300) // both payloads in a pack
	appendOpen(t, j, "exe_3")
	all := everything(t, j)
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom(all).Draw(t, "entry")
		if len(w.value) == 0 || bytes.Equal(w.key, keySchema) {
			return // list entries hold nothing; the schema is read at Open
		}
		at := rapid.IntRange(0, len(w.value)-1).Draw(t, "at")
		changed := bytes.Clone(w.value)
		changed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		overwrite(t, j, write{w.key, changed})
		defer overwrite(t, j, w)
		report, err := j.VerifyAll(context.Background(), "")
		if err != nil || report.Valid() {
			t.Fatalf("key %q byte %d: %+v %v", w.key, at, report, err)
		}
	})
	if report, err := j.VerifyAll(context.Background(), ""); err != nil || !report.Valid() || report.Journals != 3 || report.Records != 9 {
		t.Fatalf("restored: %+v %v", report, err)
	}
}

// Numbers that cannot be are refused before they are counted with.
func TestForgedNumbersAreDetected(t *testing.T) {
	j := inside(t)
	appendNotes(t, j, "exe_1", 3)
	all := everything(t, j)
	for _, c := range []struct {
		key   []byte
		field string
		value any
	}{
		{streamPrefix(spaceHead, streamName(writ.DefaultTenant, "exe_1")), "seq", 0},
		{streamPrefix(spaceHead, streamName(writ.DefaultTenant, "exe_1")), "seq", 1 << 60},
		{streamPrefix(spaceHead, streamName(writ.DefaultTenant, "exe_1")), "leaf", -1},
		{streamPrefix(spaceHead, streamName(writ.DefaultTenant, "exe_1")), "leaf", 1 << 60},
		{keyState, "leaves", -1},
		{keyState, "leaves", 1 << 60},
	} {
		t.Run(fmt.Sprintf("%s %d", c.field, c.value), func(t *testing.T) {
			i := slices.IndexFunc(all, func(w write) bool { return bytes.Equal(w.key, c.key) })
			var members map[string]any
			if err := canon.UnmarshalCBOR(all[i].value, &members); err != nil || members[c.field] == nil {
				t.Fatal(members, err)
			}
			members[c.field] = c.value
			forged, err := canon.MarshalCBOR(members)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, j, write{c.key, forged})
			defer overwrite(t, j, all[i])
			if report, err := j.VerifyAll(context.Background(), ""); err != nil || report.Valid() {
				t.Fatalf("%+v %v", report, err)
			}
		})
	}
}

func TestEveryRemovedEntryIsDetected(t *testing.T) {
	j := inside(t)
	appendNotes(t, j, "exe_1", 2)
	appendSized(t, j, "exe_2", 1, 300)
	appendOpen(t, j, "exe_3")
	for _, w := range everything(t, j) {
		if w.key[0] == spaceList || bytes.Equal(w.key, keySchema) {
			continue // a list entry is derived from the projection
		}
		overwrite(t, j, write{key: w.key})
		report, err := j.VerifyAll(context.Background(), "")
		if err != nil || report.Valid() {
			t.Errorf("key %q: %+v %v", w.key, report, err)
		}
		overwrite(t, j, w)
	}
}

func TestVerifyNamesRecordAndField(t *testing.T) {
	j := inside(t)
	const stream = writ.StreamID("exe_1")
	appendNotes(t, j, stream, 3)
	name := streamName(writ.DefaultTenant, stream)
	read := func(key []byte) (value []byte) {
		if err := j.view(func(txn *badger.Txn) (err error) { value, err = get(txn, key); return err }); err != nil || value == nil {
			t.Fatal(err)
		}
		return value
	}
	records, err := j.Records(context.Background(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: stream})
	if err != nil {
		t.Fatal(err)
	}
	segment, places := recordKey(name, 5), positionKey(writ.DefaultTenant, 5)
	// with is the segment as it would be with the records of these numbers alone.
	with := func(numbers ...uint64) write {
		slots, err := openSegment(read(segment))
		if err != nil {
			t.Fatal(err)
		}
		var body []byte
		for _, n := range numbers {
			body = appendSlot(body, slots[n-1])
		}
		return write{segment, sealBlock(body)}
	}
	moved := []run{{first: 1, count: 4, seq: 1, stream: stream}, {first: 5, count: 1, seq: 4, stream: stream}}
	large := payloadKey(writ.DefaultTenant, records[0].Payloads[1].Digest)
	for _, c := range []struct {
		name  string
		write write
		seq   uint64
		field string
	}{
		{"missing record", with(1, 2, 4, 5), 3, "seq"},
		{"record in another's place", with(1, 2, 3, 3, 5), 4, "seq"},
		{"truncated journal", with(1, 2, 3, 4), 5, "record"},
		{"missing segment", write{key: segment}, 1, "record"},
		{"large payload", write{large, append([]byte{0}, make([]byte, 21)...)}, 1, "payloads/large"},
		{"position", write{places, sealRuns(moved)}, 4, "position"},
		{"head", write{key: streamPrefix(spaceHead, name)}, 1, "head"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := read(c.write.key)
			overwrite(t, j, c.write)
			report, err := j.Verify(context.Background(), writ.DefaultTenant, stream)
			overwrite(t, j, write{c.write.key, before})
			if err != nil || len(report.Problems) == 0 {
				t.Fatalf("%+v %v", report, err)
			}
			if p := report.Problems[0]; p.Seq != c.seq || p.Field != c.field || p.Stream != stream {
				t.Fatalf("got %+v, want record %d %s", p, c.seq, c.field)
			}
		})
	}
}

// A store whose records were rewritten as a whole, with a chain that verifies,
// is found out by the log.
func TestRewrittenJournalIsNotInTheLog(t *testing.T) {
	j := inside(t)
	appendNotes(t, j, "exe_1", 1)
	other := inside(t)
	appendNotes(t, other, "exe_1", 1)
	var writes []write
	for _, w := range everything(t, other) {
		if w.key[0] != 'm' && w.key[0] != spaceTree && w.key[0] != spaceLeaf {
			writes = append(writes, w)
		}
	}
	overwrite(t, j, writes...)
	report, err := j.Verify(context.Background(), writ.DefaultTenant, "exe_1")
	if err != nil || len(report.Problems) != 1 || report.Problems[0].Field != "leaf" {
		t.Fatalf("%+v %v", report, err)
	}
}

func TestPoison(t *testing.T) {
	poisonedBy := make(chan error, 1)
	j, err := Open(context.Background(), Options{InMemory: true, Clock: time.Now, OnPoison: func(err error) { poisonedBy <- err }})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	appendNotes(t, j, "exe_1", 1)
	if err := j.db.Close(); err != nil {
		t.Fatal(err)
	}
	one := func(stream writ.StreamID) *writ.Batch {
		return &writ.Batch{Tenant: "default", Stream: stream, Expect: writ.AnySeq, Records: []writ.NewRecord{{Type: writ.RecTrustChanged, Time: 1}}}
	}
	j.mu.Lock()
	j.heads[streamName("default", "system")] = &head{} // known without a read
	j.mu.Unlock()
	receipt, err := j.Append(ctx, one(writ.SystemStream))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Barrier(ctx, receipt.Position); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("the barrier said %v", err)
	}
	if <-poisonedBy == nil {
		t.Fatal("no cause was given")
	}
	if _, err := j.Append(ctx, one(writ.SystemStream)); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("append said %v", err)
	}
	if err := j.Feed(ctx, "default", 0, func(*writ.Stored) error { return nil }); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("feed said %v", err)
	}
	if err := j.Close(ctx); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("close said %v", err)
	}
}

// What is not durable is not shown: the record is accepted and no reader sees it
// before its barrier.
func TestReadsShowDurableStateOnly(t *testing.T) {
	j, err := Open(context.Background(), Options{InMemory: true, Clock: time.Now, CommitAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	b := &writ.Batch{
		Tenant: "default", Stream: "exe_1", Changes: []writ.Change{{Key: "kv/a", Value: []byte("1")}},
		Records: []writ.NewRecord{{Type: writ.RecIntentReceived, Time: 1, Body: writ.Body{Intent: &writ.IntentFacts{}}}},
	}
	receipt, err := j.Append(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	check := func(code writ.Code) {
		t.Helper()
		_, recordsErr := j.Records(ctx, writ.RecordQuery{Tenant: "default", Stream: "exe_1"})
		_, documentErr := j.Get(ctx, "default", "kv/a")
		_, executionErr := j.Execution(ctx, "default", "exe_1")
		for _, err := range []error{recordsErr, documentErr, executionErr} {
			if writ.CodeOf(err) != code {
				t.Fatalf("got %v, want %q", err, code)
			}
		}
	}
	check(writ.CodeNotFound)
	if err := j.Barrier(ctx, receipt.Position); err != nil {
		t.Fatal(err)
	}
	check("")
	if err := j.Barrier(ctx, receipt.Position+1); !writ.IsCode(err, writ.CodeInvalid) {
		t.Fatalf("a position that was never given: %v", err)
	}
	if err := j.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
