package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	. "github.com/writ-run/writ/host/wasmtest"
)

// goGuest builds testdata/goguest with the stock toolchain, once.
var goGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "goguest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	build.Dir = filepath.Join("testdata", "goguest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
})

func TestStockGoGuestRunsAndReachesNothing(t *testing.T) {
	module, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]bool{}
	for name, open := range sandboxes {
		var lines []string
		s := opened(t, open, Options{GuestOutput: func(l GuestLine) {
			lines = append(lines, fmt.Sprint(l.Execution, " ", l.Step, " ", l.Stream, " ", l.Text))
		}})
		for range 3 {
			output := outcomeOf(t, s, runOf(t, module, `{}`))
			if !strings.HasPrefix(output, `"0 2026-05-04T03:02:01.`) || !strings.Contains(output, "T04:32:01.") {
				t.Fatalf("%s: output %s", name, output)
			}
			outputs[output] = true
		}
		for _, want := range []string{"exe_test stp_test stdout hello stdout", "exe_test stp_test stderr hello stderr"} {
			if !slices.Contains(lines, want) {
				t.Errorf("%s: lines %q lack %q", name, lines, want)
			}
		}
		run := runOf(t, module, `{}`)
		run.Seed[31]++
		if outputs[outcomeOf(t, s, run)] {
			t.Errorf("%s: another seed gave the same output", name)
		}
	}
	if len(outputs) != 1 {
		t.Fatalf("runs of the same seed differ: %v", outputs)
	}
}

// letters is code that turns n bytes at an address into letters, in place.
func letters(at, n int32) []byte {
	var code []byte
	for i := at; i < at+n; i++ {
		code = append(code, Code(I32(i), I32(i), []byte{0x2d, 0, 0}, I32(15), Op(0x71), I32('a'), Op(I32Add), []byte{0x3a, 0, 0})...)
	}
	return code
}

// drawer gives what it draws from the host: 8 random bytes of _initialize, 8 of
// the run, and the wall clock, as letters. It calls log in between.
func drawer() []byte {
	g := NewGuest(1, 1)
	tool := g.Tool(abi.ToolLog)
	random := g.Import(abi.ModuleWASI, "random_get", "ii", "i")
	clock := g.Import(abi.ModuleWASI, "clock_time_get", "ili", "i")
	g.Data(0, []byte(`"________________________"{}`))
	g.Func(Func{Export: abi.EntryInitialize, Code: Code(I32(1), I32(8), Call(random), Op(Drop))})
	return g.Run(
		I32(9), I32(8), Call(random), Op(Drop),
		I32(26), I32(2), Call(tool), Op(Drop),
		I32(0), I64(0), I32(17), Call(clock), Op(Drop),
		letters(1, 24), I32(0), I32(26), Call(g.Output), I32(0),
	).Bytes()
}

func TestWhatTheGuestDrawsIsOfItsSeedAndTimes(t *testing.T) {
	module := drawer()
	now := canon.TimeOf(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC))
	draw := func(s writ.Sandbox, seed byte, start, reply writ.Time) (initial, random, clock string) {
		run := runOf(t, module, `{}`)
		run.Seed, run.Start = [32]byte{seed}, start
		run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
			return &writ.ToolReply{Body: []byte(`{}`), Now: reply}, nil
		}}
		output := outcomeOf(t, s, run)
		return output[1:9], output[9:17], output[17:25]
	}
	first := map[string]bool{}
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		i1, r1, c1 := draw(s, 1, now, 0)
		i2, r2, c2 := draw(s, 2, now, 0)
		_, _, later := draw(s, 1, now, now+1e9)
		_, _, earlier := draw(s, 1, now, now-1e9)
		_, _, moved := draw(s, 1, now+1e9, 0)
		first[i1+r1+c1] = true
		if i1 != i2 {
			t.Error("what _initialize draws depends on the step")
		}
		if r1 == r2 || r1 == i1 {
			t.Error("what the run draws does not depend on its seed alone")
		}
		if c1 != c2 || c1 == later || c1 != earlier || later != moved {
			t.Errorf("clock: %s %s, after a later reply %s, an earlier one %s, a later start %s", c1, c2, later, earlier, moved)
		}
	})
	if len(first) != 1 {
		t.Errorf("the implementations differ: %v", first)
	}
}

func TestRefusedWASI(t *testing.T) {
	for line := range strings.Lines(wasiRefused) {
		name, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		g := NewGuest(1, 1)
		f := g.Import(abi.ModuleWASI, name, params, "i")
		var args []byte
		for _, p := range params {
			args = append(args, map[rune][]byte{'i': I32(0), 'l': I64(0)}[p]...)
		}
		run := runOf(t, g.Run(args, Call(f)).Bytes(), `{}`)
		wants(t, opened(t, NewSandbox, Options{}), run, "! failed: the action ended with status 76")
	}
}

func TestWASIArguments(t *testing.T) {
	at := func(v ...int32) []byte {
		var code []byte
		for _, n := range v {
			code = append(code, I32(n)...)
		}
		return code
	}
	for name, c := range map[string]struct {
		function, params string
		args             []byte
		errno            int
	}{
		"empty arguments":       {"args_sizes_get", "ii", at(0, 4), wasiOK},
		"sizes outside":         {"environ_sizes_get", "ii", at(0, 65533), wasiFault},
		"clock resolution":      {"clock_res_get", "ii", at(1, 0), wasiOK},
		"resolution outside":    {"clock_res_get", "ii", at(1, -4), wasiFault},
		"no such clock":         {"clock_res_get", "ii", at(4, 0), wasiInvalid},
		"no such time":          {"clock_time_get", "ili", Code(I32(9), I64(0), I32(0)), wasiInvalid},
		"time outside":          {"clock_time_get", "ili", Code(I32(0), I64(0), I32(65529)), wasiFault},
		"random outside":        {"random_get", "ii", at(65535, 2), wasiFault},
		"preopened directory":   {"fd_prestat_get", "ii", at(3, 0), wasiBadFD},
		"write to a file":       {"fd_write", "iiii", at(3, 0, 0, 0), wasiBadFD},
		"write nothing":         {"fd_write", "iiii", at(1, 0, 0, 0), wasiOK},
		"write from outside":    {"fd_write", "iiii", at(1, 65530, 1, 0), wasiFault},
		"write too many":        {"fd_write", "iiii", at(1, 0, maxVectors+1, 0), wasiInvalid},
		"write a wild vector":   {"fd_write", "iiii", at(1, 512, 1, 0), wasiFault},
		"poll for nothing":      {"poll_oneoff", "iiii", at(0, 64, 0, 128), wasiInvalid},
		"poll a clock":          {"poll_oneoff", "iiii", at(0, 64, 1, 128), wasiOK},
		"poll a file":           {"poll_oneoff", "iiii", at(256, 64, 1, 128), wasiNotCapable},
		"poll no such clock":    {"poll_oneoff", "iiii", at(320, 64, 1, 128), wasiInvalid},
		"poll from outside":     {"poll_oneoff", "iiii", at(65500, 64, 1, 128), wasiFault},
		"poll to the outside":   {"poll_oneoff", "iiii", at(0, 65530, 1, 128), wasiFault},
		"poll and count beyond": {"poll_oneoff", "iiii", at(0, 64, 1, 65535), wasiFault},
		"poll too many":         {"poll_oneoff", "iiii", at(0, 64, maxVectors+1, 128), wasiInvalid},
		"yield":                 {"sched_yield", "", nil, wasiOK},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewGuest(1, 1)
			f := g.Import(abi.ModuleWASI, c.function, c.params, "i")
			g.Data(256+subscriptionTag, []byte{1}).Data(320+subscriptionClock, []byte{7}).Data(512, []byte{0, 0, 0, 0, 255, 255, 255, 255})
			run := runOf(t, g.Run(c.args, Call(f), I32(1000), Op(I32Add)).Bytes(), `{}`)
			wants(t, opened(t, NewSandbox, Options{}), run, fmt.Sprintf("! failed: the action ended with status %d", 1000+c.errno))
		})
	}
}

func TestPrintedLines(t *testing.T) {
	var lines []GuestLine
	g := &guest{console: console{tell: func(l GuestLine) { lines = append(lines, l) }}}
	g.print("stdout", []byte("one\ntw"))
	g.print("stderr", []byte("err"))
	g.print("stdout", []byte("o\n\n"))
	g.print("stdout", []byte(strings.Repeat("x", maxLine+1)))
	g.print("stdout", []byte("\xff\n"))
	g.flush()
	var got []string
	for _, l := range lines {
		got = append(got, l.Stream+":"+l.Text)
	}
	want := []string{"stdout:one", "stdout:two", "stdout:", "stdout:" + strings.Repeat("x", maxLine), "stdout:x\uFFFD", "stderr:err"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %.60q", got)
	}
	lines = nil
	for range 3 * MaxGuestOutput / 1000 {
		g.print("stdout", []byte(strings.Repeat("y", 999)+"\n"))
	}
	g.log("info", []byte("z"))
	total := 0
	for _, l := range lines {
		total += len(l.Text) + 1
	}
	if total > MaxGuestOutput || total < MaxGuestOutput-maxLine-1000 {
		t.Fatalf("%d bytes passed", total)
	}
}
