package budget_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
)

// TestPropertyTheLastHour: against a list of every step, over restarts.
func TestPropertyTheLastHour(t *testing.T) {
	rapid.Check(t, func(draw *rapid.T) {
		r := newRig(t)
		var began []int64
		latest := int64(0)
		for range rapid.IntRange(1, 40).Draw(draw, "operations") {
			r.now = r.now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 30, 61, 600, 3540, 3600, 9000, -45}).Draw(draw, "seconds")) * time.Second)
			switch rapid.SampledFrom([]string{"step", "step", "step", "restart", "ask"}).Draw(draw, "operation") {
			case "step":
				want := r.want(bot)
				want.Steps = 1
				err := r.Take(t.Context(), want, func(_ []writ.BudgetUse, changes []writ.Change, _ writ.Time) error { return r.keep(changes) })
				if err != nil {
					draw.Fatal(err)
				}
				latest = max(latest, r.now.Unix()/60)
				began = append(began, latest)
			case "restart":
				r.restart()
			}
			n, now := 0, max(r.now.Unix()/60, latest)
			for _, minute := range began {
				if minute > now-60 {
					n++
				}
			}
			got, err := r.StepsLastHour(t.Context(), bot, writ.Clock(r.clock).Now())
			if err != nil || got != n {
				draw.Fatalf("%d steps in the last hour, want %d, %v", got, n, err)
			}
		}
	})
}
