// Package secret keeps the operator's secrets: one file, encrypted with age to
// one X25519 identity that lies beside it in the home directory. Whoever can
// read both can read the secrets; the encryption keeps them out of backups and
// searches of the home without its keys, and shows any change of the bytes.
// An older copy of the whole file that is put back is not noticed.
package secret

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

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
	Home    string       // $WRIT_HOME; it is made, with mode 0700, where it is not there
	Clock   writ.Clock   // of updatedAt and of records; must be set
	Journal writ.Journal // of the operations; nil: they refuse
}

// Store is the encrypted store. It is safe for concurrent use, and for several
// processes on one home: a writer holds the lock file, a reader sees the file
// before or after a replacement.
type Store struct {
	opts     Options
	identity *age.X25519Identity

	mu sync.Mutex // held by the one writer of this process, before the lock file
}

// Info is a secret without its value.
type Info struct {
	Name      string
	UpdatedAt writ.Time
}

// Open opens the store and makes its identity where neither that nor the file is
// there yet. CodeInvalid without Home or Clock, CodeForbidden where others may
// read the identity, CodeTampered where the identity is damaged, is missing
// although there are secrets, or does not decrypt them.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Home == "" || opts.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "secret store", "needs a home directory and a clock")
	}
	s := &Store{opts: opts}
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

func (s *Store) path(name string) string { return filepath.Join(s.opts.Home, filepath.FromSlash(name)) }

// Set stores a value under a name, replacing an earlier one. CodeInvalid for the
// name or an empty value, CodeTooLarge above MaxValue. The caller may overwrite
// value afterwards.
func (s *Store) Set(ctx context.Context, tenant writ.TenantID, name string, value []byte) error {
	return s.set(ctx, entryKey{tenant, name}, value, nil)
}

// Remove deletes a secret. CodeNotFound where there is none.
func (s *Store) Remove(ctx context.Context, tenant writ.TenantID, name string) error {
	return s.remove(ctx, entryKey{tenant, name}, nil)
}

// List returns the tenant's secrets by name, without values.
func (s *Store) List(_ context.Context, tenant writ.TenantID) ([]Info, error) {
	all, err := s.load()
	if err != nil {
		return nil, err
	}
	defer all.wipe()
	out := []Info{}
	for _, name := range slices.Sorted(maps.Keys(all[tenant])) {
		out = append(out, Info{Name: name, UpdatedAt: all[tenant][name].UpdatedAt})
	}
	return out, nil
}

// Secret returns a copy of a value, which the caller should overwrite after use.
// CodeNotFound where the tenant has no secret of this name. It implements the
// toolbox's SecretSource.
func (s *Store) Secret(_ context.Context, tenant writ.TenantID, name string) ([]byte, error) {
	key := entryKey{tenant, name}
	if err := key.check(); err != nil {
		return nil, err
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

// announce is called under the lock, when the change is known to be possible
// and before it is made. nil announces nothing.
type announce func() error

func (a announce) call() error {
	if a == nil {
		return nil
	}
	return a()
}

func (s *Store) set(ctx context.Context, key entryKey, value []byte, before announce) error {
	if err := key.check(); err != nil {
		return err
	}
	if len(value) == 0 {
		return writ.Errorf(writ.CodeInvalid, key.op(), "has an empty value").WithFix("remove the secret instead")
	}
	if len(value) > MaxValue {
		return writ.Errorf(writ.CodeTooLarge, key.op(), "has a value of more than %d bytes", MaxValue)
	}
	return s.update(ctx, func(all tenants) error {
		if all[key.tenant] == nil {
			all[key.tenant] = map[string]entry{}
		}
		clear(all[key.tenant][key.name].Value)
		all[key.tenant][key.name] = entry{Value: slices.Clone(value), UpdatedAt: s.opts.Clock.Now()}
		return before.call()
	})
}

func (s *Store) remove(ctx context.Context, key entryKey, before announce) error {
	if err := key.check(); err != nil {
		return err
	}
	return s.update(ctx, func(all tenants) error {
		old, ok := all[key.tenant][key.name]
		if !ok {
			return key.notFound().WithFix("see `writ secret list`")
		}
		clear(old.Value)
		delete(all[key.tenant], key.name)
		if len(all[key.tenant]) == 0 {
			delete(all, key.tenant)
		}
		return before.call()
	})
}
