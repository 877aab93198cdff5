package registry

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

func TestListPages(t *testing.T) {
	h := newHome(t)
	for _, v := range []string{"1.0.0", "1.2.0", "1.10.0"} {
		h.install(h.bundle(version(v)))
	}
	h.install(h.bundle(func(m *abi.Manifest) { m.Name = "acme/auditor" }))
	if _, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: "acme/mailer", Version: "1.2.0"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		all  bool
		want []string
	}{
		{false, []string{"acme/auditor@1.0.0", "acme/mailer@1.0.0", "acme/mailer@1.10.0"}},
		{true, []string{"acme/auditor@1.0.0", "acme/mailer@1.0.0", "acme/mailer@1.2.0", "acme/mailer@1.10.0"}},
	} {
		var got []string
		in := &contract.SkillListInput{IncludeDisabled: c.all, Page: contract.Page{Limit: 1}}
		for {
			out, err := h.List(h.ctx, in)
			if err != nil || len(out.Items) > 1 {
				t.Fatal(err, len(out.Items))
			}
			for _, i := range out.Items {
				got = append(got, string(i.SkillKey)+"@"+i.Version)
				if !i.Verified || len(i.Actions) != 1 || i.Actions[0].Name != "send" {
					t.Errorf("%+v", i)
				}
			}
			if in.Cursor = out.NextCursor; in.Cursor == "" {
				break
			}
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
	if _, err := h.List(h.ctx, &contract.SkillListInput{Page: contract.Page{Cursor: "x"}}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
}

func TestInstallSourcesAndExpectations(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	path := filepath.Join(t.TempDir(), "mailer.skill")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	about, err := Inspect(file)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := canon.MarshalJSON(about.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in   contract.SkillInstallInput
		code writ.Code
	}{
		"neither":        {contract.SkillInstallInput{}, writ.CodeInvalid},
		"both":           {contract.SkillInstallInput{Source: path, Bundle: file}, writ.CodeInvalid},
		"no such file":   {contract.SkillInstallInput{Source: path + "x"}, writ.CodeNotFound},
		"a directory":    {contract.SkillInstallInput{Source: filepath.Dir(path)}, writ.CodeInvalid},
		"a device":       {contract.SkillInstallInput{Source: os.DevNull}, writ.CodeInvalid},
		"other digest":   {contract.SkillInstallInput{Source: path, ArtifactDigest: canon.SHA256(nil)}, writ.CodeSkillRefused},
		"other key":      {contract.SkillInstallInput{Source: path, SkillKey: "acme/other"}, writ.CodeSkillRefused},
		"other version":  {contract.SkillInstallInput{Source: path, Version: "2.0.0"}, writ.CodeSkillRefused},
		"other manifest": {contract.SkillInstallInput{Source: path, Manifest: contract.Object(`{}`)}, writ.CodeSkillRefused},
		"as expected": {contract.SkillInstallInput{
			Source: path, SkillKey: "acme/mailer", Version: "1.0.0", ArtifactDigest: about.Ref.Digest, Manifest: contract.Object(manifest),
		}, ""},
	} {
		_, err := h.Install(h.ctx, &c.in)
		if writ.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.Install(context.Background(), &contract.SkillInstallInput{Bundle: file}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Error(err)
	}
	records := len(h.memory.records)
	out, err := h.Verify(h.ctx, &contract.SkillVerifyInput{Bundle: h.pack(mailer(version("3.0.0")), guest())})
	if err != nil || out.Verified || len(out.Issues) != 1 || out.Issues[0].Code != writ.IssueSignatureMissing || len(h.memory.records) != records {
		t.Errorf("%v %+v", err, out)
	}
	small := newHome(t, func(o *Options) { o.Limits.Bundle = 1024 })
	if _, err := small.Install(small.ctx, &contract.SkillInstallInput{Source: path}); !writ.IsCode(err, writ.CodeSkillRefused) || !strings.Contains(err.Error(), "ARTIFACT_TOO_LARGE") {
		t.Error(err)
	}
}

func TestCatalogue(t *testing.T) {
	h := newHome(t)
	for _, v := range []string{"1.0.0", "1.2.0", "1.10.0", "2.0.0"} {
		h.install(h.bundle(version(v)))
	}
	if _, err := h.Disable(h.ctx, &contract.SkillDisableInput{SkillKey: "acme/mailer", Version: "2.0.0"}); err != nil {
		t.Fatal(err)
	}
	cat, err := h.Catalogue(h.ctx, h.by.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	for constraint, want := range map[string]string{"": "1.10.0", "^1": "1.10.0", "~1.2": "1.2.0", "1.0.0": "1.0.0", "<1.10": "1.2.0"} {
		r, err := cat.Resolve("acme/mailer", constraint)
		if err != nil || r.Version != want || r.Manifest.Name != "acme/mailer" || !r.Module.Valid() {
			t.Errorf("%q: %v %+v", constraint, err, r)
		}
	}
	for _, c := range []struct {
		key, constraint string
		code            writ.Code
		says            string
	}{
		{"acme/mailer", "^2", writ.CodeNotFound, "2.0.0 (disabled), 1.10.0"},
		{"acme/other", "", writ.CodeNotFound, "installed: acme/mailer"},
		{"acme/mailer", "x y", writ.CodeInvalid, "not a version range"},
	} {
		_, err := cat.Resolve(writ.SkillKey(c.key), c.constraint)
		if writ.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if list, whole, err := h.Releases(h.ctx, h.by.Tenant); err != nil || !whole || len(list) != 1 || list[0].Version != "1.10.0" {
		t.Errorf("%+v, %v, %v", list, whole, err)
	}
	if list, whole, err := h.Releases(h.ctx, "other"); err != nil || !whole || len(list) != 0 {
		t.Errorf("of another tenant: %+v, %v, %v", list, whole, err)
	}
	// A snapshot does not change; the next one does.
	h.install(h.bundle(version("2.1.0")))
	if r, err := cat.Resolve("acme/mailer", ""); err != nil || r.Version != "1.10.0" {
		t.Error("the snapshot changed", err)
	}
	if cat, err = h.Catalogue(h.ctx, h.by.Tenant); err != nil {
		t.Fatal(err)
	}
	if r, err := cat.Resolve("acme/mailer", ""); err != nil || r.Version != "2.1.0" {
		t.Error("the new version is not there", err)
	}
	if other, err := h.Catalogue(h.ctx, "other"); err != nil {
		t.Error(err)
	} else if _, err := other.Resolve("acme/mailer", ""); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error("another tenant sees the skill")
	}
	// What no longer verifies is said, and not silently replaced by an older one.
	if err := os.WriteFile(h.blob(canonOf(t, h, "2.1.0")), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.cache.change(h.by.Tenant)()
	if cat, err = h.Catalogue(h.ctx, h.by.Tenant); err != nil {
		t.Fatal(err)
	}
	if _, err := cat.Resolve("acme/mailer", ""); !writ.IsCode(err, writ.CodeTampered) {
		t.Error(err)
	}
}

func canonOf(t *testing.T, h *home, v string) writ.Digest {
	t.Helper()
	doc, err := h.document(h.ctx, h.by.Tenant, "acme/mailer", v)
	if err != nil {
		t.Fatal(err)
	}
	return doc.Digest
}

// What the binary carries is as untrusted as a file: the same verification stands
// between it and an installation.
func TestCarriedBundlesAreVerified(t *testing.T) {
	h := newHome(t)
	carried := map[string][]byte{"acme/mailer": h.bundle(version("1.0.0")), "acme/bad": []byte("no bundle")}
	install := func(name string) error {
		_, err := h.Install(h.ctx, &contract.SkillInstallInput{Source: CarriedSource + name})
		return err
	}
	if err := install("acme/mailer"); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("a host that carries nothing says %v", err)
	}
	h.opts.Carried = func(name string) ([]byte, error) {
		if bundle, ok := carried[name]; ok {
			return bundle, nil
		}
		return nil, writ.Errorf(writ.CodeNotFound, name, "is not carried")
	}
	for name, code := range map[string]writ.Code{"acme/mailer": "", "acme/bad": writ.CodeSkillRefused, "acme/none": writ.CodeNotFound, "": writ.CodeNotFound} {
		if err := install(name); (code == "") != (err == nil) || (err != nil && !writ.IsCode(err, code)) {
			t.Errorf("%q: %v, want %q", name, err, code)
		}
	}
	report, err := h.Verify(h.ctx, &contract.SkillVerifyInput{Source: CarriedSource + "acme/bad"})
	if err != nil || report.Verified {
		t.Errorf("%+v, %v", report, err)
	}
}
