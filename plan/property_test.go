package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"pgregory.net/rapid"
)

// sketch is a random plan: steps that read intents, inputs and earlier steps.
type sketch struct{ steps []sketchStep }

type sketchStep struct {
	name    string
	uses    string
	members [][2]string // of with, as YAML flow values
	extra   [][2]string // needs, when, timeout
}

func drawSketch(t *rapid.T) sketch {
	var s sketch
	for i := range rapid.IntRange(1, 7).Draw(t, "steps") {
		step := sketchStep{name: fmt.Sprintf("s%c%d", 'a'+rune((i*7)%5), i)}
		earlier := func(label string) string {
			if i == 0 || rapid.Bool().Draw(t, label+" literal") {
				return rapid.SampledFrom([]string{"lit", "${{ intent.text }}", "${{ inputs.word }}", "${{ intent.tenantId }}"}).Draw(t, label)
			}
			other := s.steps[rapid.IntRange(0, i-1).Draw(t, label+" step")]
			return "${{ string(steps." + other.name + ".output.id) }}"
		}
		step.members = [][2]string{
			{"owner", quote(earlier("owner"))},
			{"repo", quote(earlier("repo"))},
			{"number", rapid.SampledFrom([]string{"1", "7", `"${{ int(intent.metadata.n) }}"`}).Draw(t, "number")},
			{"body", quote("text " + earlier("body"))},
		}
		step.uses = "acme/github#issue.comment"
		if i > 0 && rapid.Bool().Draw(t, "when") {
			other := s.steps[rapid.IntRange(0, i-1).Draw(t, "when step")]
			step.extra = append(step.extra, [2]string{"when", "steps." + other.name + ".output.id > 0"})
		}
		if i > 0 && rapid.Bool().Draw(t, "needs") {
			step.extra = append(step.extra, [2]string{"needs", "[" + s.steps[rapid.IntRange(0, i-1).Draw(t, "needs step")].name + "]"})
		}
		s.steps = append(s.steps, step)
	}
	return s
}

func quote(s string) string { return `"` + s + `"` }

// text writes the sketch, its steps and members in the order that shuffle gives.
func (s sketch) text(shuffle func(n int) []int) string {
	var b strings.Builder
	b.WriteString("inputs: {word: w, unused: 1}\nkind: Plan\napiVersion: writ/v1\nsteps:\n")
	for _, i := range shuffle(len(s.steps)) {
		step := s.steps[i]
		var with []string
		for _, j := range shuffle(len(step.members)) {
			with = append(with, step.members[j][0]+": "+step.members[j][1])
		}
		members := append([][2]string{{"name", step.name}, {"uses", step.uses}, {"with", "{" + strings.Join(with, ", ") + "}"}}, step.extra...)
		var parts []string
		for _, j := range shuffle(len(members)) {
			parts = append(parts, quote(members[j][0])+": "+flow(members[j]))
		}
		b.WriteString("  - {" + strings.Join(parts, ", ") + "}\n")
	}
	return b.String()
}

func flow(m [2]string) string {
	if m[0] == "with" || m[0] == "needs" {
		return m[1]
	}
	return quote(m[1])
}

func inOrder(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestPropertyOrderDoesNotMatter(t *testing.T) {
	p, from := planner(t), skills(t)
	rapid.Check(t, func(t *rapid.T) {
		s := drawSketch(t)
		first, err := p.Compile(request(s.text(inOrder), from))
		if err != nil {
			t.Fatalf("%v\n%s", err, problemText(problemsOf(err)))
		}
		shuffled := s.text(func(n int) []int { return rapid.Permutation(inOrder(n)).Draw(t, "order") })
		slices.Reverse(from)
		second, err := p.Compile(request(shuffled, from))
		if err != nil {
			t.Fatalf("%v\n%s", err, shuffled)
		}
		if !bytes.Equal(first.Bytes, second.Bytes) || first.Hash != second.Hash || first.ID != second.ID {
			t.Fatalf("the plan depends on the order of\n%s", shuffled)
		}
		ids := map[writ.StepID]bool{}
		for i := range first.Plan.Steps {
			ids[first.Plan.Steps[i].ID] = true
		}
		if len(ids) != len(s.steps) {
			t.Fatalf("%d ids for %d steps", len(ids), len(s.steps))
		}
	})
}

// arguments are those of one action, to be narrowed.
type arguments struct {
	action, key string
	with        map[string]any
}

// drawArguments has values that try to widen what they are put into.
func drawArguments(t *rapid.T) arguments {
	nasty := rapid.SampledFrom([]string{"a", "..", ".", "*", "**", "a/b", "a/../b", "%2f", "%2e%2e", "a*", "{x}", "a b", "ü", "", "evil.com", "a.b", "\\", "a\x00b", "A", "?", "#", "@", "x:y"})
	host := rapid.SampledFrom([]string{"docs.example.com", "DOCS.example.com", "eu.api.example.com", "api.example.com", "evil.example", "docs.example.com.evil", "*", "docs.example.com:444", "u@docs.example.com"}).Draw(t, "host")
	url := rapid.SampledFrom([]string{"https://", "http://", "ftp://", ""}).Draw(t, "scheme") + host +
		rapid.SampledFrom([]string{"", "/", "/v1/", "/v2/", "//"}).Draw(t, "root") + nasty.Draw(t, "path")
	return rapid.SampledFrom([]arguments{
		{"issue.comment", "acme/github", map[string]any{"owner": nasty.Draw(t, "owner"), "repo": nasty.Draw(t, "repo"), "number": 1, "body": "b"}},
		{"get", "acme/fetch", map[string]any{"url": url, "method": rapid.SampledFrom([]string{"GET", "PUT", "DELETE", "*", ""}).Draw(t, "method")}},
		{"save", "acme/fetch", map[string]any{"path": "out/" + nasty.Draw(t, "file"), "text": "x"}},
		{"send", "acme/mail", map[string]any{"region": nasty.Draw(t, "region"), "message": map[string]any{"to": []any{}, "text": "x", "id": nasty.Draw(t, "id")}}},
		{"lookup", "acme/mail", map[string]any{"key": rapid.SampledFrom([]string{"sent/", "drafts/", "", "s"}).Draw(t, "prefix") + nasty.Draw(t, "rest")}},
	}).Draw(t, "arguments")
}

// TestPropertyCapabilities: what a plan grants is covered by the manifest, and
// what a run grants by the plan, or the run is refused. The same values are once
// written in the draft and once given at run time.
func TestPropertyCapabilities(t *testing.T) {
	p, from := planner(t), skills(t)
	rapid.Check(t, func(t *rapid.T) {
		a := drawArguments(t)
		release := from.mustRelease(a.key)
		literal, err := p.Compile(jsonRequest(a.key+"#"+a.action, a.with, from))
		if err == nil {
			covered(t, literal.Plan.Steps[0].Capabilities, release.Manifest.Capabilities)
		} else if !writ.IsCode(err, writ.CodePlanRejected) {
			t.Fatal(err)
		}
		bound := map[string]any{}
		for name := range a.with {
			bound[name] = "${{ intent.metadata." + name + " }}"
		}
		planned := compiledPlan(t, p, jsonRequest(a.key+"#"+a.action, bound, from))
		step := &planned.Steps[0]
		covered(t, step.Capabilities, release.Manifest.Capabilities)
		intent := json.RawMessage(marshalString(map[string]any{"metadata": a.with}))
		out, err := p.Resolve(planned, step, writ.Scope{Intent: intent, Release: release})
		if err != nil {
			return // refused
		}
		covered(t, out.Capabilities, step.Capabilities)
		if literal != nil && marshalString(out.Capabilities) != marshalString(literal.Plan.Steps[0].Capabilities) {
			t.Fatalf("a literal is granted %s, the same value at run time %s", marshalString(literal.Plan.Steps[0].Capabilities), marshalString(out.Capabilities))
		}
		for i := range out.Capabilities {
			for _, pattern := range slices.Concat(out.Capabilities[i].Hosts, out.Capabilities[i].Paths) {
				if strings.Contains(pattern, "*") || slices.Contains(strings.Split(pattern, "/"), "..") {
					t.Fatalf("a value became a pattern: %s", pattern)
				}
			}
		}
	})
}

func (s shelf) mustRelease(key string) *writ.Release {
	release, err := s.Resolve(writ.SkillKey(key), "")
	if err != nil {
		panic(err)
	}
	return release
}

func marshalString(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func jsonRequest(uses string, with map[string]any, from shelf) writ.CompileRequest {
	req := request("", from)
	req.Draft.Format, req.Draft.Name = "json", "draft.json"
	req.Draft.Raw = []byte(marshalString(map[string]any{
		"apiVersion": APIVersion, "kind": Kind, "steps": []any{map[string]any{"name": "s", "uses": uses, "with": with}},
	}))
	return req
}

func covered(t *rapid.T, inner, outer []abi.Capability) {
	for i := range inner {
		if !slices.ContainsFunc(outer, func(o abi.Capability) bool { return writ.CapabilityCovers(&o, &inner[i]) }) {
			t.Fatalf("%s is not covered by %s", marshalString(inner[i]), marshalString(outer))
		}
	}
}

// TestPropertyLabels: a less trusted origin, or a label more at run time, never
// takes a label away and never lowers a risk.
func TestPropertyLabels(t *testing.T) {
	p, from := planner(t), skills(t)
	all := []writ.Label{writ.LabelOperator, writ.LabelPrincipal, writ.LabelChannel, writ.LabelHTTP, writ.LabelModel, writ.LabelSecret, writ.LabelStored}
	rapid.Check(t, func(t *rapid.T) {
		draft := drawSketch(t).text(inOrder)
		trusted := compiledPlan(t, p, request(draft, from))
		req := request(draft, from)
		req.Intent = json.RawMessage(channelIntent)
		channel := compiledPlan(t, p, req)
		for i := range trusted.Steps {
			a, b := &trusted.Steps[i], &channel.Steps[i]
			if b.Risk.Rank() < a.Risk.Rank() {
				t.Fatalf("step %s: %s from a channel, %s from a person", a.Name, b.Risk, a.Risk)
			}
			if untrusted(a.Taint) && !untrusted(b.Taint) {
				t.Fatalf("step %s lost its taint: %v, %v", a.Name, a.Taint, b.Taint)
			}
		}
		step := rapid.SampledFrom(trusted.Steps).Draw(t, "step")
		scope := writ.Scope{Intent: json.RawMessage(humanIntent), Release: from.mustRelease("acme/github"), Outputs: map[string]json.RawMessage{}, Labels: map[string][]writ.Label{}}
		for i := range trusted.Steps {
			name := trusted.Steps[i].Name
			scope.Outputs[name] = json.RawMessage(`{"id":1}`)
			scope.Labels[name] = rapid.SliceOfDistinct(rapid.SampledFrom(all), rapid.ID).Draw(t, "labels")
		}
		less, err := p.Resolve(trusted, &step, scope)
		if err != nil {
			t.Fatal(err)
		}
		for name := range scope.Labels {
			scope.Labels[name] = append(scope.Labels[name], rapid.SampledFrom(all).Draw(t, "more"))
		}
		more, err := p.Resolve(trusted, &step, scope)
		if err != nil {
			t.Fatal(err)
		}
		if more.Risk.Rank() < less.Risk.Rank() || less.Risk.Rank() < step.Risk.Rank() {
			t.Fatalf("risk: planned %s, resolved %s, with more labels %s", step.Risk, less.Risk, more.Risk)
		}
		subset(t, step.Taint, less.Taint)
		subset(t, less.Taint, more.Taint)
		for i := range less.Sinks {
			subset(t, less.Sinks[i].Labels, more.Sinks[i].Labels)
		}
	})
}

func compiledPlan(t *rapid.T, p *Planner, req writ.CompileRequest) *writ.Plan {
	out, err := p.Compile(req)
	if err != nil {
		t.Fatalf("%v %v", err, problemsOf(err))
	}
	return out.Plan
}

func subset(t *rapid.T, inner, outer []writ.Label) {
	for _, l := range inner {
		if !slices.Contains(outer, l) {
			t.Fatalf("label %s of %v is missing in %v", l, inner, outer)
		}
	}
}

// TestHammer uses one planner from many goroutines, with a cache that overflows.
func TestHammer(t *testing.T) {
	p, err := New(Options{CacheSize: 3})
	if err != nil {
		t.Fatal(err)
	}
	from := skills(t)
	want := mustCompile(t, p, request(draftOf(readStep, "name: last\nuses: acme/text#any\nwith: {n: \"${{ steps.read.output.score }}\"}"), from))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				c, err := p.Compile(request(draftOf(readStep, "name: last\nuses: acme/text#any\nwith: {n: \"${{ steps.read.output.score }}\"}"), from))
				if err != nil || c.Hash != want.Hash {
					t.Errorf("worker %d: %v", i, err)
					return
				}
				step, _ := c.Plan.Step("last")
				scope := writ.Scope{Intent: json.RawMessage(humanIntent), Release: from.mustRelease("acme/text"), Outputs: map[string]json.RawMessage{"read": json.RawMessage(issue)}}
				if out, err := p.Resolve(c.Plan, step, scope); err != nil || string(out.Input) != `{"n":4}` {
					t.Errorf("worker %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
