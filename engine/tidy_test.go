package engine

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/writ-run/writ"
)

// Executions that were compiled and never started do not stay for ever; those that
// run, or that a request has just asked for, do.
func TestTheIdleAreLetGo(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	e := &Engine{Options: Options{Clock: func() time.Time { return now }, Idle: 10}, live: map[writ.ExecutionID]*execution{}, tidyAt: 10}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	defer e.cancel()
	add := func(from, to int, run writ.RunID) {
		for i := from; i < to; i++ {
			x := e.newExecution("default", writ.ExecutionID(strconv.Itoa(i)))
			x.state.RunID = run
			if _, err := e.adopt(x); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(0, 5, "run")
	add(5, 9, "")
	now = now.Add(idleFor + time.Second)
	e.tidy()
	if len(e.live) != 9 {
		t.Fatalf("%d are kept below the bound, want 9", len(e.live))
	}
	idle, asked := e.live["5"], e.live["6"]
	before := e.Clock.Now().Add(-idleFor)
	asked.touched = e.Clock.Now()
	if e.letGo(asked, before) {
		t.Error("one that was asked for after it was found idle is taken from whoever asked")
	}
	asked.touched = 0
	add(9, 12, "") // the eleventh finds ten
	if len(e.live) != 8 || e.live["0"] == nil || e.live["11"] == nil {
		t.Fatalf("%d are kept, want the five that run and the three of now", len(e.live))
	}
	if idle.ctx.Err() == nil {
		t.Error("the context of one that was let go is held for ever")
	}
	if e.tidyAt != 12 {
		t.Errorf("it looks again at %d, want at twice as many", e.tidyAt)
	}
}
