//go:build !wasip1

package skills_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/plan"
)

// catalogue serves the skills of this repository, as built.
type catalogue map[writ.SkillKey]*writ.Skill

func (c catalogue) Resolve(key writ.SkillKey, _ string) (*writ.Release, error) {
	if skill, ok := c[key]; ok {
		return &skill.Release, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, "skill "+string(key), "is not in this repository")
}

// add takes a described manifest and its module; the bundle's digest would come
// from a signed bundle.
func (c catalogue) add(m *abi.Manifest, module []byte) {
	digest, key := canon.SHA256(module), writ.SkillKey(m.Name)
	ref := writ.SkillRef{Key: key, Version: m.Version, Digest: digest, Module: digest}
	c[key] = &writ.Skill{Release: writ.Release{SkillRef: ref, Manifest: m}, Module: module}
}

// intent is one that a person submits or, with a channel, that came in there.
func intent(t *testing.T, channel, metadata string) json.RawMessage {
	t.Helper()
	in := writ.Intent{
		ID: "int_a", Execution: "exe_a", Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Text: "issue opened",
		Actor: "ada", ChannelKey: channel, Origin: writ.OriginHuman, TraceID: strings.Repeat("0", 32),
	}
	if channel != "" {
		in.Origin = writ.OriginChannel
	}
	if metadata != "" {
		raw, err := os.ReadFile(metadata)
		if err != nil {
			t.Fatal(err)
		}
		in.Metadata = raw
	}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := canon.JSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	return canonical
}

// followed is what came of one step.
type followed struct {
	name, input string
	paths       []string // that the step may reach
	risk        writ.Risk
}

// follow compiles a draft and runs its steps in order in the sandbox.
func follow(t *testing.T, box writ.Sandbox, known catalogue, draft string, about json.RawMessage) (steps []followed) {
	t.Helper()
	text, err := os.ReadFile(draft)
	if err != nil {
		t.Fatal(err)
	}
	planner, err := plan.New(plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := planner.Compile(writ.CompileRequest{
		Draft:  writ.Interpretation{Source: "draft", Format: "yaml", Name: filepath.Base(draft), Raw: text},
		Origin: writ.OriginHuman, Intent: about, Catalogue: known,
	})
	if err != nil {
		var e *writ.Error
		errors.As(err, &e)
		t.Fatalf("%s: %v %+v", draft, err, e.Details)
	}
	scope := writ.Scope{Intent: about, Outputs: map[string]json.RawMessage{}, Labels: map[string][]writ.Label{}}
	for i := range compiled.Plan.Steps {
		step := &compiled.Plan.Steps[i]
		skill := known[step.Skill.Key]
		scope.Release = &skill.Release
		resolved, err := planner.Resolve(compiled.Plan, step, scope)
		if err != nil {
			t.Fatalf("%s: step %s: %v", draft, step.Name, err)
		}
		if resolved.Skip {
			continue
		}
		f := followed{name: step.Name, input: string(resolved.Input), risk: resolved.Risk}
		for _, c := range resolved.Capabilities {
			f.paths = append(f.paths, c.Paths...)
		}
		steps = append(steps, f)
		result, _ := run(t, box, skill.Module, step.Action, string(resolved.Input))
		if result.Failure != nil {
			t.Fatalf("%s: step %s: %v", draft, step.Name, result.Failure)
		}
		scope.Outputs[step.Name], scope.Labels[step.Name] = result.Output, resolved.Taint
	}
	return steps
}

// fetchDraft may reach the path of its URL and no other.
const fetchDraft = `{apiVersion: writ/v1, kind: Plan, steps: [
  {name: fetch, uses: writ/http#get, with: {url: "https://api.example.com/v1/items?page=2"}}]}`

// The drafts of the examples compile, and each step gets what it needs and no
// more.
func draftsRun(t *testing.T, box writ.Sandbox, known catalogue) {
	t.Helper()
	hello := follow(t, box, known, "../examples/hello/draft.yaml", intent(t, "", ""))
	if len(hello) != 2 || hello[1].input != `{"template":"{{greeting}} Welcome.","values":{"greeting":"Hello, Ada!"}}` {
		t.Errorf("hello runs as %+v", hello)
	}
	fetch := filepath.Join(t.TempDir(), "fetch.yaml")
	if err := os.WriteFile(fetch, []byte(fetchDraft), 0o600); err != nil {
		t.Fatal(err)
	}
	fetched := follow(t, box, known, fetch, intent(t, "", ""))
	if len(fetched) != 1 || !slices.Equal(fetched[0].paths, []string{"/v1/items"}) || fetched[0].risk != writ.RiskLow {
		t.Errorf("fetch runs as %+v", fetched)
	}
	// A comment's words are content, not a sink: whoever wrote the issue, it is
	// medium risk, and a person sees the exact bytes.
	for _, channel := range []string{"", "github"} {
		checkTriage(t, follow(t, box, known, "../examples/issue-triage/draft.yaml",
			intent(t, channel, "../examples/issue-triage/testdata/issues.opened.json")), writ.RiskMedium)
	}
}

func checkTriage(t *testing.T, steps []followed, risk writ.Risk) {
	t.Helper()
	const issue = "/repos/Codertocat/Hello-World/issues/1"
	want := []struct {
		name, holds string
		paths       []string
		risk        writ.Risk
	}{
		{"classify", `"text":"Spelling error in the README file\n\nIt looks like`, nil, writ.RiskLow},
		{"label", `"labels":["documentation"]`, []string{issue + "/labels"}, risk},
		{"comment", `"body":"Thank you, @Codertocat. This looks like documentation,\nand a maintainer`, []string{issue + "/comments"}, risk},
	}
	if len(steps) != len(want) {
		t.Fatalf("issue-triage runs %d steps, want %d: %+v", len(steps), len(want), steps)
	}
	for i, w := range want {
		got := steps[i]
		if got.name != w.name || !strings.Contains(got.input, w.holds) || !slices.Equal(got.paths, w.paths) || got.risk != w.risk {
			t.Errorf("step %d is %+v, want %+v", i, got, w)
		}
	}
}
