package writ_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// What is stored of the vocabulary is written by package canon without a detour
// over the encoders of the libraries. An array is a form that it leaves to them,
// so the element of one shows what they would have written.
func TestPropertyEncodings(t *testing.T) {
	t.Run("question", rapid.MakeCheck(sameEncodings[writ.Question]))
	t.Run("record", rapid.MakeCheck(sameEncodings[writ.Record]))
	t.Run("execution", rapid.MakeCheck(sameEncodings[writ.Execution]))
	t.Run("plan", rapid.MakeCheck(sameEncodings[writ.Plan]))
	t.Run("intent", rapid.MakeCheck(sameEncodings[writ.Intent]))
	t.Run("request", rapid.MakeCheck(sameEncodings[writ.ApprovalRequest]))
	t.Run("decision", rapid.MakeCheck(sameEncodings[writ.Decision]))
}

func sameEncodings[T any](t *rapid.T) {
	var v T
	populate(t, reflect.ValueOf(&v).Elem(), 0)
	for name, marshal := range map[string]func(any) ([]byte, error){"JSON": canon.MarshalJSON, "CBOR": canon.MarshalCBOR} {
		want, failed := marshal([1]T{v})
		got, err := marshal(&v)
		if (err == nil) != (failed == nil) {
			t.Fatalf("%s: %v, want %v", name, err, failed)
		}
		if err != nil {
			continue
		}
		if want = want[1:]; name == "JSON" {
			want = want[:len(want)-1]
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s:\n%q\nwant\n%q", name, got, want)
		}
	}
}

// populate gives a value something in about half of its places.
func populate(t *rapid.T, v reflect.Value, depth int) {
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(rapid.SampledFrom([][]byte{nil, []byte(`null`), []byte(`{"b":[1,2.50,"\u003c"],"a":{}}`), []byte(` "x" `), []byte(`{`), []byte(`9007199254740993`)}).Draw(t, "raw"))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range v.Fields() {
			if rapid.Bool().Draw(t, "set") {
				populate(t, f, depth+1)
			}
		}
	case reflect.Pointer:
		if depth < 8 {
			v.Set(reflect.New(v.Type().Elem()))
			populate(t, v.Elem(), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 2).Draw(t, "length"), 2))
		for i := range v.Len() {
			populate(t, v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 3).Draw(t, "size") {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			populate(t, key, depth+1)
			populate(t, value, depth+1)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		v.SetString(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"ada", "a-b_1", "\"<\\>\n", "\u2028é", "\xff", "😀"})).Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-30, 70_000), rapid.Int64Range(-300, 300)).Draw(t, "int"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Byte().Draw(t, "byte")))
	case reflect.Uint64:
		v.SetUint(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300)).Draw(t, "uint"))
	default:
		t.Fatalf("no value for a %s", v.Type())
	}
}
