package contract

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
)

// direction is whose document a schema describes: what a caller sends may be
// loosened freely, what a caller is given may be tightened.
type direction int

const (
	received direction = iota // from the caller
	given                     // to the caller
)

// loosened is the class of a schema that takes more documents than before;
// tightened of one that takes fewer.
func (dir direction) loosened() Class {
	if dir == received {
		return Additive
	}
	return Breaking
}

func (dir direction) tightened() Class {
	if dir == received {
		return Breaking
	}
	return Additive
}

func (d *differ) schema(dir direction, place string, a, b *jsonschema.Schema) {
	switch {
	case a == nil && b == nil:
		return
	case a == nil:
		d.add(dir.tightened(), place, "has a schema now")
		return
	case b == nil:
		d.add(dir.loosened(), place, "has no schema any more")
		return
	}
	if a.Title != b.Title || a.Description != b.Description || a.Format != b.Format {
		d.add(Editorial, place, "reworded")
	}
	if d.types(dir, place, a, b) {
		return // the rest says nothing about another type
	}
	d.enum(dir, place, a.Enum, b.Enum)
	d.pattern(dir, place, a.Pattern, b.Pattern)
	if a.ContentEncoding != b.ContentEncoding {
		d.add(Breaking, place, "was encoded as %q, is as %q", a.ContentEncoding, b.ContentEncoding)
	}
	d.properties(dir, place, a, b)
	if a.Items != nil || b.Items != nil {
		d.schema(dir, place+"/items", a.Items, b.Items)
	}
	d.additional(dir, place, a.AdditionalProperties, b.AdditionalProperties)
	d.remainder(place, a, b)
}

// types reports whether the type changed.
func (d *differ) types(dir direction, place string, a, b *jsonschema.Schema) bool {
	was, is := typeText(a), typeText(b)
	switch {
	case was == is:
		return false
	case was == "integer" && is == "number", is == "any":
		d.add(dir.loosened(), place, "was %s, is %s", was, is)
	case was == "number" && is == "integer", was == "any":
		d.add(dir.tightened(), place, "was %s, is %s", was, is)
	default:
		d.add(Breaking, place, "was %s, is %s", was, is)
	}
	return true
}

func typeText(s *jsonschema.Schema) string {
	if s.Type != "" {
		return s.Type
	}
	if len(s.Types) > 0 {
		return fmt.Sprint(s.Types)
	}
	return "any"
}

func (d *differ) enum(dir direction, place string, a, b []any) {
	switch {
	case len(a) == 0 && len(b) > 0:
		d.add(dir.tightened(), place, "is restricted to %v", b)
		return
	case len(a) > 0 && len(b) == 0:
		d.add(dir.loosened(), place, "is not restricted any more")
		return
	}
	for _, v := range a {
		if !slices.Contains(b, v) {
			d.add(dir.tightened(), place, "the value %v is gone", v)
		}
	}
	for _, v := range b {
		if !slices.Contains(a, v) {
			d.add(dir.loosened(), place, "the value %v is new", v)
		}
	}
}

func (d *differ) pattern(dir direction, place, a, b string) {
	switch {
	case a == b:
	case a == "":
		d.add(dir.tightened(), place, "must match %s", b)
	case b == "":
		d.add(dir.loosened(), place, "need not match %s any more", a)
	default: // which of two patterns takes more is not decided here
		d.add(Breaking, place, "had to match %s, has to match %s", a, b)
	}
}

func (d *differ) properties(dir direction, place string, a, b *jsonschema.Schema) {
	for _, name := range slices.Sorted(maps.Keys(a.Properties)) {
		at := place + "/properties/" + escape(name)
		is, ok := b.Properties[name]
		if !ok {
			// Gone from an input, it is refused as unknown; from an output, missed.
			d.add(Breaking, at, "is gone")
			continue
		}
		was, must := slices.Contains(a.Required, name), slices.Contains(b.Required, name)
		if was && !must {
			d.add(dir.loosened(), at, "is not always there any more")
		}
		if must && !was {
			d.add(dir.tightened(), at, "is always there now")
		}
		d.schema(dir, at, a.Properties[name], is)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Properties)) {
		if _, ok := a.Properties[name]; ok {
			continue
		}
		class := Additive // a reader of an output passes over what it does not know
		if dir == received && slices.Contains(b.Required, name) {
			class = Breaking
		}
		d.add(class, place+"/properties/"+escape(name), "is new")
	}
}

func (d *differ) additional(dir direction, place string, a, b *jsonschema.Schema) {
	closed := func(s *jsonschema.Schema) bool { return s != nil && s.Not != nil }
	at := place + "/additionalProperties"
	switch {
	case closed(a) && closed(b):
	case closed(a):
		d.add(dir.loosened(), at, "other members are allowed")
	case closed(b):
		d.add(dir.tightened(), at, "other members are refused")
	default:
		d.schema(dir, at, a, b)
	}
}

// remainder catches what the rules above do not know: it is breaking until a
// rule says otherwise.
func (d *differ) remainder(place string, a, b *jsonschema.Schema) {
	if !same(unruled(a), unruled(b)) {
		d.add(Breaking, place, "another keyword of the schema changed")
	}
}

func unruled(s *jsonschema.Schema) *jsonschema.Schema {
	rest := *s
	rest.Title, rest.Description, rest.Format = "", "", ""
	rest.Type, rest.Types, rest.Enum, rest.Pattern, rest.ContentEncoding = "", nil, nil, "", ""
	rest.Properties, rest.Required, rest.PropertyOrder = nil, nil, nil
	rest.Items, rest.AdditionalProperties = nil, nil
	return &rest
}
