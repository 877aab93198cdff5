package meter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/writ-run/writ/host/wasm"
)

// documented are the reasons to refuse what wazero may take: bounds, what later
// proposals add, what a host never has, and numbers with bits that mean nothing.
var documented = regexp.MustCompile(`at most \d+ are allowed` +
	`|does not fit \d+ bits` +
	`|is not one of WebAssembly 2\.0` +
	`|is not supported` +
	`|is not a function$` +
	`|the meter's own$` +
	`|beyond the memory's \d+ pages`)

// refusedEarly reports whether the outline of a module is at fault: wazero is not
// asked about those, as it allocates whatever number it reads. TestCorpusIsTaken
// holds that no more is refused there than is listed.
func refusedEarly(module []byte) bool {
	_, err := wasm.Parse(module)
	return err != nil
}

// uncommented is the module without its custom sections, which no derived module
// has: wazero makes room for as many names as a section claims to hold, which are
// gigabytes.
func uncommented(t testing.TB, module []byte) []byte {
	t.Helper()
	m, err := wasm.Parse(module)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(wasm.Header)
	for _, s := range m.Sections {
		out = binary.AppendUvarint(append(out, s.ID), uint64(s.To-s.From))
		out = append(out, module[s.From:s.To]...)
	}
	return out
}

// FuzzRewrite holds that no bytes make Rewrite panic, that it is a function, and
// that what wazero takes is refused for a documented reason or becomes something
// that wazero takes.
func FuzzRewrite(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	r := wazero.NewRuntimeWithConfig(background, wazero.NewRuntimeConfigInterpreter())
	// wazero's validator is known to panic on modules that it should refuse.
	compiles := func(module []byte) (err error) {
		defer func() {
			if fault := recover(); fault != nil {
				err = fmt.Errorf("panic: %v", fault)
			}
		}()
		compiled, err := r.CompileModule(background, module)
		if err != nil {
			return err
		}
		return compiled.Close(background)
	}
	f.Fuzz(func(t *testing.T, module []byte) {
		o := Options{Pages: 32}
		before := bytes.Clone(module)
		derived, err := Rewrite(module, o)
		if !bytes.Equal(before, module) {
			t.Fatal("the module was changed")
		}
		switch {
		case err != nil && (refusedEarly(module) || documented.MatchString(err.Error())):
		case err != nil:
			if compiles(uncommented(t, module)) == nil {
				t.Fatalf("refused without need: %v", err)
			}
		default:
			if again := must(t, module, o); !bytes.Equal(again.Bytes, derived.Bytes) {
				t.Fatal("two derivations differ")
			}
			if err := compiles(derived.Bytes); err != nil && compiles(uncommented(t, module)) == nil {
				t.Fatalf("the derived module is not valid: %v", err)
			}
		}
	})
}

// seeds are the small modules of wazero's tests, each once.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	const small = 4 << 10
	var out [][]byte
	seen := map[string]bool{}
	root := filepath.Join(moduleDir(t, "github.com/tetratelabs/wazero"), "internal", "integration_test")
	for _, pattern := range []string{"spectest/v2/testdata/*.wasm", "engine/testdata/*.wasm", "fuzzcases/testdata/*.wasm"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, err)
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > small {
				continue
			}
			if content := load(t, path); !seen[string(content)] {
				seen[string(content)] = true
				out = append(out, content)
			}
		}
	}
	return out
}
