package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// outcome is the codes of a draft, empty where it compiles.
func outcome(t *testing.T, raw string, format string) []string {
	t.Helper()
	req := request(raw, skills(t))
	req.Draft.Format = format
	_, err := planner(t).Compile(req)
	if err != nil && !writ.IsCode(err, writ.CodePlanRejected) {
		t.Fatal(err)
	}
	return codes(err)
}

func manySteps(n int) string {
	steps := make([]string, n)
	for i := range steps {
		steps[i] = fmt.Sprintf("name: s%d\nuses: acme/text#any", i)
	}
	return draftOf(steps...)
}

func nested(levels int) string {
	return `{"apiVersion":"writ/v1","kind":"Plan","steps":[{"name":"a","uses":"acme/text#any","with":{"x":` +
		strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}}]}`
}

func padded(size int) string {
	draft := manySteps(1)
	return draft + "#" + strings.Repeat("x", size-len(draft)-1)
}

func expressions(n int) string {
	list := strings.Repeat(`"${{ 1 }}",`, n)
	return draftOf("name: a\nuses: acme/text#any\nwith: {x: [" + strings.TrimSuffix(list, ",") + "]}")
}

func longExpression(size int) string {
	return draftOf(`name: a
uses: acme/text#any
with: {x: "${{ '` + strings.Repeat("x", size-2) + `' }}"}`)
}

func TestLimits(t *testing.T) {
	const base = 3 // levels of a draft above the value of nested: steps, step, with
	cases := []struct {
		name, format string
		within, past string
		want         string
	}{
		{"steps", "yaml", manySteps(writ.MaxPlanSteps), manySteps(writ.MaxPlanSteps + 1), CodeTooLarge},
		{"draft", "yaml", padded(writ.MaxDraft), padded(writ.MaxDraft + 1), CodeTooLarge},
		{"depth of JSON", "json", nested(maxDepth - base), nested(maxDepth - base + 1), CodeTooLarge},
		{"depth of YAML", "yaml", nested(maxDepth - base), nested(maxDepth - base + 1), CodeTooLarge},
		{"expressions", "yaml", expressions(maxExpressions), expressions(maxExpressions + 1), CodeTooLarge},
		{"expression", "yaml", longExpression(maxExpressionSize), longExpression(maxExpressionSize + 1), CodeExpressionLimit},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(t, c.within, c.format); len(got) > 0 {
				t.Errorf("at the limit: %v", got)
			}
			if got := outcome(t, c.past, c.format); len(got) != 1 || got[0] != c.want {
				t.Errorf("one past the limit: %v, want %s", got, c.want)
			}
		})
	}
}

func TestPlanSize(t *testing.T) {
	// 40 steps of 20 KB are a draft below its limit; a skill's limits and schemas
	// come on top, so it is the plan that grows too large.
	step := func(i, size int) string {
		return fmt.Sprintf("name: s%d\nuses: acme/text#any\nwith: {x: %q}", i, strings.Repeat("x", size))
	}
	build := func(n, size int) string {
		steps := make([]string, n)
		for i := range steps {
			steps[i] = step(i, size)
		}
		return draftOf(steps...)
	}
	if got := outcome(t, build(250, 3000), "yaml"); len(got) > 0 {
		t.Errorf("a plan below 1 MiB: %v", got)
	}
	draft := build(250, 3900)
	if len(draft) > writ.MaxDraft {
		t.Fatalf("the draft itself has %d bytes", len(draft))
	}
	if got := outcome(t, draft, "yaml"); !slices.Equal(got, []string{CodeTooLarge}) {
		t.Errorf("a plan above 1 MiB: %v", got)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	steps := make([]string, 200)
	for i := range steps {
		steps[i] = fmt.Sprintf("name: s%d\nuses: acme/none#any\nneeds: [x%d]", i, i)
	}
	if got := outcome(t, draftOf(steps...), "yaml"); len(got) != maxProblems {
		t.Errorf("%d problems", len(got))
	}
}

func TestHostileYAML(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for name, raw := range map[string]string{
		"alias bomb": bomb, "empty": "", "comment": "# nothing", "scalar": "7", "list": "[]", "nul": "a: \x00",
		"latin1": "a: \xe9", "deep": strings.Repeat("[", 5000), "tabs": "steps:\n\t- a", "utf16": "\xff\xfea\x00",
		"binary": "a: !!binary aGk=", "set": "a: !!set {x}", "complex key": "? [a]\n: b", "self": "&a [*a]", "many documents": "---\n---\n---\n",
	} {
		if got := outcome(t, raw, "yaml"); len(got) == 0 {
			t.Errorf("%s compiles", name)
		}
	}
}

func TestHostileJSON(t *testing.T) {
	for name, raw := range map[string]string{
		"empty": "", "truncated": `{"apiVersion":`, "trailing": nested(1) + "x", "lone surrogate": `{"a":"\ud800"}`,
		"duplicate": `{"a":1,"a":2}`, "huge number": `{"a":1e999}`, "big integer": `{"a":9007199254740992}`, "deep": strings.Repeat("[", 100000),
	} {
		if got := outcome(t, raw, "json"); len(got) == 0 {
			t.Errorf("%s compiles", name)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	p, from := planner(t), skills(t)
	req := request(manySteps(1), from)
	req.Intent = nil
	if _, err := p.Compile(req); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("without an intent: %v", err)
	}
	req = request(manySteps(1), nil)
	req.Catalogue = nil
	if _, err := p.Compile(req); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("without a catalogue: %v", err)
	}
	req = request(manySteps(1), from)
	req.Catalogue = failing{}
	if _, err := p.Compile(req); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Errorf("a catalogue that fails: %v", err)
	}
	req = request(manySteps(1), from)
	req.Draft.Format = "toml"
	if _, err := p.Compile(req); !slices.Equal(codes(err), []string{CodeSyntax}) {
		t.Errorf("a format that is not known: %v", err)
	}
	req.Draft.Format, req.Draft.Source = "", "model"
	out, err := p.Compile(req)
	if err != nil || !slices.Contains(out.Plan.Steps[0].Taint, writ.LabelModel) {
		t.Errorf("what a model wrote is not labelled so: %v", err)
	}
	req.Origin = ""
	if out, err = p.Compile(req); err != nil || out.Plan.Origin != writ.OriginChannel {
		t.Errorf("an unknown origin: %v", err)
	}
}

type failing struct{}

// Resolve implements writ.Catalogue.
func (failing) Resolve(writ.SkillKey, string) (*writ.Release, error) {
	return nil, writ.Errorf(writ.CodeUnavailable, "catalogue", "is closed")
}

func TestSchemasRefused(t *testing.T) {
	p := planner(t)
	for name, raw := range map[string]string{
		"loop":           `{"$ref":"#"}`,
		"loop of two":    `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{"$ref":"#/$defs/a"}]}}}`,
		"loop in anyOf":  `{"type":"object","properties":{"x":{"anyOf":[{"type":"null"},{"$ref":"#/properties/x"}]}}}`,
		"loop in not":    `{"not":{"$ref":"#"}}`,
		"nowhere":        `{"$ref":"#/$defs/a"}`,
		"elsewhere":      `{"$ref":"https://example.com/schema"}`,
		"anchor":         `{"$anchor":"a"}`,
		"dynamic":        `{"$dynamicRef":"#a"}`,
		"id inside":      `{"properties":{"a":{"$id":"x"}}}`,
		"encoded":        `{"$ref":"#/%24defs"}`,
		"a number":       `7`,
		"not JSON":       `{`,
		"duplicate":      `{"type":"string","type":"object"}`,
		"wrong keyword":  `{"type":7}`,
		"bad pattern":    `{"type":"string","pattern":"("}`,
		"deep":           strings.Repeat(`{"items":`, 200) + "{}" + strings.Repeat("}", 200),
		"large":          `{"title":"` + strings.Repeat("x", maxSchemaBytes) + `"}`,
		"unknown schema": `{"$ref":7}`,
	} {
		if _, err := p.schema([]byte(raw)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, raw := range map[string]string{
		"recursive":     `{"type":"object","properties":{"next":{"$ref":"#"}}}`,
		"boolean":       `true`,
		"shared":        `{"properties":{"a":{"$ref":"#/$defs/x"},"b":{"$ref":"#/$defs/x"}},"$defs":{"x":{"type":"string"}}}`,
		"named like it": `{"properties":{"$id":{"type":"string"},"$ref":{"type":"string"}}}`,
	} {
		if _, err := p.schema([]byte(raw)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSkillInvalid(t *testing.T) {
	action := func(a abi.Action) shelf {
		if a.Input == nil {
			a.Input = []byte(`{"type":"object","properties":{"a":{"type":"string"},"o":{"type":"object"},"n":{"type":"integer"}}}`)
		}
		if a.Output == nil {
			a.Output = []byte(`{}`)
		}
		a.Name = "run"
		manifest := &abi.Manifest{Name: "acme/x", Version: "1.0.0", Actions: []abi.Action{a}, Capabilities: []abi.Capability{{Tool: "file.read", Paths: []string{"in/**"}}}}
		return shelf{{SkillRef: writ.SkillRef{Key: "acme/x", Version: "1.0.0"}, Manifest: manifest}}
	}
	uses := func(paths ...string) abi.Action {
		return abi.Action{Uses: []abi.Capability{{Tool: "file.read", Paths: paths}}}
	}
	for name, a := range map[string]abi.Action{
		"input schema":        {Input: []byte(`{"$ref":"#"}`)},
		"output schema":       {Output: []byte(`{`)},
		"sink":                {Sinks: []string{"b"}},
		"tool":                {Uses: []abi.Capability{{Tool: "rocket.launch"}}},
		"open placeholder":    uses("in/{a"),
		"closed placeholder":  uses("in/a}"),
		"unknown placeholder": uses("in/{b}"),
		"empty placeholder":   uses("in/{}"),
		"object placeholder":  uses("in/{o}"),
		"URL of a number":     uses("{n.path}"),
		"URL within":          uses("in/{a.path}"),
		"not a pattern":       uses("in/**/x"),
	} {
		req := request(draftOf("name: s\nuses: acme/x#run\nwith: {a: x, o: {}, n: 1}"), action(a))
		_, err := planner(t).Compile(req)
		if !slices.Contains(codes(err), CodeSkillInvalid) {
			t.Errorf("%s: %v %v", name, err, problemsOf(err))
		}
	}
	// Unknown effects and risks count as the worst.
	req := request(draftOf("name: s\nuses: acme/x#run"), action(abi.Action{Effects: []abi.Effect{"mystery"}, Risk: "tiny"}))
	c := mustCompile(t, planner(t), req)
	if s := c.Plan.Steps[0]; s.Effect != abi.EffectAdmin || s.Risk != writ.RiskBlocked {
		t.Errorf("effect %s, risk %s", s.Effect, s.Risk)
	}
}

// TestCodes: every code is in the document, and every code is reached by a golden
// file or a test of this file.
func TestCodes(t *testing.T) {
	doc, err := os.ReadFile("../docs/plans.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "## Problems")
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, m[1])
	}
	if !slices.Equal(documented, Codes()) {
		t.Errorf("docs/plans.md lists %v\nthe package     %v", documented, Codes())
	}
	reached := CodeTooLarge + " " + CodeSkillInvalid
	files, _ := filepath.Glob("testdata/golden/*.txtar")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		reached += string(raw)
	}
	for _, code := range Codes() {
		if !strings.Contains(reached, code) {
			t.Errorf("no test reaches %s", code)
		}
	}
}
