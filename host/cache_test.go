package host

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/host/wasm"
	"github.com/writ-run/writ/host/wasmtest"
)

var cacheKey = bytes.Repeat([]byte{7}, minCacheKey)

// artefactIn is the one artefact of a cache that holds nothing else.
func artefactIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[1].Name() != lockName || filepath.Ext(entries[0].Name()) != artefactSuffix {
		t.Fatalf("the cache holds %v, %v", entries, err)
	}
	return filepath.Join(dir, entries[0].Name())
}

// runOnce runs echo in a sandbox of its own, as after a restart.
func runOnce(t *testing.T, o Options) error {
	t.Helper()
	s, err := NewSandbox(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	result, err := s.Run(context.Background(), runOf(t, wasmtest.Echo(), `"x"`))
	if err == nil && string(result.Output) != `"x"` {
		t.Fatalf("got %+v", result)
	}
	return err
}

func TestCompiledModulesOutliveARestart(t *testing.T) {
	o := childOptions(t)
	if err := runOnce(t, o); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(o.CacheDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("directory %v, %v", info.Mode(), err)
	}
	path := artefactIn(t, o.CacheDir)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := runOnce(t, o); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(artefactIn(t, o.CacheDir))
	if err != nil || !os.SameFile(before, after) {
		t.Fatalf("the artefact was written again: %v", err)
	}
}

func TestATamperedArtefactIsNoticedAndReplaced(t *testing.T) {
	for name, alter := range map[string]func(t *testing.T, path string, o *Options){
		"first byte":  func(t *testing.T, path string, _ *Options) { flip(t, path, 0) },
		"name":        func(t *testing.T, path string, _ *Options) { flip(t, path, 40) },
		"native code": func(t *testing.T, path string, _ *Options) { flip(t, path, -100) },
		"cut short":   func(t *testing.T, path string, _ *Options) { replace(t, path, []byte("short")) },
		"empty":       func(t *testing.T, path string, _ *Options) { replace(t, path, nil) },
		"other key":   func(_ *testing.T, _ string, o *Options) { o.CacheKey = bytes.Repeat([]byte{8}, minCacheKey) },
		"that of another module": func(t *testing.T, path string, o *Options) {
			other, err := NewSandbox(*o)
			if err != nil {
				t.Fatal(err)
			}
			module := wasmtest.Fail("x")
			if _, err := other.Run(context.Background(), runOf(t, module, `1`)); err != nil {
				t.Fatal(err)
			}
			if err := other.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			from, err := filepath.Glob(filepath.Join(o.CacheDir, canon.SHA256(module).Hex()+"-*"))
			if err != nil || len(from) != 1 {
				t.Fatalf("found %v, %v", from, err)
			}
			if err := os.Rename(from[0], path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var heard []writ.Digest
			o := childOptions(t)
			o.OnTampered = func(d writ.Digest) { heard = append(heard, d) }
			if err := runOnce(t, o); err != nil {
				t.Fatal(err)
			}
			alter(t, artefactIn(t, o.CacheDir), &o)
			if err := runOnce(t, o); writ.CodeOf(err) != writ.CodeTampered {
				t.Fatalf("got %v", err)
			}
			if len(heard) != 1 || heard[0] != canon.SHA256(wasmtest.Echo()) {
				t.Fatalf("heard of %v", heard)
			}
			if err := runOnce(t, o); err != nil {
				t.Fatalf("after its removal: %v", err)
			}
			artefactIn(t, o.CacheDir)
		})
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	replace(t, path, b)
}

func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsThatDoNotFit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	replace(t, file, nil)
	for name, c := range map[string]struct {
		alter func(o *Options)
		code  writ.Code
	}{
		"nothing at all":      {func(o *Options) { *o = Options{} }, writ.CodeInvalid},
		"no command":          {func(o *Options) { o.CompileCommand = nil }, writ.CodeInvalid},
		"no cache":            {func(o *Options) { o.CacheDir = "" }, writ.CodeInvalid},
		"no key":              {func(o *Options) { o.CacheKey = nil }, writ.CodeInvalid},
		"a short key":         {func(o *Options) { o.CacheKey = cacheKey[1:] }, writ.CodeInvalid},
		"unsafe with command": {func(o *Options) { o.CompileInProcessUnsafe = true }, writ.CodeInvalid},
		"unsafe with a cache": {func(o *Options) { o.CompileInProcessUnsafe, o.CompileCommand = true, nil }, writ.CodeInvalid},
		"negative slots":      {func(o *Options) { o.Slots = -1 }, writ.CodeInvalid},
		"negative bytes":      {func(o *Options) { o.Modules = -1 }, writ.CodeInvalid},
		"negative cache":      {func(o *Options) { o.CacheBytes = -1 }, writ.CodeInvalid},
		"negative memory":     {func(o *Options) { o.CompileLimits.Memory = -1 }, writ.CodeInvalid},
		"half a second":       {func(o *Options) { o.CompileLimits.CPU = abi.Duration(time.Second / 2) }, writ.CodeInvalid},
		"no directory":        {func(o *Options) { o.CacheDir = file }, writ.CodeUnavailable},
		"below a file":        {func(o *Options) { o.CacheDir = filepath.Join(file, "x") }, writ.CodeUnavailable},
	} {
		o := childOptions(t)
		c.alter(&o)
		for lane, open := range sandboxes {
			if s, err := open(o); s != nil || writ.CodeOf(err) != c.code {
				t.Errorf("%s: %s: %v, %v", name, lane, s, err)
			}
		}
	}
}

func TestALostCacheDirectoryIsUnavailable(t *testing.T) {
	o := childOptions(t)
	s := opened(t, NewSandbox, o)
	if err := os.RemoveAll(o.CacheDir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(context.Background(), runOf(t, wasmtest.Echo(), `1`)); writ.CodeOf(err) != writ.CodeUnavailable {
		t.Fatalf("got %v", err)
	}
}

// fakeCompiler counts programs that are made and closed.
type fakeCompiler struct {
	mu           sync.Mutex
	made, closed int
	hold         chan struct{} // nil: compile at once
	err          error
}

func (c *fakeCompiler) compile(context.Context, form, *wasm.Module) (program, error) {
	if c.hold != nil {
		<-c.hold
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	c.made++
	return &fakeProgram{compiler: c}, nil
}

type fakeProgram struct{ compiler *fakeCompiler }

func (p *fakeProgram) instance(context.Context, *guest) (instance, error) { return nil, nil }
func (p *fakeProgram) timed(ctx context.Context, _ *guest) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
func (p *fakeProgram) facts() *facts { return &facts{} }
func (p *fakeProgram) close(context.Context) {
	p.compiler.mu.Lock()
	defer p.compiler.mu.Unlock()
	p.compiler.closed++
}

func (c *fakeCompiler) close() error { return nil }

func (c *fakeCompiler) counts() (made, closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made, c.closed
}

func TestProgramsAreCompiledOnceAndEvictedUnused(t *testing.T) {
	c := &fakeCompiler{}
	p := newPrograms(c, &Options{Modules: abi.Bytes(2 * (entryCost + 200))})
	modules := [][]byte{wasmtest.Echo(), wasmtest.Fail("a"), wasmtest.Fail("b"), wasmtest.Loop()}
	var releases []func()
	for range 3 {
		_, release, err := p.acquire(context.Background(), form{digest: canon.SHA256(modules[0])}, modules[0])
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	for _, m := range modules[1:] {
		_, release, err := p.acquire(context.Background(), form{digest: canon.SHA256(m)}, m)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	if made, _ := c.counts(); made != len(modules) {
		t.Fatalf("%d compilations", made)
	}
	for _, release := range releases {
		release()
	}
	if err := p.close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if made, closed := c.counts(); closed != made {
		t.Fatalf("%d of %d closed", closed, made)
	}
	if _, _, err := p.acquire(context.Background(), form{digest: canon.SHA256(modules[0])}, modules[0]); writ.CodeOf(err) != writ.CodeUnavailable {
		t.Fatalf("after close: %v", err)
	}
}

func TestEvictionLetsTheOldestGo(t *testing.T) {
	c := &fakeCompiler{}
	p := newPrograms(c, &Options{Modules: abi.Bytes(2*entryCost + 10_000)})
	use := func(m []byte) {
		t.Helper()
		_, release, err := p.acquire(context.Background(), form{digest: canon.SHA256(m)}, m)
		if err != nil {
			t.Fatal(err)
		}
		release()
		p.busy.Wait() // the compilation has evicted what it could
	}
	a, b, third := wasmtest.Echo(), wasmtest.Fail("a"), wasmtest.Fail("b")
	use(a)
	use(b)
	use(a)
	use(third) // in b's place
	use(a)
	if made, closed := c.counts(); made != 3 || closed != 1 {
		t.Fatalf("%d made, %d closed", made, closed)
	}
	use(b)
	if made, _ := c.counts(); made != 4 {
		t.Fatalf("b was not evicted: %d made", made)
	}
	if err := p.close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestWaitingForACompilationEndsWithTheContext(t *testing.T) {
	c := &fakeCompiler{hold: make(chan struct{})}
	p := newPrograms(c, &Options{})
	module := wasmtest.Echo()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := p.acquire(ctx, form{digest: canon.SHA256(module)}, module); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := p.close(ctx); writ.CodeOf(err) != writ.CodeTimeout {
		t.Fatalf("close while compiling: %v", err)
	}
	close(c.hold)
	if err := p.close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if made, closed := c.counts(); made != 1 || closed != 1 {
		t.Fatalf("%d made, %d closed", made, closed)
	}
}

func TestAFailedCompilationIsTriedAgain(t *testing.T) {
	c := &fakeCompiler{err: errors.New("no")}
	p := newPrograms(c, &Options{})
	module := wasmtest.Echo()
	if _, _, err := p.acquire(context.Background(), form{digest: canon.SHA256(module)}, module); !errors.Is(err, c.err) {
		t.Fatalf("got %v", err)
	}
	c.mu.Lock()
	c.err = nil
	c.mu.Unlock()
	_, release, err := p.acquire(context.Background(), form{digest: canon.SHA256(module)}, module)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if err := p.close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
