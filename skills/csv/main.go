// Command csv is the skill writ/csv: tables as text, and what is asked of them. It
// uses no tool.
package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/writ-run/writ/sdk"
)

// Limits of a table: its text is bounded by the plan, and a cell costs a hundred
// bytes where it is worked with.
const maxRows, maxColumns = 100_000, 1000

// Text is a table as text.
type Text struct {
	Text      string `json:"text" doc:"The table, its first line the names of the columns (RFC 4180)"`
	Delimiter string `json:"delimiter,omitempty" doc:"One character; a comma if absent"`
}

// Table is a table whose cells are texts.
type Table struct {
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

func delimiter(text string) (rune, error) {
	if text == "" {
		return ',', nil
	}
	r, n := utf8.DecodeRuneInString(text)
	if n != len(text) || r == utf8.RuneError || strings.ContainsRune("\"\r\n", r) {
		return 0, sdk.Fail("bad_delimiter", fmt.Sprintf("delimiter %q: want one character, and no quote or line break", text))
	}
	return r, nil
}

func (t Text) table() (*Table, error) {
	comma, err := delimiter(t.Delimiter)
	if err != nil {
		return nil, err
	}
	reader := csv.NewReader(strings.NewReader(strings.TrimPrefix(t.Text, "\ufeff")))
	reader.Comma = comma
	records, err := reader.ReadAll()
	switch {
	case err != nil:
		return nil, sdk.Fail("bad_csv", err.Error())
	case len(records) == 0:
		return nil, sdk.Fail("bad_csv", "there is no line with the names of the columns")
	}
	table := &Table{Columns: records[0], Rows: records[1:]}
	return table, table.check()
}

// check holds a table to its limits and its columns to different names: a name is
// how a column is asked for.
func (t *Table) check() error {
	if len(t.Columns) > maxColumns || len(t.Rows) > maxRows {
		return sdk.Fail("too_large", fmt.Sprintf("the table has %d columns and %d rows, at most %d and %d are taken", len(t.Columns), len(t.Rows), maxColumns, maxRows))
	}
	seen := map[string]bool{}
	for _, name := range t.Columns {
		if seen[name] {
			return sdk.Fail("bad_csv", fmt.Sprintf("two columns are called %q", name))
		}
		seen[name] = true
	}
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return sdk.Fail("bad_csv", fmt.Sprintf("row %d has %d cells, there are %d columns", i+1, len(row), len(t.Columns)))
		}
	}
	return nil
}

func (t *Table) column(name string) (int, error) {
	if i := slices.Index(t.Columns, name); i >= 0 {
		return i, nil
	}
	return 0, sdk.Fail("no_column", fmt.Sprintf("there is no column %q", name))
}

func parse(_ *sdk.Context, in Text) (Table, error) {
	table, err := in.table()
	if err != nil {
		return Table{}, err
	}
	return *table, nil
}

// FormatIn is the input of format.
type FormatIn struct {
	Table
	Form
}

// Form is how a table is written.
type Form struct {
	Delimiter string `json:"delimiter,omitempty" doc:"One character; a comma if absent"`
	Guard     bool   `json:"guard,omitempty" doc:"Whether cells that a spreadsheet would take for a formula get an apostrophe in front"`
}

// TextOut is the output of format and from_json.
type TextOut struct {
	Text string `json:"text"`
}

func format(_ *sdk.Context, in FormatIn) (TextOut, error) {
	if err := in.check(); err != nil {
		return TextOut{}, err
	}
	return in.write(&in.Table)
}

func (f Form) write(t *Table) (TextOut, error) {
	comma, err := delimiter(f.Delimiter)
	if err != nil {
		return TextOut{}, err
	}
	var b strings.Builder
	writer := csv.NewWriter(&b)
	writer.Comma = comma
	for _, row := range slices.Concat([][]string{t.Columns}, t.Rows) {
		if f.Guard {
			row = guarded(row)
		}
		if err := writer.Write(row); err != nil {
			return TextOut{}, err
		}
	}
	writer.Flush()
	return TextOut{Text: b.String()}, writer.Error()
}

// guarded follows what OWASP says of formulas in tables.
func guarded(row []string) []string {
	out := make([]string, len(row))
	for i, cell := range row {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			cell = "'" + cell
		}
		out[i] = cell
	}
	return out
}

// ItemsOut is the output of to_json.
type ItemsOut struct {
	Items []map[string]string `json:"items" doc:"One object for each row"`
}

func toJSON(_ *sdk.Context, in Text) (ItemsOut, error) {
	table, err := in.table()
	if err != nil {
		return ItemsOut{}, err
	}
	out := ItemsOut{Items: make([]map[string]string, len(table.Rows))}
	for i, row := range table.Rows {
		item := make(map[string]string, len(row))
		for j, cell := range row {
			item[table.Columns[j]] = cell
		}
		out.Items[i] = item
	}
	return out, nil
}

// ItemsIn is the input of from_json.
type ItemsIn struct {
	Items   []map[string]any `json:"items"`
	Columns []string         `json:"columns,omitempty" doc:"Which members, in this order; all of them, sorted, if absent"`
	Form
}

func fromJSON(_ *sdk.Context, in ItemsIn) (TextOut, error) {
	table := &Table{Columns: in.Columns}
	if len(in.Columns) == 0 {
		all := map[string]bool{}
		for _, item := range in.Items {
			for name := range item {
				all[name] = true
			}
		}
		table.Columns = slices.Sorted(maps.Keys(all))
	}
	if len(table.Columns) == 0 {
		return TextOut{}, sdk.Fail("empty", "there is no column: the items have no members")
	}
	for _, item := range in.Items {
		row := make([]string, len(table.Columns))
		for i, name := range table.Columns {
			cell, err := cellOf(item[name])
			if err != nil {
				return TextOut{}, err
			}
			row[i] = cell
		}
		table.Rows = append(table.Rows, row)
	}
	if err := table.check(); err != nil {
		return TextOut{}, err
	}
	return in.write(table)
}

// cellOf writes text as it is, nothing as an empty cell, and all else as JSON.
func cellOf(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	raw, err := json.Marshal(value)
	return string(raw), err
}

var (
	_ = sdk.Action("parse", parse)
	_ = sdk.Action("format", format)
	_ = sdk.Action("to_json", toJSON)
	_ = sdk.Action("from_json", fromJSON)
	_ = sdk.Action("select", choose)
	_ = sdk.Action("aggregate", aggregate)
)

func main() {} // a skill is entered through its actions
