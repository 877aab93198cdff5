package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"golang.org/x/term"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Colours of the terminal, used only where a person is looking.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

// colored reports whether w is a terminal of a person who wants colour
// (https://no-color.org).
func (a *app) colored(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && !a.flags.noColor && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

func (a *app) paint(color, text string) string {
	if !a.colored(a.out) {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// clean keeps text from strangers from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// print writes v as the flags ask: people get what write makes, programs the
// whole document.
func (a *app) print(v any, write func(t *table)) error {
	switch a.flags.output {
	case "json":
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		return a.printYAML(v)
	}
	t := &table{app: a}
	write(t)
	t.flush()
	return nil
}

// printYAML goes through JSON, so that both forms have the same member names.
func (a *app) printYAML(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil {
		return err
	}
	block(&document)
	enc := yaml.NewEncoder(a.out)
	enc.SetIndent(2)
	if err := enc.Encode(&document); err != nil {
		return err
	}
	return enc.Close()
}

// block drops the styles that JSON has; a string that would read as something
// else stays quoted.
func block(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle | yaml.DoubleQuotedStyle
	for _, child := range n.Content {
		block(child)
	}
}

// table writes aligned columns. Names of states are coloured where they stand.
type table struct {
	app  *app
	rows [][]string
}

// head writes the column names.
func (t *table) head(names ...string) {
	for i := range names {
		names[i] = strings.ToUpper(names[i])
	}
	t.row(names...)
}

// row writes one line of columns.
func (t *table) row(columns ...string) {
	for i := range columns {
		columns[i] = strings.ReplaceAll(clean(columns[i]), "\n", " ")
	}
	t.rows = append(t.rows, columns)
}

// pair writes a name and its value, nothing where the value is empty.
func (t *table) pair(name, value string) {
	if value != "" {
		t.row(name+":", value)
	}
}

// line writes text that is not aligned.
func (t *table) line(format string, args ...any) {
	t.flush()
	_, _ = fmt.Fprintf(t.app.out, format+"\n", args...)
}

// flush lays the rows out.
func (t *table) flush() {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(t.app.status(cell))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		_, _ = fmt.Fprintln(t.app.out, strings.TrimRight(b.String(), " "))
	}
	t.rows = nil
}

// ago is a time for people.
func (a *app) ago(at writ.Time) string {
	if at == 0 {
		return "-"
	}
	d := a.clock().Sub(at.Std())
	switch {
	case d < 0:
		return "in " + shortDuration(-d.Seconds())
	case d.Seconds() < 1:
		return "now"
	}
	return shortDuration(d.Seconds()) + " ago"
}

func shortDuration(seconds float64) string {
	switch {
	case seconds < 120:
		return fmt.Sprintf("%.0fs", seconds)
	case seconds < 7200:
		return fmt.Sprintf("%.0fm", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%.0fh", seconds/3600)
	}
	return fmt.Sprintf("%.0fd", seconds/86400)
}

// report writes an error for people, or the problem document for programs.
func (a *app) report(e *writ.Error) {
	if a.flags.output == "json" {
		enc := json.NewEncoder(a.err)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(map[string]any{"error": map[string]any{
			"code": e.Code, "message": e.Error(), "fix": e.Fix, "place": e.Place, "details": e.Details,
		}})
		return
	}
	label := "error"
	if a.colored(a.err) {
		label = "\x1b[" + red + "merror\x1b[0m"
	}
	_, _ = fmt.Fprintf(a.err, "%s [%s]: %s\n", label, e.Code, clean(e.Error()))
	a.reportDetails(e.Details)
	if e.Fix != "" {
		_, _ = fmt.Fprintf(a.err, "  what to do: %s\n", clean(e.Fix))
	}
}

// reportDetails writes the findings that an error carries. They come as Go
// values from the home and as decoded JSON from a daemon: both go through JSON.
func (a *app) reportDetails(details any) {
	raw, err := json.Marshal(details)
	if err != nil || details == nil {
		return
	}
	var at guestTrace
	if json.Unmarshal(raw, &at) == nil && at.Trace != "" {
		_, _ = fmt.Fprintf(a.err, "  at %s\n", clean(at.Trace))
		return
	}
	var items []struct {
		contract.Problem
		Rule string `json:"rule"`
	}
	if json.Unmarshal(raw, &items) != nil {
		return
	}
	for _, item := range items {
		place := ""
		if item.File != "" {
			place = fmt.Sprintf("%s:%d:%d: ", item.File, item.Line, item.Column)
		}
		name := item.Code
		if name == "" {
			name = item.Rule
		}
		_, _ = fmt.Fprintf(a.err, "  %s%s: %s\n", clean(place), clean(name), clean(item.Message))
		if item.Fix != "" {
			_, _ = fmt.Fprintf(a.err, "    fix: %s\n", clean(item.Fix))
		}
	}
}

// status is how a state looks to a person.
func (a *app) status(s string) string {
	switch s {
	case "completed", "approved", "autonomous", "identical", "valid", "enabled":
		return a.paint(green, s)
	case "awaiting_approval", "pending", "escalated", "assist", "running", "paused", "medium":
		return a.paint(yellow, s)
	case "failed", "blocked", "rejected", "expired", "diverged", "indeterminate", "high", "disabled":
		return a.paint(red, s)
	}
	return s
}

func sprint(v any) string { return fmt.Sprint(v) }
