package writ_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/writ-run/writ"

// layers says which of our packages a folder may import, by the longest prefix
// of the folder's path. A folder that no row names fails the test.
var layers = map[string][]string{
	"abi":      {},
	"canon":    {},
	"egress":   {}, // knows addresses alone
	".":        {"abi", "canon"},
	"contract": {".", "abi", "canon"},

	"intent":   {".", "abi", "canon"},
	"plan":     {".", "contract", "abi", "canon"},
	"policy":   {".", "contract", "abi", "canon"},
	"identity": {".", "contract", "abi", "canon"},
	"registry": {".", "contract", "abi", "canon"},
	// Brings bundles from elsewhere; registry, which judges them, knows of no network.
	"registry/remote": {"registry", ".", "canon"},
	"registry/feed":   {".", "canon"},
	"drift":           {".", "contract", "abi", "canon"},
	"freeze":          {".", "contract", "abi", "canon"},
	"budget":          {".", "contract", "abi", "canon"},
	"host":            {".", "contract", "abi", "canon", "egress"},
	"hook":            {".", "contract", "abi", "canon", "egress"},
	"engine":          {".", "contract", "abi", "canon"},
	"trace":           {".", "contract", "abi", "canon"},
	"trace/tracetest": {"trace", "."},

	"shelf":      {}, // knows bytes alone
	"shelf/pack": {"shelf", "registry"},

	"api":                 {".", "contract", "canon"},
	"channel":             {".", "contract", "canon", "intent"}, // which has no state of the host's
	"channel/channeltest": {"channel", ".", "canon"},
	"channel/github":      {"channel", ".", "canon"}, // each provider alike
	"channel/slack":       {"channel", ".", "canon"},
	"channel/telegram":    {"channel", ".", "canon"},
	"channel/webhook":     {"channel", ".", "canon"},

	"channel/whatsappmeta":   {"channel", ".", "canon"},
	"channel/whatsapptwilio": {"channel", ".", "canon"},

	"cmd/writ": {"*"},
	"bench":    {"*"},

	"sdk":          {"abi"},
	"sdk/scaffold": {}, // host side: unpacks what the binary carries
	"skills":       {"sdk", "abi"},
	"examples":     {"sdk", "abi"},
}

// owners names the one folder that may import a heavy dependency.
var owners = map[string][]string{
	"github.com/open-policy-agent/opa":                  {"policy"},
	"github.com/dgraph-io/badger":                       {"trace"},
	"golang.org/x/mod/sumdb":                            {"trace"},
	"github.com/fxamacker/cbor":                         {"canon"},
	"github.com/gowebpki/jcs":                           {"canon"},
	"github.com/sigstore":                               {"registry"},
	"oras.land/oras-go":                                 {"registry/remote"},
	"github.com/digitorus/timestamp":                    {"registry/keyless/keylesstest"},
	"github.com/in-toto/attestation":                    {"registry"},
	"github.com/theupdateframework/go-tuf":              {"registry/feed", "registry/keyless"},
	"github.com/tetratelabs/wazero":                     {"host"},
	"github.com/extism/go-sdk":                          {"host"},
	"github.com/ianlancetaylor/demangle":                {"host"},
	"cel.dev/cel-go":                                    {"plan"},
	"github.com/spf13/cobra":                            {"cmd/writ"},
	"golang.org/x/tools/txtar":                          {"cmd/writ"},
	"github.com/knadh/koanf":                            {"cmd/writ"},
	"github.com/prometheus/client_golang":               {"api"},
	"github.com/klauspost/compress":                     {"shelf", "trace"},
	"github.com/go-jose/go-jose":                        {"skills/crypto", "registry/keyless/loopback", "identity/oidc/oidctest"},
	"github.com/coreos/go-oidc":                         {"identity/oidc"},
	"golang.org/x/oauth2":                               {"identity/oidc"},
	"github.com/zitadel/oidc":                           {"identity/oidc/oidctest"},
	"github.com/yuin/goldmark":                          {"skills/markdown"},
	"github.com/mmcdole/gofeed":                         {"skills/feed"},
	"github.com/emersion/go-ical":                       {"skills/calendar"},
	"github.com/teambition/rrule-go":                    {"skills/calendar"},
	"github.com/evanphx/json-patch":                     {"skills/json"},
	"github.com/wI2L/jsondiff":                          {"skills/json"},
	"github.com/santhosh-tekuri/jsonschema":             {"skills/json"},
	"github.com/slack-go/slack":                         {"channel/slack"},
	"github.com/google/go-github":                       {"channel/github"},
	"github.com/twilio/twilio-go":                       {"channel/whatsapptwilio"},
	"filippo.io/age":                                    {"host/secret", "identity"},
	"github.com/standard-webhooks/standard-webhooks":    {"hook"},
	"github.com/secure-systems-lab/go-securesystemslib": {"identity", "trace", "registry/keyless/keylesstest"},
}

// minters may call MintPermit: a permit comes from a verdict and nowhere else.
// The benchmark runs the bare sandbox, which takes a permit too.
var minters = []string{"engine", "bench"}

// compileInProcess may say so in their own code: the benchmark measures the sandbox
// without it. What ships compiles in processes that are bounded.
var compileInProcess = []string{"host", "bench", "bench/chaos"}

// Budgets. A tail of huge files and functions is what makes a codebase ugly.
const (
	maxFileLines     = 400
	maxFunctionLines = 55
	maxParameters    = 4 // a context apart
	maxMethods       = 7
)

// overBudget lists what is above a budget for a reason, with the reason's limit.
var overBudget = map[string]int{}

type source struct {
	dir, file string
	test      bool
	tree      *ast.File
	fset      *token.FileSet
	text      []byte
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); p != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "build" || name == "bin" || name == "template") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, p, text, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{dir: path.Dir(filepath.ToSlash(p)), file: p, test: strings.HasSuffix(p, "_test.go"), tree: tree, fset: fset, text: text})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d source files were found: the walk is broken", len(out))
	}
	return out
}

func layerOf(dir string) (string, bool) {
	for d := dir; ; d = path.Dir(d) {
		if _, ok := layers[d]; ok && (d != "." || dir == ".") {
			return d, true
		}
		if d == "." {
			return "", false
		}
	}
}

func imports(s source) []string {
	var out []string
	for _, spec := range s.tree.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		out = append(out, p)
	}
	return out
}

func TestLayers(t *testing.T) {
	for _, s := range sources(t) {
		layer, ok := layerOf(s.dir)
		if !ok {
			t.Errorf("%s: folder %s is in no row of the table of layers", s.file, s.dir)
			continue
		}
		if s.test {
			continue // a test may use the real neighbour
		}
		for _, imported := range imports(s) {
			rest, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			target := strings.TrimPrefix(rest, "/")
			if target == "" {
				target = "."
			}
			targetLayer, _ := layerOf(target)
			allowed := layers[layer]
			if targetLayer == layer || strings.HasPrefix(targetLayer, layer+"/") || slices.Contains(allowed, "*") || slices.Contains(allowed, targetLayer) {
				continue
			}
			t.Errorf("%s: %s may not import %s", s.file, layer, target)
		}
	}
}

func TestOwners(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imported := range imports(s) {
			for dependency, folders := range owners {
				if imported != dependency && !strings.HasPrefix(imported, dependency+"/") {
					continue
				}
				if !slices.ContainsFunc(folders, func(f string) bool { return s.dir == f || strings.HasPrefix(s.dir, f+"/") }) {
					t.Errorf("%s: %s belongs to %v", s.file, dependency, folders)
				}
			}
		}
	}
}

func TestOnlyTheEngineMintsPermits(t *testing.T) {
	calls := 0
	for _, s := range sources(t) {
		ast.Inspect(s.tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				name = f.Sel.Name
			case *ast.Ident:
				name = f.Name
			}
			if name != "MintPermit" {
				return true
			}
			calls++
			if !s.test && !slices.Contains(minters, s.dir) {
				t.Errorf("%s: MintPermit is called outside %v", s.fset.Position(call.Pos()), minters)
			}
			return true
		})
	}
	if calls == 0 {
		t.Error("nobody calls MintPermit: the test looks for the wrong name")
	}
}

func TestWhatShipsCompilesInAnotherProcess(t *testing.T) {
	seen := 0
	for _, s := range sources(t) {
		ast.Inspect(s.tree, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok && name.Name == "CompileInProcessUnsafe" {
				seen++
				if !s.test && !slices.Contains(compileInProcess, s.dir) {
					t.Errorf("%s: modules are compiled in this process", s.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if seen == 0 {
		t.Error("nobody names CompileInProcessUnsafe: the test looks for the wrong name")
	}
}

func TestBudgets(t *testing.T) {
	for _, s := range sources(t) {
		over := func(where string, got, limit int) {
			if allowed, ok := overBudget[where]; ok {
				limit = allowed
			}
			if got > limit {
				t.Errorf("%s: %d, the budget is %d: cut where the meaning changes", where, got, limit)
			}
		}
		if !s.test {
			over(s.file, bytes.Count(s.text, []byte("\n")), maxFileLines)
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if s.test {
					return true
				}
				where := fmt.Sprintf("%s: func %s", s.file, n.Name.Name)
				lines := s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
				over(where, lines, maxFunctionLines)
				over(where+": parameters", parameters(n), maxParameters)
			case *ast.InterfaceType:
				over(fmt.Sprintf("%s: interface", s.fset.Position(n.Pos())), n.Methods.NumFields(), maxMethods)
			}
			return true
		})
	}
}

func parameters(f *ast.FuncDecl) int {
	n := f.Type.Params.NumFields()
	if n == 0 {
		return 0
	}
	if s, ok := f.Type.Params.List[0].Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Context" {
		n--
	}
	return n
}

func TestExportsAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.tree.Name.Name == "main" {
			continue
		}
		for _, decl := range s.tree.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s has no comment", s.fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				undocumented(t, s, d)
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	receiver := d.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if index, ok := receiver.(*ast.IndexExpr); ok {
		receiver = index.X
	}
	name, ok := receiver.(*ast.Ident)
	return ok && name.IsExported()
}

func undocumented(t *testing.T, s source, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil && len(d.Specs) == 1 {
				t.Errorf("%s: %s has no comment", s.fset.Position(spec.Pos()), spec.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					t.Errorf("%s: %s has no comment", s.fset.Position(spec.Pos()), name.Name)
				}
			}
		}
	}
}

// TestThereIsNothingHidden holds that no test skips and that nothing is left
// undone behind a marker.
func TestThereIsNothingHidden(t *testing.T) {
	hidden := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b|//no` + `lint|\bt\.Sk` + `ip\(`)
	for _, s := range sources(t) {
		if at := hidden.FindIndex(s.text); at != nil {
			t.Errorf("%s:%d: %s", s.file, 1+bytes.Count(s.text[:at[0]], []byte("\n")), s.text[at[0]:at[1]])
		}
	}
}
