package plan

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlReader turns YAML into nodes. It takes the part of YAML that JSON has:
// no anchors, aliases, tags, merge keys or second documents, so what a person
// reads is what is compiled, and nothing expands.
type yamlReader struct{ problems *problems }

func yamlPlace(y *yaml.Node) place { return place{line: y.Line, column: y.Column} }

var yamlLine = regexp.MustCompile(`line (\d+): `)

const yamlFix = "write plain YAML: the subset that JSON has"

// read is nil where the text is not such YAML.
func (r *yamlReader) read(raw []byte) *node {
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var document, second yaml.Node
	if err := decoder.Decode(&document); err != nil {
		r.syntax(err)
		return nil
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			r.syntax(err)
			return nil
		}
		r.problems.add(yamlPlace(&second), found(CodeYAMLFeature, "keep one document", "a second document follows"))
		return nil
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		r.problems.add(place{}, found(CodeSyntax, "write a plan", "the draft is empty"))
		return nil
	}
	return r.node(document.Content[0], 0)
}

func (r *yamlReader) syntax(err error) {
	if errors.Is(err, io.EOF) {
		r.problems.add(place{}, found(CodeSyntax, "write a plan", "the draft is empty"))
		return
	}
	at, message := place{line: 1, column: 1}, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		at.line, _ = strconv.Atoi(m[1])
		message = strings.Replace(message, m[0], "", 1)
	}
	r.problems.add(at, found(CodeSyntax, "correct the YAML", "%s", clip(message)))
}

// node converts one YAML node; what is refused becomes null, after a problem.
func (r *yamlReader) node(y *yaml.Node, depth int) *node {
	n := &node{at: yamlPlace(y)}
	if depth > maxDepth {
		r.problems.add(n.at, tooDeep())
		return n
	}
	switch {
	case y.Kind == yaml.AliasNode:
		r.problems.add(n.at, found(CodeYAMLFeature, yamlFix, "alias *%s is not allowed", clip(y.Value)))
		return n
	case y.Anchor != "":
		r.problems.add(n.at, found(CodeYAMLFeature, yamlFix, "anchor &%s is not allowed", clip(y.Anchor)))
	case y.Style&yaml.TaggedStyle != 0:
		r.problems.add(n.at, found(CodeYAMLFeature, yamlFix, "tag %s is not allowed", clip(y.Tag)))
	}
	switch y.Kind {
	case yaml.MappingNode:
		r.mapping(n, y, depth)
	case yaml.SequenceNode:
		n.kind = listNode
		for _, item := range y.Content {
			n.items = append(n.items, r.node(item, depth+1))
		}
	default:
		r.scalar(n, y)
	}
	return n
}

func (r *yamlReader) mapping(n *node, y *yaml.Node, depth int) {
	n.kind = mapNode
	seen := map[string]bool{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		at := yamlPlace(key)
		switch tag := key.ShortTag(); {
		case tag == "!!merge":
			r.problems.add(at, found(CodeYAMLFeature, yamlFix, "merge key << is not allowed"))
			continue
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 || tag != "!!str":
			r.problems.add(at, found(CodeYAMLFeature, "quote the key", "a key must be a plain string"))
			continue
		case seen[key.Value]:
			r.problems.add(at, duplicateKey(key.Value))
			continue
		}
		seen[key.Value] = true
		n.members = append(n.members, member{key: key.Value, at: at, value: r.node(y.Content[i+1], depth+1)})
	}
}

func (r *yamlReader) scalar(n *node, y *yaml.Node) {
	switch y.ShortTag() {
	case "!!null":
		n.kind = nullNode
	case "!!bool":
		n.kind, n.text = boolNode, strings.ToLower(y.Value)
	case "!!int", "!!float":
		n.kind, n.text = numberNode, y.Value
		if problem, ok := checkNumber(y.Value); !ok {
			r.problems.add(n.at, problem)
			n.text = "0"
		}
	case "!!str", "!!timestamp":
		n.kind, n.text = stringNode, y.Value
	default:
		r.problems.add(n.at, found(CodeYAMLFeature, "quote the value", "a value of type %s is not allowed", y.ShortTag()))
	}
}
