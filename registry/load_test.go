package registry

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// cached is what is kept in memory of an installed bundle.
func (h *home) cached(ref writ.SkillRef) *verified {
	h.t.Helper()
	doc, err := h.document(h.ctx, h.by.Tenant, ref.Key, ref.Version)
	if err != nil {
		h.t.Fatal(err)
	}
	dir, err := h.bundleDir(h.by.Tenant, doc.Content)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.cache.content(dir)
}

// aged makes file times old, so that they are settled at once.
func (h *home) aged() {
	h.t.Helper()
	h.now = time.Now().Add(time.Hour)
}

func TestLoad(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	skill, err := h.load(ref)
	if err != nil {
		t.Fatal(err)
	}
	if skill.SkillRef != ref || !bytes.Equal(skill.Module, guest()) || skill.Manifest.Name != "acme/mailer" {
		t.Errorf("%+v", skill.SkillRef)
	}
	for name, wrong := range map[string]writ.SkillRef{
		"version": {Key: ref.Key, Version: "9.9.9", Digest: ref.Digest, Module: ref.Module},
		"key":     {Key: "acme/none", Version: ref.Version, Digest: ref.Digest, Module: ref.Module},
		"digest":  {Key: ref.Key, Version: ref.Version, Digest: canon.SHA256(nil), Module: ref.Module},
		"module":  {Key: ref.Key, Version: ref.Version, Digest: ref.Digest, Module: canon.SHA256(nil)},
	} {
		if _, err := h.load(wrong); !writ.IsCode(err, writ.CodeNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: "other", Ref: ref}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("another tenant: %v", err)
	}
	if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: "../default", Ref: ref}); err == nil {
		t.Error("a tenant that is a path")
	}
}

// Every file of an installed bundle: a flipped bit, a cut, a removal, and a swap
// for a link are all caught, with the daemon running and after a restart.
func TestAnyTamperedFileIsCaught(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	ref := h.install(file).Ref
	h.aged()
	paths := slices.DeleteFunc(slices.Sorted(maps.Keys(h.files())), func(p string) bool {
		info, err := os.Stat(p)
		return err != nil || info.IsDir()
	})
	if len(paths) != 10 { // mark, index, image, config, module, {}, two referrers with a bundle each
		t.Fatalf("%d files: %v", len(paths), paths)
	}
	for _, path := range paths {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, damage := range map[string]func() error{
			"flip": func() error {
				bad := slices.Clone(good)
				bad[len(bad)/2] ^= 1
				return os.WriteFile(path, bad, 0o600)
			},
			"cut":    func() error { return os.WriteFile(path, good[:len(good)-1], 0o600) },
			"grow":   func() error { return os.WriteFile(path, append(slices.Clone(good), ' '), 0o600) },
			"remove": func() error { return os.Remove(path) },
			"link": func() error {
				copied := filepath.Join(t.TempDir(), "copy")
				if err := os.WriteFile(copied, good, 0o600); err != nil {
					return err
				}
				return errorsJoin(os.Remove(path), os.Symlink(copied, path))
			},
		} {
			if _, err := h.load(ref); err != nil {
				t.Fatalf("%s before %s: %v", path, name, err)
			}
			if h.cached(ref) == nil {
				t.Fatal("an untouched bundle is not kept")
			}
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			h.now = h.now.Add(glance)
			restarted, err := New(h.opts)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []*Registry{h.Registry, restarted} {
				for _, replaying := range []bool{false, true} {
					_, err := r.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref, Replaying: replaying})
					if !writ.IsCode(err, writ.CodeTampered) {
						t.Errorf("%s %s: %v", filepath.Base(path), name, err)
					}
				}
			}
			if err := errorsJoin(os.RemoveAll(path), os.WriteFile(path, good, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	extra := filepath.Join(filepath.Dir(paths[0]), "blobs", "sha256", strings.Repeat("0", 64))
	if matches, _ := filepath.Glob(filepath.Join(h.opts.Dir, "*", "*", "index.json")); len(matches) == 1 {
		extra = filepath.Join(filepath.Dir(matches[0]), "extra")
	}
	if err := os.WriteFile(extra, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	restarted, err := New(h.opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restarted.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref}); !writ.IsCode(err, writ.CodeTampered) {
		t.Errorf("a file that was put beside them: %v", err)
	}
}

func errorsJoin(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// An attacker who restores size and mtime after changing a byte in place still
// changes ctime.
func TestRestoredTimesDoNotHideAChange(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	h.aged()
	path := h.blob(ref.Module)
	if _, err := h.load(ref); err != nil {
		t.Fatal(err)
	}
	before, ok := markOf(path)
	if !ok {
		t.Fatal("this platform cannot tell")
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(good)
	bad[len(bad)-1] ^= 1
	after := before
	for after.ctime == before.ctime { // until the file system's clock has ticked
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(bad, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		old := time.Unix(0, before.mtime)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		if after, ok = markOf(path); !ok {
			t.Fatal("the file is gone")
		}
	}
	if after.mtime != before.mtime || after.size != before.size || after.inode != before.inode {
		t.Fatalf("the attack is not what it should be: %+v %+v", before, after)
	}
	if _, err := h.load(ref); !writ.IsCode(err, writ.CodeTampered) {
		t.Error(err)
	}
}

func TestFastPath(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	if _, err := h.load(ref); err != nil {
		t.Fatal(err)
	}
	if h.cached(ref) != nil {
		t.Error("files that may still change within a tick are kept")
	}
	h.aged()
	first, err := h.load(ref)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.load(ref)
	if err != nil || first != second {
		t.Errorf("an untouched bundle was read again: %v", err)
	}
	// Touching without changing is read again and passes.
	if err := os.Chtimes(h.blob(ref.Module), h.now, h.now.Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	third, err := h.load(ref)
	if err != nil || third == second {
		t.Errorf("a touched bundle was not read again: %v", err)
	}
	// So is everything after a change of trust.
	h.trustKey("zed", mustKey(t, KeyEd25519))
	if fourth, err := h.load(ref); err != nil || fourth == third {
		t.Errorf("a change of trust did not verify again: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	size := int64(len(guest()))
	h := newHome(t, func(o *Options) { o.CacheBytes = 2 * size })
	h.aged()
	var refs []writ.SkillRef
	for _, v := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		refs = append(refs, h.install(h.bundle(version(v))).Ref)
	}
	for _, ref := range refs {
		if _, err := h.load(ref); err != nil {
			t.Fatal(err)
		}
	}
	if h.cache.used != 2*size || h.cached(refs[0]) != nil || h.cached(refs[2]) == nil {
		t.Errorf("%d bytes are kept, first %v", h.cache.used, h.cached(refs[0]))
	}
	small := newHome(t, func(o *Options) { o.CacheBytes = size - 1 })
	small.aged()
	ref := small.install(small.bundle()).Ref
	if _, err := small.load(ref); err != nil || small.cache.used != 0 {
		t.Error("a module larger than the cache is kept", err)
	}
}

func TestLoadFollowsTheDenyList(t *testing.T) {
	h := newHome(t)
	builder := mustKey(t, KeyECDSA)
	h.trustKey("acme", builder)
	file := h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.ProvenanceKey = builder })
	ref := h.install(file).Ref
	h.aged()
	for name, deny := range map[string]func(*home) error{
		"signing key":   func(h *home) error { return h.RevokeKey(h.ctx, h.by, h.key.Public().ID, "leaked") },
		"builder's key": func(h *home) error { return h.RevokeKey(h.ctx, h.by, builder.Public().ID, "leaked") },
		"bundle":        func(h *home) error { return h.DenyDigest(h.ctx, h.by, ref.Digest, "harmful") },
		"module":        func(h *home) error { return h.DenyDigest(h.ctx, h.by, ref.Module, "harmful") },
	} {
		t.Run(name, func(t *testing.T) {
			docs := maps.Clone(h.memory.docs[writ.DefaultTenant])
			if _, err := h.load(ref); err != nil {
				t.Fatal(err)
			}
			if err := deny(h); err != nil {
				t.Fatal(err)
			}
			_, err := h.load(ref)
			want := writ.IssueKeyRevoked
			if name == "bundle" || name == "module" {
				want = writ.IssueReleaseRevoked
			}
			if !writ.IsCode(err, writ.CodeSkillRefused) || !strings.Contains(err.Error(), string(want)) {
				t.Errorf("%v", err)
			}
			replayed, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref, Replaying: true})
			if err != nil || replayed.SkillRef != ref {
				t.Errorf("a replay must find it: %v", err)
			}
			if _, err := h.load(ref); !writ.IsCode(err, writ.CodeSkillRefused) {
				t.Errorf("the replay opened it for live use: %v", err)
			}
			if cat, err := h.Catalogue(h.ctx, h.by.Tenant); err != nil {
				t.Error(err)
			} else if _, err := cat.Resolve(ref.Key, ""); !writ.IsCode(err, writ.CodeSkillRefused) {
				t.Errorf("a plan can still use it: %v", err)
			}
			h.memory.docs[writ.DefaultTenant] = docs
			h.cache.change(h.by.Tenant)()
		})
	}
}

func TestKeyWindowIsJudgedAtInstallTime(t *testing.T) {
	h := bareHome(t)
	until := h.clock().Now().Add(time.Hour)
	if _, err := h.Trust(h.ctx, h.by, TrustedKey{Publisher: "acme", PEM: string(h.key.Public().PEM), ValidUntil: until}); err != nil {
		t.Fatal(err)
	}
	ref := h.install(h.bundle()).Ref
	h.now = until.Std().Add(time.Hour)
	if _, err := h.load(ref); err != nil {
		t.Errorf("installed within the window: %v", err)
	}
	h.refused(h.bundle(version("1.1.0")), writ.IssueKeyUntrusted)
}

// Somebody who can write to the store but has no key cannot make it lie.
func TestTamperedDocuments(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	other := h.install(h.bundle(version("1.1.0"))).Ref
	name := documentKey(ref.Key, ref.Version)
	good := h.memory.docs[writ.DefaultTenant][name]
	edit := func(change func(*installed)) []byte {
		doc := &installed{}
		if err := json.Unmarshal(good, doc); err != nil {
			t.Fatal(err)
		}
		change(doc)
		raw, err := canon.MarshalJSON(doc)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	doc, err := h.document(h.ctx, h.by.Tenant, other.Key, other.Version)
	if err != nil {
		t.Fatal(err)
	}
	forged := ref
	forged.Digest, forged.Module = other.Digest, other.Module
	for what, c := range map[string]struct {
		raw []byte
		ref writ.SkillRef
	}{
		"content of another version": {edit(func(d *installed) { d.Content, d.Digest, d.Module = doc.Content, other.Digest, other.Module }), forged},
		"module digest":              {edit(func(d *installed) { d.Module = other.Digest }), writ.SkillRef{Key: ref.Key, Version: ref.Version, Digest: ref.Digest, Module: other.Digest}},
		"another key":                {edit(func(d *installed) { d.Key = "acme/x" }), ref},
		"not JSON":                   {[]byte("{"), ref},
	} {
		h.memory.put(name, c.raw)
		h.cache.change(h.by.Tenant)()
		if _, err := h.load(c.ref); !writ.IsCode(err, writ.CodeTampered) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.memory.put(name, good)
	h.cache.change(h.by.Tenant)()
	if _, err := h.load(ref); err != nil {
		t.Error(err)
	}
	h.memory.put(floorPrefix+"acme/mailer", []byte("x"))
	if _, err := h.Examine(h.ctx, h.by.Tenant, h.bundle(version("1.2.0"))); !writ.IsCode(err, writ.CodeTampered) {
		t.Error(err)
	}
	h.memory.put(trustKeys+"00", []byte("{}"))
	h.cache.change(h.by.Tenant)()
	if _, err := h.load(ref); !writ.IsCode(err, writ.CodeTampered) {
		t.Error(err)
	}
}

// Within a glance what runs is what was verified, from memory; after it a change
// of the files shows.
func TestALookAtTheFilesIsGoodForAGlance(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	h.aged()
	skill, err := h.load(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.blob(ref.Module), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref})
	if err != nil || again != skill {
		t.Errorf("got %v, %v; want the verified skill", again, err)
	}
	if _, err := h.load(ref); !writ.IsCode(err, writ.CodeTampered) {
		t.Errorf("a glance later: got %v", err)
	}
}
