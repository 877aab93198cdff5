package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden compiles the draft of each archive. The archive's files: draft.yaml
// or draft.json, optionally intent.json and origin, and what must come of it:
// plan.json or problems.txt.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d archives, %v", len(files), err)
	}
	p, shelf := planner(t), skills(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, result := goldenResult(t, p, shelf, archive)
			want, ok := fileOf(archive, name)
			if *update {
				setFile(archive, name, result)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !ok || !bytes.Equal(want, result) {
				t.Errorf("%s differs (run with -update and read the diff); got:\n%s", name, result)
			}
		})
	}
}

// TestDeterminism compiles every golden draft with new planners: Go's maps have
// another order each time.
func TestDeterminism(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	shelf := skills(t)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, first := goldenResult(t, planner(t), shelf, archive)
		for range 12 {
			if _, again := goldenResult(t, planner(t), shelf, archive); !bytes.Equal(first, again) {
				t.Errorf("%s: two results of one draft:\n%s\n%s", file, first, again)
				break
			}
		}
	}
}

func goldenRequest(shelf shelf, archive *txtar.Archive) writ.CompileRequest {
	req := writ.CompileRequest{Origin: writ.OriginHuman, Intent: json.RawMessage(humanIntent), Catalogue: shelf}
	req.Draft.Source = "draft"
	for _, f := range archive.Files {
		switch f.Name {
		case "draft.yaml", "draft.json":
			req.Draft.Name, req.Draft.Raw = f.Name, f.Data
			req.Draft.Format = strings.TrimPrefix(filepath.Ext(f.Name), ".")
		case "intent.json":
			req.Intent = bytes.TrimSpace(f.Data)
		case "origin":
			req.Origin = writ.Origin(bytes.TrimSpace(f.Data))
		}
	}
	return req
}

func goldenResult(t *testing.T, p *Planner, shelf shelf, archive *txtar.Archive) (string, []byte) {
	t.Helper()
	compiled, err := p.Compile(goldenRequest(shelf, archive))
	if err != nil {
		if !writ.IsCode(err, writ.CodePlanRejected) {
			t.Fatal(err)
		}
		return "problems.txt", []byte(problemText(problemsOf(err)))
	}
	checkPlan(t, compiled)
	var indented bytes.Buffer
	if err := json.Indent(&indented, compiled.Bytes, "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	return "plan.json", indented.Bytes()
}

// checkPlan asserts what holds for every plan.
func checkPlan(t testing.TB, c *writ.CompiledPlan) {
	t.Helper()
	again, err := canon.JSON(c.Bytes)
	if err != nil || !bytes.Equal(again, c.Bytes) {
		t.Errorf("the plan's bytes are not canonical: %v", err)
	}
	if c.Hash != canon.Sum(canon.DomainPlan, c.Bytes) || string(c.ID) != canon.ID("pln", canon.DomainPlan, c.Bytes) {
		t.Error("hash or id are not of the bytes")
	}
	var back writ.Plan
	if err := json.Unmarshal(c.Bytes, &back); err != nil {
		t.Fatal(err)
	}
	bytesAgain, err := canon.MarshalJSON(&back)
	if err != nil || !bytes.Equal(bytesAgain, c.Bytes) {
		t.Errorf("the plan does not survive decoding: %v", err)
	}
	done := map[string]bool{}
	for i := range back.Steps {
		s := &back.Steps[i]
		id, err := stepID(s)
		if err != nil || id != s.ID {
			t.Errorf("step %s: id %s is not derived from the step (%s, %v)", s.Name, s.ID, id, err)
		}
		for _, need := range s.Needs {
			if !done[need] {
				t.Errorf("step %s stands before %s, which it needs", s.Name, need)
			}
		}
		done[s.Name] = true
	}
}

func fileOf(archive *txtar.Archive, name string) ([]byte, bool) {
	for _, f := range archive.Files {
		if f.Name == name {
			return f.Data, true
		}
	}
	return nil, false
}

// setFile puts the result last, in the place of either result.
func setFile(archive *txtar.Archive, name string, data []byte) {
	var kept []txtar.File
	for _, f := range archive.Files {
		if f.Name != "plan.json" && f.Name != "problems.txt" {
			kept = append(kept, f)
		}
	}
	archive.Files = append(kept, txtar.File{Name: name, Data: data})
}
