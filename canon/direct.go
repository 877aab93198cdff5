package canon

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// marshal writes the canonical form of v without the detour over a document that
// has to be read again and sorted: a question has some 80 members. It is false
// where v is not sure to have one, as write is.
func marshal(v any) ([]byte, bool) {
	w := newWriter(nil)
	defer w.keep()
	if !w.putAny(v, 0) {
		return nil, false
	}
	return w.taken(), true
}

// putAny writes what Decode yields without reflection, and anything else with it.
func (w *writer) putAny(v any, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch v := v.(type) {
	case nil:
		return w.null()
	case string:
		return w.putText(v)
	case json.Number:
		return w.putNumber(string(v))
	case []any:
		if v == nil {
			return w.null()
		}
		w.out = append(w.out, '[')
		for i, item := range v {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			if !w.putAny(item, depth+1) {
				return false
			}
		}
		w.out = append(w.out, ']')
		return true
	case map[string]any:
		return w.putObject(v, depth)
	}
	value := reflect.ValueOf(v)
	return w.put(value, formOf(value.Type()), depth)
}

func (w *writer) putObject(v map[string]any, depth int) bool {
	if v == nil {
		return w.null()
	}
	var room [16]string // what most objects have at most
	names := room[:0]
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	w.out = append(w.out, '{')
	for i, name := range names {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if !isPlainName(name) {
			return false
		}
		w.out = append(strconv.AppendQuote(w.out, name), ':')
		if !w.putAny(v[name], depth+1) {
			return false
		}
	}
	w.out = append(w.out, '}')
	return true
}

// put writes a Go value as encoding/json would, but in canonical form.
func (w *writer) put(v reflect.Value, f *form, depth int) bool {
	if depth > maxDepth || f.kind == reflect.Invalid {
		return false
	}
	if f.special != byKind {
		return w.putSpecial(v, f.special, depth)
	}
	switch f.kind {
	case reflect.Bool:
		w.out = strconv.AppendBool(w.out, v.Bool())
	case reflect.String:
		return w.putText(v.String())
	case reflect.Float64:
		return w.putFloat(v.Float())
	case reflect.Pointer, reflect.Interface:
		return w.putInner(v, f, depth)
	case reflect.Slice:
		return w.putList(v, f, depth)
	case reflect.Map:
		return w.putMap(v, f, depth)
	case reflect.Struct:
		return w.putStruct(v, f, depth)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n := v.Uint()
		w.out = strconv.AppendUint(w.out, n, 10)
		return n <= MaxSafeInteger
	default:
		n := v.Int()
		w.out = strconv.AppendInt(w.out, n, 10)
		return n <= MaxSafeInteger && n >= -MaxSafeInteger
	}
	return true
}

func (w *writer) putSpecial(v reflect.Value, kind special, depth int) bool {
	switch kind {
	case isTime:
		return w.putTime(Time(v.Int()))
	case isNumber:
		return w.putNumber(v.String())
	case isRaw:
		if v.IsNil() {
			return w.null()
		}
		return w.embed(v.Bytes(), depth)
	case marshals:
		raw, err := v.Interface().(json.Marshaler).MarshalJSON()
		return err == nil && w.embed(raw, depth)
	}
	return false
}

// embed writes a document that is JSON already.
func (w *writer) embed(raw []byte, depth int) bool {
	w.in, w.at = raw, 0
	w.space()
	if !w.value(depth) {
		return false
	}
	w.space()
	return w.at == len(w.in)
}

func (w *writer) null() bool {
	w.out = append(w.out, "null"...)
	return true
}

func (w *writer) putTime(t Time) bool {
	if t == 0 {
		return w.null()
	}
	w.out = append(w.out, '"')
	w.out = time.Unix(0, int64(t)).UTC().AppendFormat(w.out, timeLayout)
	w.out = append(w.out, '"')
	return true
}

func (w *writer) putText(s string) bool {
	w.out = append(w.out, '"')
	from := 0
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			w.out = appendEscaped(append(w.out, s[from:i]...), rune(c))
			from = i + 1
		}
	}
	w.out = append(append(w.out, s[from:]...), '"')
	return utf8.ValidString(s)
}

func (w *writer) putNumber(text string) bool {
	w.in, w.at = []byte(text), 0
	return w.number() && w.at == len(w.in)
}

func (w *writer) putFloat(f float64) bool {
	size := math.Abs(f)
	if math.IsNaN(f) || math.IsInf(f, 0) || (size > MaxSafeInteger && size < exponentFrom) {
		return false
	}
	form, err := jcs.NumberToJSON(f)
	w.out = append(w.out, form...)
	return err == nil
}

func (w *writer) putInner(v reflect.Value, f *form, depth int) bool {
	if v.IsNil() {
		return w.null()
	}
	if f.kind == reflect.Interface {
		return w.putAny(v.Interface(), depth)
	}
	return w.put(v.Elem(), f.elem, depth)
}

func (w *writer) putList(v reflect.Value, f *form, depth int) bool {
	if v.IsNil() {
		return w.null()
	}
	w.out = append(w.out, '[')
	for i := range v.Len() {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if !w.put(v.Index(i), f.elem, depth+1) {
			return false
		}
	}
	w.out = append(w.out, ']')
	return true
}

func (w *writer) putMap(v reflect.Value, f *form, depth int) bool {
	if v.IsNil() {
		return w.null()
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	w.out = append(w.out, '{')
	for i, key := range keys {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if !isPlainName(key.String()) {
			return false
		}
		w.out = append(strconv.AppendQuote(w.out, key.String()), ':')
		if !w.put(v.MapIndex(key), f.elem, depth+1) {
			return false
		}
	}
	w.out = append(w.out, '}')
	return true
}

func (w *writer) putStruct(v reflect.Value, f *form, depth int) bool {
	w.out = append(w.out, '{')
	first := len(w.out)
	for i := range f.members {
		m := &f.members[i]
		value := m.of(v)
		if m.omitEmpty && isEmpty(value, m.form) {
			continue
		}
		if len(w.out) > first {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, m.key...)
		if !w.put(value, m.form, depth+1) {
			return false
		}
	}
	w.out = append(w.out, '}')
	return true
}

// isEmpty is what omitempty means to encoding/json, for the kinds that put knows.
func isEmpty(v reflect.Value, f *form) bool {
	switch f.kind {
	case reflect.Invalid, reflect.Struct:
		return false
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	}
	return v.IsZero()
}
