package writ_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func ids(grants []writ.Grant) []string {
	out := []string{}
	for i := range grants {
		out = append(out, grants[i].ID)
	}
	return out
}

func get(hosts ...string) writ.Capability {
	return writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: hosts, Methods: []string{"GET"}, Paths: []string{"/**"}}
}

// question is one of a step that gets from a host.
func question(grants ...writ.Grant) *writ.Question {
	q := &writ.Question{Principal: &writ.Principal{ID: "agent:bot", Tenant: "default"}, Grants: grants, Time: 10}
	q.Step.Skill, q.Step.Risk, q.Step.Effect = "acme/a", writ.RiskLow, abi.EffectRead
	q.Step.Capabilities = []writ.Capability{get("api.x")}
	for i := range q.Grants {
		q.Grants[i].Principal, q.Grants[i].Tenant = "agent:bot", "default"
	}
	return q
}

func TestWhichGrantsAreNeeded(t *testing.T) {
	star := writ.Capability{Tool: writ.AnyTool}
	tests := map[string]struct {
		grants []writ.Grant
		change func(*writ.Question)
		want   []string
	}{
		"the narrowest":                     {grants: []writ.Grant{{ID: "a", Capability: star}, {ID: "b", Capability: get("*.x")}, {ID: "c", Capability: get("api.x")}}, want: []string{"c"}},
		"the smallest id of two alike":      {grants: []writ.Grant{{ID: "b", Capability: get("api.x")}, {ID: "a", Capability: get("api.x")}}, want: []string{"a"}},
		"neither narrower: the smallest id": {grants: []writ.Grant{{ID: "b", Capability: get("api.x", "b.x")}, {ID: "a", Capability: get("api.x", "a.x")}}, want: []string{"a"}},
		"one that is not counted, if wider": {grants: []writ.Grant{{ID: "a", Capability: get("api.x"), MaxUses: 1}, {ID: "b", Capability: star}}, want: []string{"b"}},
		"of a skill before of all":          {grants: []writ.Grant{{ID: "a", Capability: get("api.x")}, {ID: "b", Capability: get("api.x"), Skills: []writ.SkillKey{"acme/a"}}}, want: []string{"b"}},
		"of low risk before of high":        {grants: []writ.Grant{{ID: "a", Capability: get("api.x"), MaxRisk: writ.RiskHigh}, {ID: "b", Capability: get("api.x")}}, want: []string{"b"}},
		"not of another skill":              {grants: []writ.Grant{{ID: "a", Capability: get("api.x"), Skills: []writ.SkillKey{"acme/b"}}}, want: []string{}},
		"not used up":                       {grants: []writ.Grant{{ID: "a", Capability: get("api.x"), MaxUses: 2, Uses: 2}, {ID: "b", Capability: get("api.x"), MaxUses: 2, Uses: 1}}, want: []string{"b"}},
		"not at its end":                    {grants: []writ.Grant{{ID: "a", Capability: get("api.x"), Expires: 10}, {ID: "b", Capability: get("*.x"), Expires: 11}}, want: []string{"b"}},
		"not of lower risk":                 {grants: []writ.Grant{{ID: "a", Capability: get("api.x")}}, change: func(q *writ.Question) { q.Step.Risk = writ.RiskMedium }, want: []string{}},
		"one for each capability, each once": {grants: []writ.Grant{{ID: "b", Capability: get("**.x")}, {ID: "a", Capability: writ.Capability{Tool: abi.ToolLog}}}, change: func(q *writ.Question) {
			q.Step.Capabilities = append(q.Step.Capabilities, get("b.x"), writ.Capability{Tool: abi.ToolLog})
		}, want: []string{"a", "b"}},
		"secrets are the manifest's": {grants: []writ.Grant{{ID: "a", Capability: get("api.x")}}, change: func(q *writ.Question) {
			q.Step.Capabilities[0].Secrets = []abi.Secret{{Name: "k"}}
			q.Step.Capabilities[0].Idempotent = true
		}, want: []string{"a"}},
		"nothing wanted":                       {grants: []writ.Grant{{ID: "a", Capability: star}}, change: func(q *writ.Question) { q.Step.Capabilities, q.Step.Effect = nil, abi.EffectNone }, want: []string{}},
		"no tool and an effect: of every tool": {grants: []writ.Grant{{ID: "b", Capability: star}, {ID: "a", Capability: get("**.x")}}, change: func(q *writ.Question) { q.Step.Capabilities = nil }, want: []string{"b"}},
		"of somebody else":                     {grants: []writ.Grant{{ID: "a", Capability: star}}, change: func(q *writ.Question) { q.Grants[0].Principal = "agent:other" }, want: []string{}},
		"of another tenant":                    {grants: []writ.Grant{{ID: "a", Capability: star}}, change: func(q *writ.Question) { q.Grants[0].Tenant = "other" }, want: []string{}},
		"of nobody":                            {grants: []writ.Grant{{ID: "a", Capability: star}}, change: func(q *writ.Question) { q.Principal = nil }, want: []string{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := question(test.grants...)
			if test.change != nil {
				test.change(q)
			}
			if got := ids(writ.GrantsNeeded(q, nil)); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestWhatIsHeldIsNotNeededAgain: as long as it covers, whatever else came.
func TestWhatIsHeldIsNotNeededAgain(t *testing.T) {
	grants := []writ.Grant{{ID: "a", Capability: get("api.x")}, {ID: "b", Capability: get("**.x"), MaxUses: 1}}
	held := []writ.GrantUse{{ID: "b", Use: 1}}
	if got := ids(writ.GrantsNeeded(question(grants...), held)); len(got) != 0 {
		t.Errorf("needs %v", got)
	}
	for name, q := range map[string]*writ.Question{
		"it was revoked":       question(grants[0]),
		"it was above another": question(grants...),
		"it does not cover it": question(grants[0], writ.Grant{ID: "b", Capability: get("y")}),
	} {
		mine := held
		if name == "it was above another" {
			mine = []writ.GrantUse{{ID: "b", Use: 1, For: "c"}}
		}
		if got := ids(writ.GrantsNeeded(q, mine)); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%s: needs %v", name, got)
		}
	}
}

// TestPropertyWhichGrantsAreNeeded: the order in which grants are read changes
// nothing, one that is counted is needed only where nothing else covers, and no
// other of its sort is narrower.
func TestPropertyWhichGrantsAreNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var grants []writ.Grant
		for i := range rapid.IntRange(0, 6).Draw(t, "grants") {
			g := writ.Grant{ID: string(rune('a' + i)), MaxUses: rapid.IntRange(0, 2).Draw(t, "max"), Uses: rapid.IntRange(0, 2).Draw(t, "uses")}
			g.Capability = rapid.SampledFrom([]writ.Capability{get("api.x"), get("*.x"), get("**.x"), get("y"), {Tool: writ.AnyTool}}).Draw(t, "capability")
			g.Skills = rapid.SampledFrom([][]writ.SkillKey{nil, {"acme/a"}, {"acme/a", "acme/b"}}).Draw(t, "skills")
			g.MaxRisk = rapid.SampledFrom([]writ.Risk{"", writ.RiskLow, writ.RiskHigh}).Draw(t, "risk")
			g.MaxSensitivity = rapid.SampledFrom([]writ.Sensitivity{"", writ.SensitivityPublic, writ.SensitivityPrivate, writ.SensitivitySecret}).Draw(t, "sensitivity")
			grants = append(grants, g)
		}
		q := question(slices.Clone(grants)...)
		q.Taint.Sensitivity = rapid.SampledFrom([]writ.Sensitivity{"", writ.SensitivityPublic, writ.SensitivityPrivate, writ.SensitivitySecret}).Draw(t, "data")
		got := writ.GrantsNeeded(q, nil)
		shuffled := question(rapid.Permutation(grants).Draw(t, "order")...)
		shuffled.Taint.Sensitivity = q.Taint.Sensitivity
		if again := writ.GrantsNeeded(shuffled, nil); !slices.Equal(ids(again), ids(got)) {
			t.Fatalf("%v in one order, %v in another", ids(got), ids(again))
		}
		wanted := &q.Step.Capabilities[0]
		covers := func(g writ.Grant) bool { return g.Counts(q) && g.Reaches(wanted) }
		if any := slices.ContainsFunc(q.Grants, covers); any != (len(got) == 1) {
			t.Fatalf("%d needed, covered %v", len(got), any)
		}
		for _, g := range q.Grants {
			if !covers(g) {
				continue
			}
			if best := got[0]; best.MaxUses != 0 && g.MaxUses == 0 {
				t.Fatalf("%s is counted and %s is not", best.ID, g.ID)
			}
			if best := got[0]; (best.MaxUses == 0) == (g.MaxUses == 0) && best.Reaches(&g.Capability) && !g.Reaches(&best.Capability) && len(g.Skills) == len(best.Skills) && g.ForRisk(writ.RiskHigh) == best.ForRisk(writ.RiskHigh) && g.Sensitivity() == best.Sensitivity() {
				t.Fatalf("%s is narrower than %s", g.ID, best.ID)
			}
		}
	})
}

// TestWhichDataAGrantReaches: nothing named is private, nothing known is public, and
// what is not asked is reached by every grant.
func TestWhichDataAGrantReaches(t *testing.T) {
	reach := map[writ.Sensitivity]int{"": 2, writ.SensitivityPublic: 1, writ.SensitivityPrivate: 2, writ.SensitivitySecret: 3, "cosmic": 1}
	for most, reaches := range reach {
		g := writ.Grant{MaxSensitivity: most}
		for i, s := range []writ.Sensitivity{writ.SensitivityPublic, writ.SensitivityPrivate, writ.SensitivitySecret, "cosmic"} {
			if got := g.ForSensitivity(s); got != (i < reaches) {
				t.Errorf("a grant for %q reaches %q: %v", most, s, got)
			}
		}
		if !g.ForSensitivity("") {
			t.Errorf("a grant for %q is asked by a plan that does not ask", most)
		}
	}
	for want, labels := range map[writ.Sensitivity][]writ.Label{
		writ.SensitivityPublic: {writ.LabelHTTP, writ.LabelStored, "odd"}, writ.SensitivityPrivate: {writ.LabelPrivate, writ.LabelModel},
		writ.SensitivitySecret: {writ.LabelPrivate, writ.LabelSecret},
	} {
		if got := writ.SensitivityOf(labels); got != want {
			t.Errorf("%v is %s, want %s", labels, got, want)
		}
	}
}
