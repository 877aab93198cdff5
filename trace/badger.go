package trace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
)

// Sizes that keep an idle daemon small and a busy one writing what is new: Badger's
// defaults merge a few tables again and again, which took a third of a load's rate.
// A transaction holds at most 15 % of a memtable, 4.8 MiB; larger payloads are
// written in pieces before it.
const (
	memTableSize   = 32 << 20
	levelZero      = 8 // full memtables before they are merged; each is looked at by a read
	baseLevel      = 128 << 20
	tableSize      = 16 << 20
	valueThreshold = 1 << 20 // Badger's maximum; every value of ours is smaller
	valueLogSize   = 16 << 20

	// A block that is not compressed is read where the map has it, without a copy
	// and without a cache, which a store of a million executions does not fit.
	tableCompression = options.None
)

func badgerOptions(opts *Options, broken func(error)) badger.Options {
	dir := ""
	if !opts.InMemory {
		dir = filepath.Join(opts.Dir, "db")
	}
	o := badger.DefaultOptions(dir).
		WithInMemory(opts.InMemory).
		WithSyncWrites(badgerSyncs && !opts.InMemory).
		WithDetectConflicts(false). // one writer
		WithMetricsEnabled(false).
		WithMemTableSize(memTableSize).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithNumLevelZeroTables(levelZero).
		WithNumLevelZeroTablesStall(3 * levelZero).
		WithBaseLevelSize(baseLevel).
		WithBaseTableSize(tableSize).
		WithNumGoroutines(2).
		WithBlockCacheSize(0). // blocks are read from the map
		WithValueLogFileSize(valueLogSize).
		WithCompression(tableCompression).
		WithLogger(&logBridge{opts.Logger.Named("badger"), broken}).
		WithChecksumVerificationMode(options.NoVerification) // see checkTables
	if !opts.InMemory {
		o = o.WithValueThreshold(valueThreshold)
	}
	return o
}

// openBadger turns the panics that Badger answers some damage with into errors.
func openBadger(opts *Options, broken func(error)) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged(fmt.Errorf("%v", r))
		}
	}()
	db, err = badger.OpenManaged(badgerOptions(opts, broken))
	if err != nil {
		return nil, damaged(err)
	}
	return db, nil
}

func damaged(err error) error {
	return writ.Errorf(writ.CodeTampered, "journal: open", "the database cannot be read: %w", err).
		WithFix("restore the home (db and anchor together) from a backup; do not delete files in db")
}

// prepareDir removes what a crash leaves and Badger cannot open, and says what
// makes a full check of the positions necessary.
func prepareDir(d *disk, now time.Time) (suspicious string, err error) {
	dir := d.db
	const op = "journal: open"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return "", writ.Errorf(writ.CodeUnavailable, op, "%w", err)
		}
		// A crash between create and truncate leaves a file of no bytes, which
		// holds nothing and makes Open fail.
		if ext := filepath.Ext(entry.Name()); info.Size() == 0 && (ext == ".mem" || ext == ".vlog") {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return "", writ.Errorf(writ.CodeUnavailable, op, "%w", err)
			}
		}
	}
	marks := readMarks(d.home)
	if err := checkTables(dir, entries, marks, now); err != nil {
		return "", err
	}
	if err := marks.write(d.home); err != nil {
		return "", writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	return inspectManifest(dir, entries)
}

// inspectManifest looks for tables that the manifest does not name: Badger
// deletes them without a word. A crash in the middle of a compaction leaves such
// tables too, so this is a reason to look closer, not a proof.
func inspectManifest(dir string, entries []os.DirEntry) (string, error) {
	file, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil // a new store, or one that the anchor will miss
	}
	if err != nil {
		return "", writ.Errorf(writ.CodeUnavailable, "journal: open", "%w", err)
	}
	defer file.Close()
	manifest, end, err := badger.ReplayManifestFile(file, 0, badger.DefaultOptions(dir))
	if err != nil {
		return "", damaged(err)
	}
	if info, err := file.Stat(); err == nil && info.Size() != end {
		return "the end of MANIFEST is cut off", nil
	}
	for _, entry := range entries {
		var id uint64
		if n, err := fmt.Sscanf(entry.Name(), "%d.sst", &id); n != 1 || err != nil {
			continue
		}
		if _, ok := manifest.Tables[id]; !ok {
			return entry.Name() + " is not in MANIFEST", nil
		}
	}
	return "", nil
}

// viewClock gives readers the timestamp of the last finished commit and tells
// Badger which versions nobody reads any more.
type viewClock struct {
	db     *badger.DB
	mu     sync.Mutex // guards what follows
	idle   sync.Cond
	now    uint64
	active map[uint64]int
	count  int
	closed bool
}

func (c *viewClock) start(db *badger.DB) {
	c.db, c.now, c.active = db, db.MaxVersion(), map[uint64]int{}
	c.idle.L = &c.mu
}

// advance makes the commit at ts visible.
func (c *viewClock) advance(ts uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = ts
	oldest := ts
	for at := range c.active {
		oldest = min(oldest, at)
	}
	// Of each key the newest version at or below this is kept, no older one.
	c.db.SetDiscardTs(oldest)
}

func (c *viewClock) next() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now + 1
}

func (c *viewClock) enter() (ts uint64, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, false
	}
	c.active[c.now]++
	c.count++
	return c.now, true
}

func (c *viewClock) leave(ts uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active[ts]--; c.active[ts] == 0 {
		delete(c.active, ts)
	}
	if c.count--; c.count == 0 {
		c.idle.Broadcast()
	}
}

// close returns when no view is open, and none will be.
func (c *viewClock) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.count > 0 {
		c.idle.Wait()
	}
}

// view reads durable state. CodeUnavailable after Close.
func (j *Journal) view(fn func(txn *badger.Txn) error) error {
	ts, open := j.views.enter()
	if !open {
		return writ.Errorf(writ.CodeUnavailable, "journal: read", "the journal is closed")
	}
	defer j.views.leave(ts)
	txn := j.db.NewTransactionAt(ts, false)
	defer txn.Discard()
	return fn(txn)
}

// get is nil, nil where there is no value.
func get(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(err)
	}
	value, err := item.ValueCopy(nil)
	if err != nil {
		return nil, unreadable(err)
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}

func unreadable(err error) error {
	return writ.Errorf(writ.CodeTampered, "journal: read", "the database cannot be read: %w", err)
}

// scan calls fn for keys with the prefix from start on, until it returns false.
// Values are read one by one: prefetching them takes twice as long.
func scan(txn *badger.Txn, prefix, start []byte, fn func(item *badger.Item) (bool, error)) error {
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues, opts.PrefetchSize, opts.Prefix = false, 1, prefix
	it := txn.NewIterator(opts)
	defer it.Close()
	if bytes.Compare(start, prefix) < 0 {
		start = prefix
	}
	for it.Seek(start); it.ValidForPrefix(prefix); it.Next() {
		more, err := fn(it.Item())
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// logBridge hands on what Badger logs. What it calls an error it goes on from by
// trying for ever, such as a memtable that it cannot write to a table because the
// directory has gone: there is no other sign of it.
type logBridge struct {
	log    hclog.Logger
	broken func(error)
}

func (b *logBridge) line(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}

// Errorf implements badger.Logger.
func (b *logBridge) Errorf(format string, args ...any) {
	line := b.line(format, args)
	b.log.Error(line)
	b.broken(errors.New(line))
}

// Warningf implements badger.Logger.
func (b *logBridge) Warningf(format string, args ...any) { b.log.Warn(b.line(format, args)) }

// Infof implements badger.Logger: what Badger informs of concerns its developers.
func (b *logBridge) Infof(format string, args ...any) { b.log.Debug(b.line(format, args)) }

// Debugf implements badger.Logger.
func (b *logBridge) Debugf(format string, args ...any) { b.log.Trace(b.line(format, args)) }
