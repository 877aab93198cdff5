package plan

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// sanitiser is the rule that the private output of an action is public.
func sanitiser(release *writ.Release, action string) writ.Declassification {
	return writ.Declassification{
		Name: action, Skill: release.Key, Digest: release.Digest, Action: action,
		From: writ.SensitivityPrivate, To: writ.SensitivityPublic, Reason: "a count alone",
	}
}

// TestDeclassifiedSteps: the rule stands in the plan, its output is public for what
// comes after, secrets and who wrote it stay, and the policy is named.
func TestDeclassifiedSteps(t *testing.T) {
	from := labelSkills(t)
	law := canon.SHA256([]byte("law"))
	for action, want := range map[string]string{"own": "principal", "file": "principal,stored", "known": "http,principal,secret"} {
		draft := "apiVersion: writ/v1\nkind: Plan\nsteps:\n  - name: a\n    uses: test/data#" + action + "\n  - name: b\n    uses: test/data#open\n    with: {x: \"${{ steps.a.output }}\"}\n"
		req := writ.CompileRequest{
			Draft: writ.Interpretation{Format: "yaml", Raw: []byte(draft)}, Origin: writ.OriginHuman,
			Intent: json.RawMessage(humanIntent), Catalogue: from, Law: law,
		}
		p := planner(t)
		plain := mustCompile(t, p, req)
		req.Declassify = []writ.Declassification{sanitiser(from[0], action)}
		ruled := mustCompile(t, p, req) // by the same planner: what is remembered knows of rules
		if plain.Plan.Law != "" || plain.Hash == ruled.Hash || ruled.Plan.Law != law {
			t.Errorf("%s: law %q and %q", action, plain.Plan.Law, ruled.Plan.Law)
		}
		a, _ := ruled.Plan.Step("a")
		b, _ := ruled.Plan.Step("b")
		if d := a.Declassified; d == nil || d.Rule != action || d.Reason != "a count alone" || b.Declassified != nil {
			t.Errorf("%s: %+v, %+v", action, a.Declassified, b.Declassified)
		}
		if got := labelText(b.Taint); got != want {
			t.Errorf("%s: what reads it has %s, want %s", action, got, want)
		}
		// By the rules of then nobody knew of it.
		req.Rules = 1
		if then := mustCompile(t, p, req); then.Plan.Law != "" {
			t.Errorf("%s: a plan of earlier rules is declassified", action)
		}
	}
}

// TestPropertyDeclassifyingTakesNoOriginAway: whatever is declassified, each step has
// all the labels that it had, but for who may know private data, and no lower risk
// than its effect demands.
func TestPropertyDeclassifyingTakesNoOriginAway(t *testing.T) {
	p, from := planner(t), skills(t)
	rapid.Check(t, func(t *rapid.T) {
		req := request(drawSketch(t).text(inOrder), from)
		if rapid.Bool().Draw(t, "channel") {
			req.Intent = json.RawMessage(channelIntent)
		}
		plain := compiledPlan(t, p, req)
		for _, release := range from {
			for i := range release.Manifest.Actions {
				if rapid.Bool().Draw(t, "declassified") {
					req.Declassify = append(req.Declassify, sanitiser(release, release.Manifest.Actions[i].Name))
				}
			}
		}
		req.Law = canon.SHA256([]byte("law"))
		ruled := compiledPlan(t, p, req)
		for i := range plain.Steps {
			before, after := &plain.Steps[i], &ruled.Steps[i]
			if !slices.Equal(writ.Declassify(before.Taint), writ.Declassify(after.Taint)) {
				t.Fatalf("step %s: %v became %v", before.Name, before.Taint, after.Taint)
			}
			if untrusted(before.Taint) && !untrusted(after.Taint) || after.Risk.Rank() < writ.RiskOf(after.Effect).Rank() {
				t.Fatalf("step %s: %v at %s risk became %v at %s", before.Name, before.Taint, before.Risk, after.Taint, after.Risk)
			}
		}
	})
}
