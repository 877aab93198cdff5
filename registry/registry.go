// Package registry owns the life of a skill bundle: it packs and signs at the
// author's, verifies and installs at the operator's, and verifies again whenever
// a step is about to run. It tames Sigstore and OCI; nothing else in the module
// imports them.
package registry

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// Options are what a Registry works with. Store, Journal, Inspector, Clock and
// Dir must be set.
type Options struct {
	Dir        string // where installed bundles live; made where it is not there
	Store      writ.Store
	Journal    writ.Journal
	Inspector  writ.Inspector
	Clock      writ.Clock
	Metadata   string // where TUF metadata of trusted roots is kept; "": Dir with .tuf behind it
	FirstParty []byte // PEM public key of publisher "writ"; nil: this binary carries none
	// Carried gives the bundle of a skill that this binary carries, by its name; nil:
	// it carries none.
	Carried    func(name string) ([]byte, error)
	Limits     Limits     // zero members: the defaults of Limits
	Versions   Versions   // empty members: this build's own
	Ceiling    abi.Limits // the most that a manifest may ask for; zero members: not limited
	CacheBytes int64      // verified modules kept in memory; 0: 128 MiB
	// RefuseStale refuses installs while a feed of revocations is past its signed
	// time. The zero value reports it alone.
	RefuseStale bool
	Fetcher     Fetcher // of sources that are oci:// references; nil: none is fetched
}

// Fetcher brings bundles from where they are published. It is an interface so that
// this package, which judges them, knows of no network.
type Fetcher interface {
	// Fetch gives the bytes of a .skill file, which nobody has verified, and the
	// reference with the digest that it led to. The codes are those of any request:
	// CodeInvalid, CodeNotFound, CodeUnauthenticated, CodeForbidden, CodeLimited,
	// CodeTimeout, CodeUnavailable, and CodeSkillRefused for what is no bundle.
	Fetch(ctx context.Context, reference string) (file []byte, origin string, err error)
}

// Versions are what a manifest's requires is compared with.
type Versions struct {
	Host, ABI, Contracts string
}

// Registry implements writ.Skills and the operations on skills and trust. It is
// safe for concurrent use.
//
// Lock order: fetching or feeding, change, cache.mu. fetching is one fetch of roots by
// TUF at a time; feeding serialises what reads feeds from
// their servers; change everything that writes documents, so that floors and
// statuses are read and written as one.
type Registry struct {
	opts     Options
	fetching sync.Mutex
	feeding  sync.Mutex
	change   sync.Mutex
	cache    cache
}

// New opens a registry and removes what an interrupted install left behind.
// CodeInvalid where an option is missing, CodeUnavailable where Dir cannot be used.
func New(opts Options) (*Registry, error) {
	const op = "skill registry"
	missing := []string{}
	for name, absent := range map[string]bool{
		"Dir": opts.Dir == "", "Store": opts.Store == nil, "Journal": opts.Journal == nil,
		"Inspector": opts.Inspector == nil, "Clock": opts.Clock == nil,
	} {
		if absent {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		return nil, writ.Errorf(writ.CodeInvalid, op, "options not set: %s", strings.Join(missing, ", "))
	}
	opts.Limits = opts.Limits.orDefaults()
	opts.Versions = opts.Versions.orDefaults()
	if opts.Metadata == "" {
		opts.Metadata = filepath.Clean(opts.Dir) + ".tuf"
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 128 << 20
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, &writ.Error{Code: writ.CodeUnavailable, Op: op, Message: "the skill directory cannot be made", Err: err}
	}
	if err := sweep(opts.Dir); err != nil {
		return nil, &writ.Error{Code: writ.CodeUnavailable, Op: op, Message: "the skill directory cannot be read", Err: err}
	}
	return &Registry{opts: opts, cache: newCache(opts.CacheBytes)}, nil
}

var _ writ.Skills = (*Registry)(nil)

func (v Versions) orDefaults() Versions {
	if v.Host == "" {
		v.Host = writ.Version
	}
	if v.ABI == "" {
		v.ABI = abi.ABIVersion
	}
	if v.Contracts == "" {
		v.Contracts = abi.ContractsVersion
	}
	return v
}

// sweep removes temporary directories: a rename that never came.
func sweep(dir string) error {
	stale, err := filepath.Glob(filepath.Join(dir, "*", temporary+"*"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// append writes records of the tenant's system journal with their documents, all
// or none, and returns when they are on disk.
func (r *Registry) append(ctx context.Context, changes ...*change) error {
	if len(changes) == 0 {
		return nil
	}
	tenant := changes[0].by.Tenant
	batch := &writ.Batch{Tenant: tenant, Stream: writ.SystemStream, Expect: writ.AnySeq}
	for _, c := range changes {
		batch.Records = append(batch.Records, writ.NewRecord{
			Type: c.kind, Time: r.opts.Clock.Now(), Actor: writ.AuditOf(c.by, ""), Body: writ.Body{System: &c.facts},
		})
		documents, err := c.documents()
		if err != nil {
			return err
		}
		batch.Changes = append(batch.Changes, documents...)
	}
	defer r.cache.change(tenant)()
	receipt, err := r.opts.Journal.Append(ctx, batch)
	if err != nil {
		return err
	}
	// What is accepted is waited for, even if the caller is gone: nobody may read
	// and keep the state before it.
	return r.opts.Journal.Barrier(context.WithoutCancel(ctx), receipt.Position)
}

// change is one record and the documents that change with it: key to value, nil
// to delete.
type change struct {
	by     *writ.Principal
	kind   writ.RecordType
	facts  writ.SystemFacts
	values map[string]any
}

func (c *change) documents() ([]writ.Change, error) {
	var out []writ.Change
	for _, key := range slices.Sorted(maps.Keys(c.values)) {
		if c.values[key] == nil {
			out = append(out, writ.Change{Key: key})
			continue
		}
		raw, err := canon.MarshalJSON(c.values[key])
		if err != nil {
			return nil, err
		}
		out = append(out, writ.Change{Key: key, Value: raw})
	}
	return out, nil
}
