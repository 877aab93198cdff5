package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
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
	if err := CheckJSON(raw); err != nil {
		return nil, err
	}
	return transform(raw)
}

// MarshalJSON is the RFC 8785 form of v as encoding/json writes it. It goes
// through the same checks as JSON.
func MarshalJSON(v any) ([]byte, error) {
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

// CheckJSON makes the checks of JSON without building the canonical form.
func CheckJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return &InputError{Reason: ReasonUnicode, Message: "not valid UTF-8"}
	}
	if err := checkSurrogates(raw); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	c := checker{dec: dec}
	if err := c.value("", 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return c.fail("", ReasonSyntax, "data after the document")
	}
	return nil
}

type checker struct{ dec *json.Decoder }

func (c *checker) fail(path, reason, format string, args ...any) error {
	return &InputError{Reason: reason, Path: path, Offset: c.dec.InputOffset(), Message: fmt.Sprintf(format, args...)}
}

func (c *checker) value(path string, depth int) error {
	if depth > maxDepth {
		return c.fail(path, ReasonDepth, "nested deeper than %d levels", maxDepth)
	}
	token, err := c.dec.Token()
	if err != nil {
		return c.fail(path, ReasonSyntax, "%s", syntaxMessage(err))
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return c.object(path, depth)
		}
		return c.array(path, depth)
	case json.Number:
		return c.number(path, t.String())
	}
	return nil
}

func (c *checker) object(path string, depth int) error {
	seen := map[string]bool{}
	for c.dec.More() {
		token, err := c.dec.Token()
		if err != nil {
			return c.fail(path, ReasonSyntax, "%s", syntaxMessage(err))
		}
		name, ok := token.(string)
		if !ok {
			return c.fail(path, ReasonSyntax, "an object's key must be a string")
		}
		member := path + "/" + pointerEscape(name)
		if seen[name] {
			return c.fail(member, ReasonDuplicate, "key %q stands twice", name)
		}
		seen[name] = true
		if err := c.value(member, depth+1); err != nil {
			return err
		}
	}
	return c.end(path)
}

func (c *checker) array(path string, depth int) error {
	for i := 0; c.dec.More(); i++ {
		if err := c.value(path+"/"+strconv.Itoa(i), depth+1); err != nil {
			return err
		}
	}
	return c.end(path)
}

func (c *checker) end(path string) error {
	if _, err := c.dec.Token(); err != nil {
		return c.fail(path, ReasonSyntax, "%s", syntaxMessage(err))
	}
	return nil
}

func (c *checker) number(path, text string) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return c.fail(path, ReasonNumber, "number %s does not fit a 64-bit float", text)
	}
	// 1e300 is a float and stays one; what is integral and out of range was
	// meant as an integer when it is written with digits alone.
	if isIntegerText(text) && math.Abs(f) > MaxSafeInteger {
		return c.fail(path, ReasonNumber, "integer %s is beyond 2^53-1: write it as a decimal string", text)
	}
	return nil
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
func pointerEscape(s string) string {
	if !bytes.ContainsAny([]byte(s), "~/") {
		return s
	}
	var b bytes.Buffer
	for _, r := range s {
		switch r {
		case '~':
			b.WriteString("~0")
		case '/':
			b.WriteString("~1")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// checkSurrogates refuses \uD800 to \uDFFF escapes that do not form a pair:
// encoding/json would replace them by U+FFFD and two texts would become equal.
func checkSurrogates(raw []byte) error {
	const escape = 6 // len(`\uXXXX`)
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
