package engine

import "sync"

// crew runs tasks on goroutines that it keeps. A decision of the policy needs a
// deep stack; a goroutine of its own for each step would grow one anew each time,
// which cost more than an eighth of a step.
type crew struct {
	limit int // goroutines

	mu     sync.Mutex
	wake   *sync.Cond
	queue  []func()
	size   int // goroutines there are
	idle   int // of them waiting, and not yet called for
	closed bool
	work   sync.WaitGroup
}

func newCrew(limit int) *crew {
	c := &crew{limit: limit}
	c.wake = sync.NewCond(&c.mu)
	return c
}

// run hands a task over; false where the crew has been sent home.
func (c *crew) run(task func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.queue = append(c.queue, task)
	switch {
	case c.idle > 0:
		c.idle--
		c.wake.Signal()
	case c.size < c.limit:
		c.size++
		c.work.Go(c.member)
	}
	return true
}

func (c *crew) member() {
	for {
		task, ok := c.next()
		if !ok {
			return
		}
		task()
	}
}

func (c *crew) next() (func(), bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.closed {
		c.idle++
		c.wake.Wait()
	}
	if c.closed {
		return nil, false
	}
	task := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	return task, true
}

// close takes no more tasks and drops those that have not begun; wait returns
// when the others have ended.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.queue = true, nil
	c.wake.Broadcast()
}

func (c *crew) wait() { c.work.Wait() }
