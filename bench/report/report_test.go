package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/bench/report"
)

func TestRowsSayWhetherTheirTargetIsReached(t *testing.T) {
	for _, c := range []struct {
		row  report.Row
		want bool
	}{
		{report.Row{Value: 9}, true},
		{report.Row{Value: 0.5, Target: 0.5, Better: report.Lower}, true},
		{report.Row{Value: 0.51, Target: 0.5, Better: report.Lower}, false},
		{report.Row{Value: 5, Target: 5, Better: report.Higher}, true},
		{report.Row{Value: 4.9, Target: 5, Better: report.Higher}, false},
	} {
		if got := c.row.Reached(); got != c.want {
			t.Errorf("%+v: reached %v", c.row, got)
		}
	}
	var out bytes.Buffer
	if err := report.Print(&out, []report.Row{{Name: "a", Value: 4.9, Unit: "/s", Target: 5, Better: report.Higher}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "missed") {
		t.Errorf("a missed target is not said:\n%s", out.String())
	}
}

func TestRewriteTouchesItsSectionAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# Top\n<!-- x:begin -->\nold\n<!-- x:end -->\nbelow\n")
	for range 2 { // the second time finds what the first one wrote
		if err := report.Rewrite(file, "x", "new"); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := "# Top\n<!-- x:begin -->\n\nnew\n<!-- x:end -->\nbelow\n"; string(raw) != want {
			t.Fatalf("got %q, want %q", raw, want)
		}
	}
	for _, broken := range []string{"", "<!-- x:begin -->\n", "<!-- x:end -->\n<!-- x:begin -->\n", "<!-- y:begin -->\n<!-- y:end -->\n"} {
		write(broken)
		if err := report.Rewrite(file, "x", "new"); err == nil {
			t.Errorf("%q: a section was written where no markers are", broken)
		}
	}
}

func TestChartIsDeterministicWellFormedAndInsideItsFrame(t *testing.T) {
	chart := report.Chart{Title: `a < b & "c"`, Panels: []report.Panel{
		{Title: "one", Marks: []report.Mark{
			{Label: "ours", Value: 0.5, Low: 0.4, High: 0.6, Ours: true}, {Label: "<theirs>", Value: 208, Low: 200, High: 1000},
		}},
		{Title: "nothing measured", Marks: []report.Mark{{Label: "none"}}},
		{Title: "one decade", Marks: []report.Mark{{Label: "ten", Value: 10, Low: 10, High: 10}}},
		{Title: "empty"},
	}}
	svg := chart.SVG()
	if !bytes.Equal(svg, chart.SVG()) {
		t.Error("the same chart gives other bytes")
	}
	d := xml.NewDecoder(bytes.NewReader(svg))
	dots := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			dots++
		}
	}
	if dots != 3 {
		t.Errorf("%d dots, want 3", dots)
	}
	for _, bad := range []string{"NaN", "Inf"} {
		if bytes.Contains(svg, []byte(bad)) {
			t.Errorf("the chart holds %s", bad)
		}
	}
	if !bytes.Contains(svg, []byte("prefers-color-scheme:dark")) {
		t.Error("the chart has one colour scheme")
	}
}
