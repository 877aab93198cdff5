package policy

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

var testContext = context.Background()

// eyesFiles want people for every step.
func eyesFiles() map[string][]byte {
	return map[string][]byte{
		manifestFile: []byte(`{"revision":"0.1.0","roots":["writ"]}`),
		"p.rego": []byte(`package writ

step := {
	"mode": "assist",
	"risk": input.step.risk,
	"reasons": [{"rule": "eyes", "message": "the team looks at everything"}],
	"approvals": {"count": 1, "roles": ["approver", "lead"], "expiresIn": "2h"},
} if input.step.risk in {"low", "medium", "high"}

call := {"mode": "autonomous", "risk": input.step.risk, "reasons": []} if input.step.risk == "low"
`),
		"p_test.rego": []byte("package writ.p_test\n\nimport data.writ\n\ntest_eyes if writ.step.mode == \"assist\" with input as {\"step\": {\"risk\": \"low\"}}\n"),
	}
}

func (r *rig) activated(t *testing.T, files map[string][]byte, layer writ.Layer) *contract.PolicyActivateOutput {
	t.Helper()
	out, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, files, r.private), Layer: layer})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (r *rig) back(t *testing.T, layer writ.Layer) (*contract.PolicyRollbackOutput, error) {
	t.Helper()
	return r.Rollback(admin(t), &contract.PolicyRollbackInput{Layer: layer, Reason: "no good"})
}

// Back goes one step each time, in its layer alone, also after a restart.
func TestRollback(t *testing.T) {
	r := newRig(t)
	own := r.Active().Policy()
	if _, err := r.back(t, writ.LayerOrganisation); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("before anything: %v", err)
	}
	strict := r.activated(t, strictFiles(), "")
	eyes := r.activated(t, eyesFiles(), "")
	again := r.activated(t, eyesFiles(), writ.LayerOrganisation) // the same once more is no step
	if eyes.Previous != strict.Digest || again.Previous != eyes.Digest {
		t.Errorf("got %+v and %+v", eyes, again)
	}
	tenant := r.activated(t, strictFiles(), writ.LayerTenant)
	if tenant.Previous != "" || tenant.InForce == tenant.Digest {
		t.Errorf("got %+v", tenant)
	}
	r.open(t)
	if r.Active().Policy().Digest != tenant.InForce {
		t.Errorf("after a restart %v decides", r.Active().Policy())
	}
	out, err := r.back(t, "")
	if err != nil || out.Digest != strict.Digest || out.Previous != eyes.Digest || out.Layer != writ.LayerOrganisation {
		t.Fatalf("got %+v, %v", out, err)
	}
	r.open(t)
	if out, err = r.back(t, ""); err != nil || out.Digest != own.Digest {
		t.Fatalf("got %+v, %v", out, err)
	}
	if _, err := r.back(t, ""); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("further back than the beginning: %v", err)
	}
	if out, err = r.back(t, writ.LayerTenant); err != nil || out.Digest != "" || out.InForce != own.Digest || r.Active().Policy() != own {
		t.Fatalf("got %+v, %v", out, err)
	}
	if _, err := r.back(t, writ.LayerTenant); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("further back than nothing: %v", err)
	}
	r.open(t)
	if r.Active().Policy() != own {
		t.Errorf("after a restart %v decides", r.Active().Policy())
	}
	// A new step after going back takes the place of what was gone back from.
	r.activated(t, eyesFiles(), "")
	if out, err = r.back(t, ""); err != nil || out.Digest != own.Digest {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestRollbackIsRecorded(t *testing.T) {
	r := newRig(t)
	strict := r.activated(t, strictFiles(), writ.LayerTenant)
	own := r.Active().(*law).in(writ.LayerOrganisation).ref
	if _, err := r.back(t, writ.LayerTenant); err != nil {
		t.Fatal(err)
	}
	records, err := r.journal.Records(t.Context(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil || len(records) != 2 {
		t.Fatalf("got %d records, %v", len(records), err)
	}
	last := &records[1].Record
	f := last.Body.System
	if last.Type != writ.RecPolicyActivated || f.Status != writ.PolicyRolledBack || f.Reason != "no good" || last.Actor.ActorID != "root" ||
		f.Details["layer"] != "tenant" || f.Details["previous"] != string(strict.Digest) || f.Digest != own.Digest {
		t.Errorf("the record says %+v", f)
	}
	if f := records[0].Body.System; f.Details["layer"] != "tenant" || f.Details["signer"] != "ops" || f.Details["inForce"] != string(strict.InForce) {
		t.Errorf("the first says %+v", f)
	}
}

// It is the digest whose signature was verified then: no key is asked again, and
// no other bytes pass for it.
func TestRollbackTakesWhatWasVerified(t *testing.T) {
	r := newRig(t)
	strict := r.activated(t, strictFiles(), "")
	r.activated(t, eyesFiles(), "")
	dir := filepath.Join(r.options.Dir, strict.Digest.Hex())
	kept, err := os.ReadFile(filepath.Join(dir, "p.rego"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "p.rego"), strings.Replace(string(kept), "closed", "opened", 1))
	r.options.Keys = nil
	r.open(t)
	before := r.Active().Policy()
	if _, err := r.back(t, ""); !writ.IsCode(err, writ.CodeTampered) {
		t.Errorf("other bytes: %v", err)
	}
	if r.Active().Policy() != before {
		t.Errorf("%v decides", r.Active().Policy())
	}
	write(t, filepath.Join(dir, "p.rego"), string(kept))
	if out, err := r.back(t, ""); err != nil || out.Digest != strict.Digest {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestRollbackRefuses(t *testing.T) {
	r := newRig(t)
	r.activated(t, strictFiles(), "")
	for name, in := range map[string]contract.PolicyRollbackInput{
		"no reason": {Reason: " "}, "the floor": {Layer: writ.LayerFloor, Reason: "x"}, "another layer": {Layer: "team", Reason: "x"},
	} {
		if _, err := r.Rollback(admin(t), &in); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := r.Rollback(t.Context(), &contract.PolicyRollbackInput{Reason: "x"}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Errorf("without a caller: %v", err)
	}
	foreign := writ.WithPrincipal(t.Context(), &writ.Principal{ID: "eve", Kind: writ.Human, Tenant: "other", Roles: []string{"admin"}})
	if _, err := r.Rollback(foreign, &contract.PolicyRollbackInput{Reason: "x"}); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("of another tenant: %v", err)
	}
}

// Homes from before there were layers have an active document without a history.
func TestActivationsFromBeforeTheLayers(t *testing.T) {
	r := newRig(t)
	strict := r.activated(t, strictFiles(), "")
	old := `{"at":"2026-01-01T00:00:00.000000000Z","by":"root","digest":"` + string(strict.Digest) + `","signer":"ops","version":"2.0.0"}`
	receipt, err := r.journal.Append(t.Context(), &writ.Batch{
		Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{Type: writ.RecPolicyActivated, Time: 1, Body: writ.Body{System: &writ.SystemFacts{Subject: "policy"}}}},
		Changes: []writ.Change{{Key: "policy/active", Value: []byte(old)}},
	})
	if err != nil || r.journal.Barrier(t.Context(), receipt.Position) != nil {
		t.Fatal(err)
	}
	r.open(t)
	if r.Active().Policy().Digest != strict.Digest {
		t.Fatalf("%v decides", r.Active().Policy())
	}
	if _, err := r.back(t, ""); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("what was before it is not known: %v", err)
	}
	r.activated(t, eyesFiles(), "")
	if out, err := r.back(t, ""); err != nil || out.Digest != strict.Digest {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestListSaysWhoAndWhere(t *testing.T) {
	r := newRig(t)
	own := r.Active().Policy()
	strict := r.activated(t, strictFiles(), writ.LayerTenant)
	out, err := r.List(admin(t), &contract.PolicyListInput{})
	if err != nil || len(out.Items) != 2 || out.InForce != strict.InForce {
		t.Fatalf("got %+v, %v", out, err)
	}
	first, second := out.Items[0], out.Items[1]
	if first.Layer != writ.LayerOrganisation || first.Digest != own.Digest || !first.Active || first.Signer != builtinSigner {
		t.Errorf("got %+v", first)
	}
	if second.Layer != writ.LayerTenant || second.Digest != strict.Digest || !second.Active || second.Signer != "ops" || second.ActivatedBy != "root" || second.ActivatedAt == 0 {
		t.Errorf("got %+v", second)
	}
	r.activated(t, strictFiles(), "") // the same bundle in both layers
	if _, err := r.back(t, writ.LayerTenant); err != nil {
		t.Fatal(err)
	}
	out, err = r.List(admin(t), &contract.PolicyListInput{})
	if err != nil || len(out.Items) != 3 || out.Items[0].Digest != strict.Digest || !out.Items[0].Active || out.Items[1].Active || out.Items[2].Active {
		t.Errorf("got %+v, %v", out, err)
	}
}
