package contract

import (
	"encoding/json"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"pgregory.net/rapid"
)

// copyOf is Current after a round trip, so that a test can change it.
func copyOf(t *testing.T) *Snapshot { return throughJSON(t, Current()) }

// few is copyOf with two of each: reading all of them takes 50 ms.
func few(t *testing.T) *Snapshot {
	s := Current()
	s.Contracts, s.Events, s.Capabilities = s.Contracts[:2], s.Events[:2], s.Capabilities[:2]
	return throughJSON(t, s)
}

func throughJSON(t *testing.T, s *Snapshot) *Snapshot {
	t.Helper()
	raw, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseSnapshot(raw)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

const subject = "controlPlane.intent.submit"

func TestImpactOfNothing(t *testing.T) {
	if changes := Impact(copyOf(t), Current()); len(changes) != 0 {
		t.Errorf("a round trip changed something: %+v", changes)
	}
}

// Each row is one change, with its class one way and the other.
func TestImpactClasses(t *testing.T) {
	input := func(c *SnapContract) *jsonschema.Schema { return c.Input }
	output := func(c *SnapContract) *jsonschema.Schema { return c.Output }
	add := func(side func(*SnapContract) *jsonschema.Schema, name string, required bool) func(*SnapContract) {
		return func(c *SnapContract) {
			s := side(c)
			s.Properties[name] = &jsonschema.Schema{Type: "string"}
			if required {
				s.Required = append(s.Required, name)
			}
		}
	}
	on := func(side func(*SnapContract) *jsonschema.Schema, name string, change func(*jsonschema.Schema)) func(*SnapContract) {
		return func(c *SnapContract) { change(side(c).Properties[name]) }
	}
	for name, tc := range map[string]struct {
		change    func(*SnapContract)
		forth     Class
		back      Class
		wantPlace string
	}{
		"optional input":    {add(input, "x", false), Additive, Breaking, "/input/properties/x"},
		"required input":    {add(input, "x", true), Breaking, Breaking, "/input/properties/x"},
		"optional output":   {add(output, "x", false), Additive, Breaking, "/output/properties/x"},
		"required output":   {add(output, "x", true), Additive, Breaking, "/output/properties/x"},
		"input required":    {func(c *SnapContract) { c.Input.Required = append(c.Input.Required, "draft") }, Breaking, Additive, "/input/properties/draft"},
		"output optional":   {func(c *SnapContract) { c.Output.Required = c.Output.Required[1:] }, Breaking, Additive, "/output/properties/status"},
		"input widened":     {on(input, "text", func(s *jsonschema.Schema) { s.Type = "" }), Additive, Breaking, "/input/properties/text"},
		"output widened":    {on(output, "intentId", func(s *jsonschema.Schema) { s.Type = "" }), Breaking, Additive, "/output/properties/intentId"},
		"type":              {on(input, "text", func(s *jsonschema.Schema) { s.Type = "integer" }), Breaking, Breaking, "/input/properties/text"},
		"enum of input":     {on(input, "origin", func(s *jsonschema.Schema) { s.Enum = append(s.Enum, "x") }), Additive, Breaking, "/input/properties/origin"},
		"enum of output":    {on(output, "status", func(s *jsonschema.Schema) { s.Enum = []any{"ok"} }), Additive, Breaking, "/output/properties/status"},
		"enum of input new": {on(input, "text", func(s *jsonschema.Schema) { s.Enum = []any{"a"} }), Breaking, Additive, "/input/properties/text"},
		"pattern of input":  {on(input, "text", func(s *jsonschema.Schema) { s.Pattern = "a" }), Breaking, Additive, "/input/properties/text"},
		"pattern of output": {on(output, "intentId", func(s *jsonschema.Schema) { s.Pattern = "a" }), Additive, Breaking, "/output/properties/intentId"},
		"encoding":          {on(input, "text", func(s *jsonschema.Schema) { s.ContentEncoding = "base64" }), Breaking, Breaking, "/input/properties/text"},
		"unknown keyword":   {on(input, "text", func(s *jsonschema.Schema) { s.MaxLength = jsonschema.Ptr(3) }), Breaking, Breaking, "/input/properties/text"},
		"open input":        {func(c *SnapContract) { c.Input.AdditionalProperties = nil }, Additive, Breaking, "/input/additionalProperties"},
		"words of a member": {on(input, "text", func(s *jsonschema.Schema) { s.Description = "x" }), Editorial, Editorial, "/input/properties/text"},
		"words":             {func(c *SnapContract) { c.Goal = "x" }, Editorial, Editorial, "/goal"},
		"kind":              {func(c *SnapContract) { c.Kind = Query }, Breaking, Breaking, "/kind"},
		"capability":        {func(c *SnapContract) { c.Capability = CapAudit }, Breaking, Breaking, "/capability"},
		"auth":              {func(c *SnapContract) { c.Auth = Admin }, Breaking, Additive, "/auth"},
		"stability":         {func(c *SnapContract) { c.Stability = Experimental }, Breaking, Additive, "/stability"},
		"idempotent":        {func(c *SnapContract) { c.Idempotent = false }, Breaking, Additive, "/idempotent"},
		"command line":      {func(c *SnapContract) { c.CLI = "writ want" }, Breaking, Breaking, "/cli"},
		"command line gone": {func(c *SnapContract) { c.CLI = "" }, Breaking, Additive, "/cli"},
		"status of failure": {func(c *SnapContract) { c.Errors[0].HTTP = 418 }, Breaking, Breaking, "/errors/conflict"},
		"failure reworded":  {func(c *SnapContract) { c.Errors[0].When = "x" }, Editorial, Editorial, "/errors/conflict"},
		"failure gone":      {func(c *SnapContract) { c.Errors = c.Errors[1:] }, Additive, Additive, "/errors/conflict"},
		"event gone":        {func(c *SnapContract) { c.Emits = nil }, Breaking, Additive, "/emits"},
		"personal data":     {func(c *SnapContract) { c.PII = c.PII[1:] }, Editorial, Editorial, "/pii"},
	} {
		t.Run(name, func(t *testing.T) {
			old, now := few(t), few(t)
			tc.change(&now.Contracts[0])
			for _, way := range []struct {
				from, to *Snapshot
				class    Class
			}{{old, now, tc.forth}, {now, old, tc.back}} {
				changes := Impact(way.from, way.to)
				if len(changes) == 0 {
					t.Fatal("nothing was noticed")
				}
				if got := worstOf(changes); got != way.class {
					t.Errorf("is %s, want %s: %+v", got, way.class, changes)
				}
				if changes[0].Key != subject || changes[0].Place != tc.wantPlace {
					t.Errorf("is at %s %s, want %s", changes[0].Key, changes[0].Place, tc.wantPlace)
				}
			}
		})
	}
}

func TestImpactOfWholes(t *testing.T) {
	for name, drop := range map[string]func(*Snapshot){
		"contract":   func(s *Snapshot) { s.Contracts = s.Contracts[1:] },
		"event":      func(s *Snapshot) { s.Events = s.Events[1:] },
		"capability": func(s *Snapshot) { s.Capabilities = s.Capabilities[1:] },
	} {
		all, less := few(t), few(t)
		drop(less)
		if changes := Impact(all, less); len(changes) != 1 || changes[0].Class != Breaking {
			t.Errorf("a %s that goes: %+v", name, changes)
		}
		if changes := Impact(less, all); len(changes) != 1 || changes[0].Class != Additive {
			t.Errorf("a %s that comes: %+v", name, changes)
		}
		// What goes asks for the next version of the whole; what comes for nothing.
		if drift := driftBetween(all, less); len(drift) != 1 || drift[0].Want != "2.0.0" {
			t.Errorf("a %s that goes: %+v", name, drift)
		}
		if drift := driftBetween(less, all); len(drift) != 0 {
			t.Errorf("a %s that comes: %+v", name, drift)
		}
		less.Version = "2.0.0"
		if drift := driftBetween(all, less); len(drift) != 0 {
			t.Errorf("a %s that goes in a major version: %+v", name, drift)
		}
	}
}

func TestCheckAsksForTheRightVersion(t *testing.T) {
	editorial := func(c *SnapContract) { c.Title = "x" }
	additive := func(c *SnapContract) { c.Input.Properties["x"] = &jsonschema.Schema{} }
	breaking := func(c *SnapContract) { delete(c.Output.Properties, "intentId") }
	for _, tc := range []struct {
		name    string
		change  func(*SnapContract)
		version string
		before  Stability
		want    string // empty: accepted
	}{
		{"editorial, none", editorial, "1.0.0", Stable, "1.0.1"},
		{"editorial, patch", editorial, "1.0.1", Stable, ""},
		{"additive, patch", additive, "1.0.1", Stable, "1.1.0"},
		{"additive, minor", additive, "1.1.0", Stable, ""},
		{"breaking, minor", breaking, "1.1.0", Stable, "2.0.0"},
		{"breaking, major", breaking, "2.0.0", Stable, ""},
		{"breaking experiment, patch", breaking, "1.0.1", Experimental, "1.1.0"},
		{"breaking experiment, minor", breaking, "1.1.0", Experimental, ""},
		{"backwards", additive, "0.9.0", Stable, "1.1.0"},
		{"no version", additive, "next", Stable, "1.1.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old, now := few(t), few(t)
			old.Contracts[0].Stability, now.Contracts[0].Stability = tc.before, tc.before
			old.Contracts[0].Version, now.Contracts[0].Version = "1.0.0", tc.version
			tc.change(&now.Contracts[0])
			drift := driftBetween(old, now)
			if (len(drift) == 0) != (tc.want == "") {
				t.Fatalf("got %+v, want %q", drift, tc.want)
			}
			if tc.want != "" && (drift[0].Want != tc.want || drift[0].Key != subject) {
				t.Errorf("got %+v, want %q", drift[0], tc.want)
			}
		})
	}
}

func TestParseSnapshotRefuses(t *testing.T) {
	if _, err := ParseSnapshot([]byte("{")); err == nil {
		t.Error("half a document must not be read")
	}
}

// TestExplanationNeverRefusesMore: what findFault explains, the validator
// refuses too, for any JSON made of the schema's own members and some others.
func TestExplanationNeverRefusesMore(t *testing.T) {
	ops := All()
	value := rapid.Custom(func(t *rapid.T) any { return drawValue(t, 3) })
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(ops).Draw(t, "contract")
		doc := map[string]any{}
		for name, s := range c.InputSchema().Properties {
			switch rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
			case 1:
				doc[name] = value.Draw(t, name)
			default:
				doc[name] = fitting(s)
			}
		}
		if rapid.Bool().Draw(t, "stranger") {
			doc[rapid.StringN(0, 5, 20).Draw(t, "name")] = true
		}
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		var back any
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatal(err)
		}
		pair := schemaOf(c.in)
		refused := pair.resolved.Validate(back)
		if f := findFault(pair.schema, back); f != nil && refused == nil {
			t.Fatalf("%s: %s is refused at %s: %s", c.Key, raw, f.place, f.message)
		}
		if err := c.CheckInput(raw); (err == nil) != (refused == nil) {
			t.Fatalf("%s: CheckInput says %v, the validator %v", c.Key, err, refused)
		}
	})
}

func fitting(s *jsonschema.Schema) any {
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	switch s.Type {
	case "string":
		return map[string]any{"^sha256:[0-9a-f]{64}$": string(exDigest), "": "x"}[s.Pattern]
	case "integer":
		return 3
	case "boolean":
		return true
	case "array":
		return []any{fitting(s.Items)}
	}
	return map[string]any{}
}

func drawValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Float64Range(-1e15, 1e15).Draw(t, "number")
	case 3:
		return rapid.String().Draw(t, "string")
	case 4:
		return []any{drawValue(t, depth-1)}
	}
	return map[string]any{rapid.StringN(0, 3, 9).Draw(t, "name"): drawValue(t, depth-1)}
}
