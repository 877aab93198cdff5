package main

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/writ-run/writ/sdk"
)

// Condition is what a row must fulfil.
type Condition struct {
	Column string `json:"column"`
	Is     string `json:"is" enum:"equal,not_equal,contains,less,at_most,greater,at_least,empty,not_empty" doc:"Numbers are compared as numbers where both sides are some"`
	Value  string `json:"value,omitempty"`
}

// SelectIn is the input of select.
type SelectIn struct {
	Text
	Columns    []string    `json:"columns,omitempty" doc:"Which columns, in this order; all if absent"`
	Where      []Condition `json:"where,omitempty" doc:"All of these must hold"`
	OrderBy    string      `json:"orderBy,omitempty" doc:"Column to sort by, numbers as numbers"`
	Descending bool        `json:"descending,omitempty"`
	Limit      int         `json:"limit,omitempty" doc:"At most this many rows; all if absent"`
}

func choose(_ *sdk.Context, in SelectIn) (Table, error) {
	table, err := in.table()
	if err == nil {
		err = table.keep(in.Where)
	}
	if err == nil && in.OrderBy != "" {
		err = table.sort(in.OrderBy, in.Descending)
	}
	if err == nil && in.Limit < 0 {
		err = sdk.Fail("bad_limit", "limit is negative")
	}
	if err == nil && in.Limit > 0 {
		table.Rows = table.Rows[:min(in.Limit, len(table.Rows))]
	}
	if err == nil && len(in.Columns) > 0 {
		err = table.project(in.Columns)
	}
	if err != nil {
		return Table{}, err
	}
	return *table, nil
}

func (t *Table) keep(where []Condition) error {
	columns := make([]int, len(where))
	for i, c := range where {
		at, err := t.column(c.Column)
		if err != nil {
			return err
		}
		columns[i] = at
	}
	t.Rows = slices.DeleteFunc(t.Rows, func(row []string) bool {
		for i := range where {
			if !where[i].holds(row[columns[i]]) {
				return true
			}
		}
		return false
	})
	return nil
}

func (c *Condition) holds(cell string) bool {
	switch c.Is {
	case "contains":
		return strings.Contains(cell, c.Value)
	case "empty":
		return strings.TrimSpace(cell) == ""
	case "not_empty":
		return strings.TrimSpace(cell) != ""
	}
	order := compare(cell, c.Value)
	switch c.Is {
	case "equal":
		return order == 0
	case "not_equal":
		return order != 0
	case "less":
		return order < 0
	case "at_most":
		return order <= 0
	case "greater":
		return order > 0
	}
	return order >= 0 // at_least
}

// compare orders numbers as numbers and all else as text, numbers first.
func compare(a, b string) int {
	x, y := number(a), number(b)
	switch {
	case x != nil && y != nil:
		return x.Cmp(y)
	case x != nil:
		return -1
	case y != nil:
		return 1
	}
	return strings.Compare(a, b)
}

// maxDigits bounds a number: 1e999999999 is short and would fill the memory.
const maxDigits = 64

// number is the exact value of a decimal, nil where the text is none.
func number(text string) *big.Rat {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxDigits || strings.Trim(text, "0123456789.+-") != "" {
		return nil
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil
	}
	return r
}

func (t *Table) sort(by string, descending bool) error {
	at, err := t.column(by)
	if err != nil {
		return err
	}
	slices.SortStableFunc(t.Rows, func(a, b []string) int {
		order := compare(a[at], b[at])
		if descending {
			return -order
		}
		return order
	})
	return nil
}

func (t *Table) project(columns []string) error {
	indexes := make([]int, len(columns))
	for i, name := range columns {
		at, err := t.column(name)
		if err != nil {
			return err
		}
		indexes[i] = at
	}
	for i, row := range t.Rows {
		cells := make([]string, len(indexes))
		for j, at := range indexes {
			cells[j] = row[at]
		}
		t.Rows[i] = cells
	}
	t.Columns = columns
	return t.check()
}

// Measure is what is asked of each group.
type Measure struct {
	Op     string `json:"op" enum:"count,sum,min,max,mean"`
	Column string `json:"column,omitempty" doc:"Of numbers; not needed for count"`
}

// AggregateIn is the input of aggregate.
type AggregateIn struct {
	Text
	GroupBy  []string    `json:"groupBy,omitempty" doc:"Columns; one group of all rows if absent"`
	Where    []Condition `json:"where,omitempty" doc:"All of these must hold for a row to count"`
	Measures []Measure   `json:"measures"`
}

// Group is one group.
type Group struct {
	Key    map[string]string `json:"key" doc:"Values of the columns of groupBy"`
	Values []*float64        `json:"values" doc:"One for each measure, null where there is no number"`
}

// AggregateOut is the output of aggregate.
type AggregateOut struct {
	Groups []Group `json:"groups" doc:"In the order in which they first come"`
}

func aggregate(_ *sdk.Context, in AggregateIn) (AggregateOut, error) {
	if len(in.Measures) == 0 {
		return AggregateOut{}, sdk.Fail("empty", "name at least one measure")
	}
	table, err := in.table()
	if err == nil {
		err = table.keep(in.Where)
	}
	if err != nil {
		return AggregateOut{}, err
	}
	keys := make([]int, len(in.GroupBy))
	for i, name := range in.GroupBy {
		if keys[i], err = table.column(name); err != nil {
			return AggregateOut{}, err
		}
	}
	var order []string
	groups := map[string][][]string{}
	for _, row := range table.Rows {
		var key strings.Builder
		for _, at := range keys {
			_, _ = fmt.Fprintf(&key, "%d:%s", len(row[at]), row[at])
		}
		if _, known := groups[key.String()]; !known {
			order = append(order, key.String())
		}
		groups[key.String()] = append(groups[key.String()], row)
	}
	out := AggregateOut{Groups: []Group{}}
	for _, key := range order {
		group := Group{Key: map[string]string{}}
		for i, at := range keys {
			group.Key[in.GroupBy[i]] = groups[key][0][at]
		}
		for _, m := range in.Measures {
			value, err := m.of(table, groups[key])
			if err != nil {
				return AggregateOut{}, err
			}
			group.Values = append(group.Values, value)
		}
		out.Groups = append(out.Groups, group)
	}
	return out, nil
}

// of measures exactly and rounds once, at the end: 0.1 and 0.2 are 0.3.
func (m Measure) of(t *Table, rows [][]string) (*float64, error) {
	if m.Op == "count" && m.Column == "" {
		n := float64(len(rows))
		return &n, nil
	}
	at, err := t.column(m.Column)
	if err != nil {
		return nil, err
	}
	result, n := new(big.Rat), int64(0)
	for _, row := range rows {
		value := number(row[at])
		if value == nil {
			if m.Op != "count" && strings.TrimSpace(row[at]) != "" {
				return nil, sdk.Fail("not_a_number", fmt.Sprintf("column %q has %.80q, which is no number", m.Column, row[at]))
			}
			if m.Op != "count" || strings.TrimSpace(row[at]) == "" {
				continue
			}
			value = new(big.Rat)
		}
		n++
		switch {
		case m.Op == "sum" || m.Op == "mean":
			result.Add(result, value)
		case n == 1, m.Op == "min" && value.Cmp(result) < 0, m.Op == "max" && value.Cmp(result) > 0:
			result.Set(value)
		}
	}
	switch {
	case m.Op == "count":
		result.SetInt64(n)
	case n == 0 && m.Op != "sum":
		return nil, nil
	case m.Op == "mean":
		result.Quo(result, new(big.Rat).SetInt64(n))
	}
	rounded, _ := result.Float64()
	return &rounded, nil
}
