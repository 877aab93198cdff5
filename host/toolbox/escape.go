package toolbox

import (
	"bytes"
	"html"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// escapes are the bytes that decodeEscape reads.
var escapes = [256]bool{'%': true, '\\': true, '&': true, '+': true}

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
		decoded, size := text[i:i+1], 1
		if c := text[i]; c == '%' || c == '\\' || c == '&' { // a plus is a character of base64
			if plain, long := decodeEscape(text[i:], 0); long > 0 {
				decoded, size = plain, long
			}
		}
		if len(decoded) != 1 || !space[decoded[0]] {
			out = append(out, text[i:i+size]...)
		}
		i += size
	}
	return out
}

// space is what base64 is folded with.
var space = [256]bool{' ': true, '\t': true, '\r': true, '\n': true}
