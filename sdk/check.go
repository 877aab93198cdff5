package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// decode reads an input strictly: one JSON value, only the members that the
// schema names, in exactly its spelling, and all that it requires.
// encoding/json alone would take "NAME" for "name" and a missing member for zero.
func decode(raw []byte, schema map[string]any, into any) error {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("is not JSON: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("holds more than one JSON value")
	}
	if err := check(schema, value, ""); err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// check holds a value to a schema of this package's making; at is the RFC 6901
// pointer of the value.
func check(schema map[string]any, value any, at string) error {
	if want, ok := schema["type"]; ok && !isType(want, value) {
		return fmt.Errorf("%s: want %s, got %s", place(at), typeNames(want), typeName(value))
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Errorf("%s: %v is none of %v", place(at), value, enum)
	}
	switch v := value.(type) {
	case map[string]any:
		return checkObject(schema, v, at)
	case []any:
		return checkArray(schema, v, at)
	case float64:
		if least, ok := schema["minimum"].(int); ok && v < float64(least) {
			return fmt.Errorf("%s: want at least %d", place(at), least)
		}
	}
	return nil
}

func checkObject(schema, object map[string]any, at string) error {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			return fmt.Errorf("%s: is missing", at+"/"+name.(string))
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		inner, known := properties[name].(map[string]any)
		if !known {
			switch more := schema["additionalProperties"].(type) {
			case bool:
				return fmt.Errorf("%s: is not known", at+"/"+name)
			case map[string]any:
				inner = more
			}
		}
		if err := check(inner, object[name], at+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func checkArray(schema map[string]any, items []any, at string) error {
	if exact, ok := schema["maxItems"].(int); ok && len(items) != exact {
		return fmt.Errorf("%s: want %d items, got %d", place(at), exact, len(items))
	}
	inner, _ := schema["items"].(map[string]any)
	for i, item := range items {
		if err := check(inner, item, fmt.Sprintf("%s/%d", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func place(at string) string {
	if at == "" {
		return "the value"
	}
	return at
}

func isType(want, value any) bool {
	if list, ok := want.([]any); ok {
		return slices.ContainsFunc(list, func(one any) bool { return isType(one, value) })
	}
	got := typeName(value)
	if number, ok := value.(float64); ok && want == "integer" {
		return number == math.Trunc(number)
	}
	return want == got
}

func typeNames(want any) string {
	if list, ok := want.([]any); ok {
		return fmt.Sprintf("%v or %v", list[0], list[1])
	}
	return fmt.Sprint(want)
}

func typeName(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}
