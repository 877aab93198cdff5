package engine_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
)

// alwaysJudge is of a bundle that allows everything, at the least risk, by itself.
func alwaysJudge(t *testing.T) writ.Judge {
	t.Helper()
	const yes = `{"mode": "autonomous", "risk": "low", "reasons": [{"rule": "yes", "message": "always"}]}`
	return bundle(t, "step := "+yes+"\n\ncall := "+yes+"\n")
}

// put adds a skill with one action, which may be changed.
func (r *rig) put(name string, module []byte, effect writ.Effect, capabilities []writ.Capability, change func(*abi.Action)) {
	r.t.Helper()
	action := abi.Action{
		Name: "run", Description: "runs", Input: json.RawMessage(anyObject), Output: json.RawMessage(`{}`), Effects: []writ.Effect{effect},
	}
	if change != nil {
		change(&action)
	}
	m := &abi.Manifest{
		APIVersion: abi.ManifestVersion, Name: "test/" + name, Version: "1.0.0", Description: name,
		ABI: abi.V1, Capabilities: capabilities, Actions: []abi.Action{action},
	}
	raw, err := json.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	ref := writ.SkillRef{Key: writ.SkillKey(m.Name), Version: m.Version, Digest: canon.SHA256(raw), Module: canon.SHA256(module)}
	r.skills[ref.Key] = &writ.Skill{Release: writ.Release{SkillRef: ref, Manifest: m}, Module: module}
}

var (
	reads = writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET"}, Paths: []string{"/**"}}
	looks = writ.Capability{Tool: abi.ToolKVGet, Prefixes: []string{""}}
)

const fixedAt = 60000 // of arguments that a guest has of its own

// lookThenSend is a module that looks up a stored value and then makes the call
// of its input.
func lookThenSend() []byte {
	g := wasmtest.NewGuest(1, 0)
	look, send := g.Tool(abi.ToolKVGet), g.Tool(abi.ToolHTTPRequest)
	const args = `{"key":"k"}`
	g.Data(fixedAt, []byte(args))
	return g.Run(wasmtest.I32(fixedAt), wasmtest.I32(int32(len(args))), wasmtest.Call(look), wasmtest.Op(wasmtest.Drop), g.CallTool(send)).Bytes()
}

// lookThenFail is a module whose failure could say what it looked up.
func lookThenFail() []byte {
	g := wasmtest.NewGuest(1, 0)
	look := g.Tool(abi.ToolKVGet)
	const args, failure = `{"key":"k"}`, `{"code":"spilled","message":"the value"}`
	g.Data(fixedAt, []byte(args))
	g.Data(fixedAt+100, []byte(failure))
	return g.Run(
		wasmtest.I32(fixedAt), wasmtest.I32(int32(len(args))), wasmtest.Call(look), wasmtest.Op(wasmtest.Drop),
		wasmtest.I32(fixedAt+100), wasmtest.I32(int32(len(failure))), wasmtest.Call(g.Fail), wasmtest.I32(1),
	).Bytes()
}

// callThenSend is a module that calls the skill of its input, whatever comes of
// it, and then makes a request of its own.
func callThenSend() []byte {
	g := wasmtest.NewGuest(1, 0)
	call, send := g.Tool(abi.ToolSkillCall), g.Tool(abi.ToolHTTPRequest)
	const args = `{"method":"GET","url":"https://api.example.com/out"}`
	g.Data(fixedAt, []byte(args))
	return g.Run(
		g.ReadInput(), wasmtest.I32(0), wasmtest.Get(0), wasmtest.Call(call), wasmtest.Op(wasmtest.Drop),
		wasmtest.I32(fixedAt), wasmtest.I32(int32(len(args))), wasmtest.Call(send), wasmtest.Op(wasmtest.Drop),
		g.Say(`{"sent":true}`),
	).Bytes()
}

// everybody has a grant of every tool.
func (r *rig) everybody() {
	for _, p := range []*writ.Principal{service, carol} {
		g := r.grants[0]
		g.ID, g.Principal = "grant_"+string(p.Kind), p.ID
		r.grants = append(r.grants, g)
	}
}

// lethalRig has skills that look something up and then reach out. What is looked
// up has the labels.
func lethalRig(t *testing.T, judge writ.Judge, labels ...writ.Label) *rig {
	r := newRigWith(t, &rig{judges: judges{judge}})
	r.everybody()
	r.put("leak", lookThenSend(), abi.EffectRead, []writ.Capability{reads, looks}, nil)
	r.put("spill", lookThenFail(), abi.EffectRead, []writ.Capability{looks}, nil)
	calls := writ.Capability{Tool: abi.ToolSkillCall, Skills: []string{"test/spill#run"}}
	r.put("careless", callThenSend(), abi.EffectRead, []writ.Capability{reads, looks, calls}, nil)
	r.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult {
		if call.Tool == abi.ToolKVGet {
			return &writ.ToolResult{Outcome: writ.OutcomeDone, Body: []byte(`{"found":true,"value":"v"}`), Labels: labels}
		}
		return nil
	}
	return r
}

// sent counts the requests that were made.
func (r *rig) sent(id writ.ExecutionID) int {
	n := 0
	for _, record := range r.records(id) {
		if record.Type == writ.RecToolCalled && record.Body.Call.Tool == abi.ToolHTTPRequest {
			n++
		}
	}
	return n
}

// asked is what waits for people, with the document that they see.
func (r *rig) asked(id writ.ExecutionID) (contract.Approval, *writ.ApprovalRequest) {
	r.t.Helper()
	item := r.pending(id)
	var request writ.ApprovalRequest
	if err := json.Unmarshal(item.Request, &request); err != nil {
		r.t.Fatal(err)
	}
	return item, &request
}

const leak = head + `  - {name: leak, uses: "test/leak#run", with: {method: GET, url: "https://api.example.com/x"}}` + "\n"

func TestPrivateAndUntrustedDataNeverLeaveAlone(t *testing.T) {
	for name, judge := range map[string]writ.Judge{"a bundle that allows everything": alwaysJudge(t), "the default bundle": defaultJudge(t)} {
		t.Run(name, func(t *testing.T) {
			r := lethalRig(t, judge, writ.LabelPrivate, writ.LabelStored)
			id := r.begin(service, leak)
			state := r.expect(id, writ.ExecAwaitingApproval)
			if r.sent(id) != 0 || state.Steps[0].Verdict.Mode != writ.Autonomous {
				t.Fatalf("%d requests, step %+v", r.sent(id), state.Steps[0].Verdict)
			}
			item, request := r.asked(id)
			if !slices.Contains(request.Taint, writ.LabelPrivate) || item.DecideBy <= item.OpenedAt || item.Required != 1 || len(request.Reasons) == 0 {
				t.Errorf("%+v", request)
			}
			r.reboot()
			if r.sent(id) != 0 {
				t.Fatal("a restart let it out")
			}
			r.approve(approver, id)
			r.expect(id, writ.ExecCompleted)
			if r.sent(id) != 1 {
				t.Errorf("%d requests", r.sent(id))
			}
			r.identical(id)
		})
	}
}

// TestEitherAloneMayLeave proves that the labels decide, and nothing else of the
// step above.
func TestEitherAloneMayLeave(t *testing.T) {
	for _, labels := range [][]writ.Label{{writ.LabelStored}, {writ.LabelPrivate}, {writ.LabelHTTP, writ.LabelChannel}, {writ.LabelOperator, writ.LabelSecret}} {
		r := lethalRig(t, alwaysJudge(t), labels...)
		id := r.begin(service, leak)
		r.expect(id, writ.ExecCompleted)
		if r.sent(id) != 1 {
			t.Errorf("%v: %d requests", labels, r.sent(id))
		}
		r.identical(id)
	}
}

// TestAFailureSaysWhatItsStepKnew: a caller reads the words of a failure.
func TestAFailureSaysWhatItsStepKnew(t *testing.T) {
	r := lethalRig(t, alwaysJudge(t), writ.LabelPrivate, writ.LabelChannel)
	id := r.begin(service, calling("careless", "spill", `{}`))
	state := r.expect(id, writ.ExecAwaitingApproval)
	if inner := state.Step("outer/call-1"); inner == nil || inner.Status != writ.StepFailed || !slices.Contains(inner.Labels, writ.LabelPrivate) {
		t.Fatalf("%+v", inner)
	}
	if r.sent(id) != 0 {
		t.Fatal("it left")
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

func TestAnActionSaysThatItsOutputIsPrivate(t *testing.T) {
	r := lethalRig(t, alwaysJudge(t))
	r.put("own", wasmtest.Echo(), abi.EffectNone, nil, func(a *abi.Action) { a.Sensitivity = abi.SensitivityPrivate })
	const draft = head + `  - {name: own, uses: "test/own#run", with: {a: 1}}
  - {name: leak, uses: "test/look#run", with: {method: GET, url: "https://api.example.com/${{ string(steps.own.output.a) }}"}}
`
	// A person's own words, and nobody else's.
	id := r.begin(service, draft)
	state := r.expect(id, writ.ExecCompleted)
	if !slices.Contains(state.Step("own").Labels, writ.LabelPrivate) {
		t.Errorf("%v", state.Step("own").Labels)
	}
	r.identical(id)
	// The same of a model.
	id = r.begin(agent, draft)
	r.expect(id, writ.ExecAwaitingApproval)
	if r.sent(id) != 0 {
		t.Error("it left")
	}
	r.identical(id)
}

// TestADraftIsTrustedAsItsAuthor: an intent that a trusted caller stated lends
// nothing to the draft that an agent compiles for it.
func TestADraftIsTrustedAsItsAuthor(t *testing.T) {
	r := newRig(t)
	r.everybody()
	for author, want := range map[*writ.Principal]writ.Label{service: writ.LabelPrincipal, agent: writ.LabelModel} {
		id := r.submit(service, "")
		if _, err := r.engine.PlanCompile(as(author), &contract.PlanCompileInput{
			ExecutionID: id, Draft: head + "  - {name: a, uses: \"test/look#run\", with: {method: GET, url: \"https://api.example.com/x\"}}\n",
		}); err != nil {
			t.Fatal(err)
		}
		r.start(service, id)
		r.expect(id, writ.ExecCompleted)
		var plan writ.Plan
		if raw, err := r.payloads(id)(payloadOf(t, r, id, writ.PayloadPlan)); err != nil || json.Unmarshal(raw, &plan) != nil {
			t.Fatal(err)
		}
		if !slices.Equal(plan.Steps[0].Taint, []writ.Label{want}) || plan.Origin.Label() != want {
			t.Errorf("%s: origin %s, taint %v", author.ID, plan.Origin, plan.Steps[0].Taint)
		}
		r.identical(id)
	}
}

func payloadOf(t *testing.T, r *rig, id writ.ExecutionID, name string) writ.PayloadRef {
	t.Helper()
	ref, ok := r.state(id).Payload(name)
	if !ok {
		t.Fatal("no " + name)
	}
	return ref
}

// TestACompensationIsSeenWhereItWouldLeak: approving a template is no approval of
// private and untrusted data that nobody had seen then.
func TestACompensationIsSeenWhereItWouldLeak(t *testing.T) {
	r := lethalRig(t, defaultJudge(t), writ.LabelPrivate, writ.LabelStored)
	const undo = head + `  - name: send
    uses: test/web#run
    with: {method: POST, url: "https://api.example.com/do"}
    compensate:
      uses: test/leak#run
      with: {method: GET, url: "https://api.example.com/undo"}
  - {name: stop, uses: "test/fail#run", needs: [send]}
`
	id := r.begin(service, undo)
	r.expect(id, writ.ExecAwaitingApproval)
	if _, request := r.asked(id); request.Compensation == nil {
		t.Fatal("the request does not show what would undo it")
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecAwaitingApproval)
	if item := r.pending(id); r.sent(id) != 1 || !strings.Contains(string(item.StepID), "compensate") {
		t.Fatalf("%d requests, %+v", r.sent(id), item)
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecFailed)
	if r.sent(id) != 2 {
		t.Errorf("%d requests", r.sent(id))
	}
	r.identical(id)
}
