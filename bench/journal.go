//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
)

// appends measures the journal alone: records of about 1 KiB, each durable before
// its writer appends the next.
func (l *lab) appends(ctx context.Context, span time.Duration) ([]row, error) {
	// A store of its own: Badger would still be merging what the other measurements wrote.
	l, err := newLab(ctx, labOptions{})
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	one, err := l.appending(ctx, span/3, 1)
	if err != nil {
		return nil, err
	}
	many, err := l.appending(ctx, span, 128)
	if err != nil {
		return nil, err
	}
	rate, err := parallel(ctx, span, 128, l.appendNew())
	if err != nil {
		return nil, err
	}
	return []row{
		{"journal append, durable, 1 writer, p50", milliseconds(quantile(one.took, 0.5)), "ms", 0, "lower"},
		{"journal append, durable, 128 writers", many.rate, "/s", 40_000, "higher"},
		{"journal append, durable, 128 writers, p50", milliseconds(quantile(many.took, 0.5)), "ms", 2.5, "lower"},
		{"the same, processor", many.cpu, "us", 0, "lower"},
		{"new journal with a payload of 512 B, durable, 128 writers", rate, "/s", 0, "higher"},
	}, nil
}

// appended is what a number of writers reached.
type appended struct {
	took []time.Duration // in order
	rate float64         // a second
	cpu  float64         // of the process, microseconds each
}

var appendRuns atomic.Int64

// appending lets each writer append to a journal of its own.
func (l *lab) appending(ctx context.Context, span time.Duration, writers int) (*appended, error) {
	run := appendRuns.Add(1)
	facts := &writ.CalledFacts{Sequence: 1, Tool: "log", Summary: strings.Repeat("x", 500)}
	all := make([][]time.Duration, writers)
	errs := make([]error, writers)
	var group sync.WaitGroup
	before, began := processTime(), time.Now()
	for w := range writers {
		group.Go(func() {
			batch := &writ.Batch{
				Tenant: "bench", Stream: writ.StreamID(fmt.Sprintf("w%d-%d", run, w)),
				Records: []writ.NewRecord{{Type: writ.RecToolReturned, Time: 1, Body: writ.Body{Call: facts}}},
			}
			for time.Since(began) < span {
				start := time.Now()
				receipt, err := l.journal.Append(ctx, batch)
				if err == nil {
					err = l.journal.Barrier(ctx, receipt.Position)
				}
				if err != nil {
					errs[w] = err
					return
				}
				batch.Expect = receipt.Seq
				all[w] = append(all[w], time.Since(start))
			}
		})
	}
	group.Wait()
	took, spent := time.Since(began), processTime()-before
	a := &appended{}
	for w := range all {
		if errs[w] != nil {
			return nil, errs[w]
		}
		a.took = append(a.took, all[w]...)
	}
	sortDurations(a.took)
	a.rate = float64(len(a.took)) / took.Seconds()
	a.cpu = float64(spent.Microseconds()) / float64(len(a.took))
	return a, nil
}

// appendNew begins a journal with each record, which has a payload: a leaf of the
// log, and more entries than a record alone.
func (l *lab) appendNew() func(context.Context) error {
	var stream atomic.Int64
	payload := make([]byte, 512)
	return func(ctx context.Context) error {
		receipt, err := l.journal.Append(ctx, &writ.Batch{
			Tenant: "bench", Stream: writ.StreamID("s" + strconv.FormatInt(stream.Add(1), 10)),
			Records: []writ.NewRecord{{
				Type: writ.RecToolReturned, Time: 1, Body: writ.Body{Call: &writ.CalledFacts{Sequence: 1, Tool: "log"}},
				Payloads: []writ.Payload{{Name: writ.PayloadResult, Data: payload}},
			}},
		})
		if err != nil {
			return err
		}
		return l.journal.Barrier(ctx, receipt.Position)
	}
}

// countedSyncs runs this program twice under strace, with few executions and with
// more: the difference is theirs, without what opening and closing takes. The
// anchor, which is written once a second, counts, and so does what Badger syncs in
// the background.
func (l *lab) countedSyncs(ctx context.Context, _ time.Duration) ([]row, error) {
	var rows []row
	for _, load := range []struct {
		clients, few, more int
		name               string
		target             float64
	}{{1, 20, 420, "1 client", 2}, {32, 320, 2240, "32 clients", 0}} {
		first, err := syncsOf(ctx, l.dir, load.few, load.clients)
		if err != nil {
			return nil, err
		}
		second, err := syncsOf(ctx, l.dir, load.more, load.clients)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{
			"syncs (msync, fsync, fdatasync) per execution of 3 steps, " + load.name,
			float64(second-first) / float64(load.more-load.few), "calls", load.target, "lower",
		})
	}
	return rows, nil
}

func syncsOf(ctx context.Context, dir string, executions, clients int) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		return 0, fmt.Errorf("strace, which counts syncs, was not found: install it: %w", err)
	}
	summary := filepath.Join(dir, "syncs")
	child := exec.CommandContext(ctx, strace, "-f", "--seccomp-bpf", "-c", "-o", summary,
		"-e", "trace=msync,fsync,fdatasync", self, "-executions", strconv.Itoa(executions), "-clients", strconv.Itoa(clients))
	child.Stderr = os.Stderr
	if err := child.Run(); err != nil {
		return 0, fmt.Errorf("counting syncs: %w", err)
	}
	raw, err := os.ReadFile(summary)
	if err != nil {
		return 0, err
	}
	total := 0
	for line := range strings.Lines(string(raw)) {
		// % time, seconds, usecs/call, calls, errors where there are any, syscall
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasSuffix(fields[len(fields)-1], "sync") {
			continue
		}
		calls, err := strconv.Atoi(fields[3])
		if err != nil {
			return 0, fmt.Errorf("counting syncs: %q: %w", line, err)
		}
		total += calls
	}
	return total, nil
}

// runExecutions is the child of countedSyncs.
func runExecutions(ctx context.Context, o options) error {
	l, err := newLab(ctx, labOptions{})
	if err != nil {
		return err
	}
	defer l.close(ctx)
	if err := repeat(ctx, o.executions, o.clients, func(ctx context.Context) error { return l.whole(ctx, threeSteps) }); err != nil || o.allocations == "" {
		return err
	}
	f, err := os.Create(o.allocations)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
