package trace_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/trace"
)

// BenchmarkAppend is one record of about 1 KiB and a barrier, by writers that
// each have a journal of their own.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 32, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			var commits atomic.Int64
			opts := options(b.TempDir())
			opts.OnCommit = func(writ.Position) { commits.Add(1) }
			j := open(b, opts)
			latencies := make([][]time.Duration, writers)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime(b)
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() { latencies[w] = appendWhile(b, j, w, &left) })
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/append")
			all := slices.Concat(latencies...)
			slices.Sort(all)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.ReportMetric(float64(b.N)/float64(commits.Load()), "appends/commit")
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
		})
	}
}

// processorTime is what the process has used of all processors: on a machine with
// other work it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func appendWhile(b *testing.B, j *trace.Journal, w int, left *atomic.Int64) (latencies []time.Duration) {
	record := note(1)
	record.Payloads = nil
	record.Body.Call.Summary = string(make([]byte, 500))
	seq := uint64(0)
	for left.Add(-1) >= 0 {
		start := time.Now()
		receipt, err := j.Append(context.Background(), batchOf(execID(w), seq, record))
		if err == nil {
			err = j.Barrier(context.Background(), receipt.Position)
		}
		if err != nil {
			b.Error(err)
			return latencies
		}
		latencies = append(latencies, time.Since(start))
		seq = receipt.Seq
	}
	return latencies
}

// BenchmarkExecutions is one page of 50, by the number of executions behind it.
func BenchmarkExecutions(b *testing.B) {
	for _, n := range []int{1_000, 20_000} {
		b.Run(fmt.Sprintf("executions=%d", n), func(b *testing.B) {
			j := open(b, options(b.TempDir()))
			fill(b, j, n)
			for b.Loop() {
				page, err := j.Executions(context.Background(), writ.ExecutionQuery{Tenant: tenant, Status: writ.ExecCompleted})
				if err != nil || len(page.Items) != 50 {
					b.Fatal(len(page.Items), err)
				}
			}
		})
	}
}
