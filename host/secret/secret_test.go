package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"github.com/writ-run/writ"
)

const (
	tenantA = writ.TenantID("acme")
	tenantB = writ.TenantID("other")
	value   = "s3cr3t-value-of-the-test"
)

func fixedClock() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC) }

func open(t *testing.T, home string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Home: home, Clock: fixedClock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantCode(t *testing.T, err error, code writ.Code) {
	t.Helper()
	if writ.CodeOf(err) != code {
		t.Fatalf("error %v has code %q, want %q", err, writ.CodeOf(err), code)
	}
	if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), value) {
		t.Fatal("an error holds the value")
	}
}

func TestRoundTrip(t *testing.T) {
	home := t.TempDir()
	s := open(t, home)
	_, err := s.Secret(t.Context(), tenantA, "api")
	wantCode(t, err, writ.CodeNotFound)
	var notFound *writ.Error
	if !errors.As(err, &notFound) || !strings.Contains(notFound.Fix, "writ secret set api") {
		t.Errorf("the fix is %q", notFound.Fix)
	}
	if err := s.Set(t.Context(), tenantA, "api", []byte(value)); err != nil {
		t.Fatal(err)
	}
	// Another process on the same home.
	got, err := open(t, home).Secret(t.Context(), tenantA, "api")
	if err != nil || string(got) != value {
		t.Fatalf("got %q, %v", got, err)
	}
	_, err = s.Secret(t.Context(), tenantB, "api")
	wantCode(t, err, writ.CodeNotFound)
	list, err := s.List(t.Context(), tenantA, false)
	if err != nil || len(list) != 1 || list[0] != (Info{Name: "api", Provider: Home, Version: 1, UpdatedAt: writ.Clock(fixedClock).Now(), LastUsedAt: list[0].LastUsedAt}) {
		t.Fatalf("list %v, %v", list, err)
	}
	if err := s.Remove(t.Context(), tenantA, "api"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.Remove(t.Context(), tenantA, "api"), writ.CodeNotFound)
	if list, _ = s.List(t.Context(), tenantA, false); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

func TestCopiesAreTheCallers(t *testing.T) {
	s := open(t, t.TempDir())
	given := []byte(value)
	if err := s.Set(t.Context(), tenantA, "api", given); err != nil {
		t.Fatal(err)
	}
	clear(given)
	first, _ := s.Secret(t.Context(), tenantA, "api")
	clear(first)
	if second, err := s.Secret(t.Context(), tenantA, "api"); err != nil || string(second) != value {
		t.Errorf("got %q, %v after the first copy was wiped", second, err)
	}
}

func TestNamesAndValues(t *testing.T) {
	s := open(t, t.TempDir())
	for _, name := range []string{"", ".", "..", "-a", "_a", "a b", "a/b", "a\n", "ä", "a\x00", strings.Repeat("a", 65)} {
		wantCode(t, s.Set(t.Context(), tenantA, name, []byte(value)), writ.CodeInvalid)
		_, err := s.Secret(t.Context(), tenantA, name)
		wantCode(t, err, writ.CodeInvalid)
		wantCode(t, s.Remove(t.Context(), tenantA, name), writ.CodeInvalid)
	}
	for _, name := range []string{"a", "GITHUB_TOKEN", "notes-api", "9.x", strings.Repeat("a", 64)} {
		wantCode(t, s.Set(t.Context(), tenantA, name, []byte(value)), "")
	}
	wantCode(t, s.Set(t.Context(), "", "a", []byte(value)), writ.CodeInvalid)
	wantCode(t, s.Set(t.Context(), tenantA, "a", nil), writ.CodeInvalid)
	wantCode(t, s.Set(t.Context(), tenantA, "a", make([]byte, MaxValue)), "")
	wantCode(t, s.Set(t.Context(), tenantA, "a", make([]byte, MaxValue+1)), writ.CodeTooLarge)
}

func TestOptions(t *testing.T) {
	_, err := Open(t.Context(), Options{Clock: fixedClock})
	wantCode(t, err, writ.CodeInvalid)
	_, err = Open(t.Context(), Options{Home: t.TempDir()})
	wantCode(t, err, writ.CodeInvalid)
}

func TestModes(t *testing.T) {
	home := filepath.Join(t.TempDir(), "new", "home")
	s := open(t, home)
	if err := s.Set(t.Context(), tenantA, "api", []byte(value)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{File, IdentityFile, lockFile} {
		info, err := os.Stat(filepath.Join(home, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(filepath.Join(home, "keys")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("keys: mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "*.tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Chmod(filepath.Join(home, IdentityFile), 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Home: home, Clock: fixedClock})
	wantCode(t, err, writ.CodeForbidden)
}

func TestNothingReadable(t *testing.T) {
	home := t.TempDir()
	s := open(t, home)
	if err := s.Set(t.Context(), tenantA, "some-name", []byte(value)); err != nil {
		t.Fatal(err)
	}
	sealed, err := os.ReadFile(filepath.Join(home, File))
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []string{value, "some-name", string(tenantA)} {
		if bytes.Contains(sealed, []byte(plain)) {
			t.Errorf("the file holds %q", plain)
		}
	}
	key := strings.TrimSpace(s.identity.String())
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), s.String()} {
		if strings.Contains(text, key) || strings.Contains(text, value) {
			t.Errorf("printing the store shows %q", text)
		}
	}
}

func TestEveryFlippedByteIsTampering(t *testing.T) {
	for _, name := range []string{File, IdentityFile} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			s := open(t, home)
			if err := s.Set(t.Context(), tenantA, "api", []byte(value)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(home, name)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range good {
				bad := bytes.Clone(good)
				bad[i] ^= 1
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := Open(t.Context(), Options{Home: home, Clock: fixedClock})
				wantCode(t, err, writ.CodeTampered)
			}
			for _, n := range []int{0, 1, len(good) / 2, len(good) - 2} {
				if err := os.WriteFile(path, good[:n], 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := Open(t.Context(), Options{Home: home, Clock: fixedClock})
				wantCode(t, err, writ.CodeTampered)
			}
		})
	}
}

func TestDamageUnderAnOpenStore(t *testing.T) {
	home := t.TempDir()
	s := open(t, home)
	if err := s.Set(t.Context(), tenantA, "api", []byte(value)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, File)
	sealed, _ := os.ReadFile(path)
	sealed[len(sealed)-1] ^= 0x80
	if err := os.WriteFile(path, sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Secret(t.Context(), tenantA, "api")
	wantCode(t, err, writ.CodeTampered)
	_, err = s.List(t.Context(), tenantA, false)
	wantCode(t, err, writ.CodeTampered)
	// A writer must not replace what it cannot read.
	wantCode(t, s.Set(t.Context(), tenantA, "b", []byte(value)), writ.CodeTampered)
	if now, _ := os.ReadFile(path); !bytes.Equal(now, sealed) {
		t.Error("the damaged file was replaced")
	}
}

func TestForeignContentIsTampering(t *testing.T) {
	home := t.TempDir()
	s := open(t, home)
	for _, plain := range []string{"", "null", "[]", `{"acme":`, `{"acme":{"a":{"value":1}}}`} {
		var sealed bytes.Buffer
		w, err := age.Encrypt(&sealed, s.identity.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(plain)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, File), sealed.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = s.List(t.Context(), tenantA, false)
		wantCode(t, err, writ.CodeTampered)
	}
}

func TestWrongAndMissingIdentity(t *testing.T) {
	home := t.TempDir()
	if err := open(t, home).Set(t.Context(), tenantA, "api", []byte(value)); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	open(t, other)
	foreign, _ := os.ReadFile(filepath.Join(other, IdentityFile))
	if err := os.WriteFile(filepath.Join(home, IdentityFile), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Home: home, Clock: fixedClock})
	wantCode(t, err, writ.CodeTampered)
	var e *writ.Error
	if !errors.As(err, &e) || !strings.Contains(e.Fix, "backup") {
		t.Errorf("the fix is %q", e.Fix)
	}
	if err := os.Remove(filepath.Join(home, IdentityFile)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Home: home, Clock: fixedClock})
	wantCode(t, err, writ.CodeTampered)
	if _, err := os.Stat(filepath.Join(home, IdentityFile)); err == nil {
		t.Error("a new identity was made over existing secrets")
	}
}

// TestHammer has writers of one store and of a second one on the same home, as
// another process would be: no change is lost.
func TestHammer(t *testing.T) {
	home := t.TempDir()
	stores := []*Store{open(t, home), open(t, home)}
	const writers, rounds = 4, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s := stores[w%len(stores)]
			for r := range rounds {
				name := fmt.Sprintf("w%d-%d", w, r)
				if err := s.Set(t.Context(), tenantA, name, []byte(name)); err != nil {
					t.Error(err)
				}
				if got, err := s.Secret(t.Context(), tenantA, name); err != nil || string(got) != name {
					t.Errorf("%s: %q, %v", name, got, err)
				}
				if r%2 == 1 {
					if err := s.Remove(t.Context(), tenantA, name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	list, err := stores[0].List(t.Context(), tenantA, false)
	if err != nil || len(list) != writers*rounds/2 {
		t.Errorf("%d secrets are left, want %d; %v", len(list), writers*rounds/2, err)
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	home := t.TempDir()
	holder, waiter := open(t, home), open(t, home)
	release, err := holder.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantCode(t, waiter.Set(ctx, tenantA, "api", []byte(value)), writ.CodeTimeout)
	result := make(chan error)
	go func() { result <- waiter.Set(t.Context(), tenantA, "api", []byte(value)) }()
	release()
	wantCode(t, <-result, "")
}

func TestModel(t *testing.T) {
	home := t.TempDir()
	s := open(t, home)
	type slot struct {
		tenant writ.TenantID
		name   string
	}
	rapid.Check(t, func(rt *rapid.T) {
		model := map[slot]string{}
		if err := os.RemoveAll(filepath.Join(home, File)); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 6).Draw(rt, "operations") {
			at := slot{
				rapid.SampledFrom([]writ.TenantID{tenantA, tenantB}).Draw(rt, "tenant"),
				rapid.SampledFrom([]string{"a", "b", "B"}).Draw(rt, "name"),
			}
			if rapid.Bool().Draw(rt, "set") {
				v := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(rt, "value")
				if err := s.Set(context.Background(), at.tenant, at.name, v); err != nil {
					rt.Fatal(err)
				}
				model[at] = string(v)
			} else {
				_, there := model[at]
				err := s.Remove(context.Background(), at.tenant, at.name)
				if there != (err == nil) {
					rt.Fatalf("remove %v: %v, but the model has it: %v", at, err, there)
				}
				delete(model, at)
			}
		}
		for at, want := range model {
			if got, err := s.Secret(context.Background(), at.tenant, at.name); err != nil || string(got) != want {
				rt.Fatalf("%v: %q, %v", at, got, err)
			}
		}
	})
}
