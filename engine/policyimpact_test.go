package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/policy"
)

// bundle compiles rules as an operator's candidate.
func bundle(t *testing.T, rules string) writ.Judge {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{".manifest": `{"revision":"9.0.0","roots":["writ"]}`, "p.rego": "package writ\n\n" + rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := policy.LoadBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	judge, err := policy.Compile(t.Context(), b, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return judge
}

const candidateRules = `
allowed := {"mode": "autonomous", "risk": "low", "reasons": [{"rule": "open", "message": "open"}], "budget": {"calls": 1000}}

step := {"mode": "blocked", "risk": "low", "reasons": [{"rule": "night", "message": "nothing of the night agent"}]} if {
	input.principal.id == "agent:night"
} else := {"mode": "assist", "risk": "low", "reasons": [{"rule": "mail", "message": "mail needs eyes"}], "approvals": {"count": 1, "roles": ["approver"], "expiresIn": "1h"}} if {
	input.step.skill == "acme/mail"
} else := allowed

call := {"mode": "blocked", "risk": "low", "reasons": [{"rule": "no-get", "message": "no reading"}]} if input.call.target.path == "/night"

call := object.remove(allowed, ["budget"]) if input.call.target.path != "/night"
`

// expiring has lost the payloads of some executions.
type expiring struct {
	writ.Traces
	lost map[writ.StreamID]bool
}

func (e expiring) Payloads(ctx context.Context, tenant writ.TenantID, stream writ.StreamID) (writ.PayloadReader, error) {
	if !e.lost[stream] {
		return e.Traces.Payloads(ctx, tenant, stream)
	}
	return func(writ.PayloadRef) ([]byte, error) {
		return nil, writ.Errorf(writ.CodeUnreplayable, "payload", "has expired")
	}, nil
}

// stored writes an execution of one step as the engine does, judged by what is
// active: at verify, at dispatch and, with a path, for a call.
func (r *rig) stored(id writ.ExecutionID, by *writ.Principal, skill writ.SkillKey, path string) {
	r.t.Helper()
	web := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET"}, Paths: []string{"/*"}}
	q := &writ.Question{
		Point: writ.PointStep, Principal: by, Origin: writ.OriginHuman, Time: 1,
		Grants: []writ.Grant{{ID: "g", Principal: agent.ID, Tenant: by.Tenant, Capability: writ.Capability{Tool: "*"}}},
		Step: writ.StepFacts{
			ID: "stp_a", Name: "only", Skill: skill, Effect: abi.EffectRead, Risk: writ.RiskLow, Attempt: 1,
			Capabilities: []writ.Capability{web}, Tools: []string{abi.ToolHTTPRequest},
		},
		Taint: writ.TaintFacts{Sinks: []writ.SinkFlow{}},
	}
	step := writ.PlannedStep{ID: "stp_a", Name: "only", Skill: writ.SkillRef{Key: skill, Version: "1.0.0"}, Effect: abi.EffectRead, Risk: writ.RiskLow}
	records := []writ.NewRecord{
		{Type: writ.RecIntentReceived, Time: writ.Time(r.now().UnixNano()), Body: writ.Body{Intent: &writ.IntentFacts{ID: "int_a", Origin: writ.OriginHuman, Principal: by}}},
		{Type: writ.RecPlanCompiled, Body: writ.Body{Plan: &writ.CompiledFacts{ID: "pln_a", Steps: []writ.PlannedStep{step}}}},
		r.verdict(writ.StageVerify, q),
		{Type: writ.RecRunStarted, Body: writ.Body{Run: &writ.RunFacts{ID: "run_a", Mode: writ.Autonomous}}},
		r.verdict(writ.StageDispatch, q),
	}
	if path != "" {
		asked := *q
		asked.Point, asked.Call = writ.PointCall, &writ.CallFacts{
			Sequence: 1, Tool: abi.ToolHTTPRequest, Effect: abi.EffectRead, Arguments: []byte(`{}`),
			Target: writ.Target{Scheme: "https", Host: "api.example.com", Method: "GET", Path: path},
		}
		records = append(records, r.verdict(writ.StageCall, &asked))
	}
	receipt, err := r.journal.Append(r.t.Context(), &writ.Batch{Tenant: by.Tenant, Stream: writ.StreamID(id), Records: records})
	if err != nil {
		r.t.Fatal(err)
	}
	r.line.last = receipt.Position
}

func (r *rig) verdict(stage string, q *writ.Question) writ.NewRecord {
	r.t.Helper()
	v, err := r.judges.judge.Judge(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := canon.MarshalJSON(q)
	if err != nil {
		r.t.Fatal(err)
	}
	facts := &writ.DecidedFacts{Stage: stage, Verdict: *v}
	if q.Call != nil {
		facts.Sequence = q.Call.Sequence
	}
	return writ.NewRecord{Type: writ.RecVerdict, Step: q.Step.ID, Body: writ.Body{Decided: facts}, Payloads: []writ.Payload{{Name: writ.PayloadQuestion, Data: raw}}}
}

// Of a thousand executions exactly those that a candidate would decide otherwise
// are listed, page by page, and what can no longer be judged is apart.
func TestPolicyImpactOfAThousandExecutions(t *testing.T) {
	const total = 1000
	at := time.Unix(1_767_225_600, 0)
	r := newRigWith(t, &rig{now: func() time.Time { return at }})
	lost := map[writ.StreamID]bool{}
	night := *agent
	night.ID = "agent:night" // has no grants: what is active blocks it too
	var want []string
	verdicts, unjudged := 0, 0
	for i := range total {
		id := writ.ExecutionID(fmt.Sprintf("exe_%04d", i))
		by, skill, path, count := agent, writ.SkillKey("acme/notes"), "", 2
		switch {
		case i%100 == 1:
			lost[writ.StreamID(id)] = true
		case i%50 == 2:
			by = &night
		case i%10 == 3:
			skill = "acme/mail"
			want = append(want, fmt.Sprintf("%s verify 0 autonomous assist mail", id), fmt.Sprintf("%s dispatch 0 autonomous assist mail", id))
		case i%20 == 4:
			path, count = "/night", 3
			want = append(want, fmt.Sprintf("%s call 1 autonomous blocked no-get", id))
		case i%20 == 5:
			path, count = "/day", 3
		}
		r.stored(id, by, skill, path)
		at = at.Add(time.Second)
		if lost[writ.StreamID(id)] {
			unjudged += count
		} else {
			verdicts += count
		}
	}
	r.traces = expiring{r.journal, lost}
	r.again()
	before := len(r.everything())

	whole := &contract.StoredVerdicts{}
	query, pages := engine.ImpactQuery{Tenant: writ.DefaultTenant, Limit: 333, Budget: time.Minute}, 0
	for {
		page, next, err := r.engine.PolicyImpact(t.Context(), bundle(t, candidateRules), query)
		if err != nil {
			t.Fatal(err)
		}
		whole.Merge(page)
		pages++
		if query.Cursor = next; next == "" {
			break
		}
	}
	var got []string
	for _, f := range whole.Items {
		got = append(got, fmt.Sprintf("%s %s %d %s %s %s", f.ExecutionID, f.Stage, f.Sequence, f.From, f.To, f.Rule))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d flips are listed, want %d", len(got), len(want))
	}
	if whole.Flipped != len(want) || whole.Executions != total || whole.Verdicts != verdicts || whole.Unjudged != unjudged ||
		whole.Same+whole.Flipped+whole.Changed+whole.Already != verdicts || whole.Already != 0 || !whole.Complete || pages != 4 || whole.Omitted != 0 {
		t.Errorf("%d pages: %d executions, %d verdicts, %d same, %d changed, %d flipped, %d unjudged; want %d verdicts, %d unjudged",
			pages, whole.Executions, whole.Verdicts, whole.Same, whole.Changed, whole.Flipped, whole.Unjudged, verdicts, unjudged)
	}
	changes := map[contract.ModeChange]bool{}
	for _, c := range whole.Changes {
		changes[c] = true
	}
	if !reflect.DeepEqual(changes, map[contract.ModeChange]bool{{From: writ.Autonomous, To: writ.Assist, Count: 200}: true, {From: writ.Autonomous, To: writ.Blocked, Count: 50}: true}) {
		t.Errorf("got %v", changes)
	}
	for _, g := range whole.Groups {
		if g.Layer != writ.LayerOrganisation || len(g.Examples) != 3 || g.Executions != map[string]int{"mail": 100, "no-get": 50}[g.Rule] {
			t.Errorf("got %+v", g)
		}
	}
	if len(whole.Groups) != 2 || len(whole.Gaps) != 10 {
		t.Errorf("%d groups, %d gaps", len(whole.Groups), len(whole.Gaps))
	}
	if after := len(r.everything()); after != before || r.tools.count() != 0 {
		t.Errorf("%d records, and %d before: something was recorded or done", after, before)
	}
}

// again starts another engine that takes nothing up.
func (r *rig) again() {
	if err := r.engine.Close(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.line.settle(r.t)
	r.boot()
}

func (r *rig) everything() []writ.Stored {
	r.t.Helper()
	var all []writ.Stored
	query := writ.ExecutionQuery{Tenant: writ.DefaultTenant, Limit: 500}
	for {
		page, err := r.journal.Executions(r.t.Context(), query)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, x := range page.Items {
			all = append(all, r.records(x.ID)...)
		}
		if query.Cursor = page.Next; page.Next == "" {
			return all
		}
	}
}

// What the run itself tightened stays so under a candidate that says the same:
// assist mode, an earlier verdict, and a compensation are no change of policy.
func TestPolicyImpactKnowsWhatTheRunTightened(t *testing.T) {
	r := newRig(t)
	id := r.submit(agent, head+"  - {name: one, uses: test/echo#run, with: {a: 1}}\n")
	r.compile(agent, id)
	if _, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Mode: contract.RunAssist, Wait: true}); err != nil {
		t.Fatal(err)
	}
	out, _, err := r.engine.PolicyImpact(t.Context(), r.judges.judge, engine.ImpactQuery{Tenant: writ.DefaultTenant})
	if err != nil || out.Verdicts < 2 || out.Same != out.Verdicts || out.Word() != "same" {
		t.Errorf("got %+v, %v", out, err)
	}
	strict := bundle(t, `step := {"mode": "blocked", "risk": "low", "reasons": [{"rule": "no", "message": "no"}]}`+"\ncall := step\n")
	out, _, err = r.engine.PolicyImpact(t.Context(), strict, engine.ImpactQuery{Tenant: writ.DefaultTenant})
	if err != nil || out.Flipped != out.Verdicts || out.Word() != "differs" || out.Items[0].Rule != "no" {
		t.Errorf("got %+v, %v", out, err)
	}
	// Where it is active already, it is no change.
	r.judges.judge = strict
	r.again()
	out, _, err = r.engine.PolicyImpact(t.Context(), strict, engine.ImpactQuery{Tenant: writ.DefaultTenant})
	if err != nil || out.Already != out.Verdicts || out.Flipped != 0 {
		t.Errorf("got %+v, %v", out, err)
	}
}

// A page ends in time, and one execution is examined all the same.
func TestPolicyImpactIsBounded(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		r.stored(writ.ExecutionID(fmt.Sprintf("exe_%d", i)), agent, "acme/notes", "")
	}
	r.line.settle(t)
	query := engine.ImpactQuery{Tenant: writ.DefaultTenant, Budget: time.Nanosecond}
	for n := range 3 {
		out, next, err := r.engine.PolicyImpact(t.Context(), r.judges.judge, query)
		if err != nil || out.Executions != 1 || out.Unjudged != 1 || out.Word() != "unknown" || out.Complete != (n == 2) {
			t.Fatalf("page %d: %+v, %v", n, out, err)
		}
		query.Cursor = next
	}
	for _, query := range []engine.ImpactQuery{{Limit: 1001}, {Limit: -1}, {Budget: time.Minute + 1}, {Budget: -1}} {
		query.Tenant = writ.DefaultTenant
		if _, _, err := r.engine.PolicyImpact(t.Context(), r.judges.judge, query); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%+v: got %v", query, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.engine.PolicyImpact(ctx, r.judges.judge, engine.ImpactQuery{Tenant: writ.DefaultTenant}); err == nil {
		t.Error("a caller that is gone gets an answer")
	}
}
