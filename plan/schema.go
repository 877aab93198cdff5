package plan

import (
	"encoding/json"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// maxSchemaBytes bounds one schema of an action; generated ones stay under 32 KiB.
const maxSchemaBytes = 256 << 10

// schema is a JSON Schema of an action in all the forms that are needed.
type schema struct {
	canonical []byte
	digest    writ.Digest
	shape     *shape
	validator *jsonschema.Resolved
	members   map[string]*jsonschema.Resolved // of the top level, where they stand alone
}

// schema reads a schema, with a cache: a catalogue has few and plans use them often.
func (p *Planner) schema(raw json.RawMessage) (*schema, error) {
	if known, ok := p.schemas.get(string(raw)); ok {
		return known, nil
	}
	s, err := readSchema(raw)
	if err != nil {
		return nil, err
	}
	p.schemas.put(string(raw), s)
	return s, nil
}

func readSchema(raw json.RawMessage) (*schema, error) {
	if len(raw) > maxSchemaBytes {
		return nil, fmt.Errorf("schema has %d bytes, at most %d are taken", len(raw), maxSchemaBytes)
	}
	canonical, err := canon.JSON(raw)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	s := &schema{canonical: canonical, digest: canon.Sum(canon.DomainSchema, canonical), members: map[string]*jsonschema.Resolved{}}
	if err := checkReferences(canonical); err != nil {
		return nil, err
	}
	if s.shape, err = readShape(canonical); err != nil {
		return nil, err
	}
	if s.validator, err = validator(canonical); err != nil {
		return nil, err
	}
	var root map[string]json.RawMessage
	if json.Unmarshal(canonical, &root) != nil {
		return s, nil // a boolean schema has no members
	}
	var properties map[string]json.RawMessage
	if json.Unmarshal(root["properties"], &properties) != nil {
		return s, nil
	}
	for name, property := range properties {
		if alone, err := validator(standalone(property, root)); err == nil {
			s.members[name] = alone
		}
	}
	return s, nil
}

// standalone gives a member's schema the definitions that it may refer to.
func standalone(property json.RawMessage, root map[string]json.RawMessage) []byte {
	var object map[string]json.RawMessage
	if json.Unmarshal(property, &object) != nil {
		return property
	}
	for _, name := range []string{"$defs", "definitions"} {
		if definitions, ok := root[name]; ok && object[name] == nil {
			object[name] = definitions
		}
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return property
	}
	return raw
}

// validator resolves a schema; references that leave the document are refused.
func validator(raw []byte) (*jsonschema.Resolved, error) {
	var s jsonschema.Schema
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return resolved, nil
}
