// Package secret keeps the operator's secrets: one file, encrypted with age to
// one X25519 identity that lies beside it in the home directory. Whoever can
// read both can read the secrets; the encryption keeps them out of backups and
// searches of the home without its keys, and shows any change of the bytes.
// An older copy of the whole file that is put back is not noticed.
//
// Secrets that somebody else keeps are read through providers: variables, files
// and servers that speak Vault's protocol. Each name belongs to one of them.
package secret

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/writ-run/writ"
)

// Places below the home directory.
const (
	File         = "secrets"              // the encrypted file
	IdentityFile = "keys/secrets.age-key" // AGE-SECRET-KEY-1..., mode 0600
	lockFile     = "secrets.lock"         // held while the file is replaced
	MaxValue     = 64 << 10               // bytes of one value
	maxFile      = 16 << 20               // bytes of all of them: read as a whole
)

// nameForm is short enough for a table and safe in a shell and a file name.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// Options say where the store is.
type Options struct {
	Home      string        // $WRIT_HOME; it is made, with mode 0700, where it is not there
	Clock     writ.Clock    // of updatedAt and of records; must be set
	Journal   writ.Journal  // of the operations; nil: they refuse
	KeepOld   time.Duration // how long a replaced value is still looked for; 0: DefaultKeepOld
	Elsewhere []Reference   // secrets of providers; nil: none
}

// Store is the encrypted store. It is safe for concurrent use, and for several
// processes on one home: a writer holds the lock file, a reader sees the file
// before or after a replacement.
type Store struct {
	opts     Options
	identity *age.X25519Identity
	refs     map[entryKey]*Reference

	mu sync.Mutex // held by the one writer of this process, before the lock file

	seenMu sync.Mutex // held for a moment, under no other
	seen   map[entryKey]*seen

	usedMu sync.Mutex             // held for a moment, inside mu
	used   map[entryKey]writ.Time // since the file was written
}

// Info is a secret without its value.
type Info struct {
	Name       string
	Provider   string    // Home, or as the configuration names it
	Version    int       // 0: not counted, or not read yet
	UpdatedAt  writ.Time // 0: not known
	LastUsedAt writ.Time // 0: never, as far as is known
	OldUntil   writ.Time // until when an old value is looked for; 0: there is none
	Shadowed   bool      // stored here, and not used: the configuration gives the name to a provider
	Failure    error     // of a check; nil: none, or not checked
}

// Open opens the store and makes its identity where neither that nor the file is
// there yet. CodeInvalid without Home or Clock, CodeForbidden where others may
// read the identity, CodeTampered where the identity is damaged, is missing
// although there are secrets, or does not decrypt them.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Home == "" || opts.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "secret store", "needs a home directory and a clock")
	}
	if opts.KeepOld < 0 || opts.KeepOld > MaxKeepOld {
		return nil, writ.Errorf(writ.CodeInvalid, "secret store", "old values are kept for %s, at most %s", opts.KeepOld, MaxKeepOld)
	}
	refs, err := references(opts.Elsewhere)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, refs: refs, seen: map[entryKey]*seen{}, used: map[entryKey]writ.Time{}}
	if err := s.openIdentity(ctx); err != nil {
		return nil, err
	}
	all, err := s.load()
	if err != nil {
		return nil, err
	}
	all.wipe()
	return s, nil
}

// String says nothing of the identity.
func (s *Store) String() string { return "secret store" }

// GoString says nothing of the identity.
func (s *Store) GoString() string { return s.String() }

func (s *Store) keepOld() time.Duration { return cmp.Or(s.opts.KeepOld, DefaultKeepOld) }

func (s *Store) path(name string) string { return filepath.Join(s.opts.Home, filepath.FromSlash(name)) }

// Set stores a value under a name; an earlier one is still looked for as long as
// Options say. CodeInvalid for the name or an empty value, CodeTooLarge above MaxValue,
// CodeConflict where the name is a provider's. The caller may overwrite value afterwards.
func (s *Store) Set(ctx context.Context, tenant writ.TenantID, name string, value []byte) error {
	return s.set(ctx, &change{entryKey: entryKey{tenant, name}, value: value, keep: s.keepOld()})
}

// Remove deletes a secret and its old values. CodeNotFound where there is none.
func (s *Store) Remove(ctx context.Context, tenant writ.TenantID, name string) error {
	return s.remove(ctx, &change{entryKey: entryKey{tenant, name}})
}

// List returns the tenant's secrets by name and provider, without values. With check
// each provider is asked for what it keeps.
func (s *Store) List(ctx context.Context, tenant writ.TenantID, check bool) ([]Info, error) {
	all, err := s.load()
	if err != nil {
		return nil, err
	}
	defer all.wipe()
	now, used := s.opts.Clock.Now(), s.lastUsed()
	out := []Info{}
	for name, e := range all[tenant] {
		out = append(out, Info{
			Name: name, Provider: Home, Version: cmp.Or(e.Version, 1), UpdatedAt: e.UpdatedAt, OldUntil: oldUntil(e.Retired, now),
			Shadowed: s.refs[entryKey{tenant, name}] != nil,
		})
	}
	for key, r := range s.refs {
		if key.tenant == tenant {
			out = append(out, s.describe(ctx, r, check))
		}
	}
	for i := range out {
		if !out[i].Shadowed {
			out[i].LastUsedAt = used[entryKey{tenant, out[i].Name}]
		}
	}
	slices.SortFunc(out, func(a, b Info) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Provider, b.Provider))
	})
	return out, nil
}

// Secret returns a copy of a value, which the caller should overwrite after use.
// CodeNotFound where the tenant has no secret of this name; of a provider's, the codes
// of Provider. It implements the toolbox's SecretSource.
func (s *Store) Secret(ctx context.Context, tenant writ.TenantID, name string) ([]byte, error) {
	value, err := s.Peek(ctx, tenant, name)
	if err == nil {
		s.markUsed(entryKey{tenant, name})
	}
	return value, err
}

// Peek is Secret for who looks whether it could be used: it does not count as a use.
func (s *Store) Peek(ctx context.Context, tenant writ.TenantID, name string) ([]byte, error) {
	key := entryKey{tenant, name}
	if err := key.check(); err != nil {
		return nil, err
	}
	if r := s.refs[key]; r != nil {
		reading, err := s.read(ctx, r)
		if err != nil {
			return nil, err
		}
		return reading.Value, nil
	}
	all, err := s.load()
	if err != nil {
		return nil, err
	}
	defer all.wipe()
	entry, ok := all[tenant][name]
	if !ok {
		return nil, key.notFound()
	}
	return slices.Clone(entry.Value), nil
}

// Known returns copies of the values that are at hand without asking anybody else, by
// name: those in force, and old ones whose time is not over. The caller should
// overwrite them. It implements the toolbox's SecretSource.
func (s *Store) Known(ctx context.Context, tenant writ.TenantID) (map[string][][]byte, error) {
	all, err := s.load()
	if err != nil {
		return nil, err
	}
	defer all.wipe()
	now := s.opts.Clock.Now()
	out := map[string][][]byte{}
	add := func(name string, value []byte) { out[name] = append(out[name], slices.Clone(value)) }
	for name, e := range all[tenant] {
		add(name, e.Value)
		for _, old := range e.Retired {
			if old.Until > now {
				add(name, old.Value)
			}
		}
	}
	for key, r := range s.refs {
		if key.tenant == tenant {
			s.knownOf(ctx, r, add)
		}
	}
	return out, nil
}

// entryKey names one secret.
type entryKey struct {
	tenant writ.TenantID
	name   string
}

func (k entryKey) op() string { return fmt.Sprintf("secret %.64q", k.name) }

func (k entryKey) check() error {
	if k.tenant == "" {
		return writ.Errorf(writ.CodeInvalid, k.op(), "no tenant is named")
	}
	if !nameForm.MatchString(k.name) {
		return writ.Errorf(writ.CodeInvalid, k.op(), "is not a name of a secret").
			WithFix("use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first")
	}
	return nil
}

func (k entryKey) notFound() *writ.Error {
	return writ.Errorf(writ.CodeNotFound, k.op(), "is not set").WithFix("set it with `writ secret set %s`", k.name)
}

// change is what is done to one secret. What comes of it is known when before is
// called: under the lock, when the change is possible and before it is made.
type change struct {
	entryKey
	value  []byte
	keep   time.Duration // how long the value before is still looked for
	before func() error  // nil: nothing

	version  int
	oldUntil writ.Time
}

func (c *change) announce() error {
	if c.before == nil {
		return nil
	}
	return c.before()
}

// set stores the value; one that is there already changes nothing but its time.
func (s *Store) set(ctx context.Context, c *change) error { return s.store(ctx, c, nil) }

// rotate replaces a value that is there by another.
func (s *Store) rotate(ctx context.Context, c *change) error {
	if c.keep < 0 || c.keep > MaxKeepOld {
		return writ.Errorf(writ.CodeInvalid, c.op(), "keepOld: %s is not between 0 and %s", c.keep, MaxKeepOld)
	}
	return s.store(ctx, c, func(have *entry) error {
		if have.Value == nil {
			return c.notFound()
		}
		if bytes.Equal(have.Value, c.value) {
			return writ.Errorf(writ.CodeConflict, c.op(), "has this value already").WithFix("get a new one from whoever issues it")
		}
		return nil
	})
}

func (s *Store) store(ctx context.Context, c *change, allow func(*entry) error) error {
	err := c.check()
	if err == nil {
		err = checkValue(c.op(), c.value)
	}
	if err == nil {
		err = s.owned(c.entryKey)
	}
	if err != nil {
		return err
	}
	return s.update(ctx, func(all tenants) error {
		have := all[c.tenant][c.name]
		if allow != nil {
			if err := allow(&have); err != nil {
				return err
			}
		}
		now := s.opts.Clock.Now()
		have.replace(c.value, now, c.keep)
		c.version, c.oldUntil = have.Version, oldUntil(have.Retired, now)
		if all[c.tenant] == nil {
			all[c.tenant] = map[string]entry{}
		}
		all[c.tenant][c.name] = have
		return c.announce()
	})
}

func (s *Store) remove(ctx context.Context, c *change) error {
	if err := c.check(); err != nil {
		return err
	}
	return s.update(ctx, func(all tenants) error {
		old, ok := all[c.tenant][c.name]
		if !ok {
			if err := s.owned(c.entryKey); err != nil {
				return err
			}
			return c.notFound().WithFix("see `writ secret list`")
		}
		c.version = cmp.Or(old.Version, 1)
		old.wipe()
		delete(all[c.tenant], c.name)
		if len(all[c.tenant]) == 0 {
			delete(all, c.tenant)
		}
		return c.announce()
	})
}
