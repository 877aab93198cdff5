package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/rego"
	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

func TestDefaultBundlePassesItsTests(t *testing.T) {
	b, err := DefaultBundle()
	if err != nil {
		t.Fatal(err)
	}
	report, err := RunTests(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Cases {
		if !c.Passed {
			t.Errorf("%s: %s", c.Name, c.Message)
		}
	}
	if len(report.Cases) < 45 || report.Coverage < 99 {
		t.Errorf("%d tests cover %.1f%%; want at least 45 and 99", len(report.Cases), report.Coverage)
	}
}

func TestDefaultBundleIsFormatted(t *testing.T) {
	err := fs.WalkDir(defaultFiles, "bundle", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".rego") {
			return err
		}
		source, err := defaultFiles.ReadFile(name)
		if err != nil {
			return err
		}
		formatted, err := format.SourceWithOpts(name, source, format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			return err
		}
		if !bytes.Equal(source, formatted) {
			t.Errorf("%s is not formatted by opa fmt; want\n%s", name, formatted)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// slow are the evaluator's options without its optimisations.
var slow = []rego.EvalOption{rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false)}

// decide judges twice and fails where the index makes a difference.
func decide(t interface {
	Helper()
	Fatalf(string, ...any)
}, p *Policy, q *writ.Question,
) *writ.Verdict {
	t.Helper()
	fast, err := p.judge(context.Background(), q)
	if err != nil {
		t.Fatalf("judge: %v", err)
	}
	plain, err := p.judge(context.Background(), q, slow...)
	if err != nil {
		t.Fatalf("judge without the index: %v", err)
	}
	a, _ := canon.MarshalJSON(fast)
	b, _ := canon.MarshalJSON(plain)
	if !bytes.Equal(a, b) {
		t.Fatalf("the rule index changes the answer:\n%s\n%s", a, b)
	}
	return fast
}

func TestDecisions(t *testing.T) {
	p := compileDefault(t)
	tests := []struct {
		name   string
		change func(*writ.Question)
		mode   writ.Mode
		risk   writ.Risk
		rule   string
		people int
	}{
		{"low", func(*writ.Question) {}, writ.Autonomous, writ.RiskLow, "low-risk", 0},
		{"medium", func(q *writ.Question) { q.Step.Risk = writ.RiskMedium }, writ.Assist, writ.RiskMedium, "risk", 1},
		{"high above the grant", func(q *writ.Question) { q.Step.Risk = writ.RiskHigh }, writ.Blocked, writ.RiskHigh, "grant", 0},
		{"high", func(q *writ.Question) {
			q.Step.Risk, q.Grants = writ.RiskHigh, []writ.Grant{everything()}
		}, writ.Assist, writ.RiskHigh, "risk", 2},
		{"blocked", func(q *writ.Question) { q.Step.Risk = writ.RiskBlocked }, writ.Blocked, writ.RiskBlocked, "risk-blocked", 0},
		{"no risk", func(q *writ.Question) { q.Step.Risk = "" }, writ.Blocked, writ.RiskBlocked, "default", 0},
		{"no principal", func(q *writ.Question) { q.Principal = nil }, writ.Blocked, writ.RiskBlocked, "default", 0},
		{"no grants", func(q *writ.Question) { q.Grants = nil }, writ.Blocked, writ.RiskLow, "grant", 0},
		{"no time", func(q *writ.Question) { q.Time = 0 }, writ.Blocked, writ.RiskLow, "grant", 0},
		{"scoped star", func(q *writ.Question) {
			star := everything()
			star.Capability.Hosts = []string{"**.example.com"}
			q.Grants = []writ.Grant{star}
		}, writ.Blocked, writ.RiskLow, "grant", 0},
		{"grant of the blocked tier", func(q *writ.Question) {
			star := everything()
			star.MaxRisk = writ.RiskBlocked
			q.Grants, q.Step.Risk = []writ.Grant{star}, writ.RiskMedium
		}, writ.Blocked, writ.RiskMedium, "grant", 0},
		{"channel writes outside", func(q *writ.Question) {
			q.Origin, q.Step.Effect, q.Step.Risk = writ.OriginChannel, abi.EffectWriteExternal, writ.RiskMedium
		}, writ.Assist, writ.RiskMedium, "untrusted-origin", 1},
		{"untrusted sink", func(q *writ.Question) { q.Taint.Sinks[0].Labels = []writ.Label{writ.LabelHTTP} }, writ.Assist, writ.RiskLow, "untrusted-sink", 1},
		{"understated effect", func(q *writ.Question) { q.Step.Effect = abi.EffectFinancial }, writ.Assist, writ.RiskHigh, "low-risk", 2},
		{"no point", func(q *writ.Question) { q.Point = "" }, writ.Blocked, writ.RiskBlocked, "writ.question", 0},
		{"broken input", func(q *writ.Question) { q.Step.Input = json.RawMessage(`{`) }, writ.Blocked, writ.RiskBlocked, "writ.question", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := stepQuestion()
			test.change(q)
			v := decide(t, p, q)
			if v.Mode != test.mode || v.Risk != test.risk || v.Approvals.Count != test.people || v.Reasons[0].Rule != test.rule && v.Reasons[len(v.Reasons)-1].Rule != test.rule {
				t.Errorf("got %+v", v)
			}
			if v.Mode == writ.Blocked && v.Reasons[0].Rule != "default" && v.Reasons[0].Fix == "" {
				t.Errorf("a denial without a fix: %+v", v.Reasons)
			}
			if v.PolicyDigest != p.Policy().Digest || v.PolicyVersion == "" {
				t.Errorf("the verdict does not name its policy: %+v", v)
			}
		})
	}
}

func everything() writ.Grant {
	return writ.Grant{ID: "all", Principal: "ada", Tenant: "default", Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskHigh}
}

func TestCalls(t *testing.T) {
	p := compileDefault(t)
	tests := []struct {
		name   string
		change func(*writ.Question)
		mode   writ.Mode
	}{
		{"within", func(*writ.Question) {}, writ.Autonomous},
		{"no call", func(q *writ.Question) { q.Call = nil }, writ.Blocked},
		{"other host", func(q *writ.Question) { q.Call.Target.Host = "evil.example.com" }, writ.Blocked},
		{"star in the path", func(q *writ.Question) { q.Call.Target.Path = "/v1/*" }, writ.Blocked},
		{"last of the budget", func(q *writ.Question) { q.Call.Sequence, q.History.CallsInStep = 1000, 999 }, writ.Autonomous},
		{"past the budget", func(q *writ.Question) { q.Call.Sequence, q.History.CallsInStep = 1001, 1000 }, writ.Blocked},
		{"worse effect", func(q *writ.Question) { q.Call.Effect = abi.EffectWriteLocal }, writ.Blocked},
		{"read of a high-risk step", func(q *writ.Question) { q.Step.Effect, q.Step.Risk = abi.EffectAdmin, writ.RiskHigh }, writ.Autonomous},
		{"write of a high-risk step", func(q *writ.Question) {
			q.Step.Effect, q.Step.Risk, q.Call.Effect = abi.EffectAdmin, writ.RiskHigh, abi.EffectAdmin
		}, writ.Assist},
		{"approved write of a high-risk step", func(q *writ.Question) {
			q.Step.Effect, q.Step.Risk, q.Call.Effect, q.History.Approvals = abi.EffectAdmin, writ.RiskHigh, abi.EffectAdmin, 2
		}, writ.Autonomous},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := callQuestion()
			test.change(q)
			if v := decide(t, p, q); v.Mode != test.mode {
				t.Errorf("got %+v", v)
			}
		})
	}
}

var sensitivities = []writ.Sensitivity{writ.SensitivityPublic, writ.SensitivityPrivate, writ.SensitivitySecret}

// questions draws what an engine could ask, and some things that it could not.
func questions(t *rapid.T) *writ.Question {
	q := stepQuestion()
	q.Origin = rapid.SampledFrom([]writ.Origin{writ.OriginHuman, writ.OriginModel, writ.OriginAutomation, writ.OriginChannel, "", "x"}).Draw(t, "origin")
	q.Step.Risk = rapid.SampledFrom([]writ.Risk{writ.RiskLow, writ.RiskMedium, writ.RiskHigh, writ.RiskBlocked, ""}).Draw(t, "risk")
	q.Step.Effect = rapid.SampledFrom(append([]writ.Effect{"", "odd"}, abi.Effects...)).Draw(t, "effect")
	if rapid.Bool().Draw(t, "pure") {
		q.Step.Capabilities, q.Step.Tools = nil, nil
	}
	labels := rapid.SliceOfN(rapid.SampledFrom([]writ.Label{writ.LabelOperator, writ.LabelPrincipal, writ.LabelHTTP, writ.LabelSecret, ""}), 0, 3)
	q.Taint.Sinks = nil
	for range rapid.IntRange(0, 2).Draw(t, "sinks") {
		q.Taint.Sinks = append(q.Taint.Sinks, writ.SinkFlow{Path: "p", Labels: labels.Draw(t, "labels")})
	}
	q.Taint.Sensitivity = rapid.SampledFrom(append([]writ.Sensitivity{"", "odd"}, sensitivities...)).Draw(t, "sensitivity")
	q.Grants = nil
	for range rapid.IntRange(0, 3).Draw(t, "grants") {
		g := everything()
		if rapid.Bool().Draw(t, "narrow") {
			g.Capability = stepQuestion().Step.Capabilities[0]
		}
		g.MaxRisk = rapid.SampledFrom([]writ.Risk{"", writ.RiskLow, writ.RiskMedium, writ.RiskHigh, writ.RiskBlocked}).Draw(t, "maxRisk")
		g.MaxSensitivity = rapid.SampledFrom(append([]writ.Sensitivity{"", "odd"}, sensitivities...)).Draw(t, "maxSensitivity")
		g.Expires = writ.Time(rapid.SampledFrom([]int64{0, 1, 1 << 62}).Draw(t, "expires"))
		g.Principal = rapid.SampledFrom([]writ.PrincipalID{"ada", "ada", "bob"}).Draw(t, "who")
		q.Grants = append(q.Grants, g)
	}
	q.Point = rapid.SampledFrom([]writ.Point{writ.PointStep, writ.PointCall}).Draw(t, "point")
	if q.Point == writ.PointCall {
		q.Call = callQuestion().Call
		q.Call.Effect = rapid.SampledFrom(append([]writ.Effect{""}, abi.Effects...)).Draw(t, "callEffect")
		q.History.Approvals = rapid.IntRange(0, 2).Draw(t, "approvals")
	}
	return q
}

// looser reports whether b allows more than a: a freer mode, or fewer people.
func looser(b, a *writ.Verdict) bool {
	return b.Mode.Rank() > a.Mode.Rank() ||
		(b.Mode == writ.Assist && a.Mode == writ.Assist && b.Approvals.Count < a.Approvals.Count)
}

func TestPolicyIsMonotone(t *testing.T) {
	p := compileDefault(t)
	rapid.Check(t, func(t *rapid.T) {
		q := questions(t)
		before := decide(t, p, q)
		if before.Mode == writ.Autonomous && q.Point == writ.PointStep && q.Step.Risk.Rank() >= writ.RiskMedium.Rank() {
			t.Fatalf("autonomous at %s risk", q.Step.Risk)
		}
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			if len(q.Grants) == 0 {
				return
			}
			i := rapid.IntRange(0, len(q.Grants)-1).Draw(t, "removed")
			q.Grants = append(append([]writ.Grant{}, q.Grants[:i]...), q.Grants[i+1:]...)
		case 1:
			q.Step.Risk = map[writ.Risk]writ.Risk{writ.RiskLow: writ.RiskMedium, writ.RiskMedium: writ.RiskHigh}[q.Step.Risk]
			if q.Step.Risk == "" {
				q.Step.Risk = writ.RiskBlocked
			}
		case 2:
			q.Taint.Sinks = append(q.Taint.Sinks, writ.SinkFlow{Path: "new", Labels: []writ.Label{writ.LabelModel}})
		case 3:
			q.Origin = writ.OriginModel
		case 4:
			more := map[writ.Sensitivity]writ.Sensitivity{"": writ.SensitivityPublic, writ.SensitivityPublic: writ.SensitivityPrivate, writ.SensitivityPrivate: writ.SensitivitySecret}
			if next := more[q.Taint.Sensitivity]; next != "" {
				q.Taint.Sensitivity = next
			}
		case 5:
			for i := range q.Grants {
				q.Grants[i].MaxSensitivity = writ.SensitivityPublic
			}
		}
		if after := decide(t, p, q); looser(after, before) {
			t.Fatalf("tightening the question loosens the answer:\n%+v\n%+v", before, after)
		}
	})
}

func TestVerdictBytesAreDeterministic(t *testing.T) {
	q := stepQuestion()
	q.Grants, q.Step.Tools = nil, []string{"kv.put", "http.request", "log"}
	q.Origin, q.Step.Effect = writ.OriginModel, abi.EffectAdmin
	var first []byte
	for range 20 {
		v := decide(t, compileDefault(t), q)
		b, err := canon.MarshalJSON(v)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if !bytes.Equal(first, b) {
			t.Fatalf("%s\n%s", first, b)
		}
	}
}

func TestFixIsAWholeCommand(t *testing.T) {
	q := stepQuestion()
	q.Grants = nil
	q.Step.Capabilities[0].Paths = []string{"/a'b;$(id)\u202e"}
	v := decide(t, compileDefault(t), q)
	want := `writ grant create --principal ada --tool http.request --host api.example.com --method GET --path '/a'\''b;$(id)` +
		"\ufffd" + `' --skill acme/http --max-risk low`
	if v.Reasons[0].Fix != want {
		t.Errorf("got  %s\nwant %s", v.Reasons[0].Fix, want)
	}
}

// A plan that states its risk too low gains nothing by it: the people asked for
// are those of the tier that the effect demands.
func TestUnderstatedRiskAsksForThePeopleOfTheEffect(t *testing.T) {
	p := compileDefault(t)
	flow := writ.SinkFlow{Path: "body", Labels: []writ.Label{writ.LabelModel}}
	step := stepQuestion()
	step.Step.Effect, step.Step.Risk, step.Taint.Sinks = abi.EffectIrreversible, writ.RiskLow, []writ.SinkFlow{flow}
	call := callQuestion()
	call.Step.Effect, call.Step.Risk, call.Taint.Sinks = abi.EffectAdmin, writ.RiskLow, []writ.SinkFlow{flow}
	call.Call.Effect = abi.EffectWriteExternal
	for name, q := range map[string]*writ.Question{"step": step, "call": call} {
		if v := decide(t, p, q); v.Mode != writ.Assist || v.Risk != writ.RiskHigh || v.Approvals.Count != 2 {
			t.Errorf("%s: got %+v", name, v)
		}
	}
}
