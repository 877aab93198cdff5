package policy

import (
	"slices"
	"strconv"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func BenchmarkStep(b *testing.B) {
	p := compileDefault(b)
	q := stepQuestion()
	b.ReportAllocs()
	for b.Loop() {
		v, err := p.Judge(b.Context(), q)
		if err != nil || v.Mode != writ.Autonomous {
			b.Fatal(v, err)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	p := compileDefault(b)
	q := callQuestion()
	b.ReportAllocs()
	for b.Loop() {
		v, err := p.Judge(b.Context(), q)
		if err != nil || v.Mode != writ.Autonomous {
			b.Fatal(v, err)
		}
	}
}

// A step of a principal that holds a thousand grants for its tool: with those of them
// that the engine asks about, and with all of them, in one layer and in two.
func BenchmarkStepAmongGrants(b *testing.B) { amongGrants(b, lawWith(b, compileDefault(b), nil)) }

func BenchmarkStepInTwoLayersAmongGrants(b *testing.B) {
	amongGrants(b, lawWith(b, compileDefault(b), compileDefault(b)))
}

func amongGrants(b *testing.B, l *law) {
	all := stepQuestion()
	for i := range 998 {
		g := all.Grants[0]
		g.ID, g.Capability.Hosts = "g0"+strconv.Itoa(i), []string{"api" + strconv.Itoa(i) + ".example.com"}
		all.Grants = append(all.Grants, g)
	}
	concern := *all
	concern.Grants = slices.DeleteFunc(slices.Clone(all.Grants), func(g writ.Grant) bool { return !g.Concerns(all.Step.Capabilities) })
	for name, q := range map[string]*writ.Question{"concern": &concern, "all": all} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v, err := l.Judge(b.Context(), q); err != nil || v.Mode != writ.Autonomous {
					b.Fatal(v, err)
				}
			}
		})
	}
}

func BenchmarkInput(b *testing.B) {
	q, m := stepQuestion(), newMemory()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.questionValue(q); err != nil {
			b.Fatal(err)
		}
	}
}

func compileDefault(tb testing.TB) *Policy {
	tb.Helper()
	bundle, err := DefaultBundle()
	if err != nil {
		tb.Fatal(err)
	}
	p, err := Compile(tb.Context(), bundle, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// stepQuestion is a low-risk step that its grant covers.
func stepQuestion() *writ.Question {
	get := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET"}, Paths: []string{"/v1/*"}}
	return &writ.Question{
		Point:     writ.PointStep,
		Principal: &writ.Principal{ID: "ada", Kind: writ.Human, Tenant: "default", Workspace: "default", Roles: []string{"operator"}, Capabilities: []string{"control-plane.core"}, Strength: writ.StrengthToken},
		Grants: []writ.Grant{
			{ID: "g1", Principal: "ada", Tenant: "default", Capability: get, MaxRisk: writ.RiskMedium},
			{ID: "g2", Principal: "ada", Tenant: "default", Capability: writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{"notes/"}}, Expires: 1 << 62},
		},
		Origin: writ.OriginHuman,
		Plan:   writ.PlanFacts{Hash: "sha256:00", Steps: 3},
		Step: writ.StepFacts{
			ID: "stp_a", Name: "fetch", Skill: "acme/http", Publisher: "acme", Version: "1.0.0", Digest: "sha256:01", Action: "get",
			Effect: abi.EffectRead, Risk: writ.RiskLow, Capabilities: []writ.Capability{get}, Tools: []string{abi.ToolHTTPRequest},
			Input: []byte(`{"path":"/v1/items"}`), Resolved: true, Attempt: 1,
		},
		Taint: writ.TaintFacts{Labels: []writ.Label{writ.LabelPrincipal}, Sinks: []writ.SinkFlow{{Path: "path", Labels: []writ.Label{writ.LabelPrincipal}}}},
		Host:  writ.HostFacts{Version: "0.1.0", Labels: map[string]string{"zone": "a"}},
		Time:  1767225600000000000,
	}
}

// callQuestion is a call within its step.
func callQuestion() *writ.Question {
	q := stepQuestion()
	q.Point = writ.PointCall
	q.Call = &writ.CallFacts{
		Sequence: 1, Tool: abi.ToolHTTPRequest, Effect: abi.EffectRead, Idempotent: true, Arguments: []byte(`{"method":"GET","url":"https://api.example.com/v1/items"}`),
		Digest: "sha256:02", Target: writ.Target{Scheme: "https", Host: "api.example.com", Method: "GET", Path: "/v1/items"},
	}
	return q
}
