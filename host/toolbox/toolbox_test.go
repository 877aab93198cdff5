package toolbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

const (
	testTenant    = writ.TenantID("acme")
	testExecution = writ.ExecutionID("exe_1")
	testStep      = writ.StepID("stp_1")
	testSkill     = writ.SkillKey("pub/skill")
)

// bench is a toolbox with a permit to use it.
type bench struct {
	*Toolbox
	t         *testing.T
	permit    writ.Permit
	execution writ.ExecutionID
}

func newBench(t *testing.T, opts Options, capabilities ...writ.Capability) *bench {
	t.Helper()
	box, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{Toolbox: box, t: t, permit: mint(t, testExecution, capabilities...), execution: testExecution}
}

func mint(t *testing.T, execution writ.ExecutionID, capabilities ...writ.Capability) writ.Permit {
	t.Helper()
	permit, err := writ.MintPermit(
		writ.PermitScope{
			Tenant: testTenant, Execution: execution, Step: testStep,
			Skill: writ.SkillRef{Key: testSkill}, Capabilities: capabilities,
		},
		writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow}})
	if err != nil {
		t.Fatal(err)
	}
	return permit
}

// calls makes the key of every call its own, as occurrences do in an engine.
var calls atomic.Int64

// callOf is the call that an honest engine makes of arguments.
func (b *bench) callOf(tool string, args any) *writ.ToolCall {
	b.t.Helper()
	raw, ok := args.(string)
	if !ok {
		canonical, err := canon.MarshalJSON(args)
		if err != nil {
			b.t.Fatal(err)
		}
		raw = string(canonical)
	}
	facts, err := writ.CallFactsOf(tool, []byte(raw))
	if err != nil {
		b.t.Fatal(err)
	}
	return &writ.ToolCall{
		CallFacts: *facts, Tenant: testTenant, Skill: testSkill, Execution: b.execution, Step: testStep,
		Key: fmt.Sprint("key", calls.Add(1)),
	}
}

func (b *bench) do(tool string, args any) *writ.ToolResult {
	b.t.Helper()
	result, err := b.Perform(b.t.Context(), b.permit, b.callOf(tool, args))
	if err != nil {
		b.t.Fatal(err)
	}
	checkResult(b.t, tool, result)
	return result
}

// checkResult holds every result of every test to its schema and to the rule
// that a result is a body or a failure.
func checkResult(t *testing.T, tool string, result *writ.ToolResult) {
	t.Helper()
	if (result.Failure == nil) == (result.Body == nil) {
		t.Fatalf("%s: body %q and failure %v", tool, result.Body, result.Failure)
	}
	if result.Failure != nil {
		return
	}
	if form, err := canon.JSON(result.Body); err != nil || string(form) != string(result.Body) {
		t.Fatalf("%s: the body is not canonical: %q", tool, result.Body)
	}
	schemas, err := resultSchemas()
	if err != nil {
		t.Fatal(err)
	}
	var body any
	if err := json.Unmarshal(result.Body, &body); err != nil {
		t.Fatal(err)
	}
	if err := schemas[tool].Validate(body); err != nil {
		t.Fatalf("%s: %s does not fit the result's schema: %v", tool, result.Body, err)
	}
}

var resultSchemas = sync.OnceValues(func() (map[string]*jsonschema.Resolved, error) {
	schemas, err := Schemas()
	if err != nil {
		return nil, err
	}
	out := map[string]*jsonschema.Resolved{}
	for _, s := range schemas {
		var schema jsonschema.Schema
		if err := json.Unmarshal(s.Result, &schema); err != nil {
			return nil, err
		}
		if out[s.Tool], err = schema.Resolve(nil); err != nil {
			return nil, err
		}
	}
	return out, nil
})

func bodyOf[T any](t *testing.T, result *writ.ToolResult) T {
	t.Helper()
	if result.Failure != nil {
		t.Fatalf("failed: %v", result.Failure)
	}
	var v T
	if err := json.Unmarshal(result.Body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func wantFailure(t *testing.T, result *writ.ToolResult, code string, outcome writ.Outcome) {
	t.Helper()
	if result.Failure == nil || result.Failure.Code != code || result.Outcome != outcome {
		t.Fatalf("got outcome %q, failure %v, body %.200q; want %q, %q", result.Outcome, result.Failure, result.Body, outcome, code)
	}
	if result.Failure.Message == "" {
		t.Error("the failure says nothing")
	}
}

func every(tool string) writ.Capability {
	return writ.Capability{Tool: tool, Paths: []string{"**"}, Prefixes: []string{""}}
}

func TestEveryToolHasAPerformerAndASchema(t *testing.T) {
	var tools []string
	for _, spec := range writ.Tools() {
		tools = append(tools, spec.Name)
	}
	if have := slices.Sorted(maps.Keys(performers)); !slices.Equal(have, tools) {
		t.Errorf("performers %v, tools %v", have, tools)
	}
	schemas, err := Schemas()
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range schemas {
		if s.Tool != tools[i] || s.Title == "" || len(s.Arguments) == 0 || len(s.Result) == 0 {
			t.Errorf("schema %d is %+v", i, s)
		}
	}
	files, err := schemaFiles.ReadDir("schema")
	if err != nil || len(files) != len(tools) {
		t.Errorf("%d schema files for %d tools, %v", len(files), len(tools), err)
	}
}

func TestSchemasRefuseUnknownMembersEverywhere(t *testing.T) {
	schemas, err := Schemas()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range schemas {
		var shape struct {
			Type       string
			Properties map[string]struct{ Description string }
			Additional *bool `json:"additionalProperties"`
		}
		if err := json.Unmarshal(s.Arguments, &shape); err != nil {
			t.Fatal(err)
		}
		if shape.Type != "object" || shape.Additional == nil || *shape.Additional {
			t.Errorf("%s: the arguments are not a closed object", s.Tool)
		}
		for name, member := range shape.Properties {
			if member.Description == "" {
				t.Errorf("%s: %s has no description, which a refusal quotes", s.Tool, name)
			}
		}
	}
}

func TestTheGate(t *testing.T) {
	b := newBench(t, Options{}, writ.Capability{Tool: abi.ToolLog}, every(abi.ToolKVGet))
	good := b.callOf(abi.ToolLog, abi.LogArgs{Level: "info", Message: "hello"})
	closed := mint(t, testExecution, writ.Capability{Tool: abi.ToolLog})
	closed.Close()
	forged := func(change func(*writ.ToolCall)) *writ.ToolCall {
		c := *good
		change(&c)
		return &c
	}
	other := b.callOf(abi.ToolLog, abi.LogArgs{Level: "info", Message: "other"})
	cases := map[string]struct {
		permit writ.Permit
		call   *writ.ToolCall
		code   writ.Code
	}{
		"no call":            {b.permit, nil, writ.CodeInvalid},
		"zero permit":        {writ.Permit{}, good, writ.CodeForbidden},
		"closed permit":      {closed, good, writ.CodeForbidden},
		"tool not granted":   {b.permit, b.callOf(abi.ToolKVPut, abi.KVPut{Key: "a"}), writ.CodeForbidden},
		"unknown tool":       {b.permit, forged(func(c *writ.ToolCall) { c.Tool = "shell" }), writ.CodeForbidden},
		"another tenant":     {b.permit, forged(func(c *writ.ToolCall) { c.Tenant = "x" }), writ.CodeForbidden},
		"another execution":  {b.permit, forged(func(c *writ.ToolCall) { c.Execution = "x" }), writ.CodeForbidden},
		"another step":       {b.permit, forged(func(c *writ.ToolCall) { c.Step = "x" }), writ.CodeForbidden},
		"another skill":      {b.permit, forged(func(c *writ.ToolCall) { c.Skill = "x/y" }), writ.CodeForbidden},
		"another digest":     {b.permit, forged(func(c *writ.ToolCall) { c.Digest = other.Digest }), writ.CodeForbidden},
		"other arguments":    {b.permit, forged(func(c *writ.ToolCall) { c.Arguments = other.Arguments }), writ.CodeForbidden},
		"another effect":     {b.permit, forged(func(c *writ.ToolCall) { c.Effect = abi.EffectRead }), writ.CodeForbidden},
		"less idempotent":    {b.permit, forged(func(c *writ.ToolCall) { c.Idempotent = false }), writ.CodeForbidden},
		"another target":     {b.permit, forged(func(c *writ.ToolCall) { c.Target.Path = "x" }), writ.CodeForbidden},
		"arguments not JSON": {b.permit, forged(func(c *writ.ToolCall) { c.Tool, c.Arguments = abi.ToolKVGet, []byte("{") }), writ.CodeInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result, err := b.Perform(t.Context(), c.permit, c.call)
			if result != nil || writ.CodeOf(err) != c.code {
				t.Errorf("got %+v, %v; want code %s", result, err, c.code)
			}
		})
	}
	if result, err := b.Perform(t.Context(), b.permit, good); err != nil || result.Outcome != writ.OutcomeDone {
		t.Errorf("the honest call: %+v, %v", result, err)
	}
}

func TestAGrantMayDeclareIdempotence(t *testing.T) {
	for _, declared := range []bool{false, true} {
		b := newBench(t, Options{}, writ.Capability{
			Tool: abi.ToolHTTPRequest, Hosts: []string{"127.0.0.1"}, Methods: []string{"POST"}, Paths: []string{"/"}, Idempotent: declared,
		})
		call := b.callOf(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "http://127.0.0.1/"})
		call.Idempotent = true
		_, err := b.Perform(t.Context(), b.permit, call)
		if writ.IsCode(err, writ.CodeForbidden) == declared {
			t.Errorf("declared %v: %v", declared, err)
		}
	}
}

func TestArgumentsThatDoNotFit(t *testing.T) {
	b := newBench(t, Options{Store: &memoryStore{}}, writ.Capability{Tool: abi.ToolLog},
		every(abi.ToolKVGet), every(abi.ToolKVPut), every(abi.ToolKVList), every(abi.ToolFileWrite),
		writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"**"}, Methods: []string{"GET", "POST", "TRACE"}, Paths: []string{"/**", "/"}})
	long := strings.Repeat("k", 513)
	cases := []struct{ tool, args, says string }{
		{abi.ToolLog, `{"level":"info"}`, `"message" is missing`},
		{abi.ToolLog, `{"level":"fatal","message":"m"}`, `"level" does not fit: want trace, debug`},
		{abi.ToolLog, `{"extra":1,"level":"info","message":"m"}`, `"extra" is not known`},
		{abi.ToolLog, `{"Level":"warn","level":"info","message":"m"}`, `"Level" is not known`},
		{abi.ToolLog, `{"level":"info","message":1}`, `"message" does not fit`},
		{abi.ToolLog, `{"level":"info", "message":"m"}`, `not canonical`},
		{abi.ToolLog, `{"fields":{"a b":"c"},"level":"info","message":"m"}`, `"fields" does not fit`},
		{abi.ToolLog, `{"fields":{"a":1},"level":"info","message":"m"}`, `"fields" does not fit`},
		{abi.ToolLog, `[]`, `not a JSON object`},
		{abi.ToolLog, `null`, `not a JSON object`},
		{abi.ToolKVGet, `{"key":""}`, `"key" does not fit`},
		{abi.ToolKVGet, `{"key":"` + long + `"}`, `"key" does not fit`},
		{abi.ToolKVGet, `{"key":"a\n"}`, `"key" does not fit`},
		{abi.ToolKVGet, "{\"key\":\"a\u0085\"}", `"key" does not fit`},
		{abi.ToolKVGet, `{"key":"a","prefix":"b"}`, `"prefix" is not known`},
		{abi.ToolKVPut, `{"key":"a"}`, `"value" is missing`},
		{abi.ToolKVList, `{"limit":1001,"prefix":""}`, `"limit" does not fit`},
		{abi.ToolKVList, `{"limit":-1,"prefix":""}`, `"limit" does not fit`},
		{abi.ToolKVList, `{"limit":1.5,"prefix":""}`, `"limit" does not fit`},
		{abi.ToolFileWrite, `{"base64":"","path":"a","text":""}`, `exclude one another`},
		{abi.ToolFileWrite, `{"base64":"!","path":"a"}`, `"base64" does not fit`},
		{abi.ToolHTTPRequest, `{"method":"TRACE","url":"https://a.example/"}`, `"method" does not fit`},
		{abi.ToolHTTPRequest, `{"body":"","bodyBase64":"","method":"POST","url":"https://a.example/"}`, `exclude one another`},
		{abi.ToolHTTPRequest, `{"URL":"https://b.example/","method":"GET","url":"https://a.example/"}`, `"URL" is not known`},
		{abi.ToolHTTPRequest, `{"method":"GET","timeoutMs":600001,"url":"https://a.example/"}`, `"timeoutMs" does not fit`},
		{abi.ToolHTTPRequest, `{"headers":{"A":"b\r\nC: d"},"method":"GET","url":"https://a.example/"}`, `"headers" does not fit`},
		{abi.ToolHTTPRequest, `{"headers":{"A":"b\nC: d"},"method":"GET","url":"https://a.example/"}`, `"headers" does not fit`},
		{abi.ToolHTTPRequest, `{"headers":{"A: b\r\nC":"d"},"method":"GET","url":"https://a.example/"}`, `"headers" does not fit`},
		{abi.ToolHTTPRequest, `{"headers":{":path":"/x"},"method":"GET","url":"https://a.example/"}`, `"headers" does not fit`},
		{abi.ToolHTTPRequest, `{"method":"GET","url":"https://a.example/?a b"}`, `"url" does not fit`},
		{abi.ToolHTTPRequest, `{"method":"GET","url":"https://ä.example/"}`, `"url" does not fit`},
	}
	for _, c := range cases {
		call := &writ.ToolCall{Tenant: testTenant, Skill: testSkill, Execution: testExecution, Step: testStep}
		facts, err := writ.CallFactsOf(c.tool, []byte(c.args))
		if err != nil {
			continue // refused before; TestTheGate has that
		}
		call.CallFacts = *facts
		result, err := b.Perform(t.Context(), b.permit, call)
		if writ.IsCode(err, writ.CodeForbidden) {
			continue // a target that no permit covers
		}
		if err != nil {
			t.Errorf("%s %s: %v", c.tool, c.args, err)
			continue
		}
		wantFailure(t, result, abi.FailInvalid, writ.OutcomeNotDone)
		if !strings.Contains(result.Failure.Message, c.says) {
			t.Errorf("%s %s: %q does not say %q", c.tool, c.args, result.Failure.Message, c.says)
		}
	}
}

func TestArgumentsAreBounded(t *testing.T) {
	b := newBench(t, Options{MaxRequest: 10, MaxFile: 10}, writ.Capability{Tool: abi.ToolLog})
	limit := argumentsOverhead + jsonExpansion*10
	frame := len(`{"level":"info","message":""}`)
	if result := b.do(abi.ToolLog, abi.LogArgs{Level: "info", Message: strings.Repeat("x", limit-frame)}); result.Failure != nil {
		t.Errorf("at the limit: %v", result.Failure)
	}
	wantFailure(t, b.do(abi.ToolLog, abi.LogArgs{Level: "info", Message: strings.Repeat("x", limit-frame+1)}), abi.FailTooLarge, writ.OutcomeNotDone)
}

// memoryStore shows what was committed to it.
type memoryStore struct {
	mu        sync.Mutex
	documents map[string][]byte
	err       error
	gets      int
	listed    []writ.StoreQuery
}

func (s *memoryStore) commit(changes ...writ.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.documents == nil {
		s.documents = map[string][]byte{}
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(s.documents, c.Key)
		} else {
			s.documents[c.Key] = c.Value
		}
	}
}

func (s *memoryStore) Get(_ context.Context, tenant writ.TenantID, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if s.err != nil {
		return nil, s.err
	}
	if document, ok := s.documents[key]; ok && tenant == testTenant {
		return document, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, key, "is not there")
}

func (s *memoryStore) List(_ context.Context, q writ.StoreQuery) ([]writ.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = append(s.listed, q)
	if s.err != nil {
		return nil, s.err
	}
	var out []writ.Document
	for _, key := range slices.Sorted(maps.Keys(s.documents)) {
		if strings.HasPrefix(key, q.Prefix) && key > q.After && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, writ.Document{Key: key, Value: s.documents[key]})
		}
	}
	return out, nil
}

// FuzzArguments: whatever a guest sends, a call is an error, a refusal or a
// result that fits its schema; it never panics and never claims an effect that
// the permit does not cover.
func FuzzArguments(f *testing.F) {
	tools := writ.Tools()
	for i := range tools {
		f.Add(i, []byte(`{"key":"a","path":"a","prefix":"","method":"GET","url":"http://127.0.0.1/","value":"","level":"info","message":""}`))
	}
	f.Add(0, []byte(`{"path":"../x"}`))
	f.Add(2, []byte(`{"base64":"AA==","path":"a/b"}`))
	f.Add(3, []byte(`{"body":"x","headers":{"Host":"y"},"method":"POST","timeoutMs":1,"url":"http://[::ffff:127.0.0.1]:1/%2e"}`))
	f.Add(7, []byte(`{"key":"k","value":"\u0000"}`))
	f.Fuzz(func(t *testing.T, which int, args []byte) {
		tool := tools[((which%len(tools))+len(tools))%len(tools)].Name
		facts, err := writ.CallFactsOf(tool, args)
		if err != nil {
			return
		}
		b := newBench(t, Options{Store: &memoryStore{}, Resolver: answers{}, Timeout: 50 * time.Millisecond},
			writ.Capability{Tool: tool, Hosts: []string{"**"}, Methods: []string{facts.Target.Method}, Paths: []string{"/**", "**", "/"}, Prefixes: []string{""}})
		call := &writ.ToolCall{CallFacts: *facts, Tenant: testTenant, Skill: testSkill, Execution: testExecution, Step: testStep}
		result, err := b.Perform(t.Context(), b.permit, call)
		if err != nil {
			if code := writ.CodeOf(err); code != writ.CodeForbidden && code != writ.CodeInvalid {
				t.Fatalf("%s %q: %v", tool, args, err)
			}
			return
		}
		checkResult(t, tool, result)
		if result.Outcome == writ.OutcomeUnknown {
			t.Fatalf("%s %q: unknown without any server", tool, args)
		}
		for _, change := range result.Changes {
			if !strings.HasPrefix(change.Key, "kv/"+string(testSkill)+"/") {
				t.Fatalf("%s %q: changes %q", tool, args, change.Key)
			}
		}
	})
}

func ExampleSchemas() {
	schemas, err := Schemas()
	if err != nil {
		panic(err)
	}
	for _, s := range schemas {
		fmt.Println(s.Tool, s.Effect)
	}
	// Output:
	// file.list read
	// file.read read
	// file.write write-local
	// http.request write-external
	// kv.delete write-local
	// kv.get read
	// kv.list read
	// kv.put write-local
	// log none
}
