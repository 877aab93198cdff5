package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The validator follows references as it meets them. One that comes back to
// itself without going into the value would never end and take the process with
// it, so such schemas are refused, and so is every way of naming a schema but
// the pointer, which alone shows where it leads.

// inPlace are the keywords whose schemas judge the same value.
var inPlace = []string{"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}

// renaming are the keywords that name schemas in another way.
var renaming = []string{"$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor"}

// checkReferences refuses references that are not pointers or that loop.
func checkReferences(raw []byte) error {
	var root any
	if err := json.Unmarshal(raw, &root); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	c := &referenceCheck{root: root, state: map[string]int{}}
	return c.all("", root, 0)
}

type referenceCheck struct {
	root  any
	state map[string]int // by pointer: 1 while it is being followed, 2 when done
}

// all starts from every object of the document: more than the schemas, which
// does no harm.
func (c *referenceCheck) all(pointer string, value any, depth int) error {
	if depth > 2*maxSchemaDepth {
		return fmt.Errorf("schema is nested deeper than %d levels", maxSchemaDepth)
	}
	switch t := value.(type) {
	case []any:
		for i, item := range t {
			if err := c.all(fmt.Sprintf("%s/%d", pointer, i), item, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		if err := named(t, pointer); err != nil {
			return err
		}
		if err := c.follow(pointer, t); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(t)) {
			if err := c.all(pointerTo(pointer, name), t[name], depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func named(s map[string]any, pointer string) error {
	for _, keyword := range renaming {
		if _, ok := s[keyword].(string); ok {
			return fmt.Errorf("schema: %s at %s is not supported, only $ref with a pointer", keyword, orRoot(pointer))
		}
	}
	if _, ok := s["$id"].(string); ok && pointer != "" {
		return fmt.Errorf("schema: $id at %s is not supported inside a schema", orRoot(pointer))
	}
	return nil
}

func orRoot(pointer string) string {
	if pointer == "" {
		return "/"
	}
	return pointer
}

// follow walks what judges the same value as the schema at the pointer.
func (c *referenceCheck) follow(pointer string, value any) error {
	s, ok := value.(map[string]any)
	if !ok || c.state[pointer] == 2 {
		return nil
	}
	if c.state[pointer] == 1 {
		return fmt.Errorf("schema: %s refers to itself without end", orRoot(pointer))
	}
	c.state[pointer] = 1
	if ref, ok := s["$ref"].(string); ok {
		target, err := c.target(ref)
		if err != nil {
			return err
		}
		if err := c.follow(strings.TrimPrefix(ref, "#"), target); err != nil {
			return err
		}
	}
	for _, keyword := range inPlace {
		if err := c.each(pointerTo(pointer, keyword), s[keyword], keyword); err != nil {
			return err
		}
	}
	c.state[pointer] = 2
	return nil
}

// each follows a keyword's schema, or its list or map of schemas.
func (c *referenceCheck) each(pointer string, value any, keyword string) error {
	switch t := value.(type) {
	case []any:
		for i, item := range t {
			if err := c.follow(fmt.Sprintf("%s/%d", pointer, i), item); err != nil {
				return err
			}
		}
	case map[string]any:
		if keyword != "dependentSchemas" {
			return c.follow(pointer, t)
		}
		for _, name := range slices.Sorted(maps.Keys(t)) {
			if err := c.follow(pointerTo(pointer, name), t[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *referenceCheck) target(ref string) (any, error) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok || (pointer != "" && !strings.HasPrefix(pointer, "/")) || strings.Contains(pointer, "%") {
		return nil, fmt.Errorf("schema: $ref %q is not a pointer into the schema", clip(ref))
	}
	at := c.root
	if pointer == "" {
		return at, nil
	}
	for segment := range strings.SplitSeq(pointer[1:], "/") {
		object, _ := at.(map[string]any)
		next, ok := object[pointerUnescape.Replace(segment)]
		if !ok {
			return nil, fmt.Errorf("schema: $ref %q leads nowhere", clip(ref))
		}
		at = next
	}
	return at, nil
}
