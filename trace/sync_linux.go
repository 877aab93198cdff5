package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// badgerSyncs is whether Badger makes its commits durable itself.
const badgerSyncs = false

// logSync makes a commit durable with one sync. Badger's SyncWrites takes two, of
// its log and of a value log in which we keep nothing, and it only logs an error
// of the second. Linux writes what was changed through a memory map when another
// descriptor of the file is synced.
//
// A commit stands as a whole in the newest log: Badger begins a new one before it
// writes, never in between, and nobody but the writer commits. So the log before
// was synced with the last commit that went to it.
type logSync struct {
	dir    string
	number int
	file   *os.File // nil: nothing is synced
}

// open syncs all logs that are there, which may hold what a killed process had
// not synced, and the directory.
func (s *logSync) open(dir string) error {
	s.dir = dir
	names, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	numbers := make([]int, len(names))
	for i, name := range names {
		if _, err := fmt.Sscanf(filepath.Base(name), "%d.mem", &numbers[i]); err != nil || filepath.Base(name) != logName(numbers[i]) {
			return fmt.Errorf("%s is not a log of Badger", name)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		// The ones before the newest go as soon as their tables are written.
		if err := s.turn(number); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
	if s.file == nil {
		return fmt.Errorf("%s holds no log of Badger", dir)
	}
	return nil
}

func logName(number int) string { return fmt.Sprintf("%05d.mem", number) }

// turn makes a log the one that is synced, and its name durable.
func (s *logSync) turn(number int) error {
	file, err := os.Open(filepath.Join(s.dir, logName(number)))
	if err != nil {
		return err
	}
	s.close()
	s.number, s.file = number, file
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// sync returns when the last commit is on disk.
func (s *logSync) sync() error {
	if s.file == nil {
		return nil
	}
	for {
		_, err := os.Lstat(filepath.Join(s.dir, logName(s.number+1)))
		if errors.Is(err, fs.ErrNotExist) {
			return s.flush()
		}
		if err != nil {
			return err
		}
		if err := s.turn(s.number + 1); err != nil {
			return err
		}
	}
}

func (s *logSync) flush() error {
	if s.file == nil {
		return nil
	}
	for {
		err := syscall.Fdatasync(int(s.file.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// close has nothing to lose: what was acknowledged is synced.
func (s *logSync) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}
