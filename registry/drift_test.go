package registry

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func TestSkillDrift(t *testing.T) {
	h := newHome(t)
	find := func(want ...contract.DriftFinding) {
		t.Helper()
		got, err := h.SkillDrift(h.ctx, h.by.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i].Message == "" || got[i].Fix == "" {
				t.Errorf("%+v", got[i])
			}
			got[i].Message, got[i].Fix = "", ""
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	old := h.install(h.bundle()).Ref
	find()
	h.now = h.now.Add(time.Minute)
	h.install(h.bundle(version("1.1.0")))
	newer := h.clock().Now()
	superseded := contract.DriftFinding{Code: contract.DriftSkillSuperseded, Subject: "acme/mailer@1.0.0", Since: newer}
	find(superseded)
	// Revoked since when, and no more once it is out of use.
	h.now = h.now.Add(time.Minute)
	h.deny(contract.DenialSubject{Digest: old.Module})
	h.deny(contract.DenialSubject{Skill: "acme/mailer =1.0.0"})
	find(contract.DriftFinding{Code: contract.DriftSkillRevoked, Subject: "acme/mailer@1.0.0", Since: h.clock().Now()}, superseded,
		contract.DriftFinding{Code: contract.DriftSkillRevoked, Subject: "acme/mailer@1.1.0", Since: h.clock().Now()}) // the same module
	if err := h.undeny(contract.DenialSubject{Digest: old.Module}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: old.Key, Version: old.Version}); err != nil {
		t.Fatal(err)
	}
	find()
	// Changed on disk, in use or not.
	doc, err := h.document(h.ctx, h.by.Tenant, old.Key, old.Version)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := h.bundleDir(h.by.Tenant, doc.Content)
	if err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(time.Minute)
	if err := os.WriteFile(dir+"/index.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed := contract.DriftFinding{Code: contract.DriftSkillChanged, Subject: "acme/mailer@1.0.0"}
	find(changed)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(time.Minute)
	find(changed)
}

// TestDriftOfWhatWasRolledBack: plans that name it run it, so that its revocation
// is something to know.
func TestDriftOfWhatWasRolledBack(t *testing.T) {
	h := newHome(t)
	h.install(h.bundle())
	h.install(h.bundle(version("1.1.0")))
	if _, err := h.rollback(contract.SkillRollbackInput{}); err != nil {
		t.Fatal(err)
	}
	h.deny(contract.DenialSubject{Skill: "acme/mailer =1.1.0"})
	got, err := h.SkillDrift(h.ctx, h.by.Tenant)
	if err != nil || len(got) != 1 || got[0].Code != contract.DriftSkillRevoked || got[0].Subject != "acme/mailer@1.1.0" {
		t.Errorf("%v %+v", err, got)
	}
}

// TestDriftAfterAnUpgrade: a host of another version no longer fits what it let in.
func TestDriftAfterAnUpgrade(t *testing.T) {
	h := newHome(t)
	h.install(h.bundle(func(m *abi.Manifest) { m.Requires.Host = "<" + writ.Version + "-x || " + writ.Version }))
	opts := h.opts
	opts.Versions = Versions{Host: "99.0.0"}
	later, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := later.SkillDrift(h.ctx, h.by.Tenant)
	if err != nil || len(got) != 1 || got[0].Code != contract.DriftSkillIncompatible || got[0].Fix == "" {
		t.Errorf("%v %+v", err, got)
	}
}
