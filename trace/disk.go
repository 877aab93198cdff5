package trace

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
)

// disk guards the home: one process at a time, and an end of intake before the
// disk is full. Badger writes through memory maps, where a full disk is a SIGBUS
// that nothing can catch.
type disk struct {
	home, db string
	minFree  uint64
	ballast  int64
	free     func(dir string) (uint64, error)
	log      hclog.Logger
	lock     *os.File
	level    atomic.Int32 // of fullness
	mu       sync.Mutex   // guards the ballast file
}

// Levels of fullness.
const (
	levelFree    = iota
	levelNoNew   // new streams are refused: what runs can still end
	levelNothing // everything is refused
)

func openDisk(opts *Options) (*disk, error) {
	d := &disk{
		home: opts.Dir, db: filepath.Join(opts.Dir, "db"), minFree: opts.MinFree,
		ballast: opts.Ballast, free: opts.Free, log: opts.Logger,
	}
	const op = "journal: open"
	if err := os.MkdirAll(d.home, 0o700); err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	lock, err := lockFile(filepath.Join(d.home, "lock"))
	if err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, op, "another process has %s open: %w", d.home, err).
			WithFix("a daemon is running: use --server, or stop it")
	}
	d.lock = lock
	d.check()
	return d, nil
}

func (d *disk) ballastPath() string { return filepath.Join(d.home, "ballast") }

// check reads the free space and sets the level. It gives the ballast up where
// even what runs must stop, so that a sweep has room to work in.
func (d *disk) check() {
	free, err := d.free(d.home)
	if err != nil {
		d.log.Warn("free space is not known", "error", err)
		return
	}
	level := int32(levelFree)
	switch {
	case free < d.minFree/2:
		level = levelNothing
	case free < d.minFree:
		level = levelNoNew
	}
	if before := d.level.Swap(level); before != level {
		d.log.Warn("free space", "bytes", free, "minimum", d.minFree, "level", level)
	}
	if level == levelNothing {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := os.Remove(d.ballastPath()); err == nil {
			d.log.Warn("the disk is full: the ballast was given up", "bytes", d.ballast)
		}
	}
}

// refuse is CodeUnavailable where the disk has no room for the batch.
func (d *disk) refuse(newStream bool) error {
	if d == nil {
		return nil
	}
	if d.level.Load() != levelFree {
		d.check()
	}
	level := d.level.Load()
	if level == levelNothing || (level == levelNoNew && newStream) {
		return writ.Errorf(writ.CodeUnavailable, "journal: append", "the disk of %s is almost full", d.home).
			WithFix("free at least %d MiB, or sweep what has expired", d.minFree>>20)
	}
	return nil
}

// restoreBallast makes the file again once there is room for it twice.
func (d *disk) restoreBallast() {
	if d.ballast <= 0 || d.level.Load() != levelFree {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if info, err := os.Stat(d.ballastPath()); err == nil && info.Size() == d.ballast {
		return
	}
	free, err := d.free(d.home)
	if err != nil || free < d.minFree+2*uint64(d.ballast) {
		return
	}
	if err := writeBallast(d.ballastPath(), d.ballast); err != nil {
		d.log.Warn("no ballast", "error", err)
	}
}

// writeBallast writes zeros: a sparse file would hold no space.
func writeBallast(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for size > 0 && err == nil {
		var n int
		n, err = file.Write(zeros[:min(size, int64(len(zeros)))])
		size -= int64(n)
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (d *disk) close() {
	if err := d.lock.Close(); err != nil {
		d.log.Warn("unlock", "error", err)
	}
}
