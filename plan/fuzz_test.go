package plan

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/writ-run/writ"
)

// FuzzDraft: whatever the text, a draft compiles or is refused with problems
// that have a place, a known code, a message and a fix.
func FuzzDraft(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range txtar.Parse(raw).Files {
			if strings.HasPrefix(part.Name, "draft.") {
				f.Add(part.Data, part.Name == "draft.json")
			}
		}
	}
	p, from := planner(f), skills(f)
	f.Fuzz(func(t *testing.T, raw []byte, asJSON bool) {
		req := request("", from)
		req.Draft.Raw = raw
		if asJSON {
			req.Draft.Format = "json"
		}
		lines := strings.Count(string(raw), "\n") + 1
		draft, list := ParseDraft(req.Draft)
		if (draft == nil) != (len(list) > 0) {
			t.Fatalf("draft %v with %d problems", draft, len(list))
		}
		out, err := p.Compile(req)
		if err == nil {
			checkPlan(t, out)
			return
		}
		var e *writ.Error
		if !errors.As(err, &e) || e.Code != writ.CodePlanRejected {
			t.Fatal(err)
		}
		for _, problem := range append(problemsOf(err), list...) {
			if problem.Line < 1 || problem.Line > lines+1 || problem.Column < 1 || problem.Message == "" ||
				problem.Fix == "" || !slices.Contains(Codes(), problem.Code) {
				t.Fatalf("problem %+v of %d lines", problem, lines)
			}
		}
	})
}
