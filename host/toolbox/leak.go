package toolbox

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
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

// scan looks for the needles at every place of text. An escape is decoded once
// there, not once a needle: a body may hold nothing else.
func (g *leakGuard) scan(text []byte, unbroke bool) bool {
	var first [256]bool
	for i := range g.needles {
		n := &g.needles[i]
		first[n.text[0]] = true
		if n.fold {
			first[bytes.ToUpper(n.text[:1])[0]] = true
		}
	}
	for i, c := range text {
		start := c
		if c == '%' || c == '\\' || c == '&' || c == '+' {
			if decoded, size := decodeEscape(text[i:], 0); size > 0 {
				start = decoded[0]
			}
		}
		if (first[c] || first[start]) && g.startsAt(text[i:], unbroke) {
			return true
		}
	}
	return false
}

func (g *leakGuard) startsAt(text []byte, unbroke bool) bool {
	for i := range g.needles {
		if n := &g.needles[i]; (n.unbroke || !unbroke) && n.at(text, n.text) {
			return true
		}
	}
	return false
}

// at matches rest at the start of text, where every byte may stand as it is or
// escaped. Both readings are tried where both are possible.
func (n *needle) at(text, rest []byte) bool {
	for len(rest) > 0 {
		if len(text) == 0 {
			return false
		}
		plain := n.same(text[0], rest[0])
		decoded, size := decodeEscape(text, 0)
		switch {
		case size == 0 || !n.prefix(rest, decoded):
			if !plain {
				return false
			}
			decoded, size = text[:1], 1
		case plain && n.at(text[1:], rest[1:]):
			return true
		}
		text, rest = text[size:], rest[len(decoded):]
	}
	return true
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

// jsonUnit reads \uXXXX.
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
