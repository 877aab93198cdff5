package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		if child, ok := children[os.Args[1]]; ok {
			os.Exit(child())
		}
	}
	goleak.VerifyTestMain(m)
}

// sandboxes are the implementations; every test of the suite runs on each.
var sandboxes = map[string]func(Options) (writ.Sandbox, error){
	"native": NewSandbox,
	"gosdk":  NewExtismSandbox,
}

func onEach(t *testing.T, test func(t *testing.T, s writ.Sandbox)) {
	t.Helper()
	for name, open := range sandboxes {
		t.Run(name, func(t *testing.T) {
			test(t, opened(t, open, Options{}))
		})
	}
}

// opened compiles in this process where o does not say otherwise: a process for
// each of the suite's many modules would take long.
func opened(t testing.TB, open func(Options) (writ.Sandbox, error), o Options) writ.Sandbox {
	t.Helper()
	o.CompileInProcessUnsafe = len(o.CompileCommand) == 0
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// gate records calls and answers each with answer.
type gate struct {
	mu     sync.Mutex
	calls  []string
	answer func(ctx context.Context, tool string, args []byte) (*writ.ToolReply, error)
}

// Call implements writ.ToolGate.
func (g *gate) Call(ctx context.Context, tool string, args []byte) (*writ.ToolReply, error) {
	g.mu.Lock()
	g.calls = append(g.calls, tool+" "+string(args))
	g.mu.Unlock()
	if g.answer == nil {
		return &writ.ToolReply{Body: []byte(`{}`)}, nil
	}
	return g.answer(ctx, tool, args)
}

// permitOf lets the module run with the tools.
func permitOf(module []byte, tools ...string) writ.Permit {
	scope := writ.PermitScope{
		Execution: "exe_test", Step: "stp_test",
		Skill: writ.SkillRef{Key: "test/guest", Version: "1.0.0", Module: canon.SHA256(module)},
	}
	for _, tool := range tools {
		scope.Capabilities = append(scope.Capabilities, abi.Capability{Tool: tool})
	}
	p, err := writ.MintPermit(scope, writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: abi.RiskLow}})
	if err != nil {
		panic(err) // of constants
	}
	return p
}

func permit(t testing.TB, module []byte, tools ...string) writ.Permit {
	t.Helper()
	return permitOf(module, tools...)
}

// runOf is a run of the module that tests then alter.
func runOf(t testing.TB, module []byte, input string) *writ.GuestRun {
	t.Helper()
	run := runOfPermit(module)
	run.Input = []byte(input)
	return run
}

// runOfPermit is runOf with the input {}, for a test without testing.TB.
func runOfPermit(module []byte) *writ.GuestRun {
	return &writ.GuestRun{
		Permit: permitOf(module), Module: module, Digest: canon.SHA256(module), ABI: abi.V1, Action: "act",
		Input: []byte("{}"), Seed: [32]byte{1}, Start: canon.TimeOf(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)),
		Gate: &gate{},
	}
}

func pluginRun(t testing.TB, module []byte, action, input string) *writ.GuestRun {
	t.Helper()
	run := runOf(t, module, input)
	run.ABI, run.Action = abi.Extism1, action
	return run
}

// outcomeOf is a result in one line: the output or the failure's code and message.
func outcomeOf(t testing.TB, s writ.Sandbox, run *writ.GuestRun) string {
	t.Helper()
	line, err := lineOf(s, run)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func lineOf(s writ.Sandbox, run *writ.GuestRun) (string, error) {
	result, err := s.Run(context.Background(), run)
	switch {
	case err != nil:
		return "", err
	case result.Failure != nil && result.Output != nil:
		return "", fmt.Errorf("output %q beside failure %v", result.Output, result.Failure)
	case result.Failure != nil:
		return fmt.Sprintf("! %s: %s", result.Failure.Code, result.Failure.Message), nil
	}
	return string(result.Output), nil
}

func wants(t testing.TB, s writ.Sandbox, run *writ.GuestRun, want string) {
	t.Helper()
	if got := outcomeOf(t, s, run); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func extismModule(t testing.TB, name string) []byte {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("testdata", "extism", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// silentGate answers everything and remembers nothing.
type silentGate struct{}

// Call implements writ.ToolGate.
func (*silentGate) Call(context.Context, string, []byte) (*writ.ToolReply, error) {
	return &writ.ToolReply{Body: []byte(`{}`)}, nil
}
