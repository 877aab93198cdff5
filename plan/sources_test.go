package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
)

const flowDraft = `apiVersion: writ/v1
kind: Plan
inputs: {team: eu}
steps:
  - name: read
    uses: acme/github#issue.get
    with: {owner: acme, repo: site, number: 7}
  - name: each
    uses: acme/mail#send
    forEach: steps.read.output.labels
    when: steps.read.output.state == "open"
    with:
      region: eu
      message:
        to: [{address: "${{ string(intent.metadata.who) }}"}, {address: fixed@example.com}]
        text: "about ${{ steps.read.output.title }} ${{ item.name }}"
  - name: after
    uses: acme/github#issue.comment
    needs: [each]
    with: {owner: acme, repo: site, number: 7, body: done}
`

func flowsOf(t *testing.T, draft string) (*Planner, *writ.CompiledPlan, map[string]writ.Flow) {
	t.Helper()
	p := planner(t)
	compiled, err := p.Compile(writ.CompileRequest{
		Draft: writ.Interpretation{Format: "yaml", Raw: []byte(draft)}, Origin: writ.OriginHuman,
		Intent: json.RawMessage(humanIntent), Catalogue: skills(t),
	})
	if err != nil {
		t.Fatalf("%+v %v", err, problemsOf(err))
	}
	found := map[string]writ.Flow{}
	for _, step := range p.FlowsOf(compiled.Plan) {
		for _, f := range step.Flows {
			found[step.Step+" "+f.Parameter] = f
		}
	}
	return p, compiled, found
}

func TestFlowsSayWhereDataCameFrom(t *testing.T) {
	_, _, found := flowsOf(t, flowDraft)
	for _, want := range []struct{ at, from, labels, value string }{
		{"read with.owner", "literal by human", "principal", `"acme"`},
		{"each when", "steps.read.output.state", "http,principal,secret", ""},
		{"each forEach", "steps.read.output.labels", "http,principal,secret", ""},
		{"each with.region", "forEach,literal by human,when", "http,principal,secret", `"eu"`},
		{"each with.message.to.0.address", "forEach,intent.metadata.who,when", "http,principal,secret", ""},
		{"each with.message.to.1.address", "forEach,literal by human,when", "http,principal,secret", `"fixed@example.com"`},
		{"each with.message.text", "forEach,item.name,steps.read.output.title,when", "http,principal,secret", ""},
		{"after with.body", "condition of each,literal by human", "http,principal,secret", `"done"`},
	} {
		f, ok := found[want.at]
		if !ok {
			t.Errorf("%s: not there", want.at)
			continue
		}
		if got := strings.Join(f.From, ","); got != want.from || labelText(f.Labels) != want.labels || string(f.Value) != want.value {
			t.Errorf("%s: from %s, labels %s, value %s", want.at, got, labelText(f.Labels), f.Value)
		}
		if (f.Expression == "") == (want.value == "") && !strings.Contains(want.at, "with.region") {
			t.Errorf("%s: expression %q beside value %q", want.at, f.Expression, f.Value)
		}
	}
}

// TestFlowsNeverShowLessThanThePlanKnows: every label of a sink is shown at its
// parameters, and every label of the input somewhere.
func TestFlowsNeverShowLessThanThePlanKnows(t *testing.T) {
	_, compiled, found := flowsOf(t, flowDraft)
	sinks := 0
	for i := range compiled.Plan.Steps {
		step := &compiled.Plan.Steps[i]
		for _, sink := range step.Sinks {
			var shown []writ.Label
			for at, f := range found {
				if strings.HasPrefix(at, step.Name+" with."+strings.Split(sink.Path, ".")[0]) && f.Sink {
					shown = writ.JoinLabels(shown, f.Labels)
				}
			}
			sinks++
			for _, l := range sink.Labels {
				if !slices.Contains(shown, l) {
					t.Errorf("%s %s: %s is not shown, %v is", step.Name, sink.Path, l, shown)
				}
			}
		}
		var all []writ.Label
		for at, f := range found {
			if strings.HasPrefix(at, step.Name+" ") {
				all = writ.JoinLabels(all, f.Labels)
			}
		}
		if !slices.Equal(all, step.Taint) {
			t.Errorf("%s: shown %v, the plan says %v", step.Name, all, step.Taint)
		}
	}
	if sinks == 0 {
		t.Error("no step has a sink")
	}
}

func TestFlowsOfARun(t *testing.T) {
	p, compiled, _ := flowsOf(t, flowDraft)
	step, _ := compiled.Plan.Step("after")
	release, err := skills(t).Resolve(step.Skill.Key, "")
	if err != nil {
		t.Fatal(err)
	}
	flows := p.Flows(compiled.Plan, step, writ.Scope{
		Release: release, Labels: map[string][]writ.Label{"read": {writ.LabelStored}, "each": {}},
	})
	for _, f := range flows {
		if f.Value != nil || !slices.Contains(f.Labels, writ.LabelStored) {
			t.Errorf("%+v", f)
		}
	}
}
