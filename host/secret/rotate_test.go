package secret

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func openAt(t *testing.T, home string, c *clockOf, j writ.Journal) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Home: home, Clock: c.read, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func knownValues(t *testing.T, s *Store, name string) string {
	t.Helper()
	known, err := s.Known(t.Context(), tenantA)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range known[name] {
		out = append(out, string(v))
	}
	return strings.Join(out, " ")
}

// TestRotate: the new value counts at once, the old one is known until its time is
// over to the nanosecond, also after a restart, and then it is out of the file.
func TestRotate(t *testing.T) {
	home, c, j := t.TempDir(), &clockOf{now: fixedClock()}, &journal{}
	s := openAt(t, home, c, j)
	ctx := caller(t.Context())
	_, err := s.SecretRotate(ctx, &contract.SecretRotateInput{Name: "api", Value: "first"})
	wantCode(t, err, writ.CodeNotFound)
	if set, err := s.SecretSet(ctx, &contract.SecretSetInput{Name: "api", Value: "first"}); err != nil || set.Version != 1 {
		t.Fatalf("%+v, %v", set, err)
	}
	_, err = s.SecretRotate(ctx, &contract.SecretRotateInput{Name: "api", Value: "first"})
	wantCode(t, err, writ.CodeConflict)
	out, err := s.SecretRotate(ctx, &contract.SecretRotateInput{Name: "api", Value: "second", Reason: "90 days old"})
	until := writ.Clock(c.read).Now().Add(DefaultKeepOld)
	if err != nil || out.Version != 2 || out.OldUntil != until || out.Status != "rotated" {
		t.Fatalf("%+v, %v", out, err)
	}
	r := j.batches[1].Records[0].Body.System
	if r.Subject != "api" || r.Status != "rotated" || r.Version != "2" || r.Reason != "90 days old" || r.Details["oldUntil"] != until.String() {
		t.Errorf("%+v", r)
	}
	if text, _ := json.Marshal(j.batches); strings.Contains(string(text), "second") || strings.Contains(string(text), "first") {
		t.Error("a record holds a value")
	}
	if got, err := s.Secret(ctx, tenantA, "api"); err != nil || string(got) != "second" {
		t.Errorf("%q, %v", got, err)
	}
	c.now = c.now.Add(DefaultKeepOld - 1)
	s = openAt(t, home, c, j)
	if got := knownValues(t, s, "api"); got != "second first" {
		t.Errorf("known at the end: %q", got)
	}
	if err := s.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	if got := knownValues(t, s, "api"); got != "second first" {
		t.Errorf("tidied away: %q", got)
	}
	c.now = c.now.Add(1)
	if got := knownValues(t, s, "api"); got != "second" {
		t.Errorf("known after the end: %q", got)
	}
	if list, err := s.List(ctx, tenantA, false); err != nil || list[0].OldUntil != 0 || list[0].Version != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := s.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	if all, err := s.load(); err != nil || len(all[tenantA]["api"].Retired) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestHowLongOldValuesAreKept at the limits.
func TestHowLongOldValuesAreKept(t *testing.T) {
	c := &clockOf{now: fixedClock()}
	s := openAt(t, t.TempDir(), c, &journal{})
	ctx := caller(t.Context())
	if _, err := s.SecretSet(ctx, &contract.SecretSetInput{Name: "api", Value: "v"}); err != nil {
		t.Fatal(err)
	}
	for i, keep := range []time.Duration{time.Nanosecond, MaxKeepOld} {
		out, err := s.SecretRotate(ctx, &contract.SecretRotateInput{Name: "api", Value: fmt.Sprint("v", i), KeepOld: abi.Duration(keep)})
		if err != nil || out.OldUntil != writ.Clock(c.read).Now().Add(keep) {
			t.Errorf("%s: %+v, %v", keep, out, err)
		}
	}
	for _, keep := range []time.Duration{-1, MaxKeepOld + 1} {
		_, err := s.SecretRotate(ctx, &contract.SecretRotateInput{Name: "api", Value: "x", KeepOld: abi.Duration(keep)})
		wantCode(t, err, writ.CodeInvalid)
		_, err = Open(ctx, Options{Home: t.TempDir(), Clock: c.read, KeepOld: keep})
		wantCode(t, err, writ.CodeInvalid)
	}
	// Too many: the oldest goes.
	for i := range MaxRetired + 3 {
		if _, err := s.SecretRotate(ctx, &contract.SecretRotateInput{Name: "api", Value: fmt.Sprint("many", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Fields(knownValues(t, s, "api")); len(got) != MaxRetired+1 || got[MaxRetired] != "many2" {
		t.Errorf("%q", got)
	}
	// What is removed leaves nothing.
	if _, err := s.SecretRemove(ctx, &contract.SecretRemoveInput{Name: "api"}); err != nil {
		t.Fatal(err)
	}
	if got := knownValues(t, s, "api"); got != "" {
		t.Errorf("left: %q", got)
	}
}

// TestPropertyRotation: whatever is set in whatever order, the last value counts, and
// exactly the others whose time is not over are known beside it.
func TestPropertyRotation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e, now := entry{}, writ.Time(1)
		until := map[string]writ.Time{}
		for range rapid.IntRange(1, 6).Draw(rt, "changes") {
			now += writ.Time(rapid.Int64Range(0, 5).Draw(rt, "pause"))
			v := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "value")
			keep := time.Duration(rapid.Int64Range(1, 6).Draw(rt, "keep"))
			before := string(e.Value)
			if changed := e.replace([]byte(v), now, keep); changed != (before != v) {
				rt.Fatalf("%q after %q: changed is %v", v, before, changed)
			}
			if before != "" && before != v {
				until[before] = now.Add(keep)
			}
			delete(until, v)
		}
		have := map[string]writ.Time{}
		for _, r := range e.Retired {
			have[string(r.Value)] = max(have[string(r.Value)], r.Until)
		}
		for v, end := range until {
			if end > now && have[v] < end {
				rt.Fatalf("%q is known until %d, want %d", v, have[v], end)
			}
		}
		if _, twice := have[string(e.Value)]; twice {
			rt.Fatal("the value in force is an old one too")
		}
	})
}

// TestLastUse is merged over processes, and says nothing of what is gone.
func TestLastUse(t *testing.T) {
	home, c := t.TempDir(), &clockOf{now: fixedClock()}
	s := openAt(t, home, c, nil)
	for _, name := range []string{"a", "b"} {
		if err := s.Set(t.Context(), tenantA, name, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	use := func(name string) {
		if _, err := s.Secret(t.Context(), tenantA, name); err != nil {
			t.Fatal(err)
		}
	}
	used := func(name string) writ.Time { return s.lastUsed()[entryKey{tenantA, name}] }
	first := writ.Clock(c.read).Now()
	use("a")
	if used("a") != first || used("b") != 0 {
		t.Errorf("%d %d", used("a"), used("b"))
	}
	if err := s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, home, c, nil)
	c.now = c.now.Add(time.Minute)
	use("b")
	if used("a") != first || used("b") != first.Add(time.Minute) {
		t.Errorf("%d %d", used("a"), used("b"))
	}
	if err := s.Remove(t.Context(), tenantA, "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s = openAt(t, home, c, nil); used("a") != 0 || used("b") == 0 {
		t.Errorf("%d %d", used("a"), used("b"))
	}
	raw, err := os.ReadFile(filepath.Join(home, UsedFile))
	if err != nil || strings.Contains(string(raw), value) {
		t.Errorf("%q, %v", raw, err)
	}
	for _, junk := range []string{"", "{", `{"acme":{"b":"soon"}}`, strings.Repeat(" ", maxUsed) + "{}"} {
		if err := os.WriteFile(filepath.Join(home, UsedFile), []byte(junk), 0o600); err != nil {
			t.Fatal(err)
		}
		if used("b") != 0 {
			t.Errorf("%.20q is believed", junk)
		}
	}
}

// TestFilesOfBeforeVersionsWereCounted are read as version 1.
func TestFilesOfBeforeVersionsWereCounted(t *testing.T) {
	s := open(t, t.TempDir())
	sealed, err := s.seal(tenants{tenantA: {"api": {Value: []byte(value), UpdatedAt: 1}}})
	if err != nil || replaceFile(s.path(File), sealed) != nil {
		t.Fatal(err)
	}
	if list, err := s.List(t.Context(), tenantA, false); err != nil || list[0].Version != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := s.Set(t.Context(), tenantA, "api", []byte("next")); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(t.Context(), tenantA, false); err != nil || list[0].Version != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}
