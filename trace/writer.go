package trace

import (
	"context"
	"runtime"
	"time"

	"github.com/writ-run/writ"
)

// groupBytes is how much waits before the writer commits without being asked,
// and about how much one transaction holds: half of what Badger allows.
const groupBytes = 1 << 20

// Barrier implements writ.Journal. CodeInvalid for a position that was never
// given, CodeCancelled or CodeTimeout where ctx ends first.
func (j *Journal) Barrier(ctx context.Context, position writ.Position) error {
	const op = "journal: barrier"
	j.mu.Lock()
	switch {
	case position <= j.durable:
		j.mu.Unlock()
		return nil
	case j.failed != nil:
		defer j.mu.Unlock()
		return poisoned(op, j.failed)
	case position > j.position:
		j.mu.Unlock()
		return writ.Errorf(writ.CodeInvalid, op, "position %d has not been given", position)
	}
	w := waiter{position: position, done: make(chan error, 1)}
	j.waiters = append(j.waiters, w)
	j.wanted = max(j.wanted, position)
	j.mu.Unlock()
	j.wake()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return contextError(op, ctx.Err())
	}
}

// write is the writer: the only goroutine that commits records.
func (j *Journal) write() {
	age := time.NewTimer(time.Hour)
	defer age.Stop()
	for {
		due := false
		select {
		case <-j.kick:
		case <-age.C:
			due = true
		case <-j.stop:
			return
		}
		if !j.ready(due) {
			age.Reset(j.opts.CommitAge)
			continue
		}
		for group := j.take(); len(group) > 0; group = j.take() {
			j.commitGroup(group)
		}
		j.runJobs()
	}
}

// do runs fn in the writer, when everything accepted before is durable.
func (j *Journal) do(ctx context.Context, fn func() error) error {
	const op = "journal"
	j.mu.Lock()
	if j.failed != nil || j.closing {
		defer j.mu.Unlock()
		if j.failed != nil {
			return poisoned(op, j.failed)
		}
		return writ.Errorf(writ.CodeUnavailable, op, "the journal is closing")
	}
	work := job{fn, make(chan error, 1)}
	j.jobs = append(j.jobs, work)
	j.mu.Unlock()
	j.wake()
	select {
	case err := <-work.done:
		return err
	case <-ctx.Done():
		return contextError(op, ctx.Err())
	case <-j.stop:
		return writ.Errorf(writ.CodeUnavailable, op, "the journal is closed")
	}
}

func (j *Journal) runJobs() {
	j.mu.Lock()
	jobs, failed := j.jobs, j.failed
	j.jobs = nil
	j.mu.Unlock()
	for _, work := range jobs {
		if failed != nil {
			work.done <- poisoned("journal", failed)
			continue
		}
		work.done <- work.run()
	}
}

// ready reports whether what is pending should be committed now.
func (j *Journal) ready(due bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return due || j.closing || len(j.jobs) > 0 || j.wanted > j.durable || j.bytes >= groupBytes
}

// take removes about one transaction's worth from what is pending, in order.
func (j *Journal) take() []*batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return nil
	}
	n, size := 0, 0
	for n < len(j.pending) && (n == 0 || size+j.pending[n].size <= groupBytes) {
		size += j.pending[n].size
		n++
	}
	group := j.pending[:n:n]
	j.pending = j.pending[n:]
	if len(j.pending) == 0 {
		j.pending = nil
	}
	j.bytes -= size
	return group
}

func (j *Journal) commitGroup(group []*batch) {
	if j.disk != nil {
		j.disk.check()
	}
	for len(group) > 0 {
		n, after, err := j.commit(group)
		if err != nil {
			j.poison(err)
			return
		}
		j.acknowledge(after)
		// Those that were just released run first: what they append next joins
		// the next sync instead of waiting for the one after it.
		runtime.Gosched()
		group = group[n:]
	}
}

// acknowledge releases the barriers that the commit satisfies.
func (j *Journal) acknowledge(after state) {
	j.mu.Lock()
	j.durable, j.stored = after.Position, after
	waiting := j.waiters[:0]
	for _, w := range j.waiters {
		if w.position <= j.durable {
			w.done <- nil
		} else {
			waiting = append(waiting, w)
		}
	}
	j.waiters = waiting
	close(j.committed)
	j.committed = make(chan struct{})
	j.mu.Unlock()
	if j.opts.OnCommit != nil {
		j.opts.OnCommit(after.Position)
	}
}

// poison ends the writer's work for good, once: after a failed sync nobody knows
// what is on disk, and a later success would acknowledge it all.
func (j *Journal) poison(cause error) {
	j.log.Error("the journal has failed; the process must exit and recover", "error", cause)
	j.mu.Lock()
	if j.failed != nil {
		j.mu.Unlock()
		return
	}
	j.failed = cause
	j.pending, j.bytes = nil, 0
	waiters := j.waiters
	j.waiters = nil
	j.mu.Unlock()
	for _, w := range waiters {
		w.done <- poisoned("journal: barrier", cause)
	}
	if j.opts.OnPoison != nil {
		j.opts.OnPoison(cause)
	}
}
