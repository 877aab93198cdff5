//go:build linux

// Command bench measures Writ on this machine and prints a table. Rows also go
// to bench/out/bench.json. The journal syncs every commit: figures
// are of work that is on disk when it is answered, unless a row says otherwise.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one figure. Target 0 is none.
type row struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target float64 `json:"target"`
	Better string  `json:"better"` // lower or higher
}

func main() {
	out := flag.String("out", filepath.Join("bench", "out"), "directory of the result")
	seconds := flag.Int("seconds", 3, "time of each measurement")
	only := flag.String("only", "", "regular expression of the measurements to run, such as chains")
	profile := flag.String("profile", "", "file for a CPU profile of the measurements, without paths of this machine")
	allocations := flag.String("allocations", "", "with -executions: file for a profile of what they allocate, each block of 4 KiB on average")
	alone := flag.Bool("rates", false, "print the rates of executions at 1 and 32 clients as JSON, and nothing else")
	sizes := flag.String("growth", "", "numbers of executions, such as 1000,100000: measure stores of these sizes alone")
	executions := flag.Int("executions", 0, "run so many executions of three steps, and nothing else")
	clients := flag.Int("clients", 1, "with -executions: how many run at once")
	flood := flag.Bool("flood", false, "with the webhooks: hold 2,000 deliveries/s for a minute, too")
	program := flag.String("writ", filepath.Join("bin", "writ"), "the writ binary")
	flag.Parse()
	debug.SetGCPercent(400) // as `writ serve` does
	if *allocations != "" {
		runtime.MemProfileRate = 4 << 10
	}
	opts := options{out: *out, only: *only, profile: *profile, allocations: *allocations, program: *program, clients: *clients, flood: *flood, span: time.Duration(*seconds) * time.Second}
	work := run
	if *alone {
		work = printRates
	}
	if opts.executions = *executions; opts.executions > 0 {
		work = runExecutions
	}
	for _, size := range strings.FieldsFunc(*sizes, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(size)
		if err != nil || n <= 0 {
			fmt.Fprintln(os.Stderr, "bench: -growth wants numbers")
			os.Exit(2)
		}
		opts.growth = append(opts.growth, n)
		work = runGrowth
	}
	if err := work(context.Background(), opts); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	out, only, program   string
	profile, allocations string
	span                 time.Duration
	growth               []int
	flood                bool
	executions, clients  int
}

func run(ctx context.Context, o options) error {
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	s, err := newSuite(ctx, o.program)
	if err != nil {
		return err
	}
	s.flood = o.flood
	defer s.close(ctx)
	stop, err := profiling(o.profile)
	if err != nil {
		return err
	}
	defer stop()
	var rows []row
	for _, m := range []struct {
		name    string
		measure func(context.Context, time.Duration) ([]row, error)
	}{
		{"sync", s.sync},
		{"steps", s.steps},
		{"chains", s.chains},
		{"decisions", s.decisions},
		{"governed", s.governed},
		{"guests", s.guests},
		{"replays", s.replays},
		{"appends", s.appends},
		{"countedSyncs", s.countedSyncs},
		{"slowDisk", s.slowDisk},
		{"stored", s.stored},
		{"daemon", s.daemon},
		{"webhooks", s.webhooks},
	} {
		if !wanted.MatchString(m.name) {
			continue
		}
		more, err := m.measure(ctx, o.span)
		if err != nil {
			return err
		}
		for _, r := range more {
			fmt.Fprintf(os.Stderr, "  %s: %.3g %s\n", r.Name, r.Value, r.Unit)
		}
		rows = append(rows, more...)
	}
	if err := write(o.out, "bench.json", rows); err != nil {
		return err
	}
	return show(rows)
}

// profiling writes a CPU profile until stop is called; without a file it does nothing.
func profiling(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		if err := errors.Join(f.Close(), withoutPaths(file)); err != nil {
			fmt.Fprintln(os.Stderr, "bench: the profile:", err)
		}
	}, nil
}

func write(dir, name string, rows []row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), append(raw, '\n'), 0o644)
}

func show(rows []row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tVALUE\tUNIT\tTARGET\t")
	for _, r := range rows {
		target, verdict := "-", ""
		if r.Target != 0 {
			target, verdict = fmt.Sprintf("%.4g", r.Target), "missed"
			if (r.Better == "lower" && r.Value <= r.Target) || (r.Better == "higher" && r.Value >= r.Target) {
				verdict = "reached"
			}
		}
		fmt.Fprintf(w, "%s\t%.4g\t%s\t%s\t%s\n", r.Name, r.Value, r.Unit, target, verdict)
	}
	return w.Flush()
}

// sample runs one operation after another for a span, after a warm-up, and
// returns the durations in order.
func sample(ctx context.Context, span time.Duration, op func(ctx context.Context) error) ([]time.Duration, error) {
	took, err := rotation(ctx, span, op)
	if err != nil {
		return nil, err
	}
	return took[0], nil
}

// rotation does the same with several operations that take turns.
func rotation(ctx context.Context, span time.Duration, ops ...func(ctx context.Context) error) ([][]time.Duration, error) {
	const warmUp = 20
	took := make([][]time.Duration, len(ops))
	began := time.Now()
	for i := 0; time.Since(began) < span || i < 2*warmUp; i++ {
		for k, op := range ops {
			start := time.Now()
			if err := op(ctx); err != nil {
				return nil, err
			}
			took[k] = append(took[k], time.Since(start))
		}
		if i == warmUp-1 {
			clear(took)
			began = time.Now()
		}
	}
	for _, list := range took {
		sortDurations(list)
	}
	return took, nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*q))]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func sortDurations(list []time.Duration) {
	slices.SortFunc(list, func(a, b time.Duration) int { return cmp.Compare(a, b) })
}
