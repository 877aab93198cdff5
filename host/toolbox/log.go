package toolbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Bounds of what one call may put into the log. A guest can log at every call,
// so a line stays near the size of a screen.
const (
	maxLogMessage = 4 << 10
	maxLogValue   = 1 << 10
	cutMark       = " (cut)"
)

// log writes one line. Fields of the guest stand under "guest.", so that they
// cannot pass for those of the host.
func (t *Toolbox) log(_ context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.LogArgs](inv.Arguments)
	if failure != nil {
		return notDone(failure)
	}
	fields := []any{
		"tenant", string(inv.Tenant), "skill", string(inv.Skill),
		"execution", string(inv.Execution), "step", string(inv.Step),
	}
	for _, name := range slices.Sorted(maps.Keys(args.Fields)) {
		fields = append(fields, "guest."+name, plainText(args.Fields[name], maxLogValue))
	}
	t.opts.Logger.Log(hclog.LevelFromString(args.Level), plainText(args.Message, maxLogMessage), fields...)
	return done(struct{}{})
}

// plainText cuts text and writes what is not printable as an escape: a newline
// would forge a line, an escape sequence would drive the reader's terminal and
// a bidirectional mark would show another text than the one that stands there.
func plainText(text string, limit int) string {
	cut := len(text) > limit
	if cut {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u{%x}", r)
		}
	}
	if cut {
		b.WriteString(cutMark)
	}
	return b.String()
}
