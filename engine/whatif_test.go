package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/host/wasmtest"
)

// candidate is version 2.0.0 of a skill of the shelf: with another module, where
// one is given, and with what edit changes of the manifest.
func (r *rig) candidate(key writ.SkillKey, module []byte, edit func(m *abi.Manifest)) *engine.Candidate {
	r.t.Helper()
	old := r.skills[key]
	raw, err := json.Marshal(old.Manifest)
	if err != nil {
		r.t.Fatal(err)
	}
	m := &abi.Manifest{}
	if err := json.Unmarshal(raw, m); err != nil {
		r.t.Fatal(err)
	}
	m.Version = "2.0.0"
	if edit != nil {
		edit(m)
	}
	if module == nil {
		module = old.Module
	}
	if raw, err = json.Marshal(m); err != nil {
		r.t.Fatal(err)
	}
	ref := writ.SkillRef{Key: key, Version: m.Version, Digest: canon.SHA256(raw), Module: canon.SHA256(module)}
	return &engine.Candidate{
		Skill:   &writ.Skill{Release: writ.Release{SkillRef: ref, Manifest: m}, Module: module},
		Accepts: func(constraint string) bool { return !strings.HasPrefix(constraint, "^1") },
	}
}

// says is a module that puts out the same whatever it is given.
func says(output string) []byte {
	g := wasmtest.NewGuest(1, 0)
	return g.Run(g.Say(output)).Bytes()
}

func (r *rig) whatIf(id writ.ExecutionID, c *engine.Candidate) *contract.ExecutionImpact {
	r.t.Helper()
	before := r.tools.count()
	out, err := r.engine.WhatIf(as(approver), writ.DefaultTenant, id, c)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.tools.count() != before {
		r.t.Fatal("a what-if performed an effect")
	}
	return out
}

// lines are the differences in short.
func lines(out *contract.ExecutionImpact) string {
	var b strings.Builder
	for _, d := range out.Differences {
		fmt.Fprintf(&b, "%s %s %s %s -> %s", d.Step, d.Kind, d.Field, d.Recorded, d.Candidate)
		if d.Unknown {
			b.WriteString(" unknown")
		}
		if d.Because != "" {
			b.WriteString(" because " + d.Because)
		}
		b.WriteString("\n")
	}
	if out.Unreplayable != "" {
		b.WriteString("unreplayable: " + out.Unreplayable + "\n")
	}
	return b.String()
}

func TestWhatIf(t *testing.T) {
	chain := head + `
  - {name: one, uses: test/echo#run, with: {a: 1, b: 2}}
  - {name: two, uses: test/keep#run, with: {key: k1, value: "${{ string(steps.one.output.b) }}"}}
`
	single := func(skill, with string) string {
		return head + "  - {name: one, uses: test/" + skill + "#run, with: " + with + "}\n"
	}
	get := `{method: GET, url: "https://api.example.com/a"}`
	write := func(m *abi.Manifest) { m.Actions[0].Effects = []writ.Effect{abi.EffectWriteExternal} }
	for name, c := range map[string]struct {
		draft  string
		skill  writ.SkillKey
		module []byte
		edit   func(*abi.Manifest)
		want   string
	}{
		"the same":       {draft: chain, skill: "test/echo"},
		"another output": {draft: single("echo", "{a: 1}"), skill: "test/echo", module: says(`{"a":2}`), want: "one output /a 1 -> 2\n"},
		"what follows is unknown": {
			draft: chain, skill: "test/echo", module: says(`{"a":1,"b":3}`),
			want: "one output /b 2 -> 3\ntwo call /calls/0/value \"2\" -> \"3\" unknown because one\n",
		},
		"what follows does not read it": {draft: chain, skill: "test/echo", module: says(`{"a":9,"b":2}`), want: "one output /a 1 -> 9\n"},
		"what follows is another's input that is refused": {
			draft: chain, skill: "test/echo", module: says(`{"a":1}`), want: "one output /b 2 -> null\ntwo input  \"completed\" -> \"invalid\" because one\n",
		},
		"it fails": {draft: chain, skill: "test/echo", module: wasmtest.Fail("no"), want: `one failure /failure "completed" -> {"code":"no","message":"the guest says no"}
two path /status "completed" -> "skipped" because one
`},
		"fuel": {draft: single("echo", "{a: 1}"), skill: "test/echo", module: wasmtest.Loop(), edit: func(m *abi.Manifest) { m.Limits.Fuel = 1000 }, want: `one fuel /failure "completed" -> {"code":"fuel_limit"`},
		"schema": {draft: single("echo", "{a: 1}"), skill: "test/echo", edit: func(m *abi.Manifest) {
			m.Actions[0].Output = json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}}}`)
		}, want: `one schema /failure "completed" -> {"code":"output_invalid"`},
		"the plan": {draft: single("echo", "{a: 1}"), skill: "test/echo", edit: func(m *abi.Manifest) {
			m.Actions[0].Input = json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}}}`)
		}, want: "one plan draft.yaml:4:"},
		"the range": {draft: head + "  - {name: one, uses: test/echo@^1.0.0#run, with: {a: 1}}\n", skill: "test/echo", want: "one constraint"},
		"a new call": {draft: single("echo", "{a: 1}"), skill: "test/echo", module: wasmtest.ToolCaller(abi.ToolKVPut), edit: func(m *abi.Manifest) {
			m.Capabilities = []writ.Capability{{Tool: abi.ToolKVPut, Prefixes: []string{"k"}}}
			m.Actions[0].Effects = []writ.Effect{abi.EffectWriteLocal}
		}, want: `one effect /effect "none" -> "write-local"
one capabilities /capabilities null -> "kv.put k"
one call /calls/0  -> "kv.put" unknown
`},
		"a call that is not made": {draft: single("look", get), skill: "test/look", module: says(`{"headers":{},"status":200}`), want: `one call /calls/0 "http.request GET https://api.example.com/a" -> ` + "\n"},
		"a verdict": {draft: single("look", get), skill: "test/look", edit: write, want: `one effect /effect "read" -> "write-external"
one risk /risk "low" -> "medium"
one verdict /mode "autonomous" -> "assist"
`},
		"wider": {draft: single("echo", "{a: 1}"), skill: "test/echo", edit: func(m *abi.Manifest) {
			m.Capabilities = []writ.Capability{{Tool: abi.ToolLog}}
		}, want: "one capabilities /capabilities null -> \"log\"\n"},
		"it does not fail any more": {draft: single("fail", "{a: 1}"), skill: "test/fail", module: wasmtest.Echo(), want: `one failure /failure {"code":"went_wrong","message":"the guest says no"} -> null` + "\n"},
		"a called step": {draft: single("call", "{skill: test/echo, action: run, input: {a: 1}}"), skill: "test/echo", module: says(`{"a":2}`), want: `one/call-1 output /a 1 -> 2
one output /a 1 -> 2
`},
		"a caller": {draft: single("call", "{skill: test/echo, action: run, input: {a: 1}}"), skill: "test/call"},
		"iterations": {
			draft: head + `
  - {name: one, uses: test/echo#run, forEach: "${{ [1, 2] }}", with: {n: "${{ item }}"}}
  - {name: two, uses: test/pass#run, needs: [one], with: {skill: test/echo, action: run, input: {x: "${{ size(steps.one.output) }}"}}}
`,
			skill: "test/echo", module: says(`{"n":1}`),
			want: "one/1 output /n 2 -> 1\ntwo/call-1 output /n null -> 1\ntwo output /n null -> 1 because one\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			id := r.begin(agent, c.draft)
			candidate := r.candidate(c.skill, c.module, c.edit)
			got := lines(r.whatIf(id, candidate))
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) || strings.HasSuffix(c.want, "\n") && got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// Who approved is not asked again: the same call is taken to be approved.
func TestWhatIfOfApprovedSteps(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, head+"  - {name: one, uses: test/web#run, with: {method: POST, url: \"https://api.example.com/a\"}}\n")
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	if got := lines(r.whatIf(id, r.candidate("test/web", nil, nil))); got != "" {
		t.Errorf("the same module differs:\n%s", got)
	}
	other := r.candidate("test/web", twice(abi.ToolHTTPRequest), nil)
	if got := lines(r.whatIf(id, other)); !strings.HasPrefix(got, "one call /calls/1") || !strings.Contains(got, "unknown") {
		t.Errorf("a second write has no recorded answer:\n%s", got)
	}
}

// A tool that nobody granted: the policy of that time would have blocked it, and
// what needs the step does not run.
func TestWhatIfOfABlockedStep(t *testing.T) {
	r := newRig(t)
	r.grants = nil
	id := r.begin(agent, head+`
  - {name: one, uses: test/echo#run, with: {a: 1}}
  - {name: two, uses: test/fail#run, needs: [one], with: {a: 1}}
`)
	c := r.candidate("test/echo", wasmtest.ToolCaller(abi.ToolKVPut), func(m *abi.Manifest) {
		m.Capabilities = []writ.Capability{{Tool: abi.ToolKVPut, Prefixes: []string{"k"}}}
	})
	got := lines(r.whatIf(id, c))
	if !strings.Contains(got, `one verdict /mode "autonomous" -> "blocked"`) || !strings.Contains(got, `two path /status "failed" -> "skipped" because one`) || strings.Contains(got, "one call") {
		t.Errorf("got\n%s", got)
	}
	// Granted by now, it would not have been.
	r.grants = []writ.Grant{{ID: "grant_kv", Principal: agent.ID, Tenant: writ.DefaultTenant, Capability: writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{"k"}}, MaxRisk: writ.RiskHigh}}
	if got := lines(r.whatIf(id, c)); strings.Contains(got, "blocked") || !strings.Contains(got, "one call /calls/0") {
		t.Errorf("got\n%s", got)
	}
}

// What cannot be examined says so and changes nothing.
func TestWhatIfRefuses(t *testing.T) {
	r := newRig(t)
	c := r.candidate("test/echo", nil, nil)
	if _, err := r.engine.WhatIf(context.Background(), writ.DefaultTenant, "exe_none", c); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error(err)
	}
	open := r.submit(agent, head+"  - {name: one, uses: test/echo#run, with: {a: 1}}\n")
	if out := r.whatIf(open, c); len(out.Versions) != 0 {
		t.Errorf("there is no plan yet: %+v", out)
	}
	r.compile(agent, open)
	if _, err := r.engine.WhatIf(context.Background(), writ.DefaultTenant, open, c); !writ.IsCode(err, writ.CodeConflict) {
		t.Error(err)
	}
	id := r.begin(agent, head+"  - {name: one, uses: test/echo#run, with: {a: 1}}\n")
	records := len(r.records(id))
	other := r.candidate("test/fail", nil, nil)
	if out := r.whatIf(id, other); len(out.Versions)+len(out.Differences) != 0 {
		t.Errorf("the skill did not run: %+v", out)
	}
	hostile := r.candidate("test/echo", wasmtest.Loop(), func(m *abi.Manifest) { m.Limits.Fuel = 1_000_000 })
	if got := lines(r.whatIf(id, hostile)); !strings.HasPrefix(got, "one fuel") {
		t.Error(got)
	}
	if got := lines(r.whatIf(id, r.candidate("test/echo", []byte("no module"), nil))); !strings.HasPrefix(got, "one failure") {
		t.Error(got)
	}
	if len(r.records(id)) != records {
		t.Error("a what-if wrote into the journal")
	}
}

func TestImpact(t *testing.T) {
	r := newRig(t)
	draft := func(n int) string {
		return head + fmt.Sprintf("  - {name: one, uses: test/echo#run, with: {n: %d}}\n", n)
	}
	for n := range 5 {
		r.begin(agent, draft(n))
	}
	r.begin(agent, head+"  - {name: one, uses: test/fail#run, with: {a: 1}}\n")
	r.compile(agent, r.submit(agent, draft(9))) // has not ended
	c := r.candidate("test/echo", says(`{"n":3}`), nil)
	whole, next, err := r.engine.Impact(context.Background(), c, engine.ImpactQuery{Tenant: writ.DefaultTenant})
	if err != nil || next != "" {
		t.Fatal(err, next)
	}
	if whole.Examined != 5 || whole.Same != 1 || whole.Differing != 4 || whole.Unknown != 0 || whole.Open != 1 || !whole.Complete || len(whole.Items) != 4 {
		t.Errorf("%+v", whole)
	}
	if len(whole.Groups) != 1 || whole.Groups[0].Count != 4 || whole.Groups[0].Executions != 4 || len(whole.Groups[0].Examples) != 3 || whole.Groups[0].Action != "test/echo#run" {
		t.Errorf("%+v", whole.Groups)
	}

	// In pages it is the same, whatever their size.
	for _, limit := range []int{1, 2, 4} {
		pages := &contract.StoredImpact{}
		cursor := ""
		for {
			page, next, err := r.engine.Impact(context.Background(), c, engine.ImpactQuery{Tenant: writ.DefaultTenant, Limit: limit, Cursor: cursor})
			if err != nil || page.Examined > limit {
				t.Fatal(err, page)
			}
			pages.Merge(page)
			if cursor = next; next == "" {
				break
			}
		}
		if a, b := mustJSON(t, whole), mustJSON(t, pages); a != b {
			t.Errorf("pages of %d:\n%s\n%s", limit, b, a)
		}
	}

	// Since, bounds, and a time that is over at once.
	future := writ.Time(time.Now().Add(time.Hour).UnixNano())
	if out, _, err := r.engine.Impact(context.Background(), c, engine.ImpactQuery{Tenant: writ.DefaultTenant, Since: future}); err != nil || out.Examined != 0 || !out.Complete {
		t.Error(out, err)
	}
	for _, bad := range []engine.ImpactQuery{{Limit: 1001}, {Limit: -1}, {Budget: time.Minute + 1}, {Budget: -1}} {
		bad.Tenant = writ.DefaultTenant
		if _, _, err := r.engine.Impact(context.Background(), c, bad); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, fits := range []engine.ImpactQuery{{Limit: 1000}, {Budget: time.Minute}} {
		fits.Tenant = writ.DefaultTenant
		if out, _, err := r.engine.Impact(context.Background(), c, fits); err != nil || out.Examined != 5 {
			t.Errorf("%+v: %+v %v", fits, out, err)
		}
	}
	if _, _, err := r.engine.Impact(context.Background(), c, engine.ImpactQuery{Tenant: writ.DefaultTenant, Cursor: "no cursor"}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := r.engine.Impact(gone, c, engine.ImpactQuery{Tenant: writ.DefaultTenant}); !writ.IsCode(err, writ.CodeCancelled) {
		t.Error(err)
	}
	out, next, err := r.engine.Impact(context.Background(), c, engine.ImpactQuery{Tenant: writ.DefaultTenant, Budget: 1})
	if err != nil || next == "" || out.Complete || out.Examined != 1 || out.Unreplayable != 1 || !strings.Contains(out.Gaps[0].Message, "longer") {
		t.Errorf("%+v %q %v", out, next, err)
	}
	if other, _, err := r.engine.Impact(context.Background(), c, engine.ImpactQuery{Tenant: "other"}); err != nil || other.Examined != 0 {
		t.Errorf("another tenant's executions: %+v %v", other, err)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A payload that is gone makes an execution unreplayable, never the same.
func TestImpactCountsWhatHasExpired(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, head+"  - {name: one, uses: test/echo#run, with: {n: 1}}\n")
	r.traces = expired{r.journal}
	r.reboot()
	c := r.candidate("test/echo", nil, nil)
	out, _, err := r.engine.Impact(context.Background(), c, engine.ImpactQuery{Tenant: writ.DefaultTenant})
	if err != nil || out.Examined != 1 || out.Unreplayable != 1 || out.Same != 0 || out.Gaps[0].ExecutionID != id {
		t.Errorf("%+v %v", out, err)
	}
}

// expired has no payloads any more.
type expired struct{ writ.Traces }

func (expired) Payloads(context.Context, writ.TenantID, writ.StreamID) (writ.PayloadReader, error) {
	return func(ref writ.PayloadRef) ([]byte, error) {
		return nil, writ.Errorf(writ.CodeUnreplayable, "payload "+ref.Name, "has expired")
	}, nil
}
