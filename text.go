package writ

import (
	"strings"
	"unicode"
)

// Clip makes text from elsewhere fit for a message: at most longest bytes and an
// ellipsis, valid UTF-8, and no control characters, so that it stays on one line
// and tells a terminal nothing.
func Clip(text string, longest int) string {
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}
