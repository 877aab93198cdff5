//go:build !wasip1

package scaffold_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk/scaffold"
)

func newSkill(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	if err := scaffold.New(dir, name, scaffold.Go, writ.SDKSource()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, parts ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestNewIsComplete(t *testing.T) {
	dir := newSkill(t, "acme/hello")
	var got []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, _ := filepath.Rel(dir, path); !entry.IsDir() && !strings.HasPrefix(name, scaffold.SDKDir) {
			got = append(got, filepath.ToSlash(name))
		}
		return nil
	})
	want := []string{".gitignore", "README.md", "go.mod", "main.go", "main_test.go", "skill.yaml", "testdata/greet.json", "testdata/nobody.json"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("project has %v, want %v (%v)", got, want, err)
	}
	if manifest := string(read(t, dir, "skill.yaml")); !strings.Contains(manifest, "\nname: acme/hello\n") {
		t.Errorf("skill.yaml does not name acme/hello:\n%s", manifest)
	}
	for _, path := range want {
		if text := read(t, dir, path); bytes.Contains(text, []byte("{{")) {
			t.Errorf("%s has a placeholder left:\n%s", path, text)
		}
	}
}

func TestNewChecksTheName(t *testing.T) {
	for name, key := range map[string]string{"hello": "local/hello", "a": "local/a", "a-1/b-2": "a-1/b-2"} {
		if dir := newSkill(t, name); !bytes.Contains(read(t, dir, "skill.yaml"), []byte("name: "+key+"\n")) {
			t.Errorf("%s is not %s", name, key)
		}
	}
	long := strings.Repeat("a", 64)
	for _, name := range []string{"", "/", "a/", "/a", "a/b/c", "Hello", "1a", "-a", "a-", "a_b", "a b", "../a", "a\nb", "é", long, "a/" + long} {
		dir := filepath.Join(t.TempDir(), "project")
		if err := scaffold.New(dir, name, scaffold.Go, writ.SDKSource()); err == nil || !strings.Contains(err.Error(), "write NAME or PUBLISHER/NAME") {
			t.Errorf("New(%q) = %v", name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("New(%q) left something behind", name)
		}
	}
}

func TestNewRefusesWhatExists(t *testing.T) {
	dir := t.TempDir()
	keep := filepath.Join(dir, "keep")
	if err := os.WriteFile(keep, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{dir, keep} {
		if err := scaffold.New(taken, "hello", scaffold.Go, writ.SDKSource()); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("New over %s = %v", taken, err)
		}
	}
	if string(read(t, keep)) != "mine" {
		t.Error("what was there is gone")
	}
}

func TestNewLeavesNothingBehind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "project")
	broken := brokenFS{writ.SDKSource()}
	if err := scaffold.New(dir, "hello", scaffold.Go, broken); err == nil {
		t.Fatal("a source that cannot be read was taken")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a failed New left its directory")
	}
}

// brokenFS lists files and reads none.
type brokenFS struct{ fs.FS }

func (b brokenFS) ReadFile(name string) ([]byte, error) {
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrPermission}
}

// The embedded source is every file of the three packages that is no test.
func TestSourceIsWhole(t *testing.T) {
	for _, pattern := range []string{"abi/*.go", "sdk/*.go", "sdk/sdktest/*.go"} {
		files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		var want []string
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				name, _ := filepath.Rel(filepath.Join("..", ".."), file)
				want = append(want, filepath.ToSlash(name))
			}
		}
		got, err := fs.Glob(writ.SDKSource(), pattern)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("embedded %v, want %v: name it in sdksource.go (%v)", got, want, err)
		}
	}
}

// The whole promise: a new project is formatted, passes its own tests and
// builds without a network; the same source gives the same bytes elsewhere.
func TestAProjectTestsAndBuilds(t *testing.T) {
	dir := newSkill(t, "hello")
	gotest := exec.CommandContext(t.Context(), "go", "test", "./...")
	gotest.Dir = dir
	gotest.Env = append(gotest.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
	if said, err := gotest.CombinedOutput(); err != nil {
		t.Fatalf("go test: %v\n%s", err, said)
	}
	if said, err := exec.CommandContext(t.Context(), "gofmt", "-l", dir).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("gofmt -l: %s, %v", said, err)
	}
	module, err := scaffold.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if module != filepath.Join(dir, "build", "skill.wasm") {
		t.Errorf("built %s", module)
	}
	built := read(t, module)
	if tools, err := scaffold.Tools(built); err != nil || len(tools) != 0 {
		t.Errorf("a skill that uses no tool imports %v, %v", tools, err)
	}
	again, err := scaffold.Build(t.Context(), newSkill(t, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(built, read(t, again)) {
		t.Error("the same source built elsewhere gave other bytes")
	}
	if bytes.Contains(built, []byte(dir)) {
		t.Error("the module holds the path that it was built at")
	}
}

const useTools = `package main

import (
	"text/template"

	"github.com/writ-run/writ/sdk"
)

type none struct{}

// text/template calls methods by name, which makes the linker keep more.
func act(c *sdk.Context, _ none) (none, error) {
	if err := template.Must(template.New("").Parse("{{.}}")).Execute(discard{}, none{}); err != nil {
		return none{}, err
	}
	sdk.Log(c, sdk.LevelInfo, "hi")
	_, _, err := sdk.KVGet(c, "k")
	return none{}, err
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

var _ = sdk.Action("greet", act)

func main() {}
`

// The import section is the list of what the code uses, also where reflection
// is at work.
func TestImportsAreWhatIsUsed(t *testing.T) {
	dir := newSkill(t, "hello")
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(useTools), 0o600); err != nil {
		t.Fatal(err)
	}
	module, err := scaffold.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	tools, err := scaffold.Tools(read(t, module))
	if want := []string{abi.ToolKVGet, abi.ToolLog}; err != nil || !slices.Equal(tools, want) {
		t.Errorf("imports %v, want %v (%v)", tools, want, err)
	}
}

func TestBuildErrors(t *testing.T) {
	t.Run("no skill", func(t *testing.T) {
		if _, err := scaffold.Build(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is no go.mod, Cargo.toml") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("no compile", func(t *testing.T) {
		dir := newSkill(t, "hello")
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() { undefined() }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := scaffold.Build(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "main.go:3:15: undefined: undefined") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := scaffold.Build(ctx, newSkill(t, "hello")); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("no toolchain", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := scaffold.Build(t.Context(), newSkill(t, "hello")); !errors.Is(err, scaffold.ErrNoGo) {
			t.Errorf("err = %v", err)
		}
	})
}
