package engine

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// FirstDifference finds the first member, in the order of the canonical form, in
// which two documents differ; nil where they are equal. Bytes are JSON as it is.
func FirstDifference(recorded, replayed any) *contract.ReplayDifference {
	if sameBytes(recorded, replayed) {
		return nil
	}
	a, b := plain(recorded), plain(replayed)
	path, left, right, differs := walk("", a, b)
	if !differs {
		return nil
	}
	return &contract.ReplayDifference{Field: path, Recorded: encoded(left), Replayed: encoded(right)}
}

// sameBytes is the short way of nearly every comparison: equal values are written
// alike, and need not be written for that.
func sameBytes(recorded, replayed any) bool {
	if reflect.DeepEqual(target(recorded), target(replayed)) {
		return true
	}
	a, stored := recorded.([]byte)
	_, derived := replayed.([]byte)
	if stored && !derived { // what is stored is canonical
		b, err := canon.MarshalJSON(replayed)
		return err == nil && bytes.Equal(a, b)
	}
	a, ok := written(recorded)
	b, too := written(replayed)
	return ok && too && bytes.Equal(a, b)
}

// target is what a pointer leads to: both are written alike.
func target(v any) any {
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && !p.IsNil() {
		return p.Elem().Interface()
	}
	return v
}

func written(v any) ([]byte, bool) {
	if raw, isBytes := v.([]byte); isBytes {
		return raw, true
	}
	raw, err := canon.MarshalJSON(v)
	if err != nil {
		raw, err = json.Marshal(v)
	}
	return raw, err == nil
}

// absent marks a member that one side does not have.
type absent struct{}

// plain brings a document, or the canonical bytes of one, into the form that
// encoding/json decodes into.
func plain(v any) any {
	raw, isBytes := v.([]byte)
	if !isBytes {
		var err error
		if raw, err = canon.MarshalJSON(v); err != nil {
			return err.Error()
		}
	}
	out, err := canon.Decode(raw)
	if err != nil {
		return string(raw) // not JSON: compared as text
	}
	return out
}

func encoded(v any) json.RawMessage {
	if _, missing := v.(absent); missing {
		return json.RawMessage(`null`)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`null`)
	}
	return raw
}

func walk(path string, a, b any) (string, any, any, bool) {
	switch left := a.(type) {
	case map[string]any:
		if right, ok := b.(map[string]any); ok {
			return walkObject(path, left, right)
		}
	case []any:
		if right, ok := b.([]any); ok {
			return walkArray(path, left, right)
		}
	default:
		if a == b {
			return "", nil, nil, false
		}
	}
	if path == "" {
		path = "/"
	}
	return path, a, b, true
}

func walkObject(path string, a, b map[string]any) (string, any, any, bool) {
	keys := slices.Sorted(maps.Keys(a))
	for key := range b {
		if _, ok := a[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		member := path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		left, inA := a[key]
		right, inB := b[key]
		switch {
		case !inA:
			return member, absent{}, right, true
		case !inB:
			return member, left, absent{}, true
		}
		if p, l, r, differs := walk(member, left, right); differs {
			return p, l, r, true
		}
	}
	return "", nil, nil, false
}

func walkArray(path string, a, b []any) (string, any, any, bool) {
	for i := range max(len(a), len(b)) {
		member := path + "/" + strconv.Itoa(i)
		switch {
		case i >= len(a):
			return member, absent{}, b[i], true
		case i >= len(b):
			return member, a[i], absent{}, true
		}
		if p, l, r, differs := walk(member, a[i], b[i]); differs {
			return p, l, r, true
		}
	}
	return "", nil, nil, false
}
