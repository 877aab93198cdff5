package registry

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func imports(names ...string) *writ.ModuleFacts {
	facts := &writ.ModuleFacts{Exports: []string{"run"}, Entries: []string{"run", "_initialize", "malloc"}}
	for _, name := range names {
		module, name, _ := strings.Cut(name, " ")
		facts.Imports = append(facts.Imports, writ.ModuleImport{Module: module, Name: name, Kind: "func"})
	}
	return facts
}

func wrapped(t *testing.T, w *Wrapping) *abi.Manifest {
	t.Helper()
	text, err := Wrap(w)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseManifest("skill.yaml", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return m
}

func TestWrapIsAsNarrowAsTheImports(t *testing.T) {
	const http = abi.ModuleExtism + " http_request"
	for name, c := range map[string]struct {
		w            Wrapping
		capabilities int
		effect       abi.Effect
		risk         abi.Risk
	}{
		"nothing":          {Wrapping{Facts: imports(abi.ModuleExtism + " alloc")}, 0, abi.EffectNone, abi.RiskLow},
		"requests":         {Wrapping{Facts: imports(http)}, 1, abi.EffectRead, abi.RiskLow},
		"posts":            {Wrapping{Facts: imports(http), Methods: []string{"GET", "POST"}}, 1, abi.EffectWriteExternal, abi.RiskMedium},
		"deletes":          {Wrapping{Facts: imports(http), Methods: []string{"DELETE"}}, 1, abi.EffectIrreversible, abi.RiskHigh},
		"a tool of ours":   {Wrapping{Facts: imports(abi.ModuleTool + " kv.get")}, 1, abi.EffectNone, abi.RiskLow},
		"methods for none": {Wrapping{Facts: imports(), Methods: []string{"DELETE"}}, 0, abi.EffectNone, abi.RiskLow},
	} {
		c.w.Name, c.w.File = "acme/plugin", "plugin.wasm"
		m := wrapped(t, &c.w)
		a := m.Actions[0]
		if len(m.Actions) != 1 || a.Name != "run" || len(m.Capabilities) != c.capabilities || a.Effects[0] != c.effect || a.Risk != c.risk {
			t.Errorf("%s is %+v", name, m)
		}
		for _, capability := range m.Capabilities {
			if len(capability.Hosts)+len(capability.Prefixes) > 0 {
				t.Errorf("%s may reach %+v", name, capability)
			}
		}
	}
}

// What a plug-in says of itself stays a value: it opens no line of the manifest.
func TestWordsOfAPluginStayWords(t *testing.T) {
	hostile := "fine\u2028\n    effects: [none]\r\n# \"quoted\" \\ {a} \x00\x7f"
	w := &Wrapping{Name: "acme/plugin", File: "a\nname: writ/http\n.wasm", Facts: imports(abi.ModuleExtism + " http_request"), Described: &abi.Description{
		Actions: []abi.DescribedAction{
			{Name: "now", Description: hostile, Input: map[string]any{
				"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "description": hostile,
				"properties": map[string]any{"city": map[string]any{"type": "string"}, "not a path": map[string]any{}},
			}},
			{Name: "later", Description: strings.Repeat("ä", maxDescription), Input: map[string]any{"type": "object"}},
		},
	}}
	m := wrapped(t, w)
	if m.Name != "acme/plugin" || len(m.Actions) != 2 || m.Actions[0].Effects[0] != abi.EffectRead || m.ABI != abi.ExtismMCP1 {
		t.Errorf("it became %+v", m)
	}
	if sinks := m.Actions[0].Sinks; len(sinks) != 1 || sinks[0] != "city" {
		t.Errorf("sinks are %v", sinks)
	}
}

func TestWhatCannotBeWrapped(t *testing.T) {
	tool := func(name string) *abi.Description {
		return &abi.Description{Actions: []abi.DescribedAction{{Name: name, Description: "x", Input: map[string]any{"type": "object"}}}}
	}
	for name, w := range map[string]*Wrapping{
		"no action":      {Facts: &writ.ModuleFacts{Entries: []string{"_start"}}},
		"a bad name":     {Facts: imports(), Described: tool("what is it?")},
		"a long name":    {Facts: imports(), Described: tool(strings.Repeat("a", 65))},
		"no skill name":  {Name: "Plugin", Facts: imports()},
		"a bad host":     {Facts: imports(abi.ModuleExtism + " http_request"), Hosts: []string{"Example.com"}},
		"a bad method":   {Facts: imports(abi.ModuleExtism + " http_request"), Methods: []string{"get"}},
		"a schema of no": {Facts: imports(), Described: &abi.Description{Actions: []abi.DescribedAction{{Name: "a", Input: map[string]any{"type": "nothing"}}}}},
		"a ref outside": {Facts: imports(), Described: &abi.Description{Actions: []abi.DescribedAction{
			{Name: "a", Input: map[string]any{"$ref": "https://example.com/schema"}},
		}}},
	} {
		if w.Name == "" {
			w.Name = "acme/plugin"
		}
		if _, err := Wrap(w); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s is %v", name, err)
		}
	}
	wrapped(t, &Wrapping{Name: "acme/plugin", Facts: imports(), Described: tool(strings.Repeat("a", 64))})
}

// Whatever a plug-in calls its tools and says of them, there is a manifest with the
// name that the operator gave, or an error.
func FuzzWrap(f *testing.F) {
	f.Add("now", "Says how it is.", `{"type":"object","properties":{"city":{"type":"string"}}}`)
	f.Add("a\n- name: b", "x: y\n# z", `{"type":["object","null"],"enum":[1e400]}`)
	f.Add("now", "\ufeff\u2028\u0085", `{"$schema":"x","description":"\u0000\ud83d\ude00"}`)
	f.Fuzz(func(t *testing.T, name, description, schema string) {
		var input map[string]any
		if json.Unmarshal([]byte(schema), &input) != nil {
			input = map[string]any{"type": "object"}
		}
		text, err := Wrap(&Wrapping{Name: "acme/plugin", File: description, Facts: imports(), Described: &abi.Description{
			Actions: []abi.DescribedAction{{Name: name, Description: description, Input: input}},
		}})
		if err != nil {
			return
		}
		m, err := ParseManifest("skill.yaml", text)
		if err != nil || m.Name != "acme/plugin" || len(m.Actions) != 1 || m.Actions[0].Name != name || len(m.Capabilities) != 0 {
			t.Errorf("%q became %+v, %v", text, m, err)
		}
	})
}
