package engine

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestACrewRunsEachTaskOnceOnAFewGoroutines(t *testing.T) {
	const limit, tasks = 3, 500
	c := newCrew(limit)
	var done sync.WaitGroup
	var running, most, ran atomic.Int64
	done.Add(tasks)
	var handing sync.WaitGroup
	for range 5 {
		handing.Go(func() {
			for range tasks / 5 {
				if !c.run(func() {
					now := running.Add(1)
					for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
					}
					ran.Add(1)
					running.Add(-1)
					done.Done()
				}) {
					t.Error("a task is refused")
				}
			}
		})
	}
	handing.Wait()
	done.Wait()
	c.close()
	c.wait()
	if ran.Load() != tasks || most.Load() > limit || c.size > limit {
		t.Errorf("%d tasks ran, %d at once on %d goroutines", ran.Load(), most.Load(), c.size)
	}
	if c.run(func() { t.Error("a task runs after the end") }) {
		t.Error("a task is taken after the end")
	}
}

// A task that waits for another must not keep it from running while there is room.
func TestACrewDoesNotQueueBehindAWaitingTaskWhileThereIsRoom(t *testing.T) {
	c := newCrew(2)
	for range 100 {
		first, second := make(chan struct{}), make(chan struct{})
		c.run(func() { <-second; close(first) })
		c.run(func() { close(second) })
		<-first
	}
	c.close()
	c.wait()
}
