package host

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"github.com/tetratelabs/wazero"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// artefacts keeps compiled modules, one file each: MAC, length of the name that
// wazero gives its file, that name, native code. wazero's own cache loads whatever
// lies in its directory, so it never sees ours: what passed the MAC is copied to a
// directory that lives for one load.
type artefacts struct {
	dir string
	key []byte
}

// maxName bounds the name of wazero's file: a directory and 64 hexadecimal digits.
const maxName = 1 << 10

func newArtefacts(dir string, key []byte) (*artefacts, error) {
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700)); err != nil {
		return nil, unavailable(err)
	}
	return &artefacts{dir: dir, key: append([]byte{}, key...)}, nil
}

func unavailable(err error) error {
	return &writ.Error{
		Code: writ.CodeUnavailable, Op: "sandbox: cache", Message: "the directory of compiled modules cannot be used", Err: err,
		Fix: "give the host a writable CacheDir of its own",
	}
}

// compile runs build with a cache that holds the module's artefact, where there is
// one that matches its MAC, and keeps what build compiled otherwise. CodeTampered:
// there was one that does not match, and now it is gone.
func (a *artefacts) compile(f form, build func(wazero.CompilationCache) error) (wazero.CompilationCache, error) {
	work, err := os.MkdirTemp(a.dir, "load-")
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	known, err := a.unpack(f, work)
	if err != nil {
		return nil, err
	}
	cache, err := wazero.NewCompilationCacheWithDir(work)
	if err != nil {
		return nil, unavailable(err)
	}
	if err := build(cache); err != nil {
		return cache, err
	}
	// Whether it can be kept is of no concern to the run; the next start compiles again.
	_ = a.pack(f, work, known)
	return cache, nil
}

func (a *artefacts) path(f form) string {
	engine := canon.SHA256([]byte(f.engine())).Hex()
	return filepath.Join(a.dir, f.digest.Hex()+"-"+engine[:16]+".code")
}

// engine names what made the code of a form.
func (f form) engine() string { return EngineID() + " " + strconv.FormatUint(uint64(f.pages), 10) }

// mac covers what the artefact is for as well as what it is.
func (a *artefacts) mac(f form, rest []byte) []byte {
	h := hmac.New(sha256.New, a.key)
	for _, part := range []string{"writ/compiled/v1", string(f.digest), f.engine(), runtime.GOOS, string(rest)} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// unpack checks the artefact and lays it out below dir as wazero expects it. It
// gives the path, empty where there is no artefact.
func (a *artefacts) unpack(f form, dir string) (string, error) {
	packed, err := os.ReadFile(a.path(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", unavailable(err)
	}
	if len(packed) < sha256.Size || !hmac.Equal(packed[:sha256.Size], a.mac(f, packed[sha256.Size:])) {
		return "", &writ.Error{
			Code: writ.CodeTampered, Op: "module " + string(f.digest),
			Message: "its compiled form on disk is not what this host wrote",
			Fix:     "find out who can write to the cache directory; the file is removed and the next run compiles again",
			Err:     os.Remove(a.path(f)),
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
	return target, nil
}

// pack writes the artefact for what wazero left below dir. What unpack put there is
// not written again; wazero passes over it where the processor is another one.
func (a *artefacts) pack(f form, dir, known string) error {
	matches, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	matches = slices.DeleteFunc(matches, func(path string) bool { return path == known })
	if err != nil || len(matches) == 0 {
		return err
	}
	name, err := filepath.Rel(dir, matches[0])
	if err != nil || len(name) > maxName {
		return errors.New("the name of wazero's file cannot be kept")
	}
	code, err := os.ReadFile(matches[0])
	if err != nil {
		return err
	}
	rest := binary.BigEndian.AppendUint32(nil, uint32(len(name)))
	rest = append(append(rest, name...), code...)
	return a.write(a.path(f), append(a.mac(f, rest), rest...))
}

// write replaces a file at once: a host that dies leaves the old one or none.
func (a *artefacts) write(path string, content []byte) error {
	f, err := os.CreateTemp(a.dir, "new-")
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
