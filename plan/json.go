package plan

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/writ-run/writ/canon"
)

// jsonReader turns JSON into nodes with places.
type jsonReader struct {
	text     string
	problems *problems
	decoder  *json.Decoder
}

var jsonCodes = map[string]finding{
	canon.ReasonSyntax:    {code: CodeSyntax, fix: "correct the JSON"},
	canon.ReasonUnicode:   {code: CodeSyntax, fix: "write UTF-8 with paired surrogates"},
	canon.ReasonDuplicate: {code: CodeDuplicateKey, fix: "remove one of the two"},
	canon.ReasonNumber:    {code: CodeNumber, fix: numberFix},
	canon.ReasonDepth:     {code: CodeTooLarge, fix: "flatten the value"},
}

// read is nil where the text is not JSON that has a canonical form.
func (r *jsonReader) read(raw []byte) *node {
	if err := canon.CheckJSON(raw); err != nil {
		var input *canon.InputError
		if !errors.As(err, &input) {
			input = &canon.InputError{Reason: canon.ReasonSyntax, Message: err.Error()}
		}
		problem := jsonCodes[input.Reason]
		problem.message = clip(input.Message)
		r.problems.add(place{offset: int(input.Offset) - 1}, problem)
		return nil
	}
	r.decoder = json.NewDecoder(bytes.NewReader(raw))
	r.decoder.UseNumber()
	return r.node(0)
}

// next is the place of the token that follows, and the token. CheckJSON has
// passed, so there is one.
func (r *jsonReader) next() (json.Token, place) {
	offset := int(r.decoder.InputOffset())
	for offset < len(r.text) && bytes.IndexByte([]byte(" \t\r\n,:"), r.text[offset]) >= 0 {
		offset++
	}
	token, _ := r.decoder.Token()
	return token, place{offset: offset}
}

func (r *jsonReader) node(depth int) *node {
	token, at := r.next()
	n := &node{at: at}
	if depth > maxDepth {
		r.problems.add(at, tooDeep())
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			n.kind = mapNode
			for r.decoder.More() {
				key, keyAt := r.next()
				name, _ := key.(string)
				n.members = append(n.members, member{key: name, at: keyAt, value: r.node(depth + 1)})
			}
		} else {
			n.kind = listNode
			for r.decoder.More() {
				n.items = append(n.items, r.node(depth+1))
			}
		}
		r.next()
	case string:
		n.kind, n.text = stringNode, t
	case json.Number:
		n.kind, n.text = numberNode, t.String()
	case bool:
		n.kind, n.text = boolNode, "false"
		if t {
			n.text = "true"
		}
	}
	return n
}
