package policy

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/writ-run/writ"
)

// TestTheSchemaKnowsEveryMember: a rule that reads what a question has must compile.
func TestTheSchemaKnowsEveryMember(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(inputSchema, &schema); err != nil {
		t.Fatal(err)
	}
	q := &writ.Question{}
	fill(reflect.ValueOf(q).Elem())
	raw, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var question any
	if err := json.Unmarshal(raw, &question); err != nil {
		t.Fatal(err)
	}
	seen := 0
	var walk func(at string, value any, in map[string]any)
	walk = func(at string, value any, in map[string]any) {
		if ref, ok := in["$ref"].(string); ok {
			in = schema["definitions"].(map[string]any)[ref[len("#/definitions/"):]].(map[string]any)
		}
		switch value := value.(type) {
		case map[string]any:
			properties, ok := in["properties"].(map[string]any)
			if !ok {
				return // whatever an input or arguments hold
			}
			for name, inner := range value {
				of, ok := properties[name].(map[string]any)
				if !ok {
					t.Errorf("%s/%s is not in input.schema.json", at, name)
					continue
				}
				seen++
				walk(at+"/"+name, inner, of)
			}
		case []any:
			items, _ := in["items"].(map[string]any)
			for _, inner := range value {
				walk(at, inner, items)
			}
		}
	}
	walk("", question, schema)
	if seen < 80 {
		t.Errorf("only %d members: the question is not full", seen)
	}
}

// fill makes nothing of a value zero, so that nothing is left out of its JSON.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`{}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint64:
		v.SetUint(1)
	case reflect.Uint8:
		v.SetUint(1)
	}
}
