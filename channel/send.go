package channel

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Bounds of how often a message is tried that nobody took: over some five hours, in which
// most providers come back.
const (
	maxTries    = 20
	firstWait   = time.Second
	longestWait = 30 * time.Minute
)

// lane is one channel: what is said there is said by one sender.
type lane struct {
	tenant  writ.TenantID
	channel writ.ChannelName
}

// laneState is guarded by Service.mu.
type laneState struct {
	busy  bool        // a sender is on its way
	again bool        // and is to look again when it is through
	timer *time.Timer // of the next look
}

// senders are those of a Run.
type senders struct {
	ctx context.Context
	wg  sync.WaitGroup
}

// speak lets senders begin, what earlier processes left first; the function that it
// returns waits for what is being said.
func (s *Service) speak(ctx context.Context) (stop func()) {
	running := &senders{ctx: ctx}
	s.mu.Lock()
	s.running = running
	s.mu.Unlock()
	lanes, err := s.waiting(ctx)
	if err != nil && ctx.Err() == nil {
		s.opts.Log.Error("the outbox cannot be read", "code", writ.CodeOf(err))
	}
	for at := range lanes {
		s.stir(at)
	}
	return func() {
		s.mu.Lock()
		s.running = nil
		for _, l := range s.lanes {
			if l.timer != nil {
				l.timer.Stop()
			}
		}
		s.mu.Unlock()
		running.wg.Wait()
	}
}

// waiting counts what is in the outboxes of every tenant. What is queued from now on has
// its place behind, whatever the clock of this process says.
func (s *Service) waiting(ctx context.Context) (map[lane]int, error) {
	tenants, err := s.opts.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	lanes := map[lane]int{}
	for _, tenant := range tenants {
		for after := ""; ; {
			page, err := s.messages(ctx, tenant, outboxPrefix, after)
			if err != nil {
				return lanes, err
			}
			s.queueing.Lock()
			for i := range page {
				lanes[page[i].lane]++
				s.stamped = max(s.stamped, placedAt(page[i].document))
			}
			s.queueing.Unlock()
			if len(page) < pageSize {
				break
			}
			after = page[len(page)-1].document
		}
	}
	return lanes, nil
}

// stir has the sender of a lane look at what waits there.
func (s *Service) stir(at lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	running := s.running
	if running == nil {
		return // who begins looks at every lane
	}
	l := s.lanes[at]
	if l == nil {
		l = &laneState{}
		s.lanes[at] = l
	}
	if l.busy {
		l.again = true
		return
	}
	l.busy = true
	running.wg.Go(func() { s.sendAll(running.ctx, at, l) })
}

// sendAll says what waits in a lane until nothing can be said now.
func (s *Service) sendAll(ctx context.Context, at lane, l *laneState) {
	for {
		wait, err := s.pass(ctx, at)
		if err != nil && ctx.Err() == nil {
			s.opts.Log.Error("the outbox of a channel stands", "channel", at.channel, "code", writ.CodeOf(err), "again in", deferred)
			wait = deferred
		}
		s.mu.Lock()
		if again := l.again && ctx.Err() == nil; again {
			l.again = false
			s.mu.Unlock()
			continue
		}
		l.busy, l.again = false, false
		if l.timer != nil {
			l.timer.Stop()
		}
		if wait > 0 && s.running != nil {
			l.timer = time.AfterFunc(wait, func() { s.stir(at) })
		}
		s.mu.Unlock()
		return
	}
}

// pass goes through what waits in a lane once, in its order: what is behind a message of
// its own thread that must wait does so, too. It returns when the next may be tried; 0:
// nothing waits.
func (s *Service) pass(ctx context.Context, at lane) (next time.Duration, err error) {
	held := map[string]bool{}
	for after := ""; ; {
		page, err := s.messages(ctx, at.tenant, laneKey(at.channel), after)
		if err != nil {
			return 0, err
		}
		for i := range page {
			m := &page[i]
			after = m.document
			if held[m.Message.Thread] {
				continue
			}
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			wait, all, err := s.send(ctx, m)
			if err != nil {
				return 0, err
			}
			if wait > 0 {
				held[m.Message.Thread] = true
				if next == 0 || wait < next {
					next = wait
				}
			}
			if all {
				return wait, nil
			}
		}
		if len(page) < pageSize {
			return next, nil
		}
	}
}

// send tries one message, unless it is to wait. all says that the whole lane must.
func (s *Service) send(ctx context.Context, m *sendable) (wait time.Duration, all bool, err error) {
	if f, err := s.frozen(ctx, m.lane); err != nil || f != nil {
		return lookAgain, true, err // FreezesChanged comes before
	}
	t, err := s.resume(ctx, m)
	if err != nil || t == nil {
		return 0, false, err
	}
	if wait := t.again.Std().Sub(s.opts.Clock.Now().Std()); wait > 0 {
		return wait, t.limited, nil
	}
	if t.broken {
		return 0, false, s.came(ctx, m, t, writ.RecMessageIndeterminate, writ.MessageFacts{
			Code: writ.CodeIndeterminate, Message: "the host went down while it was being said",
		})
	}
	v, err := s.speaker(ctx, m.lane)
	if err != nil {
		if code := writ.CodeOf(err); code != writ.CodeNotFound && code != writ.CodeInvalid {
			return 0, false, err
		}
		return 0, false, s.came(ctx, m, t, writ.RecMessageFailed, failure(err))
	}
	out, err := s.outgoing(ctx, m)
	if err != nil {
		return 0, false, err
	}
	account, err := s.account(ctx, m.lane, v)
	if err == nil {
		defer clear(account.Token)
		if f, err := s.begin(ctx, m, t); err != nil || f != nil {
			return lookAgain, true, err
		}
		var id string
		// From here on it is said, whoever stops the host: the record has begun it.
		id, err = v.Send(context.WithoutCancel(ctx), account, out)
		if err == nil {
			return 0, false, s.came(ctx, m, t, writ.RecMessageSent, writ.MessageFacts{ID: writ.Clip(id, maxID)})
		}
	}
	return s.unsent(ctx, m, t, err)
}

// outgoing is what is said of a message: where it changes another, in the place of that.
func (s *Service) outgoing(ctx context.Context, m *sendable) (*Outgoing, error) {
	out := m.Message
	if out.Changes == "" || out.Replaces != "" {
		return &out, nil
	}
	sent, err := s.sent(ctx, m.tenant, out.Changes)
	if sent != nil {
		out.Replaces = sent.Body.Message.ID
	}
	return &out, err
}

// maxID is more than any id of a provider's has, in bytes.
const maxID = 512

// unsent decides what becomes of a message that was not said, or nobody knows.
func (s *Service) unsent(ctx context.Context, m *sendable, t *tries, why error) (wait time.Duration, all bool, err error) {
	facts := failure(why)
	s.opts.Log.Warn("a message is not said", "channel", m.channel, "message", m.Stream, "attempt", t.attempt, "why", facts.Message)
	switch facts.Code {
	case writ.CodeLimited, writ.CodeUnavailable:
		if t.failed+1 >= maxTries {
			break
		}
		wait = max(s.backoff(t.failed), RetryAfter(why))
		facts.Again = s.opts.Clock.Now().Add(wait)
		return wait, facts.Code == writ.CodeLimited, s.came(ctx, m, t, writ.RecMessageFailed, facts)
	case writ.CodeInvalid, writ.CodeForbidden, writ.CodeUnauthenticated, writ.CodeNotFound:
	default: // an error that is not known says nothing of what was done
		facts.Code = writ.CodeIndeterminate
		return 0, false, s.came(ctx, m, t, writ.RecMessageIndeterminate, facts)
	}
	return 0, false, s.came(ctx, m, t, writ.RecMessageFailed, facts)
}

func failure(err error) writ.MessageFacts {
	return writ.MessageFacts{Code: writ.CodeOf(err), Message: writ.Clip(err.Error(), maxWhy)}
}

// backoff doubles, and spreads out what was refused together.
func (s *Service) backoff(failed int) time.Duration {
	wait := longestWait
	if failed < 20 { // beyond, the shift would pass the longest anyway
		wait = min(firstWait<<failed, longestWait)
	}
	return wait/2 + time.Duration(s.opts.Jitter()*float64(wait/2))
}

// tries are what the records of a message say.
type tries struct {
	seq     uint64
	attempt int       // requests that were begun
	failed  int       // that nobody took since it was queued
	again   writ.Time // not before
	limited bool      // the provider asked for it
	key     string
	broken  bool // the last request was begun and has no end
}

// resume reads where a message stands; nil where it is done. What has no stream yet
// begins one.
func (s *Service) resume(ctx context.Context, m *sendable) (*tries, error) {
	records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: m.tenant, Stream: m.Stream})
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		return nil, err
	}
	t := &tries{}
	if len(records) == 0 {
		record, err := queuedRecord(m.lane, &writ.MessageFacts{Channel: m.channel, Key: m.Key, Thread: m.Message.Thread}, &m.Message)
		if err != nil {
			return nil, err
		}
		return t, s.put(ctx, m, t, &writ.Batch{Records: []writ.NewRecord{record}})
	}
	for i := range records {
		r := &records[i]
		if r.Body.Message == nil {
			return nil, writ.Errorf(writ.CodeTampered, "stream "+string(m.Stream), "it is not of a message").WithFix("`writ trace verify` says what else is")
		}
		t.read(&r.Record)
	}
	last := &records[len(records)-1]
	t.broken = last.Type == writ.RecMessageSending
	done := last.Type == writ.RecMessageSent || last.Type == writ.RecMessageIndeterminate || last.Type == writ.RecMessageFailed && t.again == 0
	if done {
		return nil, nil // it came to this between the look at the outbox and this one
	}
	return t, nil
}

func (t *tries) read(r *writ.Record) {
	f := r.Body.Message
	t.seq, t.key, t.again, t.limited = r.Seq, f.Key, 0, false
	switch r.Type {
	case writ.RecMessageQueued:
		t.failed = 0
	case writ.RecMessageSending:
		t.attempt = f.Attempt
	case writ.RecMessageFailed:
		t.failed++
		t.again, t.limited = f.Again, f.Code == writ.CodeLimited
	}
}

// came records what became of a message, and moves its document where that belongs.
func (s *Service) came(ctx context.Context, m *sendable, t *tries, kind writ.RecordType, facts writ.MessageFacts) error {
	at := s.opts.Clock.Now()
	facts.Attempt = t.attempt
	record := m.record(kind, facts)
	record.Time = at
	var changes []writ.Change
	switch {
	case kind == writ.RecMessageSent:
		changes = []writ.Change{{Key: m.document}, {Key: writ.DeliveredKey(at, m.Stream), Value: []byte("{}")}}
	case kind == writ.RecMessageIndeterminate, kind == writ.RecMessageFailed && facts.Again == 0:
		value, err := canon.MarshalJSON(&unsent{Stream: m.Stream, Channel: m.channel, Thread: m.Message.Thread, Code: facts.Code, Why: facts.Message})
		if err != nil {
			return err
		}
		changes = []writ.Change{{Key: m.document}, {Key: writ.UnsentKey(at, m.Stream), Value: value}}
	}
	if err := s.put(ctx, m, t, &writ.Batch{Records: []writ.NewRecord{record}, Changes: changes}); err != nil {
		return err
	}
	if changes != nil {
		s.count(m.lane, -1)
		if kind != writ.RecMessageSent {
			s.given.Add(1)
		}
	}
	s.announce()
	return nil
}

// record of a message, without its time.
func (m *sendable) record(kind writ.RecordType, facts writ.MessageFacts) writ.NewRecord {
	facts.Channel, facts.Key, facts.Thread = m.channel, m.Key, m.Message.Thread
	return writ.NewRecord{Type: kind, Actor: actor(m.tenant, m.channel), Body: writ.Body{Message: &facts}}
}

// put appends a batch with one record behind the last one and waits for the disk.
func (s *Service) put(ctx context.Context, m *sendable, t *tries, batch *writ.Batch) error {
	ctx = context.WithoutCancel(ctx)
	if record := &batch.Records[0]; record.Time == 0 {
		record.Time = s.opts.Clock.Now()
	}
	batch.Tenant, batch.Stream, batch.Expect = m.tenant, m.Stream, t.seq
	receipt, err := s.opts.Journal.Append(ctx, batch)
	if err != nil {
		return err
	}
	t.seq++
	return s.opts.Journal.Barrier(ctx, receipt.Position)
}

// jitter is Options.Jitter where it is not set. It decides nothing but when.
func jitter() float64 { return rand.Float64() }
