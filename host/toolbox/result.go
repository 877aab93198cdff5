package toolbox

import (
	"encoding/json"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
)

var compiledResults = sync.OnceValues(func() (map[string]*jsonschema.Resolved, error) {
	schemas, err := Schemas()
	if err != nil {
		return nil, err
	}
	out := map[string]*jsonschema.Resolved{}
	for _, s := range schemas {
		var schema jsonschema.Schema
		if err := json.Unmarshal(s.Result, &schema); err != nil {
			return nil, writ.Errorf(writ.CodeInternal, "tool "+s.Tool, "schema of the result: %w", err)
		}
		if out[s.Tool], err = schema.Resolve(nil); err != nil {
			return nil, writ.Errorf(writ.CodeInternal, "tool "+s.Tool, "schema of the result: %w", err)
		}
	}
	return out, nil
})

// CheckResult implements writ.Toolbox.
func (t *Toolbox) CheckResult(tool string, result []byte) error {
	schemas, err := compiledResults()
	if err != nil {
		return err
	}
	schema, ok := schemas[tool]
	if !ok {
		return writ.Errorf(writ.CodeInvalid, "tool "+tool, "this host has no such tool")
	}
	var value any
	if err := json.Unmarshal(result, &value); err != nil {
		return writ.Errorf(writ.CodeInvalid, "answer of "+tool, "is not JSON")
	}
	if err := schema.Validate(value); err != nil {
		return writ.Errorf(writ.CodeInvalid, "answer of "+tool, "does not fit the tool's result: %w", err).
			WithFix("see the result of %s in docs/tools.md", tool)
	}
	return nil
}
