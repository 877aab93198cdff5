// Package load sends requests in closed loops: each client sends its next
// request when the last one is answered.
package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// Plan is one measurement.
type Plan struct {
	Clients int
	Span    time.Duration // how long clients begin requests; begun ones are awaited
	WarmUp  time.Duration // the same before it, not counted
	Do      func(ctx context.Context) error
}

// Result is what came of a plan. Quantiles are of answered requests.
type Result struct {
	Answered, Failed int
	Rate             float64 // answered requests a second
	P50, P95, P99    time.Duration
	Failure          error // the first one
}

// Run carries out a plan. That no request was answered is an error; single
// failures are counted.
func Run(ctx context.Context, p Plan) (*Result, error) {
	if p.Clients < 1 || p.Do == nil {
		return nil, errors.New("load: no clients or nothing to do")
	}
	if p.WarmUp > 0 {
		if r := p.run(ctx, p.WarmUp); r.Answered == 0 {
			return nil, fmt.Errorf("warm-up: nothing was answered: %w", r.Failure)
		}
	}
	r := p.run(ctx, p.Span)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if r.Answered == 0 {
		return nil, fmt.Errorf("nothing was answered: %w", r.Failure)
	}
	return r, nil
}

func (p *Plan) run(ctx context.Context, span time.Duration) *Result {
	var mu sync.Mutex
	var took []time.Duration
	r := &Result{}
	var group sync.WaitGroup
	began := time.Now()
	for range p.Clients {
		group.Go(func() {
			mine, failed, failure := p.client(ctx, began.Add(span))
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			r.Failed += failed
			if r.Failure == nil {
				r.Failure = failure
			}
		})
	}
	group.Wait()
	elapsed := time.Since(began)
	r.Answered = len(took)
	if r.Answered > 0 {
		slices.Sort(took)
		r.Rate = float64(r.Answered) / elapsed.Seconds()
		r.P50, r.P95, r.P99 = Quantile(took, 0.50), Quantile(took, 0.95), Quantile(took, 0.99)
	}
	return r
}

// client is one closed loop. It sends at least one request, and stops at the
// first failure after the end.
func (p *Plan) client(ctx context.Context, end time.Time) (took []time.Duration, failed int, failure error) {
	for first := true; ctx.Err() == nil && (first || time.Now().Before(end)); first = false {
		began := time.Now()
		if err := p.Do(ctx); err != nil {
			failed++
			if failure == nil {
				failure = err
			}
			continue
		}
		took = append(took, time.Since(began))
	}
	return took, failed, failure
}

// Quantile is the nearest-rank quantile of sorted durations: the smallest one
// that at least the share q of them does not exceed.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9)) // 0.07*100 is 7.000000000000001
	return sorted[min(max(rank, 1), len(sorted))-1]
}
