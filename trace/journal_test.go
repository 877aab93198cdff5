package trace_test

import (
	"bytes"
	"context"
	"reflect"
	"sync"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/trace"
)

func TestAppendAndRead(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	ctx := context.Background()
	b := batchOf(execID(1), 0, received(1), note(1))
	b.Changes = []writ.Change{{Key: "kv/a", Value: []byte("1")}, {Key: "kv/b", Value: []byte{}}}
	first := must(t, j, b)
	if first.Seq != 2 || len(first.Records) != 2 || first.Records[0].Prev != trace.Genesis(tenant, execID(1)) {
		t.Fatalf("receipt %+v", first)
	}
	second := must(t, j, batchOf(execID(1), 2, ended(3, writ.ExecCompleted)))
	if second.Records[0].Prev != first.Digest || second.Position != first.Position+1 {
		t.Fatalf("receipt %+v after %+v", second, first)
	}
	for range 2 {
		check := func(j *trace.Journal) {
			records, err := j.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: execID(1)})
			if err != nil || len(records) != 3 || records[2].Digest != second.Digest {
				t.Fatalf("records %v %v", records, err)
			}
			if canon.Sum(canon.DomainRecord, records[2].Bytes) != second.Digest {
				t.Fatal("the digest is not of the stored bytes")
			}
			part, err := j.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: execID(1), After: 1, Limit: 1})
			if err != nil || len(part) != 1 || part[0].Seq != 2 {
				t.Fatalf("part %v %v", part, err)
			}
			execution, err := j.Execution(ctx, tenant, writ.ExecutionID(execID(1)))
			if err != nil || execution.Status != writ.ExecCompleted || !reflect.DeepEqual(execution, trace.Fold(records)) {
				t.Fatalf("execution %+v %v", execution, err)
			}
			data, err := payloadOf(t, j, tenant, execID(1))(records[0].Payloads[0])
			if err != nil || string(data) != `{"text":"intent 1"}` {
				t.Fatalf("payload %q %v", data, err)
			}
			value, err := j.Get(ctx, tenant, "kv/b")
			if err != nil || value == nil {
				t.Fatalf("document %v %v", value, err)
			}
		}
		check(j)
		closeJournal(t, j)
		j = open(t, options(dir))
		check(j)
	}
	_, err := j.Records(ctx, writ.RecordQuery{Tenant: "other", Stream: execID(1)})
	wantCode(t, err, writ.CodeNotFound)
	_, err = j.Get(ctx, "other", "kv/a")
	wantCode(t, err, writ.CodeNotFound)
	_, err = j.Append(ctx, batchOf(execID(1), 2, note(1)))
	wantCode(t, err, writ.CodeConflict)
	_, err = trace.Open(ctx, options(dir))
	wantCode(t, err, writ.CodeUnavailable)
}

func TestLargePayload(t *testing.T) {
	j := open(t, options(t.TempDir()))
	record := received(1)
	large := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	record.Payloads = append(record.Payloads, writ.Payload{Name: "output", Data: large}, writ.Payload{Name: "empty"})
	receipt := must(t, j, batchOf(execID(1), 0, record))
	for i, want := range [][]byte{record.Payloads[0].Data, large, {}} {
		data, err := payloadOf(t, j, tenant, execID(1))(receipt.Records[0].Payloads[i])
		if err != nil || !bytes.Equal(data, want) {
			t.Fatalf("payload %d: %d bytes, %v", i, len(data), err)
		}
	}
}

func TestFencing(t *testing.T) {
	j := open(t, options(""))
	ctx := context.Background()
	must(t, j, batchOf(execID(1), 0, received(1)))
	const writers, rounds = 8, 50
	var wg sync.WaitGroup
	won := make([]int, writers)
	for w := range writers {
		wg.Go(func() {
			for seq := uint64(1); seq <= rounds; seq++ {
				receipt, err := j.Append(ctx, batchOf(execID(1), seq, note(int(seq))))
				if err == nil {
					won[w]++
					err = j.Barrier(ctx, receipt.Position)
				}
				if err != nil && !writ.IsCode(err, writ.CodeConflict) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range won {
		total += n
	}
	records, err := j.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: execID(1)})
	if err != nil || len(records) != total+1 {
		t.Fatalf("%d appends were accepted and %d records are there: %v", total, len(records), err)
	}
}

func TestSystemJournal(t *testing.T) {
	j := open(t, options(""))
	ctx := context.Background()
	record := writ.NewRecord{Type: writ.RecTrustChanged, Time: at(1), Actor: audit(), Body: writ.Body{System: &writ.SystemFacts{Subject: "k"}}}
	for range 3 {
		must(t, j, batchOf(writ.SystemStream, writ.AnySeq, record))
	}
	_, err := j.Append(ctx, batchOf(execID(1), writ.AnySeq, received(1)))
	wantCode(t, err, writ.CodeInvalid)
	_, err = j.Execution(ctx, tenant, writ.ExecutionID(writ.SystemStream))
	wantCode(t, err, writ.CodeNotFound)
	records, err := j.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: writ.SystemStream})
	if err != nil || len(records) != 3 {
		t.Fatal(records, err)
	}
}

func TestFeed(t *testing.T) {
	j := open(t, options(""))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begin(t, j, 1, 2)
	other := batchOf(execID(1), 0, received(1))
	other.Tenant = "other"
	must(t, j, other)
	got := make(chan writ.Position)
	done := make(chan error, 1)
	go func() {
		done <- j.Feed(ctx, tenant, 2, func(s *writ.Stored) error {
			got <- s.Position
			return nil
		})
	}()
	for _, want := range []writ.Position{3, 4} {
		if p := <-got; p != want {
			t.Fatalf("position %d, want %d", p, want)
		}
	}
	last := begin(t, j, 2, 300).Position
	for want := writ.Position(6); want <= last; want++ {
		if p := <-got; p != want {
			t.Fatalf("position %d, want %d", p, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Text that could not be read back is refused before it is written.
func TestAppendRefusesTextThatIsNotUTF8(t *testing.T) {
	j := open(t, options(""))
	record := ended(1, writ.ExecFailed)
	record.Body.End.Reason = "caf\xe9"
	_, err := j.Append(context.Background(), batchOf(execID(1), 0, received(1), record))
	wantCode(t, err, writ.CodeInvalid)
	begin(t, j, 1, 1)
}
