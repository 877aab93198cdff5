package trace_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/writ-run/writ"
)

func TestANoteMovesNothing(t *testing.T) {
	ctx, opts := context.Background(), options(t.TempDir())
	j := open(t, opts)
	first := batchOf(writ.SystemStream, 0, writ.NewRecord{Type: writ.RecTrustChanged, Time: at(1), Actor: audit(), Body: writ.Body{System: &writ.SystemFacts{Subject: "k"}}})
	if _, err := j.Append(ctx, first); err != nil {
		t.Fatal(err)
	}
	epoch, err := j.Epoch(ctx, tenant)
	if err != nil {
		t.Fatal(err)
	}
	position := j.Durable()
	value := []byte(`{"cursor":7}`)
	if err := j.Note(ctx, tenant, writ.Change{Key: "hook/pager", Value: value}, writ.Change{Key: "hook/gone", Value: value}); err != nil {
		t.Fatal(err)
	}
	value[2] = 'X' // the caller's again
	if err := j.Note(ctx, tenant, writ.Change{Key: "hook/gone"}); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	j = open(t, opts)
	got, err := j.Get(ctx, tenant, "hook/pager")
	if err != nil || string(got) != `{"cursor":7}` {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := j.Get(ctx, tenant, "hook/gone"); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("what was deleted: %v", err)
	}
	if _, err := j.Get(ctx, "acme", "hook/pager"); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("another tenant: %v", err)
	}
	if now, err := j.Epoch(ctx, tenant); err != nil || now != epoch || j.Durable() != position {
		t.Errorf("epoch %d, was %d, position %d, was %d, %v", now, epoch, j.Durable(), position, err)
	}
	closeJournal(t, j)
	if err := j.Note(ctx, tenant, writ.Change{Key: "hook/pager"}); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}

func TestWhatIsDecidedIsNotANote(t *testing.T) {
	ctx := context.Background()
	j := open(t, options(""))
	for _, key := range []string{"grant/x", "policy/active", "hooks/x", "hook", "hook/", "", "kv/a/b/c", "hook/\xff"} {
		if err := j.Note(ctx, tenant, writ.Change{Key: "hook/fine", Value: []byte("1")}, writ.Change{Key: key, Value: []byte("1")}); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%q: %v", key, err)
		}
	}
	if err := j.Note(ctx, "", writ.Change{Key: "hook/fine", Value: []byte("1")}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("no tenant: %v", err)
	}
	if docs, err := j.List(ctx, writ.StoreQuery{Tenant: tenant}); err != nil || len(docs) != 0 {
		t.Errorf("a refused note left %v, %v", docs, err)
	}
	for size, want := range map[int]writ.Code{256<<10 - len("hook/x"): "", 256<<10 - len("hook/x") + 1: writ.CodeTooLarge} {
		err := j.Note(ctx, tenant, writ.Change{Key: "hook/x", Value: bytes.Repeat([]byte{'x'}, size)})
		if (want == "") != (err == nil) || (err != nil && !writ.IsCode(err, want)) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestLastIsOfTheTenant(t *testing.T) {
	ctx := context.Background()
	j := open(t, options(""))
	last := func(of writ.TenantID, want writ.Position) {
		t.Helper()
		if got, err := j.Last(of); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", of, got, err, want)
		}
	}
	last(tenant, 0)
	for n, of := range []writ.TenantID{"a", tenant, "a", "zz"} {
		receipt, err := j.Append(ctx, &writ.Batch{Tenant: of, Stream: writ.SystemStream, Expect: writ.AnySeq, Records: []writ.NewRecord{
			{Type: writ.RecTrustChanged, Time: at(n), Actor: audit(), Body: writ.Body{System: &writ.SystemFacts{Subject: "k"}}},
			{Type: writ.RecTrustChanged, Time: at(n), Actor: audit(), Body: writ.Body{System: &writ.SystemFacts{Subject: "k"}}},
		}})
		if err == nil {
			err = j.Barrier(ctx, receipt.Position)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	last("a", 6)
	last(tenant, 4)
	last("zz", 8)
	last("b", 0)
	if _, err := j.Last(""); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("no tenant: %v", err)
	}
}

// What a Note has answered outlasts a cut of the power.
func TestANoteIsOnDisk(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	j := open(t, options(dir))
	begin(t, j, 1, 1)
	for n := range 5 {
		value := []byte{'0' + byte(n)}
		if err := j.Note(ctx, tenant, writ.Change{Key: "hook/pager", Value: value}); err != nil {
			t.Fatal(err)
		}
		restored := open(t, options(copyHome(t, dir)))
		if got, err := restored.Get(ctx, tenant, "hook/pager"); err != nil || !bytes.Equal(got, value) {
			t.Errorf("got %s, %v, want %s", got, err, value)
		}
	}
}
