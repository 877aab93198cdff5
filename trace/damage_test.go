package trace_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/trace"
)

// homes are one store three times: as it was at a third of its life, as a crash
// left it (its records in the write-ahead log) and as a clean end left it (its
// records in tables).
type homes struct{ early, crashed, clean string }

func makeHomes(t *testing.T) homes {
	t.Helper()
	dir := t.TempDir()
	j := open(t, options(dir))
	var h homes
	for i := range 30 {
		begin(t, j, i, 5)
		if i == 9 {
			h.early = copyHome(t, dir)
		}
	}
	if _, err := j.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.crashed = copyHome(t, dir)
	closeJournal(t, j)
	// More in a second life, so that the first table is not the last.
	j = open(t, options(dir))
	for i := range 10 {
		begin(t, j, 100+i, 5)
	}
	closeJournal(t, j)
	h.clean = dir
	return h
}

// detected opens the home and says whether the damage shows, at Open or when
// everything is verified.
func detected(t *testing.T, home string) (atOpen, atAll bool) {
	t.Helper()
	j, err := trace.Open(context.Background(), options(home))
	if err != nil {
		wantCode(t, err, writ.CodeTampered)
		return true, true
	}
	defer closeJournal(t, j)
	report, err := j.VerifyAll(context.Background(), "")
	return false, writ.IsCode(err, writ.CodeTampered) || (err == nil && !report.Valid())
}

// largest finds the file of a kind that holds the most.
func largest(t *testing.T, home, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(home, "db", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	best, size := "", int64(-1)
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size {
			best, size = name, info.Size()
		}
	}
	return best
}

func flipAt(t *testing.T, path string, offset int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x55
	if _, err := file.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string, size int64) {
	t.Helper()
	if size < 0 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func TestDamageIsNeverAccepted(t *testing.T) {
	h := makeHomes(t)
	for name, damage := range map[string]func(t *testing.T) string{
		"log deleted": func(t *testing.T) string {
			home := copyHome(t, h.crashed)
			remove(t, largest(t, home, "*.mem"))
			return home
		},
		"log emptied": func(t *testing.T) string {
			home := copyHome(t, h.crashed)
			cut(t, largest(t, home, "*.mem"), 0)
			return home
		},
		"log truncated": func(t *testing.T) string {
			home := copyHome(t, h.crashed)
			cut(t, largest(t, home, "*.mem"), 60_000)
			return home
		},
		"byte of the log flipped": func(t *testing.T) string {
			home := copyHome(t, h.crashed)
			flipAt(t, largest(t, home, "*.mem"), 50_000)
			return home
		},
		"manifest missing": func(t *testing.T) string {
			home := copyHome(t, h.clean)
			remove(t, filepath.Join(home, "db", "MANIFEST"))
			return home
		},
		"manifest cut": func(t *testing.T) string {
			home := copyHome(t, h.clean)
			cut(t, filepath.Join(home, "db", "MANIFEST"), -5)
			return home
		},
		"manifest flipped": func(t *testing.T) string {
			home := copyHome(t, h.clean)
			flipAt(t, filepath.Join(home, "db", "MANIFEST"), 20)
			return home
		},
		"table missing": func(t *testing.T) string {
			home := copyHome(t, h.clean)
			remove(t, largest(t, home, "*.sst"))
			return home
		},
		"byte of a table flipped": func(t *testing.T) string {
			home := copyHome(t, h.clean)
			flipAt(t, largest(t, home, "*.sst"), 3000)
			return home
		},
		"database missing": func(t *testing.T) string {
			home := copyHome(t, h.clean)
			remove(t, filepath.Join(home, "db"))
			return home
		},
		"older database restored": func(t *testing.T) string {
			home := copyHome(t, h.early)
			copyFile(t, filepath.Join(h.clean, "anchor"), filepath.Join(home, "anchor"))
			return home
		},
		"anchor missing": func(t *testing.T) string {
			home := copyHome(t, h.clean)
			remove(t, filepath.Join(home, "anchor"))
			return home
		},
		"anchor flipped": func(t *testing.T) string {
			home := copyHome(t, h.clean)
			flipAt(t, filepath.Join(home, "anchor"), 40)
			return home
		},
	} {
		t.Run(name, func(t *testing.T) {
			atOpen, atAll := detected(t, damage(t))
			if !atAll {
				t.Fatal("the store was accepted")
			}
			if !atOpen {
				t.Fatal("the store opened; only a full verification found it")
			}
		})
	}
	for _, home := range []string{h.crashed, h.clean} {
		if _, atAll := detected(t, copyHome(t, home)); atAll {
			t.Fatal("an undamaged copy was refused")
		}
	}
}

// Damage anywhere in a table is an error of Open or changes nothing, and is never
// the end of the process.
func TestFlippedTableIsAnError(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	for i := range 10 {
		begin(t, j, i, 5)
	}
	closeJournal(t, j)
	path := largest(t, dir, "*.sst")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		// The last bytes are lengths: they are drawn more often.
		end := rapid.Bool().Draw(r, "end")
		span := map[bool]int64{true: min(64, info.Size()), false: info.Size()}[end]
		offset := info.Size() - 1 - rapid.Int64Range(0, span-1).Draw(r, "offset")
		flipAt(t, path, offset)
		damaged, err := trace.Open(context.Background(), options(dir))
		flipAt(t, path, offset)
		if err != nil {
			wantCode(t, err, writ.CodeTampered)
			return
		}
		// Compression has more than one form of the same data: then nothing is lost.
		checkAll(t, damaged, map[int]uint64{0: 7, 9: 7})
		closeJournal(t, damaged)
	})
	checkAll(t, open(t, options(dir)), map[int]uint64{9: 7})
}

// Loss in the middle of the store, with newer records intact.
func TestManifestCutWithNewerRecords(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	for i := range 20 {
		begin(t, j, i, 5)
	}
	closeJournal(t, j)
	j = open(t, options(dir))
	begin(t, j, 50, 300)
	home := copyHome(t, dir)
	closeJournal(t, j)
	cut(t, filepath.Join(home, "db", "MANIFEST"), -5)
	if atOpen, _ := detected(t, home); !atOpen {
		t.Fatal("the store opened")
	}
}

func TestEmptyFilesOfACrashAreRemoved(t *testing.T) {
	h := makeHomes(t)
	home := copyHome(t, h.crashed)
	for _, name := range []string{"00099.mem", "000099.vlog"} {
		if err := os.WriteFile(filepath.Join(home, "db", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, options(home))
	checkAll(t, j, map[int]uint64{0: 7, 29: 7})
}

func TestReanchorUnsafeAccepts(t *testing.T) {
	h := makeHomes(t)
	home := copyHome(t, h.early)
	copyFile(t, filepath.Join(h.clean, "anchor"), filepath.Join(home, "anchor"))
	opts := options(home)
	opts.ReanchorUnsafe = true
	closeJournal(t, open(t, opts))
	checkAll(t, open(t, options(home)), map[int]uint64{9: 7})
}

func TestOtherHostKeyIsRefused(t *testing.T) {
	h := makeHomes(t)
	opts := options(copyHome(t, h.clean))
	opts.Origin = "other.example"
	_, err := trace.Open(context.Background(), opts)
	wantCode(t, err, writ.CodeTampered)
}
