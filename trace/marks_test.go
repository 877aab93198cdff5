package trace

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/writ-run/writ"
)

// watched opens a store that reads its tables again without a pause.
func watched(t *testing.T, dir string) (*Journal, chan error) {
	t.Helper()
	seed := sha256.Sum256([]byte("test host"))
	poisonedBy := make(chan error, 1)
	j, err := Open(context.Background(), Options{
		// Every file is old enough for its mark to count.
		Dir: dir, Clock: func() time.Time { return time.Now().Add(time.Hour) }, Signer: ed25519.NewKeyFromSeed(seed[:]), Ballast: -1,
		VerifyEvery: time.Microsecond, OnPoison: func(err error) { poisonedBy <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	return j, poisonedBy
}

func closed(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// tableOf makes a store with one table and returns the table's path.
func tableOf(t *testing.T, dir string) string {
	t.Helper()
	j, _ := watched(t, dir)
	appendNotes(t, j, "exe_1", 50)
	closed(t, j)
	tables, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	return tables[0]
}

func damage(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/3] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A table that was read is not read again at Open, until somebody touches it.
func TestTouchedTableIsReadAtOpen(t *testing.T) {
	dir := t.TempDir()
	path := tableOf(t, dir)
	j, _ := watched(t, dir)
	closed(t, j)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if marks := readMarks(dir); marks[filepath.Base(path)] != mark(info) {
		t.Fatalf("marks %v, want %s at %s", marks, mark(info), path)
	}
	damage(t, path)
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), j.opts); !writ.IsCode(err, writ.CodeTampered) {
		t.Fatalf("opened: %v", err)
	}
}

// What a disk changes by itself touches nothing: the store opens, finds it while
// it is in use, and does not open again.
func TestRottenTableEndsTheJournal(t *testing.T) {
	dir := t.TempDir()
	path := tableOf(t, dir)
	damage(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	marks := tableMarks{filepath.Base(path): mark(info)}
	if err := marks.write(dir); err != nil {
		t.Fatal(err)
	}
	j, poisonedBy := watched(t, dir)
	if err := <-poisonedBy; !writ.IsCode(err, writ.CodeTampered) {
		t.Fatalf("poisoned by %v", err)
	}
	_, err = j.Append(context.Background(), &writ.Batch{Tenant: "default", Stream: "exe_2", Records: []writ.NewRecord{{Type: writ.RecSealed, Time: 1}}})
	if !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("append said %v", err)
	}
	if err := j.Close(context.Background()); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("close said %v", err)
	}
	if _, err := Open(context.Background(), j.opts); !writ.IsCode(err, writ.CodeTampered) {
		t.Fatalf("opened again: %v", err)
	}
}

func TestVanishedDatabaseEndsTheJournal(t *testing.T) {
	dir := t.TempDir()
	j, poisonedBy := watched(t, dir)
	if err := os.Rename(filepath.Join(dir, "db"), filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := <-poisonedBy; err == nil {
		t.Fatal("no cause")
	}
	j.badgerFailed(os.ErrNotExist) // the second cause: said once
	if err := os.Rename(filepath.Join(dir, "gone"), filepath.Join(dir, "db")); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(context.Background()); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("close said %v", err)
	}
}

func TestMarksThatAreNotWholeMarkNothing(t *testing.T) {
	dir := t.TempDir()
	for _, raw := range []string{"", "{", `{"000001.sst":1}`, `[]`} {
		if err := os.WriteFile(marksPath(dir), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if marks := readMarks(dir); len(marks) != 0 {
			t.Errorf("%q marks %v", raw, marks)
		}
	}
	now := time.Now()
	path := filepath.Join(dir, "new")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	marks := tableMarks{}
	if marks.note(info, now.Add(settledAfter/2)); len(marks) != 0 {
		t.Error("a file that may still change was marked")
	}
	if marks.note(info, now.Add(2*settledAfter)); len(marks) != 1 {
		t.Error("an old file was not marked")
	}
}
