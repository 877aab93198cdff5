package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"pgregory.net/rapid"
)

// callingSkill is a skill whose one action may call what skills says and do what
// more says.
func callingSkill(t testing.TB, name, skills, more string) *writ.Release {
	t.Helper()
	return skillFrom(t, name, []byte(fmt.Sprintf(`apiVersion: writ/v1
name: acme/%s
version: 1.0.0
description: calls
abi: writ/v1
requires: {}
limits: {}
capabilities:
  - {tool: skill.call, skills: [%s]}
%s
actions:
  - {name: run, description: calls, input: {type: object}, output: {}, effects: [none]}
`, name, skills, more)))
}

const web = `  - {tool: http.request, hosts: [api.github.com], methods: [GET, POST], paths: ["/repos/o/*/issues/**"], secrets: [{name: github, scheme: https, host: api.github.com, injectAs: bearer}]}`

const callRun = "name: outer\nuses: acme/caller#run\nwith: {}"

func TestCallsArePinned(t *testing.T) {
	from := append(skills(t), callingSkill(t, "caller", `"acme/github#issue.*", "acme/text#upper"`, web))
	c := mustCompile(t, planner(t), request(draftOf(callRun), from))
	step := &c.Plan.Steps[0]
	var names []string
	for i := range step.Calls {
		call := &step.Calls[i]
		names = append(names, call.Name)
		if call.Skill.Digest == "" || call.ID == "" || call.Settled() {
			t.Errorf("%+v", call)
		}
		for k := range call.Capabilities {
			covered := func(held writ.Capability) bool { return writ.CapabilityCovers(&held, &call.Capabilities[k]) }
			if !slices.ContainsFunc(step.Capabilities, covered) {
				t.Errorf("%s may do more than its caller: %+v", call.Name, call.Capabilities[k])
			}
		}
	}
	if !slices.Contains(names, "acme/github#issue.get") || !slices.Contains(names, "acme/text#upper") || slices.Contains(names, "acme/text#any") {
		t.Errorf("%v", names)
	}
	if step.Effect != abi.EffectWriteExternal || step.Risk.Rank() < writ.RiskMedium.Rank() {
		t.Errorf("effect %s, risk %s: they are at least those of what is called", step.Effect, step.Risk)
	}
}

func TestCallsAreRefused(t *testing.T) {
	deep := func(n int) []*writ.Release {
		out := []*writ.Release{callingSkill(t, "caller", `"acme/d1#run"`, "")}
		for i := 1; i < n; i++ {
			out = append(out, callingSkill(t, fmt.Sprintf("d%d", i), fmt.Sprintf("\"acme/d%d#run\"", i+1), ""))
		}
		return append(out, callingSkill(t, fmt.Sprintf("d%d", n), `"acme/text#upper"`, ""))
	}
	// Everything that is called lies within what stands above it, so a chain has to
	// be declared from its top.
	open := func(releases []*writ.Release) []*writ.Release {
		for _, release := range releases[:len(releases)-1] {
			for i := 1; i < len(releases); i++ {
				release.Manifest.Capabilities[0].Skills = append(release.Manifest.Capabilities[0].Skills, fmt.Sprintf("acme/d%d#run", i))
			}
		}
		return releases
	}
	for name, c := range map[string]struct {
		from []*writ.Release
		code string
	}{
		"itself":          {[]*writ.Release{callingSkill(t, "caller", `"acme/caller#*"`, "")}, CodeSkillInvalid},
		"a circle":        {[]*writ.Release{callingSkill(t, "caller", `"acme/other#run", "acme/caller#run"`, ""), callingSkill(t, "other", `"acme/caller#run"`, "")}, CodeSkillInvalid},
		"not there":       {[]*writ.Release{callingSkill(t, "caller", `"acme/nothing#run"`, "")}, CodeSkillNotFound},
		"not one skill":   {[]*writ.Release{callingSkill(t, "caller", `"acme/*#run"`, "")}, CodeSkillInvalid},
		"chain of two":    {deep(2), ""},
		"chain that ends": {open(deep(6)), CodeSkillInvalid},
	} {
		_, err := planner(t).Compile(request(draftOf(callRun), append(skills(t), c.from...)))
		if (err == nil) != (c.code == "") || err != nil && !slices.Contains(codes(err), c.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPropertyACalledStepNeverExceedsItsCaller: whatever the input and whatever
// its caller was narrowed to.
func TestPropertyACalledStepNeverExceedsItsCaller(t *testing.T) {
	p := planner(t)
	from := append(skills(t), callingSkill(t, "caller", `"acme/github#issue.*"`, web))
	c := mustCompile(t, p, request(draftOf(callRun), from))
	outer, github := &c.Plan.Steps[0], from.release(t, "acme/github")
	rapid.Check(t, func(t *rapid.T) {
		call := &outer.Calls[rapid.IntRange(0, len(outer.Calls)-1).Draw(t, "call")]
		word := rapid.SampledFrom([]string{"o", "p", "r", "..", "*", "a/b"})
		input, err := json.Marshal(map[string]any{
			"owner": word.Draw(t, "owner"), "repo": word.Draw(t, "repo"), "number": 1, "body": "b",
		})
		if err != nil {
			t.Fatal(err)
		}
		within := writ.Capability{
			Tool: abi.ToolHTTPRequest, Hosts: []string{"api.github.com"}, Methods: []string{rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method")},
			Paths: []string{"/repos/o/" + rapid.SampledFrom([]string{"r", "*"}).Draw(t, "within") + "/issues/**"},
		}
		scope := writ.Scope{Release: github, Caller: &writ.Caller{
			Input: input, Within: []writ.Capability{within}, Labels: []writ.Label{writ.LabelHTTP},
		}}
		if call.Skill.Key != "acme/github" {
			t.Fatal(call.Skill)
		}
		out, err := p.Resolve(c.Plan, call, scope)
		if err != nil {
			return
		}
		if !slices.Contains(out.Taint, writ.LabelHTTP) {
			t.Fatalf("the caller's labels are lost: %v", out.Taint)
		}
		for i := range out.Capabilities {
			covered := func(held writ.Capability) bool { return writ.CapabilityCovers(&held, &out.Capabilities[i]) }
			if !covered(within) || !slices.ContainsFunc(call.Capabilities, covered) {
				t.Fatalf("%+v is beyond %+v or %+v", out.Capabilities[i], within, call.Capabilities)
			}
		}
	})
	if strings.Count(string(c.Bytes), `"calls":`) != 1 {
		t.Error("the plan does not hold what it may call")
	}
}
