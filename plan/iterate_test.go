package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"pgregory.net/rapid"
)

const eachLabel = "name: each\nuses: acme/github#issue.comment\nforEach: steps.read.output.labels\nwhen: item.name != \"no\"\n" +
	"with: {owner: o, repo: \"${{ item.name }}\", number: 1, body: \"n ${{ index }}\"}"

func TestExpandAndResolveIterations(t *testing.T) {
	p, from := planner(t), skills(t)
	c := mustCompile(t, p, request(draftOf(readStep, eachLabel), from))
	step, _ := c.Plan.Step("each")
	scope := scopeOf1(t, from, "acme/github", `{"title":"t","body":null,"state":"open","comments":1,"labels":[{"name":"a"},{"name":"no"},{"name":"b"}]}`)
	scope.Labels = map[string][]writ.Label{"read": {writ.LabelStored}}
	expansion, err := p.Expand(c.Plan, step, scope)
	if err != nil {
		t.Fatal(err)
	}
	if len(expansion.Items) != 3 || string(expansion.List) != `[{"name":"a"},{"name":"no"},{"name":"b"}]` || !slices.Contains(expansion.Labels, writ.LabelStored) {
		t.Fatalf("%s %v", expansion.List, expansion.Labels)
	}
	for i, want := range []string{"/repos/o/a/issues/1/comments", "", "/repos/o/b/issues/1/comments"} {
		scope.Item = &writ.Item{Value: expansion.Items[i], Index: i}
		out, err := p.Resolve(c.Plan, step, scope)
		if err != nil {
			t.Fatal(err)
		}
		if out.Skip != (want == "") {
			t.Errorf("iteration %d: skip %v", i, out.Skip)
		}
		if !out.Skip && (out.Capabilities[0].Paths[0] != want || !slices.Contains(out.Taint, writ.LabelStored)) {
			t.Errorf("iteration %d: %+v %v", i, out.Capabilities, out.Taint)
		}
	}
	scope.Item = nil
	if _, err := p.Resolve(c.Plan, step, scope); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("without an element: %v", err)
	}
}

func TestExpandRefuses(t *testing.T) {
	p, from := planner(t), skills(t)
	c := mustCompile(t, p, request(draftOf("name: each\nuses: acme/text#any\nforEach: intent.metadata.list\nwith: {}"), from))
	step, _ := c.Plan.Step("each")
	for metadata, code := range map[string]writ.Code{
		`{}`: writ.CodeInvalid, `{"list":{"a":1}}`: writ.CodeInvalid, `{"list":"abc"}`: writ.CodeInvalid,
		`{"list":[` + strings.Repeat("1,", writ.MaxPlanSteps) + `1]}`: writ.CodeTooLarge,
	} {
		scope := scopeOf1(t, from, "acme/text", "")
		scope.Intent = json.RawMessage(`{"text":"x","metadata":` + metadata + `}`)
		if out, err := p.Expand(c.Plan, step, scope); !writ.IsCode(err, code) {
			t.Errorf("%.40s: %+v, %v", metadata, out, err)
		}
	}
	step.ForEach = nil
	if _, err := p.Expand(c.Plan, step, scopeOf1(t, from, "acme/text", "")); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("without forEach: %v", err)
	}
}

// TestCountSteps: what is known of the iterations counts when the plan is made.
func TestCountSteps(t *testing.T) {
	p, from := planner(t), skills(t)
	draft := func(n int) string {
		return draftOf("name: one\nuses: acme/text#any\nwith: {}",
			"name: each\nuses: acme/text#any\nforEach: \"["+strings.TrimSuffix(strings.Repeat("1,", n), ",")+"]\"\nwith: {}")
	}
	mustCompile(t, p, request(draft(255), from))
	if _, err := p.Compile(request(draft(256), from)); !slices.Equal(codes(err), []string{CodeTooLarge}) {
		t.Errorf("%v", err)
	}
}

// TestPropertyIterationsStayWithinThePlan: whatever an element says, an
// iteration may do nothing that the plan did not foresee.
func TestPropertyIterationsStayWithinThePlan(t *testing.T) {
	p, from := planner(t), skills(t)
	c := mustCompile(t, p, request(draftOf(readStep, eachLabel), from))
	step, _ := c.Plan.Step("each")
	scope := scopeOf1(t, from, "acme/github", `{"title":"t","body":null,"state":"open","comments":1,"labels":[]}`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"..", "**", "a/b", "*", "%2e%2e", "a?b", "a#b"})).Draw(t, "name")
		raw, err := json.Marshal(map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		scope.Item = &writ.Item{Value: raw, Index: rapid.IntRange(0, 255).Draw(t, "index")}
		out, err := p.Resolve(c.Plan, step, scope)
		if err != nil || out.Skip {
			return
		}
		for i := range out.Capabilities {
			if !slices.ContainsFunc(step.Capabilities, func(planned writ.Capability) bool {
				return writ.CapabilityCovers(&planned, &out.Capabilities[i])
			}) {
				t.Fatalf("%q widens the step to %+v", name, out.Capabilities[i])
			}
		}
	})
}
