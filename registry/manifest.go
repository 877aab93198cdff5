package registry

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

//go:embed manifest.schema.json
var manifestSchema []byte

// ManifestSchema is the JSON Schema (2020-12) of skill.yaml, for editors and
// docs. ParseManifest checks more than a schema can say.
func ManifestSchema() json.RawMessage { return slices.Clone(manifestSchema) }

// ParseManifest reads an author's skill.yaml. Schemas of a writ/v1 action may be
// missing: ApplyDescription takes them from the code. CodeInvalid carries every
// defect as []writ.Problem in Details, with its line and what to do.
func ParseManifest(file string, text []byte) (*abi.Manifest, error) {
	root, places, found := readYAML(text)
	if len(found) == 0 {
		var m *abi.Manifest
		if m, found = fromYAML(root); len(found) == 0 {
			return m, nil
		}
	}
	list := problems(file, places, found)
	return nil, &writ.Error{
		Code: writ.CodeInvalid, Op: "skill manifest", Message: list[0].Message, Fix: list[0].Fix,
		Place: placeOf(&list[0]), Details: list,
	}
}

func fromYAML(root any) (*abi.Manifest, defects) {
	raw, err := canon.MarshalJSON(root)
	var bad *canon.InputError
	if errors.As(err, &bad) {
		return nil, defects{{bad.Path, writ.IssueManifestInvalid, bad.Message, "write integers of at most 2^53-1, larger ones as text"}}
	}
	if err != nil {
		return nil, defects{{"", writ.IssueManifestInvalid, clip(err.Error()), "see docs/skills.md"}}
	}
	m, found := decodeManifest(root, raw)
	if len(found) > 0 {
		return nil, found
	}
	return m, checkManifest(m, false)
}

func placeOf(p *writ.Problem) string {
	return p.File + ":" + itoa(p.Line) + ":" + itoa(p.Column)
}

const packAgain = "pack the skill again with writ skill build"

// readManifest reads a manifest that must be complete.
func readManifest(raw []byte) (*abi.Manifest, defects) {
	if err := canon.CheckJSON(raw); err != nil {
		return nil, defects{{"", writ.IssueManifestInvalid, clip(err.Error()), packAgain}}
	}
	return readChecked(raw)
}

// readChecked is readManifest for JSON that has passed canon.CheckJSON.
func readChecked(raw []byte) (*abi.Manifest, defects) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var root any
	if err := decoder.Decode(&root); err != nil {
		return nil, defects{{"", writ.IssueManifestInvalid, clip(err.Error()), packAgain}}
	}
	m, found := decodeManifest(root, raw)
	if len(found) > 0 {
		return nil, found
	}
	return m, checkManifest(m, true)
}

// decodeManifest turns a document and its JSON into the type. A schema version
// that this host does not know ends the reading: its members may mean something
// else.
func decodeManifest(root any, raw []byte) (*abi.Manifest, defects) {
	if object, ok := root.(map[string]any); ok {
		if version, ok := object["apiVersion"].(string); ok && version != abi.ManifestVersion {
			return nil, defects{{
				"/apiVersion", writ.IssueSchemaVersion, "is " + kindOf(version) + ": this host reads " + abi.ManifestVersion,
				"write apiVersion: " + abi.ManifestVersion + ", or use a host that reads the other version",
			}}
		}
	}
	var s shape
	s.check(reflect.TypeFor[abi.Manifest](), root, "")
	if len(s.found) > 0 {
		return nil, s.found
	}
	m := &abi.Manifest{}
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, defects{{"", writ.IssueManifestInvalid, clip(err.Error()), "see docs/skills.md"}}
	}
	return m, nil
}

// ApplyDescription fills in the schemas that the module describes of itself. A
// schema that the manifest already has must be the same: code and manifest must
// not drift. CodeInvalid with []writ.Problem in Details.
func ApplyDescription(m *abi.Manifest, d *abi.Description) error {
	var found defects
	described := map[string]*abi.DescribedAction{}
	for i := range d.Actions {
		described[d.Actions[i].Name] = &d.Actions[i]
	}
	for i := range m.Actions {
		a, pointer := &m.Actions[i], "/actions/"+itoa(i)
		code, ok := described[a.Name]
		if !ok {
			found.add(pointer, "register the action in the code, or remove it from the manifest", "the module has no action %q", a.Name)
			continue
		}
		delete(described, a.Name)
		fill(&found, pointer+"/input", &a.Input, code.Input)
		fill(&found, pointer+"/output", &a.Output, code.Output)
	}
	for _, a := range d.Actions {
		if described[a.Name] != nil {
			found.add("/actions", "add the action to the manifest with its effects", "the module's action %q is not in the manifest", clip(a.Name))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return &writ.Error{
		Code: writ.CodeInvalid, Op: "skill " + m.Name + ": describe", Message: found[0].message,
		Fix: found[0].fix, Details: problems("skill.yaml", nil, found),
	}
}

func fill(found *defects, pointer string, into *json.RawMessage, schema map[string]any) {
	raw, err := canon.MarshalJSON(schema)
	if err != nil {
		found.add(pointer, "describe a JSON Schema", "%s", clip(err.Error()))
		return
	}
	if len(*into) == 0 {
		*into = raw
		return
	}
	if have, err := canon.JSON(*into); err != nil || !bytes.Equal(have, raw) {
		found.add(pointer, "remove the schema from the manifest: it is taken from the code", "the schema differs from what the module describes")
	}
}
