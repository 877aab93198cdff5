package plan

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// maxDepth bounds the nesting of a draft; arguments of real actions stay under ten.
const maxDepth = 64

type nodeKind int

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	listNode
	mapNode
)

// String is the name of the kind in messages, JSON Schema's own.
func (k nodeKind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

// node is a value of a draft with its place, the same for YAML and JSON.
type node struct {
	kind    nodeKind
	text    string // string: its value; number and boolean: the JSON text
	items   []*node
	members []member
	at      place
	literal bool         // text is text, whatever marks it holds: it stands in no draft
	labels  []writ.Label // of an edit; nil: it is the author's
}

type member struct {
	key   string
	at    place
	value *node
}

// get finds a member of an object.
func (n *node) get(key string) (*member, bool) {
	for i := range n.members {
		if n.members[i].key == key {
			return &n.members[i], true
		}
	}
	return nil, false
}

// value is what the node holds, numbers as json.Number.
func (n *node) value() any {
	switch n.kind {
	case boolNode:
		return n.text == "true"
	case numberNode:
		return json.Number(n.text)
	case stringNode:
		return n.text
	case listNode:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = item.value()
		}
		return list
	case mapNode:
		object := make(map[string]any, len(n.members))
		for _, m := range n.members {
			object[m.key] = m.value.value()
		}
		return object
	}
	return nil
}

// source is the text of a draft, to find places in it.
type source struct {
	text  string
	lines []int // offset of each line's first byte
}

func newSource(raw []byte) *source {
	s := &source{text: string(raw), lines: []int{0}}
	for i := range len(s.text) {
		if s.text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// place is the place of a byte offset.
func (s *source) place(offset int) place {
	offset = min(max(offset, 0), len(s.text))
	line, exact := slices.BinarySearch(s.lines, offset)
	if exact {
		line++
	}
	return place{line: line, column: utf8.RuneCountInString(s.text[s.lines[line-1]:offset]) + 1, offset: offset}
}

// resolve completes a place of which a reader knows only the offset, or only
// line and column. It is linear in the line's length, so it is done for problems
// alone: a draft may be one line of 1 MiB.
func (s *source) resolve(p place) place {
	if p.line == 0 {
		return s.place(p.offset)
	}
	if p.line > len(s.lines) {
		p.offset = len(s.text)
		return p
	}
	p.offset = s.lines[p.line-1]
	for range p.column - 1 {
		_, size := utf8.DecodeRuneInString(s.text[p.offset:])
		p.offset += size
	}
	return p
}

// inside is the place of text within the scalar at p, plus the given number of
// bytes. Where escapes or folding hide the text it is the scalar's own place.
func (s *source) inside(p place, text string, plus int) place {
	const window = 64 << 10
	p = s.resolve(p)
	rest := s.text[p.offset:]
	i := strings.Index(rest[:min(len(rest), window+len(text))], text)
	if text == "" || i < 0 {
		return p
	}
	return s.place(p.offset + i + plus)
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

const numberFix = "write a JSON number within +-(2^53-1), or quote it to make it a string"

// checkNumber refuses what JSON has no exact form for.
func checkNumber(text string) (finding, bool) {
	if !jsonNumber.MatchString(text) {
		return found(CodeNumber, numberFix, "%s is not a number in the form of JSON", clip(text)), false
	}
	if err := canon.CheckNumber(text); err != nil {
		return found(CodeNumber, numberFix, "%v", err), false
	}
	return finding{}, true
}

func tooDeep() finding {
	return found(CodeTooLarge, "flatten the value", "nested deeper than %d levels", maxDepth)
}

func duplicateKey(key string) finding {
	return found(CodeDuplicateKey, "remove one of the two", "key %q stands twice", clip(key))
}
