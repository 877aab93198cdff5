package secret

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// keeper is somebody who keeps secrets, as the suite sees every one of them.
type keeper struct {
	store *Store
	// put places a value under a name of acme; the test ends where that fails.
	put func(name, value string)
	// gone takes it away.
	gone func(name string)
	// spoil makes the secret unreadable; want is the code of reading it then.
	spoil func(name string) writ.Code
	// stale lets what the provider may keep in memory go.
	stale func()
}

// suiteNames are those that the suite reads; both tenants have a reference to each.
var suiteNames = []string{"api", "empty", "large", "limit", "odd", "absent"}

// clockOf is a clock that a test moves.
type clockOf struct{ now time.Time }

func (c *clockOf) read() time.Time { return c.now }

// odd needs escaping wherever it goes.
const odd = `a+/="&<\ %41 värde€`

// TestProviders runs one suite over all who keep secrets.
func TestProviders(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *keeper{
		"home": homeKeeper, "variables": variablesKeeper, "files": filesKeeper, "vault": vaultKeeper,
	} {
		t.Run(name, func(t *testing.T) { runSuite(t, name, make(t)) })
	}
}

func runSuite(t *testing.T, provider string, k *keeper) {
	ctx := t.Context()
	get := func(tenant writ.TenantID, name string) (string, error) {
		got, err := k.store.Secret(ctx, tenant, name)
		if err != nil && (!strings.Contains(err.Error(), fmt.Sprintf("%q", name)) || strings.Contains(fmt.Sprintf("%v %+v", err, err), value)) {
			t.Errorf("%s: the error does not name its secret, or says it: %v", name, err)
		}
		var e *writ.Error
		if provider != Home && errors.As(err, &e) && (e.Fix == "" || !strings.HasSuffix(e.Op, " of provider p")) {
			t.Errorf("%s: %+v", name, e)
		}
		return string(got), err
	}
	_, err := get(tenantA, "absent")
	wantCode(t, err, writ.CodeNotFound)

	k.put("api", value)
	k.put("odd", odd)
	k.put("limit", strings.Repeat("x", MaxValue))
	for name, want := range map[string]string{"api": value, "odd": odd, "limit": strings.Repeat("x", MaxValue)} {
		if got, err := get(tenantA, name); err != nil || got != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	// Another tenant has none of it, though the names are the same.
	_, err = get(tenantB, "api")
	wantCode(t, err, writ.CodeNotFound)
	if known, err := k.store.Known(ctx, tenantB); err != nil || len(known) != 0 {
		t.Errorf("the other tenant knows %v, %v", known, err)
	}

	if provider != Home { // which refuses both when they are set
		k.put("empty", "")
		_, err = get(tenantA, "empty")
		wantCode(t, err, writ.CodeInvalid)
		k.put("large", strings.Repeat("x", MaxValue+1))
		_, err = get(tenantA, "large")
		wantCode(t, err, writ.CodeTooLarge)
	}

	// Changed under us: the new value counts, the old one is still known.
	k.put("api", "another-value-of-the-test")
	k.stale()
	if got, err := get(tenantA, "api"); err != nil || got != "another-value-of-the-test" {
		t.Errorf("after the change: %q, %v", got, err)
	}
	known, err := k.store.Known(ctx, tenantA)
	if err != nil || len(known["api"]) != 2 || string(known["api"][0]) != "another-value-of-the-test" || string(known["api"][1]) != value {
		t.Errorf("known after the change: %q, %v", known["api"], err)
	}
	if list, err := k.store.List(ctx, tenantA, true); err != nil || len(list) < 3 {
		t.Errorf("%+v, %v", list, err)
	} else {
		checkRows(t, provider, list)
	}

	k.gone("api")
	k.stale()
	_, err = get(tenantA, "api")
	wantCode(t, err, writ.CodeNotFound)
	if want := k.spoil("odd"); want != "" {
		k.stale()
		_, err = get(tenantA, "odd")
		wantCode(t, err, want)
	}
}

// checkRows holds the list to what happened.
func checkRows(t *testing.T, provider string, list []Info) {
	t.Helper()
	for _, row := range list {
		if row.Name == "absent" && writ.CodeOf(row.Failure) != writ.CodeNotFound {
			t.Errorf("absent: %+v", row)
		}
		if row.Name != "api" {
			continue
		}
		want := Home
		if provider != Home {
			want = "p"
		}
		if row.Provider != want || row.Failure != nil || row.LastUsedAt == 0 || row.OldUntil == 0 || row.UpdatedAt == 0 {
			t.Errorf("%+v", row)
		}
		if counts := provider == Home || provider == "vault"; counts != (row.Version == 2) {
			t.Errorf("version %d", row.Version)
		}
	}
}

func homeKeeper(t *testing.T) *keeper {
	home := t.TempDir()
	s := open(t, home)
	return &keeper{
		store: s, stale: func() {},
		put: func(name, value string) {
			if err := s.Set(t.Context(), tenantA, name, []byte(value)); err != nil {
				t.Fatal(err)
			}
		},
		gone: func(name string) {
			if err := s.Remove(t.Context(), tenantA, name); err != nil {
				t.Fatal(err)
			}
		},
		spoil: func(string) writ.Code { return "" }, // TestDamageUnderAnOpenStore
	}
}

// elsewhere opens a store whose suite names are the provider's: acme's at the name's
// path, the other tenant's at a path of their own.
func elsewhere(t *testing.T, p Provider, clock writ.Clock) *Store {
	t.Helper()
	var refs []Reference
	for _, name := range suiteNames {
		refs = append(refs,
			Reference{Tenant: tenantA, Name: name, Provider: "p", Reader: p, Path: name, Field: "value"},
			Reference{Tenant: tenantB, Name: name, Provider: "p", Reader: p, Path: "other/" + name, Field: "value"})
	}
	s, err := Open(t.Context(), Options{Home: t.TempDir(), Clock: clock, Elsewhere: refs})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func variablesKeeper(t *testing.T) *keeper {
	values := map[string]string{}
	p := NewVariables(func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	return &keeper{
		store: elsewhere(t, p, fixedClock), stale: func() {},
		put:   func(name, value string) { values[name] = value + "\n" },
		gone:  func(name string) { delete(values, name) },
		spoil: func(name string) writ.Code { values[name] = "\r\n"; return writ.CodeInvalid },
	}
}

func filesKeeper(t *testing.T) *keeper {
	dir := t.TempDir()
	return &keeper{
		store: elsewhere(t, NewFiles(dir), fixedClock), stale: func() {},
		put: func(name, value string) { writeSecret(t, filepath.Join(dir, name), value+"\r\n", 0o400) },
		gone: func(name string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		},
		spoil: func(name string) writ.Code {
			if err := os.Chmod(filepath.Join(dir, name), 0o440); err != nil {
				t.Fatal(err)
			}
			return writ.CodeForbidden
		},
	}
}

func writeSecret(t *testing.T, path, value string, mode os.FileMode) {
	t.Helper()
	err := os.WriteFile(path+".new", []byte(value), 0o600)
	if err == nil {
		err = os.Chmod(path+".new", mode)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFilesThatAreNotPrivate: each kind of thing that may stand in a file's place.
func TestFilesThatAreNotPrivate(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for mode, name := range map[os.FileMode]string{0o600: "m600", 0o400: "m400", 0o440: "m440", 0o604: "m604", 0o644: "m644", 0o620: "m620", 0o700: "m700"} {
		writeSecret(t, at(name), value, mode)
	}
	writeSecret(t, filepath.Join(outside, "far"), value, 0o400)
	err := errors.Join(
		os.Symlink("m400", at("near")), os.Symlink(filepath.Join(outside, "far"), at("far")), os.Symlink("../"+filepath.Base(outside)+"/far", at("up")),
		os.Symlink("loop", at("loop")), os.Mkdir(at("dir"), 0o700), syscall.Mkfifo(at("pipe"), 0o600),
		os.Symlink("dir", at("..data")),
	)
	if err != nil {
		t.Fatal(err)
	}
	writeSecret(t, filepath.Join(dir, "dir", "deep"), value, 0o400)
	p := NewFiles(dir)
	for name, want := range map[string]writ.Code{
		"m600": "", "m400": "", "m700": "", "near": "", "dir/deep": "", "..data/deep": "",
		"m440": writ.CodeForbidden, "m604": writ.CodeForbidden, "m644": writ.CodeForbidden, "m620": writ.CodeForbidden,
		"far": writ.CodeForbidden, "up": writ.CodeForbidden, "loop": writ.CodeForbidden, "dir": writ.CodeForbidden, "pipe": writ.CodeForbidden,
		"../" + filepath.Base(outside) + "/far": writ.CodeForbidden, "absent": writ.CodeNotFound, "m400/x": writ.CodeForbidden,
	} {
		got, err := p.Read(t.Context(), &Reference{Path: name})
		wantCode(t, err, want)
		if want == "" && string(got.Value) != value {
			t.Errorf("%s: %q", name, got.Value)
		}
		var e *writ.Error
		if errors.As(err, &e) && (e.Message == "" || e.Fix == "") {
			t.Errorf("%s: %+v", name, e)
		}
	}
	_, err = NewCredentials("").Read(t.Context(), &Reference{Path: "m400"})
	wantCode(t, err, writ.CodeNotFound)
	_, err = NewFiles(filepath.Join(dir, "nowhere")).Read(t.Context(), &Reference{Path: "m400"})
	wantCode(t, err, writ.CodeNotFound)
}

// TestANameBelongsToOneProvider: what a provider keeps is not changed here, what was
// stored before is seen as not used and can be removed.
func TestANameBelongsToOneProvider(t *testing.T) {
	home := t.TempDir()
	if err := open(t, home).Set(t.Context(), tenantA, "api", []byte("stored-before")); err != nil {
		t.Fatal(err)
	}
	p := NewVariables(func(string) (string, bool) { return value, true })
	refs := []Reference{{Tenant: tenantA, Name: "api", Provider: "p", Reader: p, Path: "API"}}
	j := &journal{}
	s, err := Open(t.Context(), Options{Home: home, Clock: fixedClock, Elsewhere: refs, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Secret(t.Context(), tenantA, "api"); err != nil || string(got) != value {
		t.Errorf("%q, %v", got, err)
	}
	if known, err := s.Known(t.Context(), tenantA); err != nil || len(known["api"]) != 2 {
		t.Errorf("%q, %v: the stored one is a secret too", known, err)
	}
	ctx := caller(t.Context())
	_, err = s.SecretSet(ctx, &contract.SecretSetInput{Name: "api", Value: "x"})
	wantCode(t, err, writ.CodeConflict)
	_, err = s.SecretRotate(ctx, &contract.SecretRotateInput{Name: "api", Value: "x"})
	wantCode(t, err, writ.CodeConflict)
	if list, err := s.List(t.Context(), tenantA, false); err != nil || len(list) != 2 || !list[0].Shadowed || list[1].Shadowed || list[1].Provider != "p" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := s.SecretRemove(ctx, &contract.SecretRemoveInput{Name: "api"}); err != nil {
		t.Error(err)
	}
	_, err = s.SecretRemove(ctx, &contract.SecretRemoveInput{Name: "api"})
	wantCode(t, err, writ.CodeConflict)
	if len(j.batches) != 1 {
		t.Errorf("%d records", len(j.batches))
	}
	for _, bad := range [][]Reference{
		{refs[0], refs[0]},
		{{Tenant: tenantA, Name: "a b", Provider: "p", Reader: p}},
		{{Name: "a", Provider: "p", Reader: p}},
		{{Tenant: tenantA, Name: "a", Provider: Home, Reader: p, Path: "a"}},
		{{Tenant: tenantA, Name: "a", Provider: "p", Path: "a"}},
		{{Tenant: tenantA, Name: "a", Provider: "p", Reader: p}},
		{{Tenant: tenantA, Name: "a", Provider: "p", Reader: p, Path: "a/../b"}},
	} {
		_, err := Open(t.Context(), Options{Home: t.TempDir(), Clock: fixedClock, Elsewhere: bad})
		wantCode(t, err, writ.CodeInvalid)
	}
}

// TestAProviderThatFailsOtherwise: an error of no code, and a caller who goes.
func TestAProviderThatFailsOtherwise(t *testing.T) {
	refs := []Reference{{Tenant: tenantA, Name: "api", Provider: "p", Reader: broken{}, Path: "x"}}
	s, err := Open(t.Context(), Options{Home: t.TempDir(), Clock: fixedClock, Elsewhere: refs})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Secret(t.Context(), tenantA, "api")
	wantCode(t, err, writ.CodeUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Secret(ctx, tenantA, "api")
	wantCode(t, err, writ.CodeTimeout)
}

type broken struct{}

func (broken) Local() bool { return false }
func (broken) Read(context.Context, *Reference) (*Reading, error) {
	return nil, errors.New("said " + value)
}
