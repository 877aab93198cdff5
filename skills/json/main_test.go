package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/sdktest"
)

func code(err error) string {
	var f *sdk.Failure
	if errors.As(err, &f) {
		return f.Code
	}
	return ""
}

func parse(t *testing.T, text string) (value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

const document = `{"items":[{"name":"a","tags":["x","y"]},{"name":"b"},{"n":1}],"a/b":{"~":2},"":3,"0":"zero","null":null}`

func TestQuery(t *testing.T) {
	tests := []struct{ pointer, path, values, code string }{
		{"", "", "[" + document + "]", ""},
		{"/items/0/name", "", `["a"]`, ""},
		{"/a~1b/~0", "", `[2]`, ""},
		{"/", "", `[3]`, ""},
		{"/0", "", `["zero"]`, ""},
		{"/null", "", `[null]`, ""},
		{"/items/00", "", `[]`, ""},
		{"/items/-", "", `[]`, ""},
		{"/items/3", "", `[]`, ""},
		{"/items/99999999999999999999", "", `[]`, ""},
		{"/nothing/here", "", `[]`, ""},
		{"items", "", "", "bad_query"},
		{"/a~2", "", "", "bad_query"},
		{"/a~", "", "", "bad_query"},
		{"/~01", "", `[]`, ""},
		{"", "items[0].name", `["a"]`, ""},
		{"", "items[*].name", `["a","b"]`, ""},
		{"", "items[*].tags[*]", `["x","y"]`, ""},
		{"", "items[7]", `[]`, ""},
		{"", "[0]", `[]`, ""},
		{"", "items.[0]", "", "bad_query"},
		{"", "items[0]name", "", "bad_query"},
		{"", "items[-1]", "", "bad_query"},
		{"", "items[01]", "", "bad_query"},
		{"", "items[", "", "bad_query"},
		{"", "a..b", "", "bad_query"},
		{"", "a.", `[]`, "bad_query"},
		{"", strings.Repeat("[0]", 64), `[]`, ""},
		{"", strings.Repeat("[0]", 65), "", "bad_query"},
		{"/x", "x", "", "bad_query"},
	}
	for _, tt := range tests {
		in := QueryIn{Value: parse(t, document), Pointer: tt.pointer, Path: tt.path}
		out, err := sdktest.Run[QueryOut](sdktest.New(t), "query", in)
		if code(err) != tt.code {
			t.Errorf("query %q %q = %v, want %q", tt.pointer, tt.path, err, tt.code)
			continue
		}
		if err != nil {
			continue
		}
		want := parse(t, tt.values).([]any)
		if !reflect.DeepEqual(out.Values, want) || out.Found != (len(want) > 0) || (out.Found && !reflect.DeepEqual(out.Value, want[0])) {
			t.Errorf("query %q %q = %+v, want %s", tt.pointer, tt.path, out, tt.values)
		}
	}
}

func TestQueryIsBounded(t *testing.T) {
	value := any(slices.Repeat([]any{1.0}, 200))
	value = slices.Repeat([]any{value}, 200)
	out, err := query(nil, QueryIn{Value: value, Path: "[*][*]"})
	if err != nil || len(out.Values) != maxValues {
		t.Errorf("query gave %d values, %v", len(out.Values), err)
	}
}

// A pointer made from a member's name finds that member, whatever the name.
func TestPointerFindsEveryName(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.String().Draw(rt, "name")
		escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		out, err := query(nil, QueryIn{Value: map[string]any{name: "here"}, Pointer: "/" + escaped})
		if err != nil || out.Value != "here" {
			rt.Fatalf("query of %q = %+v, %v", name, out, err)
		}
	})
}

func TestPickAndRename(t *testing.T) {
	value := map[string]any{"a": 1.0, "b": nil, "c": "x"}
	picked, err := sdktest.Run[ObjectOut](sdktest.New(t), "pick", PickIn{Value: value, Members: []string{"b", "c", "d", "c"}})
	if want := (map[string]any{"b": nil, "c": "x"}); err != nil || !reflect.DeepEqual(picked.Value, want) {
		t.Errorf("pick = %v, %v; want %v", picked.Value, err, want)
	}
	swapped, err := sdktest.Run[ObjectOut](sdktest.New(t), "rename", RenameIn{Value: value, Names: map[string]string{"a": "c", "c": "a", "z": "y"}})
	if want := (map[string]any{"a": "x", "b": nil, "c": 1.0}); err != nil || !reflect.DeepEqual(swapped.Value, want) {
		t.Errorf("rename = %v, %v; want %v", swapped.Value, err, want)
	}
	if _, err := sdktest.Run[ObjectOut](sdktest.New(t), "rename", RenameIn{Value: value, Names: map[string]string{"a": "b"}}); code(err) != "name_taken" {
		t.Errorf("rename onto another member = %v", err)
	}
}

// The examples of RFC 7396, appendix A.
func TestMergePatch(t *testing.T) {
	tests := [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			out, err := sdktest.Run[AnyOut](sdktest.New(t), "merge_patch", MergeIn{Value: parse(t, tt[0]), Patch: parse(t, tt[1])})
			if err != nil || !reflect.DeepEqual(out.Value, parse(t, tt[2])) {
				t.Errorf("%s patched with %s = %v, %v; want %s", tt[0], tt[1], out.Value, err, tt[2])
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("/a~1b/0", "a[0].b[*]")
	f.Fuzz(func(t *testing.T, pointer, path string) {
		for _, parse := range []func(string) ([]step, error){parsePointer, parsePath} {
			for _, text := range []string{pointer, path} {
				steps, err := parse(text)
				if err != nil && code(err) != "bad_query" {
					t.Errorf("%q: %v", text, err)
				}
				if len(steps) > maxSteps {
					t.Errorf("%q has %d steps", text, len(steps))
				}
				walk([]any{map[string]any{"a": 1.0}}, steps)
			}
		}
	})
}

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }

func TestWhatIsNotValidSaysWhy(t *testing.T) {
	out, err := validate(nil, ValidateIn{Value: map[string]any{"a": "x"}, Schema: map[string]any{"properties": map[string]any{"a": map[string]any{"type": "integer"}}}})
	if err != nil || out.Valid || out.Problem != "- at '/a': got string, want integer" {
		t.Errorf("%+v, %v", out, err)
	}
}

// What diff says, patch does.
func TestPatchUndoesDiff(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.MapOf(rapid.StringMatching(`[a-c~/]{1,2}`), rapid.Custom(func(rt *rapid.T) any {
			return []any{rapid.Bool().Draw(rt, "b"), rapid.StringMatching(`[a-b]?`).Draw(rt, "s"), map[string]any{"k": rapid.Bool().Draw(rt, "m")}}[:rapid.IntRange(0, 3).Draw(rt, "n")]
		}))
		plain := func(m map[string]any) any { return m }
		from, to := plain(value.Draw(rt, "from")), plain(value.Draw(rt, "to"))
		d, err := diff(nil, DiffIn{From: from, To: to})
		if err != nil {
			rt.Fatal(err)
		}
		raw, err := json.Marshal(d.Patch)
		if err != nil {
			rt.Fatal(err)
		}
		in := PatchIn{Value: from}
		if err := json.Unmarshal(raw, &in.Patch); err != nil {
			rt.Fatal(err)
		}
		got, err := patch(nil, in)
		if err != nil || !reflect.DeepEqual(got.Value, to) {
			rt.Fatalf("%s of %v gives %v, %v, want %v", raw, from, got.Value, err, to)
		}
	})
}
