package main

import (
	"encoding/json"
	"errors"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wI2L/jsondiff"

	"github.com/writ-run/writ/sdk"
)

// maxCopied bounds what the copy operations of one patch add: a few of them could
// double a document each.
const maxCopied = 4 << 20

// maxOperations bounds a patch.
const maxOperations = 10_000

// PatchIn is the input of patch.
type PatchIn struct {
	Value any              `json:"value" doc:"An object or a list"`
	Patch []map[string]any `json:"patch" doc:"JSON Patch (RFC 6902): operations add, remove, replace, move, copy and test"`
}

func patch(_ *sdk.Context, in PatchIn) (AnyOut, error) {
	if len(in.Patch) > maxOperations {
		return AnyOut{}, sdk.Fail("bad_patch", "the patch has too many operations")
	}
	document, err := json.Marshal(in.Value)
	if err != nil {
		return AnyOut{}, err
	}
	raw, err := json.Marshal(in.Patch)
	if err != nil {
		return AnyOut{}, err
	}
	operations, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		return AnyOut{}, sdk.Fail("bad_patch", err.Error())
	}
	options := jsonpatch.NewApplyOptions()
	options.SupportNegativeIndices, options.AccumulatedCopySizeLimit = false, maxCopied
	changed, err := operations.ApplyWithOptions(document, options)
	switch {
	case errors.Is(err, jsonpatch.ErrTestFailed):
		return AnyOut{}, sdk.Fail("test_failed", err.Error())
	case err != nil:
		return AnyOut{}, sdk.Fail("bad_patch", err.Error())
	}
	var out AnyOut
	err = json.Unmarshal(changed, &out.Value)
	return out, err
}

// DiffIn is the input of diff.
type DiffIn struct {
	From any `json:"from"`
	To   any `json:"to"`
}

// DiffOut is the output of diff.
type DiffOut struct {
	Equal bool `json:"equal"`
	Patch any  `json:"patch" doc:"JSON Patch (RFC 6902) that makes the second of the first"`
}

func diff(_ *sdk.Context, in DiffIn) (DiffOut, error) {
	operations, err := jsondiff.Compare(in.From, in.To)
	if err != nil {
		return DiffOut{}, err
	}
	if len(operations) == 0 {
		return DiffOut{Equal: true, Patch: []any{}}, nil
	}
	return DiffOut{Patch: operations}, nil
}

// ValidateIn is the input of validate.
type ValidateIn struct {
	Value  any            `json:"value"`
	Schema map[string]any `json:"schema" doc:"JSON Schema 2020-12 that refers to nothing outside itself"`
}

// ValidateOut is the output of validate.
type ValidateOut struct {
	Valid   bool   `json:"valid"`
	Problem string `json:"problem" doc:"What is wrong, empty where it is valid"`
}

// schemaName is what the one schema is called while it is read.
const schemaName = "urn:schema"

// alone is a loader that knows nothing: a schema stands for itself.
type alone struct{}

// Load implements jsonschema.URLLoader.
func (alone) Load(url string) (any, error) {
	return nil, errors.New("it refers to " + url + ", which is outside of it")
}

func validate(_ *sdk.Context, in ValidateIn) (ValidateOut, error) {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(alone{})
	err := compiler.AddResource(schemaName, in.Schema)
	var schema *jsonschema.Schema
	if err == nil {
		schema, err = compiler.Compile(schemaName)
	}
	if err != nil {
		return ValidateOut{}, sdk.Fail("bad_schema", err.Error())
	}
	if err := schema.Validate(in.Value); err != nil {
		// The first line names the schema, which has no other name than ours.
		_, problem, _ := strings.Cut(err.Error(), "\n")
		return ValidateOut{Problem: problem}, nil
	}
	return ValidateOut{Valid: true}, nil
}

var (
	_ = sdk.Action("patch", patch)
	_ = sdk.Action("diff", diff)
	_ = sdk.Action("validate", validate)
)
