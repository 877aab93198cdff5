//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/writ-run/writ/bench/peers/load"
	"github.com/writ-run/writ/bench/peers/process"
)

// The two loads: a client alone, whose latency counts, and many, whose rate
// counts.
const (
	oneClient   = 1
	manyClients = 32
)

// results holds what each round measured.
type results struct {
	field *field
	disk  []float64 // ms of one small durable write, before each turn
	floor []float64 // ms of an HTTP request that does nothing durable
	of    map[string]*measured
}

// measured is of one subject or of one of its routes. Each list has a value a
// round, unless it says otherwise.
type measured struct {
	one, many [][]float64 // by round: p50, p95, p99 in ms, executions a second
	failed    int         // requests of all rounds
	failure   error
	start     []float64 // ms until the first execution was answered
	idle      float64   // MiB, once
	loaded    float64   // MiB after the last load
	syncs     float64   // an execution at one client, once
}

func (r *results) at(name string) *measured {
	m := r.of[name]
	if m == nil {
		m = &measured{}
		r.of[name] = m
	}
	return m
}

// measure lets each subject have its turn in every round, alone, each round
// beginning with another one.
func (f *field) measure(ctx context.Context) (*results, error) {
	r := &results{field: f, of: map[string]*measured{}}
	for round := range f.rounds {
		for i := range f.subjects {
			s := f.subjects[(i+round)%len(f.subjects)]
			if err := r.turn(ctx, s, round); err != nil {
				s.stop()
				return nil, fmt.Errorf("round %d: %w", round+1, err)
			}
			s.stop()
		}
	}
	return r, nil
}

func (r *results) turn(ctx context.Context, s *subject, round int) error {
	disk, err := r.field.durableWrite()
	if err != nil {
		return err
	}
	r.disk = append(r.disk, disk)
	took, err := s.start(ctx)
	if err != nil {
		return err
	}
	of := r.at(s.name)
	of.start = append(of.start, milliseconds(took))
	if round == 0 {
		select {
		case <-time.After(r.field.idle):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if of.idle, err = memory(s); err != nil {
			return err
		}
	}
	if s.check != nil {
		if err := s.check(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for _, route := range s.routes {
		if err := r.loads(ctx, route, round); err != nil {
			return err
		}
	}
	if s.floor != nil {
		result, err := load.Run(ctx, load.Plan{Clients: oneClient, Span: r.field.warmUp, WarmUp: r.field.warmUp / 5, Do: s.floor.send})
		if err != nil {
			return err
		}
		r.floor = append(r.floor, milliseconds(result.P50))
	}
	if of.loaded, err = memory(s); err != nil {
		return err
	}
	if round < r.field.rounds-1 {
		return nil
	}
	return r.syncs(ctx, s)
}

func (r *results) loads(ctx context.Context, route *route, round int) error {
	of := r.at(route.name)
	for _, clients := range []int{oneClient, manyClients} {
		result, err := load.Run(ctx, load.Plan{Clients: clients, Span: r.field.span, WarmUp: r.field.warmUp, Do: route.send})
		if err != nil {
			return fmt.Errorf("%s, %d clients: %w", route.name, clients, err)
		}
		figures := []float64{milliseconds(result.P50), milliseconds(result.P95), milliseconds(result.P99), result.Rate}
		if clients == oneClient {
			of.one = append(of.one, figures)
		} else {
			of.many = append(of.many, figures)
		}
		if of.failed += result.Failed; of.failure == nil {
			of.failure = result.Failure
		}
		fmt.Fprintf(os.Stderr, "  round %d  %-28s %2d clients  %8.1f/s  p50 %8.3f ms  p95 %8.3f ms  %d answered, %d failed\n",
			round+1, route.name, clients, result.Rate, figures[0], figures[1], result.Answered, result.Failed)
	}
	return nil
}

// syncs counts at one client, in the last round and after everything timed.
func (r *results) syncs(ctx context.Context, s *subject) error {
	for _, route := range s.routes {
		executions := 0
		calls, err := process.CountSyncs(ctx, s.running, func() error {
			result, err := load.Run(ctx, load.Plan{Clients: oneClient, Span: r.field.span / 2, Do: route.send})
			if err == nil {
				executions = result.Answered
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: counting syncs: %w", route.name, err)
		}
		r.at(route.name).syncs = float64(calls) / float64(executions)
		fmt.Fprintf(os.Stderr, "  %-37s %d syncs, %d executions\n", route.name, calls, executions)
	}
	return nil
}

// durableWrite is what the disk takes for 1 KiB and its sync, in ms: the floor
// of whatever promises that an answer is on disk.
func (f *field) durableWrite() (float64, error) {
	file, err := os.Create(f.path("floor"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	block := make([]byte, 1024)
	took := make([]time.Duration, 200)
	for i := range took {
		began := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return milliseconds(load.Quantile(took, 0.5)), nil
}

func memory(s *subject) (float64, error) {
	bytes, err := process.Memory(s.running)
	return float64(bytes) / (1 << 20), err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median of an even number of values is the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// column takes one figure of every round.
func column(rounds [][]float64, figure int) []float64 {
	values := make([]float64, len(rounds))
	for i := range rounds {
		values[i] = rounds[i][figure]
	}
	return values
}
