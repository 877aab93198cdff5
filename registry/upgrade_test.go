package registry

import (
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
)

func (h *home) status(version string) string {
	h.t.Helper()
	doc, err := h.document(h.ctx, h.by.Tenant, "acme/mailer", version)
	if err != nil {
		h.t.Fatal(err)
	}
	text := string(doc.Status)
	if doc.Pinned {
		text += ", pinned"
	}
	return text
}

func (h *home) rollback(in contract.SkillRollbackInput) (*contract.SkillRollbackOutput, error) {
	in.SkillKey = "acme/mailer"
	return h.Rollback(h.ctx, &in)
}

func TestRollback(t *testing.T) {
	h := newHome(t)
	refs := map[string]writ.SkillRef{}
	for _, v := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		refs[v] = h.install(h.bundle(version(v))).Ref
	}
	floor, err := h.floor(h.ctx, h.by.Tenant, "acme/mailer")
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.rollback(contract.SkillRollbackInput{Reason: "loses mails"})
	if err != nil || out.Version != "1.1.0" || strings.Join(out.Disabled, " ") != "1.2.0" {
		t.Fatalf("%+v %v", out, err)
	}
	record := h.memory.last()
	if record.Type != writ.RecSkillStatus || record.Body.System.Reason != "rolled back: loses mails" || record.Body.System.Version != "1.2.0" ||
		record.Body.System.Details["rolledBackTo"] != "1.1.0" || record.Actor.ActorID != "ada" {
		t.Errorf("%+v", record.Body.System)
	}
	if after, err := h.floor(h.ctx, h.by.Tenant, "acme/mailer"); err != nil || after.Highest != floor.Highest || len(after.Versions) != 3 {
		t.Errorf("the floor moved: %+v %v", after, err)
	}

	// Plans that pin 1.2.0 finish; a catalogue does not have it; stopped, nothing loads it.
	if got := h.status("1.2.0"); got != "disabled, pinned" {
		t.Error(got)
	}
	if _, err := h.load(refs["1.2.0"]); err != nil {
		t.Error(err)
	}
	catalogue, err := h.Catalogue(h.ctx, h.by.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	if release, err := catalogue.Resolve("acme/mailer", ""); err != nil || release.Version != "1.1.0" {
		t.Errorf("%v %v", release, err)
	}
	if _, err := catalogue.Resolve("acme/mailer", "1.2.0"); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error(err)
	}
	if _, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: "acme/mailer", Version: "1.2.0"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.load(refs["1.2.0"]); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Error(err)
	}

	// Installing what was gone back from does not put it back; enabling does.
	h.install(h.bundle(version("1.2.0")))
	if got := h.status("1.2.0"); got != "disabled" {
		t.Error(got)
	}
	if _, err := h.Enable(h.ctx, &contract.SkillEnableInput{SkillKey: "acme/mailer", Version: "1.2.0"}); err != nil {
		t.Fatal(err)
	}
	if out, err := h.rollback(contract.SkillRollbackInput{To: "1.0.0", Stop: true}); err != nil || len(out.Disabled) != 2 {
		t.Fatalf("%+v %v", out, err)
	}
	if h.status("1.1.0")+h.status("1.2.0") != "disableddisabled" {
		t.Error(h.status("1.1.0"), h.status("1.2.0"))
	}
	if _, err := h.rollback(contract.SkillRollbackInput{}); !writ.IsCode(err, writ.CodeConflict) {
		t.Error(err)
	}
	for _, to := range []string{"1.0.0", "1.2.0"} {
		if _, err := h.rollback(contract.SkillRollbackInput{To: to}); !writ.IsCode(err, writ.CodeConflict) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if _, err := h.rollback(contract.SkillRollbackInput{To: "0.9.0"}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error(err)
	}
	if _, err := h.Rollback(h.ctx, &contract.SkillRollbackInput{SkillKey: "acme/none"}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error(err)
	}
}

// Never to what is denied, revoked or altered, and then nothing changes.
func TestRollbackNeverGoesToWhatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(h *home, old writ.SkillRef)
		want  writ.Code
	}{
		"denied": {func(h *home, old writ.SkillRef) {
			if err := h.DenyDigest(h.ctx, h.by, old.Digest, "leaks"); err != nil {
				h.t.Fatal(err)
			}
		}, writ.CodeSkillRefused},
		"revoked": {func(h *home, _ writ.SkillRef) {
			if err := h.RevokeKey(h.ctx, h.by, h.key.Public().ID, "lost"); err != nil {
				h.t.Fatal(err)
			}
		}, writ.CodeSkillRefused},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			old := h.install(h.bundle()).Ref
			h.install(h.bundle(version("1.1.0")))
			c.spoil(h, old)
			records := len(h.memory.records)
			for _, to := range []string{"", "1.0.0"} {
				if _, err := h.rollback(contract.SkillRollbackInput{To: to}); !writ.IsCode(err, c.want) {
					t.Errorf("to %q: %v", to, err)
				}
			}
			if len(h.memory.records) != records || h.status("1.1.0") != "enabled" {
				t.Error("something changed")
			}
		})
	}
}

func TestPreview(t *testing.T) {
	h := newHome(t)
	preview := func(file []byte) *Preview {
		t.Helper()
		files, records := len(h.files()), len(h.memory.records)
		p, err := h.Preview(h.ctx, h.by, &contract.SkillInstallInput{Bundle: file})
		if err != nil {
			t.Fatal(err)
		}
		if len(h.files()) != files || len(h.memory.records) != records {
			t.Error("a preview changed something")
		}
		return p
	}
	if p := preview(h.bundle()); p.Skill == nil || p.Before != nil || p.Upgrade || len(p.Changes()) != 0 {
		t.Errorf("the first version: %+v", p)
	}
	h.install(h.bundle(version("1.0.0")))
	h.install(h.bundle(version("1.1.0")))
	wide := h.bundle(version("1.2.0"), func(m *abi.Manifest) { m.Capabilities[1].Hosts = []string{"**.acme.dev"} })
	p := preview(wide)
	if p.Skill == nil || p.Before.Version != "1.1.0" || !p.Upgrade || len(p.Changes()) != 1 || !p.Changes()[0].Asks {
		t.Errorf("%+v", p)
	}
	if p := preview(h.bundle(version("1.1.0"))); p.Upgrade || p.Before.Version != "1.0.0" {
		t.Errorf("what is installed: %+v", p)
	}

	// What does not verify is described as far as signed words go, and cannot be run.
	other := mustKey(t, KeyECDSA)
	untrusted := h.sign(h.pack(mailer(version("1.3.0")), guest()), func(r *SignRequest) { r.Key = other })
	if p := preview(untrusted); p.Skill != nil || p.Upgrade || p.Report.OK() || len(p.Changes()) != 0 {
		t.Errorf("%+v", p)
	}
	undeclared := h.sign(h.pack(mailer(version("1.3.0")), wasmtest.ToolCaller(abi.ToolKVPut)))
	if p := preview(undeclared); p.Skill != nil || p.Upgrade || p.Report.OK() {
		t.Errorf("%+v", p)
	}
	old := preview(h.bundle(version("0.9.0")))
	if old.Skill != nil || old.Upgrade || codes(old.Report.Issues)[0] != writ.IssueRollback {
		t.Errorf("%+v", old)
	}
	for name, garbage := range map[string][]byte{"nothing": {}, "garbage": []byte("not a bundle"), "cut": wide[:len(wide)/2]} {
		p, err := h.Preview(h.ctx, h.by, &contract.SkillInstallInput{Bundle: garbage})
		if err == nil && p.Skill != nil {
			t.Errorf("%s is to be run", name)
		}
	}
}

func TestAccepts(t *testing.T) {
	for text, want := range map[string]bool{"": true, "^1": true, "1.2.0": true, ">=1 <1.2": false, "^2": false, "not a range": false} {
		if got := Accepts(&writ.SkillRef{Version: "1.2.0"}, text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
