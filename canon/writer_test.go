package canon

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// agree holds the short way to the long one: where it answers, both do, alike.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, in []byte,
) {
	t.Helper()
	out, ok := write(in)
	if !ok {
		return
	}
	want, err := checkedJSON(in)
	if err != nil || !bytes.Equal(out, want) {
		t.Fatalf("%q becomes %q, want %q, %v", in, out, want, err)
	}
}

func FuzzWriter(f *testing.F) {
	for _, seed := range append([]string{
		`{"b":{"d":1,"c":[]},"a":[1.5e3,-0,0.1,1e21,9007199254740991]}`, `{"a":1,"a":2}`, `{"a":1,"b":2,"a":3}`, "\"\\u0000\\u001f\\\"\\/\\u00e9\xc3\xa9\"",
		`"\ud83d\ude00"`, `"\ud83d"`, `01`, `1.`, `-`, `1e`, `truefalse`, `{"a" : 1 , }`, `[1,]`, "\"\xff\"", "{\"\xc3\xa9\":1}", ` 7 `, `7 7`,
	}, doubtful...) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		agree(t, in)
		decodedAlike(t, in)
	})
}

// doubtful documents are the long way's.
var doubtful = []string{
	`{"a":1,"a":2}`, `9007199254740993`, `{"\u0061":1}`, "{\"\xc3\xa9\":1}", `"\ud83d\ude00"`, "\"\xff\"", "\"\n\"", "", "nul", "[1", `{"a":1`, `{"a"}`, "1 2",
	strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2),
}

func TestWriterLeavesWhatIsDoubtful(t *testing.T) {
	for _, in := range doubtful {
		if out, ok := write([]byte(in)); ok {
			t.Errorf("%q becomes %q", in, out)
		}
	}
}

// A document of the engine's must not take the long way.
func TestWriterTakesWhatIsPlain(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":{"z":[true,false,null],"y":"\u003c"}}`:                `{"a":{"y":"<","z":[true,false,null]},"b":1}`,
		"\"é\\u00e9\\/\\t\\u0007\"":                                       "\"éé/\\t\\u0007\"",
		`[-0,1.50,1E2,0.000001,1e-7,123456789012345678e5]`:                `[0,1.5,100,0.000001,1e-7,1.2345678901234568e+22]`,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1): strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
	} {
		out, ok := write([]byte(in))
		if !ok || string(out) != want {
			t.Errorf("%s becomes %s, %v; want %s", in, out, ok, want)
		}
	}
}

func TestPropertyWriter(t *testing.T) {
	alphabet := []string{"{", "}", "[", "]", ",", ":", `"a"`, `"b"`, `"é"`, `"\u0001"`, `"\n"`, "1", "-0", "1.25", "1e9", "true", "null", " ", "\n"}
	rapid.Check(t, func(t *rapid.T) {
		agree(t, []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 24).Draw(t, "tokens"), "")))
		object := rapid.MapOf(rapid.String(), rapid.Float64()).Draw(t, "object")
		raw, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, raw)
	})
}

func BenchmarkJSON(b *testing.B) {
	document := []byte(`{"point":"step","principal":{"id":"ada","kind":"human","tenant":"default","roles":["operator"]},"step":{"name":"a","capabilities":[{"tool":"http.request","hosts":["api.example.com"],"methods":["GET"],"paths":["/v1/items"]}],"risk":"low","input":{"n":1,"text":"a few words of text"}},"taint":{"labels":["principal"],"sinks":[]},"time":"2026-01-01T00:00:00.000000000Z"}`)
	document = []byte("[" + strings.Repeat(string(document)+",", 5) + string(document) + "]")
	for name, form := range map[string]func([]byte) ([]byte, error){"one pass": JSON, "checks and jcs": checkedJSON} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := form(document); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
