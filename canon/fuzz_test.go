package canon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/writ-run/writ/canon"
)

// FuzzJSON: what is accepted is JSON without duplicate keys, its canonical form
// is stable and means the same; what is refused says why.
func FuzzJSON(f *testing.F) {
	raw, err := os.ReadFile(vectors + "/json.json")
	if err != nil {
		f.Fatal(err)
	}
	var seeds []jsonVector
	if err := json.Unmarshal(raw, &seeds); err != nil {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		f.Add([]byte(seed.Input))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		checked := canon.CheckJSON(in)
		out, err := canon.JSON(in)
		if (checked == nil) != (err == nil) {
			t.Fatalf("CheckJSON says %v, JSON %v", checked, err)
		}
		if err != nil {
			var refused *canon.InputError
			if !errors.As(err, &refused) || refused.Reason == "" || refused.Message == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		again, err := canon.JSON(out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q becomes %q, and that %q: %v", in, out, again, err)
		}
		var before, after any
		if err := json.Unmarshal(in, &before); err != nil {
			t.Fatalf("%q is accepted: %v", in, err)
		}
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		x, _ := json.Marshal(before)
		y, _ := json.Marshal(after)
		if !bytes.Equal(bytes.ReplaceAll(x, []byte("-0"), []byte("0")), bytes.ReplaceAll(y, []byte("-0"), []byte("0"))) {
			t.Fatalf("%q means %s, its form %s", in, x, y)
		}
		if keys(t, in) != len(flat(after)) {
			t.Fatalf("%q has a key twice", in)
		}
	})
}

// keys counts the keys of all objects as they are written.
func keys(t *testing.T, raw []byte) int {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	var stack []bool   // whether a key comes next
	var objects []bool // whether it is an object
	n := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		top := len(stack) - 1
		if delim, ok := token.(json.Delim); ok && (delim == ']' || delim == '}') {
			stack, objects = stack[:top], objects[:top]
			continue
		}
		if top >= 0 && objects[top] {
			if stack[top] {
				n++
			}
			stack[top] = !stack[top]
		}
		if delim, ok := token.(json.Delim); ok {
			stack, objects = append(stack, true), append(objects, delim == '{')
		}
	}
}

// flat lists the members of all objects.
func flat(v any) []string {
	var out []string
	switch t := v.(type) {
	case []any:
		for _, item := range t {
			out = append(out, flat(item)...)
		}
	case map[string]any:
		for name, inner := range t {
			out = append(append(out, name), flat(inner)...)
		}
	}
	return out
}

// FuzzCBOR: foreign bytes that are accepted are the encoding of what they say.
func FuzzCBOR(f *testing.F) {
	for _, seed := range []string{"\xa2\x61a\x01\x61b\x81\x02", "\xf9\x3c\x00", "\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\xbf\xff", "\xc1\x00", "\x5f\x41a\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var v any
		if canon.UnmarshalForeignCBOR(in, &v) != nil {
			return
		}
		again, err := canon.MarshalCBOR(v)
		if err != nil || !bytes.Equal(in, again) {
			t.Fatalf("%x becomes %x: %v", in, again, err)
		}
	})
}
