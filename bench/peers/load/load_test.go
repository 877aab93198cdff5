package load_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/bench/peers/load"
)

func TestRunCountsWhatIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r, err := load.Run(t.Context(), load.Plan{
			Clients: 4, Span: time.Second, WarmUp: 100 * time.Millisecond,
			Do: func(context.Context) error {
				time.Sleep(10 * time.Millisecond)
				if calls.Add(1)%4 == 0 {
					return errors.New("every fourth fails")
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Answered != 300 || r.Failed != 100 || r.Failure == nil || r.Rate != 300 {
			t.Errorf("%+v", r)
		}
		if r.P50 != 10*time.Millisecond || r.P99 != 10*time.Millisecond {
			t.Errorf("quantiles %v %v", r.P50, r.P99)
		}
	})
}

func TestRunRefusesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		do := func(context.Context) error { time.Sleep(time.Millisecond); return down }
		for _, warmUp := range []time.Duration{0, time.Millisecond} {
			if _, err := load.Run(t.Context(), load.Plan{Clients: 1, Span: time.Millisecond, WarmUp: warmUp, Do: do}); !errors.Is(err, down) {
				t.Errorf("warm-up %v: %v", warmUp, err)
			}
		}
		if _, err := load.Run(t.Context(), load.Plan{}); err == nil {
			t.Error("the zero plan ran")
		}
	})
}

func TestQuantileIsNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, 0.5, 0},
		{hundred[:1], 0.99, 1},
		{hundred, 0, 1},
		{hundred, 0.5, 50},
		{hundred, 0.95, 95},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred[:3], 0.5, 2},
		{hundred[:2], 0.5, 1},
	} {
		if got := load.Quantile(c.sorted, c.q); got != c.want {
			t.Errorf("quantile %v of %d: %d, want %d", c.q, len(c.sorted), got, c.want)
		}
	}
}
