package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// MaxSafeInteger is 2^53-1, the largest integer that every JSON implementation
// reads as the same number (RFC 8785 section 3.2.2.3, I-JSON). gowebpki/jcs
// rounds beyond it without a word, so two amounts would share one digest.
const MaxSafeInteger = 1<<53 - 1

// maxDepth bounds nesting: encoding/json allows 10,000 levels, which is deep
// enough to exhaust a stack elsewhere; real documents stay under 100.
const maxDepth = 128

// Reasons why JSON is refused at ingress.
const (
	ReasonSyntax    = "json_syntax"
	ReasonDuplicate = "json_duplicate_key"
	ReasonNumber    = "json_number_range"
	ReasonUnicode   = "json_unicode"
	ReasonDepth     = "json_depth"
)

// InputError says why JSON was refused and where.
type InputError struct {
	Reason  string // one of the Reason constants
	Path    string // JSON pointer (RFC 6901) of the value
	Offset  int64  // bytes read when it was noticed
	Message string
}

// Error implements error.
func (e *InputError) Error() string {
	where := e.Path
	if where == "" {
		where = "/"
	}
	return fmt.Sprintf("json: %s (byte %d): %s", where, e.Offset, e.Message)
}

// JSON checks raw for what would make its canonical form ambiguous (duplicate
// keys, integers beyond MaxSafeInteger, invalid Unicode, more than 128 levels,
// trailing data) and returns its RFC 8785 form. Errors are *InputError.
func JSON(raw []byte) ([]byte, error) {
	if out, ok := write(raw); ok {
		return out, nil
	}
	return checkedJSON(raw)
}

// checkedJSON is JSON by the long way: every check, then gowebpki/jcs.
func checkedJSON(raw []byte) ([]byte, error) {
	if err := check(raw); err != nil {
		return nil, err
	}
	return transform(raw)
}

// MarshalJSON is the RFC 8785 form of v as encoding/json writes it. It goes
// through the same checks as JSON.
func MarshalJSON(v any) ([]byte, error) {
	if out, ok := marshal(v); ok {
		return out, nil
	}
	return checkedMarshal(v)
}

// checkedMarshal is MarshalJSON by the long way.
func checkedMarshal(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("json: marshal: %w", err)
	}
	return JSON(raw)
}

// transform works around the one form that gowebpki/jcs does not take: a bare
// scalar at the top level.
func transform(raw []byte) ([]byte, error) {
	trimmed := bytes.TrimSpace(raw)
	if len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		out, err := jcs.Transform(trimmed)
		if err != nil {
			return nil, &InputError{Reason: ReasonSyntax, Message: err.Error()}
		}
		return out, nil
	}
	wrapped := append(append([]byte{'['}, trimmed...), ']')
	out, err := jcs.Transform(wrapped)
	if err != nil {
		return nil, &InputError{Reason: ReasonSyntax, Message: err.Error()}
	}
	return out[1 : len(out)-1], nil
}

// CheckJSON makes the checks of JSON without returning the canonical form.
func CheckJSON(raw []byte) error {
	if plain(raw) {
		return nil
	}
	return check(raw)
}

func check(raw []byte) error {
	if !utf8.Valid(raw) {
		return &InputError{Reason: ReasonUnicode, Message: "not valid UTF-8"}
	}
	if err := checkSurrogates(raw); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	c := checker{dec: dec}
	if err := c.value(0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return c.fail(ReasonSyntax, "data after the document")
	}
	return nil
}

// checker walks one document. The path is kept in parts and joined for an error
// alone: one long key above many values would otherwise cost its length for each.
type checker struct {
	dec  *json.Decoder
	path []step
}

// step is a member of an object, or an element of an array where key is nil.
type step struct {
	key   *string
	index int
}

func (c *checker) fail(reason, format string, args ...any) error {
	var path strings.Builder
	for _, s := range c.path {
		path.WriteByte('/')
		if s.key == nil {
			path.WriteString(strconv.Itoa(s.index))
		} else {
			path.WriteString(pointerEscape.Replace(*s.key))
		}
	}
	return &InputError{Reason: reason, Path: path.String(), Offset: c.dec.InputOffset(), Message: fmt.Sprintf(format, args...)}
}

func (c *checker) value(depth int) error {
	if depth > maxDepth {
		return c.fail(ReasonDepth, "nested deeper than %d levels", maxDepth)
	}
	token, err := c.dec.Token()
	if err != nil {
		return c.fail(ReasonSyntax, "%s", syntaxMessage(err))
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return c.object(depth)
		}
		return c.array(depth)
	case json.Number:
		return c.number(t.String())
	}
	return nil
}

func (c *checker) object(depth int) error {
	seen := map[string]bool{}
	for c.dec.More() {
		token, err := c.dec.Token()
		if err != nil {
			return c.fail(ReasonSyntax, "%s", syntaxMessage(err))
		}
		name, ok := token.(string)
		if !ok {
			return c.fail(ReasonSyntax, "an object's key must be a string")
		}
		c.path = append(c.path, step{key: &name})
		if seen[name] {
			return c.fail(ReasonDuplicate, "key %q stands twice", clip(name))
		}
		seen[name] = true
		if err := c.value(depth + 1); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
	return c.end()
}

func (c *checker) array(depth int) error {
	for i := 0; c.dec.More(); i++ {
		c.path = append(c.path, step{index: i})
		if err := c.value(depth + 1); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
	return c.end()
}

func (c *checker) end() error {
	if _, err := c.dec.Token(); err != nil {
		return c.fail(ReasonSyntax, "%s", syntaxMessage(err))
	}
	return nil
}

func (c *checker) number(text string) error {
	if err := CheckNumber(text); err != nil {
		return c.fail(ReasonNumber, "%s", err.Error())
	}
	return nil
}

// exponentFrom is where RFC 8785 begins to write an exponent. Below it a large
// float is written with digits alone, as if it were an exact integer.
const exponentFrom = 1e21

// CheckNumber refuses a JSON number that has no exact canonical form: one beyond
// a 64-bit float, and an integer beyond MaxSafeInteger however it is written
// (1e16 and 10000000000000001.0 would both become digits that nobody wrote).
// From 1e21 on a number with a fraction or an exponent is plainly a float.
func CheckNumber(text string) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("number %s does not fit a 64-bit float", clip(text))
	}
	if size := math.Abs(f); size > MaxSafeInteger && (size < exponentFrom || isIntegerText(text)) {
		return fmt.Errorf("integer %s is beyond 2^53-1: write it as a decimal string", clip(text))
	}
	return nil
}

// clip keeps a hostile document out of the message about it.
func clip(s string) string {
	const shown = 64
	if len(s) <= shown {
		return s
	}
	return strings.ToValidUTF8(s[:shown], "") + "..."
}

func isIntegerText(s string) bool {
	for _, c := range s {
		if c == '.' || c == 'e' || c == 'E' {
			return false
		}
	}
	return true
}

func syntaxMessage(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the document ends too early"
	}
	return err.Error()
}

// pointerEscape is RFC 6901 section 3.
var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

// checkSurrogates refuses \uD800 to \uDFFF escapes that do not form a pair:
// encoding/json would replace them by U+FFFD and two texts would become equal.
func checkSurrogates(raw []byte) error {
	const escape = 6 // len(`\u0000`)
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		unit, ok := escapeUnit(raw, i)
		if !ok {
			i++ // the escaped character itself
			continue
		}
		switch {
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return &InputError{Reason: ReasonUnicode, Offset: int64(i), Message: "a low surrogate without its high one"}
		case unit >= 0xD800 && unit <= 0xDBFF:
			low, ok := escapeUnit(raw, i+escape)
			if !ok || low < 0xDC00 || low > 0xDFFF {
				return &InputError{Reason: ReasonUnicode, Offset: int64(i), Message: "a high surrogate without its low one"}
			}
			i += escape
		}
		i += escape - 1
	}
	return nil
}

func escapeUnit(raw []byte, i int) (uint64, bool) {
	if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(raw[i+2:i+6]), 16, 32)
	return unit, err == nil
}
