package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"

	"github.com/writ-run/writ"
)

// tenants is the content of the file: {tenant: {name: {value, updatedAt, version,
// retired}}}, values in base64.
type tenants map[writ.TenantID]map[string]entry

type entry struct {
	Value     []byte    `json:"value"`
	UpdatedAt writ.Time `json:"updatedAt"`
	Version   int       `json:"version,omitempty"` // counted from 1; absent in files of before it was counted
	Retired   []retired `json:"retired,omitempty"` // newest first
}

// wipe overwrites the values.
func (t tenants) wipe() {
	for _, names := range t {
		for _, e := range names {
			e.wipe()
		}
	}
}

func (e *entry) wipe() {
	clear(e.Value)
	wipeRetired(e.Retired)
}

const opFile = "secret store"

func tampered(message string, fix string) error {
	return (&writ.Error{Code: writ.CodeTampered, Op: opFile, Message: message}).WithFix("%s", fix)
}

func (s *Store) damaged() error {
	return tampered(s.path(File)+" was changed, or was encrypted to another identity than "+s.path(IdentityFile),
		"restore both files from one backup, or delete the first and set the secrets again")
}

// openIdentity reads the identity or, on a new home, makes it.
func (s *Store) openIdentity(ctx context.Context) error {
	err := os.MkdirAll(filepath.Dir(s.path(IdentityFile)), 0o700)
	if err != nil {
		return fileError(err)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	info, err := os.Lstat(s.path(IdentityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s.makeIdentity()
	}
	if err != nil {
		return fileError(err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return writ.Errorf(writ.CodeForbidden, opFile, "%s is not a file that its owner alone may read", s.path(IdentityFile)).
			WithFix("chmod 600 %s, and think of its secrets as known to who could read it", s.path(IdentityFile))
	}
	text, err := os.ReadFile(s.path(IdentityFile))
	if err != nil {
		return fileError(err)
	}
	defer clear(text)
	if s.identity, err = age.ParseX25519Identity(strings.TrimSuffix(string(text), "\n")); err != nil {
		return tampered(s.path(IdentityFile)+" is not an age identity", "restore it from a backup")
	}
	return nil
}

func (s *Store) makeIdentity() error {
	if _, err := os.Lstat(s.path(File)); !errors.Is(err, fs.ErrNotExist) {
		return tampered("there are secrets, but their identity "+s.path(IdentityFile)+" is gone",
			"restore it from a backup, or delete "+s.path(File)+" and set the secrets again")
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return writ.Errorf(writ.CodeInternal, opFile, "an identity cannot be made: %w", err)
	}
	s.identity = identity
	return replaceFile(s.path(IdentityFile), []byte(identity.String()+"\n"))
}

// load decrypts the file; no file is an empty store. The caller wipes the
// result. Nothing decrypted is kept between calls.
func (s *Store) load() (tenants, error) {
	sealed, err := os.ReadFile(s.path(File))
	if errors.Is(err, fs.ErrNotExist) {
		return tenants{}, nil
	}
	if err != nil {
		return nil, fileError(err)
	}
	reader, err := age.Decrypt(bytes.NewReader(sealed), s.identity)
	if err != nil {
		return nil, s.damaged()
	}
	plain, err := io.ReadAll(io.LimitReader(reader, maxFile+1))
	defer clear(plain)
	if err != nil || len(plain) > maxFile {
		return nil, s.damaged()
	}
	all := tenants{}
	if err := json.Unmarshal(plain, &all); err != nil || all == nil {
		all.wipe()
		return nil, s.damaged()
	}
	return all, nil
}

// update changes the content under the lock and replaces the file. Nothing is
// written where change errs.
func (s *Store) update(ctx context.Context, change func(tenants) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := s.load()
	if err != nil {
		return err
	}
	defer all.wipe()
	if err := change(all); err != nil {
		return err
	}
	sealed, err := s.seal(all)
	if err != nil {
		return err
	}
	return replaceFile(s.path(File), sealed)
}

func (s *Store) seal(all tenants) ([]byte, error) {
	plain, err := json.Marshal(all)
	defer clear(plain)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, opFile, "cannot be encoded")
	}
	if len(plain) > maxFile {
		return nil, writ.Errorf(writ.CodeTooLarge, opFile, "all secrets together are larger than %d bytes", maxFile).
			WithFix("remove secrets that are not used")
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, s.identity.Recipient())
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, opFile, "cannot be encrypted")
	}
	return sealed.Bytes(), nil
}

// lockPoll is how often a lock that another process holds is tried again: it is
// held for the time of two syncs.
const lockPoll = 5 * time.Millisecond

// lock takes the lock file and returns how to release it. CodeTimeout where ctx
// ends first. The kernel releases the lock of a process that dies.
func (s *Store) lock(ctx context.Context) (func(), error) {
	file, err := os.OpenFile(s.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fileError(err)
	}
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing releases
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fileError(err)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, writ.Errorf(writ.CodeTimeout, opFile, "another process holds %s", s.path(lockFile)).WithFix("try again")
		case <-ticker.C:
		}
	}
}

// replaceFile puts content in the place of a file: after a crash there is the
// old one or the new one. It is called under the lock, so one name of a
// temporary file is enough.
func replaceFile(path string, content []byte) error {
	temp := path + ".tmp"
	err := writeSynced(temp, content)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return fileError(err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fileError(err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fileError(err)
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func fileError(err error) error {
	return writ.Errorf(writ.CodeUnavailable, opFile, "%w", err).WithFix("check the home directory, its owner and its free space")
}
