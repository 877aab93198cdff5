package github

import (
	"regexp"
	"strings"

	"github.com/writ-run/writ/channel"
)

// markdown lays out what is said: a bold heading, a list of what is known, the text. Where
// that is too long it is the lines of the text alone, cut.
func markdown(out *channel.Outgoing) string {
	var parts []string
	if heading := bold(out.Heading); heading != "" {
		parts = append(parts, heading)
	}
	var list []string
	for _, f := range out.Facts {
		item := "- " + bold(f.Name) + ": " + escape(f.Value)
		list = append(list, strings.ReplaceAll(item, "\n", "\n  ")) // a value of several lines stays in its item
	}
	if list != nil {
		parts = append(parts, strings.Join(list, "\n"))
	}
	if out.Text != "" {
		parts = append(parts, escape(out.Text))
	}
	if text := strings.Join(parts, "\n\n"); channel.UTF16(text) <= maxText {
		return text
	}
	return escape(channel.Fit(out.Plain(), maxText, func(text string) int { return channel.UTF16(escape(text)) }))
}

// bold is one line in bold type.
func bold(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return ""
	}
	return "**" + escape(text) + "**"
}

// punctuation that Markdown may take for markup, after a backslash stands for itself.
const punctuation = "\\`*_{}[]()#+-.!|~>=:\"'$^%"

// quiet is an invisible word joiner: no mention and no reference goes on behind it.
const quiet = "\u2060"

// lineEnds are one in Markdown, whichever they are.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// commit is what GitHub takes for one, and of which it may show seven digits alone.
var commit = regexp.MustCompile(`\b[0-9A-Fa-f]{7,}\b`)

// apart has no digits left that could be a commit.
func apart(digits string) string {
	var out strings.Builder
	for ; len(digits) > 6; digits = digits[6:] {
		out.WriteString(digits[:6] + quiet)
	}
	return out.String() + digits
}

// escape makes Markdown that shows the text as it is. Backslashes do not keep GitHub from
// finding @name, #1, GH-1 and commits in what it has rendered, and a joiner does. What a line
// begins with in white space would be code, and of several blanks one would be seen.
func escape(text string) string {
	var out strings.Builder
	text = commit.ReplaceAllStringFunc(lineEnds.Replace(text), apart)
	begins := true
	before := ' '
	for i, r := range text {
		begins = begins && (r == ' ' || r == '\t')
		blank := r == ' ' && before == ' '
		before = r
		switch {
		case begins, blank:
			out.WriteString("&nbsp;")
		case r == '<':
			out.WriteString("&lt;")
		case r == '&':
			out.WriteString("&amp;")
		case r == '@':
			out.WriteString("@" + quiet)
		case r == '#', r == '-' && refers(text[:i]):
			out.WriteString("\\" + string(r) + quiet)
		case r == '_' && within(text, i): // marks nothing up there, and an id can be copied from the source
			out.WriteByte('_')
		case r < 0x80 && strings.ContainsRune(punctuation, r):
			out.WriteByte('\\')
			out.WriteRune(r)
		default:
			out.WriteRune(r)
		}
		begins = begins || r == '\n'
	}
	return out.String()
}

// refers reports whether a text ends as a reference begins: GH-1.
func refers(text string) bool {
	return len(text) > 1 && strings.EqualFold(text[len(text)-2:], "gh")
}

// within reports whether there is a letter or a digit on both sides.
func within(text string, i int) bool {
	return i > 0 && i+1 < len(text) && alphanumeric(text[i-1]) && alphanumeric(text[i+1])
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
