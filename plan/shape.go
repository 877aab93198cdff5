package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

type shapeKind int

// The kinds of a shape. The zero kind takes anything.
const (
	shapeDyn shapeKind = iota
	shapeNull
	shapeBool
	shapeInt
	shapeNumber
	shapeString
	shapeList
	shapeMap    // members of any name, all of one shape
	shapeObject // named members
)

var shapeNames = [...]string{"any", "null", "boolean", "integer", "number", "string", "array", "object", "object"}

// shape is what the type system needs of a JSON Schema. Keywords that a type
// cannot hold (patterns, bounds, alternatives) are left to the validator, which
// sees the whole input before a step runs.
type shape struct {
	kind     shapeKind
	nullable bool
	members  map[string]*shape // of an object; shapes of a recursive schema are cyclic
	required []string          // sorted
	extra    *shape            // of members without a name: map, and object where it is open
	item     *shape            // of a list
	most     uint64            // maxItems or maxLength, 0 where not said
}

// String is the shape in messages: JSON Schema's names.
func (s *shape) String() string {
	if s.kind == shapeList && s.item != nil && s.item.kind != shapeDyn {
		return "array of " + shapeNames[s.item.kind]
	}
	return shapeNames[s.kind]
}

// names of the members, sorted.
func (s *shape) names() []string { return slices.Sorted(maps.Keys(s.members)) }

var dyn = &shape{}

// maxSchemaDepth bounds recursion through nested schemas; one that refers to
// itself is a cycle of shapes and costs no depth.
const maxSchemaDepth = 64

// shapeReader derives shapes from one schema document.
type shapeReader struct {
	root any
	refs map[string]*shape
}

// readShape is the shape of a schema.
func readShape(raw []byte) (*shape, error) {
	var root any
	if err := json.Unmarshal(raw, &root); err != nil {
		return nil, fmt.Errorf("schema is not JSON: %w", err)
	}
	switch root.(type) {
	case map[string]any, bool:
	default:
		return nil, fmt.Errorf("schema is neither an object nor a boolean")
	}
	r := &shapeReader{root: root, refs: map[string]*shape{}}
	return r.read(root, 0)
}

func (r *shapeReader) read(schema any, depth int) (*shape, error) {
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("schema is nested deeper than %d levels", maxSchemaDepth)
	}
	s, ok := schema.(map[string]any)
	if !ok {
		return dyn, nil
	}
	if ref, ok := s["$ref"].(string); ok {
		return r.ref(ref, depth)
	}
	if inner, ok := nullableAlternative(s); ok {
		got, err := r.read(inner, depth+1)
		if err != nil {
			return nil, err
		}
		copied := *got
		copied.nullable = true
		return &copied, nil
	}
	out := &shape{}
	return out, r.fill(out, s, depth)
}

// ref follows a reference within the document; any other is not typed.
func (r *shapeReader) ref(ref string, depth int) (*shape, error) {
	if known, ok := r.refs[ref]; ok {
		return known, nil
	}
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return dyn, nil
	}
	target := r.root
	for segment := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		object, _ := target.(map[string]any)
		next, ok := object[pointerUnescape.Replace(segment)]
		if !ok {
			return nil, fmt.Errorf("schema: $ref %s leads nowhere", ref)
		}
		target = next
	}
	s, ok := target.(map[string]any)
	if !ok || s["$ref"] != nil {
		return dyn, nil // a chain of references may be a loop, and says nothing
	}
	out := &shape{}
	r.refs[ref] = out // before its members: they may refer back
	return out, r.fill(out, s, depth+1)
}

// nullableAlternative recognises anyOf or oneOf of one schema and null.
func nullableAlternative(s map[string]any) (any, bool) {
	for _, keyword := range []string{"anyOf", "oneOf"} {
		list, ok := s[keyword].([]any)
		if !ok || len(list) != 2 || s["type"] != nil {
			continue
		}
		for i, alternative := range list {
			if object, ok := alternative.(map[string]any); ok && object["type"] == "null" {
				return list[1-i], true
			}
		}
	}
	return nil, false
}

// opening are keywords that may allow members beyond properties.
var opening = []string{"allOf", "anyOf", "oneOf", "if", "dependentSchemas", "patternProperties", "$dynamicRef", "unevaluatedProperties"}

func (r *shapeReader) fill(out *shape, s map[string]any, depth int) error {
	kind, nullable, known := schemaType(s)
	if !known {
		return nil
	}
	out.kind, out.nullable = kind, nullable
	var err error
	switch kind {
	case shapeString:
		out.most = count(s["maxLength"])
	case shapeList:
		out.most, out.item = count(s["maxItems"]), dyn
		if items, ok := s["items"]; ok && s["prefixItems"] == nil {
			out.item, err = r.read(items, depth+1)
		}
	case shapeMap:
		err = r.object(out, s, depth)
	}
	return err
}

func (r *shapeReader) object(out *shape, s map[string]any, depth int) error {
	open := slices.ContainsFunc(opening, func(keyword string) bool { return s[keyword] != nil })
	additional, said := s["additionalProperties"]
	properties, named := s["properties"].(map[string]any)
	if open || (said && additional != false) {
		out.extra = dyn
		if _, typed := additional.(map[string]any); typed && !open {
			extra, err := r.read(additional, depth+1)
			if err != nil {
				return err
			}
			out.extra = extra
		}
	}
	if list, ok := s["required"].([]any); ok {
		for _, name := range list {
			if text, ok := name.(string); ok {
				out.required = append(out.required, text)
			}
		}
		slices.Sort(out.required)
	}
	if !named && !(said && additional == false) {
		if out.extra == nil {
			out.extra = dyn
		}
		return nil
	}
	out.kind, out.members = shapeObject, map[string]*shape{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		got, err := r.read(properties[name], depth+1)
		if err != nil {
			return err
		}
		out.members[name] = got
	}
	return nil
}

var schemaKinds = map[string]shapeKind{
	"null": shapeNull, "boolean": shapeBool, "integer": shapeInt, "number": shapeNumber,
	"string": shapeString, "array": shapeList, "object": shapeMap,
}

// schemaType is the one type of a schema, besides null. Where it is not said it
// follows from what the schema constrains.
func schemaType(s map[string]any) (kind shapeKind, nullable, known bool) {
	var types []any
	switch t := s["type"].(type) {
	case string:
		types = []any{t}
	case []any:
		types = t
	default:
		return impliedType(s)
	}
	for _, t := range types {
		name, _ := t.(string)
		next, ok := schemaKinds[name]
		switch {
		case !ok:
			return shapeDyn, false, false
		case next == shapeNull && len(types) > 1:
			nullable = true
		case known:
			return shapeDyn, false, false
		default:
			kind, known = next, true
		}
	}
	return kind, nullable, known
}

func impliedType(s map[string]any) (kind shapeKind, nullable, known bool) {
	if s["properties"] != nil {
		return shapeMap, false, true
	}
	values, _ := s["enum"].([]any)
	if constant, ok := s["const"]; ok {
		values = []any{constant}
	}
	for _, value := range values {
		if _, ok := value.(string); !ok {
			return shapeDyn, false, false
		}
	}
	return shapeString, false, len(values) > 0
}

func count(v any) uint64 {
	if f, ok := v.(float64); ok && f > 0 && f < 1<<40 {
		return uint64(f)
	}
	return 0
}

// literalShape is the shape of a JSON value: how `inputs` is typed.
func literalShape(v any) *shape {
	switch t := v.(type) {
	case bool:
		return &shape{kind: shapeBool}
	case json.Number:
		if strings.ContainsAny(t.String(), ".eE") {
			return &shape{kind: shapeNumber}
		}
		return &shape{kind: shapeInt}
	case string:
		return &shape{kind: shapeString, most: uint64(len(t)) + 1}
	case []any:
		out := &shape{kind: shapeList, item: dyn, most: uint64(len(t)) + 1}
		for i, item := range t {
			next := literalShape(item)
			if i > 0 && (next.kind != out.item.kind || next.kind >= shapeList) {
				out.item = dyn
				break
			}
			out.item = next
		}
		return out
	case map[string]any:
		out := &shape{kind: shapeObject, members: map[string]*shape{}}
		for name, value := range t {
			out.members[name] = literalShape(value)
			out.required = append(out.required, name)
		}
		slices.Sort(out.required)
		return out
	}
	return dyn
}

// fits says why a value of shape have may never be where want is; empty where
// it may. What is not known is left to the validator.
func fits(have, want *shape, depth int) string {
	if have.kind == shapeDyn || want.kind == shapeDyn || depth > maxSchemaDepth {
		return ""
	}
	switch {
	case have.kind == shapeNull:
		if want.nullable || want.kind == shapeNull {
			return ""
		}
	case have.kind == shapeInt && want.kind == shapeNumber:
		return ""
	case have.kind == shapeList && want.kind == shapeList:
		return fits(have.item, want.item, depth+1)
	case have.kind == shapeMap && (want.kind == shapeMap || want.kind == shapeObject):
		if want.kind == shapeMap {
			return fits(have.extra, want.extra, depth+1)
		}
		return ""
	case have.kind == shapeObject && (want.kind == shapeMap || want.kind == shapeObject):
		return objectFits(have, want, depth)
	case have.kind == want.kind:
		return ""
	}
	return fmt.Sprintf("is of type %s, not %s", have, want)
}

func objectFits(have, want *shape, depth int) string {
	for _, name := range want.required {
		if _, ok := have.members[name]; !ok && have.extra == nil {
			return fmt.Sprintf("has no member %s, which is required", name)
		}
	}
	for _, name := range have.names() {
		target, ok := want.members[name]
		if !ok {
			target = want.extra
		}
		if target == nil {
			return fmt.Sprintf("has a member %s, which is not taken", name)
		}
		if reason := fits(have.members[name], target, depth+1); reason != "" {
			return "member " + name + " " + reason
		}
	}
	return ""
}
