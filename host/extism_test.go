package host

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	. "github.com/writ-run/writ/host/wasmtest"
)

func TestPluginsOfTheExtismSuite(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for name, c := range map[string]struct{ module, action, input, want string }{
			"text in, JSON out":  {"count_vowels", "count_vowels", `{"input":"Hello, World!"}`, `{"count":3,"total":3,"vowels":"aeiouAEIOU"}`},
			"JSON in":            {"count_vowels", "count_vowels", `{"input":["a","e"]}`, `{"count":4,"total":4,"vowels":"aeiouAEIOU"}`},
			"text out":           {"hello", "run_test", `{}`, `"Hello, world!"`},
			"an error":           {"fail", "run_test", `{}`, "! failed: Some error message"},
			"input length":       {"input_offset", "input_offset_length", `{"input":"twelve bytes"}`, `"\f\u0000\u0000\u0000\u0000\u0000\u0000\u0000"`},
			"variables":          {"var", "run_test", `{}`, `"a: 0"`},
			"log":                {"log", "run_test", `{}`, `""`},
			"an unknown action":  {"hello", "nothing", `{}`, "! entrypoint_missing: the module does not export nothing without parameters and with an i32 result"},
			"an action by trick": {"hello", "memory", `{}`, "! entrypoint_missing: the module does not export memory without parameters and with an i32 result"},
		} {
			t.Run(name, func(t *testing.T) {
				wants(t, s, pluginRun(t, extismModule(t, c.module), c.action, c.input), c.want)
			})
		}
	})
}

// Some 100,000 blocks: go-sdk takes 10 s for them, its default of a step.
func TestPluginThatAllocatesMuch(t *testing.T) {
	wants(t, opened(t, NewSandbox, Options{}), pluginRun(t, extismModule(t, "alloc"), "run_test", `{}`), `""`)
}

func TestPluginLogs(t *testing.T) {
	for name, open := range sandboxes {
		var got []string
		s := opened(t, open, Options{GuestOutput: func(l GuestLine) { got = append(got, l.Stream+" "+l.Level+" "+l.Text) }})
		wants(t, s, pluginRun(t, extismModule(t, "log"), "run_test", `{}`), `""`)
		if want := []string{"log info this is an info log", "log warn this is a warning log", "log error this is an error log"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestPluginHTTPIsTheTool(t *testing.T) {
	module := extismModule(t, "http_headers")
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		run := pluginRun(t, module, "http_get", `{"input":"{\"url\":\"https://example.com/a\",\"headers\":{\"X-A\":\"b\"},\"method\":\"get\"}"}`)
		answer := &writ.ToolReply{Body: []byte(`{"body":"hi","headers":{"content-type":"text/plain"},"status":201}`)}
		calls := &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) { return answer, nil }}
		run.Gate = calls
		got := outcomeOf(t, s, run)
		if want := `{"content-type":"text/plain"}`; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		if len(calls.calls) != 1 || !strings.HasPrefix(calls.calls[0], `http.request {"headers":{`) || !strings.Contains(calls.calls[0], `"method":"GET","url":"https://example.com/a"`) {
			t.Fatalf("calls %q", calls.calls)
		}
		answer = &writ.ToolReply{Failure: &abi.Failure{Code: abi.FailDenied, Message: "not granted"}}
		wants(t, s, run, "! denied: not granted")
	})
}

// requester is a plug-in that posts bytes and gives status and body back.
func requester(request, body string) []byte {
	m := New()
	alloc := m.Import(abi.ModuleExtism, "alloc", "l", "l")
	store := m.Import(abi.ModuleExtism, "store_u8", "li", "")
	send := m.Import(abi.ModuleExtism, "http_request", "ll", "l")
	length := m.Import(abi.ModuleExtism, "length", "l", "l")
	status := m.Import(abi.ModuleExtism, "http_status_code", "", "i")
	output := m.Import(abi.ModuleExtism, "output_set", "ll", "")
	put := func(text string, local uint32) []byte {
		code := Code(I64(int64(len(text))), Call(alloc), Set(local))
		for i := range len(text) {
			code = append(code, Code(Get(local), I64(int64(i)), Op(I64Add), I32(int32(text[i])), Call(store))...)
		}
		return code
	}
	m.Func(Func{Export: "send", Results: "i", Locals: "lll", Code: Code(
		put(request, 0), put(body, 1), Get(0), Get(1), Call(send), Set(2),
		Get(2), Get(2), Call(length), Call(output), Call(status), I32(200), Op(I32Sub),
	)})
	return m.Bytes()
}

func TestPluginHTTPBodies(t *testing.T) {
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for _, c := range []struct{ body, args, reply, want string }{
			{"text", `{"body":"text","method":"POST","url":"u"}`, `{"status":200,"headers":{},"body":"answer"}`, `"answer"`},
			{"\xff\x00", `{"bodyBase64":"` + base64.StdEncoding.EncodeToString([]byte("\xff\x00")) + `","method":"POST","url":"u"}`, `{"status":200,"headers":{},"bodyBase64":"IlgiCg=="}`, `"X"`},
			{"", `{"method":"POST","url":"u"}`, `{"status":200,"headers":{}}`, `""`},
			{"", `{"method":"POST","url":"u"}`, `{"status":404,"headers":{},"body":"none"}`, "! failed: the action ended with status 204"},
		} {
			run := pluginRun(t, requester(`{"url":"u","method":"post"}`, c.body), "send", `{}`)
			calls := &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
				return &writ.ToolReply{Body: []byte(c.reply)}, nil
			}}
			run.Gate = calls
			wants(t, s, run, c.want)
			if calls.calls[0] != "http.request "+c.args {
				t.Fatalf("call %s, want %s", calls.calls[0], c.args)
			}
		}
		run := pluginRun(t, requester(`not JSON`, ""), "send", `{}`)
		wants(t, s, run, "! invalid: http_request: the request is not an object with url, method and headers")
		run = pluginRun(t, requester(`{}`, ""), "send", `{}`)
		run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
			return &writ.ToolReply{Body: []byte(`[]`)}, nil
		}}
		if _, err := s.Run(context.Background(), run); writ.CodeOf(err) != writ.CodeInternal {
			t.Fatalf("a result that is no response: %v", err)
		}
	})
}

func TestHostilePlugins(t *testing.T) {
	plugin := func(code func(f map[string]uint32) []byte) []byte {
		m := New()
		f := map[string]uint32{}
		for name, types := range map[string][2]string{
			"alloc": {"l", "l"}, "free": {"l", ""}, "load_u64": {"l", "l"}, "store_u64": {"ll", ""}, "output_set": {"ll", ""},
			"var_set": {"ll", ""}, "var_get": {"l", "l"}, "log_info": {"l", ""}, "error_set": {"l", ""},
		} {
			f[name] = m.Import(abi.ModuleExtism, name, types[0], types[1])
		}
		m.Func(Func{Export: "run", Results: "i", Locals: "l", Code: code(f)})
		return m.Bytes()
	}
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for name, c := range map[string]struct {
			code func(f map[string]uint32) []byte
			want string
		}{
			"loads from nowhere": {func(f map[string]uint32) []byte { return Code(I64(1<<32-8), Call(f["load_u64"]), Op(Drop), I32(0)) }, "! trap: the guest trapped"},
			"stores to nowhere":  {func(f map[string]uint32) []byte { return Code(I64(1<<31), I64(1), Call(f["store_u64"]), I32(0)) }, "! trap: the guest trapped"},
			"frees what is none": {func(f map[string]uint32) []byte { return Code(I64(77), Call(f["free"]), I32(0)) }, `""`},
			"allocates for ever": {func(f map[string]uint32) []byte {
				return Code(Repeat(I64(1<<20), Call(f["alloc"]), Op(0x50), Op(0x45), Op(0x0d, 0)), Op(Unreachable))
			}, "! memory_limit: the guest needed more memory than the step's limit"},
			"allocates all": {func(f map[string]uint32) []byte {
				return Code(I64(64<<20), Call(f["alloc"]), Op(0x50), If(Op(Unreachable)), I32(0))
			}, "! memory_limit: the guest needed more memory than the step's limit"},
			"fills its variables": {func(f map[string]uint32) []byte {
				return Code(I64(8), Call(f["alloc"]), I64(MaxVars), Call(f["alloc"]), Call(f["var_set"]), I32(0))
			}, "! trap: the guest trapped"},
			"nearly fills them": {func(f map[string]uint32) []byte {
				return Code(I64(8), Call(f["alloc"]), I64(MaxVars-varOverhead-9), Call(f["alloc"]), Call(f["var_set"]), I32(0))
			}, `""`},
			"reads a missing one": {func(f map[string]uint32) []byte { return Code(I64(8), Call(f["alloc"]), Call(f["var_get"]), Op(0xa7)) }, `""`},
			"logs nothing":        {func(f map[string]uint32) []byte { return Code(I64(0), Call(f["log_info"]), I32(0)) }, `""`},
			"an empty error":      {func(f map[string]uint32) []byte { return Code(I64(0), Call(f["error_set"]), I32(2)) }, "! failed: the action ended with status 2"},
			"outputs beyond limit": {func(f map[string]uint32) []byte {
				return Code(I64(2<<20), Call(f["alloc"]), I64(2<<20), Call(f["output_set"]), I32(0))
			}, "! output_limit: the output is larger than the step's limit"},
		} {
			t.Run(name, func(t *testing.T) {
				run := pluginRun(t, plugin(c.code), "run", `{}`)
				run.Limits.Memory = 16 << 20
				wants(t, s, run, c.want)
			})
		}
	})
}

func TestPluginInputAndOutput(t *testing.T) {
	for input, want := range map[string]string{
		`{"input":"a\nb"}`: "a\nb", `{"input":""}`: "", `{"input":1}`: `{"input":1}`, `{"input":null}`: `{"input":null}`,
		`{"input":"a","x":1}`: `{"input":"a","x":1}`, `{"other":"a"}`: `{"other":"a"}`, `"input"`: `"input"`, `null`: `null`,
	} {
		if got := string(ExtismInput([]byte(input))); got != want {
			t.Errorf("input %s gave %q, want %q", input, got, want)
		}
	}
	for output, want := range map[string]string{
		`{ "b":1, "a":2 }`: `{"a":2,"b":1}`, `text`: `"text"`, ``: `""`, `12`: `12`, `{"a":`: `"{\"a\":"`,
		"\xff": "error", `{"a":1,"a":1}`: "error", `9007199254740993`: "error",
	} {
		got, err := ExtismOutput([]byte(output))
		if err != nil {
			got = []byte("error")
		}
		if string(got) != want {
			t.Errorf("output %q gave %s, want %s", output, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		input, err := canon.MarshalJSON(map[string]string{"input": text})
		if err == nil && string(ExtismInput(input)) != text {
			t.Fatalf("%q came as %q", text, ExtismInput(input))
		}
	})
}

// The kernel against what it promises: blocks do not overlap, hold what was
// written, read as zeros at first, and all of them stay below the limit.
func TestKernelBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &guest{memory: memories{limit: 8 << 10}}
		m, k := &g.memory, &kernel{g: g}
		live := map[uint64][]byte{}
		t.Repeat(map[string]func(*rapid.T){
			"alloc": func(t *rapid.T) {
				n := rapid.Uint64Range(0, 600).Draw(t, "length")
				offset := k.alloc(n)
				if offset == 0 {
					return
				}
				if _, twice := live[offset]; twice || k.length(offset) != n {
					t.Fatalf("block %d of %d: twice %v, length %d", offset, n, twice, k.length(offset))
				}
				for _, b := range k.at(offset, n) {
					if b != 0 {
						t.Fatal("a new block holds old bytes")
					}
				}
				content := rapid.SliceOfN(rapid.Byte(), int(n), int(n)).Draw(t, "content")
				copy(k.at(offset, n), content)
				live[offset] = content
			},
			"free": func(t *rapid.T) {
				offset := rapid.Uint64Range(0, 9000).Draw(t, "offset")
				if known := slices.Sorted(maps.Keys(live)); len(known) > 0 && offset > 100 {
					offset = known[int(offset)%len(known)]
				}
				k.release(offset)
				delete(live, offset)
			},
			"reset": func(t *rapid.T) {
				if rapid.IntRange(0, 20).Draw(t, "rarely") == 0 {
					k.reset()
					clear(live)
				}
			},
			"": func(t *rapid.T) {
				for offset, content := range live {
					if !slices.Equal(k.read(offset), content) {
						t.Fatalf("block %d changed", offset)
					}
				}
				if m.used > m.limit || m.used < 0 {
					t.Fatalf("%d of %d used", m.used, m.limit)
				}
			},
		})
	})
}

func FuzzWhatGuestsSay(f *testing.F) {
	for _, said := range []string{`{"code":"a","message":"b"}`, `{"code":"A"}`, `{"a":1,"a":2}`, "\xff", `1e400`, ``, `"\ud800"`} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		if failure, _, err := parseFailure(said); (failure == nil) == (err == nil) {
			t.Fatalf("%v, %v", failure, err)
		}
		output, err := ExtismOutput(said)
		if err != nil {
			return
		}
		if again, err := canon.JSON(output); err != nil || string(again) != string(output) {
			t.Fatalf("output %q is not canonical: %q, %v", output, again, err)
		}
	})
}
