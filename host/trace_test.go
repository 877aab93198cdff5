package host

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/wasm"
	. "github.com/writ-run/writ/host/wasmtest"
)

// tracing is a sandbox, and the traces that it tells.
func tracing(t *testing.T, open func(Options) (writ.Sandbox, error)) (writ.Sandbox, *[]string) {
	t.Helper()
	var heard []string
	s := opened(t, open, Options{GuestOutput: func(l GuestLine) {
		if l.Stream == StreamTrace {
			heard = append(heard, l.Text)
		}
	}})
	return s, &heard
}

// A trap says in which functions it was, in every language, the same at each run; and
// nothing of that is in the failure.
func TestTracesNameTheGuestsFunctions(t *testing.T) {
	want := map[string]string{
		"c": "trap > give_up", "rust": "conformance::trap > conformance::give_up", "assemblyscript": "conformance/trap",
		"go": "main.trap > main.giveUp",
	}
	modules := conformanceModules(t)
	for name, open := range sandboxes {
		t.Run(name, func(t *testing.T) {
			s, heard := tracing(t, open)
			for language, module := range modules {
				*heard = nil
				for range 3 {
					if got := outcomeOf(t, s, actionRun(t, module, "trap", `{}`)); strings.Contains(got, "trap >") || !strings.HasPrefix(got, "! trap: the guest trapped") {
						t.Errorf("%s: %s", language, got)
					}
				}
				if len(*heard) != 3 || (*heard)[0] != (*heard)[1] || (*heard)[1] != (*heard)[2] || !strings.Contains((*heard)[0], want[language]) {
					t.Errorf("%s: heard %q, want %q", language, *heard, want[language])
				}
				*heard = nil
				outcomeOf(t, s, actionRun(t, module, "echo", `{}`))
				outcomeOf(t, s, actionRun(t, module, "fail", `{"reason":"no"}`))
				if len(*heard) != 0 {
					t.Errorf("%s: a run that ends as it should left %q", language, *heard)
				}
			}
		})
	}
}

// failing gives a module whose writ_run gives failure and then traps if it is to.
func failing(failure string, traps bool) []byte {
	g := NewGuest(1, 1)
	fail := g.Import(abi.ModuleCore, abi.CoreFail, "ii", "")
	g.Data(0, []byte(failure))
	code := Code(I32(0), I32(int32(len(failure))), Call(fail), I32(1))
	if traps {
		code = Code(I32(0), I32(int32(len(failure))), Call(fail), []byte{0x00})
	}
	g.Func(Func{Export: abi.EntryRun, Results: "i", Code: code})
	return g.Bytes()
}

func TestAGuestMaySayWhereItFailed(t *testing.T) {
	long := strings.Repeat("x", 200)
	many := `"` + strings.Join(strings.Split(strings.Repeat("f ", 50), " "), `","`) + `"`
	for failure, want := range map[string]string{
		`{"code":"panic","message":"m","trace":["main.greet","main.parse"]}`:         "main.greet > main.parse",
		`{"code":"panic","message":"m","trace":["a\u001b[31mb > c","` + long + `"]}`: "a[31mb  c > " + long[:maxFunction],
		`{"code":"panic","message":"m","trace":[` + many + `]}`:                      strings.TrimSuffix(strings.Repeat("f > ", maxFrames), " > "),
		`{"code":"panic","message":"m"}`:                                             "",
		`{"code":"panic","message":"m","trace":[]}`:                                  "",
		`{"code":"panic","message":"m","trace":"not a list"}`:                        "",
		`{"code":"panic","message":"m","trace":{"0":"a"}}`:                           "",
	} {
		s, heard := tracing(t, NewSandbox)
		wants(t, s, runOf(t, failing(failure, false), `{}`), "! panic: m")
		if got := strings.Join(*heard, "|"); got != want {
			t.Errorf("%s: heard %q, want %q", failure, got, want)
		}
	}
}

func TestTracesOfModulesWithoutNames(t *testing.T) {
	s, heard := tracing(t, NewSandbox)
	module := failing(`{"code":"a","message":"b"}`, true)
	outcomeOf(t, s, runOf(t, module, `{}`))
	if len(*heard) != 1 || !strings.HasPrefix((*heard)[0], "$") {
		t.Errorf("heard %q", *heard)
	}
}

// namedAs is a module with a name section of the guest's choosing.
func namedAs(section string) []byte {
	module := failing(`{"code":"a","message":"b"}`, true)
	content := "\x04name" + section
	return append(append(module, 0, byte(len(content))), content...)
}

func TestNamesThatAreNone(t *testing.T) {
	for what, section := range map[string]string{
		"nothing":            "",
		"a cut subsection":   "\x01\x7f",
		"an endless count":   "\x01\x05\xff\xff\xff\xff\x0f",
		"a cut name":         "\x01\x04\x01\x01\x7fx",
		"bytes that no text": "\x01\x05\x01\x01\x02\xff\xfe",
		"another kind":       "\x02\x03\x01\x01\x00",
	} {
		s, heard := tracing(t, NewSandbox)
		outcomeOf(t, s, runOf(t, namedAs(section), `{}`))
		if len(*heard) != 1 || !strings.HasPrefix((*heard)[0], "$") {
			t.Errorf("%s: heard %q", what, *heard)
		}
	}
}

func TestTraceOf(t *testing.T) {
	module := append([]byte{}, wasm.Header...)
	names := "\x08"
	for i, name := range []string{"writ_run", "greet", "skill::deep::h0123456789abcdef", "a\x1bbc", "_ZN5skill4main17h0123456789abcdefE", "_ZN5skill4main", "core::panicking::panic_fmt", "hook"} {
		names += string([]byte{byte(i + 1), byte(len(name))}) + name
	}
	content := binary.AppendUvarint([]byte("\x04name\x01"), uint64(len(names)))
	content = append(content, names...)
	module = binary.AppendUvarint(append(module, 0), uint64(len(content)))
	module = append(module, content...)
	for _, c := range []struct {
		stack []uint32
		want  string
	}{
		{nil, ""},
		{[]uint32{1, 2, 3}, "greet > skill::deep"},
		{[]uint32{2, 4, 9}, "greet > abc > $9"},
		{[]uint32{2, 3, 3, 3, 2}, "greet > skill::deep (3 times) > greet"},
		{[]uint32{2, 1}, ""},
		{[]uint32{1, 2, 7, 8}, "greet > panic"},
		{[]uint32{5, 6}, "skill::main > _ZN5skill4main"},
	} {
		if got := traceOf(module, c.stack); got != c.want {
			t.Errorf("%v is %q, want %q", c.stack, got, c.want)
		}
	}
}

func FuzzFunctionNames(f *testing.F) {
	f.Add(namedAs("\x01\x05\x01\x01\x02ab"))
	f.Add(namedAs("\x01\x05\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, module []byte) {
		wanted := map[uint32]bool{0: true, 1: true, 7: true}
		for index := range wasm.FunctionNames(module, wanted) {
			if !wanted[index] {
				t.Errorf("function %d was not asked for", index)
			}
		}
		traceOf(module, []uint32{0, 1, 1, 7})
	})
}
