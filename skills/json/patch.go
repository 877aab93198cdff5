package main

import (
	"encoding/json"
	"errors"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/jsonschema-go/jsonschema"
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

func validate(_ *sdk.Context, in ValidateIn) (ValidateOut, error) {
	raw, err := json.Marshal(in.Schema)
	if err != nil {
		return ValidateOut{}, err
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(raw, &schema); err != nil {
		return ValidateOut{}, sdk.Fail("bad_schema", err.Error())
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return ValidateOut{}, sdk.Fail("bad_schema", err.Error())
	}
	if err := resolved.Validate(in.Value); err != nil {
		return ValidateOut{Problem: err.Error()}, nil
	}
	return ValidateOut{Valid: true}, nil
}

var (
	_ = sdk.Action("patch", patch)
	_ = sdk.Action("diff", diff)
	_ = sdk.Action("validate", validate)
)
