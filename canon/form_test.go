package canon

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type inner struct {
	Z int    `json:"z"`
	A string `json:"a,omitempty"`
}

type outer struct {
	Shared
	Long    map[string]any `json:"longName,omitempty"`
	B       *outer         `json:"b,omitempty"`
	List    []inner        `json:"list,omitempty"`
	When    Time           `json:"when"`
	Raw     json.RawMessage
	Void    allOmitted `json:"void,omitempty"`
	Upper   int        `json:"Upper"`
	Address big.Int    `json:"-"`
}

type Shared struct {
	M map[string]inner `json:"m,omitempty"`
}

type allOmitted struct {
	X int `json:"x,omitempty"`
}

type textual string

func (textual) MarshalText() ([]byte, error) { return []byte("text"), nil }

type pointed struct{ N int }

func (*pointed) MarshalJSON() ([]byte, error) { return []byte(`"pointed"`), nil }

type valued struct{ N int }

func (valued) MarshalJSON() ([]byte, error) { return []byte(` {"b":1, "a":[]} `), nil }

// bothWays holds what is written directly to what the libraries write.
func bothWays(t interface {
	Helper()
	Fatalf(string, ...any)
}, v any,
) (json, cbor bool) {
	t.Helper()
	out, json := marshal(v)
	if json {
		if want, err := checkedMarshal(v); err != nil || !bytes.Equal(out, want) {
			t.Fatalf("%#v becomes %s, want %s, %v", v, out, want, err)
		}
	}
	packed, cbor := pack(nil, v)
	if cbor {
		if want, err := checkedCBOR(nil, v); err != nil || !bytes.Equal(packed, want) {
			t.Fatalf("%#v becomes %x, want %x, %v", v, packed, want, err)
		}
	}
	return json, cbor
}

func TestFormsAgreeWithTheLibraries(t *testing.T) {
	deep := any(1)
	for range maxDepth + 2 {
		deep = []any{deep}
	}
	type named map[textual]int
	for name, c := range map[string]struct {
		value      any
		json, cbor bool
	}{
		"struct":            {&inner{Z: 1, A: "<é\"\n\u2028>"}, true, true},
		"struct in struct":  {&outer{Shared: Shared{M: map[string]inner{"b": {}, "a": {A: "x"}}}, B: &outer{}, When: 7}, true, true},
		"map of anything":   {map[string]any{"b": []any{1, "x", nil, true, json.Number("1.50"), 2.5, math.Copysign(0, -1)}, "a": map[string]any{}}, true, false},
		"lists":             {[][]inner{nil, {}, {{}}}, true, true},
		"integers":          {[]int64{0, 23, 24, 255, 256, 65535, 65536, 1 << 32, -1, -24, -25, -257, MaxSafeInteger, -MaxSafeInteger}, true, true},
		"beyond":            {[]int64{MaxSafeInteger + 1}, false, true},
		"unsigned":          {uint64(math.MaxUint64), false, true},
		"bytes":             {[]byte("x"), false, true},
		"raw":               {json.RawMessage(` {"b":1,"a":2} `), true, true},
		"raw null":          {json.RawMessage(nil), true, true},
		"raw that is none":  {json.RawMessage(`{`), false, true},
		"no number":         {json.Number("x"), false, true},
		"times":             {[]Time{0, 1, TimeOf(time.Unix(1e9, 5))}, true, true},
		"standard time":     {time.Unix(1, 0), false, false},
		"not UTF-8":         {"\xff", false, false},
		"floats":            {[]float64{1e21, 1e300, 0.1, -1.5e-9, 5e-324}, true, false},
		"float beyond":      {9007199254740993.0 * 4, false, false},
		"NaN":               {math.NaN(), false, false},
		"array":             {[1]int{1}, false, false},
		"marshals":          {valued{1}, true, true},
		"pointer marshals":  {&pointed{1}, false, true},
		"text marshals":     {textual("x"), false, false},
		"keys of text":      {named{"x": 1}, false, false},
		"keys with escapes": {map[string]int{"a\"": 1}, false, true},
		"keys beyond ASCII": {map[string]int{"é": 1, "b": 2, "aa": 3}, false, true},
		"nil":               {nil, true, false},
		"number and space":  {[]any{json.Number(" 1")}, false, false},
		"nils of decoding":  {[]any{map[string]any(nil), []any(nil)}, true, false},
		"wide object":       {wideObject(), true, false},
		"nil pointer":       {(*inner)(nil), true, true},
		"channel":           {make(chan int), false, false},
		"options": {struct {
			A int `json:",string"`
		}{1}, false, false},
		"deep": {deep, false, false},
	} {
		if json, cbor := bothWays(t, c.value); json != c.json || cbor != c.cbor {
			t.Errorf("%s: written directly as JSON %v and CBOR %v, want %v and %v", name, json, cbor, c.json, c.cbor)
		}
	}
}

// A struct with more members than the head of a map has room for.
func TestPackManyMembers(t *testing.T) {
	var v struct {
		A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z int
	}
	raw := `{"A":1}`
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		t.Fatal(err)
	}
	bothWays(t, &v)
	wide := map[string]int{}
	for i := range 300 {
		wide[strings.Repeat("k", i)] = i
	}
	bothWays(t, wide)
}

func TestPropertyForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		made := rapid.Make[inner]()
		v := outer{
			Shared: Shared{M: rapid.MapOf(rapid.String(), made).Draw(t, "m")},
			Long:   map[string]any{rapid.String().Draw(t, "key"): rapid.Float64().Draw(t, "float")},
			List:   rapid.SliceOf(made).Draw(t, "list"),
			When:   Time(rapid.Int64().Draw(t, "when")),
			Void:   allOmitted{X: rapid.IntRange(0, 1).Draw(t, "x")},
			Upper:  rapid.Int().Draw(t, "upper"),
		}
		v.B = &outer{List: v.List}
		bothWays(t, &v)
	})
}

func BenchmarkMarshal(b *testing.B) {
	v := &outer{Shared: Shared{M: map[string]inner{"b": {Z: 1}, "a": {A: "text"}}}, List: make([]inner, 20), When: 1, B: &outer{}}
	for name, encode := range map[string]func(any) ([]byte, error){
		"JSON": MarshalJSON, "JSON by the library": checkedMarshal,
		"CBOR": MarshalCBOR, "CBOR by the library": func(v any) ([]byte, error) { return checkedCBOR(nil, v) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encode(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func wideObject() map[string]any {
	wide := map[string]any{}
	for i := range 40 {
		wide[strings.Repeat("k", 40-i)] = i
	}
	return wide
}

// decodedAlike holds Decode to encoding/json.
func decodedAlike(t interface {
	Helper()
	Fatalf(string, ...any)
}, in []byte,
) {
	t.Helper()
	got, err := Decode(in)
	decoder := json.NewDecoder(bytes.NewReader(in))
	decoder.UseNumber()
	var want any
	failed := decoder.Decode(&want)
	if (err == nil) != (failed == nil) || (err == nil && !reflect.DeepEqual(got, want)) {
		t.Fatalf("%q is %#v, %v; want %#v, %v", in, got, err, want, failed)
	}
}

func TestDecodeAgreesWithTheLibrary(t *testing.T) {
	for _, in := range append([]string{
		`{"a":{"b":[1,-0.5e+7,"x",true,false,null,{}],"a":"é"},"n":12345678901234567890}`, `[]`, `""`, `7`, `true`, ` {} `, `{} {}`, `1 2`,
		`{"a":1,"a":2}`, `{"a":1,}`, `[1,]`, `[`, `{"a"`, `{"a":`, `{a:1}`, "\"a\nb\"", "\"\\n\"", `tru`, `truex`, `nul`, `-`, `01`, `1.`, "\"\xff\"",
	}, doubtful...) {
		decodedAlike(t, []byte(in))
	}
	rapid.Check(t, func(t *rapid.T) {
		tokens := []string{"{", "}", "[", "]", ",", ":", `"a"`, `"b"`, `"é"`, "1", "-0", "1.25", "1e9", "true", "null", " "}
		decodedAlike(t, []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(tokens), 0, 24).Draw(t, "tokens"), "")))
		raw, err := MarshalJSON(map[string]any{"text": rapid.String().Draw(t, "text"), "list": rapid.SliceOf(rapid.Float64Range(-1e9, 1e9)).Draw(t, "list")})
		if err != nil {
			t.Fatal(err)
		}
		decodedAlike(t, raw)
	})
}
