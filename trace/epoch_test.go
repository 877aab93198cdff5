package trace_test

import (
	"context"
	"errors"
	"testing"

	"github.com/writ-run/writ"
)

// TestAnEpochFencesWhatWasDecidedBefore: a batch that rests on a decision is
// refused as a whole where the tenant's system journal has moved since, even
// where that record is not durable yet.
func TestAnEpochFencesWhatWasDecidedBefore(t *testing.T) {
	ctx := context.Background()
	j := open(t, options(""))
	first, err := j.Epoch(ctx, writ.DefaultTenant)
	if err != nil || first != 1 {
		t.Fatalf("epoch %d %v, want 1", first, err)
	}
	decided := &writ.Batch{Tenant: writ.DefaultTenant, Stream: execID(1), Records: []writ.NewRecord{received(1)}, Epoch: first}
	receipt, err := j.Append(ctx, decided)
	if err != nil {
		t.Fatal(err)
	}
	revoked := &writ.Batch{
		Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{Type: writ.RecGrantChanged, Body: writ.Body{System: &writ.SystemFacts{Subject: "grant_a"}}}},
	}
	if _, err := j.Append(ctx, revoked); err != nil {
		t.Fatal(err)
	}
	decided.Expect = receipt.Seq
	if _, err := j.Append(ctx, decided); !writ.IsCode(err, writ.CodeConflict) || !errors.Is(err, writ.ErrStaleEpoch) {
		t.Fatalf("a batch of epoch 1 after a revocation: %v", err)
	}
	other := *decided
	other.Tenant, other.Expect = "elsewhere", 0
	if _, err := j.Append(ctx, &other); err != nil {
		t.Errorf("another tenant's revocation counts: %v", err)
	}
	now, err := j.Epoch(ctx, writ.DefaultTenant)
	if err != nil || now != first+1 {
		t.Fatalf("epoch %d %v, want %d", now, err, first+1)
	}
	if records, err := j.Records(ctx, writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream}); err != nil || len(records) != 1 {
		t.Errorf("the epoch counts %d records that cannot be read: %v", len(records), err)
	}
	decided.Epoch = now
	if _, err := j.Append(ctx, decided); err != nil {
		t.Errorf("decided again: %v", err)
	}
}
