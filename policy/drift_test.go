package policy

import (
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// drifts are the codes that are found under a pin.
func (r *rig) drifts(t *testing.T, pin writ.Digest) []contract.DriftCode {
	t.Helper()
	found, err := r.Drift(pin)(t.Context(), writ.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	out := []contract.DriftCode{}
	for _, f := range found {
		if f.Subject != string(r.Active().Policy().Digest) || f.Fix == "" {
			t.Errorf("%+v", f)
		}
		out = append(out, f.Code)
	}
	return out
}

func wantDrifts(t *testing.T, got []contract.DriftCode, want ...contract.DriftCode) {
	t.Helper()
	if len(got) != len(want) || (len(want) > 0 && got[0] != want[0]) || (len(want) > 1 && got[1] != want[1]) {
		t.Errorf("found %v, want %v", got, want)
	}
}

// TestPolicyDrift: the bundle that decides is held against the newest record of an
// activation, across restarts, and against the pin of the configuration.
func TestPolicyDrift(t *testing.T) {
	r := newRig(t)
	own := r.Active().Policy().Digest
	other := canon.SHA256([]byte("another"))
	wantDrifts(t, r.drifts(t, ""))
	wantDrifts(t, r.drifts(t, own))
	wantDrifts(t, r.drifts(t, other), contract.DriftPolicyNotPinned)
	out, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, strictFiles(), r.private)})
	if err != nil {
		t.Fatal(err)
	}
	wantDrifts(t, r.drifts(t, out.Digest))
	wantDrifts(t, r.drifts(t, own), contract.DriftPolicyNotPinned)
	// With a second layer, what decides is neither bundle, and no less approved.
	if _, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, eyesFiles(), r.private), Layer: writ.LayerTenant}); err != nil {
		t.Fatal(err)
	}
	wantDrifts(t, r.drifts(t, ""))
	if _, err := r.Rollback(admin(t), &contract.PolicyRollbackInput{Layer: writ.LayerTenant, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	wantDrifts(t, r.drifts(t, out.Digest))
	// Somebody writes to the store, past the operation.
	raw, err := canon.MarshalJSON(activation{Digest: own, Version: "1.0.0", Signer: builtinSigner})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := r.journal.Append(t.Context(), &writ.Batch{
		Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{Type: writ.RecGrantChanged, Time: 1, Body: writ.Body{System: &writ.SystemFacts{Subject: "x", Digest: own}}}},
		Changes: []writ.Change{{Key: activePrefix, Value: raw}},
	})
	if err == nil {
		err = r.journal.Barrier(t.Context(), receipt.Position)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.open(t)
	wantDrifts(t, r.drifts(t, ""), contract.DriftPolicyUnapproved)
	wantDrifts(t, r.drifts(t, out.Digest), contract.DriftPolicyUnapproved, contract.DriftPolicyNotPinned)
	if _, err := r.Activate(admin(t), &contract.PolicyActivateInput{Digest: out.Digest}); err != nil {
		t.Fatal(err)
	}
	wantDrifts(t, r.drifts(t, out.Digest)) // read on from where it was read to
	if found, err := r.Drift(other)(t.Context(), "another"); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}
