package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// Docs are the generated documents by file name: docs/contracts holds them.
func Docs() (map[string][]byte, error) {
	out := map[string][]byte{}
	byNoun := map[string][]*Contract{}
	for _, c := range All() {
		byNoun[c.Noun()] = append(byNoun[c.Noun()], c)
	}
	for noun, list := range byNoun {
		page, err := nounPage(noun, list)
		if err != nil {
			return nil, err
		}
		out[noun+".md"] = page
	}
	out["README.md"] = indexPage()
	out["events.md"] = eventsPage()
	for name, make := range map[string]func() ([]byte, error){"openapi.json": OpenAPI, "asyncapi.json": AsyncAPI} {
		doc, err := make()
		if err != nil {
			return nil, err
		}
		out[name] = doc
	}
	return out, nil
}

type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.Builder, format+"\n", args...) }

func (p *page) bytes() []byte { return []byte(p.String()) }

const generated = "<!-- Generated from package contract: go test ./contract -update -->\n"

func indexPage() []byte {
	var p page
	p.line("# Contracts\n\n" + generated)
	p.line("Every operation is one `POST /v1/{key}` and one command line. [openapi.json](openapi.json) and")
	p.line("[asyncapi.json](asyncapi.json) have the same for machines; [events.md](events.md) has the events.\n")
	p.line("Who reads an output must pass over members that it does not know: they are added in minor versions.\n")
	for _, capability := range Capabilities() {
		p.line("## %s (`%s`)\n\n%s\n", capability.Title, capability.Key, capability.Description)
		ops := capability.Operations()
		if len(ops) == 0 {
			continue
		}
		p.line("| contract | kind | auth | command line | |\n|---|---|---|---|---|")
		for _, c := range ops {
			p.line("| [`%s`](%s.md#%s) | %s | %s | %s | %s |", c.Key, c.Noun(), anchor(c.Key), c.Kind, c.Auth, code(c.CLI), c.Title)
		}
		p.line("")
	}
	p.line("## Failures\n\nThe `code` of a problem document is one of these; `type` is `urn:writ:error:` and the code.\n")
	p.line("| code | HTTP | meaning |\n|---|---|---|")
	for _, c := range slices.Sorted(maps.Keys(codes)) {
		p.line("| `%s` | %d | %s |", c, codes[c].status, codes[c].description)
	}
	return p.bytes()
}

func nounPage(noun string, list []*Contract) ([]byte, error) {
	var p page
	p.line("# Contracts of %s\n\n%s", noun, generated)
	for _, c := range list {
		if err := p.contract(c); err != nil {
			return nil, err
		}
	}
	return []byte(strings.TrimRight(p.String(), "\n") + "\n"), nil
}

func (p *page) contract(c *Contract) error {
	p.line("## %s\n\n**%s.** %s\n", c.Key, c.Title, c.Description)
	p.line("%s %s\n", c.Goal, c.Context)
	p.line("| | |\n|---|---|\n| version | %s, %s |\n| kind | %s%s |", c.Version, c.Stability, c.Kind, map[bool]string{true: ", idempotent"}[c.Idempotent])
	p.line("| capability | `%s` |\n| auth | %s |", c.Capability, c.Auth)
	if c.CLI != "" {
		p.line("| command line | `%s` |", c.CLI)
	}
	if len(c.Emits) > 0 {
		p.line("| events | %s |", codeList(c.Emits))
	}
	if len(c.PII) > 0 {
		p.line("| personal or secret | %s |", codeList(c.PII))
	}
	p.line("| owners | %s |\n", strings.Join(c.Owners, ", "))
	p.members("Input", c.InputSchema())
	p.members("Output", c.OutputSchema())
	p.line("### Failures\n\n| code | HTTP | when |\n|---|---|---|")
	for _, f := range c.Errors {
		p.line("| `%s` | %d | %s |", f.Code, f.HTTP, f.When)
	}
	p.line("")
	for _, e := range c.Examples {
		in, err := indented(e.Input)
		if err != nil {
			return err
		}
		out, err := indented(e.Output)
		if err != nil {
			return err
		}
		p.line("### Example: %s\n\n```json\n%s```\n\n```json\n%s```\n", e.Name, in, out)
	}
	return nil
}

func (p *page) members(title string, s *jsonschema.Schema) {
	p.line("### %s\n", title)
	if len(s.Properties) == 0 {
		p.line("An empty object.\n")
		return
	}
	p.line("| member | type | |\n|---|---|---|")
	p.rows("", s)
	p.line("")
}

// rows flattens a schema; maxDepth bounds what a table can show.
func (p *page) rows(prefix string, s *jsonschema.Schema) {
	const maxDepth = 4
	for _, name := range slices.Concat(s.PropertyOrder, missing(s)) {
		member := s.Properties[name]
		path := prefix + name
		optional := ""
		if !slices.Contains(s.Required, name) {
			optional = "?"
		}
		p.line("| `%s`%s | %s | %s |", path, optional, typeWords(member), notes(member))
		inner := member
		if member.Items != nil {
			inner, path = member.Items, path+"[]"
		}
		if strings.Count(path, ".") < maxDepth && len(inner.Properties) > 0 {
			p.rows(path+".", inner)
		}
	}
}

// missing are the properties that the order does not name.
func missing(s *jsonschema.Schema) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !slices.Contains(s.PropertyOrder, name) {
			out = append(out, name)
		}
	}
	return out
}

func typeWords(s *jsonschema.Schema) string {
	words := typeText(s)
	if s.Items != nil {
		words += " of " + typeText(s.Items)
	}
	if s.ContentEncoding != "" {
		words += ", " + s.ContentEncoding
	}
	if s.Format != "" {
		words += ", " + s.Format
	}
	return words
}

func notes(s *jsonschema.Schema) string {
	parts := []string{}
	if s.Description != "" {
		parts = append(parts, s.Description)
	}
	list := s.Enum
	if s.Items != nil {
		list = append(list, s.Items.Enum...)
	}
	if len(list) > 0 {
		words := make([]string, len(list))
		for i, v := range list {
			words[i] = code(fmt.Sprint(v))
		}
		parts = append(parts, "One of "+strings.Join(words, ", ")+".")
	}
	if s.Pattern != "" {
		parts = append(parts, "Matches "+code(strings.ReplaceAll(s.Pattern, "|", `\|`))+".")
	}
	return strings.Join(parts, " ")
}

func eventsPage() []byte {
	var p page
	p.line("# Events\n\n" + generated)
	p.line("`GET /v1/events` streams them as CloudEvents 1.0 in the JSON format, with the extensions `tenant`,")
	p.line("`actor`, `session`, `capabilitysource`, `traceparent`, `seq` and `prevdigest`. The `id` of a server-sent")
	p.line("event is its position in the store: sent back as `Last-Event-ID`, the stream goes on after it. The `id`")
	p.line("of the CloudEvent is derived from the record, so the same event always has the same one.\n")
	for _, e := range Events() {
		p.line("## %s\n\n**%s.** %s\n", e.Key, e.Title, e.Description)
		p.line("Version %s, capability `%s`, `dataschema` `%s`.\n", e.Version, e.Capability, e.SchemaURI())
		if len(e.PII) > 0 {
			p.line("Personal: %s.\n", codeList(e.PII))
		}
		p.line("| member | type | |\n|---|---|---|")
		p.rows("", e.DataSchema())
		p.line("")
	}
	return []byte(strings.TrimRight(p.String(), "\n") + "\n")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func codeList(list []string) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = code(s)
	}
	return strings.Join(words, ", ")
}

// anchor is how a heading of a key is linked to.
func anchor(key string) string {
	return strings.ReplaceAll(strings.ToLower(key), ".", "")
}
