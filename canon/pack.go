package canon

import (
	"cmp"
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Major types of CBOR (RFC 8949 section 3.1), in the top three bits.
const (
	majorUint  = 0
	majorNint  = 1
	majorBytes = 2
	majorText  = 3
	majorArray = 4
	majorMap   = 5
)

// shortHead is the first argument that does not stand in the head's own byte.
const shortHead = 24

// Simple values of CBOR (RFC 8949 section 3.3).
const (
	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
)

// packs are buffers of what is being encoded; what is returned has its own memory.
var packs = sync.Pool{New: func() any { return new([]byte) }}

// pack appends the deterministic CBOR of v to a copy of prefix. It is false for a
// type that it does not know and for text that is not UTF-8.
func pack(prefix []byte, v any) ([]byte, bool) {
	if v == nil {
		return nil, false
	}
	buffer, _ := packs.Get().(*[]byte)
	value := reflect.ValueOf(v)
	out, ok := appendPacked(append((*buffer)[:0], prefix...), value, formOf(value.Type()))
	if cap(out) <= maxKept {
		*buffer = out
	}
	defer packs.Put(buffer)
	if !ok {
		return nil, false
	}
	return append(make([]byte, 0, len(out)), out...), true
}

// appendHead writes a major type with its argument in the shortest form.
func appendHead(out []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < shortHead:
		return append(out, major|byte(n))
	case n <= math.MaxUint8:
		return append(out, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(out, major|27), n)
}

func appendPacked(out []byte, v reflect.Value, f *form) ([]byte, bool) {
	switch f.kind {
	case reflect.Bool:
		if v.Bool() {
			return append(out, cborTrue), true
		}
		return append(out, cborFalse), true
	case reflect.String:
		s := v.String()
		return append(appendHead(out, majorText, uint64(len(s))), s...), utf8.ValidString(s)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return appendHead(out, majorUint, v.Uint()), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n := v.Int(); n < 0 {
			return appendHead(out, majorNint, uint64(^n)), true
		}
		return appendHead(out, majorUint, uint64(v.Int())), true
	case reflect.Struct:
		return appendStruct(out, v, f)
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if v.IsNil() {
			return append(out, cborNull), true
		}
	}
	switch f.kind {
	case reflect.Pointer:
		return appendPacked(out, v.Elem(), f.elem)
	case reflect.Slice:
		return appendList(out, v, f)
	case reflect.Map:
		return appendMap(out, v, f)
	}
	return out, false
}

func appendList(out []byte, v reflect.Value, f *form) ([]byte, bool) {
	if f.elem.kind == reflect.Uint8 {
		return append(appendHead(out, majorBytes, uint64(v.Len())), v.Bytes()...), true
	}
	out, ok := appendHead(out, majorArray, uint64(v.Len())), true
	for i := 0; ok && i < v.Len(); i++ {
		out, ok = appendPacked(out, v.Index(i), f.elem)
	}
	return out, ok
}

func appendMap(out []byte, v reflect.Value, f *form) ([]byte, bool) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		return cmp.Or(cmp.Compare(a.Len(), b.Len()), strings.Compare(a.String(), b.String()))
	})
	out, ok := appendHead(out, majorMap, uint64(len(keys))), true
	for i := 0; ok && i < len(keys); i++ {
		name := keys[i].String()
		out = append(appendHead(out, majorText, uint64(len(name))), name...)
		if out, ok = appendPacked(out, v.MapIndex(keys[i]), f.elem); !utf8.ValidString(name) {
			return out, false
		}
	}
	return out, ok
}

func appendStruct(out []byte, v reflect.Value, f *form) ([]byte, bool) {
	head, count, ok := len(out), 0, true
	out = append(out, 0)
	for i := range f.packed {
		m := &f.packed[i]
		value := m.of(v)
		if m.omitEmpty && isVoid(value, m.form) {
			continue
		}
		if out, ok = appendPacked(append(out, m.key...), value, m.form); !ok {
			return out, false
		}
		count++
	}
	if count < shortHead {
		out[head] = majorMap<<5 | byte(count)
		return out, true
	}
	return slices.Replace(out, head, head+1, appendHead(nil, majorMap, uint64(count))...), true
}

// isVoid is what omitempty means to the CBOR library: a struct is empty where all
// its members may be left out and are.
func isVoid(v reflect.Value, f *form) bool {
	if f.kind != reflect.Struct {
		return isEmpty(v, f)
	}
	return !slices.ContainsFunc(f.packed, func(m namedField) bool { return !m.omitEmpty || !isVoid(m.of(v), m.form) })
}
