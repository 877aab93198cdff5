package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

const goodYAML = `apiVersion: writ/v1
name: acme/mailer
version: "1.2.0"
description: Sends mail.
licence: Apache-2.0
abi: writ/v1
requires: {host: ">=0.1.0", contracts: ^1.0.0}
capabilities:
  - tool: http.request
    hosts: [api.acme.dev, "*.acme.dev"]
    methods: [POST]
    paths: [/v1/**]
    secrets:
      - {name: acme-token, scheme: https, host: api.acme.dev, injectAs: bearer}
  - tool: kv.get
    prefixes: [seen/]
actions:
  - name: send
    description: Sends one mail.
    input: {type: object, properties: {to: {type: string}}, required: [to]}
    output: {type: object}
    effects: [write-external]
    risk: high
    sinks: [to]
    uses:
      - tool: http.request
        hosts: ["{server.host}"]
        methods: [POST]
        paths: ["/v1/{to}/send"]
limits: {memory: 64MiB, time: 10s, calls: 20}
`

func TestParseManifest(t *testing.T) {
	m, err := ParseManifest("skill.yaml", []byte(goodYAML))
	if err != nil {
		t.Fatal(err)
	}
	if m.Limits.Memory != 64<<20 || m.Limits.Time.Std().Seconds() != 10 || m.Capabilities[0].Secrets[0].InjectAs != "bearer" {
		t.Errorf("%+v", m)
	}
	if _, err := Pack(m, guest()); err != nil {
		t.Errorf("what parses packs: %v", err)
	}
}

func TestManifestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		old, with string
		line      int
		message   string
	}{
		"unknown member":           {"licence:", "license:", 5, `"license" is not a member`},
		"unknown member deep":      {"injectAs", "injectas", 14, `"injectas" is not a member`},
		"version as a number":      {`"1.2.0"`, "1.2", 3, "is the number 1.2: want a string"},
		"bad version":              {`"1.2.0"`, `"1.2"`, 3, "not a semantic version"},
		"build metadata":           {`"1.2.0"`, `"1.2.0+5"`, 3, "not a semantic version"},
		"bad name":                 {"acme/mailer", "Mailer", 2, "not a skill name"},
		"other schema version":     {"apiVersion: writ/v1", "apiVersion: writ/v2", 1, "this host reads writ/v1"},
		"no such guest interface":  {"\nabi: writ/v1", "\nabi: wasi", 6, "not a guest interface"},
		"bad range":                {`">=0.1.0"`, `">=a.b"`, 7, "not a version range"},
		"unknown tool":             {"tool: kv.get", "tool: shell", 15, `no tool "shell"`},
		"member of another tool":   {"prefixes: [seen/]", "paths: [/seen]", 16, "does not apply to kv.get"},
		"host pattern":             {`"*.acme.dev"`, `"a*.b*c"`, 10, "not a valid pattern"},
		"upper-case host":          {`"*.acme.dev"`, `"API.acme.dev"`, 10, "not a valid pattern"},
		"placeholder in manifest":  {`"*.acme.dev"`, `"{to.host}"`, 10, "not a valid pattern"},
		"method":                   {"[POST]\n    paths: [/v1/**]", "[post]\n    paths: [/v1/**]", 11, "not a valid pattern"},
		"relative path":            {"paths: [/v1/**]", "paths: [v1/**]", 12, "not a valid pattern"},
		"secret for another host":  {"host: api.acme.dev, inj", "host: evil.dev, inj", 14, "not a host of this capability"},
		"secret for any host":      {"host: api.acme.dev, inj", `host: "*.acme.dev", inj`, 14, "not a host of this capability"},
		"inject":                   {"injectAs: bearer", "injectAs: cookie", 14, "not a way to inject"},
		"no kind of cost":          {"prefixes: [seen/]", "prefixes: [seen/]\n    costs: [{kind: time, amount: 1}]", 17, "no kind of cost"},
		"cost of nothing":          {"prefixes: [seen/]", "prefixes: [seen/]\n    costs: [{kind: spend}]", 17, "want a fixed amount"},
		"cost said twice":          {"prefixes: [seen/]", "prefixes: [seen/]\n    costs: [{kind: spend, amount: 1, pointer: /a}]", 17, "want a fixed amount"},
		"cost below nothing":       {"prefixes: [seen/]", "prefixes: [seen/]\n    costs: [{kind: spend, amount: -1}]", 17, "want a whole number"},
		"cost at no pointer":       {"prefixes: [seen/]", "prefixes: [seen/]\n    costs: [{kind: spend, pointer: a}]", 17, "not a pointer"},
		"factor of a fixed cost":   {"prefixes: [seen/]", "prefixes: [seen/]\n    costs: [{kind: spend, amount: 1, times: 2}]", 17, "no factor here"},
		"factor beyond the most":   {"prefixes: [seen/]", "prefixes: [seen/]\n    costs: [{kind: spend, pointer: /a, times: 1000000001}]", 17, "no factor here"},
		"five costs":               {"prefixes: [seen/]", "prefixes: [seen/]\n    costs: [{kind: spend, amount: 1}, {kind: spend, amount: 1}, {kind: spend, amount: 1}, {kind: spend, amount: 1}, {kind: spend, amount: 1}]", 17, "more than 4 costs"},
		"missing description":      {"    description: Sends one mail.\n", "", 18, "description is missing"},
		"schema with a remote ref": {"output: {type: object}", "output: {$ref: 'https://evil.example/s'}", 21, "not a usable schema"},
		"schema of a wrong type":   {"output: {type: object}", "output: {type: objekt}", 21, "not a usable schema"},
		"schema is text":           {"output: {type: object}", "output: object", 21, "want a JSON Schema"},
		"effect":                   {"[write-external]", "[write]", 22, "not an effect class"},
		"no effect":                {"[write-external]", "[]", 22, "no effect class"},
		"risk":                     {"risk: high", "risk: huge", 23, "not a risk tier"},
		"sink":                     {"sinks: [to]", `sinks: ["to..x"]`, 24, "not a path"},
		"use of undeclared tool":   {"      - tool: http.request", "      - tool: kv.put", 26, "not among the capabilities"},
		"size":                     {"64MiB", "64 megs", 30, "want a size"},
		"negative calls":           {"calls: 20", "calls: -1", 30, "want a whole number"},
		"duration":                 {"time: 10s", "time: 10", 30, "want a span"},
		"duplicate key":            {"licence: Apache-2.0", "name: acme/other", 5, "stands twice"},
		"anchor":                   {"licence: Apache-2.0", "licence: &x Apache-2.0", 5, "anchors"},
		"tag":                      {"licence: Apache-2.0", "licence: !!binary YQ==", 5, "tag"},
		"octal":                    {"calls: 20", "calls: 0o17", 30, "not a JSON number"},
		"number beyond 2^53":       {"calls: 20", "calls: 9007199254740993", 30, "beyond 2^53-1"},
		"key that is no text":      {"licence: Apache-2.0", "1: x", 5, "a key must be a string"},
		"null":                     {"licence: Apache-2.0", "licence:", 5, "is empty: want a string"},
		"second document":          {"limits:", "---\nlimits:", 1, "more than one document"},
		"not YAML":                 {"licence: Apache-2.0", "\tlicence: x", 4, "not YAML"},
		"list":                     {goodYAML, "- a", 1, "is a list: want an object"},
		"empty":                    {goodYAML, "", 1, "the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseManifest("skill.yaml", replaceOnce(t, []byte(goodYAML), c.old, c.with))
			var e *writ.Error
			if !errors.As(err, &e) || e.Code != writ.CodeInvalid {
				t.Fatalf("got %v", err)
			}
			list := e.Details.([]writ.Problem)
			found := slices.ContainsFunc(list, func(p writ.Problem) bool {
				return p.Line == c.line && strings.Contains(p.Message, c.message) && p.Fix != "" && p.File == "skill.yaml" && p.Column > 0
			})
			if !found {
				t.Errorf("want line %d %q, have %+v", c.line, c.message, list)
			}
		})
	}
}

func TestManifestReportsEverythingAtOnce(t *testing.T) {
	text := strings.NewReplacer("acme/mailer", "Mailer", `"1.2.0"`, "x", "[write-external]", "[boom]").Replace(goodYAML)
	_, err := ParseManifest("skill.yaml", []byte(text))
	var e *writ.Error
	if !errors.As(err, &e) || len(e.Details.([]writ.Problem)) != 3 || e.Place != "skill.yaml:2:1" {
		t.Errorf("%v: %+v", err, e)
	}
}

func TestManifestSizeAtTheLimitAndOnePast(t *testing.T) {
	pad := strings.Repeat("#", maxManifest-len(goodYAML))
	if _, err := ParseManifest("skill.yaml", []byte(goodYAML+pad)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := ParseManifest("skill.yaml", []byte(goodYAML+pad+"#")); err == nil {
		t.Error("one past the limit is accepted")
	}
	deep := func(levels int) []byte {
		return []byte(strings.Replace(goodYAML, "{type: object}", strings.Repeat("{not: ", levels)+"{}"+strings.Repeat("}", levels), 1))
	}
	const at = maxDepth - 4 // actions, the action, output and its innermost object
	if _, err := ParseManifest("skill.yaml", deep(at+1)); err != nil {
		t.Errorf("at the depth limit: %v", err)
	}
	if _, err := ParseManifest("skill.yaml", deep(at+2)); err == nil {
		t.Error("one level past the limit is accepted")
	}
	if _, err := ParseManifest("skill.yaml", bytes.Repeat([]byte("["), 100_000)); err == nil {
		t.Error("a bomb is accepted")
	}
}

func TestApplyDescription(t *testing.T) {
	text := strings.NewReplacer("    input: {type: object, properties: {to: {type: string}}, required: [to]}\n", "", "    output: {type: object}\n", "").Replace(goodYAML)
	m, err := ParseManifest("skill.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(m, guest()); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("packed without schemas: %v", err)
	}
	code := &abi.Description{Actions: []abi.DescribedAction{{Name: "send", Input: map[string]any{"type": "object"}, Output: map[string]any{"type": "string"}}}}
	for range 2 { // the second time the schemas are there and the same
		if err := ApplyDescription(m, code); err != nil {
			t.Fatal(err)
		}
	}
	if string(m.Actions[0].Output) != `{"type":"string"}` {
		t.Errorf("output %s", m.Actions[0].Output)
	}
	code.Actions[0].Output["type"] = "number"
	code.Actions = append(code.Actions, abi.DescribedAction{Name: "more"})
	err = ApplyDescription(m, code)
	var e *writ.Error
	if !errors.As(err, &e) || len(e.Details.([]writ.Problem)) != 2 {
		t.Errorf("drift is not found: %v", err)
	}
	if err := ApplyDescription(m, &abi.Description{}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("a missing action is not found: %v", err)
	}
}

// The published schema names the members that the type has, and accepts what the
// parser accepts.
func TestManifestSchemaFitsTheType(t *testing.T) {
	var s jsonschema.Schema
	if err := json.Unmarshal(ManifestSchema(), &s); err != nil {
		t.Fatal(err)
	}
	for typ, properties := range map[reflect.Type]map[string]*jsonschema.Schema{
		reflect.TypeFor[abi.Manifest]():   s.Properties,
		reflect.TypeFor[abi.Requires]():   s.Properties["requires"].Properties,
		reflect.TypeFor[abi.Limits]():     s.Properties["limits"].Properties,
		reflect.TypeFor[abi.Capability](): s.Defs["capability"].Properties,
		reflect.TypeFor[abi.Secret]():     s.Defs["secret"].Properties,
		reflect.TypeFor[abi.Action]():     s.Defs["action"].Properties,
	} {
		var members, named []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			members = append(members, name)
		}
		for name := range properties {
			named = append(named, name)
		}
		slices.Sort(members)
		slices.Sort(named)
		if !slices.Equal(members, named) {
			t.Errorf("%s: type has %v, schema %v", typ, members, named)
		}
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	root, _, found := readYAML([]byte(goodYAML))
	if len(found) > 0 {
		t.Fatal(found)
	}
	raw, err := canon.MarshalJSON(root)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Fatal(err)
	}
	if err := resolved.Validate(plain); err != nil {
		t.Errorf("the schema refuses a good manifest: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(goodYAML))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("<<: {a: 1}\n? [x]\n: y"))
	raw, err := canon.MarshalJSON(mailer())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseManifest("skill.yaml", text)
		if err != nil {
			var e *writ.Error
			if !errors.As(err, &e) || e.Code != writ.CodeInvalid || len(e.Details.([]writ.Problem)) == 0 {
				t.Fatalf("an error without problems: %v", err)
			}
			return
		}
		canonical, err := canon.MarshalJSON(m)
		if err != nil {
			t.Fatalf("a manifest without a canonical form: %v", err)
		}
		again, found := readManifest(canonical)
		if len(found) > 0 {
			for _, d := range found { // only what an author may leave to the code
				if d.message != "the schema is missing" {
					t.Fatalf("accepted from YAML, refused from JSON: %+v", d)
				}
			}
			return
		}
		if second, err := canon.MarshalJSON(again); err != nil || !bytes.Equal(canonical, second) {
			t.Fatalf("the canonical form changes when it is read: %v", err)
		}
	})
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		have, want string
		fit        fit
	}{
		{"1.5.0", "", within},
		{"1.5.0", "*", within},
		{"1.5.0", "^1.2", within},
		{"1.5.0", "1.5", within},
		{"1.5.0", ">1.5.0", tooOld},
		{"1.5.0", "<1.5.0", tooNew},
		{"1.5.0", "1.4 - 1.4.9", tooNew},
		{"1.5.0", "=1.5.1", tooOld},
		{"1.5.0", "!=1.5.0", tooOld},
		{"1.5.0", "<1 || >2", tooOld},
		{"1.5.0", "~1.4", tooNew},
		{"1.5.0", "^2.0.0-rc.1", tooOld},
		{"1.5.0", ">2 <1", tooOld},
		{"1.5.0", "<=1.0.0", tooNew},
		{"0.1.0", "<0.1.0", tooNew},
		{"2.0.0", "<2", tooNew},
		{"1.5.0", "nonsense", tooOld},
	} {
		if got := compare(c.have, c.want); got != c.fit {
			t.Errorf("%s in %q: %d, want %d", c.have, c.want, got, c.fit)
		}
	}
}
