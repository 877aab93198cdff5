//go:build linux

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/writ-run/writ/bench/report"
)

// section is the name of the markers in performance.md.
const section = "bench-peers"

// document writes the generated section of performance.md and its chart.
func (r *results) document(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "performance.svg"), r.chart().SVG(), 0o644); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("![3 durable steps: latency at one client and rate at 32, each engine's median and range](performance.svg)\n\n")
	r.loadTable(&b)
	r.ratioTable(&b)
	r.footprintTable(&b)
	r.settings(&b)
	return report.Rewrite(filepath.Join(dir, "performance.md"), section, b.String())
}

func (r *results) loadTable(b *strings.Builder) {
	fmt.Fprintf(b, "| 3 durable steps | p50, ms | p95 | p99 | %d clients, /s | p50, ms | p95 | p99 | syncs |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n", manyClients)
	for _, route := range r.routes() {
		m := r.at(route.name)
		name := route.name
		if route.ours {
			name = "**" + name + "**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %.1f |\n", name,
			spread(column(m.one, p50)), figure(median(column(m.one, p95))), figure(median(column(m.one, p99))),
			spread(column(m.many, rate)), figure(median(column(m.many, p50))), figure(median(column(m.many, p95))), figure(median(column(m.many, p99))), m.syncs)
	}
	b.WriteString("\n")
	for _, route := range r.routes() {
		if m := r.at(route.name); m.failed > 0 {
			fmt.Fprintf(b, "%s: %d requests failed and are not in the figures.\n\n", route.name, m.failed)
		}
	}
}

func (r *results) ratioTable(b *strings.Builder) {
	b.WriteString("| ratio of the medians | value | target | |\n|---|--:|--:|---|\n")
	for _, row := range r.ratios() {
		target, verdict := "", ""
		if row.Target != 0 {
			target, verdict = "at most ", "missed"
			if row.Better == report.Higher {
				target = "at least "
			}
			target += figure(row.Target)
			if row.Reached() {
				verdict = "reached"
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", row.Name, figure(row.Value), target, verdict)
	}
	b.WriteString("\n")
}

func (r *results) footprintTable(b *strings.Builder) {
	b.WriteString("| engine | start to the first answer, ms | memory idle, MiB | after the load, MiB |\n|---|--:|--:|--:|\n")
	for _, s := range r.field.subjects {
		m := r.at(s.name)
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", s.name, spread(m.start), figure(m.idle), figure(m.loaded))
	}
	b.WriteString("\n")
}

func (r *results) settings(b *strings.Builder) {
	b.WriteString("| engine | version | durability |\n|---|---|---|\n")
	for _, s := range r.field.subjects {
		fmt.Fprintf(b, "| %s | %s | %s |\n", s.name, s.version, s.sync)
	}
	fmt.Fprintf(b, "\n%d rounds of %s a measurement on %d cores; medians, with the lowest and highest round in parentheses. ",
		r.field.rounds, r.field.span, runtime.NumCPU())
	fmt.Fprintf(b, "In the same run a 1 KiB write with its fsync took %s ms, an HTTP request that stores nothing %s ms (p50).\n",
		spread(r.disk), figure(median(r.floor)))
}

// chart has the best first, so that two runs can be told apart at a glance.
func (r *results) chart() *report.Chart {
	panel := func(title string, index int, of func(*measured) [][]float64) report.Panel {
		p := report.Panel{Title: title}
		for _, route := range r.routes() {
			values := column(of(r.at(route.name)), index)
			p.Marks = append(p.Marks, report.Mark{
				Label: route.name, Value: median(values), Low: slices.Min(values), High: slices.Max(values), Ours: route.ours,
			})
		}
		slices.SortStableFunc(p.Marks, func(a, b report.Mark) int {
			if index == rate {
				a, b = b, a
			}
			return cmp.Compare(a.Value, b.Value)
		})
		return p
	}
	return &report.Chart{
		Title: "3 durable steps: latency at one client and rate at many",
		Panels: []report.Panel{
			panel("3 durable steps, 1 client: p50 in ms (left is better)", p50, one),
			panel(fmt.Sprintf("3 durable steps, %d clients: executions a second (right is better)", manyClients), rate, many),
		},
	}
}

// spread is the median, and the range where there are more rounds than one.
func spread(values []float64) string {
	if len(values) < 2 {
		return figure(median(values))
	}
	return fmt.Sprintf("%s (%s–%s)", figure(median(values)), figure(slices.Min(values)), figure(slices.Max(values)))
}

// figure has three significant digits; whole numbers from 100 on.
func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
