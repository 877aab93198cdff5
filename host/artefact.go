package host

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// artefacts keeps compiled modules, one file each: MAC, length of the name that
// wazero gives its file, that name, native code. wazero's own cache loads whatever
// lies in its directory, so it never sees ours: what passed the MAC is copied to a
// directory that lives for one load.
type artefacts struct {
	dir   string
	key   []byte
	bound int64 // of all files together
	code  int64 // of one compiled form
	lock  *os.File
}

// artefactKey is what a compiled form is of: a module, what was derived from it,
// and the mark of the engine that reads it.
type artefactKey struct {
	module, derived writ.Digest
	mark            string
}

const (
	// maxName bounds the name of wazero's file: a directory and 64 hexadecimal digits.
	maxName = 1 << 10

	artefactSuffix = ".code"
	lockName       = "lock"
	// Directories of one load, and files that are being written.
	loadPattern, newPattern = "load-", "new-"
)

func newArtefacts(o *Options) (*artefacts, error) {
	a := &artefacts{dir: o.CacheDir, key: slices.Clone(o.CacheKey), bound: int64(o.CacheBytes), code: int64(o.CompileLimits.orDefaults().Code)}
	if a.bound == 0 {
		a.bound = defaultCache
	}
	// A directory that others could read or write is mended.
	if err := errors.Join(os.MkdirAll(a.dir, 0o700), os.Chmod(a.dir, 0o700)); err != nil {
		return nil, unavailable(err)
	}
	var err error
	if a.lock, err = os.OpenFile(filepath.Join(a.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, unavailable(err)
	}
	if err := lockCache(a.lock, a.sweep); err != nil {
		return nil, unavailable(errors.Join(err, a.lock.Close()))
	}
	return a, nil
}

func unavailable(err error) error {
	return &writ.Error{
		Code: writ.CodeUnavailable, Op: "sandbox: cache", Message: "the directory of compiled modules cannot be used", Err: err,
		Fix: "give the host a writable CacheDir of its own",
	}
}

// sweep removes what a host that died has left behind.
func (a *artefacts) sweep() error {
	var errs []error
	for _, pattern := range []string{loadPattern, newPattern} {
		stale, err := filepath.Glob(filepath.Join(a.dir, pattern+"*"))
		errs = append(errs, err)
		for _, path := range stale {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

func (a *artefacts) close() error { return a.lock.Close() }

func (k *artefactKey) parts() []string {
	return []string{string(k.module), string(k.derived), EngineID(), runtime.GOOS, k.mark}
}

func (a *artefacts) path(k *artefactKey) string {
	variant := canon.SHA256([]byte(strings.Join(k.parts(), "\n"))).Hex()
	return filepath.Join(a.dir, k.module.Hex()+"-"+variant[:16]+artefactSuffix)
}

// mac covers what the artefact is for as well as what it is.
func (a *artefacts) mac(k *artefactKey, rest []byte) []byte {
	h := hmac.New(sha256.New, a.key)
	write := func(part []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	write([]byte("writ/compiled/v2"))
	for _, part := range k.parts() {
		write([]byte(part))
	}
	write(rest)
	return h.Sum(nil)
}

// unpack checks the artefact and lays it out below dir as wazero expects it. It
// gives its name there, empty where there is no artefact.
func (a *artefacts) unpack(k *artefactKey, dir string) (string, error) {
	info, err := os.Stat(a.path(k))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var packed []byte
	if err == nil && info.Size() <= a.code+maxName+2*sha256.Size {
		packed, err = os.ReadFile(a.path(k))
	}
	if err != nil {
		return "", unavailable(err)
	}
	if len(packed) < sha256.Size || !hmac.Equal(packed[:sha256.Size], a.mac(k, packed[sha256.Size:])) {
		return "", &writ.Error{
			Code: writ.CodeTampered, Op: "module " + string(k.module),
			Message: "its compiled form on disk is not what this host wrote",
			Fix:     "find out who can write to the cache directory; the file is removed and the next run compiles again",
			Err:     os.Remove(a.path(k)),
		}
	}
	rest := packed[sha256.Size:]
	n := binary.BigEndian.Uint32(rest)
	name := string(rest[4:][:n])
	target := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return "", unavailable(err)
	}
	if err := os.WriteFile(target, rest[4+n:], 0o600); err != nil {
		return "", unavailable(err)
	}
	return name, nil
}

// pack writes the artefact for the file of that name below dir, and makes room.
func (a *artefacts) pack(k *artefactKey, dir, name string) error {
	code, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	rest := binary.BigEndian.AppendUint32(nil, uint32(len(name)))
	rest = append(append(rest, name...), code...)
	if err := a.write(a.path(k), append(a.mac(k, rest), rest...)); err != nil {
		return err
	}
	return a.evict(a.path(k))
}

// write replaces a file at once: a host that dies leaves the old one or none.
func (a *artefacts) write(path string, content []byte) error {
	f, err := os.CreateTemp(a.dir, newPattern)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// evict removes the artefacts that were written first, until the rest fits. The
// one at newest stays, however large it is.
func (a *artefacts) evict(newest string) error {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return err
	}
	var kept []fs.FileInfo
	total := int64(0)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasSuffix(info.Name(), artefactSuffix) {
			continue
		}
		total += info.Size()
		if info.Name() != filepath.Base(newest) {
			kept = append(kept, info)
		}
	}
	slices.SortFunc(kept, func(x, y fs.FileInfo) int {
		return cmp.Or(x.ModTime().Compare(y.ModTime()), strings.Compare(x.Name(), y.Name()))
	})
	for _, info := range kept {
		if total <= a.bound {
			break
		}
		err = errors.Join(err, os.Remove(filepath.Join(a.dir, info.Name())))
		total -= info.Size()
	}
	return err
}
