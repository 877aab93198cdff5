//go:build !wasip1

package sdk_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/scaffold"
	"github.com/writ-run/writ/sdk/sdktest"
)

// gate lets the fake host of the tests answer a real sandbox.
type gate struct{ host *sdktest.Host }

func (g gate) Call(_ context.Context, tool string, args []byte) (*writ.ToolReply, error) {
	body, failure := g.host.Call(tool, args)
	return &writ.ToolReply{Body: body, Failure: failure}, nil
}

type guest struct {
	box    writ.Sandbox
	module []byte
	traces []string
}

func buildGuest(t *testing.T) *guest {
	t.Helper()
	path, err := scaffold.BuildTo(t.Context(), filepath.Join("testdata", "guest"), filepath.Join(t.TempDir(), "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{module: module}
	g.box, err = host.NewSandbox(host.Options{CompileInProcessUnsafe: true, GuestOutput: func(l host.GuestLine) {
		if l.Stream == host.StreamTrace {
			g.traces = append(g.traces, l.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.box.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (g *guest) run(t *testing.T, h *sdktest.Host, action string, input any) *writ.GuestResult {
	t.Helper()
	raw, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	digest := canon.SHA256(g.module)
	permit, err := writ.MintPermit(
		writ.PermitScope{Tenant: "default", Execution: "exe_a", Step: "stp_a", Skill: writ.SkillRef{Module: digest}},
		writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow}, Input: raw})
	if err != nil {
		t.Fatal(err)
	}
	defer permit.Close()
	result, err := g.box.Run(t.Context(), &writ.GuestRun{
		Permit: permit, Module: g.module, Digest: digest, ABI: abi.V1, Action: action, Input: raw, Gate: gate{h},
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// The SDK's side of the wire against the real host's.
func TestInTheSandbox(t *testing.T) {
	g := buildGuest(t)
	t.Run("imports", func(t *testing.T) {
		var all []string
		for _, tool := range writ.Tools() {
			all = append(all, tool.Name)
		}
		if tools, err := scaffold.Tools(g.module); err != nil || !slices.Equal(tools, all) {
			t.Errorf("a guest that uses every tool imports %v, want %v (%v)", tools, all, err)
		}
	})
	t.Run("describe", func(t *testing.T) {
		d, err := g.box.Describe(t.Context(), g.module)
		if err != nil || len(d.Actions) != 4 || d.Actions[2].Name != "echo" {
			t.Fatalf("Describe = %+v, %v", d, err)
		}
		raw, err := json.Marshal(d.Actions[2].Input)
		want := `{"additionalProperties":false,"properties":{"text":{"type":"string"}},"required":["text"],"type":"object"}`
		if err != nil || string(raw) != want {
			t.Errorf("echo takes %s, %v", raw, err)
		}
	})
	t.Run("tools", func(t *testing.T) { everyTool(t, g) })
	t.Run("together", func(t *testing.T) {
		result := g.run(t, sdktest.New(t), "together", struct{}{})
		if result.Failure != nil || strings.Trim(string(result.Output), `{}[]",:lines`) != "" {
			t.Errorf("together = %s, %v", result.Output, result.Failure)
		}
	})
	t.Run("sizes", func(t *testing.T) {
		for _, size := range []int{0, 1, 4<<10 - 12, 4<<10 - 11, 4<<10 - 10, 64 << 10} {
			want := text{strings.Repeat("x", size)}
			result := g.run(t, sdktest.New(t), "echo", want)
			var got text
			if result.Failure != nil || json.Unmarshal(result.Output, &got) != nil || got != want {
				t.Errorf("echo of %d bytes: %d bytes, %v", size, len(got.Text), result.Failure)
			}
		}
	})
	t.Run("panic", func(t *testing.T) {
		result := g.run(t, sdktest.New(t), "crash", text{"oh no"})
		if f := result.Failure; f == nil || *f != (abi.Failure{Code: sdk.CodePanic, Message: "oh no"}) {
			t.Errorf("crash = %s, %+v", result.Output, f)
		}
		if len(g.traces) != 1 || !strings.HasPrefix(g.traces[0], "main.") {
			t.Errorf("it crashed at %q", g.traces)
		}
	})
}

type text struct {
	Text string `json:"text"`
}

func everyTool(t *testing.T, g *guest) {
	h := sdktest.New(t).ReplyHTTP("GET", "https://example.com/", abi.HTTPResponse{Body: strings.Repeat("b", 100_000)}).
		Skill("acme/other#run", func(input json.RawMessage) (any, *abi.Failure) { return "heard " + string(input), nil })
	result := g.run(t, h, "tools", struct{}{})
	if result.Failure != nil {
		t.Fatal(result.Failure)
	}
	var got struct{ Lines []string }
	if err := json.Unmarshal(result.Output, &got); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"put: <nil>", "get: one true <nil>", "list: [a/1] false <nil>", "delete: true <nil>",
		"write: <nil>", "read: [255 254] <nil>", "files: [{f false 2}] <nil>",
		"absent: not_found: absent: there is no such file", "http: 200 100000", "said: m1 <nil>", `skill: heard "word" <nil>`,
	}
	if !slices.Equal(got.Lines, want) {
		t.Errorf("said %q, want %q", got.Lines, want)
	}
	var called []string
	for _, call := range h.Calls("") {
		called = append(called, call.Tool)
	}
	wantCalls := []string{"log", "kv.put", "kv.get", "kv.list", "kv.delete", "file.write", "file.read", "file.list", "file.read", "http.request", "message.send", "skill.call"}
	if !slices.Equal(called, wantCalls) {
		t.Errorf("called %v, want %v", called, wantCalls)
	}
}
