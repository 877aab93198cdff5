package policy

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// crowded draws a question of a step that needs several things, among grants of which
// some reach one of them, some the tool alone and some neither.
func crowded(t *rapid.T) *writ.Question {
	q := questions(t)
	calm := rapid.IntRange(0, 3).Draw(t, "calm") > 0
	if calm {
		plain := stepQuestion()
		q.Point, q.Call, q.Origin, q.Step.Effect, q.Taint = writ.PointStep, nil, plain.Origin, plain.Step.Effect, plain.Taint
		q.Step.Risk = rapid.SampledFrom([]writ.Risk{writ.RiskLow, writ.RiskMedium}).Draw(t, "calm risk")
	}
	capabilities := rapid.Custom(func(t *rapid.T) writ.Capability {
		some := func(name string, words ...string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(words), 1, 2, rapid.ID[string]).Draw(t, name)
		}
		switch rapid.IntRange(0, 4).Draw(t, "tool") {
		case 0:
			return writ.Capability{Tool: abi.ToolKVPut, Prefixes: some("prefixes", "", "a", "ab", "b")}
		case 1:
			return writ.Capability{Tool: abi.ToolLog}
		case 2:
			return writ.Capability{Tool: abi.ToolSkillCall, Skills: some("skills", "a/b#x", "a/*#x", "**")}
		}
		return writ.Capability{
			Tool: abi.ToolHTTPRequest, Hosts: some("hosts", "a.x", "b.x", "*.x", "**"), Methods: some("methods", "GET", "POST"),
			Paths: some("paths", "/v1", "/v1/*", "/**"),
		}
	})
	q.Step.Capabilities = rapid.SliceOfN(capabilities, 0, 2).Draw(t, "wanted")
	q.Step.Tools = []string{} // as the engine says them
	for i := range q.Step.Capabilities {
		q.Step.Tools = append(q.Step.Tools, q.Step.Capabilities[i].Tool)
	}
	slices.Sort(q.Step.Tools)
	q.Step.Tools = slices.Compact(q.Step.Tools)
	for i := range q.Grants {
		q.Grants[i].Capability = rapid.SampledFrom([]writ.Capability{{Tool: writ.AnyTool}, {Tool: writ.AnyTool, Hosts: []string{"a.x"}}}).Draw(t, "every")
	}
	for range rapid.IntRange(1, 8).Draw(t, "more") {
		g := everything()
		g.Capability = capabilities.Draw(t, "held")
		if n := len(q.Step.Capabilities); n > 0 && rapid.IntRange(0, 2).Draw(t, "fits") > 0 {
			g.Capability = q.Step.Capabilities[rapid.IntRange(0, n-1).Draw(t, "which")]
		}
		if calm && rapid.IntRange(0, 2).Draw(t, "simple") > 0 {
			q.Grants = append(q.Grants, g)
			continue
		}
		g.MaxRisk = rapid.SampledFrom([]writ.Risk{"", writ.RiskMedium, writ.RiskHigh}).Draw(t, "reach")
		g.MaxUses, g.Uses = rapid.IntRange(0, 1).Draw(t, "maxUses"), rapid.IntRange(0, 1).Draw(t, "uses")
		g.Skills = rapid.SampledFrom([][]writ.SkillKey{nil, {q.Step.Skill}, {"a/b"}}).Draw(t, "for")
		q.Grants = append(q.Grants, g)
	}
	for i := range q.Grants {
		q.Grants[i].ID = fmt.Sprint("g", i)
	}
	return q
}

// TestPropertyWhatDoesNotConcernAStepChangesNothing: with the grants that the engine
// looks up the answer is, to the last word of a denial, the one with all that the
// principal holds, in one layer and in two; and the same grants are used.
func TestPropertyWhatDoesNotConcernAStepChangesNothing(t *testing.T) {
	own := compileDefault(t)
	laws := map[string]*law{"one layer": lawWith(t, own, nil), "two layers": lawWith(t, own, compileDefault(t))}
	for i, tenant := range layerRules(t) {
		if i != 4 { // that one asks whether there are any
			laws[fmt.Sprint("under a tenant's ", i)] = lawWith(t, own, tenant)
		}
	}
	fewer := map[writ.Mode]int{}
	rapid.Check(t, func(t *rapid.T) {
		all := crowded(t)
		some := *all
		some.Grants = slices.DeleteFunc(slices.Clone(all.Grants), func(g writ.Grant) bool { return !g.Concerns(all.Step.Capabilities) })
		for name, l := range laws {
			got, want := judged(t, l, &some), judged(t, l, all)
			a, _ := canon.MarshalJSON(got)
			b, _ := canon.MarshalJSON(want)
			if !bytes.Equal(a, b) {
				t.Fatalf("%s: of %d grants %d\n%s\nof all\n%s", name, len(all.Grants), len(some.Grants), a, b)
			}
			if len(some.Grants) < len(all.Grants) {
				fewer[got.Mode]++
			}
		}
		var held []writ.GrantUse
		for _, g := range all.Grants {
			if rapid.IntRange(0, 3).Draw(t, "held") == 0 {
				held = append(held, writ.GrantUse{ID: g.ID})
			}
		}
		got, want := writ.GrantsNeeded(&some, held), writ.GrantsNeeded(all, held)
		if !slices.EqualFunc(got, want, func(a, b writ.Grant) bool { return a.ID == b.ID }) {
			t.Fatalf("used are %v, and of all %v", got, want)
		}
	})
	for _, mode := range []writ.Mode{writ.Autonomous, writ.Assist, writ.Blocked} {
		if fewer[mode] == 0 {
			t.Errorf("nothing was left out where the answer is %s", mode)
		}
	}
}

// TestARuleAltersItsCopyOfTheQuestion: "with" is for the one question that it stands
// at. Neither the rules after it see what it says, nor the next question of the same
// principal, nor another layer.
func TestARuleAltersItsCopyOfTheQuestion(t *testing.T) {
	const says = `said := concat(" ", [input.principal.id, input.step.risk, input.step.input.path, sprintf("%d", [count(input.grants)])])` + "\n"
	const answers = `{"mode": "autonomous", "risk": "low", "reasons": [{"rule": "said", "message": said}]}`
	const rules = says + `
pretended := text if {
	text := said with input.principal.id as "root" with input.step.risk as "high" with input.step.input.path as "/x" with input.grants as []
}

covered if grants.missing(input) == [] with input.grants as []

step := ` + answers + ` if { pretended == "root high /x 0"; not covered; grants.missing(input) == [] }
call := ` + answers
	const plain = says + "step := " + answers + "\ncall := " + answers
	want := "ada low /v1/items 2"
	for name, l := range map[string]*law{
		"one layer":    lawWith(t, compiled(t, rules, 0), nil),
		"in the upper": lawWith(t, compiled(t, rules, 0), compiled(t, plain, 0)),
		"in the lower": lawWith(t, compiled(t, plain, 0), compiled(t, rules, 0)),
	} {
		for _, q := range []*writ.Question{stepQuestion(), stepQuestion(), callQuestion()} {
			v := judged(t, l, q)
			if v.Mode != writ.Autonomous || len(v.Reasons) != len(l.parts) {
				t.Fatalf("%s: %s %+v", name, q.Point, v)
			}
			for _, reason := range v.Reasons {
				if reason.Message != want {
					t.Errorf("%s, %s: a rule reads %q, want %q", name, q.Point, reason.Message, want)
				}
			}
		}
	}
}
