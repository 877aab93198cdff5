//go:build linux

package main

import (
	"debug/buildinfo"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/writ-run/writ/bench/report"
)

// The figures of a load, in the order in which measured has them.
const (
	p50 = iota
	p95
	p99
	rate
)

// Targets of the headline rows: those of the C skill, whose steps are as
// trivial as the peers' own.
const (
	headline      = "Writ, C skill"
	latencyTarget = 0.5 // of the best peer's p50 at one client
	rateTarget    = 5   // times the best peer's rate at many clients
	syncTarget    = 2
	startTarget   = 300 // ms
	idleTarget    = 80  // MiB
)

// routes are all of all subjects, in the order of the table.
func (r *results) routes() []*route {
	var all []*route
	for _, s := range r.field.subjects {
		all = append(all, s.routes...)
	}
	return all
}

// best finds the peer with the best median of a figure.
func (r *results) best(figure int, of func(*measured) [][]float64) (name string, value float64) {
	value = math.Inf(1)
	if figure == rate {
		value = 0
	}
	for _, route := range r.routes() {
		if route.ours {
			continue
		}
		m := median(column(of(r.at(route.name)), figure))
		if (figure == rate && m > value) || (figure != rate && m < value) {
			name, value = route.name, m
		}
	}
	return name, value
}

func one(m *measured) [][]float64  { return m.one }
func many(m *measured) [][]float64 { return m.many }

// rows are the ratios first, then everything measured.
func (r *results) rows() []report.Row {
	rows := r.ratios()
	for _, route := range r.routes() {
		m := r.at(route.name)
		for _, load := range []struct {
			clients int
			rounds  [][]float64
		}{{oneClient, m.one}, {manyClients, m.many}} {
			prefix := fmt.Sprintf("%s: 3 durable steps, %d clients, ", route.name, load.clients)
			if load.clients == oneClient {
				prefix = route.name + ": 3 durable steps, 1 client, "
			}
			rows = append(rows,
				report.Row{Name: prefix + "p50", Value: median(column(load.rounds, p50)), Unit: "ms", Better: report.Lower},
				report.Row{Name: prefix + "p95", Value: median(column(load.rounds, p95)), Unit: "ms", Better: report.Lower},
				report.Row{Name: prefix + "p99", Value: median(column(load.rounds, p99)), Unit: "ms", Better: report.Lower},
				report.Row{Name: prefix + "rate", Value: median(column(load.rounds, rate)), Unit: "/s", Better: report.Higher},
			)
		}
		syncs := report.Row{Name: route.name + ": syncs of an execution, 1 client", Value: m.syncs, Unit: "calls", Better: report.Lower}
		if route.ours {
			syncs.Target = syncTarget
		}
		rows = append(rows, syncs)
		if m.failed > 0 {
			rows = append(rows, report.Row{Name: route.name + ": failed requests", Value: float64(m.failed), Unit: "requests", Better: report.Lower})
		}
	}
	return append(rows, r.footprints()...)
}

// ratios are of medians over the rounds of this one run.
func (r *results) ratios() []report.Row {
	var rows []report.Row
	fast, latency := r.best(p50, one)
	busy, most := r.best(rate, many)
	for _, route := range r.routes() {
		if !route.ours {
			continue
		}
		m := r.at(route.name)
		lower := report.Row{Name: route.name + " over the best peer (" + fast + "), p50 at 1 client", Value: median(column(m.one, p50)) / latency, Unit: "x", Better: report.Lower}
		higher := report.Row{Name: fmt.Sprintf("%s over the best peer (%s), rate at %d clients", route.name, busy, manyClients), Value: median(column(m.many, rate)) / most, Unit: "x", Better: report.Higher}
		if route.name == headline {
			lower.Target, higher.Target = latencyTarget, rateTarget
		}
		rows = append(rows, lower, higher)
	}
	return rows
}

func (r *results) footprints() []report.Row {
	var rows []report.Row
	for _, s := range r.field.subjects {
		m := r.at(s.name)
		start := report.Row{Name: s.name + ": start to the first answered execution", Value: median(m.start), Unit: "ms", Better: report.Lower}
		idle := report.Row{Name: s.name + ": memory, idle after the start", Value: m.idle, Unit: "MiB", Better: report.Lower}
		if slices.ContainsFunc(s.routes, func(r *route) bool { return r.ours }) {
			start.Target, idle.Target = startTarget, idleTarget
		}
		rows = append(rows, start, idle, report.Row{Name: s.name + ": memory, after the load", Value: m.loaded, Unit: "MiB", Better: report.Lower})
	}
	return append(rows,
		report.Row{Name: "floor: 1 KiB write and fsync, p50", Value: median(r.disk), Unit: "ms", Better: report.Lower},
		report.Row{Name: "floor: HTTP request that stores nothing, 1 client, p50", Value: median(r.floor), Unit: "ms", Better: report.Lower},
	)
}

// moduleVersion reads from a built program which version of a module is in it.
func moduleVersion(program, module string) string {
	info, err := buildinfo.ReadFile(program)
	if err == nil {
		for _, d := range info.Deps {
			if d.Path == module {
				return strings.TrimPrefix(module, "github.com/") + " " + d.Version
			}
		}
	}
	return module + ", version unknown"
}
