//go:build !wasip1

package scaffold_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/sdk/scaffold"
)

func newIn(t *testing.T, language scaffold.Language) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	if err := scaffold.New(dir, "acme/hello", language, writ.SDKSource()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// oneScreen is what a terminal shows of a README.
const oneScreen = 24

func TestEveryLanguageHasAProject(t *testing.T) {
	common := []string{".gitignore", "README.md", "skill.yaml", "testdata/greet.json", "testdata/nobody.json"}
	for language, own := range map[scaffold.Language][]string{
		scaffold.C:              {"build.sh", "skill.c", "writ.h"},
		scaffold.Rust:           {"build.sh", "skill.rs", "writ.rs"},
		scaffold.AssemblyScript: {"build.sh", "package-lock.json", "package.json", "skill.ts", "tsconfig.json", "writ.ts"},
	} {
		dir := newIn(t, language)
		var got []string
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				got = append(got, path)
				if text := read(t, dir, path); bytes.Contains(text, []byte("{{")) {
					t.Errorf("%s: %s has a placeholder left", language, path)
				}
			}
			return err
		})
		want := append(slices.Clone(common), own...)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: project has %v, want %v (%v)", language, got, want, err)
		}
		if found, err := scaffold.Detect(dir); err != nil || found != language {
			t.Errorf("a project in %s is taken for %s, %v", language, found, err)
		}
	}
}

func TestReadmesFitOneScreen(t *testing.T) {
	for _, language := range scaffold.Languages() {
		if lines := bytes.Count(read(t, newIn(t, language), "README.md"), []byte("\n")); lines > oneScreen {
			t.Errorf("the README of a project in %s has %d lines", language, lines)
		}
	}
}

// The README of an SDK has its example, its tools and its rules on a large screen.
func TestReadmesOfTheSDKsFitALargeScreen(t *testing.T) {
	for _, dir := range []string{".", "assemblyscript", "c", "rust"} {
		if lines := bytes.Count(read(t, "..", dir, "README.md"), []byte("\n")); lines > 2*oneScreen+8 {
			t.Errorf("%s/README.md has %d lines", dir, lines)
		}
	}
}

// What an author writes in Go, besides the package and its import.
func TestASkillInGoIsShort(t *testing.T) {
	lines := 0
	for line := range strings.Lines(string(read(t, newIn(t, scaffold.Go), "main.go"))) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "//") && !strings.HasPrefix(line, "package") && !strings.HasPrefix(line, "import") {
			lines++
		}
	}
	if lines >= 15 {
		t.Errorf("main.go has %d lines of code", lines)
	}
}

func TestNewRefusesLanguagesThatItDoesNotHave(t *testing.T) {
	for _, language := range []scaffold.Language{"", "cobol", scaffold.Other} {
		dir := filepath.Join(t.TempDir(), "project")
		if err := scaffold.New(dir, "hello", language, writ.SDKSource()); err == nil || !strings.Contains(err.Error(), "write one of go, assemblyscript, rust, c") {
			t.Errorf("New in %q = %v", language, err)
		}
	}
}

func TestDetect(t *testing.T) {
	for files, want := range map[string]scaffold.Language{
		"go.mod": scaffold.Go, "main.go": scaffold.Go, "go.mod skill.c build.sh": scaffold.Go,
		"Cargo.toml": scaffold.Rust, "lib.rs": scaffold.Rust, "package.json index.ts": scaffold.AssemblyScript,
		"a.c a.h": scaffold.C, "build.sh skill.zig": scaffold.Other,
	} {
		dir := t.TempDir()
		for name := range strings.FieldsSeq(files) {
			write(t, filepath.Join(dir, name), "")
		}
		if got, err := scaffold.Detect(dir); err != nil || got != want {
			t.Errorf("%s is %s, %v: want %s", files, got, err, want)
		}
	}
	empty := t.TempDir()
	if err := os.Mkdir(filepath.Join(empty, "folder.c"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{empty, filepath.Join(empty, "absent")} {
		if got, err := scaffold.Detect(dir); err == nil {
			t.Errorf("Detect of %s = %s", dir, got)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// bench is a PATH with nothing but a shell's needs and the given programs, which are
// shell scripts.
func bench(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sh", "mkdir", "dirname", "cp", "cat"} {
		found, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(found, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range programs {
		write(t, filepath.Join(dir, name), "#!/bin/sh\n"+script)
	}
	t.Setenv("PATH", dir)
	for _, variable := range []string{"CLANG", "WASM_LD", "CARGO"} {
		t.Setenv(variable, "")
	}
	t.Setenv("RUSTC", "rustc") // and not that of /usr/bin
	return dir
}

// makes is a compiler that leaves what it was told in a file beside the module.
const makes = `while [ "$1" != -o ]; do said="$said $1"; shift; done
echo "$said" >> build/said
echo made > "$2"
`

const knowsWasm = `if [ "$1" = --print ]; then [ "$2" = sysroot ] && echo /absent || echo /; exit; fi
`

func TestBuildInOtherLanguages(t *testing.T) {
	for _, c := range []struct {
		name     string
		language scaffold.Language
		programs map[string]string
		said     []string
	}{
		{"c", scaffold.C, map[string]string{"clang": makes, "wasm-ld": makes}, []string{"--target=wasm32", "--strip-debug"}},
		{"c of a version", scaffold.C, map[string]string{"clang-14": makes, "wasm-ld-14": makes}, []string{"--target=wasm32"}},
		{"rust of Debian", scaffold.Rust, map[string]string{"rustc": knowsWasm + makes, "wasm-ld": makes}, []string{"-C linker=", "/wasm-ld"}},
		{"assemblyscript", scaffold.AssemblyScript, map[string]string{"node": "", "npm": "mkdir -p node_modules/.bin && cp \"$(dirname \"$0\")/compiler\" node_modules/.bin/asc\n", "compiler": makes}, []string{"--use abort=writ/abort"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newIn(t, c.language)
			bench(t, c.programs)
			module, err := scaffold.Build(t.Context(), dir)
			if err != nil || module != filepath.Join(dir, "build", "skill.wasm") || string(read(t, module)) != "made\n" {
				t.Fatalf("built %s, %v", module, err)
			}
			for _, want := range c.said {
				if said := string(read(t, dir, "build", "said")); !strings.Contains(said, want) {
					t.Errorf("%q is not among %s", want, said)
				}
			}
			// A project without a script of its own is built as a new one is.
			if err := os.Remove(filepath.Join(dir, "build.sh")); err != nil {
				t.Fatal(err)
			}
			if _, err := scaffold.Build(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBuildWithCargo(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Cargo.toml"), "")
	bench(t, map[string]string{"cargo": "o=build/cargo/wasm32-unknown-unknown/release && mkdir -p $o && echo made > $o/hello.wasm\n"})
	if _, err := scaffold.Build(t.Context(), dir); err != nil {
		t.Error(err)
	}
	bench(t, nil)
	if _, err := scaffold.Build(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "cargo was not found") {
		t.Errorf("without cargo: %v", err)
	}
}

func TestMissingToolchainsSayWhatToInstall(t *testing.T) {
	for _, c := range []struct {
		language scaffold.Language
		programs map[string]string
		tool     string
		install  string
	}{
		{scaffold.C, nil, "clang", "apt-get install -y clang lld"},
		{scaffold.C, map[string]string{"clang": makes}, "wasm-ld", "apt-get install -y lld"},
		{scaffold.Rust, nil, "rustc", "apt-get install -y rustc libstd-rust-dev-wasm32 lld"},
		{scaffold.Rust, map[string]string{"rustc": "echo /absent\n"}, "wasm32-unknown-unknown", "rustup target add wasm32-unknown-unknown"},
		{scaffold.Rust, map[string]string{"rustc": knowsWasm + makes}, "wasm-ld", "apt-get install -y lld"},
		{scaffold.AssemblyScript, nil, "node", "apt-get install -y nodejs"},
		{scaffold.AssemblyScript, map[string]string{"node": ""}, "npm", "apt-get install -y npm"},
	} {
		dir := newIn(t, c.language)
		bench(t, c.programs)
		_, err := scaffold.Build(t.Context(), dir)
		var missing *scaffold.MissingError
		if !errors.As(err, &missing) || !strings.Contains(missing.Tool, c.tool) || !strings.Contains(missing.Install, c.install) {
			t.Errorf("%s with %v: %v", c.language, c.programs, err)
		}
	}
}

func TestBuildScriptsThatFail(t *testing.T) {
	dir := t.TempDir()
	bench(t, nil)
	for script, want := range map[string]string{
		"echo 'skill.x:1: no such word'; exit 1": "does not compile:\nskill.x:1: no such word",
		"exit 3":                                 "exit status 3",
		"mkdir -p build":                         "left no build/skill.wasm",
	} {
		write(t, filepath.Join(dir, "build.sh"), script)
		if err := os.MkdirAll(filepath.Join(dir, "build"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "build", "skill.wasm"), "of an earlier build")
		if _, err := scaffold.Build(t.Context(), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", script, err)
		}
	}
}
