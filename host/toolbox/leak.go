package toolbox

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
	mathbits "math/bits"
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// leakGuard finds injected secrets in what comes back: as they are, in base64
// (both alphabets, at any place of a longer encoding, folded into lines), in
// hexadecimal, and each of these escaped for URLs, JSON or HTML, wholly or in
// part, also twice. It is made for servers that echo a request (debug pages,
// error messages, mirrors). It is no defence against a server that wants to tell
// the guest: that one has the secret and can write it in any way it likes.
type leakGuard struct{ needles []needle }

type needle struct {
	text    []byte
	fold    bool // letters match in either case: hexadecimal
	unbroke bool // also looked for with white space taken out: base64
}

// add takes what the secret looks like; the caller may wipe the secret itself.
// Of user:password the password is a secret of its own.
func (g *leakGuard) add(secret []byte) {
	g.addOne(secret)
	if _, password, ok := bytes.Cut(secret, []byte(":")); ok && len(password) >= minInjected {
		g.addOne(password)
	}
}

func (g *leakGuard) addOne(secret []byte) {
	g.needles = append(g.needles,
		needle{text: bytes.Clone(secret)},
		needle{text: hex.AppendEncode(nil, secret), fold: true})
	for offset := range 3 {
		std := base64Core(base64.RawStdEncoding, secret, offset)
		url := base64Core(base64.RawURLEncoding, secret, offset)
		g.needles = append(g.needles, needle{text: std, unbroke: true})
		if !bytes.Equal(std, url) {
			g.needles = append(g.needles, needle{text: url, unbroke: true})
		}
	}
}

// base64Core is the part of the encoding that the secret alone decides when it
// stands offset bytes (mod 3) into the encoded text: a character carries six
// bits, and the first and last may share theirs with a neighbour.
func base64Core(encoding *base64.Encoding, secret []byte, offset int) []byte {
	padded := append(make([]byte, offset), secret...)
	text := encoding.AppendEncode(nil, padded)
	clear(padded)
	from, to := (offset*8+5)/6, len(padded)*8/6
	return text[from:to]
}

// wipe overwrites the patterns.
func (g *leakGuard) wipe() {
	for _, n := range g.needles {
		clear(n.text)
	}
	g.needles = nil
}

// found reports whether text holds a secret.
func (g *leakGuard) found(text []byte) bool {
	if len(g.needles) == 0 {
		return false
	}
	for _, form := range [][]byte{text, unescape(text, '%'), unescape(text, '\\'), unescape(text, '&')} {
		if form != nil && g.foundIn(form) {
			return true
		}
	}
	return false
}

func (g *leakGuard) foundIn(text []byte) bool {
	return g.scan(text, false) || g.scan(withoutSpace(text), true)
}

// foundInHeader looks through names and values.
func (g *leakGuard) foundInHeader(status string, header http.Header) bool {
	var text bytes.Buffer
	text.WriteString(status)
	for name, values := range header {
		text.WriteString("\n" + name)
		for _, value := range values {
			text.WriteString("\n" + value)
		}
	}
	return g.found(text.Bytes())
}

// scan looks for the needles at every place of text at once. An escape is
// decoded once there, not once a needle: a body may hold nothing else.
func (g *leakGuard) scan(text []byte, unbroke bool) bool {
	searches, first := g.searches(unbroke)
	last := -1 // the furthest place that a search waits for
	for i, c := range text {
		r := reading{plain: c}
		if c == '%' || c == '\\' || c == '&' || c == '+' {
			r.decoded, r.size = decodeEscape(text[i:], 0)
		}
		if i > last && !first[c] && (r.size == 0 || !first[r.decoded[0]]) {
			continue
		}
		for _, s := range searches {
			if s.step(i, r) {
				return true
			}
			last = max(last, s.last)
		}
	}
	return false
}

func (g *leakGuard) searches(unbroke bool) (searches []*search, first [256]bool) {
	for i := range g.needles {
		n := &g.needles[i]
		if unbroke && !n.unbroke {
			continue
		}
		searches = append(searches, &search{needle: n, last: -1})
		first[n.text[0]] = true
		if n.fold {
			first[bytes.ToUpper(n.text[:1])[0]] = true
		}
	}
	return searches, first
}

// reading is what stands at a place of the text: a byte, and the escape that it
// begins (size 0: none).
type reading struct {
	plain   byte
	decoded []byte
	size    int
}

// search is one pass of one needle. A byte of the text can often be read both as
// it is and as an escape; reached[place] are the numbers of bytes found that some
// reading has come to, so each is followed once and the work stays linear in the
// text, whatever it holds.
type search struct {
	*needle
	reached [longestEntity + 1]bits // by place, in a ring: no escape is longer
	last    int                     // the furthest place with any
}

// step reads one place. True where the needle is complete.
func (s *search) step(place int, r reading) bool {
	starts := s.same(r.plain, s.text[0]) || (r.size > 0 && s.same(r.decoded[0], s.text[0]))
	if place > s.last && !starts {
		return false
	}
	here := &s.reached[place%len(s.reached)]
	here.set(0)
	defer here.clear()
	for found := range here.all {
		rest := s.text[found:]
		if s.same(r.plain, rest[0]) && s.advance(place+1, found+1) {
			return true
		}
		if r.size > 0 && s.prefix(rest, r.decoded) && s.advance(place+r.size, found+len(r.decoded)) {
			return true
		}
	}
	return false
}

func (s *search) advance(place, found int) bool {
	if found == len(s.text) {
		return true
	}
	s.reached[place%len(s.reached)].set(found)
	s.last = max(s.last, place)
	return false
}

// bits is a set of small numbers.
type bits []uint64

func (b *bits) set(n int) {
	for n/64 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b *bits) clear() { *b = (*b)[:0] }

// all yields the members in order.
func (b *bits) all(yield func(int) bool) {
	for i, word := range *b {
		for ; word != 0; word &= word - 1 {
			if !yield(i*64 + mathbits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

func (n *needle) same(a, b byte) bool {
	if n.fold && 'A' <= a && a <= 'F' {
		a += 'a' - 'A'
	}
	return a == b
}

func (n *needle) prefix(rest, decoded []byte) bool {
	if len(decoded) > len(rest) {
		return false
	}
	for i, c := range decoded {
		if !n.same(c, rest[i]) {
			return false
		}
	}
	return true
}

// longestEntity is enough for the named ones of ASCII and numeric ones of any
// rune.
const longestEntity = 20

// decodeEscape reads the escape at the start of text and returns what it stands
// for and its length, 0 where there is none. kind restricts it to escapes that
// begin with that character; 0 takes all.
func decodeEscape(text []byte, kind byte) ([]byte, int) {
	if kind != 0 && text[0] != kind {
		return nil, 0
	}
	switch text[0] {
	case '%':
		if len(text) >= 3 {
			if c, err := strconv.ParseUint(string(text[1:3]), 16, 8); err == nil {
				return []byte{byte(c)}, 3
			}
		}
	case '+':
		return []byte{' '}, 1
	case '\\':
		return decodeJSONEscape(text)
	case '&':
		end := bytes.IndexByte(text[:min(len(text), longestEntity)], ';')
		if end > 1 {
			plain := html.UnescapeString(string(text[:end+1]))
			if plain != string(text[:end+1]) {
				return []byte(plain), end + 1
			}
		}
	}
	return nil, 0
}

// jsonEscapes are the two-character escapes of RFC 8259 section 7, and the quote
// that JavaScript adds.
var jsonEscapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', '\'': '\'', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func decodeJSONEscape(text []byte) ([]byte, int) {
	if len(text) < 2 {
		return nil, 0
	}
	if c, ok := jsonEscapes[text[1]]; ok {
		return []byte{c}, 2
	}
	unit, ok := jsonUnit(text)
	if !ok {
		return nil, 0
	}
	if low, ok := jsonUnit(text[6:]); ok && utf16.IsSurrogate(rune(unit)) {
		if r := utf16.DecodeRune(rune(unit), rune(low)); r != utf8.RuneError {
			return utf8.AppendRune(nil, r), 12
		}
	}
	return utf8.AppendRune(nil, rune(unit)), 6
}

// jsonUnit reads an escape: \u and four hexadecimal digits.
func jsonUnit(text []byte) (uint64, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return unit, err == nil
}

// unescape takes one layer of escapes off, nil where there is none.
func unescape(text []byte, kind byte) []byte {
	if bytes.IndexByte(text, kind) < 0 {
		return nil
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if decoded, size := decodeEscape(text[i:], kind); size > 0 {
			out = append(out, decoded...)
			i += size
			continue
		}
		out = append(out, text[i])
		i++
	}
	return out
}

// withoutSpace takes out what folds base64 into lines, as it is or as a JSON or
// URL escape; nil where there is nothing of it.
func withoutSpace(text []byte) []byte {
	if !bytes.ContainsAny(text, " \t\r\n%\\") {
		return nil
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		decoded, size := decodeEscape(text[i:], 0)
		if size <= 1 { // a plus is a character of base64
			decoded, size = text[i:i+1], 1
		}
		if len(decoded) != 1 || bytes.IndexByte([]byte(" \t\r\n"), decoded[0]) < 0 {
			out = append(out, text[i:i+size]...)
		}
		i += size
	}
	return out
}
