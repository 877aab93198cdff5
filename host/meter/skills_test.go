package meter

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/abi"
)

const skillPages = 1024 // 64 MiB

// goSkills are the skills of this repository that are written in Go, built as
// their authors build them, by the name of their directory.
var goSkills = sync.OnceValues(func() (map[string][]byte, error) {
	out, err := os.MkdirTemp("", "skills")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	skills := map[string][]byte{}
	for _, dir := range []string{"skills/json", "skills/text", "skills/http", "skills/github", "examples/conformance/go"} {
		to := filepath.Join(out, filepath.Base(dir)+".wasm")
		build := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", to, "./"+dir)
		build.Dir = filepath.Join("..", "..")
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		if text, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, text)
		}
		if skills[dir], err = os.ReadFile(to); err != nil {
			return nil, err
		}
	}
	return skills, nil
})

func skills(t testing.TB) map[string][]byte {
	t.Helper()
	all, err := goSkills()
	if err != nil {
		t.Fatal(err)
	}
	others, err := filepath.Glob(filepath.Join("..", "..", "examples", "conformance", "built", "*.wasm"))
	if err != nil || len(others) < 3 {
		t.Fatal(others, err)
	}
	for _, path := range others {
		all[filepath.Base(path)] = load(t, path)
	}
	return all
}

// TestSkillsDoTheSame runs every skill that is shipped, as it is and derived. The
// compiler takes seconds for a Go skill, so it gets one of them.
func TestSkillsDoTheSame(t *testing.T) {
	for name, module := range skills(t) {
		t.Run(name, func(t *testing.T) {
			derived := must(t, module, Options{Pages: skillPages})
			engines := []machine{interpreter}
			if len(module) < 1<<20 || name == "examples/conformance/go" {
				engines = append(engines, compiler)
			}
			var fuel []int64
			for _, m := range engines {
				want, err := interpreter.open(t, module, nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				got, err := m.open(t, module, derived, limit)
				if err != nil {
					t.Fatal(err)
				}
				same(t, got, want)
				fuel = append(fuel, got.used())
			}
			if fuel[0] != fuel[len(fuel)-1] {
				t.Errorf("fuel %v", fuel)
			}
			t.Logf("%d bytes, derived %d, fuel %d", len(module), len(derived.Bytes), fuel[0])
		})
	}
}

// same initialises a skill and runs its two entries.
func same(t *testing.T, got, want *subject) {
	t.Helper()
	for _, entry := range []string{abi.EntryInitialize, abi.EntryDescribe, abi.EntryRun} {
		got.input, want.input = []byte(query), []byte(query)
		if got.module.ExportedFunction(entry) == nil {
			continue
		}
		results, fault := got.call(entry)
		wanted, wantFault := want.call(entry)
		if fault != wantFault || fmt.Sprint(results) != fmt.Sprint(wanted) || string(got.output) != string(want.output) {
			t.Errorf("%s: %q %v %s, want %q %v %s", entry, fault, results, got.output, wantFault, wanted, want.output)
		}
		if entry == abi.EntryDescribe && len(got.output) == 0 {
			t.Error("it describes nothing")
		}
		if a, b := fmt.Sprintf("%x", got.calls.Sum(nil)), fmt.Sprintf("%x", want.calls.Sum(nil)); a != b {
			t.Errorf("%s: calls of the host differ", entry)
		}
	}
}

// query is 1 KiB of input for the action that core answers with.
var query = `{"value":{"items":[` + strings.Repeat(`{"name":"abc","n":1.5},`, 40) + `{"name":"x"}]},"path":"items[*].name"}`
