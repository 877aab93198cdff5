package main

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ/sdk/sdktest"
)

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }

// What is written is read back as it was, whatever stands in the cells.
func TestTablesComeBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		table := Table{Columns: []string{"a", "b"}, Rows: [][]string{}}
		cell := rapid.StringMatching(`[a,;"' \n=-]{0,6}x`)
		for range rapid.IntRange(0, 5).Draw(rt, "rows") {
			table.Rows = append(table.Rows, []string{cell.Draw(rt, "a"), cell.Draw(rt, "b")})
		}
		text, err := format(nil, FormatIn{Table: table})
		if err != nil {
			rt.Fatal(err)
		}
		got, err := parse(nil, Text{Text: text.Text})
		if err != nil || !reflect.DeepEqual(got, table) {
			rt.Fatalf("%q came back as %q, %v", table, got, err)
		}
	})
}

func TestLimits(t *testing.T) {
	for rows, ok := range map[int]bool{maxRows: true, maxRows + 1: false} {
		if _, err := parse(nil, Text{Text: "a\n" + strings.Repeat("1\n", rows)}); (err == nil) != ok {
			t.Errorf("%d rows are %v", rows, err)
		}
	}
	for columns, ok := range map[int]bool{maxColumns: true, maxColumns + 1: false} {
		table := Table{Columns: make([]string, columns)}
		for i := range table.Columns {
			table.Columns[i] = strings.Repeat("c", i+1)
		}
		if err := table.check(); (err == nil) != ok {
			t.Errorf("%d columns are %v", columns, err)
		}
	}
	if number(strings.Repeat("1", maxDigits)) == nil || number(strings.Repeat("1", maxDigits+1)) != nil {
		t.Error("numbers are not held to their length")
	}
}
