package engine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
)

// injected is a text that somebody untrusted wrote, the way by which it comes in
// and the parameter that it wants to reach.
type injected struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Enters string `json:"enters"` // channel, http, kv, file or model
	Sink   string `json:"sink"`   // recipient, amount, url, command or body
	Text   string `json:"text"`
	Repeat int    `json:"repeat"`
}

func (i *injected) text() string { return strings.Repeat(i.Text, max(1, i.Repeat)) }

func corpus(t *testing.T) []injected {
	t.Helper()
	files, err := filepath.Glob("../testdata/injection/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	var all []injected
	names := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var some []injected
		if err := json.Unmarshal(raw, &some); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, one := range some {
			if names[one.Name] || !slices.Contains(sinkNames, one.Sink) || one.Kind+".json" != filepath.Base(file) {
				t.Fatalf("%s: %s is there twice, or its sink or kind is not known", file, one.Name)
			}
			names[one.Name] = true
		}
		all = append(all, some...)
	}
	if len(all) < 60 {
		t.Fatalf("%d texts", len(all))
	}
	return all
}

var sinkNames = []string{"recipient", "amount", "url", "command", "body"}

// world is a rig whose tools bring one text in and count what goes out.
type world struct {
	*rig
	mu     sync.Mutex
	text   string
	stored map[string]*writ.ToolResult
	out    []string // arguments of the calls that reached the sink
}

func newWorld(t *testing.T, judge writ.Judge) *world {
	w := &world{rig: newRigWith(t, &rig{judges: judges{judge}})}
	w.everybody()
	all := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET", "POST"}, Paths: []string{"/**"}}
	sensitive := func(a *abi.Action) {
		for _, name := range sinkNames {
			a.Sinks = append(a.Sinks, "headers."+name)
		}
	}
	w.put("ask", wasmtest.ToolCaller(abi.ToolHTTPRequest), abi.EffectRead, []writ.Capability{reads}, sensitive)
	w.put("tell", wasmtest.ToolCaller(abi.ToolHTTPRequest), abi.EffectWriteExternal, []writ.Capability{all}, sensitive)
	w.put("peek", wasmtest.ToolCaller(abi.ToolKVGet), abi.EffectRead, []writ.Capability{looks}, nil)
	w.put("open", wasmtest.ToolCaller(abi.ToolFileRead), abi.EffectRead, []writ.Capability{{Tool: abi.ToolFileRead, Paths: []string{"**"}}}, nil)
	for name, web := range map[string]writ.Capability{"ask": reads, "tell": all} {
		calls := writ.Capability{Tool: abi.ToolSkillCall, Skills: []string{"test/" + name + "#run"}}
		w.put("relay-"+name, wasmtest.ToolCaller(abi.ToolSkillCall), abi.EffectNone, []writ.Capability{calls, web}, nil)
	}
	w.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult { return w.answer(call) }
	return w
}

// answer brings the text in by the tool of its source, and keeps what is stored
// as the host's own tools do: with the labels of the writer.
func (w *world) answer(call *writ.ToolCall) *writ.ToolResult {
	w.mu.Lock()
	defer w.mu.Unlock()
	given := func(v any, labels ...writ.Label) *writ.ToolResult {
		body, err := canon.MarshalJSON(v)
		if err != nil {
			w.t.Error(err)
		}
		return &writ.ToolResult{Outcome: writ.OutcomeDone, Body: body, Labels: labels}
	}
	switch {
	case call.Tool == abi.ToolKVPut:
		var put abi.KVPut
		if err := json.Unmarshal(call.Arguments, &put); err != nil {
			w.t.Error(err)
		}
		w.stored[put.Key] = given(abi.KVValue{Found: true, Value: put.Value}, call.Labels...)
		return given(struct{}{})
	case call.Tool == abi.ToolKVGet && w.stored[call.Target.Key] != nil:
		return w.stored[call.Target.Key]
	case call.Tool == abi.ToolKVGet:
		return given(abi.KVValue{Found: true, Value: w.text}, writ.LabelPrivate, writ.LabelStored)
	case call.Tool == abi.ToolFileRead:
		return given(abi.FileContent{Text: w.text}, writ.LabelPrivate, writ.LabelStored)
	case call.Tool == abi.ToolHTTPRequest && call.Target.Path == "/out":
		w.out = append(w.out, string(call.Arguments))
		return nil
	case call.Tool == abi.ToolHTTPRequest:
		return given(abi.HTTPResponse{Status: 200, Headers: map[string]string{}, Body: w.text}, writ.LabelHTTP)
	}
	return nil
}

type object = map[string]any

// entering is the steps that bring a text in, and the expression that reads it.
var entering = map[string]struct {
	step object
	read string
}{
	"channel": {nil, "intent.metadata.text"},
	"model":   {nil, "inputs.text"},
	"trusted": {nil, "intent.metadata.text"},
	"http":    {object{"name": "read", "uses": "test/look#run", "with": object{"method": "GET", "url": "https://api.example.com/read"}}, "steps.read.output.body"},
	"kv":      {object{"name": "read", "uses": "test/peek#run", "with": object{"key": "in"}}, "steps.read.output.value"},
	"file":    {object{"name": "read", "uses": "test/open#run", "with": object{"path": "in.txt"}}, "steps.read.output.text"},
}

// shapes are the ways from the text to the sink. They return the steps before
// the sink, and change its step.
var shapes = []struct {
	name  string
	route func(read string, sink object, set func(value string)) []object
}{
	{"direct", func(read string, _ object, set func(string)) []object { set("${{ " + read + " }}"); return nil }},
	{"concatenation", func(read string, _ object, set func(string)) []object {
		set("${{ 'to ' + string(" + read + ") + ', now' }}")
		return nil
	}},
	{"condition", func(read string, sink object, set func(string)) []object {
		sink["when"] = "size(string(" + read + ")) >= 0"
		set("fixed")
		return nil
	}},
	{"element", func(read string, sink object, set func(string)) []object {
		sink["forEach"] = "${{ [" + read + "] }}"
		set("${{ item }}")
		return nil
	}},
	{"stored", func(read string, _ object, set func(string)) []object {
		set("${{ steps.load.output.value }}")
		return []object{
			{"name": "save", "uses": "test/keep#run", "with": object{"key": "k1", "value": "${{ string(" + read + ") }}"}},
			{"name": "load", "uses": "test/peek#run", "needs": []string{"save"}, "with": object{"key": "k1"}},
		}
	}},
	{"earlier output", func(read string, _ object, set func(string)) []object {
		set("${{ steps.pass.output.a.b }}")
		return []object{{"name": "pass", "uses": "test/echo#run", "with": object{"a": object{"b": "${{ " + read + " }}"}}}}
	}},
	{"called skill", func(read string, sink object, set func(string)) []object {
		set("${{ " + read + " }}")
		skill := strings.TrimSuffix(sink["uses"].(string), "#run")
		sink["with"] = object{"skill": skill, "action": "run", "input": sink["with"]}
		sink["uses"] = "test/relay-" + strings.TrimPrefix(skill, "test/") + "#run"
		return nil
	}},
}

// run drives a text along a shape until nothing moves any more.
func (w *world) run(one *injected, shape int, skill string) writ.ExecutionID {
	w.t.Helper()
	w.mu.Lock()
	w.text, w.stored, w.out = one.text(), map[string]*writ.ToolResult{}, nil
	w.mu.Unlock()
	method := map[string]string{"ask": "GET", "tell": "POST"}[skill]
	headers := object{}
	sink := object{"name": "sink", "uses": "test/" + skill + "#run", "with": object{"method": method, "url": "https://api.example.com/out", "headers": headers}}
	from := entering[one.Enters]
	steps := []object{}
	if from.step != nil {
		steps = append(steps, from.step)
	}
	steps = append(steps, shapes[shape].route(from.read, sink, func(value string) { headers[one.Sink] = value })...)
	plan := object{"apiVersion": "writ/v1", "kind": "Plan", "steps": append(steps, sink)}
	if one.Enters == "model" {
		plan["inputs"] = object{"text": one.text()}
	}
	draft, err := json.Marshal(plan)
	if err != nil {
		w.t.Fatal(err)
	}
	metadata, err := canon.MarshalJSON(object{"text": one.text()})
	if err != nil {
		w.t.Fatal(err)
	}
	in := &contract.IntentSubmitInput{Text: "do it", Draft: string(draft), DraftFormat: "json", Metadata: metadata}
	who := service
	switch one.Enters {
	case "model":
		who = agent
	case "channel":
		in.ChannelKey = "github"
	}
	out, err := w.engine.IntentSubmit(as(who), in)
	if err != nil {
		w.t.Fatalf("%s: %+v", one.Name, err)
	}
	w.compile(who, out.ExecutionID)
	w.start(who, out.ExecutionID)
	return out.ExecutionID
}

// effects are the arguments that have reached the sink so far.
func (w *world) reached() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.out)
}

// approveAll has people approve, one word after the other. It returns the
// arguments of the calls that they saw, and fails where anything happened before
// the last word that a call needs.
func (w *world) approveAll(id writ.ExecutionID, what string) (seen []string) {
	w.t.Helper()
	people := []*writ.Principal{approver, second}
	for range 8 {
		list, err := w.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(list.Items) == 0 {
			return seen
		}
		for _, item := range list.Items {
			var request writ.ApprovalRequest
			if err := json.Unmarshal(item.Request, &request); err != nil {
				w.t.Fatal(err)
			}
			before := len(w.reached())
			for i := range item.Required {
				if len(w.reached()) != before {
					w.t.Fatalf("%s: it happened after %d of %d words", what, i, item.Required)
				}
				w.say(people[i], id, item)
			}
			if request.Call != nil {
				seen = append(seen, string(request.Call.Arguments))
			}
		}
		w.start(service, id)
	}
	w.t.Fatalf("%s: people are asked without end", what)
	return nil
}

// TestInjectedTextsReachNoSinkUnseen drives every text of the corpus along every
// shape, under the default bundle into a request that only reads, and under one
// that allows everything into one that writes.
func TestInjectedTextsReachNoSinkUnseen(t *testing.T) {
	texts, flows, asked := corpus(t), 0, 0
	for skill, judge := range map[string]writ.Judge{"ask": defaultJudge(t), "tell": alwaysJudge(t)} {
		w := newWorld(t, judge)
		for i := range texts {
			for shape := range shapes {
				one := &texts[i]
				what := fmt.Sprintf("%s by %s into %s, %s, %s", one.Name, one.Enters, one.Sink, shapes[shape].name, skill)
				id := w.run(one, shape, skill)
				if out := w.reached(); len(out) != 0 {
					t.Fatalf("%s: reached the sink unseen: %s", what, out[0])
				}
				w.expect(id, writ.ExecAwaitingApproval)
				seen := w.approveAll(id, what)
				w.expect(id, writ.ExecCompleted)
				if out := w.reached(); len(out) != 1 || len(seen) != 1 || out[0] != seen[0] {
					t.Fatalf("%s: approved %q, what arrived is %q", what, seen, out)
				}
				quoted, err := canon.MarshalJSON(one.text())
				if err != nil {
					t.Fatal(err)
				}
				if shapes[shape].name != "condition" && !strings.Contains(seen[0], string(quoted[1:len(quoted)-1])) {
					t.Fatalf("%s: the text is not in what people saw: %.200s", what, seen[0])
				}
				flows, asked = flows+1, asked+len(seen)
				if flows%97 == 0 {
					w.identical(id)
				}
			}
		}
	}
	t.Logf("%d texts along %d shapes and 2 policies: %d flows, 0 effects before approval, %d approved calls arrived byte for byte",
		len(texts), len(shapes), flows, asked)
}

// TestTrustedTextsDoReachTheSink is the control: the same flows with the same
// texts, written by somebody who is trusted, go through by themselves. Two shapes
// are left out: a plan takes what is stored for nobody's, and what a skill gives to
// another for anything that its own tools could have answered.
func TestTrustedTextsDoReachTheSink(t *testing.T) {
	texts, flows := corpus(t), 0
	for skill, judge := range map[string]writ.Judge{"ask": defaultJudge(t), "tell": alwaysJudge(t)} {
		w := newWorld(t, judge)
		for i := range texts {
			one := texts[i]
			one.Enters = "trusted"
			for shape := range shapes {
				if shapes[shape].name == "stored" || shapes[shape].name == "called skill" || (i+shape)%3 != 0 {
					continue // a third of them shows it
				}
				id := w.run(&one, shape, skill)
				w.expect(id, writ.ExecCompleted)
				if len(w.reached()) != 1 {
					t.Fatalf("%s, %s, %s: %d effects", one.Name, shapes[shape].name, skill, len(w.reached()))
				}
				flows++
			}
		}
	}
	t.Logf("%d flows of trusted texts went through", flows)
}
