package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// Wrapping says how a plug-in from elsewhere becomes a skill.
type Wrapping struct {
	Name string // publisher/name
	File string // where the plug-in came from; for the comment
	// Facts are the plug-in's own.
	Facts *writ.ModuleFacts
	// Described are the tools of one that speaks MCP; nil for any other, whose
	// actions are its exports.
	Described *abi.Description
	// Hosts and Methods are what its HTTP requests may reach. Without hosts that is
	// nothing; without methods GET.
	Hosts, Methods []string
}

// Wrap writes the skill.yaml of a plug-in from elsewhere: its actions, and the
// narrowest capabilities that its imports allow, with comments about what only a
// person can decide. CodeInvalid where no manifest can be made of it.
func Wrap(w *Wrapping) ([]byte, error) {
	actions, err := w.actions()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("# Made by `writ skill import` from %s. Nobody has vouched for the plug-in yet:", oneLine(w.File))
	line("# read what stands here, narrow it to what you know to be needed, then sign it.")
	line("apiVersion: %s", abi.ManifestVersion)
	line("name: %s", scalar(w.Name))
	line("version: 0.1.0")
	line("description: %s # say what it does in your own words", scalar("Imported from "+oneLine(w.File)+"."))
	line("abi: %s", w.abi())
	w.capabilities(line)
	line("")
	line("# Descriptions and schemas are the plug-in's own words. An input that you do not")
	line("# want to see need not be allowed: a narrower schema is yours to write.")
	line("actions:")
	for i := range actions {
		w.action(line, &actions[i])
	}
	if _, err := ParseManifest("skill.yaml", b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (w *Wrapping) abi() string {
	if w.Described != nil {
		return abi.ExtismMCP1
	}
	return abi.Extism1
}

// reaches reports whether the plug-in can make HTTP requests.
func (w *Wrapping) reaches() bool {
	return slices.ContainsFunc(w.Facts.Imports, func(i writ.ModuleImport) bool {
		return i.Module == abi.ModuleExtism && i.Name == extismHTTP || i.Module == abi.ModuleTool && i.Name == abi.ToolHTTPRequest
	})
}

// methods are those of its requests: GET where nothing else is said.
func (w *Wrapping) methods() []string {
	if len(w.Methods) == 0 {
		return []string{"GET"}
	}
	return w.Methods
}

func (w *Wrapping) capabilities(line func(string, ...any)) {
	var others []string
	for _, i := range w.Facts.Imports {
		if i.Module == abi.ModuleTool && i.Name != abi.ToolHTTPRequest {
			others = append(others, i.Name)
		}
	}
	if !w.reaches() && len(others) == 0 {
		line("")
		line("# It imports nothing that reaches out, so it needs nothing and can do nothing.")
		line("capabilities: []")
		return
	}
	line("")
	line("capabilities:")
	if w.reaches() {
		line("  # It can make HTTP requests. A list that is empty allows nothing: name the hosts,")
		line("  # methods and paths that it needs. Without that its requests are denied.")
		line("  - tool: %s", abi.ToolHTTPRequest)
		line("    hosts: %s", flow(w.Hosts))
		line("    methods: %s", flow(w.methods()))
		line("    paths: [\"/**\"]")
	}
	for _, tool := range slices.Compact(slices.Sorted(slices.Values(others))) {
		line("  # Say with its scope how far it may go; see docs/skills.md.")
		line("  - tool: %s", scalar(tool))
	}
}

func (w *Wrapping) action(line func(string, ...any), a *abi.DescribedAction) {
	effect := w.effect()
	line("  - name: %s", scalar(a.Name))
	line("    description: %s", scalar(a.Description))
	if effect == abi.EffectRead {
		line("    # What the methods above say. A server may do more at a GET: then it is write-external.")
	}
	line("    effects: [%s]", effect)
	line("    risk: %s", writ.RiskOf(effect))
	if sinks := w.sinks(a); len(sinks) > 0 {
		line("    # Where an input leaves the host it can carry out what other steps have read.")
		line("    sinks: %s", flow(sinks))
	}
	line("    input: %s", document(a.Input))
	line("    output: %s", document(a.Output))
}

// effect is the worst that the plug-in's requests may do, by their methods.
func (w *Wrapping) effect() abi.Effect {
	effect := abi.EffectNone
	if !w.reaches() {
		return effect
	}
	for _, method := range w.methods() {
		switch method {
		case "GET", "HEAD", "OPTIONS":
			effect = effect.Join(abi.EffectRead)
		case "DELETE":
			effect = effect.Join(abi.EffectIrreversible)
		default:
			effect = effect.Join(abi.EffectWriteExternal)
		}
	}
	return effect
}

// sinks are all members of the input of a plug-in that reaches out: nobody knows
// which of them decide where a request goes.
func (w *Wrapping) sinks(a *abi.DescribedAction) []string {
	properties, _ := a.Input["properties"].(map[string]any)
	if !w.reaches() {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(properties)), func(name string) bool { return !memberPattern.MatchString(name) })
}

// notActions are exports of plug-ins that some toolchain made and nobody calls.
var notActions = []string{"malloc", "free", "calloc", "realloc", "memory", "hs_init", "asyncify_get_state", "asyncify_stop_unwind", "asyncify_stop_rewind"}

func (w *Wrapping) actions() ([]abi.DescribedAction, error) {
	var actions []abi.DescribedAction
	if w.Described != nil {
		for _, tool := range w.Described.Actions {
			if strings.TrimSpace(tool.Description) == "" {
				tool.Description = "The tool " + tool.Name + " of the plug-in."
			}
			tool.Description = bounded(oneLine(tool.Description))
			if tool.Output == nil {
				tool.Output = map[string]any{}
			}
			delete(tool.Input, "$schema") // a manifest's schemas are 2020-12
			delete(tool.Output, "$schema")
			actions = append(actions, tool)
		}
		return actions, w.named(actions)
	}
	for _, name := range w.Facts.Entries {
		if strings.HasPrefix(name, "_") || slices.Contains(notActions, name) {
			continue
		}
		actions = append(actions, abi.DescribedAction{
			Name: name, Description: "The export " + oneLine(name) + " of the plug-in.", Output: map[string]any{},
			Input: map[string]any{
				"type": "object", "properties": map[string]any{"input": map[string]any{"type": "string", "description": "The text that the plug-in reads"}},
				"additionalProperties": false,
			},
		})
	}
	return actions, w.named(actions)
}

// named finds what no manifest can hold: no action at all, or names that are none.
func (w *Wrapping) named(actions []abi.DescribedAction) error {
	op := "plug-in " + clip(w.File)
	if len(actions) == 0 {
		return writ.Errorf(writ.CodeInvalid, op, "it exports no function that can be an action: none without parameters and with an i32 or no result").
			WithFix("take an Extism plug-in, or one that exports list_tools and call_tool")
	}
	var bad []string
	for i := range actions {
		if !actionPattern.MatchString(actions[i].Name) {
			bad = append(bad, clip(actions[i].Name))
		}
	}
	if len(bad) > 0 {
		return writ.Errorf(writ.CodeInvalid, op, "no action can be named %q", bad).
			WithFix("an action's name begins with a letter and has letters, digits, _ . and -, at most 64: ask the plug-in's author for such names")
	}
	return nil
}

// bounded keeps a description within what a manifest takes.
func bounded(text string) string {
	if len(text) <= maxDescription {
		return text
	}
	return strings.ToValidUTF8(text[:maxDescription-3], "") + "..."
}

// oneLine keeps words from elsewhere out of what is structure here.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(c rune) bool {
		return c <= ' ' || c == 0x7f || c == 0x85 || c == 0x2028 || c == 0x2029 || c == 0xfeff
	}), " ")
}

// scalar, flow and document write JSON, which YAML reads as itself.
func scalar(text string) string { return document(text) }

func flow(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	return document(list)
}

func document(v any) string {
	raw, err := canon.MarshalJSON(v)
	if err != nil { // a number beyond what JSON carries: the check of the manifest says so
		raw, _ = json.Marshal(fmt.Sprint(v))
	}
	var b strings.Builder
	for _, c := range string(raw) { // YAML wants what does not print escaped, JSON does not
		if c >= 0x7f && !unicode.IsPrint(c) {
			for _, half := range utf16.Encode([]rune{c}) {
				_, _ = fmt.Fprintf(&b, "\\u%04x", half)
			}
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}
