package host

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	. "github.com/writ-run/writ/host/wasmtest"
)

const mcpTools = `{"tools":[{"name":"now","description":"Says how it is.","inputSchema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]},` +
	`"annotations":{"readOnlyHint":true}},{"name":"later","inputSchema":{},"outputSchema":{"type":"object"}}]}`

func mcpRun(t *testing.T, module []byte, action, input string) *writ.GuestRun {
	t.Helper()
	run := pluginRun(t, module, action, input)
	run.ABI = abi.ExtismMCP1
	return run
}

func TestAPluginThatSpeaksMCP(t *testing.T) {
	say := func(result string) []byte {
		return Plugin(map[string]string{"list_tools": mcpTools, "call_tool": result})
	}
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for name, c := range map[string]struct {
			module []byte
			want   string
		}{
			"content":         {say(`{"content":[{"type":"text","text":"sunny"}],"_meta":{"a":1}}`), `{"content":[{"text":"sunny","type":"text"}]}`},
			"structured":      {say(`{"structuredContent":{"sky":"blue"},"content":null}`), `{"content":[],"structuredContent":{"sky":"blue"}}`},
			"an error":        {say(`{"content":[{"type":"image"},{"type":"text","text":"no such"},{"type":"text","text":"city"}],"isError":true}`), "! failed: no such\ncity"},
			"a silent error":  {say(`{"content":[],"isError":true}`), "! failed: the tool failed and did not say why"},
			"another answer":  {say(`{"answer":42}`), "! output_invalid: the output: it is not a result of tools/call"},
			"no object":       {say(`[1]`), "! output_invalid: the output: it is not a result of tools/call"},
			"the older form":  {Plugin(map[string]string{"describe": mcpTools, "call": `{"content":[]}`}), `{"content":[]}`},
			"what it is sent": {Complainer("call_tool"), `! failed: {"context":{"_meta":{},"id":1},"request":{"arguments":{"city":"Oslo"},"name":"now"}}`},
			"what older ones": {Complainer("call"), `! failed: {"method":"tools/call","params":{"arguments":{"city":"Oslo"},"name":"now"}}`},
			"no entry":        {Plugin(map[string]string{"run": "x"}), "! entrypoint_missing: the module does not export call without parameters and with an i32 result"},
		} {
			t.Run(name, func(t *testing.T) { wants(t, s, mcpRun(t, c.module, "now", `{"city":"Oslo"}`), c.want) })
		}
		if got := outcomeOf(t, s, mcpRun(t, say("no JSON"), "now", `{}`)); !strings.HasPrefix(got, "! output_invalid:") {
			t.Errorf("text that is no JSON is %s", got)
		}
	})
}

func TestAPluginListsItsTools(t *testing.T) {
	for name, open := range sandboxes {
		t.Run(name, func(t *testing.T) {
			s := opened(t, open, Options{})
			for _, pair := range [][2]string{{"list_tools", "call_tool"}, {"describe", "call"}} {
				d, err := s.Describe(context.Background(), Plugin(map[string]string{pair[0]: mcpTools, pair[1]: `{}`}))
				if err != nil || len(d.Actions) != 2 {
					t.Fatalf("%s: %+v, %v", pair[0], d, err)
				}
				now, later := d.Actions[0], d.Actions[1]
				if now.Name != "now" || now.Description != "Says how it is." || now.Input["required"] == nil || later.Input["type"] != "object" {
					t.Errorf("%s describes %+v", pair[0], d.Actions)
				}
				if structured := later.Output["properties"].(map[string]any)["structuredContent"]; structured == nil || len(later.Output["required"].([]any)) != 2 {
					t.Errorf("an output schema became %v", later.Output)
				}
			}
		})
	}
}

// An export that lists tools may use none of ours, and what it says is held to
// what a skill can be.
func TestAPluginsListIsHeldToLimits(t *testing.T) {
	s := opened(t, NewSandbox, Options{})
	tools := func(n int) string {
		return `{"tools":[` + strings.TrimSuffix(strings.Repeat(`{"name":"a"},`, n), ",") + `]}`
	}
	for list, ok := range map[string]bool{
		tools(0): false, tools(1): true, tools(maxMCPTools): true, tools(maxMCPTools + 1): false, `{}`: false, `[]`: false, `x`: false, `{"tools":{}}`: false,
	} {
		_, err := s.Describe(context.Background(), Plugin(map[string]string{"list_tools": list, "call_tool": `{}`}))
		if (err == nil) != ok || (err != nil && !writ.IsCode(err, writ.CodeSkillFailed)) {
			t.Errorf("%.40s is %v", list, err)
		}
	}
	g := New()
	send := g.Import(abi.ModuleExtism, "http_request", "ll", "l")
	g.Memory(1, 1)
	g.Func(Func{Export: "list_tools", Results: "i", Code: Code(I64(0), I64(0), Call(send), Op(Drop), I32(0))})
	g.Func(Func{Export: "call_tool", Results: "i", Code: I32(0)})
	if _, err := s.Describe(context.Background(), g.Bytes()); err == nil || !strings.Contains(err.Error(), "outside an action") {
		t.Errorf("a request while listing is %v", err)
	}
}

func TestWhatIsNotServedIsNamed(t *testing.T) {
	m := New()
	m.Import(abi.ModuleExtism, "alloc", "l", "l")
	m.Import("extism:host/user", "create_message", "l", "l")
	m.Import("env", "abort", "", "")
	facts, err := NewInspector().Inspect(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := Unserved(facts); len(got) != 2 || got[0].Name != "create_message" || got[1].Module != "env" {
		t.Errorf("unserved are %v", got)
	}
}

// Whatever a plug-in puts out is a canonical output, a failure or an error.
func FuzzMCPOutput(f *testing.F) {
	for _, seed := range []string{`{"content":[]}`, `{"content":[{"type":"text","text":"x"}],"isError":true}`, `{"structuredContent":null}`, `{"content":1}`, `null`, ``, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		output, failure, err := MCPOutput(raw)
		if err != nil || failure != nil {
			if len(output) > 0 || (failure != nil && len(failure.Message) > MaxFailure+3) {
				t.Errorf("%q gives %q with %v %v", raw, output, failure, err)
			}
			return
		}
		again, err := canon.JSON(output)
		if err != nil || !bytes.Equal(again, output) || !json.Valid(output) {
			t.Errorf("%q gives %q, which is not canonical (%v)", raw, output, err)
		}
	})
}
