package canon

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// form describes a Go type for the two writers that need no detour: one of JSON
// that is canonical at once, one of CBOR. Both leave every value that they are
// not sure of to the encoders of the libraries, which stay the authority: tests
// hold the bytes equal.
type form struct {
	kind    reflect.Kind // Invalid: neither writer knows the type
	special special      // how JSON writes it, where not by its kind
	elem    *form        // of a pointer, slice or map
	members []namedField // of a struct, in the order of JSON
	packed  []namedField // the same, in the order of CBOR
}

// special are the types that JSON writes otherwise than by their kind.
type special uint8

const (
	byKind   special = iota
	isTime           // Time
	isNumber         // json.Number
	isRaw            // json.RawMessage
	marshals         // implements json.Marshaler
	notJSON          // is left to encoding/json
)

// namedField is a member of a struct.
type namedField struct {
	index     []int
	omitEmpty bool
	form      *form
	key       []byte // as it is written, with the colon in JSON
}

// forms are never forgotten: a program has few types.
var forms sync.Map // reflect.Type -> *form

func formOf(t reflect.Type) *form {
	if known, ok := forms.Load(t); ok {
		return known.(*form)
	}
	b := formBuilder{}
	f := b.form(t)
	for built, form := range b { // complete now: a type may hold itself
		forms.LoadOrStore(built, form)
	}
	return f
}

// formBuilder holds the forms that are being made.
type formBuilder map[reflect.Type]*form

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	// What these write depends on the type's own code, and on an address.
	otherMarshalers = []reflect.Type{
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.BinaryMarshaler](),
		reflect.TypeFor[interface{ MarshalCBOR() ([]byte, error) }](),
	}
)

func (b formBuilder) form(t reflect.Type) *form {
	if known, ok := forms.Load(t); ok {
		return known.(*form)
	}
	if known, ok := b[t]; ok {
		return known
	}
	f := &form{special: specialOf(t)}
	b[t] = f
	pointer := reflect.PointerTo(t)
	if t.Kind() != reflect.Interface && slices.ContainsFunc(otherMarshalers, pointer.Implements) {
		return f
	}
	switch kind := t.Kind(); kind {
	case reflect.Bool, reflect.String, reflect.Float64, reflect.Interface,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		f.kind = kind
	case reflect.Pointer, reflect.Slice:
		f.kind, f.elem = kind, b.form(t.Elem())
	case reflect.Map:
		if key := b.form(t.Key()); key.kind == reflect.String && key.special == byKind {
			f.kind, f.elem = kind, b.form(t.Elem())
		}
	case reflect.Struct:
		if fields, ok := b.fields(t, nil); ok {
			f.kind = kind
			f.members, f.packed = ordered(fields)
		}
	}
	return f
}

func specialOf(t reflect.Type) special {
	switch {
	case t == reflect.TypeFor[Time]():
		return isTime
	case t == reflect.TypeFor[json.Number]():
		return isNumber
	case t == reflect.TypeFor[json.RawMessage]():
		return isRaw
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		return byKind // what it points to decides
	case t.Implements(jsonMarshaler):
		return marshals
	case reflect.PointerTo(t).Implements(jsonMarshaler), t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return notJSON
	}
	return byKind
}

// fields are the members of a struct, those of embedded structs among them. ok is
// false where the rules of encoding/json would have to be asked.
func (b formBuilder) fields(t reflect.Type, above []int) (fields []namedField, ok bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		name = cmp.Or(name, f.Name)
		index := append(slices.Clip(above), i)
		switch _, other := f.Tag.Lookup("cbor"); {
		case tag == "-" && !other:
			continue
		case !f.IsExported() || other || (options != "" && options != "omitempty"):
			return nil, false
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			inner, ok := b.fields(f.Type, index)
			if !ok {
				return nil, false
			}
			fields = append(fields, inner...)
			continue
		case f.Anonymous || !isPlainName(name):
			return nil, false
		}
		fields = append(fields, namedField{index: index, omitEmpty: options != "", form: b.form(f.Type), key: []byte(name)})
	}
	slices.SortFunc(fields, func(a, b namedField) int { return bytes.Compare(a.key, b.key) })
	twice := len(slices.CompactFunc(slices.Clone(fields), func(a, b namedField) bool { return bytes.Equal(a.key, b.key) })) < len(fields)
	return fields, !twice
}

// isPlainName: an identifier needs no escape and sorts by bytes as by UTF-16.
func isPlainName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return name != ""
}

// ordered gives the members, sorted by name, their keys in both encodings. The
// order of CBOR is that of the encoded keys: shorter ones first.
func ordered(fields []namedField) (members, packed []namedField) {
	members, packed = slices.Clone(fields), slices.Clone(fields)
	slices.SortStableFunc(packed, func(a, b namedField) int { return cmp.Compare(len(a.key), len(b.key)) })
	for i, f := range members {
		members[i].key = append(strconv.AppendQuote(nil, string(f.key)), ':')
	}
	for i, f := range packed {
		packed[i].key = append(appendHead(nil, majorText, uint64(len(f.key))), f.key...)
	}
	return members, packed
}

func (f *namedField) of(v reflect.Value) reflect.Value {
	if len(f.index) == 1 {
		return v.Field(f.index[0])
	}
	return v.FieldByIndex(f.index)
}
