package plan

import (
	"strconv"
	"strings"
)

// A string of a draft is text with expressions: ${{ CEL }}. $${{ is the text
// ${{. A string that is one expression and nothing else has the expression's
// value and type; otherwise the parts are joined as text.

const (
	openMark   = "${{"
	closeMark  = "}}"
	escapeMark = "$${{"
)

// part is literal text or one expression.
type part struct {
	text       string // literal: unescaped; expression: CEL without the marks, trimmed
	raw        string // expression: as it stands between the marks
	expression bool
}

// splitTemplate cuts a string into its parts; an empty string has none.
func splitTemplate(s string) ([]part, *finding) {
	var parts []part
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, part{text: literal.String()})
			literal.Reset()
		}
	}
	for s != "" {
		i := strings.Index(s, openMark)
		if i < 0 {
			literal.WriteString(s)
			break
		}
		if i > 0 && s[i-1] == '$' { // escapeMark
			literal.WriteString(s[:i-1] + openMark)
			s = s[i+len(openMark):]
			continue
		}
		literal.WriteString(s[:i])
		body := s[i+len(openMark):]
		end := expressionEnd(body)
		if end < 0 {
			f := found(CodeExpressionSyntax, "close it with }}, or write "+escapeMark+" for the text itself", "an expression is not closed")
			return nil, &f
		}
		flush()
		parts = append(parts, part{text: strings.TrimSpace(body[:end]), raw: body[:end], expression: true})
		s = body[end+len(closeMark):]
	}
	flush()
	return parts, nil
}

// expressionEnd is the offset of the closing mark: braces of CEL maps nest, and
// what stands in CEL strings does not count. -1 where there is none.
func expressionEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case '"', '\'':
			i += quotedLength(s, i)
			continue
		case '{':
			depth++
		case '}':
			if depth == 0 {
				if strings.HasPrefix(s[i:], closeMark) {
					return i
				}
				return -1
			}
			depth--
		}
		i++
	}
	return -1
}

// quotedLength is the length of the CEL string that begins at s[i].
func quotedLength(s string, i int) int {
	quote, rest := s[i:i+1], s[i:]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(rest, triple) {
		quote = triple
	}
	raw := i > 0 && (s[i-1] == 'r' || s[i-1] == 'R')
	for j := len(quote); j < len(rest); j++ {
		if rest[j] == '\\' && !raw {
			j++
			continue
		}
		if strings.HasPrefix(rest[j:], quote) {
			return j + len(quote)
		}
	}
	return len(rest)
}

// literalText is the text of parts that hold no expression.
func literalText(parts []part) string {
	if len(parts) == 0 {
		return ""
	}
	return parts[0].text
}

// joined is the CEL of parts that are joined as text.
func joined(parts []part) string {
	terms := make([]string, len(parts))
	for i, p := range parts {
		if !p.expression {
			terms[i] = celQuote(p.text)
			continue
		}
		terms[i] = "string(" + p.text + ")"
		if strings.Contains(p.text, "//") { // a comment would swallow the bracket
			terms[i] = "string(" + p.text + "\n)"
		}
	}
	return strings.Join(terms, " + ")
}

// celQuote writes a CEL string: Go's quoting with the escapes that both have.
func celQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x20 || r == 0x7f:
			b.WriteString(`\x` + strconv.FormatInt(int64(r)+0x100, 16)[1:])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// offset is where CEL's line and column lie in the raw text: lines count from 1,
// columns from 0 and in characters.
func (p part) offset(line, column int) int {
	at := len(p.raw) - len(strings.TrimLeft(p.raw, " \t\r\n"))
	for ; line > 1; line-- {
		i := strings.IndexByte(p.raw[at:], '\n')
		if i < 0 {
			return at
		}
		at += i + 1
	}
	for i := range p.raw[at:] {
		if column <= 0 {
			return at + i
		}
		column--
	}
	return at
}
