package canon_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectors = "../testdata/vectors"

// file compares a vector file with what the code gives, or writes it.
func file(t *testing.T, name string, got any) {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(vectors, name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s is not what the code gives; the stored formats are fixed, so a difference is a break", name)
	}
}

type jsonVector struct {
	Name      string `json:"name"`
	Input     string `json:"input"`
	Canonical string `json:"canonical,omitempty"`
	Refused   string `json:"refused,omitempty"`
}

func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// jsonInputs are a name and a document each.
var jsonInputs = [][2]string{
	{"RFC 8785 section 3.2.2", `{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`},
	{"RFC 8785 section 3.2.3", `{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`},
	{"white space", " {\t\"b\" :\r\n[ 1 , 2 ] , \"a\" : { } } "},
	{"nested order", `{"b":{"z":1,"y":[{"d":1,"c":2}]},"a":[]}`},
	{"prefix keys", `{"aa":1,"a":2,"":3,"A":4,"a\u0000":5}`},
	{"scalar", `true`},
	{"string scalar", `"\u00e9"`},
	{"number scalar", ` -0 `},
	{"HTML is not escaped", `"<a href='x'>&\u003c\u2028\u2029"`},
	{"control characters", `"\u0000\u0001\b\t\n\u000b\f\r\u001f\u007f"`},
	{"no normalisation", `{"\u00c5":1,"A\u030a":2,"\u212b":3}`},
	{"numbers", `[0,-0,-0.0,1,1.0,10e-1,100,1E2,1e21,1e-7,0.000001,5e-324,2.2250738585072014e-308,1.7976931348623157e308,0.1,1e-400]`},
	{"largest integers", `[9007199254740991,-9007199254740991]`},
	{"integer too large", `9007199254740992`},
	{"integer too small", `{"a":[-9007199254740992]}`},
	{"integer of 25 digits", `1000000000000000000000000`},
	{"integer with a fraction", `9007199254740993.0`},
	{"integer with an exponent", `1e16`},
	{"largest with an exponent", `999999999999999999999e0`},
	{"not a float", `1e400`},
	{"duplicate key", `{"a":1,"b":2,"a":3}`},
	{"duplicate by escape", `{"a":1,"\u0061":3}`},
	{"duplicate inside", `[{"x":{"k":1,"k":1}}]`},
	{"low surrogate", `"\udc00"`},
	{"high surrogate", `"\ud800x"`},
	{"two high surrogates", `"\ud800\ud800"`},
	{"surrogate in a key", `{"\ud83d":1}`},
	{"escaped backslash is no surrogate", `"\\ud800"`},
	{"128 levels", deep(128)},
	{"129 levels", deep(129)},
	{"130 levels", deep(130)},
	{"trailing data", `{} {}`},
	{"trailing comma", `[1,]`},
	{"missing comma", `[1 2]`},
	{"unclosed", `{"a":[1`},
	{"mismatched", `[}`},
	{"key without quotes", `{a:1}`},
	{"leading zero", `[01]`},
	{"plus", `[+1]`},
	{"bare fraction", `[.5]`},
	{"no fraction digits", `[1.]`},
	{"NaN", `[NaN]`},
	{"single quotes", `['a']`},
	{"raw line feed", "\"a\nb\""},
	{"byte order mark", "\ufeff{}"},
	{"comment", `[1 /* one */]`},
	{"empty", ``},
}

func TestJSONVectors(t *testing.T) {
	var out []jsonVector
	for _, in := range jsonInputs {
		v := jsonVector{Name: in[0], Input: in[1]}
		canonical, err := canon.JSON([]byte(in[1]))
		var refused *canon.InputError
		switch {
		case errors.As(err, &refused):
			v.Refused = refused.Reason
		case err != nil:
			t.Fatalf("%s: %v", in[0], err)
		default:
			v.Canonical = string(canonical)
		}
		out = append(out, v)
	}
	file(t, "json.json", out)
}

type numberVector struct {
	Bits string `json:"bits"`
	Text string `json:"text"`
}

// TestNumberVectors has the numbers of RFC 8785 appendix B, and the edges of its
// notation. Integers beyond 2^53-1 of the appendix are refused here.
func TestNumberVectors(t *testing.T) {
	bits := []uint64{
		0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x8000000000000001, 0x7fefffffffffffff,
		0xffefffffffffffff, 0x4340000000000000 - 1, 0xc340000000000000 - 1, 0x44b52d02c7e14af5, 0x44b52d02c7e14af6,
		0x44b52d02c7e14af7, 0x444b1ae4d6e2ef4f + 1, 0x3eb0c6f7a0b5ed8d, 0x3eb0c6f7a0b5ed8c, 0x3eb0c6f7a0b5ed8e,
		0x41b3de4355555553, 0x41b3de4355555554, 0x41b3de4355555555, 0x41b3de4355555556, 0x41b3de4355555557, 0xbecbf647612f3696,
		0x43143ff3c1cb0959, 0x3ff0000000000000, 0x3fb999999999999a, 0x4024000000000000, 0x3ff0000000000001, 0x000fffffffffffff, 0x0010000000000000,
	}
	var out []numberVector
	for _, b := range bits {
		value := math.Float64frombits(b)
		text, err := canon.JSON([]byte(strconv.FormatFloat(value, 'e', -1, 64)))
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		var raw [8]byte
		binary.BigEndian.PutUint64(raw[:], b)
		out = append(out, numberVector{hex.EncodeToString(raw[:]), string(text)})
	}
	file(t, "numbers.json", out)
}

type hashVector struct {
	Name   string       `json:"name"`
	Domain canon.Domain `json:"domain"`
	Parts  []string     `json:"parts"` // hexadecimal
	Prefix string       `json:"prefix"`
	Sum    canon.Digest `json:"sum"`
	ID     string       `json:"id"`
	Plain  canon.Digest `json:"plain"` // SHA-256 of the parts without domain
}

func TestHashVectors(t *testing.T) {
	var out []hashVector
	add := func(name string, domain canon.Domain, prefix string, parts ...string) {
		v := hashVector{Name: name, Domain: domain, Prefix: prefix, Parts: []string{}}
		var raw [][]byte
		for _, p := range parts {
			raw = append(raw, []byte(p))
			v.Parts = append(v.Parts, hex.EncodeToString([]byte(p)))
		}
		v.Sum, v.ID, v.Plain = canon.Sum(domain, raw...), canon.ID(prefix, domain, raw...), canon.SHA256(bytes.Join(raw, nil))
		out = append(out, v)
	}
	add("no parts", canon.DomainPlan, "pln")
	add("one empty part", canon.DomainPlan, "pln", "")
	add("two empty parts", canon.DomainPlan, "pln", "", "")
	add("one part", canon.DomainPlan, "pln", "ab")
	add("the same bytes in two parts", canon.DomainPlan, "pln", "a", "b")
	add("another domain", canon.DomainStep, "stp", "ab")
	add("bytes that are no text", canon.DomainPayload, "pay", "\x00\xff", strings.Repeat("\x80", 300))
	add("genesis of a stream", canon.DomainRecord, "rec", "genesis", "default", "exe_example")
	for _, domain := range domains {
		add("domain "+string(domain), domain, "xxx", "example")
	}
	file(t, "hashes.json", out)
}

type digestVector struct {
	Text  string `json:"text"`
	Valid bool   `json:"valid"`
}

func TestDigestVectors(t *testing.T) {
	hex64 := strings.Repeat("0123456789abcdef", 4)
	var out []digestVector
	for _, text := range []string{
		"sha256:" + hex64, "sha256:" + strings.ToUpper(hex64), "sha256:" + hex64[:63], "sha256:" + hex64 + "0", "sha512:" + hex64,
		hex64, "", "sha256:", "SHA256:" + hex64, " sha256:" + hex64, "sha256:" + hex64 + "\n", "sha256:" + strings.Repeat("g", 64),
	} {
		parsed, err := canon.ParseDigest(text)
		if (err == nil) != canon.Digest(text).Valid() || (err == nil && string(parsed) != text) {
			t.Errorf("%q: %v", text, err)
		}
		out = append(out, digestVector{text, err == nil})
	}
	file(t, "digests.json", out)
}

type cborVector struct {
	Name  string `json:"name"`
	Value any    `json:"value"` // in the notation of docs/formats.md
	Hex   string `json:"hex"`
}

func TestCBORVectors(t *testing.T) {
	values := []struct {
		name  string
		value any
	}{
		{"integers", []any{0, 23, 24, 255, 256, 65535, 65536, uint64(1) << 32, uint64(math.MaxUint64), -1, -24, -25, -256, -257, int64(math.MinInt64)}},
		{"text", []any{"", "a", "ü", "水", "😀", strings.Repeat("x", 24), strings.Repeat("x", 256)}},
		{"bytes", []any{[]byte{}, []byte{0, 255}, bytes.Repeat([]byte{7}, 24)}},
		{"simple", []any{nil, true, false}},
		{"floats", []any{0.5, 1.5, -4.0, 65504.0, 65505.5, 100000.5, 3.4028234663852886e+38, 1.1, 5.960464477539063e-8, 6.097555160522461e-5, 1e300, math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(0, -1), 0.0}},
		{"keys by their encoding", map[string]any{"b": 1, "aa": 2, "": 3, "ü": 4, "a": 5, "z": 6, strings.Repeat("k", 24): 7}},
		{"nested", map[string]any{"list": []any{map[string]any{"y": nil, "x": []any{}}, []any{[]any{}}}, "empty": map[string]any{}}},
	}
	var out []cborVector
	for _, v := range values {
		encoded, err := canon.MarshalCBOR(v.value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cborVector{v.name, notation(t, v.value), hex.EncodeToString(encoded)})
	}
	file(t, "cbor.json", out)
}

// notation writes a value so that JSON loses nothing of it.
func notation(t *testing.T, v any) any {
	t.Helper()
	switch x := v.(type) {
	case int:
		return map[string]string{"$int": strconv.Itoa(x)}
	case int64:
		return map[string]string{"$int": strconv.FormatInt(x, 10)}
	case uint64:
		return map[string]string{"$int": strconv.FormatUint(x, 10)}
	case float64:
		text := strconv.FormatFloat(x, 'g', -1, 64)
		return map[string]string{"$float": strings.NewReplacer("+Inf", "Infinity", "-Inf", "-Infinity").Replace(text)}
	case []byte:
		return map[string]string{"$bytes": hex.EncodeToString(x)}
	case []any:
		out := make([]any, len(x))
		for i, item := range x {
			out[i] = notation(t, item)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, inner := range x {
			out[name] = notation(t, inner)
		}
		return out
	case map[any]any:
		out := map[string]any{}
		for name, inner := range x {
			out[fmt.Sprint(name)] = notation(t, inner)
		}
		return out
	case nil, bool, string:
		return x
	}
	t.Fatalf("no notation for %T", v)
	return nil
}

type recordVector struct {
	Name   string       `json:"name"`
	Value  any          `json:"value"`
	Hex    string       `json:"hex"`
	Digest canon.Digest `json:"digest"`
}

func TestRecordVectors(t *testing.T) {
	genesis := canon.Sum(canon.DomainRecord, []byte("genesis"), []byte("default"), []byte("exe_example"))
	actor := writ.Audit{
		ActorID: "ada", ActorType: writ.Human, TenantID: "default", WorkspaceID: "default", CapabilityGrants: []string{"control-plane.core"},
		CapabilitySource: "token", TraceID: strings.Repeat("0a", 16), OnBehalfOf: []writ.PrincipalID{},
	}
	first := writ.Record{
		Tenant: "default", Stream: "exe_example", Seq: 1, Prev: genesis, Type: writ.RecIntentReceived, Time: 1767323045000000007, Actor: actor,
		Body:     writ.Body{Intent: &writ.IntentFacts{ID: "int_example", Workspace: "default", Origin: writ.OriginHuman}},
		Payloads: []writ.PayloadRef{{Name: writ.PayloadIntent, Digest: canon.Sum(canon.DomainPayload, []byte("salt"), []byte("{}")), Size: 2}},
	}
	encoded, err := canon.MarshalCBOR(&first)
	if err != nil {
		t.Fatal(err)
	}
	second := writ.Record{
		Tenant: "default", Stream: "exe_example", Seq: 2, Prev: canon.Sum(canon.DomainRecord, encoded), Type: writ.RecStepFailed,
		Time: 1767323046000000000, Actor: actor, Step: "stp_example", Attempt: 2,
		Body: writ.Body{Ended: &writ.EndedFacts{Failure: &abi.Failure{Code: "trap", Message: "unreachable"}, Fuel: math.MaxUint64, Calls: 3, Labels: []writ.Label{writ.LabelHTTP}}},
	}
	var out []recordVector
	for name, record := range []*writ.Record{&first, &second} {
		encoded, err := canon.MarshalCBOR(record)
		if err != nil {
			t.Fatal(err)
		}
		var generic any
		if err := canon.UnmarshalForeignCBOR(encoded, &generic); err != nil {
			t.Fatal(err)
		}
		var back writ.Record
		if err := canon.UnmarshalForeignCBOR(encoded, &back); err != nil {
			t.Fatal(err)
		}
		out = append(out, recordVector{
			fmt.Sprintf("%d %s", name+1, record.Type), notation(t, generic), hex.EncodeToString(encoded), canon.Sum(canon.DomainRecord, encoded),
		})
	}
	file(t, "records.json", out)
}

type timeVector struct {
	Nanoseconds string `json:"nanoseconds"`
	Text        string `json:"text"`
}

func TestTimeVectors(t *testing.T) {
	var out []timeVector
	for _, n := range []canon.Time{1, -1, 999999999, 1767323045000000000, 1767323045123456789, 951782400000000000, -9214560000000000000, 9214646399999999999} {
		var back canon.Time
		raw, err := json.Marshal(n)
		if err == nil {
			err = json.Unmarshal(raw, &back)
		}
		if err != nil || back != n {
			t.Errorf("%d comes back as %d: %v", n, back, err)
		}
		out = append(out, timeVector{strconv.FormatInt(int64(n), 10), n.String()})
	}
	file(t, "times.json", out)
}
