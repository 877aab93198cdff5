package policy

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// activeKey is the document that names the active bundle. Without it the bundle
// of the binary decides.
const activeKey = "policy/active"

// bundlePrefix of the documents that keep when a bundle was last activated.
const bundlePrefix = "policy/bundle/"

// Options are what a Service needs.
type Options struct {
	Dir      string // where bundles are kept by digest; created with mode 0700
	Store    writ.Store
	Journal  writ.Journal
	Traces   writ.Traces   // for Explain alone
	Clock    writ.Clock    // of the records
	Tenant   writ.TenantID // empty: writ.DefaultTenant
	Deadline time.Duration // of one decision; zero: DefaultDeadline
	// Keys are public keys in PEM, by the operator's name for them. Empty: no
	// bundle but the binary's own can be activated.
	Keys map[string]string
}

// Service keeps bundles and says which one decides. It implements writ.Judges.
type Service struct {
	dir      string
	store    writ.Store
	journal  writ.Journal
	traces   writ.Traces
	clock    writ.Clock
	tenant   writ.TenantID
	deadline time.Duration
	keys     map[string]string
	builtin  *Bundle
	recorded recorded

	active    atomic.Pointer[Policy]
	switching sync.RWMutex // held while an activation is recorded: its epoch never judges under the bundle before

	mu     sync.Mutex // guards judges, and orders activations
	judges map[writ.Digest]*Policy
}

var _ writ.Judges = (*Service)(nil)

// activation is the document under activeKey and bundlePrefix.
type activation struct {
	Digest  writ.Digest      `json:"digest"`
	Version string           `json:"version"`
	At      writ.Time        `json:"at"`
	By      writ.PrincipalID `json:"by"`
	Signer  string           `json:"signer"`
}

// Open compiles the active bundle. It refuses to fall back to another one:
// CodeNotFound where the active bundle is gone, CodeTampered where it differs
// from its digest, CodeInvalid where an option is missing.
func Open(ctx context.Context, o Options) (*Service, error) {
	if o.Dir == "" || o.Store == nil || o.Journal == nil || o.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "policy service", "Dir, Store, Journal and Clock must be set")
	}
	if o.Tenant == "" {
		o.Tenant = writ.DefaultTenant
	}
	builtin, err := DefaultBundle()
	if err != nil {
		return nil, err
	}
	s := &Service{
		dir: o.Dir, store: o.Store, journal: o.Journal, traces: o.Traces, clock: o.Clock, tenant: o.Tenant,
		deadline: o.Deadline, keys: o.Keys, builtin: builtin, judges: map[writ.Digest]*Policy{},
	}
	// A later binary has another bundle; the traces of this one name it all the same.
	if err := s.keep(builtin); err != nil {
		return nil, err
	}
	digest := builtin.digest
	current, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if current != nil {
		digest = current.Digest
	}
	judge, err := s.judgeOf(ctx, digest)
	if err != nil {
		return nil, err
	}
	s.active.Store(judge)
	return s, nil
}

// current is nil where nothing was ever activated.
func (s *Service) current(ctx context.Context) (*activation, error) {
	raw, err := s.store.Get(ctx, s.tenant, activeKey)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeActivation(raw)
}

func decodeActivation(raw []byte) (*activation, error) {
	var a activation
	if err := json.Unmarshal(raw, &a); err != nil || !a.Digest.Valid() {
		return nil, writ.Errorf(writ.CodeTampered, "policy service", "the document of an activation does not decode")
	}
	return &a, nil
}

// Active implements writ.Judges.
func (s *Service) Active() writ.Judge {
	s.switching.RLock()
	defer s.switching.RUnlock()
	return s.active.Load()
}

// ByDigest implements writ.Judges. CodeTampered where the kept bundle differs from
// its digest.
func (s *Service) ByDigest(ctx context.Context, digest writ.Digest) (writ.Judge, error) {
	judge, err := s.judgeOf(ctx, digest)
	if err != nil {
		return nil, err
	}
	return judge, nil
}

func (s *Service) judgeOf(ctx context.Context, digest writ.Digest) (*Policy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if judge, ok := s.judges[digest]; ok {
		return judge, nil
	}
	b, err := s.kept(digest)
	if err != nil {
		return nil, err
	}
	judge, err := Compile(ctx, b, s.deadline)
	if err != nil {
		return nil, err
	}
	s.judges[digest] = judge
	return judge, nil
}

// kept reads a bundle from the directory and proves that it is what its name says.
func (s *Service) kept(digest writ.Digest) (*Bundle, error) {
	op := "policy " + string(digest)
	if !digest.Valid() {
		return nil, writ.Errorf(writ.CodeNotFound, op, "is not the digest of a bundle")
	}
	if digest == s.builtin.digest {
		return s.builtin, nil
	}
	b, err := LoadBundle(filepath.Join(s.dir, digest.Hex()))
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, writ.Errorf(writ.CodeNotFound, op, "is not kept on this host").
			WithFix("`writ policy list` shows what is; restore %s from a backup", s.dir)
	}
	if err != nil || b.digest != digest {
		return nil, writ.Errorf(writ.CodeTampered, op, "the kept files are not the ones of this digest").
			WithFix("restore %s from a backup, and find out who changed it", filepath.Join(s.dir, digest.Hex()))
	}
	return b, nil
}

// keep writes a bundle under its digest, whole or not at all.
func (s *Service) keep(b *Bundle) error {
	op := "policy " + string(b.digest)
	target := filepath.Join(s.dir, b.digest.Hex())
	if _, err := os.Stat(target); err == nil {
		_, err := s.kept(b.digest)
		return err
	} else if !errors.Is(err, fs.ErrNotExist) {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	temporary, err := os.MkdirTemp(s.dir, ".new-")
	if err != nil {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	defer os.RemoveAll(temporary)
	if err := b.write(temporary); err != nil {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	if err := os.Rename(temporary, target); err != nil {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	return syncDir(s.dir)
}

func (b *Bundle) write(dir string) error {
	for _, name := range b.names() {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := writeSynced(target, b.files[name]); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncDir(name)
	})
}

func writeSynced(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// record makes the change durable before anything decides under it.
func (s *Service) record(ctx context.Context, who *writ.Principal, a activation, reason string) error {
	value, err := canon.MarshalJSON(a)
	if err != nil {
		return writ.Errorf(writ.CodeInternal, "policy activate", "%w", err)
	}
	receipt, err := s.journal.Append(ctx, &writ.Batch{
		Tenant: s.tenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{
			Type: writ.RecPolicyActivated, Time: a.At, Actor: writ.AuditOf(who, ""),
			Body: writ.Body{System: &writ.SystemFacts{
				Subject: "policy", Version: a.Version, Digest: a.Digest, Status: "active", Reason: reason,
				Details: map[string]string{"signer": a.Signer},
			}},
		}},
		Changes: []writ.Change{{Key: activeKey, Value: value}, {Key: bundlePrefix + a.Digest.Hex(), Value: value}},
	})
	if err != nil {
		return err
	}
	// What is accepted is waited for, even if the caller is gone: nobody may read
	// and keep the state before it.
	return s.journal.Barrier(context.WithoutCancel(ctx), receipt.Position)
}
