package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ"
)

// defect is one thing that is wrong with a manifest.
type defect struct {
	pointer string // RFC 6901
	code    writ.IssueCode
	message string
	fix     string
}

type defects []defect

func (d *defects) add(pointer, fix, format string, args ...any) {
	*d = append(*d, defect{pointer, writ.IssueManifestInvalid, fmt.Sprintf(format, args...), fix})
}

func (d defects) issues() []writ.SkillIssue {
	out := make([]writ.SkillIssue, len(d))
	for i, f := range d {
		where := f.pointer
		if where == "" {
			where = "/"
		}
		out[i] = writ.SkillIssue{Code: f.code, Message: "manifest " + where + ": " + f.message, Fix: f.fix}
	}
	return out
}

// place is where a value stands in the text, counted from 1.
type place struct{ line, column int }

// problems gives each defect its place; a member that is missing has that of
// the object it is missing from.
func problems(file string, places map[string]place, found defects) []writ.Problem {
	out := make([]writ.Problem, len(found))
	for i, f := range found {
		at, pointer := places[f.pointer], f.pointer
		for at.line == 0 && pointer != "" {
			pointer = pointer[:strings.LastIndexByte(pointer, '/')]
			at = places[pointer]
		}
		out[i] = writ.Problem{
			Code: string(f.code), File: file, Line: max(at.line, 1), Column: max(at.column, 1),
			Message: f.message, Fix: f.fix,
		}
	}
	return out
}

// maxManifest bounds skill.yaml; schemas are the bulk of it.
const maxManifest = 1 << 20

// maxDepth of nesting: a schema seldom passes 20 levels.
const maxDepth = 64

// yamlReader turns YAML into the JSON data model. What YAML has beyond JSON
// (anchors, merge keys, tags, several documents, octal numbers) is refused: two
// readers could understand it differently.
type yamlReader struct {
	places map[string]place
	found  defects
}

func readYAML(text []byte) (root any, places map[string]place, found defects) {
	r := yamlReader{places: map[string]place{}}
	if len(text) > maxManifest {
		r.found.add("", "move what is not needed out of the manifest", "the manifest has more than %d bytes", maxManifest)
		return nil, nil, r.found
	}
	var doc, next yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&doc); err != nil {
		r.syntax(err)
		return nil, r.places, r.found
	}
	if err := decoder.Decode(&next); !errors.Is(err, io.EOF) {
		r.found.add("", "keep one document in the file", "there is more than one document")
		return nil, r.places, r.found
	}
	root = r.value(doc.Content[0], "", 0)
	return root, r.places, r.found
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func (r *yamlReader) syntax(err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if errors.Is(err, io.EOF) {
		message = "the file is empty"
	}
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		if line, err := strconv.Atoi(m[1]); err == nil {
			r.places[""] = place{line, 1}
		}
		message = strings.Replace(message, m[0], "", 1)
	}
	r.found.add("", "write a YAML mapping; docs/skills.md has one to start from", "not YAML: %s", clip(message))
}

func (r *yamlReader) value(n *yaml.Node, pointer string, depth int) any {
	if _, known := r.places[pointer]; !known {
		r.places[pointer] = place{n.Line, n.Column}
	}
	if depth > maxDepth {
		r.found.add(pointer, "flatten the manifest", "nested deeper than %d levels", maxDepth)
		return nil
	}
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		r.found.add(pointer, "write the value out", "anchors and aliases are not allowed")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		if n.ShortTag() == "!!map" {
			return r.mapping(n, pointer, depth)
		}
	case yaml.SequenceNode:
		if n.ShortTag() == "!!seq" {
			list := make([]any, len(n.Content))
			for i, item := range n.Content {
				list[i] = r.value(item, pointer+"/"+strconv.Itoa(i), depth+1)
			}
			return list
		}
	case yaml.ScalarNode:
		return r.scalar(n, pointer)
	}
	r.found.add(pointer, "leave the tag out", "the tag %s is not allowed", clip(n.Tag))
	return nil
}

func (r *yamlReader) mapping(n *yaml.Node, pointer string, depth int) any {
	object := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" || key.Anchor != "" {
			r.places[pointer] = place{key.Line, key.Column}
			r.found.add(pointer, "use a plain word, or quote the key", "a key must be a string")
			continue
		}
		member := pointer + "/" + escapePointer(key.Value)
		r.places[member] = place{key.Line, key.Column}
		if _, twice := object[key.Value]; twice {
			r.found.add(member, "keep one of them", "key %q stands twice", clip(key.Value))
			continue
		}
		object[key.Value] = r.value(n.Content[i+1], member, depth+1)
	}
	return object
}

func (r *yamlReader) scalar(n *yaml.Node, pointer string) any {
	switch n.ShortTag() {
	case "!!str", "!!timestamp": // a date in plain text was meant as text
		return n.Value
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value)
		}
		r.found.add(pointer, "write a plain decimal number, or quote the text", "%s is not a JSON number", clip(n.Value))
		return nil
	}
	r.found.add(pointer, "leave the tag out", "the tag %s is not allowed", clip(n.Tag))
	return nil
}

func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}
