package toolbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

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

// unfit are arguments that a target can be read from, and no schema admits.
var unfit = []struct{ tool, args, says string }{
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
	{abi.ToolKVGet, `{"key":"` + strings.Repeat("k", 513) + `"}`, `"key" does not fit`},
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

func TestArgumentsThatDoNotFit(t *testing.T) {
	b := newBench(t, Options{Store: &memoryStore{}}, writ.Capability{Tool: abi.ToolLog},
		every(abi.ToolKVGet), every(abi.ToolKVPut), every(abi.ToolKVList), every(abi.ToolFileWrite),
		writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"**"}, Methods: []string{"GET", "POST", "TRACE"}, Paths: []string{"/**", "/"}})
	for _, c := range unfit {
		call := &writ.ToolCall{Tenant: testTenant, Skill: testSkill, Execution: testExecution, Step: testStep}
		facts, err := writ.CallFactsOf(c.tool, []byte(c.args))
		if err != nil {
			t.Errorf("%s %s: refused before the schema: %v", c.tool, c.args, err)
			continue
		}
		call.CallFacts = *facts
		result, err := b.Perform(t.Context(), b.permit, call)
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
	// message.send write-external
	// skill.call none
}
