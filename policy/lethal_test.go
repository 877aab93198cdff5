package policy

import (
	"slices"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// The test's own table, not the code's: what says who may know, and what says
// that somebody else wrote it.
var (
	secretive = []writ.Label{writ.LabelPrivate, writ.LabelSecret}
	foreign   = []writ.Label{writ.LabelChannel, writ.LabelHTTP, writ.LabelModel, writ.LabelStored, "", "invented"}
	ownWords  = []writ.Label{writ.LabelOperator, writ.LabelPrincipal}
	allLabels = slices.Concat(secretive, foreign, ownWords)
)

func drawLethal(t *rapid.T) *writ.Question {
	q := questions(t)
	q.Taint.Labels = writ.JoinLabels(rapid.SliceOfN(rapid.SampledFrom(allLabels), 0, 5).Draw(t, "all labels"))
	q.Step.Capabilities = nil
	for range rapid.IntRange(0, 3).Draw(t, "tools") {
		q.Step.Capabilities = append(q.Step.Capabilities, writ.Capability{Tool: rapid.SampledFrom([]string{
			abi.ToolHTTPRequest, abi.ToolKVGet, abi.ToolFileRead, abi.ToolLog, abi.ToolSkillCall, "post.pigeon",
		}).Draw(t, "tool")})
	}
	if rapid.Bool().Draw(t, "of a call") {
		q.Point = writ.PointCall
		q.Call = &writ.CallFacts{Sequence: 1, Tool: rapid.SampledFrom([]string{abi.ToolHTTPRequest, abi.ToolKVPut, abi.ToolLog, "post.pigeon"}).Draw(t, "called"), Effect: abi.EffectRead}
		q.Call.Arguments = []byte(`{}`)
		q.History.Approvals = rapid.IntRange(0, 3).Draw(t, "approvals")
	}
	return q
}

// deadly is the law in the test's own words.
func deadly(q *writ.Question) bool {
	has := func(set []writ.Label) bool {
		return slices.ContainsFunc(q.Taint.Labels, func(l writ.Label) bool { return slices.Contains(set, l) })
	}
	goesOut := func(tool string) bool { return tool == abi.ToolHTTPRequest || tool == "post.pigeon" }
	leaves := slices.Contains([]writ.Effect{abi.EffectWriteExternal, abi.EffectIrreversible, abi.EffectFinancial, abi.EffectAdmin, "", "odd"}, q.Step.Effect) ||
		slices.ContainsFunc(q.Step.Capabilities, func(c writ.Capability) bool { return goesOut(c.Tool) })
	if q.Call != nil {
		leaves = goesOut(q.Call.Tool)
	}
	return has(secretive) && (has(foreign) || !has(ownWords)) && leaves
}

// TestPropertyLethalTrifectaIsNeverAutonomous holds the clamp under a bundle that
// allows everything, and shows that the bundle would.
func TestPropertyLethalTrifectaIsNeverAutonomous(t *testing.T) {
	always := `{"mode": "autonomous", "risk": "low", "reasons": [{"rule": "yes", "message": "always"}]}`
	p := compiled(t, "step := "+always+"\ncall := "+always+"\n", 0)
	asked, held, alone := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		q := drawLethal(rt)
		v, err := p.Judge(t.Context(), q)
		if err != nil {
			rt.Fatal(err)
		}
		clamped := slices.ContainsFunc(v.Clamps, func(c writ.Clamp) bool { return c.Rule == ClampTrifecta })
		switch asked++; {
		case deadly(q) && v.Mode == writ.Autonomous:
			rt.Fatalf("autonomous: %+v", q)
		case deadly(q) && v.Mode == writ.Assist && (v.Approvals.Count < 1 || v.Approvals.ExpiresIn <= 0):
			rt.Fatalf("nobody is asked: %+v", v)
		case deadly(q) && v.Risk == writ.RiskHigh && v.Mode == writ.Assist && v.Approvals.Count < 2:
			rt.Fatalf("one person for high risk: %+v", v)
		case !deadly(q) && clamped:
			rt.Fatalf("clamped without need: %+v", q)
		case clamped:
			held++
		case v.Mode == writ.Autonomous:
			alone++
		}
	})
	if held == 0 || alone == 0 {
		t.Fatalf("%d questions, %d clamped, %d autonomous: the property says nothing", asked, held, alone)
	}
	t.Logf("%d questions, %d held by the clamp alone, %d autonomous without it", asked, held, alone)
}

// TestDefaultBundleSaysTheTrifecta holds rule and clamp to the same answer, with
// and without the rule index.
func TestDefaultBundleSaysTheTrifecta(t *testing.T) {
	b, err := DefaultBundle()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(t.Context(), b, 0)
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	rapid.Check(t, func(rt *rapid.T) {
		q := drawLethal(rt)
		q.Grants = []writ.Grant{{ID: "g", Principal: q.Principal.ID, Tenant: q.Principal.Tenant, Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskHigh}}
		if q.Call != nil && q.Call.Tool == abi.ToolHTTPRequest {
			q.Call.Target = writ.Target{Scheme: "https", Host: "api.example.com", Method: "GET", Path: "/"}
			q.Step.Capabilities = append(q.Step.Capabilities, writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"**"}, Methods: []string{"GET"}, Paths: []string{"/**"}})
		}
		for _, options := range [][]rego.EvalOption{nil, {rego.EvalRuleIndexing(false)}} {
			v, err := p.judge(t.Context(), q, options...)
			if err != nil {
				rt.Fatal(err)
			}
			says := slices.ContainsFunc(v.Reasons, func(r writ.Reason) bool { return r.Rule == "lethal-trifecta" && r.Fix != "" })
			if says {
				said++
			}
			if v.Mode == writ.Autonomous && deadly(q) || v.Mode == writ.Assist && says != deadly(q) {
				rt.Fatalf("%+v\nsays %v, deadly %v", v, says, deadly(q))
			}
			if slices.ContainsFunc(v.Clamps, func(c writ.Clamp) bool { return c.Rule == ClampTrifecta }) {
				rt.Fatalf("the bundle left it to the clamp: %+v", v)
			}
		}
	})
	if said == 0 {
		t.Fatal("the rule never spoke")
	}
}

// TestLethalOfAForm holds what a rule sees to what the code sees.
func TestLethalOfAForm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q := drawLethal(rt)
		form, err := newMemory().questionValue(q)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := builtinLethal(rego.BuiltinContext{Context: t.Context()}, ast.NewTerm(form))
		if err != nil || got.Value.Compare(ast.Boolean(deadly(q))) != 0 || q.Lethal() != deadly(q) {
			rt.Fatalf("%v %v, want %v: %+v", got, err, deadly(q), q)
		}
	})
	for _, document := range []string{`{}`, `{"taint": {}}`, `{"step": {}}`, `{"taint": [], "step": {}}`} {
		if got, err := builtinLethal(rego.BuiltinContext{Context: t.Context()}, ast.MustParseTerm(document)); got != nil || err != nil {
			t.Errorf("%s: %v %v, want undefined", document, got, err)
		}
	}
	for _, document := range []string{`1`, `{"taint": {"labels": [1]}, "step": {}}`, `{"taint": {"labels": 1}, "step": {}}`, `{"taint": {}, "step": {"capabilities": [1]}}`} {
		if _, err := builtinLethal(rego.BuiltinContext{Context: t.Context()}, ast.MustParseTerm(document)); err == nil {
			t.Errorf("%s: no error", document)
		}
	}
}
