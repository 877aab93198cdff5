package contract

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
)

// fault is the first place where a value does not fit its schema.
type fault struct{ place, message, fix string }

// within is the fault of a member as one of the value that holds it. Places are
// put together on the way back: almost every input has none.
func (f *fault) within(token string) *fault {
	if f != nil {
		f.place = "/" + escape(token) + f.place
	}
	return f
}

// findFault explains the schemas that this package derives from Go types:
// objects, lists and scalars. Everything else is left to the validator.
func findFault(s *jsonschema.Schema, value any) *fault {
	if s == nil || (s.Type == "" && len(s.Types) == 0) {
		return nil
	}
	if have := jsonType(value); s.Type != "" && have != s.Type && (have != "integer" || s.Type != "number") {
		return &fault{
			message: fmt.Sprintf("is %s, but the contract wants %s", article(have), article(s.Type)),
			fix:     "change it to " + article(s.Type),
		}
	}
	switch v := value.(type) {
	case map[string]any:
		return objectFault(s, v)
	case []any:
		for i, item := range v {
			if f := findFault(s.Items, item); f != nil {
				return f.within(strconv.Itoa(i))
			}
		}
	case string:
		return stringFault(s, v)
	}
	return nil
}

func objectFault(s *jsonschema.Schema, v map[string]any) *fault {
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return (&fault{message: "is missing", fix: "add " + name}).within(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		property, ok := s.Properties[name]
		if !ok && s.AdditionalProperties != nil && s.AdditionalProperties.Not == nil {
			property, ok = s.AdditionalProperties, true
		}
		if !ok && s.AdditionalProperties != nil {
			return unknownMember(name, slices.Sorted(maps.Keys(s.Properties))).within(clip(name))
		}
		if f := findFault(property, v[name]); f != nil {
			return f.within(name)
		}
	}
	return nil
}

func unknownMember(name string, known []string) *fault {
	fix := "leave it out"
	if near := Nearest(name, known); near != "" {
		fix = "did you mean " + near + "?"
	} else if len(known) > 0 {
		fix = "leave it out; there are " + strings.Join(known, ", ")
	}
	return &fault{message: "is not a member of this contract", fix: fix}
}

var patterns sync.Map // string -> *regexp.Regexp

func stringFault(s *jsonschema.Schema, v string) *fault {
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, any(v)) {
		var names []string
		for _, e := range s.Enum {
			names = append(names, fmt.Sprint(e))
		}
		return &fault{
			message: fmt.Sprintf("%q is none of the values that the contract has", clip(v)),
			fix:     "use one of " + strings.Join(names, ", "),
		}
	}
	if s.Pattern == "" {
		return nil
	}
	have, ok := patterns.Load(s.Pattern)
	if !ok {
		have, _ = patterns.LoadOrStore(s.Pattern, regexp.MustCompile(s.Pattern))
	}
	if !have.(*regexp.Regexp).MatchString(v) {
		return &fault{message: fmt.Sprintf("%q has not the form that the contract wants", clip(v)), fix: "match " + s.Pattern}
	}
	return nil
}

func jsonType(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func article(t string) string {
	switch t {
	case "null":
		return "null"
	case "object", "array", "integer":
		return "an " + t
	}
	return "a " + t
}

// escape is RFC 6901 section 3.
func escape(s string) string { return pointerEscape.Replace(s) }

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")
