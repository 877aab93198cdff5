//go:build linux

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/writ-run/writ"
)

var (
	oneStep    = chain(handMade, 1)
	threeSteps = chain(handMade, 3)
)

// sync is the floor: what the disk takes for one small durable write.
func (l *lab) sync(ctx context.Context, span time.Duration) ([]row, error) {
	f, err := os.Create(filepath.Join(l.dir, "floor"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 1024)
	took, err := sample(ctx, span/3, func(context.Context) error {
		if _, err := f.Write(block); err != nil {
			return err
		}
		return f.Sync()
	})
	if err != nil {
		return nil, err
	}
	return []row{{"floor: 1 KiB write and fsync, p50", milliseconds(quantile(took, 0.5)), "ms", 0, "lower"}}, nil
}

// steps measures a verified one-step execution from start to its durable end.
func (l *lab) steps(ctx context.Context, span time.Duration) ([]row, error) {
	const most = 4000
	ids := make([]writ.ExecutionID, most)
	for i := range ids {
		var err error
		if ids[i], err = l.ready(ctx, oneStep); err != nil {
			return nil, err
		}
		if i > 200 && time.Duration(i)*2*time.Millisecond > span {
			ids = ids[:i]
			break
		}
	}
	next := 0
	var took []time.Duration
	for ; next < len(ids); next++ {
		began := time.Now()
		if err := l.start(ctx, ids[next]); err != nil {
			return nil, err
		}
		if next > 20 {
			took = append(took, time.Since(began))
		}
	}
	sortDurations(took)
	return []row{
		{"bare step, durable, 1 client, p50", milliseconds(quantile(took, 0.5)), "ms", 3, "lower"},
		{"bare step, durable, 1 client, p95", milliseconds(quantile(took, 0.95)), "ms", 0, "lower"},
	}, nil
}

// chains measures everything from the intent to the durable end of three steps.
func (l *lab) chains(ctx context.Context, span time.Duration) ([]row, error) {
	whole := func(ctx context.Context) error { return l.whole(ctx, threeSteps) }
	before := processTime()
	took, err := sample(ctx, span, whole)
	if err != nil {
		return nil, err
	}
	each := float64((processTime()-before)/time.Duration(len(took))) / float64(time.Microsecond)
	rate, err := parallel(ctx, span, 32, whole)
	if err != nil {
		return nil, err
	}
	return []row{
		{"3 steps, one request in process; 1 client, p50", milliseconds(quantile(took, 0.5)), "ms", 0, "lower"},
		{"3 steps, one request in process; CPU", each, "us", 0, "lower"},
		{"3 steps, one request in process; 32 clients", rate, "/s", 0, "higher"},
	}, nil
}

// processTime is the processor time of this process so far: unlike what a clock
// says, it does not grow because others work too.
func processTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// parallel is how many operations a second a number of clients reach in a span.
func parallel(ctx context.Context, span time.Duration, clients int, op func(context.Context) error) (float64, error) {
	began := time.Now()
	done, err := share(ctx, clients, func() bool { return time.Since(began) < span }, op)
	return float64(done) / time.Since(began).Seconds(), err
}

// repeat does an operation a number of times.
func repeat(ctx context.Context, times, clients int, op func(context.Context) error) error {
	var begun atomic.Int64
	_, err := share(ctx, clients, func() bool { return begun.Add(1) <= int64(times) }, op)
	return err
}

// share lets each client do one operation after another while there is more to do,
// and none fails.
func share(ctx context.Context, clients int, more func() bool, op func(context.Context) error) (done int64, err error) {
	var count atomic.Int64
	var first error
	var once sync.Once
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for more() {
				if err := op(ctx); err != nil {
					once.Do(func() { first = err })
					return
				}
				count.Add(1)
			}
		})
	}
	group.Wait()
	return count.Load(), first
}

// decisions measures the default policy on the question of a stored verdict.
func (l *lab) decisions(ctx context.Context, span time.Duration) ([]row, error) {
	id, err := l.ready(ctx, oneStep)
	if err != nil {
		return nil, err
	}
	records, err := l.journal.Records(ctx, writ.RecordQuery{Tenant: l.caller.Tenant, Stream: writ.StreamID(id)})
	if err != nil {
		return nil, err
	}
	var question writ.Question
	for i := range records {
		ref, ok := records[i].Payload(writ.PayloadQuestion)
		if !ok {
			continue
		}
		read, err := l.journal.Payloads(ctx, l.caller.Tenant, writ.StreamID(id))
		if err != nil {
			return nil, err
		}
		raw, err := read(ref)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &question); err != nil {
			return nil, err
		}
	}
	judge := l.policies.Active()
	took, err := sample(ctx, span/3, func(ctx context.Context) error {
		_, err := judge.Judge(ctx, &question)
		return err
	})
	if err != nil {
		return nil, err
	}
	return []row{{"policy decision, default bundle, p50", microseconds(quantile(took, 0.5)), "us", 40, "lower"}}, nil
}
