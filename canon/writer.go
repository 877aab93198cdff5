package canon

import (
	"bytes"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// writer makes the canonical form in one pass over a document that gives it no
// reason to hesitate. Whatever is refused, and whatever is rare (keys that are
// not plain ASCII, surrogate escapes), it leaves to CheckJSON and gowebpki/jcs,
// so there is one place that says what is wrong, and one authority on the form.
type writer struct {
	in      []byte
	at      int
	out     []byte
	members []member // of the objects that are open, innermost last
	scratch []byte
}

// member is one member of an object as it stands in out.
type member struct {
	from, key, to int // "from" is the opening quote, "key" ends the name, "to" ends the value
}

// writers keep their buffers: a document has some 100 members, and room for all
// of them would be made anew at each level.
var writers = sync.Pool{New: func() any { return new(writer) }}

func newWriter(in []byte) *writer {
	w, _ := writers.Get().(*writer)
	*w = writer{in: in, out: w.out[:0], members: w.members[:0], scratch: w.scratch[:0]}
	return w
}

func (w *writer) keep() {
	if w.in = nil; cap(w.out) <= maxKept {
		writers.Put(w)
	}
}

// taken is what was written, in memory of its own.
func (w *writer) taken() []byte { return append(make([]byte, 0, len(w.out)), w.out...) }

// write returns the canonical form of raw, or false where it is not sure of it.
func write(raw []byte) ([]byte, bool) {
	w := newWriter(raw)
	defer w.keep()
	if !w.embed(raw, 0) {
		return nil, false
	}
	return w.taken(), true
}

// plain reports whether raw has a canonical form for certain.
func plain(raw []byte) bool {
	w := newWriter(raw)
	defer w.keep()
	return w.embed(raw, 0)
}

func (w *writer) space() {
	for w.at < len(w.in) {
		switch w.in[w.at] {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return
		}
	}
}

// take consumes c if it comes next.
func (w *writer) take(c byte) bool {
	if w.at < len(w.in) && w.in[w.at] == c {
		w.at++
		return true
	}
	return false
}

func (w *writer) value(depth int) bool {
	if depth > maxDepth || w.at == len(w.in) {
		return false
	}
	switch w.in[w.at] {
	case '{':
		return w.object(depth)
	case '[':
		return w.array(depth)
	case '"':
		return w.text()
	case 't':
		return w.word("true")
	case 'f':
		return w.word("false")
	case 'n':
		return w.word("null")
	}
	return w.number()
}

func (w *writer) word(word string) bool {
	if !bytes.HasPrefix(w.in[w.at:], []byte(word)) {
		return false
	}
	w.at += len(word)
	w.out = append(w.out, word...)
	return true
}

func (w *writer) array(depth int) bool {
	w.at++
	w.out = append(w.out, '[')
	w.space()
	if w.take(']') {
		w.out = append(w.out, ']')
		return true
	}
	for {
		if !w.value(depth + 1) {
			return false
		}
		w.space()
		if w.take(']') {
			w.out = append(w.out, ']')
			return true
		}
		if !w.take(',') {
			return false
		}
		w.out = append(w.out, ',')
		w.space()
	}
}

func (w *writer) object(depth int) bool {
	w.at++
	w.out = append(w.out, '{')
	w.space()
	if w.take('}') {
		w.out = append(w.out, '}')
		return true
	}
	first, sorted := len(w.members), true
	for {
		m, ok := w.member(depth)
		if !ok {
			return false
		}
		if n := len(w.members); n > first {
			order := bytes.Compare(w.name(w.members[n-1]), w.name(m))
			if order == 0 {
				return false
			}
			sorted = sorted && order < 0
		}
		w.members = append(w.members, m)
		w.space()
		if w.take('}') {
			break
		}
		if !w.take(',') {
			return false
		}
		w.out = append(w.out, ',')
		w.space()
	}
	if !sorted && !w.sort(w.members[first:]) {
		return false
	}
	w.members = w.members[:first]
	w.out = append(w.out, '}')
	return true
}

func (w *writer) member(depth int) (member, bool) {
	m := member{from: len(w.out)}
	if !w.plainName() {
		return m, false
	}
	m.key = len(w.out)
	w.space()
	if !w.take(':') {
		return m, false
	}
	w.out = append(w.out, ':')
	w.space()
	if !w.value(depth + 1) {
		return m, false
	}
	m.to = len(w.out)
	return m, true
}

// name is the key without its quotes. Of plain ASCII keys the order of bytes is
// the order of UTF-16 code units that RFC 8785 section 3.2.3 asks for.
func (w *writer) name(m member) []byte { return w.out[m.from+1 : m.key-1] }

// sort rearranges the members of one object, which end at the end of out. It is
// false where two have one key.
func (w *writer) sort(members []member) bool {
	slices.SortFunc(members, func(a, b member) int { return bytes.Compare(w.name(a), w.name(b)) })
	begin := members[0].from
	w.scratch = w.scratch[:0]
	for i, m := range members {
		if i > 0 {
			if bytes.Equal(w.name(members[i-1]), w.name(m)) {
				return false
			}
			w.scratch = append(w.scratch, ',')
		}
		w.scratch = append(w.scratch, w.out[m.from:m.to]...)
		begin = min(begin, m.from)
	}
	w.out = append(w.out[:begin], w.scratch...)
	return true
}

// plainName copies a key of printable ASCII without escapes.
func (w *writer) plainName() bool {
	if w.at == len(w.in) || w.in[w.at] != '"' {
		return false
	}
	for i := w.at + 1; i < len(w.in); i++ {
		switch c := w.in[i]; {
		case c == '"':
			w.out = append(w.out, w.in[w.at:i+1]...)
			w.at = i + 1
			return true
		case c < ' ' || c == '\\' || c >= utf8.RuneSelf:
			return false
		}
	}
	return false
}

// text copies a string, escaped as RFC 8785 section 3.2.2.2 has it.
func (w *writer) text() bool {
	w.out = append(w.out, '"')
	w.at++
	from := w.at
	for w.at < len(w.in) {
		switch c := w.in[w.at]; {
		case c == '"':
			w.out = append(append(w.out, w.in[from:w.at]...), '"')
			w.at++
			return true
		case c < ' ':
			return false
		case c == '\\':
			w.out = append(w.out, w.in[from:w.at]...)
			if !w.escape() {
				return false
			}
			from = w.at
		case c < utf8.RuneSelf:
			w.at++
		default:
			r, size := utf8.DecodeRune(w.in[w.at:])
			if r == utf8.RuneError && size == 1 {
				return false
			}
			w.at += size
		}
	}
	return false
}

func (w *writer) escape() bool {
	if w.at+1 >= len(w.in) {
		return false
	}
	switch c := w.in[w.at+1]; c {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		w.out = append(w.out, '\\', c)
	case '/':
		w.out = append(w.out, '/')
	case 'u':
		unit, ok := escapeUnit(w.in, w.at)
		if !ok || (unit >= 0xD800 && unit <= 0xDFFF) {
			return false
		}
		w.out = appendEscaped(w.out, rune(unit))
		w.at += len(`\u0000`)
		return true
	default:
		return false
	}
	w.at += 2
	return true
}

// shortEscapes are the control characters that have one, by their code.
const shortEscapes = "\x00\x00\x00\x00\x00\x00\x00\x00btn\x00fr"

func appendEscaped(out []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(out, '\\', byte(r))
	case int(r) < len(shortEscapes) && shortEscapes[r] != 0:
		return append(out, '\\', shortEscapes[r])
	case r < ' ':
		const digits = "0123456789abcdef"
		return append(out, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return utf8.AppendRune(out, r)
}

// safeDigits is the length of an integer that is within 2^53-1 for certain.
const safeDigits = 15

// numeral passes over a number: how many digits its whole part has, and whether
// it has no other.
func (w *writer) numeral() (whole int, integer, ok bool) {
	w.take('-')
	whole = w.digits()
	if whole == 0 || (whole > 1 && w.in[w.at-whole] == '0') {
		return whole, false, false
	}
	integer = true
	if w.take('.') {
		integer = false
		if w.digits() == 0 {
			return whole, integer, false
		}
	}
	if w.take('e') || w.take('E') {
		integer = false
		if !w.take('+') {
			w.take('-')
		}
		if w.digits() == 0 {
			return whole, integer, false
		}
	}
	return whole, integer, true
}

// number copies a short integer and leaves any other number to the serialisation
// of ECMAScript, as RFC 8785 section 3.2.2.3 has it.
func (w *writer) number() bool {
	from := w.at
	whole, integer, ok := w.numeral()
	if !ok {
		return false
	}
	text := w.in[from:w.at]
	if integer && whole <= safeDigits && string(text) != "-0" {
		w.out = append(w.out, text...)
		return true
	}
	if CheckNumber(string(text)) != nil {
		return false
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return false
	}
	form, err := jcs.NumberToJSON(f)
	w.out = append(w.out, form...)
	return err == nil
}

func (w *writer) digits() int {
	from := w.at
	for w.at < len(w.in) && w.in[w.at] >= '0' && w.in[w.at] <= '9' {
		w.at++
	}
	return w.at - from
}
