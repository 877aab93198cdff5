package engine_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/budget"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/freeze"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/plan"
	"github.com/writ-run/writ/policy"
	"github.com/writ-run/writ/trace"
)

// rig is an engine with a real planner, policy, sandbox and journal. The skills
// are hand-made modules, the toolbox is a fake that can fail on purpose.
type rig struct {
	t       *testing.T
	engine  *engine.Engine
	journal *trace.Journal
	sandbox writ.Sandbox
	skills  shelf
	library writ.Skills // nil: skills
	tools   *fakeTools
	judges  judges
	now     func() time.Time
	grants  []writ.Grant
	granted engine.Grants // nil: grants, which are not counted
	freezes writ.Freezes  // nil: kill
	budgets *budget.Service
	racing  func(*writ.BudgetWant) // between a decision and what it takes of budgets; nil: nothing
	kill    *freeze.Service        // of this process, on the journal
	turn    sync.Mutex             // held while a process begins and while one freezes: a dead one freezes nothing
	deaf    atomic.Bool            // the engine is not told of the next change of it
	away    []writ.Delegation
	revoked atomic.Pointer[writ.SkillKey] // a skill that is no longer loaded but for a replay

	entropy io.Reader   // nil: crypto/rand
	machine string      // what the sandbox is called; empty: its own name
	line    *lifeline   // of the engine to the journal
	traces  writ.Traces // nil: the journal
	dead    []func()    // let engines that crashed end
}

var (
	agent    = &writ.Principal{ID: "agent:bot", Kind: writ.Agent, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Strength: writ.StrengthToken}
	service  = &writ.Principal{ID: "service:ci", Kind: writ.Service, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Strength: writ.StrengthToken}
	approver = &writ.Principal{ID: "human:ada", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Roles: []string{"approver"}, Strength: writ.StrengthToken}
	operator = &writ.Principal{ID: "human:eve", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Roles: []string{"operator"}, Strength: writ.StrengthToken}
	second   = &writ.Principal{ID: "human:bob", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Roles: []string{"approver"}, Strength: writ.StrengthToken}
)

func as(p *writ.Principal) context.Context { return writ.WithPrincipal(context.Background(), p) }

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigWith(t, &rig{})
}

// newRigWith completes a rig of which some members are given: a clock, a
// journal and so on.
func newRigWith(t *testing.T, r *rig) *rig {
	t.Helper()
	r.t, r.tools, r.skills = t, &fakeTools{}, shelf{}
	if r.now == nil {
		r.now = time.Now
	}
	if r.entropy == nil {
		r.entropy = rand.Reader
	}
	if r.judges.judge == nil {
		r.judges = judges{defaultJudge(t)}
	}
	var err error
	if r.journal == nil {
		if r.journal, err = trace.Open(context.Background(), trace.Options{InMemory: true, Clock: r.clock, AnchorEvery: 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	ownSandbox := r.sandbox == nil
	if ownSandbox {
		if r.sandbox, err = host.NewSandbox(host.Options{CompileInProcessUnsafe: true}); err != nil {
			t.Fatal(err)
		}
	}
	r.grants = []writ.Grant{{ID: "grant_all", Principal: agent.ID, Tenant: writ.DefaultTenant, Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskHigh}}
	r.shelve()
	r.boot()
	t.Cleanup(func() {
		ctx := context.Background()
		for _, end := range append(r.dead, func() {
			if err := r.engine.Close(ctx); err != nil {
				t.Error(err)
			}
		}) {
			end()
		}
		if ownSandbox {
			_ = r.sandbox.Close(ctx)
		}
		if err := r.journal.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

func defaultJudge(t *testing.T) writ.Judge {
	t.Helper()
	bundle, err := policy.DefaultBundle()
	if err != nil {
		t.Fatal(err)
	}
	judge, err := policy.Compile(context.Background(), bundle, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return judge
}

func (r *rig) clock() time.Time { return r.now() }

// boot starts an engine on what the journal holds, as a new process would.
func (r *rig) boot() {
	r.turn.Lock()
	defer r.turn.Unlock()
	planner, err := plan.New(plan.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.traces == nil {
		r.traces = r.journal
	}
	if r.machine == "" {
		r.machine = host.EngineID()
	}
	if r.library == nil {
		r.library = r.skills
	}
	r.line = &lifeline{Journal: r.journal}
	r.kill, err = freeze.New(freeze.Options{Store: r.journal, Journal: r.journal, Clock: r.clock, Changed: func(ctx context.Context, tenant writ.TenantID) {
		if !r.deaf.Swap(false) {
			r.engine.FreezesChanged(ctx, tenant)
		}
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.budgets, err = budget.New(budget.Options{Store: r.journal, Journal: r.journal, Clock: r.clock}); err != nil {
		r.t.Fatal(err)
	}
	freezes := r.freezes
	if freezes == nil {
		freezes = r.kill
	}
	r.engine, err = engine.New(engine.Options{
		Journal: r.line, Traces: r.traces, Planner: planner, Judges: r.judges, Skills: revocable{r.library, r},
		Sandbox: r.sandbox, Toolbox: r.tools, Approvals: anySignature{}, Grants: r.granting(), Delegations: deputies{r}, Freezes: freezes, Budgets: contested{r.budgets, r}, Clock: r.clock,
		Entropy: r.entropy, EngineID: r.machine,
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) reboot() {
	if err := r.engine.Close(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.line.settle(r.t)
	r.boot()
	if err := r.engine.Recover(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// lifeline is an engine's way to the journal. Once it is cut, nothing of that
// engine reaches the journal any more, as if its process had died.
type lifeline struct {
	writ.Journal
	mu     sync.Mutex
	cut    bool
	last   writ.Position
	before func(*writ.Batch) bool // sees each batch; false: die instead of writing it
	refuse func(*writ.Batch) bool // sees each batch; true: there is no room for it
	failed bool                   // nothing becomes durable any more
}

func (l *lifeline) Barrier(ctx context.Context, position writ.Position) error {
	l.mu.Lock()
	failed := l.failed
	l.mu.Unlock()
	if failed {
		return writ.Errorf(writ.CodeUnavailable, "journal", "a commit failed")
	}
	return l.Journal.Barrier(ctx, position)
}

func (l *lifeline) Append(ctx context.Context, b *writ.Batch) (writ.Receipt, error) {
	l.mu.Lock()
	if !l.cut && l.before != nil {
		l.cut = !l.before(b)
	}
	cut, full := l.cut, l.refuse != nil && l.refuse(b)
	l.mu.Unlock()
	if full {
		return writ.Receipt{}, writ.Errorf(writ.CodeUnavailable, "journal", "the disk is almost full")
	}
	if cut {
		return writ.Receipt{}, writ.Errorf(writ.CodeUnavailable, "journal", "the process is dead")
	}
	receipt, err := l.Journal.Append(ctx, b)
	l.mu.Lock()
	l.last = max(l.last, receipt.Position)
	l.mu.Unlock()
	return receipt, err
}

// settle waits until what the engine wrote can be read: the next process opens a
// journal that an earlier one has closed.
func (l *lifeline) settle(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	if err := l.Barrier(context.Background(), last); err != nil {
		t.Fatal(err)
	}
}

// crash kills the engine without warning and starts another one.
func (r *rig) crash() {
	r.t.Helper()
	r.crashAnd(func() {})
}

// crashAnd does something before the other engine takes up what was under way.
func (r *rig) crashAnd(do func()) {
	r.t.Helper()
	r.line.mu.Lock()
	r.line.cut = true
	r.line.mu.Unlock()
	old := r.engine
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = old.Close(now) // does not wait
	r.dead = append(r.dead, func() { _ = old.Close(context.Background()) })
	r.line.settle(r.t)
	r.boot()
	do()
	if err := r.engine.Recover(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) submit(p *writ.Principal, draft string) writ.ExecutionID {
	r.t.Helper()
	out, err := r.engine.IntentSubmit(as(p), &contract.IntentSubmitInput{Text: "do it", Metadata: contract.Object(`{"name":"Ada","n":3}`), Draft: draft})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.ExecutionID
}

// begin compiles and starts, and returns when nothing moves any more.
func (r *rig) begin(p *writ.Principal, draft string) writ.ExecutionID {
	r.t.Helper()
	id := r.submit(p, draft)
	r.compile(p, id)
	r.start(p, id)
	return id
}

func (r *rig) compile(p *writ.Principal, id writ.ExecutionID) {
	r.t.Helper()
	if _, err := r.engine.PlanCompile(as(p), &contract.PlanCompileInput{ExecutionID: id}); err != nil {
		r.t.Fatalf("compile: %+v", err)
	}
}

func (r *rig) start(p *writ.Principal, id writ.ExecutionID) *contract.ExecutionStartOutput {
	r.t.Helper()
	out, err := r.engine.ExecutionStart(as(p), &contract.ExecutionStartInput{ExecutionID: id, Wait: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) state(id writ.ExecutionID) *writ.Execution {
	r.t.Helper()
	state, err := r.journal.Execution(context.Background(), writ.DefaultTenant, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return state
}

func (r *rig) expect(id writ.ExecutionID, status writ.ExecutionStatus) *writ.Execution {
	r.t.Helper()
	state := r.state(id)
	if state.Status != status {
		raw, _ := json.MarshalIndent(state, "", " ")
		r.t.Fatalf("status %s, want %s\n%s", state.Status, status, raw)
	}
	return state
}

func (r *rig) payloads(id writ.ExecutionID) writ.PayloadReader {
	r.t.Helper()
	read, err := r.journal.Payloads(context.Background(), writ.DefaultTenant, writ.StreamID(id))
	if err != nil {
		r.t.Fatal(err)
	}
	return read
}

// questions are those that were asked in some of the stages.
func (r *rig) questions(id writ.ExecutionID, stages ...string) (out []writ.Question) {
	r.t.Helper()
	read := r.payloads(id)
	for _, record := range r.records(id) {
		ref, ok := record.Payload(writ.PayloadQuestion)
		if !ok || !slices.Contains(stages, record.Body.Decided.Stage) {
			continue
		}
		raw, err := read(ref)
		if err != nil {
			r.t.Fatal(err)
		}
		var q writ.Question
		if err := json.Unmarshal(raw, &q); err != nil {
			r.t.Fatal(err)
		}
		out = append(out, q)
	}
	return out
}

func (r *rig) output(id writ.ExecutionID, step string) string {
	r.t.Helper()
	s := r.state(id).Step(step)
	if s == nil || s.Output == nil {
		r.t.Fatalf("step %s has no output", step)
	}
	raw, err := r.payloads(id)(*s.Output)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(raw)
}

// approve gives p's word for whatever is pending and waits.
func (r *rig) approve(p *writ.Principal, id writ.ExecutionID) {
	r.t.Helper()
	r.say(p, id, r.pending(id))
	r.start(p, id)
}

// say gives p's word for an approval and does not wait.
func (r *rig) say(p *writ.Principal, id writ.ExecutionID, item contract.Approval) {
	r.t.Helper()
	if err := r.word(p, id, item); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) word(p *writ.Principal, id writ.ExecutionID, item contract.Approval) error {
	_, err := r.engine.ExecutionApprove(as(p), &contract.ExecutionApproveInput{
		ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, Signature: []byte("signed"),
	})
	return err
}

// tryWord is p's word for what the last approval of the first step asks.
func (r *rig) tryWord(p *writ.Principal, id writ.ExecutionID) error {
	step := &r.state(id).Steps[0]
	return r.word(p, id, contract.Approval{StepID: step.ID, Digest: step.Approval.Digest})
}

func (r *rig) pending(id writ.ExecutionID) contract.Approval {
	r.t.Helper()
	out, err := r.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(out.Items) != 1 {
		r.t.Fatalf("%d approvals pending, want 1", len(out.Items))
	}
	return out.Items[0]
}

// identical replays and fails on the first difference.
func (r *rig) identical(id writ.ExecutionID) {
	r.t.Helper()
	if out := r.replay(id); !out.Identical {
		raw, _ := json.MarshalIndent(out.Report, "", " ")
		r.t.Fatalf("replay differs: %s", raw)
	}
}

// bury waits for what engines that crashed had under way: a tool that one of them had
// begun to call may still have its effect.
func (r *rig) bury() {
	for _, end := range r.dead {
		end()
	}
	r.dead = nil
}

func (r *rig) replay(id writ.ExecutionID) *contract.ReplayRunOutput {
	r.t.Helper()
	before := r.tools.count()
	out, err := r.engine.ReplayRun(as(approver), &contract.ReplayRunInput{ExecutionID: id})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.tools.count() != before {
		r.t.Fatal("the replay performed an effect")
	}
	return out
}

func (r *rig) records(id writ.ExecutionID) []writ.Stored {
	r.t.Helper()
	records, err := r.journal.Records(context.Background(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.StreamID(id)})
	if err != nil {
		r.t.Fatal(err)
	}
	return records
}

func (r *rig) countRecords(id writ.ExecutionID, kind writ.RecordType) int {
	n := 0
	for _, record := range r.records(id) {
		if record.Type == kind {
			n++
		}
	}
	return n
}

// shelf is a fixed set of skills.
type shelf map[writ.SkillKey]*writ.Skill

const anyObject = `{"type":"object"}`

func (r *rig) shelve() {
	add := func(name string, module []byte, capabilities []writ.Capability, actions ...abi.Action) {
		m := &abi.Manifest{
			APIVersion: abi.ManifestVersion, Name: "test/" + name, Version: "1.0.0", Description: name,
			ABI: abi.V1, Capabilities: capabilities, Actions: actions,
		}
		raw, err := json.Marshal(m)
		if err != nil {
			r.t.Fatal(err)
		}
		ref := writ.SkillRef{Key: writ.SkillKey(m.Name), Version: m.Version, Digest: canon.SHA256(raw), Module: canon.SHA256(module)}
		r.skills[ref.Key] = &writ.Skill{Release: writ.Release{SkillRef: ref, Manifest: m}, Module: module}
	}
	action := func(effect writ.Effect, uses ...writ.Capability) abi.Action {
		return abi.Action{
			Name: "run", Description: "runs", Input: json.RawMessage(anyObject), Output: json.RawMessage(`{}`),
			Effects: []writ.Effect{effect}, Uses: uses,
		}
	}
	web := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET", "POST", "PUT"}, Paths: []string{"/**"}}
	kv := writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{"k"}}
	add("echo", wasmtest.Echo(), nil, action(abi.EffectNone))
	add("fail", wasmtest.Fail("went_wrong"), nil, action(abi.EffectNone))
	add("loop", wasmtest.Loop(), nil, action(abi.EffectNone))
	add("endless", callThenLoop(), []writ.Capability{{Tool: abi.ToolLog}}, action(abi.EffectNone))
	add("web", wasmtest.ToolCaller(abi.ToolHTTPRequest), []writ.Capability{web}, action(abi.EffectWriteExternal))
	read := web
	read.Methods = []string{"GET"}
	add("pay", wasmtest.ToolCaller(abi.ToolHTTPRequest), []writ.Capability{web}, action(abi.EffectFinancial))
	add("try", tries(abi.ToolHTTPRequest), []writ.Capability{read}, action(abi.EffectRead))
	add("moody", moody(), []writ.Capability{web}, action(abi.EffectWriteExternal))
	add("look", wasmtest.ToolCaller(abi.ToolHTTPRequest), []writ.Capability{read}, action(abi.EffectRead))
	notes := writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{"k/{key}"}}
	add("note", wasmtest.ToolCaller(abi.ToolKVPut), []writ.Capability{kv}, action(abi.EffectWriteLocal, notes))
	add("twice", twice(abi.ToolKVPut), []writ.Capability{kv}, action(abi.EffectWriteLocal))
	add("doubtful", twice(abi.ToolHTTPRequest), []writ.Capability{web}, action(abi.EffectWriteExternal))
	callee := writ.Capability{Tool: abi.ToolSkillCall, Skills: []string{"test/echo#run", "test/fail#run", "test/keep#run", "test/pass#*"}}
	add("call", wasmtest.ToolCaller(abi.ToolSkillCall), []writ.Capability{callee, kv}, action(abi.EffectNone))
	outward := writ.Capability{Tool: abi.ToolSkillCall, Skills: []string{"test/web#run"}}
	add("send", wasmtest.ToolCaller(abi.ToolSkillCall), []writ.Capability{outward, web}, action(abi.EffectNone))
	deeper := writ.Capability{Tool: abi.ToolSkillCall, Skills: []string{"test/echo#run", "test/keep#run"}}
	add("pass", wasmtest.ToolCaller(abi.ToolSkillCall), []writ.Capability{deeper, kv}, action(abi.EffectNone))
	add("bare", wasmtest.ToolCaller(abi.ToolSkillCall), []writ.Capability{callee}, action(abi.EffectNone))
	add("self", wasmtest.ToolCaller(abi.ToolSkillCall), []writ.Capability{{Tool: abi.ToolSkillCall, Skills: []string{"test/self#*"}}}, action(abi.EffectNone))
	add("keep", wasmtest.ToolCaller(abi.ToolKVPut), []writ.Capability{kv}, action(abi.EffectWriteLocal))
}

func (s shelf) Catalogue(context.Context, writ.TenantID) (writ.Catalogue, error) { return s, nil }

func (s shelf) Resolve(key writ.SkillKey, _ string) (*writ.Release, error) {
	if skill, ok := s[key]; ok {
		return &skill.Release, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, "skill "+string(key), "is not installed")
}

func (s shelf) Load(_ context.Context, req writ.LoadRequest) (*writ.Skill, error) {
	if skill, ok := s[req.Ref.Key]; ok && skill.SkillRef == req.Ref {
		return skill, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, "skill "+req.Ref.String(), "is not installed")
}

// tries is a module that calls the tool and does not mind a refusal.
func tries(tool string) []byte {
	g := wasmtest.NewGuest(1, 0)
	call := g.Tool(tool)
	return g.Run(g.ReadInput(), wasmtest.I32(0), wasmtest.Get(0), wasmtest.Call(call), wasmtest.Op(wasmtest.Drop), g.Say(`{"tried":true}`)).Bytes()
}

// twice is a module that makes the same call twice.
func twice(tool string) []byte {
	g := wasmtest.NewGuest(1, 0)
	call := g.Tool(tool)
	return g.Run(g.ReadInput(), wasmtest.I32(0), wasmtest.Get(0), wasmtest.Call(call), wasmtest.Op(wasmtest.Drop), g.CallTool(call)).Bytes()
}

// moody is a module that posts to a path of eight random bits, so that another
// attempt, whose seed is another, wants another call.
func moody() []byte {
	const random, text = 8, 16
	arguments := `{"body":"x","method":"POST","url":"https://api.example.com/AA"}`
	g := wasmtest.NewGuest(1, 0)
	draw := g.Import(abi.ModuleWASI, "random_get", "ii", "i")
	call := g.Tool(abi.ToolHTTPRequest)
	g.Data(text, []byte(arguments))
	digit := func(at int32, shift int32) []byte { // 'A' + 4 random bits
		return wasmtest.Code(
			wasmtest.I32(text+at), wasmtest.I32('A'), wasmtest.I32(random), wasmtest.Load(),
			wasmtest.I32(shift), wasmtest.Op(wasmtest.I32ShrU), wasmtest.I32(15), wasmtest.Op(0x71), // and
			wasmtest.Op(wasmtest.I32Add), []byte{0x3a, 0, 0}, // store8
		)
	}
	last := int32(len(arguments)) - 3
	return g.Run(
		wasmtest.I32(random), wasmtest.I32(4), wasmtest.Call(draw), wasmtest.Op(wasmtest.Drop),
		digit(last-1, 0), digit(last, 4),
		wasmtest.I32(text), wasmtest.I32(int32(len(arguments))), wasmtest.Call(call), wasmtest.Set(2),
		wasmtest.Get(2), wasmtest.Op(wasmtest.I32WrapI64), wasmtest.Set(1),
		wasmtest.I32(1024), wasmtest.Get(1), wasmtest.Call(g.Result), wasmtest.Op(wasmtest.Drop),
		wasmtest.Get(2), wasmtest.I64(32), wasmtest.Op(wasmtest.I64ShrU), wasmtest.Op(wasmtest.I32WrapI64),
		wasmtest.If(wasmtest.I32(1024), wasmtest.Get(1), wasmtest.Call(g.Fail), wasmtest.I32(1), wasmtest.Op(wasmtest.Return)),
		wasmtest.I32(1024), wasmtest.Get(1), wasmtest.Call(g.Output), wasmtest.I32(0),
	).Bytes()
}

// judges has one bundle.
type judges struct{ judge writ.Judge }

func (j judges) Active() writ.Judge { return j.judge }

func (j judges) ByDigest(_ context.Context, d writ.Digest) (writ.Judge, error) {
	if d == j.judge.Policy().Digest {
		return j.judge, nil
	}
	if after, ok := j.judge.(successor); ok && d == after.before.Policy().Digest {
		return after.before, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, "policy "+string(d), "is not kept")
}

// successor is a judge beside which the one before is kept.
type successor struct{ now, before writ.Judge }

func (s successor) Judge(ctx context.Context, q *writ.Question) (*writ.Verdict, error) {
	return s.now.Judge(ctx, q)
}

func (s successor) Policy() writ.PolicyRef { return s.now.Policy() }

// deputies are the delegations of the rig that hold now.
type deputies struct{ r *rig }

func (d deputies) DelegatedTo(_ context.Context, p *writ.Principal) ([]writ.Delegation, error) {
	return slices.DeleteFunc(slices.Clone(d.r.away), func(a writ.Delegation) bool {
		return a.To != p.ID || !a.Holds(writ.Clock(d.r.clock).Now())
	}), nil
}

// anySignature accepts whatever is signed: keys are the identity package's.
type anySignature struct{}

func (anySignature) VerifyApproval(_ context.Context, p *writ.Principal, _ writ.Word, envelope []byte) (*writ.Via, error) {
	if len(envelope) == 0 {
		return nil, writ.Errorf(writ.CodeForbidden, "approval", "is not signed")
	}
	if p.Strength == writ.StrengthChannel {
		return &writ.Via{Channel: "talk/acme", Sender: "U1", Delivery: "dlv_1"}, nil
	}
	return nil, nil
}

// fakeTools answers calls; fail decides what goes wrong.
type fakeTools struct {
	mu   sync.Mutex
	keys []string
	done []string // keys of the calls that took place, one for each time
	fail func(n int, call *writ.ToolCall) *writ.ToolResult
}

// holdFirst keeps the first call at work: it has begun when working is closed, and
// is answered once release is.
func (f *fakeTools) holdFirst() (working, release chan struct{}) {
	working, release = make(chan struct{}), make(chan struct{})
	f.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
		if n == 1 {
			close(working)
			<-release
		}
		return nil
	}
	return working, release
}

func (f *fakeTools) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.keys)
}

func (f *fakeTools) CheckResult(tool string, result []byte) error {
	if tool == abi.ToolHTTPRequest && !bytes.Contains(result, []byte(`"status"`)) {
		return writ.Errorf(writ.CodeInvalid, "answer of "+tool, "has no status")
	}
	return nil
}

func (f *fakeTools) Perform(_ context.Context, permit writ.Permit, call *writ.ToolCall) (*writ.ToolResult, error) {
	if _, err := permit.Covers(&call.CallFacts); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.keys = append(f.keys, call.Key)
	n, fail := len(f.keys), f.fail
	f.mu.Unlock()
	if fail != nil {
		if result := fail(n, call); result != nil {
			return result, nil
		}
	}
	f.mu.Lock()
	f.done = append(f.done, call.Key)
	f.mu.Unlock()
	body := []byte(fmt.Sprintf(`{"n":%d}`, n))
	if call.Tool == abi.ToolHTTPRequest {
		body = []byte(`{"headers":{},"status":200}`)
	}
	return &writ.ToolResult{Outcome: writ.OutcomeDone, Body: body, Labels: []writ.Label{writ.LabelHTTP}}, nil
}
