package canon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/canon"
	"pgregory.net/rapid"
)

// domains are those of digest.go; TestDomains holds the list complete.
var domains = []canon.Domain{
	canon.DomainRecord, canon.DomainPayload, canon.DomainPlan, canon.DomainStep, canon.DomainIntent, canon.DomainExecution,
	canon.DomainRun, canon.DomainApproval, canon.DomainStepKey, canon.DomainCallKey, canon.DomainArguments, canon.DomainInput,
	canon.DomainVerdict, canon.DomainTrail, canon.DomainSchema, canon.DomainPolicy, canon.DomainPolicyLayers, canon.DomainSeed, canon.DomainToken, canon.DomainPerson,
	canon.DomainEvent, canon.DomainLeaf, canon.DomainIdempotencyKey, canon.DomainContract, canon.DomainInstallation, canon.DomainDelivery, canon.DomainMessage,
}

// TestDomains: every domain is declared once, listed here, and in the document.
func TestDomains(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "digest.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && strings.HasPrefix(spec.Names[0].Name, "Domain") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			declared = append(declared, value)
		}
		return true
	})
	var listed []string
	for _, d := range domains {
		listed = append(listed, string(d))
	}
	if !slices.Equal(declared, listed) {
		t.Errorf("declared %v\nlisted   %v", declared, listed)
	}
	slices.Sort(declared)
	if len(slices.Compact(declared)) != len(domains) {
		t.Error("two domains are equal")
	}
	doc, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range domains {
		if !bytes.Contains(doc, []byte("| `"+string(d)+"` |")) {
			t.Errorf("docs/formats.md does not say what %s hashes", d)
		}
	}
}

func TestInputError(t *testing.T) {
	cases := map[string]struct{ reason, path string }{
		`{"a":{"b/c":[1,{"~":9007199254740992}]}}`: {canon.ReasonNumber, "/a/b~1c/1/~0"},
		`{"x":[{"k":1,"k":2}]}`:                    {canon.ReasonDuplicate, "/x/0/k"},
		`[1,[2,[}]]`:                               {canon.ReasonSyntax, "/1/1"},
		`{"a":1} x`:                                {canon.ReasonSyntax, ""},
		"\"\xff\"":                                 {canon.ReasonUnicode, ""},
		`{"a":"\udfff"}`:                           {canon.ReasonUnicode, ""},
	}
	for in, want := range cases {
		err := canon.CheckJSON([]byte(in))
		var got *canon.InputError
		if !errors.As(err, &got) || got.Reason != want.reason || got.Path != want.path || got.Message == "" {
			t.Errorf("%s: %+v", in, got)
		}
	}
	long := canon.CheckJSON([]byte(`{"` + strings.Repeat("k", 1<<16) + `":1,"` + strings.Repeat("k", 1<<16) + `":1}`))
	var got *canon.InputError
	if !errors.As(long, &got) || len(got.Message) > 200 {
		t.Errorf("a long key makes a message of %d bytes", len(got.Message))
	}
}

// TestLongPath: the cost of a document does not grow with the length of the path
// to each of its values.
func TestLongPath(t *testing.T) {
	raw := []byte(`{"` + strings.Repeat("k", 1<<19) + `":[` + strings.Repeat("1,", 1<<17) + `1]}`)
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if err := canon.CheckJSON(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	// With the path made for each value it would be 64 GiB.
	if allocated := result.AllocedBytesPerOp(); allocated > 256<<20 {
		t.Errorf("%d bytes are allocated for a document of %d", allocated, len(raw))
	}
}

// document draws a JSON value that has a canonical form.
func document() *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Int64Range(-canon.MaxSafeInteger, canon.MaxSafeInteger), func(n int64) any { return n }),
		rapid.Map(rapid.Float64Range(-1e15, 1e15), func(f float64) any { return f + 0 }), // -0 is 0
	)
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(leaf, 0, 5), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(rapid.String(), leaf, 0, 5), func(m map[string]any) any { return m }),
		rapid.Map(rapid.MapOfN(rapid.String(), rapid.Map(rapid.SliceOfN(leaf, 0, 3), func(l []any) any { return l }), 0, 4), func(m map[string]any) any { return m }),
	)
}

// TestPropertyJSON: the canonical form is stable, means the same, and does not
// depend on white space.
func TestPropertyJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := document().Draw(t, "value")
		first, err := canon.MarshalJSON(value)
		if err != nil {
			t.Fatal(err)
		}
		again, err := canon.JSON(first)
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("%s becomes %s: %v", first, again, err)
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, first, "\t", "  "); err != nil {
			t.Fatal(err)
		}
		if again, err = canon.JSON(indented.Bytes()); err != nil || !bytes.Equal(first, again) {
			t.Fatalf("white space matters: %s, %v", again, err)
		}
		var a, b any
		raw, err := json.Marshal(value)
		if err != nil || json.Unmarshal(raw, &a) != nil || json.Unmarshal(first, &b) != nil {
			t.Fatal(err)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if !bytes.Equal(x, y) {
			t.Fatalf("%s means %s", raw, first)
		}
	})
}

// TestPropertyHash: other domains and other cuts into parts give other hashes.
func TestPropertyHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 1, 4).Draw(t, "parts")
		i := rapid.IntRange(0, len(domains)-1).Draw(t, "domain")
		sum := canon.Sum(domains[i], parts...)
		if !sum.Valid() || len(sum.Bytes()) != 32 || "sha256:"+sum.Hex() != string(sum) {
			t.Fatalf("%s is not a digest", sum)
		}
		if sum == canon.Sum(domains[(i+1)%len(domains)], parts...) {
			t.Fatal("the domain does not matter")
		}
		if sum == canon.Sum(domains[i], append([][]byte{{}}, parts...)...) {
			t.Fatal("an empty part does not matter")
		}
		if joined := bytes.Join(parts, nil); len(parts) > 1 && sum == canon.Sum(domains[i], joined) {
			t.Fatal("the cut does not matter")
		}
		id := canon.ID("xxx", domains[i], parts...)
		if len(id) != 30 || strings.Trim(id[4:], "abcdefghijklmnopqrstuvwxyz234567") != "" || id[:4] != "xxx_" {
			t.Fatalf("id %s", id)
		}
	})
}

func TestCBORRefuses(t *testing.T) {
	type member struct {
		A int    `json:"a"`
		B string `json:"b,omitempty"`
	}
	for name, raw := range map[string]string{
		"unknown member": "\xa1\x61z\x01", "duplicate key": "\xa2\x61a\x01\x61a\x02", "indefinite map": "\xbf\x61a\x01\xff",
		"indefinite text": "\xa1\x61b\x7f\x61x\xff", "tag": "\xa1\x61a\xc1\x01", "trailing": "\xa1\x61a\x01\x00", "truncated": "\xa1\x61a",
		"invalid text": "\xa1\x61b\x61\xff", "empty": "", "deep": strings.Repeat("\x81", 100) + "\x01",
	} {
		if err := canon.UnmarshalCBOR([]byte(raw), new(member)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, raw := range map[string]string{
		"long integer": "\xa1\x61a\x18\x01", "unsorted keys": "\xa2\x61b\x61x\x61a\x01", "left out is written": "\xa2\x61a\x01\x61b\x60",
	} {
		if err := canon.UnmarshalForeignCBOR([]byte(raw), new(member)); !errors.Is(err, canon.ErrNotCanonical) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := canon.MarshalCBOR(func() {}); err == nil {
		t.Error("a function has an encoding")
	}
}

func TestTime(t *testing.T) {
	moment := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	if got := canon.TimeOf(moment).String(); got != "2026-01-02T02:04:05.000000006Z" {
		t.Error(got)
	}
	if canon.TimeOf(time.Time{}) != 0 || !canon.Time(0).Std().IsZero() || canon.Time(0).String() != "" {
		t.Error("the zero time is set")
	}
	if got := canon.TimeOf(moment).Add(time.Second).Std(); !got.Equal(moment.Add(time.Second)) || got.Location() != time.UTC {
		t.Error(got)
	}
	for _, edge := range []struct{ in, want string }{{"0900-01-01T00:00:00Z", "1678-01-01T00:00:00.000000000Z"}, {"9999-01-01T00:00:00Z", "2261-12-31T23:59:59.999999999Z"}} {
		parsed, err := time.Parse(time.RFC3339, edge.in)
		if got := canon.TimeOf(parsed).String(); err != nil || got != edge.want {
			t.Errorf("%s becomes %s", edge.in, got)
		}
	}
	for in, ok := range map[string]bool{
		`null`: true, `"2026-01-02T03:04:05Z"`: true, `"2026-01-02T03:04:05.5+01:00"`: true, `"1970-01-01T00:00:00Z"`: false, `"0001-01-01T00:00:00Z"`: false,
		`"2262-01-01T00:00:00Z"`: false, `"1677-12-31T23:59:59Z"`: false, `"2026-01-02"`: false, `7`: false, `""`: false, `"2026-02-30T00:00:00Z"`: false,
	} {
		got := canon.Time(7)
		if err := json.Unmarshal([]byte(in), &got); (err == nil) != ok {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestMarshalJSONRefuses(t *testing.T) {
	for name, value := range map[string]any{"large integer": int64(1) << 53, "large float": 1e17, "channel": make(chan int), "raw": json.RawMessage(`{"a":1,"a":2}`)} {
		if out, err := canon.MarshalJSON(value); err == nil {
			t.Errorf("%s becomes %s", name, out)
		}
	}
}

func TestMarshalCBORRefusesWhatCannotBeRead(t *testing.T) {
	type text struct {
		Name  string            `json:"name"`
		Data  []byte            `json:"data"`
		More  map[string]string `json:"more"`
		Count uint64            `json:"count"`
		Ratio float64           `json:"ratio"`
	}
	for name, v := range map[string]*text{
		"a member":     {Name: "\xff"},
		"a long one":   {Name: strings.Repeat("x", 70_000) + "\xff"},
		"a map's key":  {More: map[string]string{"\xe9": ""}},
		"a map's text": {More: map[string]string{"a": "b\xc3"}},
	} {
		if b, err := canon.MarshalCBOR(v); err == nil {
			t.Errorf("%s: encoded as %x", name, b)
		}
	}
	whole := &text{Name: strings.Repeat("é", 300), Data: []byte("\xff\xfe"), More: map[string]string{"ü": "ß"}, Count: 1 << 40, Ratio: 1.1}
	encoded, err := canon.AppendCBOR([]byte("prefix"), whole)
	if err != nil || !bytes.HasPrefix(encoded, []byte("prefix")) || cap(encoded) != len(encoded) {
		t.Fatalf("%x %v", encoded, err)
	}
	var again text
	if err := canon.UnmarshalForeignCBOR(encoded[len("prefix"):], &again); err != nil || again.Name != whole.Name || again.Count != whole.Count {
		t.Fatalf("%+v %v", again, err)
	}
}
