package slack

import (
	"slices"
	"strings"
)

// unescape undoes the three escapes of Slack's, once: what it yields is not looked at
// again.
var unescape = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">")

// plain is text as people see it. Slack escapes the angle brackets that people type, so
// that those which are left are its own: mentions and links.
func plain(text string) string {
	var out strings.Builder
	for {
		before, rest, open := strings.Cut(text, "<")
		_, _ = unescape.WriteString(&out, before)
		if !open {
			return out.String()
		}
		markup, after, closed := strings.Cut(rest, ">")
		if !closed {
			out.WriteByte('<')
			_, _ = unescape.WriteString(&out, rest)
			return out.String()
		}
		_, _ = unescape.WriteString(&out, readable(markup))
		text = after
	}
}

// schemes that a link may leave out of what it says.
var schemes = []string{"http://", "https://", "mailto:", "tel:"}

// readable is what a mention or a link says. Where a link says something else than
// where it leads, both are there: a plan must not take one for the other.
func readable(markup string) string {
	target, label, _ := strings.Cut(markup, "|")
	switch {
	case strings.HasPrefix(target, "@"), strings.HasPrefix(target, "#"):
		return target[:1] + first(label, target[1:])
	case target == "!here", target == "!channel", target == "!everyone":
		return "@" + target[1:]
	case strings.HasPrefix(target, "!"):
		return first(label, target[1:]) // of a group "@team", of a date its text
	case label == "" || target == label:
		return target
	case slices.Contains(schemes, strings.TrimSuffix(target, label)):
		return label
	}
	return label + " (" + target + ")"
}
