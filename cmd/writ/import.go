package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/wasm"
	"github.com/writ-run/writ/registry"
)

// moduleFile is the ready module of a skill whose source is elsewhere.
const moduleFile = "module.wasm"

func (a *app) skillImport() *cobra.Command {
	var name, to string
	var w registry.Wrapping
	c := &cobra.Command{
		Use: "import PLUGIN.wasm", Short: "Make a skill's project of an Extism plug-in", Args: exactly("PLUGIN.wasm"),
		Long: `Reads an Extism plug-in, or one that speaks MCP (exports list_tools and call_tool,
or describe and call), and writes a directory with skill.yaml, the module and a
test case for each action. Its tools and their schemas are asked of the plug-in, in
the sandbox and with no tool of ours. It may reach nothing until you say so.`,
		Example: `  writ skill import count_vowels.wasm --name acme/vowels
  writ skill import weather.wasm --name acme/weather --host api.weather.example`,
		RunE: func(cmd *cobra.Command, args []string) error {
			module, err := a.readInput(args[0], wasm.MaxModuleBytes+1)
			if err != nil {
				return err
			}
			w.File = filepath.Base(args[0])
			if w.Name = name; name == "" {
				w.Name = "local/" + skillName(w.File)
			}
			if to == "" {
				to = w.Name[strings.LastIndexByte(w.Name, '/')+1:]
			}
			return a.importPlugin(cmd.Context(), &w, module, to)
		},
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "publisher/name of the skill (default: local/ and the file's name)")
	f.StringVar(&to, "to", "", "directory to make (default: the skill's name)")
	f.StringSliceVar(&w.Hosts, "host", nil, "a host that its HTTP requests may reach, repeatable (default: none)")
	f.StringSliceVar(&w.Methods, "method", nil, "a method that they may have, repeatable (default: GET)")
	return c
}

var notInSkillNames = regexp.MustCompile(`[^a-z0-9]+`)

// skillName makes a name of a file's.
func skillName(file string) string {
	name := notInSkillNames.ReplaceAllString(strings.ToLower(strings.TrimSuffix(file, ".wasm")), "-")
	if name = strings.Trim(name, "-"); name == "" {
		return "plugin"
	}
	return name[:min(len(name), 64)]
}

// imported is what came of a plug-in.
type imported struct {
	Directory string   `json:"directory"`
	Skill     string   `json:"skill"`
	ABI       string   `json:"abi"`
	Actions   []string `json:"actions"`
	Cases     []string `json:"cases"`
	Reaches   bool     `json:"reaches"` // it can make HTTP requests
}

func (a *app) importPlugin(ctx context.Context, w *registry.Wrapping, module []byte, to string) error {
	if _, err := os.Stat(to); err == nil {
		return usage("%s is already there", to).WithFix("give another directory with --to, or remove it")
	}
	if err := a.lookInto(ctx, w, module); err != nil {
		return err
	}
	text, err := registry.Wrap(w)
	if err != nil {
		return err
	}
	m, err := registry.ParseManifest(manifestFile, text)
	if err != nil {
		return err
	}
	cases, err := a.observe(ctx, w, module)
	if err != nil {
		return err
	}
	files := map[string][]byte{manifestFile: text, moduleFile: module}
	out := imported{Directory: to, Skill: m.Name, ABI: m.ABI, Actions: []string{}, Cases: []string{}}
	for _, action := range m.Actions {
		out.Actions = append(out.Actions, action.Name)
		if one, ok := cases[action.Name]; ok {
			file := filepath.Join("testdata", action.Name+".json")
			files[file] = one
			out.Cases = append(out.Cases, file)
		}
	}
	out.Reaches = len(m.Capabilities) > 0
	if err := writeProject(to, files); err != nil {
		return err
	}
	return a.print(out, func(t *table) { importTable(t, &out, filepath.Join(to, registry.FileName(m))) })
}

func importTable(t *table, out *imported, bundle string) {
	t.pair("made", out.Directory+"/")
	t.pair("skill", out.Skill)
	t.pair("abi", out.ABI)
	t.pair("actions", strings.Join(out.Actions, ", "))
	t.pair("test cases", fmt.Sprint(len(out.Cases)))
	t.flush()
	if out.Reaches {
		t.line("It imports tools: name in %s what they may reach. Until then they are denied.", filepath.Join(out.Directory, manifestFile))
	}
	t.line("next: read and narrow %s, then", filepath.Join(out.Directory, manifestFile))
	t.line("  writ skill test %s", out.Directory)
	t.line("  writ skill build %s && writ skill sign %s --key publisher.key", out.Directory, bundle)
	t.line("  writ skill install %s", bundle)
}

// lookInto fills in what the plug-in says of itself, and refuses what could never
// run here.
func (a *app) lookInto(ctx context.Context, w *registry.Wrapping, module []byte) error {
	facts, err := host.NewInspector().Inspect(module)
	if err != nil {
		return err
	}
	op := "plug-in " + w.File
	for _, name := range facts.Exports {
		if name == abi.EntryRun {
			return writ.Errorf(writ.CodeInvalid, op, "it is a skill of Writ and no plug-in").
				WithFix("write a skill.yaml beside it and run `writ skill build --module %s`", w.File)
		}
	}
	if unserved := host.Unserved(facts); len(unserved) > 0 {
		names := make([]string, len(unserved))
		for i, one := range unserved {
			names[i] = clean(one.Module + " " + one.Name)
		}
		return writ.Errorf(writ.CodeInvalid, op, "it imports what no skill is given: %s", strings.Join(names, ", ")).
			WithFix("build the plug-in without them; a skill may import extism:host/env, WASI preview 1 and the tools of docs/tools.md")
	}
	w.Facts = facts
	if !host.SpeaksMCP(facts) {
		return nil
	}
	sandbox, remove, err := passingSandbox(a.config.CompilerWrapper)
	if err != nil {
		return err
	}
	defer remove()
	defer func() { _ = sandbox.Close(ctx) }()
	_, _ = fmt.Fprintln(a.err, "asking the plug-in for its tools ...")
	w.Described, err = sandbox.Describe(ctx, module)
	return err
}

// observe runs each action once with an input made of its schema, and gives what
// came of it as test cases. It may reach no host then, whatever the manifest will
// say: what needs one has no case, or the case that its request is denied.
func (a *app) observe(ctx context.Context, w *registry.Wrapping, module []byte) (map[string][]byte, error) {
	alone := *w
	alone.Hosts, alone.Methods = nil, nil
	text, err := registry.Wrap(&alone)
	if err != nil {
		return nil, err
	}
	m, err := registry.ParseManifest(manifestFile, text)
	if err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintln(a.err, "running each action once, without tools ...")
	r, err := a.rehearse(ctx, &work{manifest: m, module: module})
	if err != nil {
		return nil, err
	}
	defer r.close(ctx)
	cases := map[string][]byte{}
	for i := range m.Actions {
		c := testCase{Action: m.Actions[i].Name, Input: sampleInput(m.Actions[i].Input)}
		x, err := r.start(ctx, c.Action, c.Input)
		if err != nil || len(x.Steps) != 1 {
			continue // the sample does not fit: a person writes a better one
		}
		switch step := &x.Steps[0]; {
		case step.Failure != nil && (step.Failure.Code != abi.FailDenied || len(w.Hosts) == 0):
			c.Failure = step.Failure.Code
		case step.Failure == nil && x.Status == writ.ExecCompleted:
			c.Output = step.Output
		default:
			continue
		}
		raw, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return nil, err
		}
		cases[c.Action] = append(raw, '\n')
	}
	return cases, nil
}

func writeProject(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Join(dir, "testdata"), 0o755); err != nil {
		return usage("%s: %s", dir, plainCause(err))
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return usage("%s: %s", filepath.Join(dir, name), plainCause(err))
		}
	}
	return nil
}

// sampleInput is a plain value of an object's schema: its required members, or all
// of them where it requires none.
func sampleInput(schema json.RawMessage) json.RawMessage {
	var tree map[string]any
	if json.Unmarshal(schema, &tree) != nil {
		return json.RawMessage("{}")
	}
	raw, err := json.Marshal(sampleObject(tree, 0))
	if err != nil {
		return json.RawMessage("{}")
	}
	return raw
}

// maxSampleDepth is deeper than any input that a person would write by hand.
const maxSampleDepth = 8

func sampleObject(schema map[string]any, depth int) map[string]any {
	out := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	if len(required) == 0 && depth == 0 {
		for name := range properties {
			required = append(required, name)
		}
	}
	for _, name := range required {
		name, _ := name.(string)
		member, _ := properties[name].(map[string]any)
		out[name] = sampleValue(member, depth+1)
	}
	return out
}

func sampleValue(schema map[string]any, depth int) any {
	for _, given := range []string{"const", "default"} {
		if value, ok := schema[given]; ok {
			return value
		}
	}
	for _, given := range []string{"enum", "examples"} {
		if values, ok := schema[given].([]any); ok && len(values) > 0 {
			return values[0]
		}
	}
	kind := schema["type"]
	if kinds, ok := kind.([]any); ok && len(kinds) > 0 {
		kind = kinds[0]
	}
	switch kind {
	case "object":
		if depth < maxSampleDepth {
			return sampleObject(schema, depth)
		}
		return map[string]any{}
	case "array":
		return []any{}
	case "integer", "number":
		if least, ok := schema["minimum"].(float64); ok {
			return least
		}
		return 1
	case "boolean":
		return false
	case "null":
		return nil
	}
	return "Hello, World!"
}
