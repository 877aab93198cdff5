package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	. "github.com/writ-run/writ/host/wasmtest"
)

// compileArgument makes this test binary a process that compiles.
const compileArgument = "compile-module"

// children are what this test binary can be instead: the process that compiles,
// and what a broken or hostile one could do.
var children = map[string]func() int{
	compileArgument: func() int { return CompileMain(os.Stdin, os.Stdout) },
	"compile-nothing": func() int {
		fmt.Print(compileReady)
		return 0
	},
	"compile-garbage": func() int {
		return leave("wazero-v0-other-os/"+strings.Repeat("0", 64), 10)
	},
	"compile-link": func() int {
		if err := errors.Join(os.Mkdir("wazero-v0-other-os", 0o700), os.Symlink("/etc/passwd", "wazero-v0-other-os/"+strings.Repeat("0", 64))); err != nil {
			return compileFault
		}
		return 0
	},
	"compile-too-much": func() int { return leave("wazero-v0-other-os/"+strings.Repeat("0", 64), 1<<20) },
	"compile-twice":    func() int { return max(leave("a/b", 1), leave("a/c", 1)) },
	"compile-flood": func() int {
		flood := bytes.Repeat([]byte("x"), 1<<20)
		for range 50 {
			_, _ = os.Stdout.Write(flood)
			_, _ = os.Stderr.Write(flood)
		}
		return 1
	},
	"compile-never": func() int {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return 0
	},
	"compile-deaf": func() int { select {} },
}

func leave(name string, size int) int {
	if os.MkdirAll(filepath.Dir(name), 0o700) != nil || os.WriteFile(name, make([]byte, size), 0o600) != nil {
		return compileFault
	}
	return 0
}

// childOptions are those of a sandbox that compiles as cmd/writ's does.
func childOptions(t testing.TB) Options { return childOptionsOf(t, compileArgument) }

func childOptionsOf(t testing.TB, argument string) Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{CompileCommand: []string{self, argument}, CacheDir: filepath.Join(t.TempDir(), "cache"), CacheKey: cacheKey}
}

func childOf(t testing.TB, limits CompileLimits) *compileChild {
	t.Helper()
	return &compileChild{command: childOptions(t).CompileCommand, limits: limits.orDefaults()}
}

func TestSuiteOfBothLanesCompiledInAnotherProcess(t *testing.T) {
	for name, open := range sandboxes {
		t.Run(name, func(t *testing.T) {
			o := childOptions(t)
			for range 2 { // made, then from the disk
				s := opened(t, open, o)
				wants(t, s, runOf(t, Echo(), `{"a":1}`), `{"a":1}`)
				wants(t, s, pluginRun(t, extismModule(t, "count_vowels"), "count_vowels", `"hello"`), `{"count":2,"total":2,"vowels":"aeiouAEIOU"}`)
			}
		})
	}
}

func TestAModuleThatIsNotValidIsRefusedByTheProcess(t *testing.T) {
	module := NewGuest(1, 1).Run(Op(I32Add)).Bytes() // nothing to add
	in, out := opened(t, NewSandbox, Options{}), opened(t, NewSandbox, childOptions(t))
	here, there := outcomeOf(t, in, runOf(t, module, `{}`)), outcomeOf(t, out, runOf(t, module, `{}`))
	if here != there || !strings.HasPrefix(there, "! module_invalid: it is not valid: ") {
		t.Fatalf("here  %s\nthere %s", here, there)
	}
}

// phiBomb is one function in which each of its locals has a value of its own for
// the compiler after each if: its time and memory are the product.
func phiBomb(locals, ifs int) []byte {
	m := New()
	var code []byte
	for i := range ifs {
		from, to := uint32(i%locals), uint32((7*i+1)%locals)
		code = append(code, Code(Get(0), If(Get(from), Get(to), Op(I32Add), Set(to)))...)
	}
	code = append(code, I32(0)...)
	for i := range locals {
		code = append(code, Code(Get(uint32(i)), Op(I32Add))...)
	}
	m.Func(Func{Export: abi.EntryRun, Results: "i", Locals: strings.Repeat("i", locals), Code: code})
	return m.Bytes()
}

// One function of 67 KB takes over a gigabyte and half a minute.
func TestACompileBombIsKilledInItsProcess(t *testing.T) {
	derived := phiBomb(2000, 4000)
	for name, c := range map[string]struct {
		limits CompileLimits
		ended  func(err error, limits CompileLimits) bool
	}{
		"CPU time": {CompileLimits{CPU: abi.Duration(time.Second)}, outOfTime},
		"memory":   {CompileLimits{Memory: 64 << 20}, starved},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := childOf(t, c.limits).compile(context.Background(), derived, dir); !c.ended(err, c.limits) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func outOfTime(err error, _ CompileLimits) bool {
	var bad *moduleError
	return errors.As(err, &bad) && bad.message == "it takes more than 1s of CPU time to compile"
}

func TestCompiledCodeIsBoundedInSize(t *testing.T) {
	err := childOf(t, CompileLimits{Code: 1 << 10}).compile(context.Background(), phiBomb(50, 50), t.TempDir())
	var bad *moduleError
	if !errors.As(err, &bad) || bad.message != "its compiled form is too large" {
		t.Fatalf("got %v", err)
	}
}

// A process that fails is the machine's fault, is CodeUnavailable, leaves nothing
// behind, and is tried again.
func TestAProcessThatFails(t *testing.T) {
	for argument := range children {
		if argument == compileArgument {
			continue
		}
		t.Run(argument, func(t *testing.T) {
			o := childOptionsOf(t, argument)
			o.CompileLimits = CompileLimits{Code: 1 << 19, Wall: abi.Duration(500 * time.Millisecond)}
			failsOnce(t, o)
		})
	}
	for name, command := range map[string][]string{
		"no program":   {"/nowhere/writ"},
		"false":        {"/bin/false"},
		"prints ready": {"/bin/sh", "-c", "echo not ready; exit 2"},
	} {
		t.Run(name, func(t *testing.T) {
			o := childOptions(t)
			o.CompileCommand = command
			failsOnce(t, o)
		})
	}
}

func failsOnce(t *testing.T, o Options) {
	t.Helper()
	if err := runOnce(t, o); writ.CodeOf(err) != writ.CodeUnavailable {
		t.Fatalf("got %v", err)
	}
	entries, err := os.ReadDir(o.CacheDir)
	if err != nil || len(entries) != 1 || entries[0].Name() != lockName {
		t.Fatalf("left behind: %v, %v", entries, err)
	}
	o.CompileCommand = childOptions(t).CompileCommand
	o.CompileLimits = CompileLimits{}
	if err := runOnce(t, o); err != nil {
		t.Fatal(err)
	}
}

// counted has a command note every start in a file.
func counted(t *testing.T, o *Options) func() int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "starts")
	script := fmt.Sprintf("echo >> '%s'; exec '%s' %s", file, o.CompileCommand[0], o.CompileCommand[1])
	o.CompileCommand = []string{"/bin/sh", "-c", script}
	return func() int {
		starts, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return len(starts)
	}
}

func TestWhatCannotBeCompiledIsNotCompiledAgain(t *testing.T) {
	o := childOptions(t)
	o.CompileLimits.Code = 1 << 10
	starts := counted(t, &o)
	s := opened(t, NewSandbox, o)
	for range 3 {
		wants(t, s, runOf(t, phiBomb(50, 50), `1`), "! module_invalid: its compiled form is too large")
	}
	if starts() != 1 {
		t.Fatalf("%d processes", starts())
	}
}

func TestAFailedProcessIsTriedAgain(t *testing.T) {
	o := childOptionsOf(t, "compile-nothing")
	starts := counted(t, &o)
	s := opened(t, NewSandbox, o)
	for range 3 {
		if _, err := s.Run(context.Background(), runOf(t, Echo(), `1`)); writ.CodeOf(err) != writ.CodeUnavailable {
			t.Fatal(err)
		}
	}
	if starts() != 3 {
		t.Fatalf("%d processes", starts())
	}
}

func TestCloseEndsTheProcess(t *testing.T) {
	o := childOptionsOf(t, "compile-deaf")
	s, err := NewSandbox(o)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := s.Run(context.Background(), runOf(t, Echo(), `1`))
		failed <- err
	}()
	for closed := false; !closed; { // the run may not have begun
		select {
		case err := <-failed:
			t.Fatalf("it ended before: %v", err)
		default:
			entries, err := filepath.Glob(filepath.Join(o.CacheDir, loadPattern+"*"))
			if closed = len(entries) > 0; err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; writ.CodeOf(err) != writ.CodeUnavailable {
		t.Fatalf("got %v", err)
	}
}

// Compiled forms of another processor or another wazero are not loaded, or wazero
// would compile here what it could not use.
func TestACompiledFormOfAnotherEngineIsMadeAnew(t *testing.T) {
	o := childOptions(t)
	code, err := newCodeCache(&o, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := code.close(); err != nil {
			t.Error(err)
		}
	}()
	derived := &derivedModule{module: canon.SHA256(Echo()), bytes: Echo()}
	provide := func() string {
		t.Helper()
		name, err := code.provide(context.Background(), derived, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	name := provide()
	mark, err := code.mark()
	if err != nil || filepath.Dir(name) != filepath.Dir(mark) {
		t.Fatalf("%s beside %s, %v", name, mark, err)
	}
	code.mark = func() (string, error) { return filepath.Dir(mark) + "/other", nil }
	provide()
	if files, err := filepath.Glob(filepath.Join(o.CacheDir, "*"+artefactSuffix)); err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := code.check(t.TempDir(), name); writ.CodeOf(err) != writ.CodeInternal {
		t.Fatalf("a form that the engine did not use: %v", err)
	}
}

func TestTheProcessEndsWithItsParent(t *testing.T) {
	self, stdin := io.Pipe()
	out := &bytes.Buffer{}
	code := make(chan int)
	go func() { code <- CompileMain(self, out) }()
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != compileFault || !strings.Contains(out.String(), errNoJob.Error()) {
		t.Fatalf("%d: %s", got, out)
	}
}

func TestJobsThatAreNone(t *testing.T) {
	for _, in := range []string{
		"", "\n", "{}\n", "null\n", strings.Repeat("x", maxJob+1), `{"module":1,"cpu":1,"memory":1}` + "\n",
		`{"module":-1,"cpu":1,"memory":1,"code":1}` + "\n", `{"module":1,"cpu":-1,"memory":1,"code":1}` + "\n",
	} {
		out := &bytes.Buffer{}
		if got := CompileMain(strings.NewReader(in), out); got != compileFault || strings.HasPrefix(out.String(), compileReady) {
			t.Errorf("%q: %d, %q", in, got, out)
		}
	}
}

func TestLeftoversOfTheDeadAreRemovedAndThoseOfTheLivingStay(t *testing.T) {
	o := childOptions(t)
	remains := func() []string {
		t.Helper()
		var names []string
		entries, err := os.ReadDir(o.CacheDir)
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	litter := func() {
		t.Helper()
		err := errors.Join(os.MkdirAll(filepath.Join(o.CacheDir, "load-1", "x"), 0o700), os.WriteFile(filepath.Join(o.CacheDir, "new-1"), nil, 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	litter()
	first := opened(t, NewSandbox, o)
	if got := remains(); !slices.Equal(got, []string{lockName}) {
		t.Fatalf("at the start: %v", got)
	}
	litter()
	second := opened(t, NewSandbox, o)
	if got := remains(); len(got) != 3 {
		t.Fatalf("beside another: %v", got)
	}
	if err := errors.Join(first.Close(context.Background()), second.Close(context.Background())); err != nil {
		t.Fatal(err)
	}
	opened(t, NewSandbox, o)
	if got := remains(); !slices.Equal(got, []string{lockName}) {
		t.Fatalf("after both: %v", got)
	}
}

func TestAWideCacheDirectoryIsMended(t *testing.T) {
	o := childOptions(t)
	if err := errors.Join(os.Mkdir(o.CacheDir, 0o700), os.Chmod(o.CacheDir, 0o777)); err != nil {
		t.Fatal(err)
	}
	opened(t, NewSandbox, o)
	if info, err := os.Stat(o.CacheDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
}

func TestTheCacheIsBoundedAndTheOldestGo(t *testing.T) {
	o := childOptions(t)
	a, err := newArtefacts(&o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}()
	work := t.TempDir()
	replace(t, filepath.Join(work, "code"), make([]byte, 1000))
	key := func(n int) *artefactKey { return &artefactKey{module: canon.SHA256([]byte{byte(n)})} }
	held := func() (numbers []int) {
		for n := range 5 {
			if _, err := os.Stat(a.path(key(n))); err == nil {
				numbers = append(numbers, n)
			}
		}
		return numbers
	}
	put := func(n int) {
		t.Helper()
		if err := a.pack(key(n), work, "code"); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(a.path(key(n)), time.Time{}, time.Unix(int64(n), 0)); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	info, err := os.Stat(a.path(key(0)))
	if err != nil {
		t.Fatal(err)
	}
	a.bound = 3 * info.Size() // three are at the bound
	put(1)
	put(2)
	if got := held(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Fatalf("at the bound: %v", got)
	}
	put(3)
	if got := held(); !slices.Equal(got, []int{1, 2, 3}) {
		t.Fatalf("one past it: %v", got)
	}
	a.bound = 1
	put(4)
	if got := held(); !slices.Equal(got, []int{4}) {
		t.Fatalf("with room for none: %v", got)
	}
}

func TestPrepareCompilesForTheRunsThatFollow(t *testing.T) {
	for lane, open := range sandboxes {
		t.Run(lane, func(t *testing.T) {
			o := childOptions(t)
			starts := counted(t, &o)
			s := opened(t, open, o)
			preparer := s.(Preparer)
			ctx := context.Background()
			if err := preparer.Prepare(ctx, Echo(), abi.Limits{Memory: 1 << 20}); err != nil {
				t.Fatal(err)
			}
			run := runOf(t, Echo(), `1`)
			run.Limits.Memory = 1 << 20
			wants(t, s, run, `1`)
			if starts() != 1 {
				t.Fatalf("%d processes", starts())
			}
			if err := preparer.Prepare(ctx, []byte("no module"), abi.Limits{}); writ.CodeOf(err) != writ.CodeInvalid {
				t.Fatalf("what is none: %v", err)
			}
			if err := preparer.Prepare(ctx, Echo(), abi.Limits{Memory: -1}); writ.CodeOf(err) != writ.CodeInvalid {
				t.Fatalf("limits that are none: %v", err)
			}
		})
	}
}
