package drift_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/drift"
	"github.com/writ-run/writ/trace"
	"github.com/writ-run/writ/trace/tracetest"
)

type rig struct {
	*drift.Service
	t       *testing.T
	ctx     context.Context
	by      *writ.Principal
	now     time.Time
	journal *trace.Journal
	found   [2][]contract.DriftFinding // by source
	err     error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	r.by = &writ.Principal{ID: "service:host", Kind: writ.Service, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace}
	r.ctx = writ.WithPrincipal(context.Background(), r.by)
	clock := func() time.Time { return r.now }
	r.journal = tracetest.Memory(t, clock)
	source := func(i int) drift.Source {
		return func(context.Context, writ.TenantID) ([]contract.DriftFinding, error) {
			return slices.Clone(r.found[i]), r.err
		}
	}
	var err error
	r.Service, err = drift.New(drift.Options{Store: r.journal, Journal: r.journal, Clock: clock, Sources: []drift.Source{source(0), source(1)}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check demands so many new findings, and so many records of the kind in all.
func (r *rig) check(fresh int, records map[writ.RecordType]int) {
	r.t.Helper()
	found, err := r.Check(r.ctx, r.by)
	if err != nil || len(found) != fresh {
		r.t.Fatalf("%v: %+v, want %d", err, found, fresh)
	}
	stored, err := r.journal.Records(r.ctx, writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		r.t.Fatal(err)
	}
	count := map[writ.RecordType]int{}
	for _, s := range stored {
		count[s.Type]++
	}
	for kind, want := range records {
		if count[kind] != want {
			r.t.Errorf("%d records %s, want %d", count[kind], kind, want)
		}
	}
}

func finding(code contract.DriftCode, subject string) contract.DriftFinding {
	return contract.DriftFinding{Code: code, Subject: subject, Message: "m", Fix: "f"}
}

// TestAFindingIsSaidOnce: at the first look, not again while it lasts, and again
// where it had been gone.
func TestAFindingIsSaidOnce(t *testing.T) {
	r := newRig(t)
	r.check(0, nil)
	began := r.now
	r.found[0] = []contract.DriftFinding{finding("A", "x"), finding("A", "y")}
	r.found[1] = []contract.DriftFinding{finding("B", "x"), finding("A", "x")} // said by two sources
	r.check(3, map[writ.RecordType]int{writ.RecDriftDetected: 3})
	r.now = r.now.Add(time.Hour)
	r.check(0, map[writ.RecordType]int{writ.RecDriftDetected: 3, writ.RecDriftGone: 0})
	out, err := r.List(r.ctx, &contract.DriftListInput{})
	if err != nil || len(out.Items) != 3 || out.Items[0].Since.Std() != began {
		t.Fatalf("%v %+v", err, out)
	}
	if one, err := r.List(r.ctx, &contract.DriftListInput{Code: "B"}); err != nil || len(one.Items) != 1 {
		t.Errorf("%v %+v", err, one)
	}
	r.found[0], r.found[1] = nil, r.found[1][:1]
	r.check(0, map[writ.RecordType]int{writ.RecDriftDetected: 3, writ.RecDriftGone: 2})
	r.found[0] = []contract.DriftFinding{finding("A", "x")}
	r.check(1, map[writ.RecordType]int{writ.RecDriftDetected: 4, writ.RecDriftGone: 2})
	if out, err = r.List(r.ctx, &contract.DriftListInput{Code: "A"}); err != nil || out.Items[0].Since.Std() != r.now {
		t.Errorf("%v %+v", err, out)
	}
}

// TestTheEventSaysTheFinding: code, subject, since and fix go through the journal.
func TestTheEventSaysTheFinding(t *testing.T) {
	r := newRig(t)
	f := finding(contract.DriftFeedStale, "acme")
	f.Since = writ.Time(r.now.Add(-time.Minute).UnixNano())
	r.found[0] = []contract.DriftFinding{f}
	r.check(1, nil)
	stored, err := r.journal.Records(r.ctx, writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	events := contract.EventsOf(&stored[len(stored)-1], nil)
	want := `{"code":"FEED_STALE","subject":"acme","message":"m","since":"2026-03-01T11:59:00.000000000Z","fix":"f"}`
	if len(events) != 1 || events[0].Type != contract.EventDriftDetected || string(events[0].Data) != want || events[0].Subject != "acme" {
		t.Errorf("%+v", events)
	}
}

// TestASourceThatFailsForgetsNothing: what was found is not gone because nobody
// could look.
func TestASourceThatFailsForgetsNothing(t *testing.T) {
	r := newRig(t)
	r.found[0] = []contract.DriftFinding{finding("A", "x")}
	r.check(1, nil)
	r.err = writ.Errorf(writ.CodeUnavailable, "store", "is full")
	if _, err := r.Check(r.ctx, r.by); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Error(err)
	}
	if _, err := r.List(r.ctx, &contract.DriftListInput{}); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Error(err)
	}
	r.err = nil
	r.check(0, map[writ.RecordType]int{writ.RecDriftDetected: 1, writ.RecDriftGone: 0})
	if _, err := drift.New(drift.Options{}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
	if _, err := r.List(context.Background(), &contract.DriftListInput{}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Error(err)
	}
}

// TestCountsAreOfAllTenants: a look at one does not hide what another has.
func TestCountsAreOfAllTenants(t *testing.T) {
	r := newRig(t)
	r.found[0] = []contract.DriftFinding{finding("A", "x"), finding("B", "x")}
	r.check(2, nil)
	other := *r.by
	other.Tenant = "acme"
	r.found[0] = r.found[0][:1]
	if _, err := r.Check(r.ctx, &other); err != nil {
		t.Fatal(err)
	}
	if got := r.Counts(); got["A"] != 2 || got["B"] != 1 {
		t.Errorf("counted %v", got)
	}
	r.found[0] = nil
	r.check(0, nil)
	if got := r.Counts(); got["A"] != 1 || got["B"] != 0 {
		t.Errorf("counted %v", got)
	}
}
