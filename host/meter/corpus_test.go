package meter

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/writ-run/writ/host/wasm"
)

var update = flag.Bool("update", false, "write testdata/refused.txt anew")

// corpus are the files that wazero and Extism's SDK carry, each content once.
func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	seen := map[[32]byte]bool{}
	for _, dependency := range []string{"github.com/tetratelabs/wazero", "github.com/extism/go-sdk"} {
		root := moduleDir(t, dependency)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".wasm") {
				return err
			}
			content, err := os.ReadFile(path)
			if digest := sha256.Sum256(content); err == nil && !seen[digest] {
				seen[digest] = true
				relative, _ := filepath.Rel(root, path)
				files[filepath.Base(dependency)+"/"+filepath.ToSlash(relative)] = content
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestCorpusIsTaken holds that every module that wazero takes is either derived
// into one that wazero takes, or listed with the reason in testdata/refused.txt.
func TestCorpusIsTaken(t *testing.T) {
	r := wazero.NewRuntimeWithConfig(background, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(background)
	compiles := func(module []byte) bool {
		compiled, err := r.CompileModule(background, module)
		return err == nil && compiled.Close(background) == nil
	}
	var refused []string
	taken := 0
	for name, module := range corpus(t) {
		derived, err := Rewrite(module, Options{Pages: maxPages})
		switch {
		case !compiles(module):
		case err != nil:
			refused = append(refused, name+": "+err.(*Error).Message+"\n")
		case !compiles(derived.Bytes):
			t.Errorf("%s: the derived module is not valid", name)
		default:
			taken++
		}
	}
	slices.Sort(refused)
	list := filepath.Join("testdata", "refused.txt")
	got := strings.Join(refused, "")
	if *update {
		if err := os.WriteFile(list, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(load(t, list)); got != want {
		t.Errorf("what is refused has changed; see the difference with -update:\n%s", got)
	}
	if taken < 1200 {
		t.Errorf("only %d were taken", taken)
	}
	t.Logf("%d taken, %d refused", taken, len(refused))
}

// patience is fuel enough for what one function of the corpus does when it ends.
const patience = 5_000_000

// growsBeyond grows its memory to 2 GiB, which no host here allows.
const growsBeyond = "/fuzzcases/testdata/733.wasm"

// TestCorpusDoesTheSame runs what can be run of the corpus, but for the scripts
// that TestSpecification runs: results, faults, calls of the host and memory.
func TestCorpusDoesTheSame(t *testing.T) {
	calls := 0
	files := corpus(t)
	for name := range files {
		if strings.Contains(name, "/spectest/") || strings.HasSuffix(name, growsBeyond) {
			continue
		}
		calls += runFile(t, name, files[name])
	}
	t.Logf("%d calls", calls)
	if calls < 200 {
		t.Errorf("only %d calls were compared", calls)
	}
}

func runFile(t *testing.T, name string, module []byte) (calls int) {
	const large = 1 << 20 // as skills are, which TestSkillsDoTheSame runs
	outline, err := wasm.Parse(module)
	if err != nil || len(module) > large {
		return 0
	}
	pages := pagesFor(outline)
	derived, err := Rewrite(module, Options{Pages: pages})
	if err != nil || pages > 4000 {
		return 0
	}
	got, gotErr := interpreter.open(t, module, derived, patience)
	defer got.close()
	if gotErr != nil && strings.Contains(gotErr.Error(), errNoFuel.Error()) {
		return 0
	}
	want, wantErr := interpreter.open(t, module, nil, 0)
	defer want.close()
	if (gotErr == nil) != (wantErr == nil) {
		t.Errorf("%s: instantiation: %v, want %v", name, gotErr, wantErr)
	}
	if gotErr != nil || wantErr != nil {
		return 0
	}
	for _, export := range functionsToCall(outline) {
		params := make([]uint64, len(outline.TypeOf(export.Index).Params))
		for i := range params {
			params[i] = uint64(i + 1)
		}
		got.limit = got.given + patience
		results, fault := got.call(export.Name, params...)
		if fault == errNoFuel.Error() || fault == overflow {
			return calls
		}
		wanted, wantFault := want.call(export.Name, params...)
		calls++
		if fault == "" && wantFault == "" {
			fault = sameResults(outline.TypeOf(export.Index).Results, wanted, results)
		}
		if a, b := got.left(outline), want.left(outline); fault != wantFault || a != b {
			t.Errorf("%s: %s: %q %s, want %q %s", name, export.Name, fault, a, wantFault, b)
			return calls
		}
		if got.module.IsClosed() {
			return calls
		}
	}
	return calls
}

// left is what the host can see of an instance.
func (s *subject) left(outline *wasm.Module) string {
	out := fmt.Sprintf("calls %.8x", s.calls.Sum(nil))
	if outline.Memory == nil || s.module.IsClosed() {
		return out
	}
	pages := s.module.Memory().Size() >> 16
	if s.derived != nil {
		pages = uint32(s.module.ExportedGlobal(s.derived.Pages).Get())
	}
	memory, _ := s.module.Memory().Read(0, pages<<16)
	return fmt.Sprintf("%s memory %d %.8x", out, pages, sha256.Sum256(memory))
}

// functionsToCall are the exports that take numbers, the initialiser first.
func functionsToCall(outline *wasm.Module) []wasm.Export {
	var out []wasm.Export
	for _, e := range outline.Exports {
		sig := outline.TypeOf(e.Index)
		if e.Kind != wasm.KindFunc || len(sig.Params) > 4 || strings.ContainsAny(sig.Params, "\x7b\x70\x6f") {
			continue
		}
		if e.Name == "_initialize" || e.Name == "_start" {
			out = slices.Insert(out, 0, e)
		} else {
			out = append(out, e)
		}
	}
	return out
}
