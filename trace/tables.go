package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

// checkTables reads tables with all their checksums before Badger does, but those
// that were read before and were not touched since. With
// checks at each block a damaged table makes keys look absent, without any it
// gives wrong bytes, and Badger's own check at Open dies of a nil pointer in a
// goroutine where damage does not decompress. It costs some milliseconds a MiB.
//
// A table that the manifest does not name was being written when the process
// died: Badger drops it, and what it would have held is still in the log.
func checkTables(dir string, entries []os.DirEntry, marks tableMarks, now time.Time) error {
	named, err := namedTables(dir)
	if err != nil {
		return damaged(err)
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".sst" || !named(entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return damaged(err)
		}
		if marks[entry.Name()] == mark(info) {
			continue
		}
		if err := checkTable(filepath.Join(dir, entry.Name())); err != nil {
			return damaged(fmt.Errorf("table %s: %w", entry.Name(), err))
		}
		marks.note(info, now)
	}
	return nil
}

// namedTables tells which tables the manifest names. Without a manifest, which
// is judged elsewhere, every table counts.
func namedTables(dir string) (func(file string) bool, error) {
	file, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return func(string) bool { return true }, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := manifestTables(file, dir)
	if err != nil {
		return nil, err
	}
	return func(file string) bool { return names[file] }, nil
}

func manifestTables(file *os.File, dir string) (map[string]bool, error) {
	manifest, _, err := badger.ReplayManifestFile(file, 0, badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	names := make(map[string]bool, len(manifest.Tables))
	for id := range manifest.Tables {
		names[table.IDToFilename(id)] = true
	}
	return names, nil
}

func checkTable(path string) (err error) {
	defer faultsPanic()()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	if err := checkFooter(path); err != nil {
		return err
	}
	mapped, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defaults := badger.DefaultOptions("")
	opened, err := table.OpenTable(mapped, table.Options{
		ReadOnly: true, ChkMode: options.OnTableRead, Compression: tableCompression,
		BlockSize: defaults.BlockSize, BloomFalsePositive: defaults.BloomFalsePositive,
	})
	if err != nil {
		return err
	}
	return opened.Close(-1)
}

var errFooter = errors.New("the end of the file is damaged")

// checkFooter bounds the lengths at the end of a table, beyond which Badger ends
// the process: index, length of it, checksum, length of it.
func checkFooter(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	at := info.Size()
	for range 2 {
		if at -= 4; at < 0 {
			return errFooter
		}
		var length [4]byte
		if _, err := file.ReadAt(length[:], at); err != nil {
			return err
		}
		if at -= int64(binary.BigEndian.Uint32(length[:])); at < 0 {
			return errFooter
		}
	}
	return nil
}
