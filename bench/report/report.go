// Package report turns figures into a table, a JSON document, a section of a
// Markdown file and a chart.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// The values of Row.Better.
const (
	Lower  = "lower"
	Higher = "higher"
)

// Row is one figure. Target 0 is none.
type Row struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target float64 `json:"target"`
	Better string  `json:"better"` // Lower or Higher
}

// Reached says whether the value meets the target; without one it does.
func (r *Row) Reached() bool {
	if r.Target == 0 {
		return true
	}
	if r.Better == Lower {
		return r.Value <= r.Target
	}
	return r.Value >= r.Target
}

// WriteJSON writes the rows to a file and makes its directory.
func WriteJSON(file string, rows []Row) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}

// Print writes the rows as aligned text, each with its target and whether it is
// reached.
func Print(to io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tVALUE\tUNIT\tTARGET\t")
	for i := range rows {
		r := &rows[i]
		target, verdict := "-", ""
		if r.Target != 0 {
			target, verdict = fmt.Sprintf("%.4g", r.Target), "missed"
			if r.Reached() {
				verdict = "reached"
			}
		}
		fmt.Fprintf(w, "%s\t%.4g\t%s\t%s\t%s\n", r.Name, r.Value, r.Unit, target, verdict)
	}
	return w.Flush()
}

// Rewrite replaces what stands in a file between the lines
// `<!-- NAME:begin -->` and `<!-- NAME:end -->`. A file without them is an
// error: nothing is guessed about where a section belongs.
func Rewrite(file, name, section string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := []byte("<!-- "+name+":begin -->\n"), []byte("<!-- "+name+":end -->\n")
	before, rest, found := bytes.Cut(raw, begin)
	_, after, closed := bytes.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s: the markers %s:begin and %s:end are not there, each on a line of its own", file, name, name)
	}
	out := bytes.Join([][]byte{before, begin, []byte("\n" + section + "\n"), end, after}, nil)
	return os.WriteFile(file, out, 0o644)
}
