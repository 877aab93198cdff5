//go:build !wasip1

package skills_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/host"
	phrases "github.com/writ-run/writ/intent"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/sdk/scaffold"
	"github.com/writ-run/writ/sdk/sdktest"
)

// skillDirs are all skills of this repository that are written in Go.
func skillDirs(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, pattern := range []string{"*/skill.yaml", "../examples/*/skill.yaml", "../examples/*/*/skill.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			dir := filepath.Dir(file)
			if _, err := os.Stat(filepath.Join(dir, "main.go")); err == nil {
				dirs = append(dirs, dir)
			}
		}
	}
	if len(dirs) < 5 {
		t.Fatalf("found only %v", dirs)
	}
	return dirs
}

var builds = struct {
	sync.Mutex
	modules map[string][]byte
}{modules: map[string][]byte{}}

// build builds a skill once for all tests.
func build(t *testing.T, dir string) []byte {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if module, ok := builds.modules[dir]; ok {
		return module
	}
	path, err := scaffold.BuildTo(t.Context(), dir, filepath.Join(t.TempDir(), "skill.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	builds.modules[dir] = module
	return module
}

func manifest(t *testing.T, dir string) *abi.Manifest {
	t.Helper()
	file := filepath.Join(dir, "skill.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := registry.ParseManifest(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sandbox(t *testing.T) writ.Sandbox {
	t.Helper()
	s, err := host.NewSandbox(host.Options{CompileInProcessUnsafe: true})
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

// One sandbox serves all three: compiling a module is what takes time.
func TestInTheSandbox(t *testing.T) {
	box, known := sandbox(t), catalogue{}
	t.Run("say", func(t *testing.T) { skillsAreWhatTheySay(t, box, known) })
	t.Run("run", func(t *testing.T) { builtSkillsRun(t, box) })
	t.Run("cases", func(t *testing.T) { casesRun(t, box) })
	t.Run("drafts", func(t *testing.T) { draftsRun(t, box, known) })
}

// Each skill builds, is small enough to install, imports exactly the tools that
// its manifest declares, and says of itself what its manifest says.
func skillsAreWhatTheySay(t *testing.T, box writ.Sandbox, known catalogue) {
	for _, dir := range skillDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, module := manifest(t, dir), build(t, dir)
			var declared []string
			for _, c := range m.Capabilities {
				declared = append(declared, c.Tool)
			}
			slices.Sort(declared)
			declared = slices.Compact(declared)
			imported, err := scaffold.Tools(module)
			if err != nil || !slices.Equal(imported, declared) {
				t.Errorf("imports %v and declares %v (%v)", imported, declared, err)
			}
			t.Logf("%s: %d bytes, tools %v", m.Name, len(module), imported)
			// Stock Go needs about 3 MB, a library up to as much again; more says that
			// something heavy came in, such as net/http.
			if limit := 7 << 20; len(module) > limit {
				t.Errorf("the module has %d bytes, more than %d", len(module), limit)
			}
			described, err := box.Describe(t.Context(), module)
			if err != nil {
				t.Fatal(err)
			}
			if err := registry.ApplyDescription(m, described); err != nil {
				t.Error(err)
			}
			checkMembers(t, m)
			known.add(m, module)
		})
	}
}

// checkMembers holds sinks and the placeholders of uses to members that the
// input has.
func checkMembers(t *testing.T, m *abi.Manifest) {
	t.Helper()
	for _, a := range m.Actions {
		var schema struct {
			Properties map[string]any `json:"properties"`
		}
		if err := json.Unmarshal(a.Input, &schema); err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		for _, phrase := range a.Utterances {
			if err := phrases.Check(phrase, a.Input); err != nil {
				t.Errorf("%s: %v", a.Name, err)
			}
		}
		wanted := slices.Clone(a.Sinks)
		for _, use := range a.Uses {
			for _, pattern := range slices.Concat(use.Hosts, use.Paths, use.Prefixes) {
				for part := range strings.SplitSeq(pattern, "{") {
					if name, _, ok := strings.Cut(part, "}"); ok {
						wanted = append(wanted, strings.TrimSuffix(strings.TrimSuffix(name, ".host"), ".path"))
					}
				}
			}
		}
		for _, name := range wanted {
			if _, ok := schema.Properties[name]; !ok {
				t.Errorf("%s names %q, which its input does not have", a.Name, name)
			}
		}
	}
}

// An action without effects uses no tool that has one; one with effects says how far
// it goes.
func TestUsesNarrowTheCapabilities(t *testing.T) {
	for _, dir := range skillDirs(t) {
		m := manifest(t, dir)
		for _, a := range m.Actions {
			reaches := slices.ContainsFunc(a.Effects, func(e abi.Effect) bool { return e != abi.EffectNone })
			uses := slices.ContainsFunc(a.Uses, func(c abi.Capability) bool {
				tool, known := writ.LookupTool(c.Tool)
				return !known || tool.Effect != abi.EffectNone
			})
			if reaches != uses {
				t.Errorf("%s#%s has effects %v and uses %+v", m.Name, a.Name, a.Effects, a.Uses)
			}
			for _, e := range a.Effects {
				if a.Risk.Rank() < writ.RiskOf(e).Rank() {
					t.Errorf("%s#%s says risk %s, but %s demands %s", m.Name, a.Name, a.Risk, e, writ.RiskOf(e))
				}
			}
			for i := range a.Uses {
				if !covered(m, filled(a.Uses[i])) {
					t.Errorf("%s#%s uses more than the skill declares: %+v", m.Name, a.Name, a.Uses[i])
				}
			}
		}
	}
}

// filled puts a plain value where a use has a placeholder.
func filled(use abi.Capability) *abi.Capability {
	values := strings.NewReplacer("{url.host}", "example.com", "{url.path}", "/x", "{owner}", "o", "{repo}", "r", "{number}", "1", "{channel}", "github/acme")
	fill := func(patterns []string) (out []string) {
		for _, pattern := range patterns {
			out = append(out, values.Replace(pattern))
		}
		return out
	}
	use.Hosts, use.Paths, use.Prefixes, use.Channels = fill(use.Hosts), fill(use.Paths), fill(use.Prefixes), fill(use.Channels)
	return &use
}

func covered(m *abi.Manifest, use *abi.Capability) bool {
	return slices.ContainsFunc(m.Capabilities, func(c abi.Capability) bool { return writ.CapabilityCovers(&c, use) })
}

func TestBuildsAreReproducible(t *testing.T) {
	module := build(t, "text")
	path, err := scaffold.BuildTo(t.Context(), "text", filepath.Join(t.TempDir(), "again.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(module, again) {
		t.Errorf("two builds differ (%v)", err)
	}
	if here, err := filepath.Abs(".."); err != nil || bytes.Contains(module, []byte(here)) {
		t.Errorf("the module holds the path that it was built at (%v)", err)
	}
}

// gate answers http.request as GitHub would and refuses all else.
type gate struct{ asked []abi.HTTPRequest }

func (g *gate) Call(_ context.Context, tool string, args []byte) (*writ.ToolReply, error) {
	var request abi.HTTPRequest
	if err := json.Unmarshal(args, &request); err != nil || tool != abi.ToolHTTPRequest {
		return &writ.ToolReply{Failure: &abi.Failure{Code: abi.FailDenied, Message: tool + " is not granted"}}, nil
	}
	g.asked = append(g.asked, request)
	if strings.HasSuffix(request.URL, "/labels") {
		return &writ.ToolReply{Body: []byte(`{"body":"[{\"name\":\"documentation\"}]","headers":{},"status":200}`)}, nil
	}
	return &writ.ToolReply{Body: []byte(`{"body":"{\"id\":9,\"html_url\":\"u\"}","headers":{},"status":201}`)}, nil
}

func run(t *testing.T, box writ.Sandbox, module []byte, action, input string) (*writ.GuestResult, *gate) {
	t.Helper()
	g := &gate{}
	return runWith(t, box, module, &writ.GuestRun{Action: action, Input: []byte(input), Gate: g}), g
}

// caseGate answers from what a case of testdata prepares.
type caseGate struct{ host *sdktest.Host }

func (g caseGate) Call(_ context.Context, tool string, args []byte) (*writ.ToolReply, error) {
	body, failure := g.host.Call(tool, args)
	return &writ.ToolReply{Body: body, Failure: failure}, nil
}

// The cases of testdata, which the native tests of each skill run too.
func casesRun(t *testing.T, box writ.Sandbox) {
	for _, dir := range skillDirs(t) {
		files, err := filepath.Glob(filepath.Join(dir, "testdata", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Dir(dir) != "." {
				continue // an example's own kind of file
			}
			t.Run(filepath.Base(dir)+"/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				c := sdktest.ReadCase(t, file)
				host := c.Host(t)
				input, err := canon.JSON(c.Input)
				if err != nil {
					t.Fatal(err)
				}
				result := runWith(t, box, build(t, dir), &writ.GuestRun{Action: c.Action, Input: input, Gate: caseGate{host}})
				c.Judge(t, host, result.Output, result.Failure)
			})
		}
	}
}

func runWith(t *testing.T, box writ.Sandbox, module []byte, g *writ.GuestRun) *writ.GuestResult {
	t.Helper()
	digest := canon.SHA256(module)
	permit, err := writ.MintPermit(
		writ.PermitScope{Tenant: "default", Execution: "exe_a", Step: "stp_a", Skill: writ.SkillRef{Module: digest}},
		writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow}, Input: g.Input})
	if err != nil {
		t.Fatal(err)
	}
	defer permit.Close()
	g.Permit, g.Module, g.Digest, g.ABI = permit, module, digest, abi.V1
	result, err := box.Run(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// What the native tests say of the code holds for the built modules.
func builtSkillsRun(t *testing.T, box writ.Sandbox) {
	tests := []struct{ skill, action, input, output, failure string }{
		{"text", "classify", `{"rules":[{"any":["readme"],"label":"docs"}],"text":"the README"}`, `{"label":"docs","matched":true,"words":["readme"]}`, ""},
		{"text", "extract", `{"pattern":"(","text":"x"}`, "", "bad_pattern"},
		{"text", "classify", `{"text":"x"}`, "", abi.FailInvalid},
		{"text", "nothing", `{}`, "", "unknown_action"},
		{"github", "comment", `{"body":"hi","number":1,"owner":"o","repo":"r"}`, `{"id":9,"url":"u"}`, ""},
		{"github", "comment", `{"body":"hi","number":1,"owner":"o/../p","repo":"r"}`, "", "bad_name"},
	}
	for _, tt := range tests {
		result, g := run(t, box, build(t, tt.skill), tt.action, tt.input)
		switch f := result.Failure; {
		case f != nil && f.Code != tt.failure, f == nil && tt.failure != "":
			t.Errorf("%s#%s %s failed with %v, want %q", tt.skill, tt.action, tt.input, f, tt.failure)
		case f == nil && string(result.Output) != tt.output:
			t.Errorf("%s#%s %s = %s, want %s", tt.skill, tt.action, tt.input, result.Output, tt.output)
		}
		if tt.skill == "github" && tt.failure == "" {
			if len(g.asked) != 1 || g.asked[0].URL != "https://api.github.com/repos/o/r/issues/1/comments" || g.asked[0].Body != `{"body":"hi"}` {
				t.Errorf("asked %+v", g.asked)
			}
		}
	}
}
