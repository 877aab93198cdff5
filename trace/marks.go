package trace

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	badger "github.com/dgraph-io/badger/v4"
)

// tableMarks are the tables whose checksums were right, each with what the
// system says of the file: a table never changes, so Open reads those alone that
// are new or were touched. The file that keeps them only saves time. What a disk
// changes by itself shows when keepTables comes to that table.
type tableMarks map[string]string

// settledAfter is how old a file must be before its mark counts: within one tick
// of the system's clock a change would not show.
const settledAfter = time.Second

func marksPath(home string) string { return filepath.Join(home, "tables") }

// readMarks knows nothing where the file is not there or not whole.
func readMarks(home string) tableMarks {
	marks := tableMarks{}
	raw, err := os.ReadFile(marksPath(home))
	if err != nil || json.Unmarshal(raw, &marks) != nil {
		return tableMarks{}
	}
	return marks
}

// write replaces the file without a sync: an older one only costs time.
func (m tableMarks) write(home string) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	temporary := marksPath(home) + ".new"
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, marksPath(home))
}

// note marks a file that was read after info was taken.
func (m tableMarks) note(info fs.FileInfo, now time.Time) {
	if now.Sub(info.ModTime()) > settledAfter {
		m[info.Name()] = mark(info)
	}
}

// Parts of a pause of keepTables: after a table that has no mark, which an Open
// would have to read; and where it has read all.
const (
	newTablePart = 20
	idlePauses   = 10
)

// keepTables reads every table again, one after the other, and those that are
// written in the meantime. Damage, or a database that has gone, poisons the
// writer: the process exits, and the next Open says what is wrong.
func (j *Journal) keepTables() {
	if j.disk == nil {
		return
	}
	read := map[string]bool{}
	pause := time.NewTimer(j.opts.VerifyEvery)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-j.stop:
			return
		}
		next, err := j.checkNext(read)
		if err != nil {
			j.poison(damaged(err))
			return
		}
		pause.Reset(next)
	}
}

// checkNext reads one table that was not read yet, those without a mark first,
// and says how long to wait.
func (j *Journal) checkNext(read map[string]bool) (time.Duration, error) {
	names, err := liveTables(j.disk.db)
	if err != nil {
		return 0, err
	}
	marks := readMarks(j.disk.home)
	for name := range read {
		if !names[name] {
			delete(read, name)
		}
	}
	next := ""
	for name := range names {
		if _, marked := marks[name]; !marked && !read[name] {
			read[name] = true
			return j.opts.VerifyEvery / newTablePart, j.checkAgain(name, marks, names)
		}
		if !read[name] {
			next = name
		}
	}
	if next == "" {
		return idlePauses * j.opts.VerifyEvery, nil
	}
	read[next] = true
	return j.opts.VerifyEvery, j.checkAgain(next, marks, names)
}

// checkAgain reads a table that Badger may remove while it is read.
func (j *Journal) checkAgain(name string, marks tableMarks, named map[string]bool) error {
	path := filepath.Join(j.disk.db, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = checkTable(path)
	}
	maps.DeleteFunc(marks, func(marked, _ string) bool { return !named[marked] })
	if err == nil {
		marks.note(info, j.opts.Clock())
		if err := marks.write(j.disk.home); err != nil {
			j.log.Warn("which tables are whole is not kept", "error", err)
		}
		return nil
	}
	if live, liveErr := liveTables(j.disk.db); liveErr == nil && !live[name] {
		return nil
	}
	delete(marks, name)
	return errors.Join(err, marks.write(j.disk.home))
}

// liveTables are the tables that the manifest names.
func liveTables(dir string) (map[string]bool, error) {
	file, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return manifestTables(file, dir)
}

// faultsPanic makes a read of a map whose file was cut off an error, for the
// calling goroutine until restore is called.
func faultsPanic() (restore func()) {
	before := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(before) }
}
