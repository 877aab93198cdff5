package sdk

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type base struct {
	ID   string   `json:"id" doc:"Who"`
	Tags []string `json:"tags" enum:"a, b"`
}

type tree struct {
	Name string `json:"name"`
	Kids []tree `json:"kids"`
}

type everything struct {
	base
	Level  string             `json:"level,omitempty" enum:"low,high" doc:"How much"`
	Count  int                `json:"count"`
	Size   uint32             `json:"size"`
	Ratio  float64            `json:"ratio"`
	On     bool               `json:"on"`
	Raw    []byte             `json:"raw"`
	Pair   [2]int             `json:"pair"`
	Prices map[string]float64 `json:"prices"`
	Any    any                `json:"any"`
	Doc    json.RawMessage    `json:"doc"`
	When   time.Time          `json:"when"`
	Maybe  *string            `json:"maybe"`
	Kind   *string            `json:"kind" enum:"x"`
	Opt    *base              `json:"opt,omitempty"`
	Text   int64              `json:"text,string"`
	Tree   tree               `json:"tree,omitzero"`
	Plain  string
	Hidden string `json:"-"`
	inner  string
}

const everythingSchema = `{
 "type": "object", "additionalProperties": false,
 "required": ["count","size","ratio","on","raw","pair","prices","any","doc","when","maybe","kind","text","Plain","id","tags"],
 "properties": {
  "id": {"type":"string","description":"Who"},
  "tags": {"type":"array","items":{"type":"string","enum":["a","b"]}},
  "level": {"type":"string","enum":["low","high"],"description":"How much"},
  "count": {"type":"integer"}, "size": {"type":"integer","minimum":0},
  "ratio": {"type":"number"}, "on": {"type":"boolean"},
  "raw": {"type":"string","contentEncoding":"base64"},
  "pair": {"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":2},
  "prices": {"type":"object","additionalProperties":{"type":"number"}},
  "any": {}, "doc": {}, "when": {"type":"string","format":"date-time"},
  "maybe": {"type":["string","null"]}, "kind": {"type":["string","null"],"enum":["x",null]},
  "opt": {"type":"object","additionalProperties":false,"required":["id","tags"],"properties":{
    "id":{"type":"string","description":"Who"},"tags":{"type":"array","items":{"type":"string","enum":["a","b"]}}}},
  "text": {"type":"string"},
  "tree": {"type":"object","additionalProperties":false,"required":["name","kids"],"properties":{
    "name":{"type":"string"},"kids":{"type":"array","items":{}}}},
  "Plain": {"type":"string"}
 }}`

func TestSchemaOfEveryKind(t *testing.T) {
	raw, err := json.Marshal(schemaOf[everything]("a", "input"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(everythingSchema), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("schema is\n%s\nwant\n%s", raw, everythingSchema)
	}
	if (everything{}).inner != "" {
		t.Error("the unexported field is only there to be left out")
	}
}

func TestSchemaRefuses(t *testing.T) {
	tests := []struct {
		name string
		make func()
		want string
	}{
		{"a scalar input", func() { schemaOf[string]("a", "input") }, "no JSON object"},
		{"a list output", func() { schemaOf[[]int]("a", "output") }, "no JSON object"},
		{"a channel", func() { schemaOf[struct{ C chan int }]("a", "input") }, "no form in JSON"},
		{"an enum of numbers", func() {
			schemaOf[struct {
				N int `enum:"1,2"`
			}]("a", "input")
		}, "enum tag needs a string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if message, _ := recover().(string); !strings.Contains(message, tt.want) {
					t.Errorf("panicked with %q, want %q in it", message, tt.want)
				}
			}()
			tt.make()
		})
	}
}

type strict struct {
	Name  string         `json:"name"`
	Level string         `json:"level,omitempty" enum:"low,high"`
	Size  uint           `json:"size,omitempty"`
	Pair  [2]int         `json:"pair,omitzero"`
	Sub   *strict        `json:"sub,omitempty"`
	Map   map[string]int `json:"map,omitempty"`
	Null  *int           `json:"null,omitempty"`
}

func TestDecodeIsStrict(t *testing.T) {
	schema := schemaOf[strict]("a", "input")
	tests := []struct{ raw, want string }{
		{`{"name":"x"}`, ""},
		{`{"name":"x","level":"high","size":3,"pair":[1,2],"map":{"k":1}}`, ""},
		{`{"name":"x","size":2.0}`, "cannot unmarshal"},
		{`{}`, "/name: is missing"},
		{`{"NAME":"x"}`, "/name: is missing"},
		{`{"name":"x","Name":"y"}`, "/Name: is not known"},
		{`{"name":"x","more":1}`, "/more: is not known"},
		{`{"name":1}`, "/name: want string, got number"},
		{`{"name":null}`, "/name: want string, got null"},
		{`{"name":"x","level":"mid"}`, "/level: mid is none of [low high]"},
		{`{"name":"x","size":-1}`, "/size: want at least 0"},
		{`{"name":"x","size":1.5}`, "/size: want integer, got number"},
		{`{"name":"x","pair":[1]}`, "/pair: want 2 items, got 1"},
		{`{"name":"x","pair":[1,"b"]}`, "/pair/1: want integer, got string"},
		{`{"name":"x","map":{"k":"v"}}`, "/map/k: want integer, got string"},
		{`{"name":"x","null":null}`, "/null: want integer, got null"},
		{`[]`, "the value: want object, got array"},
		{`{"name":"x"}{}`, "more than one"},
		{`{"name":`, "is not JSON"},
		{``, "is not JSON"},
	}
	for _, tt := range tests {
		var into strict
		err := decode([]byte(tt.raw), schema, &into)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("decode(%s) = %v, want %q", tt.raw, err, tt.want)
		}
	}
}

type record struct {
	Name  string           `json:"name"`
	Notes []string         `json:"notes"`
	Sizes map[string][]int `json:"sizes"`
	Next  *record          `json:"next"`
	Doc   json.RawMessage  `json:"doc,omitempty"`
}

// recordSchema opens Next, which is the type itself.
var recordSchema = schemaOf[record]("a", "output")

func drawRecord(t *rapid.T, depth int) record {
	r := record{Name: rapid.String().Draw(t, "name")}
	if rapid.Bool().Draw(t, "notes") {
		r.Notes = rapid.SliceOf(rapid.String()).Draw(t, "list")
	}
	if rapid.Bool().Draw(t, "sizes") {
		r.Sizes = map[string][]int{rapid.String().Draw(t, "key"): nil, "full": {1, 2}}
	}
	if depth < 3 && rapid.Bool().Draw(t, "next") {
		next := drawRecord(t, depth+1)
		r.Next = &next
	}
	return r
}

// What a handler returns fits the schema that the manifest shows, and reads back
// the same, whatever was left nil.
func TestOutputFitsItsSchema(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out := drawRecord(t, 0)
		raw, err := encode(&out)
		if err != nil {
			t.Fatal(err)
		}
		var back record
		if err := decode(raw, recordSchema, &back); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if !reflect.DeepEqual(out, back) {
			t.Fatalf("%s reads back as %+v, was %+v", raw, back, out)
		}
	})
}

func TestEncodeOfAValueWithinItself(t *testing.T) {
	r := &record{}
	r.Next = r
	if _, err := encode(r); err == nil || !strings.Contains(err.Error(), "output") {
		t.Errorf("encode of a cycle = %v, want an error", err)
	}
}

// A hostile input never panics, and what decodes is what the type can hold.
func FuzzDecode(f *testing.F) {
	schema := schemaOf[everything]("a", "input")
	f.Add([]byte(`{"name":"x"}`))
	f.Add([]byte(`{"id":"x","tags":["a"],"count":1e400}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var into everything
		if decode(raw, schema, &into) == nil {
			if !json.Valid(raw) || into.Tags == nil {
				t.Errorf("%q passed as valid", raw)
			}
		}
	})
}
