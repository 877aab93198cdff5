package registry

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/abi"
)

// shape compares a JSON value with a Go type and finds every member that is
// unknown, missing or of the wrong type, where encoding/json would stop at the
// first, match names without regard to case and not say the place.
type shape struct{ found defects }

var (
	rawType      = reflect.TypeFor[json.RawMessage]()
	bytesType    = reflect.TypeFor[abi.Bytes]()
	durationType = reflect.TypeFor[abi.Duration]()
)

func (s *shape) check(t reflect.Type, v any, pointer string) {
	switch t {
	case rawType:
		if _, ok := v.(map[string]any); !ok {
			s.wrong(pointer, v, "a JSON Schema: an object", "write `type: object` with its properties")
		}
		return
	case bytesType:
		if _, err := abi.ParseBytes(scalarText(v)); err != nil {
			s.wrong(pointer, v, "a size", "write a number of bytes such as 1048576 or 64MiB")
		}
		return
	case durationType:
		text, ok := v.(string)
		var d abi.Duration
		if !ok || d.UnmarshalJSON([]byte(strconv.Quote(text))) != nil {
			s.wrong(pointer, v, "a span of time", `write a span such as "10s" or "1m30s"`)
		}
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		s.object(t, v, pointer)
	case reflect.Slice:
		s.list(t, v, pointer)
	case reflect.String:
		if _, ok := v.(string); !ok {
			s.wrong(pointer, v, "a string", "put the value in quotes")
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			s.wrong(pointer, v, "true or false", "write true or false without quotes")
		}
	default: // the integers: Limits.Fuel and Limits.Calls
		number, _ := v.(json.Number)
		if n, err := strconv.ParseUint(number.String(), 10, 63); err != nil || n > 1<<53-1 {
			s.wrong(pointer, v, "a whole number", "write a number from 0 to 9007199254740991")
		}
	}
}

func (s *shape) list(t reflect.Type, v any, pointer string) {
	items, ok := v.([]any)
	if !ok {
		s.wrong(pointer, v, "a list", "write a list, one item a line with a dash")
		return
	}
	for i, item := range items {
		s.check(t.Elem(), item, pointer+"/"+strconv.Itoa(i))
	}
}

func (s *shape) object(t reflect.Type, v any, pointer string) {
	object, ok := v.(map[string]any)
	if !ok {
		s.wrong(pointer, v, "an object", "write members, one `name: value` a line")
		return
	}
	names := []string{}
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
		member := pointer + "/" + name
		value, there := object[name]
		switch {
		case there:
			s.check(t.Field(i).Type, value, member)
		case option == "" && t.Field(i).Type.Kind() == reflect.String:
			s.found.add(member, "add "+name, "%s is missing", name)
		}
	}
	for _, name := range sortedKeys(object) {
		if !slices.Contains(names, name) {
			s.found.add(pointer+"/"+escapePointer(name), "use one of "+strings.Join(names, ", ")+", or remove it",
				"%q is not a member here", clip(name))
		}
	}
}

func (s *shape) wrong(pointer string, v any, want, fix string) {
	if v == nil {
		s.found.add(pointer, fix+", or leave the member out", "is empty: want %s", want)
		return
	}
	s.found.add(pointer, fix, "is %s: want %s", kindOf(v), want)
}

func kindOf(v any) string {
	switch value := v.(type) {
	case string:
		return strconv.Quote(clip(value))
	case json.Number:
		return "the number " + clip(value.String())
	case bool:
		return strconv.FormatBool(value)
	case []any:
		return "a list"
	}
	return "an object"
}

func scalarText(v any) string {
	switch value := v.(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	}
	return ""
}

func sortedKeys(object map[string]any) []string {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
