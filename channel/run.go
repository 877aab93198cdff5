package channel

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

const (
	pageSize = 256
	laneSize = 64
	// lookAgain is how often the whole inbox is gone through. In between it is looked
	// through from its oldest entry on: what has been handled is gone, and a store
	// takes its time to forget where it was.
	lookAgain = time.Minute
	// skew is how much later than another a delivery may come to disk that was given
	// its place before.
	skew = 10 * time.Second
	// deferred is how long what cannot be handled now waits: its principal is frozen, or
	// a part of the host is down. What comes after it in its thread waits as long.
	deferred = 15 * time.Second
)

// job is a delivery that a worker handles.
type job struct {
	entry
	facts    *writ.DeliveryFacts
	at       writ.Time         // when it came
	channel  *contract.Channel // nil: it was removed meanwhile
	messages []Message
	batched  bool  // its provider mixes threads in one delivery
	unread   error // why the delivery is not understood
}

// Run handles what is in the inboxes and says what is in the outboxes until ctx ends, what earlier processes left
// first. What is of one thread is handled one by one, in the order in which it came.
func (s *Service) Run(ctx context.Context) {
	lanes := make([]chan job, s.opts.Workers)
	var workers sync.WaitGroup
	for i := range lanes {
		lanes[i] = make(chan job, laneSize)
		workers.Go(func() {
			for j := range lanes[i] {
				s.work(ctx, &j)
			}
		})
	}
	defer workers.Wait()
	defer func() {
		for _, lane := range lanes {
			close(lane)
		}
	}()
	defer s.speak(ctx)()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	from := map[writ.TenantID]string{}
	for {
		if err := s.gather(ctx, lanes, from); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("the inbox cannot be read", "code", writ.CodeOf(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.arrived:
		case <-again.C:
			clear(from)
			if err := s.countGivenUp(ctx); err != nil && ctx.Err() == nil {
				s.opts.Log.Error("the outbox cannot be read", "code", writ.CodeOf(err))
			}
		}
	}
}

// Recover counts what earlier processes left, before anything comes in.
func (s *Service) Recover(ctx context.Context) error {
	tenants, err := s.opts.Tenants(ctx)
	if err != nil {
		return err
	}
	left := int64(0)
	for _, tenant := range tenants {
		for after := ""; ; {
			entries, err := s.page(ctx, tenant, after, pageSize)
			if err != nil {
				return err
			}
			left += int64(len(entries))
			if len(entries) < pageSize {
				break
			}
			after = entries[len(entries)-1].document
		}
	}
	lanes, err := s.waiting(ctx)
	if err != nil {
		return err
	}
	for at, n := range lanes {
		s.count(at, n)
	}
	s.pending.Store(left)
	s.wake()
	return s.countGivenUp(ctx)
}

// countGivenUp counts what stands in the outboxes and is not tried again: what nobody has
// decided about is forgotten in the end, as any payload is.
func (s *Service) countGivenUp(ctx context.Context) error {
	tenants, err := s.opts.Tenants(ctx)
	if err != nil {
		return err
	}
	given := int64(0)
	for _, tenant := range tenants {
		if err := s.givenUp(ctx, tenant, func(*unsentMessage) bool { given++; return true }); err != nil {
			return err
		}
	}
	s.given.Store(given)
	return nil
}

// gather goes through the inboxes once and gives the workers what none of them has.
// from is where each begins; it is moved on behind what has been handled.
func (s *Service) gather(ctx context.Context, lanes []chan job, from map[writ.TenantID]string) error {
	s.nextInRow()
	tenants, err := s.opts.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		if from[tenant], err = s.gatherOf(ctx, tenant, lanes, from[tenant]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) gatherOf(ctx context.Context, tenant writ.TenantID, lanes []chan job, from string) (oldest string, err error) {
	oldest = inboxKey(s.opts.Clock.Now().Add(-skew), "")
	for after := from; ; {
		entries, err := s.page(ctx, tenant, after, pageSize)
		if err != nil {
			return from, err
		}
		for _, e := range entries {
			oldest = min(oldest, e.document[:len(inboxPrefix)+20])
			if err := s.give(ctx, e, lanes); err != nil {
				return from, err
			}
		}
		if len(entries) < pageSize {
			return oldest, nil
		}
		after = entries[len(entries)-1].document
	}
}

// give hands a delivery to a worker, unless one has it.
func (s *Service) give(ctx context.Context, e entry, lanes []chan job) error {
	if !s.take(e.place) {
		return nil
	}
	j, err := s.open(ctx, e)
	if err != nil || j == nil {
		s.release(e.place)
		return err
	}
	if s.queueUp(j) {
		return nil
	}
	select {
	case lanes[j.lane(len(lanes))] <- *j:
		return nil
	case <-ctx.Done():
		s.release(e.place)
		return ctx.Err()
	}
}

func (s *Service) take(at place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[at] {
		return false
	}
	s.taken[at] = true
	return true
}

func (s *Service) release(at place) {
	s.mu.Lock()
	delete(s.taken, at)
	s.mu.Unlock()
}

// open reads a delivery and what it says; nil where it was handled between the look at
// the inbox and this one.
func (s *Service) open(ctx context.Context, e entry) (*job, error) {
	j := &job{entry: e}
	delivery, err := s.read(ctx, j)
	if err != nil || delivery == nil {
		return nil, err
	}
	facts := j.facts
	if j.channel, err = s.channel(ctx, e.tenant, facts.Channel); writ.IsCode(err, writ.CodeNotFound) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	adapter, err := s.adapterOf(facts.Channel)
	if err != nil {
		j.unread = err
		return j, nil
	}
	j.batched = adapter.Traits().Batched
	j.messages, j.unread = adapter.Read(delivery)
	return j, nil
}

// lane keeps what is of one thread in one place of n.
func (j *job) lane(n int) int {
	h, of := fnv.New64a(), j.thread()
	for _, part := range []string{string(of.tenant), string(of.channel), of.id} {
		_, _ = h.Write([]byte(part))
	}
	return int(h.Sum64() % uint64(n))
}

// work handles one delivery to its end, or leaves it for later.
func (s *Service) work(ctx context.Context, j *job) {
	if ctx.Err() != nil { // what is left is handled by the next one to run, in its order
		s.release(j.place)
		return
	}
	if s.queueUp(j) {
		return
	}
	c, err := s.handle(ctx, j)
	if err == nil {
		err = s.handled(ctx, j, c)
	}
	switch {
	case err == nil:
		s.through(j.place)
	case ctx.Err() != nil:
		s.release(j.place)
	default:
		s.opts.Log.Warn("a delivery waits", "channel", j.facts.Channel, "delivery", j.stream, "code", writ.CodeOf(err), "again in", deferred)
		s.postpone(j)
	}
}
