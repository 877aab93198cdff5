package drift_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/drift"
)

func running(settings, contracts string) *drift.Running {
	out := &drift.Running{Settings: map[string]writ.Digest{}, Contracts: map[string]string{}}
	for pair := range strings.FieldsSeq(settings) {
		name, value, _ := strings.Cut(pair, "=")
		out.Settings[name] = canon.SHA256([]byte(value))
	}
	for pair := range strings.FieldsSeq(contracts) {
		name, version, _ := strings.Cut(pair, "@")
		out.Contracts[name] = version
	}
	return out
}

func (r *rig) baseline(run *drift.Running) *drift.Baseline {
	r.t.Helper()
	b, err := drift.NewBaseline(r.journal, r.journal, func() time.Time { return r.now }, run)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// findings are code and subject of what the baseline finds.
func (r *rig) findings(b *drift.Baseline) string {
	r.t.Helper()
	found, err := b.Source(r.ctx, writ.DefaultTenant)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, f := range found {
		subject := f.Subject
		if f.Code == contract.DriftContractsChanged {
			subject = f.Message[strings.LastIndex(f.Message, ": ")+2:]
		}
		if !strings.Contains(f.Fix, "writ config ack --reason") {
			r.t.Errorf("%+v", f)
		}
		out = append(out, string(f.Code)+" "+subject)
	}
	return strings.Join(out, "; ")
}

// TestWhatAHomeRunsWith: the first daemon's is recorded, another one is drift until
// somebody says that it is meant, and the record has names and digests alone.
func TestWhatAHomeRunsWith(t *testing.T) {
	r := newRig(t)
	first := r.baseline(running("a=1 b=v4lue", "x@1.0.0 y@1.0.0"))
	if got := r.findings(first); got != "" {
		t.Errorf("before the first daemon: %s", got)
	}
	if err := first.Begin(r.ctx, r.by); err != nil {
		t.Fatal(err)
	}
	second := r.baseline(running("a=1 b=another-v4lue c=3", "x@1.1.0 z@1.0.0"))
	if err := second.Begin(r.ctx, r.by); err != nil {
		t.Fatal(err)
	}
	if got, want := r.findings(second), "CONFIG_CHANGED b; CONFIG_CHANGED c; CONTRACTS_CHANGED x, y, z"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := r.findings(first); got != "" {
		t.Errorf("changed back: %s", got)
	}
	out, err := second.Acknowledge(r.ctx, &contract.ConfigAcknowledgeInput{Reason: "an upgrade"})
	if err != nil || !slices.Equal(out.Settings, []string{"b", "c"}) || !slices.Equal(out.Contracts, []string{"x", "y", "z"}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if got := r.findings(second); got != "" {
		t.Errorf("after the acknowledgement: %s", got)
	}
	if got := r.findings(first); got == "" {
		t.Error("what was before is no longer what is accepted")
	}
	stored, err := r.journal.Records(r.ctx, writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil || len(stored) != 2 || stored[0].Body.System.Status != "first" || stored[1].Body.System.Reason != "an upgrade" || stored[1].Actor.ActorID != r.by.ID ||
		stored[1].Body.System.Details["contract y"] != "gone" || stored[1].Body.System.Details["setting b"] != string(canon.SHA256([]byte("another-v4lue"))) {
		t.Errorf("%v %+v", err, stored)
	}
	if text, _ := json.Marshal(stored[1].Record); strings.Contains(string(text), "v4lue") {
		t.Error("a record holds a value")
	}
	if _, err := second.Acknowledge(context.Background(), &contract.ConfigAcknowledgeInput{}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Error(err)
	}
	if _, err := drift.NewBaseline(nil, nil, nil, nil); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
}
