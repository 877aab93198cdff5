package toolbox

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

//go:embed schema/*.json
var schemaFiles embed.FS

// Schema is the public description of one tool.
type Schema struct {
	Tool      string          `json:"tool"`
	Title     string          `json:"title"`
	Effect    writ.Effect     `json:"effect"`    // the worst that a call can have
	Arguments json.RawMessage `json:"arguments"` // JSON Schema 2020-12; unknown members are refused
	Result    json.RawMessage `json:"result"`    // JSON Schema 2020-12
}

// Schemas describes every tool of writ.Tools, sorted by name. CodeInternal where
// a tool has no schema, which a test excludes.
func Schemas() ([]Schema, error) {
	var out []Schema
	for _, spec := range writ.Tools() {
		raw, err := schemaFiles.ReadFile("schema/" + spec.Name + ".json")
		if err != nil {
			return nil, writ.Errorf(writ.CodeInternal, "tool "+spec.Name, "has no schema")
		}
		schema := Schema{Tool: spec.Name, Title: spec.Title, Effect: spec.Effect}
		if err := json.Unmarshal(raw, &schema); err != nil {
			return nil, writ.Errorf(writ.CodeInternal, "tool "+spec.Name, "schema: %w", err)
		}
		out = append(out, schema)
	}
	return out, nil
}

// checker validates arguments member by member, so that a refusal names the
// member in words of ours: those of a library change with its version.
type checker struct {
	tool     string
	whole    *jsonschema.Resolved
	members  map[string]*jsonschema.Resolved
	hints    map[string]string // description of a member
	required []string
}

var compiledSchemas = sync.OnceValues(func() (map[string]*checker, error) {
	schemas, err := Schemas()
	if err != nil {
		return nil, err
	}
	out := map[string]*checker{}
	for _, s := range schemas {
		c, err := newChecker(s.Tool, s.Arguments)
		if err != nil {
			return nil, writ.Errorf(writ.CodeInternal, "tool "+s.Tool, "schema: %w", err)
		}
		out[s.Tool] = c
	}
	return out, nil
})

func newChecker(tool string, raw []byte) (*checker, error) {
	var schema jsonschema.Schema
	if err := json.Unmarshal(raw, &schema); err != nil {
		return nil, err
	}
	c := &checker{tool: tool, members: map[string]*jsonschema.Resolved{}, hints: map[string]string{}}
	c.required = slices.Sorted(slices.Values(schema.Required))
	for name, member := range schema.Properties {
		resolved, err := member.CloneSchemas().Resolve(nil)
		if err != nil {
			return nil, err
		}
		c.members[name], c.hints[name] = resolved, member.Description
	}
	var err error
	c.whole, err = schema.Resolve(nil)
	return c, err
}

// check returns nil where the arguments fit.
func (c *checker) check(args []byte) *abi.Failure {
	var object map[string]any
	if err := json.Unmarshal(args, &object); err != nil || object == nil {
		return c.refuse("are not a JSON object")
	}
	for _, name := range c.required {
		if _, ok := object[name]; !ok {
			return c.refuse("member %q is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		member, ok := c.members[name]
		if !ok {
			return c.refuse("member %q is not known", name)
		}
		if member.Validate(object[name]) != nil {
			return c.refuse("member %q does not fit: want %s", name, c.hints[name])
		}
	}
	if c.whole.Validate(object) != nil {
		return c.refuse("members exclude one another")
	}
	return nil
}

func (c *checker) refuse(format string, args ...any) *abi.Failure {
	return failInvalid("the arguments of "+c.tool+": "+fmt.Sprintf(format, args...), "see the schema of "+c.tool+" in docs/tools.md")
}
