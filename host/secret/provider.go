package secret

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/writ-run/writ"
)

// Provider reads secrets that somebody else keeps: a file, a variable, a server. It is
// an interface because there are several, and all of them answer alike.
type Provider interface {
	// Read returns what the secret is now. CodeNotFound where there is none, CodeForbidden
	// where it may not be read or others may read it, CodeInvalid where what is there is
	// no value, CodeTooLarge above MaxValue, CodeTimeout and CodeUnavailable where nobody
	// answers. No error holds a value, or a word that a server said.
	Read(ctx context.Context, at *Reference) (*Reading, error)
	// Local reports whether Read asks nobody but this machine.
	Local() bool
}

// Reference says where a provider has a secret. Only what a reference names is read.
type Reference struct {
	Tenant   writ.TenantID
	Name     string
	Provider string // its name in the configuration
	Reader   Provider
	Path     string // a file below the directory, a variable, or a Vault secret below its mount
	Field    string // of a Vault secret
}

// Reading is a secret as a provider has it. The receiver may overwrite Value.
type Reading struct {
	Value     []byte
	Version   int       // as the provider counts; 0: it does not
	UpdatedAt writ.Time // as the provider says; 0: it does not
}

// Home is the provider of secrets that no reference names: the encrypted file.
const Home = "home"

func (r *Reference) key() entryKey { return entryKey{r.Tenant, r.Name} }

func (r *Reference) op() string { return r.key().op() + " of provider " + r.Provider }

// seen is what was last read of a provider, so that what it replaces is noticed.
type seen struct {
	value     []byte
	version   int
	updatedAt writ.Time // as the provider said, or when the change was noticed
	retired   []retired
}

// references checks the options: a name belongs to one provider.
func references(list []Reference) (map[entryKey]*Reference, error) {
	out := map[entryKey]*Reference{}
	for i := range list {
		r := &list[i]
		if err := r.key().check(); err != nil {
			return nil, err
		}
		if r.Reader == nil || r.Provider == "" || r.Provider == Home {
			return nil, writ.Errorf(writ.CodeInvalid, r.key().op(), "no provider is named")
		}
		if !plainName(r.Path) {
			return nil, writ.Errorf(writ.CodeInvalid, r.op(), "path: is not a plain path").WithFix("write it without a slash at its ends, .. and the characters ? # %% \\")
		}
		if out[r.key()] != nil {
			return nil, writ.Errorf(writ.CodeInvalid, r.key().op(), "belongs to two providers").WithFix("leave one of them")
		}
		out[r.key()] = r
	}
	return out, nil
}

// read asks a provider. What the errors say besides is the provider's name.
func (s *Store) read(ctx context.Context, r *Reference) (*Reading, error) {
	reading, err := r.Reader.Read(ctx, r)
	if err == nil {
		err = checkValue(r.op(), reading.Value)
		if err != nil {
			clear(reading.Value)
		}
	}
	if err != nil {
		return nil, r.fault(ctx, err)
	}
	s.note(r, reading)
	return reading, nil
}

// fault names secret and provider in front of what a provider says is wrong.
func (r *Reference) fault(ctx context.Context, err error) error {
	var e *writ.Error
	if !errors.As(err, &e) {
		e = writ.Errorf(writ.CodeUnavailable, "", "cannot be read")
	}
	out := &writ.Error{Code: e.Code, Op: r.op(), Message: e.Message, Fix: e.Fix}
	if ctx.Err() != nil {
		out.Code, out.Message = writ.CodeTimeout, "did not come in time"
	}
	return out
}

// checkValue is what holds for every value, wherever it comes from.
func checkValue(op string, value []byte) error {
	if len(value) == 0 {
		return writ.Errorf(writ.CodeInvalid, op, "has an empty value").WithFix("give it a value, or take its name away")
	}
	if len(value) > MaxValue {
		return writ.Errorf(writ.CodeTooLarge, op, "has a value of more than %d bytes", MaxValue).WithFix("no credential is that long: look at what is stored there")
	}
	return nil
}

// note remembers what was read, and retires what it replaces.
func (s *Store) note(r *Reference, reading *Reading) {
	now := s.opts.Clock.Now()
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	was := s.seen[r.key()]
	if was == nil {
		was = &seen{}
		s.seen[r.key()] = was
	}
	switch {
	case was.value == nil:
		was.value, was.updatedAt = slices.Clone(reading.Value), reading.UpdatedAt
	case !bytes.Equal(was.value, reading.Value):
		was.retired = slices.Insert(was.retired, 0, retired{Value: was.value, Until: now.Add(s.keepOld())})
		was.value, was.updatedAt = slices.Clone(reading.Value), now
	}
	if reading.UpdatedAt != 0 {
		was.updatedAt = reading.UpdatedAt
	}
	was.version = reading.Version
	was.retired = current(was.retired, was.value, now)
}

// knownOf adds the values of one reference: as they are now where that asks nobody,
// as they were last where it would.
func (s *Store) knownOf(ctx context.Context, r *Reference, add func(name string, value []byte)) {
	if r.Reader.Local() {
		if reading, err := s.read(ctx, r); err == nil {
			clear(reading.Value) // what is added is what was noted
		}
	}
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	was := s.seen[r.key()]
	if was == nil {
		return
	}
	add(r.Name, was.value)
	for _, old := range was.retired {
		if old.Until > s.opts.Clock.Now() {
			add(r.Name, old.Value)
		}
	}
}

// describe is the reference's row of a list. With check its provider is asked.
func (s *Store) describe(ctx context.Context, r *Reference, check bool) Info {
	info := Info{Name: r.Name, Provider: r.Provider}
	if check {
		reading, err := s.read(ctx, r)
		if err != nil {
			info.Failure = err
		} else {
			clear(reading.Value)
		}
	}
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	if was := s.seen[r.key()]; was != nil {
		info.Version, info.UpdatedAt, info.OldUntil = was.version, was.updatedAt, oldUntil(was.retired, s.opts.Clock.Now())
	}
	return info
}

// owned refuses to change here what somebody else keeps.
func (s *Store) owned(key entryKey) error {
	r := s.refs[key]
	if r == nil {
		return nil
	}
	return writ.Errorf(writ.CodeConflict, key.op(), "belongs to the provider %s", r.Provider).
		WithFix("change it there, or take %s out of secrets.names in the configuration", r.Name)
}

// trimmed is a value without the line end that editors and tools put after it.
func trimmed(value []byte) []byte { return bytes.TrimRight(value, "\r\n") }

// providerError is an error of a provider; Store puts secret and provider before it.
func providerError(code writ.Code, message, fix string) error {
	return &writ.Error{Code: code, Message: message, Fix: fix}
}

// plainName is a path of one or more plain segments: nothing climbs out of it.
func plainName(path string) bool {
	if path == "" || len(path) > 512 || strings.ContainsAny(path, "\x00\\?#%") {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}
