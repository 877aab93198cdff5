package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host"
)

func TestInstallRecordsAndKeeps(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	out, err := h.Install(h.ctx, &contract.SkillInstallInput{Bundle: file})
	if err != nil {
		t.Fatal(err)
	}
	if !out.Verified || out.Status != "enabled" || out.InstallationID == "" || out.Provenance.BuilderID != LocalBuilder || len(out.Issues) != 0 {
		t.Errorf("%+v", out)
	}
	record := h.memory.last()
	if record.Type != writ.RecSkillInstalled || record.Body.System.Subject != "acme/mailer" || record.Body.System.Version != "1.0.0" ||
		record.Body.System.Digest != out.ManifestDigest || record.Actor.ActorID != "ada" {
		t.Errorf("%+v", record)
	}
	// The directory is an OCI layout with the bundle's own files, byte for byte.
	entries, issue := readTar(file, h.opts.Limits)
	if issue != nil {
		t.Fatal(issue.Message)
	}
	dirs, err := filepath.Glob(filepath.Join(h.opts.Dir, "default", "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dirs[0], e.name))
		if err != nil || !bytes.Equal(data, e.data) {
			t.Errorf("%s: %v", e.name, err)
		}
	}
	// The same again changes nothing: neither files nor journal.
	files, records := h.files(), len(h.memory.records)
	again, err := h.Install(h.ctx, &contract.SkillInstallInput{Bundle: file})
	if err != nil || again.InstallationID != out.InstallationID {
		t.Errorf("%v %+v", err, again)
	}
	if !maps.Equal(files, h.files()) || records != len(h.memory.records) {
		t.Error("installing again changed something")
	}
}

func TestInstallAgainWithAnotherSignature(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	second := mustKey(t, KeyECDSA)
	h.trustKey("acme", second)
	signed := h.sign(h.bundle(), func(r *SignRequest) { r.Key = second })
	if err := h.RevokeKey(h.ctx, h.by, h.key.Public().ID, "lost"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.load(ref); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Fatalf("signed by a revoked key alone: %v", err)
	}
	if again := h.install(signed).Ref; again != ref {
		t.Errorf("%v is not %v", again, ref)
	}
	if _, err := h.load(ref); err != nil {
		t.Error(err)
	}
	if dirs, _ := filepath.Glob(filepath.Join(h.opts.Dir, "default", "*")); len(dirs) != 1 {
		t.Errorf("the old files stay: %v", dirs)
	}
}

func TestInstallRepairsTamperedFiles(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	ref := h.install(file).Ref
	if err := os.WriteFile(h.blob(ref.Module), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.install(file)
	if _, err := h.load(ref); err != nil {
		t.Error(err)
	}
}

// blob is the path of an installed blob.
func (h *home) blob(d writ.Digest) string {
	h.t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.opts.Dir, "*", "*", "blobs", "sha256", d.Hex()))
	if err != nil || len(paths) != 1 {
		h.t.Fatal(paths, err)
	}
	return paths[0]
}

func TestInstallThatCannotBeRecordedLeavesNothing(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	before := h.files()
	h.memory.fail = writ.Errorf(writ.CodeUnavailable, "journal", "full")
	if _, _, err := h.InstallBundle(h.ctx, h.by, file, nil); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatal(err)
	}
	after := h.files()
	delete(after, filepath.Join(h.opts.Dir, "default")) // the tenant's empty directory may stay
	if !maps.Equal(before, after) {
		t.Errorf("left behind: %v", after)
	}
	// A refusal that cannot be recorded is not answered as one.
	if _, _, err := h.InstallBundle(h.ctx, h.by, nil, nil); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Error(err)
	}
	h.memory.fail = nil
	h.install(file)
}

func TestNewSweepsWhatACrashLeft(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	stale := filepath.Join(h.opts.Dir, "default", temporary+"123", "blobs")
	if err := os.MkdirAll(stale, 0o700); err != nil {
		t.Fatal(err)
	}
	again, err := New(h.opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(stale)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the temporary directory is still there")
	}
	if _, err := again.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref}); err != nil {
		t.Error(err)
	}
	// Files that were renamed but never recorded do not stand in the way.
	h.memory.docs[writ.DefaultTenant] = map[string][]byte{}
	fresh, err := New(h.opts)
	if err != nil {
		t.Fatal(err)
	}
	h.Registry = fresh
	h.trustKey("acme", h.key)
	h.install(h.bundle())
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := New(Options{})
	if !writ.IsCode(err, writ.CodeInvalid) || !strings.Contains(err.Error(), "Clock, Dir, Inspector, Journal, Store") {
		t.Error(err)
	}
}

func TestStatusAndUninstall(t *testing.T) {
	h := newHome(t)
	one, two := h.install(h.bundle()).Ref, h.install(h.bundle(version("1.1.0"))).Ref
	live := func(ref writ.SkillRef) writ.Code { _, err := h.load(ref); return writ.CodeOf(err) }
	replay := func(ref writ.SkillRef) writ.Code {
		_, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref, Replaying: true})
		return writ.CodeOf(err)
	}
	if _, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: one.Key, Version: "1.0.0", DisabledBy: "eve"}); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("in another's name: %v", err)
	}
	if _, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: one.Key, Version: "1.0.0", Reason: "duplicates"}); err != nil {
		t.Fatal(err)
	}
	record := h.memory.last()
	if record.Type != writ.RecSkillStatus || record.Body.System.Status != "disabled" || record.Body.System.Reason != "duplicates" {
		t.Errorf("%+v", record.Body.System)
	}
	if live(one) != writ.CodeSkillRefused || live(two) != "" || replay(one) != "" {
		t.Error(live(one), live(two), replay(one))
	}
	h.install(h.bundle()) // installing again does not enable
	if live(one) != writ.CodeSkillRefused {
		t.Error("an install enabled a disabled skill")
	}
	if _, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: one.Key}); err != nil || live(two) != writ.CodeSkillRefused {
		t.Error("all versions", err)
	}
	if _, err := h.Enable(h.ctx, &contract.SkillEnableInput{SkillKey: one.Key}); err != nil || live(one) != "" || live(two) != "" {
		t.Error("enable", err)
	}
	if _, err := h.Uninstall(h.ctx, &contract.SkillUninstallInput{SkillKey: one.Key, Version: "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	if h.memory.last().Type != writ.RecSkillUninstalled || live(one) != writ.CodeNotFound || live(two) != "" {
		t.Error("uninstall", live(one), live(two))
	}
	if dirs, _ := filepath.Glob(filepath.Join(h.opts.Dir, "default", "*")); len(dirs) != 1 {
		t.Errorf("files: %v", dirs)
	}
	for _, err := range []error{
		func() error {
			_, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: "acme/none"})
			return err
		}(),
		func() error {
			_, err := h.Enable(h.ctx, &contract.SkillEnableInput{SkillKey: one.Key, Version: "9.9.9"})
			return err
		}(),
		func() error {
			_, err := h.Uninstall(h.ctx, &contract.SkillUninstallInput{SkillKey: "acme/none"})
			return err
		}(),
	} {
		if !writ.IsCode(err, writ.CodeNotFound) {
			t.Error(err)
		}
	}
	if _, err := h.Uninstall(h.ctx, &contract.SkillUninstallInput{SkillKey: "../x"}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
}

func TestEnableVerifiesAgain(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	if _, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: ref.Key}); err != nil {
		t.Fatal(err)
	}
	if err := h.RevokeKey(h.ctx, h.by, h.key.Public().ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Enable(h.ctx, &contract.SkillEnableInput{SkillKey: ref.Key}); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Error(err)
	}
	out, err := h.List(h.ctx, &contract.SkillListInput{IncludeDisabled: true})
	if err != nil || len(out.Items) != 1 || out.Items[0].Verified || out.Items[0].Description != "Sends mail." {
		t.Errorf("%v %+v", err, out)
	}
}

func TestRehearse(t *testing.T) {
	h := bareHome(t)
	work := Rehearsal{By: h.by, Entropy: rand.Reader, Drafts: []Draft{{mailer(), guest()}, {mailer(func(m *abi.Manifest) { m.Name = "zed/other" }), guest()}}}
	refs, err := h.Rehearse(h.ctx, work)
	if err != nil || len(refs) != 2 {
		t.Fatal(refs, err)
	}
	for _, ref := range refs {
		if skill, err := h.load(ref); err != nil || !bytes.Equal(skill.Module, guest()) {
			t.Error(err)
		}
	}
	if _, err := h.Rehearse(h.ctx, work); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("in a home that trusts somebody: %v", err)
	}
	bad := bareHome(t)
	_, err = bad.Rehearse(bad.ctx, Rehearsal{By: bad.by, Entropy: rand.Reader, Drafts: []Draft{{mailer(func(m *abi.Manifest) { m.Capabilities = nil }), guest()}}})
	var e *writ.Error
	if !errors.As(err, &e) || e.Code != writ.CodeSkillRefused || e.Details.([]writ.SkillIssue)[0].Code != writ.IssueCapabilityUndeclared {
		t.Errorf("a rehearsal verifies like an install: %v", err)
	}
}

// With the real journal: what is installed is there after a restart.
func TestWithTheRealJournal(t *testing.T) {
	journal := realJournal(t)
	h := newHome(t, func(o *Options) { o.Store, o.Journal = journal, journal })
	ref := h.install(h.bundle()).Ref
	if _, _, err := h.InstallBundle(h.ctx, h.by, h.pack(mailer(version("1.1.0")), guest()), nil); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Fatal(err)
	}
	again, err := New(h.opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref}); err != nil {
		t.Error(err)
	}
	records, err := journal.Records(context.Background(), writ.RecordQuery{Tenant: h.by.Tenant, Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, r := range records {
		types = append(types, string(r.Type))
	}
	if strings.Join(types, " ") != "trust.changed skill.installed skill.rejected" {
		t.Errorf("%v", types)
	}
}

// Everything at once, for the race detector: one winner of each install, and no
// load that sees half of anything.
func TestHammer(t *testing.T) {
	h := newHome(t, func(o *Options) { o.Inspector = host.NewInspector() })
	first := h.install(h.bundle()).Ref
	files := [][]byte{h.bundle(version("1.1.0")), h.bundle(version("1.2.0")), h.bundle(version("1.3.0"))}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			file := files[i%len(files)]
			if _, _, err := h.InstallBundle(h.ctx, h.by, file, nil); err != nil && !writ.IsCode(err, writ.CodeSkillRefused) {
				t.Error(err)
			}
			if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: first}); err != nil {
				t.Error(err)
			}
			cat, err := h.Catalogue(h.ctx, h.by.Tenant)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := cat.Resolve("acme/mailer", "^1"); err != nil {
				t.Error(err)
			}
			if _, err := h.List(h.ctx, &contract.SkillListInput{}); err != nil {
				t.Error(err)
			}
			key := mustKey(t, KeyEd25519)
			if _, err := h.Trust(h.ctx, h.by, TrustedKey{Publisher: "acme", PEM: string(key.Public().PEM)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var f floor
	if err := json.Unmarshal(h.memory.docs[writ.DefaultTenant]["skill-floor/acme/mailer"], &f); err != nil || f.Highest != "1.3.0" {
		t.Errorf("floor %+v %v", f, err)
	}
}
