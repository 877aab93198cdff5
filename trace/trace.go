package trace

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"hash/maphash"
	"io"
	"path/filepath"
	"sync"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
)

// Options say where and how a journal is kept. Clock is required, and a Signer
// where there is a Dir.
type Options struct {
	// Dir is the home: the database is in Dir/db, the signed checkpoint in
	// Dir/anchor. It is created where it is missing.
	Dir string
	// InMemory keeps everything in memory, for tests; Dir must be empty then.
	InMemory bool
	Clock    writ.Clock
	Entropy  io.Reader // salts; nil: crypto/rand
	// Signer is the host's Ed25519 key. Nil is allowed in memory alone and means
	// a key that is forgotten at Close.
	Signer crypto.Signer
	// Origin names the log in its checkpoints, a host name or a URL without
	// scheme. Empty: "writ.local".
	Origin string
	Logger hclog.Logger // nil: nothing is logged

	// CommitAge is how long a batch waits for company where no barrier waits for
	// it. Zero: 10 ms: what a short execution writes goes with the sync of its answer.
	CommitAge time.Duration
	// AnchorEvery bounds how much a restored database can lack without being
	// found out. Zero: 1 s.
	AnchorEvery time.Duration
	// VerifyEvery is the pause between two tables of the database that are read
	// again while it is in use; ten of them pass between two looks for new tables.
	// Zero: 1 s.
	VerifyEvery time.Duration
	// MinFree is the free space, in bytes, under which intake stops. Zero: 256 MiB.
	MinFree uint64
	// Free reads the free space of a directory. Nil: the system's.
	Free func(dir string) (uint64, error)
	// Ballast is the size, in bytes, of a file that is given up when the disk is
	// full, so that the store can open and be swept. Zero: 32 MiB; negative: none.
	Ballast int64

	Retention Retention
	// Hosts are the keys of other hosts whose evidence this one accepts.
	Hosts []ed25519.PublicKey
	// Attach gives what an exported bundle needs to be replayed elsewhere: the
	// bundles of the skills and policies that its records name, by names of the
	// caller's choice. Nil: nothing.
	Attach func(ctx context.Context, tenant writ.TenantID, skills []writ.SkillRef, policies []writ.Digest) (map[string][]byte, error)
	// Keep takes what an imported bundle's Attach gave, before the import counts.
	// Nil: it is dropped.
	Keep func(ctx context.Context, attachments map[string][]byte) error
	// OnPoison is called once, when a commit has failed, a table is damaged or
	// Badger complains of its files: the process must exit and recover from what
	// is on disk.
	OnPoison func(error)
	// OnCommit is called by the writer after each durable commit with the last
	// position in it. It holds up all writers, so it must be quick.
	OnCommit func(writ.Position)
	// ReanchorUnsafe accepts the database as it stands and signs a new anchor. An
	// operator asks for it after looking into why the two differ.
	ReanchorUnsafe bool
}

// Journal implements writ.Journal, writ.Traces, writ.Store and writ.Notes.
type Journal struct {
	opts   Options
	log    hclog.Logger
	db     *badger.DB
	disk   *disk // nil in memory
	signer *hostSigner
	views  viewClock

	tracks map[string]*track // of the writer alone
	spare  []*strand         // of the writer alone
	slots  slots             // of the writer alone
	live   openIndex
	synced logSync // of the writer alone

	seed    maphash.Seed
	streams [streamLocks]sync.Mutex // of lockStreams; taken before mu

	anchorMu sync.Mutex // one anchor at a time; taken before mu

	mu            sync.Mutex       // guards what follows
	heads         map[string]*head // never changed, only replaced
	position      writ.Position    // of the last accepted record
	chain         [32]byte         // store chain up to position
	pending       []*batch
	bytes         int           // in pending
	durable       writ.Position // of the last record on disk
	wanted        writ.Position // highest position that a barrier waits for
	anchored      writ.Position // what the last anchor covers
	anchorWritten bool
	stored        state // what the last commit made durable
	waiters       []waiter
	jobs          []job         // for the writer, between commits
	committed     chan struct{} // closed and replaced at each commit
	failed        error
	closing       bool

	kick    chan struct{} // wakes the writer
	stop    chan struct{} // closed by Close
	workers sync.WaitGroup
}

// state is what a commit leaves behind: the members of the meta document and
// of the anchor.
type state struct {
	Position writ.Position `json:"position"`
	Chain    []byte        `json:"chain"` // 32 bytes
	Leaves   int64         `json:"leaves"`
}

// job is work that must not run beside a commit. Its error is the caller's; what
// it could not commit poisons the writer.
type job struct {
	run  func() error
	done chan error
}

type waiter struct {
	position writ.Position
	done     chan error
}

var (
	_ writ.Journal = (*Journal)(nil)
	_ writ.Traces  = (*Journal)(nil)
	_ writ.Store   = (*Journal)(nil)
	_ writ.Notes   = (*Journal)(nil)
)

const (
	defaultCommitAge   = 10 * time.Millisecond
	defaultAnchorEvery = time.Second
	defaultVerifyEvery = time.Second
	defaultMinFree     = 256 << 20
	defaultBallast     = 32 << 20
	defaultOrigin      = "writ.local"
)

func (o *Options) complete() error {
	const op = "journal: open"
	switch {
	case o.Clock == nil:
		return writ.Errorf(writ.CodeInvalid, op, "no clock is given")
	case o.InMemory == (o.Dir != ""):
		return writ.Errorf(writ.CodeInvalid, op, "want either a directory or InMemory")
	case o.Signer == nil && !o.InMemory:
		return writ.Errorf(writ.CodeInvalid, op, "no host key is given").WithFix("run `writ init` to make one")
	}
	if o.Entropy == nil {
		o.Entropy = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Free == nil {
		o.Free = freeSpace
	}
	o.Origin = orDefault(o.Origin, defaultOrigin)
	o.CommitAge = orDefault(o.CommitAge, defaultCommitAge)
	o.AnchorEvery = orDefault(o.AnchorEvery, defaultAnchorEvery)
	o.VerifyEvery = orDefault(o.VerifyEvery, defaultVerifyEvery)
	o.MinFree = orDefault(o.MinFree, defaultMinFree)
	o.Ballast = orDefault(o.Ballast, defaultBallast)
	o.Retention.complete()
	return nil
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// Open opens or creates a journal. CodeTampered where the database is not what
// the anchor signed (say so and exit 5), CodeUnavailable where another process
// has it open, it was written by a newer version, or the disk is full.
func Open(ctx context.Context, opts Options) (*Journal, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, contextError("journal: open", err)
	}
	signer, err := newHostSigner(&opts)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		opts: opts, log: opts.Logger, signer: signer,
		tracks: map[string]*track{}, heads: map[string]*head{}, seed: maphash.MakeSeed(),
		committed: make(chan struct{}), kick: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	if err := j.open(); err != nil {
		j.abandon()
		return nil, err
	}
	j.workers.Go(j.write)
	j.workers.Go(j.keepAnchor)
	j.workers.Go(j.keepTables)
	return j, nil
}

func (j *Journal) open() error {
	suspicious := ""
	if !j.opts.InMemory {
		var err error
		if j.disk, err = openDisk(&j.opts); err != nil {
			return err
		}
		if suspicious, err = prepareDir(j.disk, j.opts.Clock()); err != nil {
			return err
		}
	}
	db, err := openBadger(&j.opts, j.badgerFailed)
	if err != nil {
		return err
	}
	j.db = db
	j.views.start(db)
	if j.disk != nil {
		if err := j.synced.open(j.disk.db); err != nil {
			return writ.Errorf(writ.CodeUnavailable, "journal: open", "what an earlier process wrote cannot be made durable: %w", err).
				WithFix("look at the disk, then start again")
		}
	}
	return j.recoverState(suspicious)
}

// badgerFailed is what Badger calls when something is wrong with its files. While
// the journal closes Close says so.
func (j *Journal) badgerFailed(err error) {
	j.mu.Lock()
	closing := j.closing
	j.mu.Unlock()
	if !closing {
		j.poison(err)
	}
}

// abandon releases what a failed Open holds.
func (j *Journal) abandon() {
	if j.db != nil {
		if err := j.db.Close(); err != nil {
			j.log.Error("close after a failed open", "error", err)
		}
	}
	j.synced.close()
	if j.disk != nil {
		j.disk.close()
	}
}

// Close writes what is pending, signs the anchor and closes the database. It
// returns the first error; CodeUnavailable where the writer had failed before.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return nil
	}
	j.closing = true
	last := j.position
	j.mu.Unlock()
	err := j.Barrier(ctx, last)
	close(j.stop)
	j.workers.Wait()
	if err == nil {
		err = j.failure("journal: close")
	}
	if err == nil {
		err = j.writeAnchor()
	}
	j.views.close()
	if closeErr := j.closeDatabase(err != nil); closeErr != nil && err == nil {
		err = writ.Errorf(writ.CodeUnavailable, "journal: close", "%w", closeErr)
	}
	j.synced.close()
	if j.disk != nil {
		j.disk.close()
	}
	return err
}

// failedClose bounds the end of a database that cannot be written: Badger tries
// to write a table again for ever, and the process must end to recover.
const failedClose = 5 * time.Second

func (j *Journal) closeDatabase(failed bool) error {
	if !failed {
		return j.db.Close()
	}
	done := make(chan error, 1)
	go func() { done <- j.db.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(failedClose):
		return errors.New("the database does not come to an end")
	}
}

func (j *Journal) failure(op string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed == nil {
		return nil
	}
	return poisoned(op, j.failed)
}

// Durable is the position of the last record on disk.
func (j *Journal) Durable() writ.Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

func (j *Journal) anchorPath() string { return filepath.Join(j.opts.Dir, "anchor") }
