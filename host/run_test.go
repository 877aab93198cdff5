package host

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/host/wasmtest"
)

func TestEcho(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for _, input := range []string{`{}`, `{"a":[1,2,{"b":null}]}`, `"` + strings.Repeat("x", 300_000) + `"`} {
			wants(t, s, runOf(t, wasmtest.Echo(), input), input)
		}
	})
}

func TestActionNameAndCanonicalOutput(t *testing.T) {
	g := wasmtest.NewGuest(1, 1)
	g.Data(0, []byte(`"`))
	named := g.Run(wasmtest.I32(1), wasmtest.I32(100), wasmtest.Call(g.Action), wasmtest.Set(0),
		wasmtest.Get(0), wasmtest.I32(1), wasmtest.Op(wasmtest.I32Add), wasmtest.I32('"'), wasmtest.Store(),
		wasmtest.I32(0), wasmtest.Get(0), wasmtest.I32(2), wasmtest.Op(wasmtest.I32Add), wasmtest.Call(g.Output), wasmtest.I32(0)).Bytes()
	g = wasmtest.NewGuest(1, 1)
	spaced := g.Run(g.Say(`{ "b": 1.0, "a": "\u0041" }`)).Bytes()
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		wants(t, s, runOf(t, named, `{}`), `"act"`)
		wants(t, s, runOf(t, spaced, `{}`), `{"a":"A","b":1}`)
	})
}

func sayer(output string) []byte {
	g := wasmtest.NewGuest(1, 1)
	return g.Run(g.Say(output)).Bytes()
}

func failer(failure string, status int32) []byte {
	g := wasmtest.NewGuest(1, 1)
	g.Data(0, []byte(failure))
	return g.Run(wasmtest.I32(0), wasmtest.I32(int32(len(failure))), wasmtest.Call(g.Fail), wasmtest.I32(status)).Bytes()
}

func silent(status int32) []byte { return wasmtest.NewGuest(1, 1).Run(wasmtest.I32(status)).Bytes() }

var saidCases = map[string]struct {
	module []byte
	want   string
}{
	"a failure":                     {wasmtest.Fail("not_found"), "! not_found: the guest says no"},
	"a failure with status 0":       {failer(`{"code":"odd","message":"m"}`, 0), "! odd: m"},
	"a failure that is none":        {failer(`{"code":"Not a code"}`, 1), "! output_invalid: the guest's failure has no code of lower-case letters, digits, _, . and -"},
	"a failure that is not JSON":    {failer(`no`, 1), "! output_invalid: the guest's failure: json: / (byte 0): invalid character 'o' in literal null (expecting 'u')"},
	"a status":                      {silent(-7), "! failed: the action ended with status 4294967289"},
	"nothing":                       {silent(0), "! output_invalid: the action ended without an output"},
	"no JSON":                       {sayer(`{`), "! output_invalid: the output: json: / (byte 1): the document ends too early"},
	"a key twice":                   {sayer(`{"a":1,"a":2}`), `! output_invalid: the output: json: /a (byte 10): key "a" stands twice`},
	"a number beyond what is exact": {sayer(`9007199254740993`), "! output_invalid: the output: json: / (byte 16): integer 9007199254740993 is beyond 2^53-1: write it as a decimal string"},
	"no entry":                      {wasmtest.New().Bytes(), "! entrypoint_missing: the module does not export writ_run without parameters and with an i32 result"},
	"an unknown import": {
		func() []byte {
			g := wasmtest.NewGuest(1, 1)
			g.Import("env", "abort", "", "")
			return g.Run(wasmtest.I32(0)).Bytes()
		}(), "! module_invalid: it imports the func env abort, which this host does not have",
	},
	"an unknown tool": {wasmtest.ToolCaller("shell.run"), "! module_invalid: it imports the func writ:tool/v1 shell.run, which this host does not have"},
	"an imported memory": {
		wasmtest.New().ImportRaw("env", "memory", []byte{2, 0, 1}).Bytes(),
		"! module_invalid: it imports the memory env memory, which this host does not have",
	},
	"no module": {[]byte("text"), "! module_invalid: byte 0: module: inspect: not a WebAssembly module of version 1"},
	"code that is not valid": {
		wasmtest.NewGuest(1, 1).Run(wasmtest.I64(1)).Bytes(),
		"! module_invalid: it is not valid: invalid function[0] export[\"writ_run\"]: cannot use i64 as result[0] type i32",
	},
}

func TestWhatAGuestSays(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for name, c := range saidCases {
			t.Run(name, func(t *testing.T) { wants(t, s, runOf(t, c.module, `{}`), c.want) })
		}
	})
}

func TestEveryTool(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for _, tool := range writ.Tools() {
			run := runOf(t, wasmtest.ToolCaller(tool.Name), `{"b":1,"a":2}`)
			g := &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
				return &writ.ToolReply{Body: []byte(`{"tool":true}`)}, nil
			}}
			run.Gate = g
			wants(t, s, run, `{"tool":true}`)
			if want := []string{tool.Name + ` {"a":2,"b":1}`}; !slices.Equal(g.calls, want) {
				t.Fatalf("calls %q, want %q", g.calls, want)
			}
		}
	})
}

func TestToolFailuresReachTheGuest(t *testing.T) {
	module := wasmtest.ToolCaller(abi.ToolKVGet)
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		// The permit has no such capability: the gate, which journals, says no.
		run := runOf(t, module, `{"key":"k"}`)
		g := &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
			return &writ.ToolReply{Failure: &abi.Failure{Code: abi.FailDenied, Message: "not granted", Fix: "grant it"}}, nil
		}}
		run.Gate = g
		wants(t, s, run, "! denied: not granted")
		if len(g.calls) != 1 {
			t.Fatalf("calls %q", g.calls)
		}
		// Arguments that are not canonical JSON never get there.
		run = runOf(t, module, `{"key":"k","key":"l"}`)
		run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
			return nil, errors.New("the gate was reached")
		}}
		wants(t, s, run, `! invalid: arguments: json: /key (byte 16): key "key" stands twice`)
		run = runOf(t, module, `"`+strings.Repeat("x", MaxArguments-2)+`"`)
		wants(t, s, run, `{}`)
		run = runOf(t, module, `"`+strings.Repeat("x", MaxArguments-1)+`"`)
		wants(t, s, run, "! too_large: the arguments are larger than 4 MiB")
	})
}

func TestGateErrorEndsTheRunUnchanged(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		stop := writ.Errorf(writ.CodeIndeterminate, "tool", "nobody knows")
		run := runOf(t, wasmtest.ToolCaller(abi.ToolKVPut), `{}`)
		run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) { return nil, stop }}
		result, err := s.Run(context.Background(), run)
		if result != nil || err != error(stop) {
			t.Fatalf("got %v, %v", result, err)
		}
		run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) { return nil, nil }}
		if _, err := s.Run(context.Background(), run); writ.CodeOf(err) != writ.CodeInternal {
			t.Fatalf("no answer at all: %v", err)
		}
	})
}

func TestPermits(t *testing.T) {
	module := wasmtest.ToolCaller(abi.ToolKVGet)
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for name, alter := range map[string]func(*writ.GuestRun){
			"none":               func(r *writ.GuestRun) { r.Permit = writ.Permit{} },
			"closed":             func(r *writ.GuestRun) { r.Permit.Close() },
			"for another module": func(r *writ.GuestRun) { r.Permit = permit(t, wasmtest.Echo()) },
			"withdrawn in the run": func(r *writ.GuestRun) {
				two := wasmtest.NewGuest(1, 0)
				tool := two.Tool(abi.ToolKVGet)
				r.Module = two.Run(two.CallTool(tool), wasmtest.Op(wasmtest.Drop), two.CallTool(tool)).Bytes()
				r.Digest, r.Permit = canon.SHA256(r.Module), permit(t, r.Module)
				calls := 0
				r.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
					r.Permit.Close()
					if calls++; calls > 1 {
						t.Error("a second call passed")
					}
					return &writ.ToolReply{Body: []byte(`{}`)}, nil
				}}
			},
		} {
			t.Run(name, func(t *testing.T) {
				run := runOf(t, module, `{}`)
				alter(run)
				result, err := s.Run(context.Background(), run)
				if result != nil || writ.CodeOf(err) != writ.CodeForbidden {
					t.Fatalf("got %v, %v", result, err)
				}
			})
		}
	})
}

func TestRunsThatAreNone(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for name, c := range map[string]struct {
			alter func(*writ.GuestRun)
			code  writ.Code
		}{
			"no gate":                  {func(r *writ.GuestRun) { r.Gate = nil }, writ.CodeInvalid},
			"no interface":             {func(r *writ.GuestRun) { r.ABI = "" }, writ.CodeInvalid},
			"a limit above its bound":  {func(r *writ.GuestRun) { r.Limits.Memory = MaxMemory + 1 }, writ.CodeInvalid},
			"a negative limit":         {func(r *writ.GuestRun) { r.Limits.Calls = -1 }, writ.CodeInvalid},
			"bytes of another digest":  {func(r *writ.GuestRun) { r.Module = wasmtest.Fail("x") }, writ.CodeTampered},
			"bytes that were cut away": {func(r *writ.GuestRun) { r.Module = nil }, writ.CodeTampered},
		} {
			t.Run(name, func(t *testing.T) {
				run := runOf(t, wasmtest.Echo(), `{}`)
				c.alter(run)
				if result, err := s.Run(context.Background(), run); result != nil || writ.CodeOf(err) != c.code {
					t.Fatalf("got %v, %v, want %s", result, err, c.code)
				}
			})
		}
	})
}

func TestDescribe(t *testing.T) {
	described := func(add func(g *wasmtest.Guest, tool uint32)) []byte {
		g := wasmtest.NewGuest(1, 1)
		add(g, g.Tool(abi.ToolKVGet))
		return g.Bytes()
	}
	good := described(func(g *wasmtest.Guest, _ uint32) {
		g.Export(abi.EntryDescribe, g.Say(`{"actions":[{"name":"a","input":{"type":"object"},"output":{}}]}`))
	})
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		d, err := s.Describe(context.Background(), good)
		if err != nil || len(d.Actions) != 1 || d.Actions[0].Name != "a" || d.Actions[0].Input["type"] != "object" {
			t.Fatalf("got %+v, %v", d, err)
		}
		for name, c := range map[string]struct {
			module []byte
			code   writ.Code
		}{
			"no export":     {wasmtest.Echo(), writ.CodeNotFound},
			"no module":     {nil, writ.CodeInvalid},
			"not the form":  {described(func(g *wasmtest.Guest, _ uint32) { g.Export(abi.EntryDescribe, g.Say(`[]`)) }), writ.CodeSkillFailed},
			"calls a tool":  {described(func(g *wasmtest.Guest, tool uint32) { g.Export(abi.EntryDescribe, g.CallTool(tool)) }), writ.CodeSkillFailed},
			"says it fails": {described(func(g *wasmtest.Guest, _ uint32) { g.Export(abi.EntryDescribe, wasmtest.I32(3)) }), writ.CodeSkillFailed},
		} {
			if d, err := s.Describe(context.Background(), c.module); d != nil || writ.CodeOf(err) != c.code {
				t.Errorf("%s: got %+v, %v, want %s", name, d, err, c.code)
			}
		}
	})
}
