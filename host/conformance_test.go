package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/writ-run/writ/sdk/scaffold"
)

// conformanceDir has the conformance skill in each language; its README says what
// the actions do.
const conformanceDir = "../examples/conformance"

// conformanceGo builds the skill in Go, once.
var conformanceGo = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path, err := scaffold.BuildTo(context.Background(), filepath.Join(conformanceDir, "go"), filepath.Join(dir, "go.wasm"))
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// conformanceModules are the modules by language.
func conformanceModules(t testing.TB) map[string][]byte {
	t.Helper()
	golang, err := conformanceGo()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string][]byte{"go": golang}
	files, err := filepath.Glob(filepath.Join(conformanceDir, "built", "*.wasm"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no built modules: %v", err)
	}
	for _, file := range files {
		module, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		modules[strings.TrimSuffix(filepath.Base(file), ".wasm")] = module
	}
	return modules
}

func actionRun(t testing.TB, module []byte, action, input string) *writ.GuestRun {
	t.Helper()
	run := runOf(t, module, input)
	run.Action = action
	return run
}

// store answers kv.put and kv.get as a store does, and log with nothing.
func store() *gate {
	values := map[string]string{}
	return &gate{answer: func(_ context.Context, tool string, args []byte) (*writ.ToolReply, error) {
		var put abi.KVPut
		if err := json.Unmarshal(args, &put); err != nil {
			return nil, err
		}
		switch tool {
		case abi.ToolKVPut:
			values[put.Key] = put.Value
		case abi.ToolKVGet:
			value, found := values[put.Key]
			return &writ.ToolReply{Body: mustJSON(abi.KVValue{Found: found, Value: value})}, nil
		}
		return &writ.ToolReply{Body: []byte(`{}`)}, nil
	}}
}

func canonicalJSON(t testing.TB, v any) string {
	t.Helper()
	raw, err := canon.MarshalJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// fnv is the sum that big answers.
func fnv(text string) (sum uint32) {
	sum = 2166136261
	for i := range len(text) {
		sum = (sum ^ uint32(text[i])) * 16777619
	}
	return sum
}

// grown is what grow answers: every page was zero and then held its index.
func grown(mib uint32) string {
	sum, pages := uint32(2166136261), mib*16
	for range pages {
		sum *= 16777619
	}
	for i := range pages {
		sum = (sum ^ i) * 16777619
	}
	return fmt.Sprintf(`{"pages":%d,"sum":%d}`, pages, sum)
}

// saids are what the languages said, to be compared: by question, by answer.
type saids map[string]map[string]bool

func (s saids) add(question, answer string) {
	if s[question] == nil {
		s[question] = map[string]bool{}
	}
	s[question][answer] = true
}

// The skill does the same in every language, in every sandbox.
func TestConformance(t *testing.T) {
	modules, all := conformanceModules(t), saids{}
	outputs := conformanceOutputs(t)
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for language, module := range modules {
			t.Run(language, func(t *testing.T) {
				for _, c := range outputs {
					run := actionRun(t, module, c.action, c.input)
					run.Gate, run.Limits.Output = store(), MaxOutput
					if got := outcomeOf(t, s, run); got != c.want {
						t.Errorf("%s of %.80s:\ngot  %.200s\nwant %.200s", c.action, c.input, got, c.want)
					}
				}
				failsAlike(t, s, module)
				callsAlike(t, s, module)
				all.add("seed 1", drawnBy(t, s, module, 1))
				all.add("seed 2", drawnBy(t, s, module, 2))
				// go-sdk does not meter, and there the bits of a NaN are the processor's.
				if _, metered := s.(*sandbox).programs.compiler.(*native); metered {
					if got := outcomeOf(t, s, actionRun(t, module, "floats", `{}`)); got != canonicalFloats {
						t.Errorf("floats: %s", got)
					}
					burnsAlike(t, s, module)
				}
				d, err := s.Describe(t.Context(), module)
				if err != nil {
					t.Fatal(err)
				}
				all.add("description", canonicalJSON(t, d))
			})
		}
	})
	for question, answers := range all {
		if len(answers) != 1 {
			t.Errorf("%s: there are %d answers: %v", question, len(answers), answers)
		}
	}
	if fmt.Sprint(all["seed 1"]) == fmt.Sprint(all["seed 2"]) {
		t.Errorf("two seeds give %v", all["seed 1"])
	}
}

// canonicalFloats is what floats answers where each NaN that an instruction makes is
// the canonical one.
const canonicalFloats = `{"bits":["7ff8000000000000","7ff8000000000000","7ff8000000000000","7ff8000000000000",` +
	`"7ff8000000000000","7ff8000000000000","7ff8000000000000","7ff8000000000000","7ff8000000000000",` +
	`"7fc00000","7fc00000","7fc00000","3fd5555555555555","3ff6a09e667f3bcd","3eaaaaab"]}`

// burnsAlike holds the fuel of a run to its input and seed, however it ends.
func burnsAlike(t *testing.T, s writ.Sandbox, module []byte) {
	t.Helper()
	fuel := func(action, input string) uint64 {
		run := actionRun(t, module, action, input)
		run.Gate = store()
		result, err := s.Run(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		return result.Fuel
	}
	for action, input := range map[string]string{
		"echo": `{"a":1}`, "grow": `{"mib":20}`, "fail": `{"reason":"no"}`, "trap": `{}`,
		"random_and_clock": `{}`, "floats": `{}`, "tools": `{"key":"k","value":"v"}`, "spin": `{"n":1000}`,
	} {
		first := fuel(action, input)
		for range 3 {
			if again := fuel(action, input); first == 0 || again != first {
				t.Errorf("%s used %d and then %d of fuel", action, first, again)
			}
		}
	}
	few, many := fuel("spin", `{"n":1000}`), fuel("spin", `{"n":1001000}`)
	if perRound := float64(many-few) / 1e6; perRound < 1 || perRound > 100 {
		t.Errorf("a round of spin costs %v of fuel", perRound)
	}
}

type conformanceCase struct{ action, input, want string }

func conformanceOutputs(t *testing.T) []conformanceCase {
	cases := []conformanceCase{
		{"fail", `{"reason":"no \"way\"\n"}`, "! refused: no \"way\"\n"},
		{"tools", `{"key":"conformance/é\"","value":"a\\b\nc"}`, `{"found":true,"value":"a\\b\nc"}`},
		{"spin", `{"n":0}`, `{"state":2463534242}`},
		{"spin", `{"n":1}`, `{"state":723471715}`},
		{"spin", `{"n":1000}`, `{"state":3298996588}`},
		{"grow", `{"mib":0}`, grown(0)},
		{"grow", `{"mib":1}`, grown(1)},
		{"grow", `{"mib":24}`, grown(24)},
	}
	for _, input := range []string{
		`{}`, `{"":null,"a":[1,{"b":"x\ny"},[]],"b":true}`, `{"a":-1.5e-7,"b":1e+21,"c":9007199254740991}`, "{\"é\":\"\\u0000\\u001f\\\"\\\\😀\u2028<>&\"}",
	} {
		cases = append(cases, conformanceCase{"echo", input, input})
	}
	// Below and above what the guests read at once, and what their memory begins with.
	for _, size := range []int{0, 1, 4 << 10, 60 << 10, 64 << 10, 200 << 10} {
		text := strings.Repeat("x", size)
		cases = append(cases, conformanceCase{"echo", `{"text":"` + text + `"}`, `{"text":"` + text + `"}`})
	}
	for _, text := range []string{"", "plain", "hé\n\"x\"\\ \u0001\b\f\r\t 😀\u2028/<>", strings.Repeat("aé😀\n\"", 10_000)} {
		cases = append(cases, conformanceCase{
			"big", canonicalJSON(t, map[string]any{"text": text}),
			canonicalJSON(t, map[string]any{"bytes": len(text), "sum": fnv(text), "text": text}),
		})
	}
	return cases
}

func failsAlike(t *testing.T, s writ.Sandbox, module []byte) {
	t.Helper()
	refuse := &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
		return refusal(abi.FailDenied, `not "granted"`), nil
	}}
	for _, c := range []struct {
		action, input, code string
		memory              abi.Bytes
	}{
		{"trap", `{}`, writ.GuestTrapped, 0},
		{"grow", `{"mib":32}`, writ.GuestOutOfMemory, 16 << 20},
		{"grow", `{"mib":64}`, writ.GuestOutOfMemory, 0},
		{"tools", `{"key":"a","value":"b"}`, abi.FailDenied, 0},
		{"big", `{}`, abi.FailInvalid, 0},
		{"big", `{"text":1}`, abi.FailInvalid, 0},
		{"tools", `{"key":"a"}`, abi.FailInvalid, 0},
		{"grow", `{"mib":-1}`, abi.FailInvalid, 0},
		{"spin", `{"n":1.5}`, abi.FailInvalid, 0},
		{"", `{}`, "unknown_action", 0},
		{"echos", `{}`, "unknown_action", 0},
	} {
		run := actionRun(t, module, c.action, c.input)
		run.Gate, run.Limits.Memory = refuse, c.memory
		if got := outcomeOf(t, s, run); !strings.HasPrefix(got, "! "+c.code+": ") {
			t.Errorf("%s of %s: %s, want %s", c.action, c.input, got, c.code)
		}
	}
	run := actionRun(t, module, "tools", `{"key":"a","value":"b"}`)
	run.Gate = refuse
	if want, got := `! denied: not "granted"`, outcomeOf(t, s, run); got != want {
		t.Errorf("what the tool says is not passed on: %s", got)
	}
}

func callsAlike(t *testing.T, s writ.Sandbox, module []byte) {
	t.Helper()
	want := []string{
		`kv.put {"key":"k","value":"v\"\n"}`, `kv.get {"key":"k"}`, `log {"level":"info","message":"v\"\n"}`,
	}
	g := store()
	run := actionRun(t, module, "tools", `{"key":"k","value":"v\"\n"}`)
	run.Gate = g
	outcomeOf(t, s, run)
	if !slices.Equal(g.calls, want) {
		t.Errorf("called %q", g.calls)
	}
}

// drawnBy is what is drawn of a seed, without the clock's fraction, which is a
// language's own.
func drawnBy(t *testing.T, s writ.Sandbox, module []byte, seed byte) string {
	t.Helper()
	run := actionRun(t, module, "random_and_clock", `{}`)
	run.Seed = [32]byte{seed}
	var drawn map[string]any
	if err := json.Unmarshal([]byte(outcomeOf(t, s, run)), &drawn); err != nil {
		t.Fatal(err)
	}
	if ns, ok := drawn["nanoseconds"].(float64); !ok || ns > 1e7 {
		t.Errorf("the clock stands at %v ns after the start", drawn["nanoseconds"])
	}
	delete(drawn, "nanoseconds")
	return canonicalJSON(t, drawn)
}

// The manifests differ in the language that they name alone.
func TestConformanceOfManifests(t *testing.T) {
	shapes := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(conformanceDir, "*", "skill.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rest []string
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "name: ") && !strings.HasPrefix(line, "description: ") {
				rest = append(rest, line)
			}
		}
		shapes[strings.Join(rest, "")] = true
	}
	if len(shapes) != 1 {
		t.Errorf("there are %d shapes of %v", len(shapes), files)
	}
}

// The built modules are those whose toolchains are named.
func TestConformanceModulesAreThoseNamed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(conformanceDir, "built", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for language, module := range conformanceModules(t) {
		sum := sha256.Sum256(module)
		if line := hex.EncodeToString(sum[:]) + "  " + language + ".wasm\n"; language != "go" && !strings.Contains(string(text), line) {
			t.Errorf("SHA256SUMS lacks %q: run make guests", line)
		}
	}
}
