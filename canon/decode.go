package canon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Decode gives the first document in raw the form that encoding/json decodes
// into, with numbers as they are written (json.Number). A canonical document is
// read in one pass and without the buffers of a json.Decoder.
func Decode(raw []byte) (any, error) {
	r := reader{scan: writer{in: raw}}
	if v, ok := r.value(0); ok && r.scan.at == len(raw) {
		return v, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	return v, nil
}

// reader knows documents without spaces and escapes, and leaves all others to
// encoding/json.
type reader struct{ scan writer }

func (r *reader) value(depth int) (any, bool) {
	s := &r.scan
	if depth > maxDepth || s.at == len(s.in) {
		return nil, false
	}
	switch s.in[s.at] {
	case '{':
		return r.object(depth)
	case '[':
		return r.array(depth)
	case '"':
		return r.text()
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	case 'n':
		return nil, r.word("null")
	}
	from := s.at
	_, _, ok := s.numeral()
	return json.Number(s.in[from:s.at]), ok
}

func (r *reader) word(word string) bool {
	ok := bytes.HasPrefix(r.scan.in[r.scan.at:], []byte(word))
	r.scan.at += len(word)
	return ok
}

func (r *reader) text() (string, bool) {
	s := &r.scan
	if !s.take('"') {
		return "", false
	}
	for i := s.at; i < len(s.in); i++ {
		switch c := s.in[i]; {
		case c == '"':
			text := s.in[s.at:i]
			s.at = i + 1
			return string(text), utf8.Valid(text)
		case c < ' ' || c == '\\':
			return "", false
		}
	}
	return "", false
}

func (r *reader) array(depth int) (any, bool) {
	list := []any{}
	r.scan.at++
	if r.scan.take(']') {
		return list, true
	}
	for {
		v, ok := r.value(depth + 1)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if r.scan.take(']') {
			return list, true
		}
		if !r.scan.take(',') {
			return nil, false
		}
	}
}

func (r *reader) object(depth int) (any, bool) {
	object := map[string]any{}
	r.scan.at++
	if r.scan.take('}') {
		return object, true
	}
	for {
		name, ok := r.text()
		if !ok || !r.scan.take(':') {
			return nil, false
		}
		if object[name], ok = r.value(depth + 1); !ok {
			return nil, false
		}
		if r.scan.take('}') {
			return object, true
		}
		if !r.scan.take(',') {
			return nil, false
		}
	}
}
