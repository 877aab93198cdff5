package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/host/wasm"
)

// codeCache gives modules their compiled form: from the disk, or made by a process
// of its own and then kept. This process only loads it.
type codeCache struct {
	metered   bool       // the modules are
	artefacts *artefacts // nil: modules are compiled in this process
	child     *compileChild
	// beside is how many modules of its own the engine compiles together with one.
	beside int
	mark   func() (string, error)
}

func newCodeCache(o *Options, metered bool) (*codeCache, error) {
	if o.CompileInProcessUnsafe {
		return &codeCache{metered: metered}, nil
	}
	a, err := newArtefacts(o)
	if err != nil {
		return nil, err
	}
	c := &codeCache{metered: metered, artefacts: a, child: &compileChild{command: o.CompileCommand, limits: o.CompileLimits.orDefaults(), metered: metered}}
	c.mark = sync.OnceValues(c.engineMark)
	return c, nil
}

func (c *codeCache) close() error {
	if c.artefacts == nil {
		return nil
	}
	return c.artefacts.close()
}

// compile gives a cache that holds the compiled form of derived, out of which
// build compiles. CodeTampered: there was
// a compiled form that does not match its MAC, and now it is gone.
func (c *codeCache) compile(ctx context.Context, derived *derivedModule, build func(wazero.RuntimeConfig) error) (wazero.CompilationCache, error) {
	if c.artefacts == nil {
		return nil, build(runtimeConfig(c.metered))
	}
	work, err := os.MkdirTemp(c.artefacts.dir, loadPattern)
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	name, err := c.provide(ctx, derived, work)
	if err != nil {
		return nil, err
	}
	cache, err := wazero.NewCompilationCacheWithDir(work)
	if err != nil {
		return nil, unavailable(err)
	}
	if err := build(runtimeConfig(c.metered).WithCompilationCache(cache)); err != nil {
		return cache, err
	}
	return cache, c.check(work, name)
}

// derivedModule is what is compiled, of the module that it was derived from.
type derivedModule struct {
	module writ.Digest
	bytes  []byte
}

// provide puts the compiled form below work and gives its name there, empty where
// the engine has none.
func (c *codeCache) provide(ctx context.Context, derived *derivedModule, work string) (string, error) {
	mark, err := c.mark()
	if err != nil {
		return "", unavailable(err)
	}
	key := &artefactKey{module: derived.module, derived: canon.SHA256(derived.bytes), mark: mark}
	name, err := c.artefacts.unpack(key, work)
	if err != nil || name != "" {
		return name, err
	}
	if err := c.child.compile(ctx, derived.bytes, work); err != nil {
		return "", err
	}
	if execution() == "interpreter" {
		return "", nil // it has shown that it compiles within the limits
	}
	if name, err = c.made(work, mark); err != nil {
		return "", compileUnavailable("left something else than compiled code", err)
	}
	// Whether it can be kept is of no concern to the run; the next start compiles again.
	_ = c.artefacts.pack(key, work, name)
	return name, nil
}

var codeName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// made is the name of the one file that a compilation leaves, if it is one.
func (c *codeCache) made(work, mark string) (string, error) {
	files, err := codeFiles(work)
	if err != nil || len(files) != 1 {
		return "", errors.Join(err, errors.New("there is not one file"))
	}
	info, err := os.Lstat(filepath.Join(work, files[0]))
	switch dir, base := filepath.Split(files[0]); {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() > c.artefacts.code:
		return "", errors.New("it is not a file of a size that is allowed")
	case filepath.Clean(dir) != filepath.Dir(mark) || !codeName.MatchString(base):
		return "", errors.New("it is that of another engine")
	}
	return files[0], nil
}

// codeFiles are the files that wazero keeps below dir, relative to it.
func codeFiles(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	for i := range paths {
		if paths[i], err = filepath.Rel(dir, paths[i]); err != nil {
			return nil, err
		}
	}
	return paths, err
}

// check finds out a module that was compiled here after all: wazero writes down
// what it compiles.
func (c *codeCache) check(work, name string) error {
	files, err := codeFiles(work)
	known := c.beside
	if name != "" {
		known++
	}
	if err == nil && len(files) == known {
		return nil
	}
	return &writ.Error{Code: writ.CodeInternal, Op: "sandbox: compile", Message: "the engine did not take the compiled form that was made for it", Err: err}
}

// engineMark is the name that wazero gives the compiled form of a module without
// anything in it. It says what a compiled form depends on besides its module: the
// version of wazero, the processor's features and how the code is to end.
func (c *codeCache) engineMark() (string, error) {
	work, err := os.MkdirTemp(c.artefacts.dir, loadPattern)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	ctx := context.Background()
	cache, err := wazero.NewCompilationCacheWithDir(work)
	if err != nil {
		return "", err
	}
	r := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(c.metered).WithCompilationCache(cache))
	_, err = r.CompileModule(ctx, wasm.Header)
	files, listed := codeFiles(work)
	if err = errors.Join(err, listed, r.Close(ctx), cache.Close(ctx)); err != nil {
		return "", err
	}
	if execution() == "interpreter" {
		return execution(), nil
	}
	if len(files) != 1 {
		return "", errors.New("wazero does not keep what it compiles")
	}
	return files[0], nil
}
