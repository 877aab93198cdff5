package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// encode writes an output. A nil slice or map is written as empty and not as
// null: the schema says array or object.
func encode(out any) ([]byte, error) {
	fillEmpty(reflect.ValueOf(out), 0)
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	return raw, nil
}

// maxDepth is where a host stops reading JSON; a value that points to itself
// would have no end.
const maxDepth = 128

// fillEmpty replaces nil slices and maps by empty ones in everything that v
// points to, except within types that write their own JSON.
func fillEmpty(v reflect.Value, depth int) {
	if depth > maxDepth || writesItself(v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillEmpty(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for field, member := range v.Fields() {
			if field.IsExported() || field.Anonymous {
				fillEmpty(member, depth+1)
			}
		}
	case reflect.Slice:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		fillItems(v, depth)
	case reflect.Array:
		fillItems(v, depth)
	case reflect.Map:
		fillMap(v, depth)
	}
}

func writesItself(v reflect.Value) bool {
	if !v.IsValid() {
		return true
	}
	_, special := specialSchema(v.Type())
	return special
}

func fillItems(v reflect.Value, depth int) {
	for i := range v.Len() {
		fillEmpty(v.Index(i), depth+1)
	}
}

// fillMap copies the values, which cannot be set in place.
func fillMap(v reflect.Value, depth int) {
	if v.IsNil() {
		if v.CanSet() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		return
	}
	for iter := v.MapRange(); iter.Next(); {
		filled := reflect.New(v.Type().Elem()).Elem()
		filled.Set(iter.Value())
		fillEmpty(filled, depth+1)
		v.SetMapIndex(iter.Key(), filled)
	}
}
