package sdk

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Schemas are JSON Schema 2020-12, derived from Go types the way encoding/json
// reads and writes them. Only the keywords that check understands are used.

var (
	timeType          = reflect.TypeFor[time.Time]()
	numberType        = reflect.TypeFor[json.Number]()
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

// schemaOf is the schema of an action's input or output, which is always an
// object.
func schemaOf[T any](action, side string) map[string]any {
	schema := deriveSchema(reflect.TypeFor[T](), nil)
	if schema["type"] != "object" {
		panic(fmt.Sprintf("sdk: action %q: the %s type %s is no JSON object: use a struct", action, side, reflect.TypeFor[T]()))
	}
	return schema
}

// deriveSchema is the schema of one type. A type within itself is left open
// ({}): decoding still holds it to its Go type.
func deriveSchema(t reflect.Type, within []reflect.Type) map[string]any {
	if slices.Contains(within, t) {
		return map[string]any{}
	}
	within = append(within, t)
	if schema, ok := specialSchema(t); ok {
		return schema
	}
	switch t.Kind() {
	case reflect.Pointer:
		return orNull(deriveSchema(t.Elem(), within))
	case reflect.Struct:
		return structSchema(t, within)
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": deriveSchema(t.Elem(), within)}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": "array", "items": deriveSchema(t.Elem(), within)}
	case reflect.Array:
		return map[string]any{"type": "array", "items": deriveSchema(t.Elem(), within), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Interface:
		return map[string]any{}
	}
	return scalarSchema(t)
}

// specialSchema knows the types that write their own JSON.
func specialSchema(t reflect.Type) (map[string]any, bool) {
	switch {
	case t == timeType:
		return map[string]any{"type": "string", "format": "date-time"}, true
	case t == numberType:
		return map[string]any{"type": "number"}, true
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		return nil, false
	case t.Implements(marshalerType) || reflect.PointerTo(t).Implements(marshalerType):
		return map[string]any{}, true
	case t.Implements(textMarshalerType) || reflect.PointerTo(t).Implements(textMarshalerType):
		return map[string]any{"type": "string"}, true
	}
	return nil, false
}

func scalarSchema(t reflect.Type) map[string]any {
	switch kind := t.Kind(); {
	case kind == reflect.String:
		return map[string]any{"type": "string"}
	case kind == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case kind >= reflect.Int && kind <= reflect.Int64:
		return map[string]any{"type": "integer"}
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case kind == reflect.Float32 || kind == reflect.Float64:
		return map[string]any{"type": "number"}
	}
	panic(fmt.Sprintf("sdk: type %s has no form in JSON", t))
}

func orNull(schema map[string]any) map[string]any {
	if name, ok := schema["type"].(string); ok {
		schema["type"] = []any{name, "null"}
	}
	return schema
}

func structSchema(t reflect.Type, within []reflect.Type) map[string]any {
	properties, required := map[string]any{}, []any{}
	addFields(t, within, properties, &required)
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// addFields adds the struct's own fields before those of embedded structs, which
// they hide.
func addFields(t reflect.Type, within []reflect.Type, properties map[string]any, required *[]any) {
	var embedded []reflect.Type
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if inner, ok := embeddedStruct(field); ok && name == "" {
			embedded = append(embedded, inner)
			continue
		}
		if !field.IsExported() || (name == "-" && options == "") {
			continue
		}
		if name == "" {
			name = field.Name
		}
		if _, hidden := properties[name]; hidden {
			continue
		}
		optional := hasOption(options, "omitempty") || hasOption(options, "omitzero")
		properties[name] = fieldSchema(field, options, optional, within)
		if !optional {
			*required = append(*required, name)
		}
	}
	for _, inner := range embedded {
		addFields(inner, append(within, inner), properties, required)
	}
}

func embeddedStruct(field reflect.StructField) (reflect.Type, bool) {
	t := field.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !field.Anonymous || t.Kind() != reflect.Struct {
		return nil, false
	}
	_, special := specialSchema(t)
	return t, !special
}

func fieldSchema(field reflect.StructField, options string, optional bool, within []reflect.Type) map[string]any {
	t := field.Type
	if optional && t.Kind() == reflect.Pointer {
		t = t.Elem() // left out where nil, so never null
	}
	schema := deriveSchema(t, within)
	if hasOption(options, "string") {
		schema = map[string]any{"type": "string"}
	}
	if doc := field.Tag.Get("doc"); doc != "" {
		schema["description"] = doc
	}
	if list := field.Tag.Get("enum"); list != "" {
		addEnum(field, schema, strings.Split(list, ","))
	}
	return schema
}

// addEnum holds a string, or the items of a list of strings, to the values.
func addEnum(field reflect.StructField, schema map[string]any, values []string) {
	target := schema
	if items, ok := schema["items"].(map[string]any); ok {
		target = items
	}
	allowed := make([]any, 0, len(values)+1)
	for _, value := range values {
		allowed = append(allowed, strings.TrimSpace(value))
	}
	switch kind := target["type"].(type) {
	case string:
		if kind != "string" {
			panic(fmt.Sprintf("sdk: field %s: an enum tag needs a string or a list of strings", field.Name))
		}
	default: // a pointer to a string
		allowed = append(allowed, nil)
	}
	target["enum"] = allowed
}

func hasOption(options, want string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if option == want {
			return true
		}
	}
	return false
}
