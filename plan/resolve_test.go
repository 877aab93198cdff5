package plan

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// readStep yields an issue; commentStep writes about it.
const readStep = `
name: read
uses: acme/github#issue.get
with: {owner: a, repo: b, number: 1}`

const issue = `{"body":null,"comments":2,"extra":{"deep":[1,2.5]},"labels":null,"score":4,"state":"open","title":"Broken"}`

func scopeOf1(t testing.TB, from shelf, key, output string) writ.Scope {
	t.Helper()
	scope := writ.Scope{
		Intent: json.RawMessage(humanIntent), Release: from.release(t, key),
		Outputs: map[string]json.RawMessage{}, Labels: map[string][]writ.Label{},
	}
	if output != "" {
		scope.Outputs["read"] = json.RawMessage(output)
		scope.Labels["read"] = []writ.Label{writ.LabelHTTP}
	}
	return scope
}

// resolveLast compiles readStep and a step, and resolves the step.
func resolveLast(t testing.TB, step, key, output string) (*writ.ResolvedStep, error) {
	t.Helper()
	p, from := planner(t), skills(t)
	c := mustCompile(t, p, request(draftOf(readStep, step), from))
	target, ok := c.Plan.Step("last")
	if !ok {
		t.Fatal("no step named last")
	}
	return p.Resolve(c.Plan, target, scopeOf1(t, from, key, output))
}

func TestResolveInput(t *testing.T) {
	cases := []struct{ name, with, output, want string }{
		{"literal", `{x: 1, y: [a, {b: null}]}`, "", `{"x":1,"y":["a",{"b":null}]}`},
		{"whole value keeps its type", `{n: "${{ steps.read.output.comments }}"}`, issue, `{"n":2}`},
		{"text is joined", `{n: "#${{ steps.read.output.comments }}!"}`, issue, `{"n":"#2!"}`},
		{"a number stays a double", `{n: "${{ steps.read.output.score / 8.0 }}"}`, issue, `{"n":0.5}`},
		{"an integer stays an integer", `{n: "${{ steps.read.output.comments % 2 }}"}`, issue, `{"n":0}`},
		{"integer division", `{n: "${{ (steps.read.output.comments + 3) / 2 }}"}`, issue, `{"n":2}`},
		{"null list of Go is empty", `{n: "${{ steps.read.output.labels.size() }}"}`, issue, `{"n":0}`},
		{"untyped data", `{n: "${{ steps.read.output.extra.deep[1] }}"}`, issue, `{"n":2.5}`},
		{"metadata", `{n: "${{ intent.metadata.n + 1 }}", w: "${{ intent.metadata.who }}"}`, issue, `{"n":4,"w":"bob"}`},
		{"what the intent leaves out is empty", `{n: "${{ intent.channelKey == '' }}"}`, "", `{"n":true}`},
		{"whole object", `{o: "${{ steps.read.output }}"}`, issue, `{"o":` + strings.Replace(issue, `"labels":null`, `"labels":[]`, 1) + `}`},
		{"whole intent", `{t: "${{ intent }}"}`, "", strings.Replace(`{"t":`+humanIntent+`}`, `,"executionId"`, `,"channelKey":"","executionId"`, 1)},
		{"optional that is there", `{n: "${{ steps.read.output.?score }}"}`, issue, `{"n":4}`},
		{"optional that is not", `{n: "${{ steps.read.output.?score }}", m: 1}`, `{"body":null,"comments":2,"state":"open","title":"x"}`, `{"m":1}`},
		{"has", `{n: "${{ has(steps.read.output.score) ? 1 : 2 }}"}`, `{"body":null,"comments":2,"state":"open","title":"x"}`, `{"n":2}`},
		{"keys of data come in order", `{n: "${{ intent.metadata.map(k, k) }}"}`, issue, `{"n":["n","who"]}`},
		{"escape", `{n: "$${{ x }} ${{ 1 + intent.metadata.n }}"}`, issue, `{"n":"${{ x }} 4"}`},
		{"members with slashes and tildes", `{"a/b~c": {"~1": "${{ intent.text }}"}}`, "", `{"a/b~c":{"~1":"hello"}}`},
		{"nested in a list", `{l: [1, ["${{ intent.text }}"]]}`, "", `{"l":[1,["hello"]]}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, err := resolveLast(t, "name: last\nuses: acme/text#any\nwith: "+c.with, "acme/text", c.output)
			if err != nil {
				t.Fatal(err)
			}
			if string(out.Input) != c.want {
				t.Errorf("input is %s\nwant     %s", out.Input, c.want)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	cases := []struct {
		name, step, key, output string
		code                    writ.Code
		message                 string
	}{
		{"step was skipped", "uses: acme/text#any\nwith: {a: \"${{ steps.read.output.title }}\"}", "acme/text", "", writ.CodeInvalid, "has no output"},
		{"declared but absent", "uses: acme/text#any\nwith: {a: \"${{ steps.read.output.score }}\"}", "acme/text", `{"title":"x"}`, writ.CodeInvalid, "no such member: score"},
		{"does not fit the schema", "uses: acme/text#upper\nwith: {text: \"${{ intent.metadata.n }}\"}", "acme/text", "", writ.CodeInvalid, "has type"},
		{"bound of the schema", "uses: acme/text#upper\nwith: {text: a, times: \"${{ intent.metadata.n * 2 }}\"}", "acme/text", "", writ.CodeInvalid, "maximum"},
		{"integer beyond 2^53-1", "uses: acme/text#any\nwith: {a: \"${{ intent.metadata.n * 4503599627370496 }}\"}", "acme/text", "", writ.CodeInvalid, "2^53-1"},
		{"not a number", "uses: acme/text#any\nwith: {a: \"${{ double(intent.metadata.n) / 0.0 }}\"}", "acme/text", "", writ.CodeInvalid, "not a JSON number"},
		{"condition is not boolean", "uses: acme/text#any\nwhen: intent.metadata.n", "acme/text", "", writ.CodeInvalid, "neither true nor false"},
		{"host beyond the plan", "uses: acme/fetch#get\nwith: {url: \"https://${{ intent.text }}.evil.example/\"}", "acme/fetch", "", writ.CodeForbidden, "beyond"},
		{"path beyond the plan", "uses: acme/fetch#get\nwith: {url: \"https://eu.api.example.com/v2/${{ intent.text }}\"}", "acme/fetch", "", writ.CodeForbidden, "beyond"},
		{"value with a slash", "uses: acme/github#issue.comment\nwith: {owner: \"${{ intent.text + '/../x' }}\", repo: r, number: 1, body: b}", "acme/github", "", writ.CodeForbidden, "segment"},
		{"output is not JSON", "uses: acme/text#any\nwith: {a: \"${{ steps.read.output.title }}\"}", "acme/text", `{`, writ.CodeInvalid, "not JSON"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, err := resolveLast(t, "name: last\n"+c.step, c.key, c.output)
			var e *writ.Error
			if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Message, c.message) {
				t.Fatalf("got %+v, %v (%s); want %s with %q", out, err, writ.CodeOf(err), c.code, c.message)
			}
			if e.Code != writ.CodeForbidden && e.Fix == "" && !strings.Contains(c.name, "JSON") {
				t.Error("no fix")
			}
		})
	}
}

func TestResolveCondition(t *testing.T) {
	for when, skip := range map[string]bool{
		"false": true, "true": false, `steps.read.output.state == "closed"`: true,
		`${{ steps.read.output.comments > 1 }}`: false, `has(steps.read.output)`: false,
	} {
		out, err := resolveLast(t, "name: last\nuses: acme/text#any\nwhen: "+when, "acme/text", issue)
		if err != nil || out.Skip != skip {
			t.Errorf("when %s: %+v, %v", when, out, err)
		}
	}
	out, err := resolveLast(t, "name: last\nuses: acme/text#any\nwhen: has(steps.read.output)", "acme/text", "")
	if err != nil || !out.Skip {
		t.Errorf("a step whose source was skipped: %+v, %v", out, err)
	}
}

func TestResolveNarrows(t *testing.T) {
	out, err := resolveLast(t, "name: last\nuses: acme/fetch#get\nwith: {url: \"https://docs.example.com/${{ intent.text }}/a%20b?q=*\"}", "acme/fetch", "")
	if err != nil {
		t.Fatal(err)
	}
	want := []writ.Capability{{Tool: abi.ToolHTTPRequest, Hosts: []string{"docs.example.com"}, Methods: []string{"GET"}, Paths: []string{"/hello/a%20b"}}}
	if got, _ := json.Marshal(out.Capabilities); string(got) != marshal(t, want) {
		t.Errorf("capabilities are %s", got)
	}
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestResolveLabels(t *testing.T) {
	p, from := planner(t), skills(t)
	c := mustCompile(t, p, request(draftOf(
		"name: up\nuses: acme/text#upper\nwith: {text: a}",
		"name: last\nuses: acme/github#issue.comment\nwhen: steps.gate.output.text != ''\nwith: {owner: a, repo: b, number: 1, body: \"${{ steps.up.output.text }}\"}",
		"name: gate\nuses: acme/text#upper\nwith: {text: a}",
	), from))
	step, _ := c.Plan.Step("last")
	if step.Risk != writ.RiskMedium || untrusted(step.Taint) {
		t.Fatalf("planned: %s, %v", step.Risk, step.Taint)
	}
	scope := scopeOf1(t, from, "acme/github", "")
	scope.Outputs["up"], scope.Outputs["gate"] = json.RawMessage(`{"text":"A"}`), json.RawMessage(`{"text":"A"}`)
	for _, source := range []string{"up", "gate"} {
		scope.Labels = map[string][]writ.Label{source: {writ.LabelStored}}
		out, err := p.Resolve(c.Plan, step, scope)
		if err != nil {
			t.Fatal(err)
		}
		if out.Risk != writ.RiskHigh || !slices.Contains(out.Taint, writ.LabelStored) || !slices.Contains(out.Sinks[0].Labels, writ.LabelStored) {
			t.Errorf("labels of %s do not reach the sink: %s %v %v", source, out.Risk, out.Taint, out.Sinks)
		}
	}
	scope.Labels = nil
	if out, err := p.Resolve(c.Plan, step, scope); err != nil || out.Risk != writ.RiskMedium {
		t.Errorf("without run-time labels: %+v, %v", out, err)
	}
}

// TestResolveAfterRestart resolves a decoded plan with a planner that has
// compiled nothing.
func TestResolveAfterRestart(t *testing.T) {
	from := skills(t)
	c := mustCompile(t, planner(t), request("inputs: {by: 2.5}\n"+draftOf(readStep,
		"name: last\nuses: acme/text#any\nwith: {n: \"${{ steps.read.output.score * inputs.by }}\"}"), from))
	var again writ.Plan
	if err := json.Unmarshal(c.Bytes, &again); err != nil {
		t.Fatal(err)
	}
	step, _ := again.Step("last")
	out, err := planner(t).Resolve(&again, step, scopeOf1(t, from, "acme/text", issue))
	if err != nil || string(out.Input) != `{"n":10}` {
		t.Fatalf("%s, %v", out.Input, err)
	}
}

func TestResolveTampered(t *testing.T) {
	p, from := planner(t), skills(t)
	draft := draftOf(readStep, "name: last\nuses: acme/text#any\nwith: {n: \"${{ steps.read.output.title }}\"}")
	cases := map[string]func(plan *writ.Plan, step *writ.Step, scope *writ.Scope){
		"another release":    func(_ *writ.Plan, s *writ.Step, _ *writ.Scope) { s.Skill.Version = "9.9.9" },
		"another action":     func(_ *writ.Plan, s *writ.Step, _ *writ.Scope) { s.Action = "gone" },
		"another schema":     func(_ *writ.Plan, s *writ.Step, _ *writ.Scope) { s.InputSchema = s.OutputSchema },
		"no output schema":   func(plan *writ.Plan, _ *writ.Step, _ *writ.Scope) { plan.Schemas = nil },
		"unknown step":       func(_ *writ.Plan, s *writ.Step, _ *writ.Scope) { s.Bindings[0].Reads = []string{"steps.gone"} },
		"other expression":   func(_ *writ.Plan, s *writ.Step, _ *writ.Scope) { s.Bindings[0].CEL = "steps.read.output.nothing" },
		"undeclared reading": func(_ *writ.Plan, s *writ.Step, _ *writ.Scope) { s.Bindings[0].Reads = nil },
		"place is gone":      func(_ *writ.Plan, s *writ.Step, _ *writ.Scope) { s.Bindings[0].Path = "/gone" },
		"template":           func(_ *writ.Plan, s *writ.Step, _ *writ.Scope) { s.Template = json.RawMessage(`{`) },
		"other output schema": func(plan *writ.Plan, _ *writ.Step, _ *writ.Scope) {
			for digest := range plan.Schemas {
				plan.Schemas[digest] = json.RawMessage(`{}`)
			}
		},
	}
	for name, alter := range cases {
		t.Run(name, func(t *testing.T) {
			p := planner(t) // plans of one planner are shared
			c := mustCompile(t, p, request(draft, from))
			step, _ := c.Plan.Step("last")
			scope := scopeOf1(t, from, "acme/text", issue)
			alter(c.Plan, step, &scope)
			if out, err := p.Resolve(c.Plan, step, scope); !writ.IsCode(err, writ.CodeTampered) {
				t.Errorf("got %+v, %v", out, err)
			}
		})
	}
	c := mustCompile(t, p, request(draft, from))
	step, _ := c.Plan.Step("last")
	if _, err := p.Resolve(c.Plan, step, writ.Scope{}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("the zero scope: %v", err)
	}
	step.ForEach = &writ.Expression{CEL: "[1]"}
	if _, err := p.Resolve(c.Plan, step, scopeOf1(t, from, "acme/text", issue)); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("forEach: %v", err)
	}
}

func TestResolveBounds(t *testing.T) {
	p, from := planner(t), skills(t)
	c := mustCompile(t, p, request(draftOf(readStep,
		"name: last\nuses: acme/text#any\nwith: {n: \"${{ intent.metadata.l.all(i, intent.metadata.l.all(j, i + j >= 0)) }}\"}",
		"name: copies\nuses: acme/text#any\nwith: {n: \"${{ intent.metadata.l.map(i, intent.text) }}\"}"), from))
	scope := scopeOf1(t, from, "acme/text", "")
	scope.Intent = json.RawMessage(`{"text":"x","metadata":{"l":[` + strings.Repeat("1,", 2999) + `1]}}`)
	step, _ := c.Plan.Step("last")
	if _, err := p.Resolve(c.Plan, step, scope); err == nil || !strings.Contains(err.Error(), "limit exceeded") {
		t.Errorf("a runaway expression: %v", err)
	}
	scope.Intent = json.RawMessage(`{"text":"` + strings.Repeat("x", 4096) + `","metadata":{"l":[` + strings.Repeat("1,", 1999) + `1]}}`)
	step, _ = c.Plan.Step("copies")
	if _, err := p.Resolve(c.Plan, step, scope); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a value of 8 MiB: %v", err)
	}
}

// TestIterationLabels: the labels of the list reach the item, the sinks and the
// output.
func TestIterationLabels(t *testing.T) {
	from := skills(t)
	req := request(draftOf(readStep,
		"name: each\nuses: acme/mail#send\nforEach: steps.read.output.labels\nwith: {region: eu, message: {to: [], text: \"${{ item.name }}\"}}",
		"name: gated\nuses: acme/mail#send\nforEach: steps.read.output.labels\nwith: {region: eu, message: {to: [], text: fixed}}"), from)
	of, err := labelsOf(&req)
	if err != nil {
		t.Fatal(err)
	}
	ps := &problems{file: "draft", source: newSource(req.Draft.Raw)}
	c := &compiler{planner: planner(t), problems: ps, draft: parse(req.Draft, ps), labelling: of, catalogue: from}
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	for _, p := range ps.list {
		t.Errorf("%+v", p)
	}
	for _, name := range []string{"each", "gated"} {
		w := c.byName[name]
		if got := marshal(t, c.flows(w).sinks(w.action.Sinks)); !strings.Contains(got, `{"path":"message.text","labels":["http","principal","secret"]}`) {
			t.Errorf("sinks of %s: %s", name, got)
		}
		if !slices.Contains(c.labelling.outputs[name], writ.LabelHTTP) || w.needs[0] != "read" {
			t.Errorf("%s: outputs %v, needs %v", name, c.labelling.outputs[name], w.needs)
		}
		if e := c.expressionOf(w, w.forEach); e.Type != "list(object(steps.read.output.labels[]))" || e.Reads[0] != "steps.read" {
			t.Errorf("forEach of %s: %+v", name, e)
		}
	}
}
