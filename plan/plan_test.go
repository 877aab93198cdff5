package plan

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// shelf is a catalogue in memory.
type shelf []*writ.Release

// Resolve implements writ.Catalogue.
func (s shelf) Resolve(key writ.SkillKey, constraint string) (*writ.Release, error) {
	want, err := semver.NewConstraint(map[bool]string{true: "*", false: constraint}[constraint == ""])
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "constraint", "%q is not a constraint", constraint)
	}
	for _, release := range s {
		if release.Key == key && want.Check(semver.MustParse(release.Version)) {
			return release, nil
		}
	}
	return nil, writ.Errorf(writ.CodeNotFound, string(key), "no installed version fits")
}

func (s shelf) release(t testing.TB, key string) *writ.Release {
	t.Helper()
	release, err := s.Resolve(writ.SkillKey(key), "")
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// skillFrom reads a manifest written in YAML.
func skillFrom(t testing.TB, name string, raw []byte) *writ.Release {
	t.Helper()
	ps := &problems{file: name, source: newSource(raw)}
	n := (&yamlReader{problems: ps}).read(raw)
	if len(ps.list) > 0 {
		t.Fatalf("%s: %v", name, ps.list)
	}
	doc, err := json.Marshal(n.value())
	if err != nil {
		t.Fatal(err)
	}
	manifest := &abi.Manifest{}
	if err := json.Unmarshal(doc, manifest); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return &writ.Release{
		SkillRef: writ.SkillRef{
			Key: writ.SkillKey(manifest.Name), Version: manifest.Version,
			Digest: canon.SHA256(doc), Module: canon.SHA256([]byte(manifest.Name)),
		},
		Manifest: manifest,
	}
}

func skills(t testing.TB) shelf {
	t.Helper()
	files, err := filepath.Glob("testdata/skills/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no skills: %v", err)
	}
	var out shelf
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, skillFrom(t, file, raw))
	}
	return out
}

func planner(t testing.TB) *Planner {
	t.Helper()
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// humanIntent is an intent of a person at the command line.
const humanIntent = `{"actorId":"ada","executionId":"exe_1","id":"int_1","metadata":{"n":3,"who":"bob"},"origin":"human",` +
	`"receivedAt":"2026-01-02T03:04:05.000000000Z","tenantId":"default","text":"hello","traceId":"0123456789abcdef0123456789abcdef","workspaceId":"default"}`

// channelIntent is an intent of whoever wrote on a channel.
const channelIntent = `{"actorId":"ada","channelKey":"slack","executionId":"exe_1","id":"int_1","metadata":{"n":3,"who":"bob"},"origin":"channel",` +
	`"receivedAt":"2026-01-02T03:04:05.000000000Z","tenantId":"default","text":"hello","traceId":"0123456789abcdef0123456789abcdef","workspaceId":"default"}`

func request(draft string, from shelf) writ.CompileRequest {
	return writ.CompileRequest{
		Draft:  writ.Interpretation{Source: "draft", Format: "yaml", Name: "draft.yaml", Raw: []byte(draft)},
		Origin: writ.OriginHuman, Intent: json.RawMessage(humanIntent), Catalogue: from,
	}
}

func mustCompile(t testing.TB, p *Planner, req writ.CompileRequest) *writ.CompiledPlan {
	t.Helper()
	out, err := p.Compile(req)
	if err != nil {
		t.Fatalf("compile: %v\n%s", err, problemText(problemsOf(err)))
	}
	return out
}

func problemsOf(err error) []writ.Problem {
	if e, ok := err.(*writ.Error); ok {
		if list, ok := e.Details.([]writ.Problem); ok {
			return list
		}
	}
	return nil
}

func problemText(list []writ.Problem) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "%s:%d:%d: %s: %s\n\t%s\n", p.File, p.Line, p.Column, p.Code, p.Message, p.Fix)
	}
	return b.String()
}

// draftOf wraps steps, each a YAML block of "name: ..." lines.
func draftOf(steps ...string) string {
	var b strings.Builder
	b.WriteString("apiVersion: writ/v1\nkind: Plan\nsteps:\n")
	for _, s := range steps {
		for i, line := range strings.Split(strings.TrimSpace(s), "\n") {
			b.WriteString(map[bool]string{true: "  - ", false: "    "}[i == 0] + line + "\n")
		}
	}
	return b.String()
}

// codes are the codes of a rejection, in order.
func codes(err error) []string {
	var out []string
	for _, p := range problemsOf(err) {
		out = append(out, p.Code)
	}
	return out
}
