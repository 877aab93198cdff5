package plan

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// TestEarlierRules holds plans of earlier Rules to the hashes that they had when the
// hosts of then compiled them: stored executions are derived again from them.
func TestEarlierRules(t *testing.T) {
	if differ := earlierRules(t, "first-rules", writ.NoPlanRules); differ == 0 {
		t.Error("the first rules have the labels of today")
	}
	earlierRules(t, "second-rules", 1)
}

// earlierRules counts the plans that have other labels now.
func earlierRules(t *testing.T, list string, rules int) int {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden/" + list + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	p, shelf, differ := planner(t), skills(t), 0
	lines := bufio.NewScanner(bytes.NewReader(raw))
	n := 0
	for ; lines.Scan(); n++ {
		name, want, _ := strings.Cut(lines.Text(), " ")
		archive, err := txtar.ParseFile(filepath.Join("testdata/golden", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		req := goldenRequest(shelf, archive)
		now, err := p.Compile(req)
		if err != nil {
			t.Fatal(err)
		}
		req.Rules = rules
		then, err := p.Compile(req)
		if err != nil || string(then.Hash) != want || then.Plan.Rules != max(0, rules) {
			t.Errorf("%s: %v, want %s", name, then, want)
		}
		if now.Plan.Rules != writ.PlanRules || now.Hash == then.Hash {
			t.Errorf("%s: rules %d", name, now.Plan.Rules)
		}
		if !slices.Equal(now.Plan.Steps[len(now.Plan.Steps)-1].Taint, then.Plan.Steps[len(then.Plan.Steps)-1].Taint) {
			differ++
		}
	}
	if n < 10 {
		t.Errorf("%d plans", n)
	}
	return differ
}

// labelSkills read and send; each action's name says what it is.
func labelSkills(t *testing.T) shelf {
	t.Helper()
	web := abi.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET"}, Paths: []string{"/**"}}
	known := web
	known.Secrets = []abi.Secret{{Name: "token", Scheme: "https", Host: "api.example.com", InjectAs: "bearer"}}
	action := func(name string, sensitivity abi.Sensitivity, uses ...abi.Capability) abi.Action {
		return abi.Action{
			Name: name, Description: name, Input: json.RawMessage(`{"type":"object"}`), Output: json.RawMessage(`{}`),
			Effects: []writ.Effect{abi.EffectRead}, Sensitivity: sensitivity, Uses: uses,
		}
	}
	file := abi.Capability{Tool: abi.ToolFileRead, Paths: []string{"**"}}
	kv := abi.Capability{Tool: abi.ToolKVGet, Prefixes: []string{""}}
	pure := abi.Capability{Tool: abi.ToolLog}
	m := &abi.Manifest{
		APIVersion: abi.ManifestVersion, Name: "test/data", Version: "1.0.0", ABI: abi.V1,
		Capabilities: []abi.Capability{web, known, file, kv, pure},
		Actions: []abi.Action{
			action("open", "", web), action("known", "", known), action("counted", abi.SensitivityPublic, known), action("file", "", file),
			action("kv", "", kv), action("own", abi.SensitivityPrivate, pure), action("pure", "", pure),
		},
	}
	ref := writ.SkillRef{Key: writ.SkillKey(m.Name), Version: m.Version, Digest: canon.SHA256([]byte("d")), Module: canon.SHA256([]byte("m"))}
	return shelf{{SkillRef: ref, Manifest: m}}
}

func TestLabelsOfOutputs(t *testing.T) {
	const head = "apiVersion: writ/v1\nkind: Plan\nsteps:\n  - name: a\n    uses: test/data#"
	for _, test := range []struct {
		action, rest string
		labels       string
		risk         writ.Risk
	}{
		{"open", "open", "http,principal", writ.RiskLow},
		{"known", "open", "http,principal,secret", writ.RiskMedium},
		{"counted", "open", "http,principal", writ.RiskLow},
		{"file", "open", "principal,private,stored", writ.RiskMedium},
		{"file", "pure", "principal,private,stored", writ.RiskLow},
		{"kv", "open", "principal,stored", writ.RiskLow}, // what they keep is known when they are read
		{"own", "open", "principal,private", writ.RiskLow},
		{"pure", "open", "principal", writ.RiskLow},
	} {
		draft := head + test.action + "\n  - name: b\n    uses: test/data#" + test.rest + "\n    with: {x: \"${{ steps.a.output }}\"}\n"
		compiled, err := planner(t).Compile(writ.CompileRequest{
			Draft: writ.Interpretation{Format: "yaml", Raw: []byte(draft)}, Origin: writ.OriginHuman,
			Intent: json.RawMessage(humanIntent), Catalogue: labelSkills(t),
		})
		if err != nil {
			t.Fatalf("%+v", err)
		}
		b, _ := compiled.Plan.Step("b")
		if got := labelText(b.Taint); got != test.labels || b.Risk != test.risk {
			t.Errorf("%s into %s: %s at %s risk, want %s at %s", test.action, test.rest, got, b.Risk, test.labels, test.risk)
		}
	}
}

func labelText(labels []writ.Label) string {
	texts := make([]string, len(labels))
	for i, l := range labels {
		texts[i] = string(l)
	}
	return strings.Join(texts, ",")
}

// TestConditionsReachWhatComesAfter: a step that only waits for another says, by
// running, how that one's condition came out. So does asking whether it ran.
func TestConditionsReachWhatComesAfter(t *testing.T) {
	const draft = `apiVersion: writ/v1
kind: Plan
steps:
  - {name: look, uses: "test/data#kv"}
  - {name: maybe, uses: "test/data#pure", when: "steps.look.output.x == 1"}
  - {name: after, uses: "test/data#open", needs: [maybe], with: {x: said}}
  - {name: far, uses: "test/data#open", needs: [after], with: {x: said}}
  - {name: asks, uses: "test/data#open", with: {x: "${{ has(steps.maybe.output) ? 'yes' : 'no' }}"}}
  - {name: other, uses: "test/data#open", with: {x: said}}
`
	p, catalogue := planner(t), labelSkills(t)
	req := writ.CompileRequest{
		Draft: writ.Interpretation{Format: "yaml", Raw: []byte(draft)}, Origin: writ.OriginHuman,
		Intent: json.RawMessage(humanIntent), Catalogue: catalogue,
	}
	compiled, err := p.Compile(req)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	release, _ := catalogue.Resolve("test/data", "")
	for name, gated := range map[string]bool{"after": true, "far": true, "asks": true, "other": false} {
		step, _ := compiled.Plan.Step(name)
		if got := slices.Contains(step.Taint, writ.LabelStored); got != gated {
			t.Errorf("%s: planned %v", name, step.Taint)
		}
		// In the run the stored value turns out to be private. The condition was false.
		resolved, err := p.Resolve(compiled.Plan, step, writ.Scope{
			Intent: json.RawMessage(humanIntent), Release: release,
			Outputs: map[string]json.RawMessage{"look": json.RawMessage(`{"x":2}`)},
			Labels:  map[string][]writ.Label{"look": {writ.LabelPrivate, writ.LabelStored}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := writ.RiskLow
		if gated {
			want = writ.RiskMedium // private and stored data decide about a request
		}
		if slices.Contains(resolved.Taint, writ.LabelPrivate) != gated || resolved.Risk != want {
			t.Errorf("%s: resolved %v at %s", name, resolved.Taint, resolved.Risk)
		}
	}
}
