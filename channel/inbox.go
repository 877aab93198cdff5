package channel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// inboxPrefix of the documents that name deliveries which wait to be handled:
// inbox/NANOSECONDS/STREAM, in the order in which they came.
const inboxPrefix = "inbox/"

// waiting is what the document of a delivery says.
type waiting struct {
	Stream writ.StreamID `json:"stream"`
}

func inboxKey(at writ.Time, stream writ.StreamID) string {
	return fmt.Sprintf("%s%020d/%s", inboxPrefix, int64(at), stream)
}

// streamOf is where a delivery of a channel is kept: one key has one place, so that
// what comes again finds it taken.
func streamOf(channel writ.ChannelName, key string) writ.StreamID {
	return writ.StreamID(canon.ID("dlv", canon.DomainDelivery, []byte(channel), []byte(key)))
}

// key is what the delivery is known by.
func (r *Receipt) key(body []byte) string {
	if r.Key != "" {
		return r.Key
	}
	return string(canon.SHA256(body))
}

// keep puts a delivery on disk, and reports whether it had been there before. When
// it returns, the provider may be told that it is taken. CodeUnavailable where there
// is no room: the provider tries again.
func (s *Service) keep(ctx context.Context, tenant writ.TenantID, c *contract.Channel, receipt *Receipt, r *Request) (again bool, err error) {
	if s.pending.Load() >= int64(s.opts.Pending) {
		return false, writ.Errorf(writ.CodeUnavailable, "channel "+string(c.Name), "%d deliveries wait to be handled", s.opts.Pending).
			WithFix("send it again in a while: nothing was kept of it")
	}
	key := receipt.key(r.Body)
	stream := streamOf(c.Name, key)
	document, err := canon.MarshalJSON(&waiting{Stream: stream})
	if err != nil {
		return false, err
	}
	ctx = context.WithoutCancel(ctx) // who sent it may be gone; it is half taken
	written, err := s.opts.Journal.Append(ctx, &writ.Batch{
		Tenant: tenant, Stream: stream,
		Records: []writ.NewRecord{{
			Type: writ.RecDeliveryReceived, Time: r.At, Actor: actor(tenant, c.Name),
			Body:     writ.Body{Delivery: &writ.DeliveryFacts{Channel: c.Name, Key: key, Hints: receipt.Hints}},
			Payloads: []writ.Payload{{Name: writ.PayloadBody, Data: r.Body}},
		}},
		Changes: []writ.Change{{Key: inboxKey(r.At, stream), Value: document}},
	})
	again = writ.IsCode(err, writ.CodeConflict)
	if err != nil && !again {
		return false, err
	}
	if err := s.opts.Journal.Barrier(ctx, written.Position); err != nil {
		return again, err
	}
	if !again {
		s.pending.Add(1)
		s.wake()
	}
	return again, nil
}

// actor is the host, by way of a channel: what it keeps nobody here has asked for yet.
func actor(tenant writ.TenantID, name writ.ChannelName) writ.Audit {
	host := writ.TheHost(tenant)
	host.Capabilities, host.Source = []string{contract.CapChannelRuntime}, "channel:"+string(name)
	return writ.AuditOf(host, "")
}

// wake tells Run that something waits.
func (s *Service) wake() {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// entry is a delivery that waits, as the store names it.
type entry struct {
	place
	document string // the key that goes away when it is handled
}

// page of the tenant's inbox, oldest first.
func (s *Service) page(ctx context.Context, tenant writ.TenantID, after string, limit int) ([]entry, error) {
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: inboxPrefix, After: after, Limit: limit})
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(docs))
	for i := range docs {
		var w waiting
		if err := json.Unmarshal(docs[i].Value, &w); err != nil || !strings.HasSuffix(docs[i].Key, "/"+string(w.Stream)) {
			return nil, writ.Errorf(writ.CodeTampered, docs[i].Key, "the document is not one of the inbox").WithFix("restore the store from a backup")
		}
		entries[i] = entry{place{tenant, w.Stream}, docs[i].Key}
	}
	return entries, nil
}

// read gives back what was kept; nil where it has been handled meanwhile.
func (s *Service) read(ctx context.Context, j *job) (*Delivery, error) {
	records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: j.tenant, Stream: j.stream})
	if err != nil {
		return nil, err
	}
	if len(records) > 1 {
		return nil, nil
	}
	first := &records[0]
	j.facts, j.at = first.Body.Delivery, first.Time
	ref, ok := first.Payload(writ.PayloadBody)
	if j.facts == nil || !ok || first.Type != writ.RecDeliveryReceived {
		return nil, writ.Errorf(writ.CodeTampered, "stream "+string(j.stream), "it is not of a delivery").WithFix("`writ trace verify` says what else is")
	}
	payload, err := s.opts.Traces.Payloads(ctx, j.tenant, j.stream)
	if err != nil {
		return nil, err
	}
	body, err := payload(ref)
	if err != nil {
		return nil, err
	}
	return &Delivery{Body: slices.Clone(body), Hints: maps.Clone(j.facts.Hints), At: first.Time}, nil
}

// handled records what came of a delivery, takes it out of the inbox and puts what answers
// it into the outbox, all at once.
func (s *Service) handled(ctx context.Context, j *job, c *come) error {
	e, facts := j.entry, j.facts
	ctx, at := context.WithoutCancel(ctx), s.opts.Clock.Now()
	to := lane{e.tenant, facts.Channel}
	// The next one to look must not find it in the inbox.
	err := s.answering(ctx, to, &writ.Batch{
		Tenant: e.tenant, Stream: e.stream, Expect: 1,
		Records: []writ.NewRecord{{
			Type: writ.RecDeliveryHandled, Time: at, Actor: actor(e.tenant, facts.Channel),
			Body: writ.Body{Delivery: &writ.DeliveryFacts{Channel: facts.Channel, Key: facts.Key, Outcomes: c.outcomes}},
		}},
		Changes: append([]writ.Change{{Key: e.document}, {Key: writ.DeliveredKey(at, e.stream), Value: []byte("{}")}}, c.changes...),
	}, string(e.stream), c.answers)
	if err != nil {
		return err
	}
	s.pending.Add(-1)
	s.mu.Lock()
	for i := range c.outcomes {
		s.tally[c.outcomes[i].Status]++
	}
	s.mu.Unlock()
	s.announce()
	s.followOn(ctx, e.tenant, c)
	return nil
}

// announce lets those look again who wait for what comes of a delivery or a message.
func (s *Service) announce() {
	s.mu.Lock()
	close(s.done)
	s.done = make(chan struct{})
	s.mu.Unlock()
}

// followOn looks at what is followed from now on: it may have ended before that stood on
// disk, where nobody would look again. An error is no more than that it is told later.
func (s *Service) followOn(ctx context.Context, tenant writ.TenantID, c *come) {
	for _, change := range c.changes {
		id, ok := strings.CutPrefix(change.Key, followPrefix)
		if !ok {
			continue
		}
		if err := errors.Join(s.askOf(ctx, tenant, writ.ExecutionID(id)), s.tellOf(ctx, tenant, writ.ExecutionID(id))); err != nil {
			s.opts.Log.Warn("a thread is told later how an execution goes", "execution", id, "code", writ.CodeOf(err))
		}
		s.look()
	}
}

// look lets Follow see of which tenants something is to be told or asked.
func (s *Service) look() {
	select {
	case s.followed <- struct{}{}:
	default:
	}
}
