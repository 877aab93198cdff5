package channel

import (
	"context"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// simulated is how long a simulation waits for what comes of it.
const simulated = 30 * time.Second

// Simulate is the handler of contract.ChannelSimulate.
func (s *Service) Simulate(ctx context.Context, in *contract.ChannelSimulateInput) (*contract.ChannelSimulateOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.channel(ctx, by.Tenant, in.Name)
	if err != nil {
		return nil, err
	}
	adapter, err := s.adapterOf(c.Name)
	if err != nil {
		return nil, err
	}
	keys, err := s.keys(ctx, by.Tenant, c)
	if err != nil {
		return nil, err
	}
	r, err := s.sample(adapter, in.Sample, keys[0])
	if err != nil {
		return nil, err
	}
	receipt, err := adapter.Receive(r, keys)
	if err != nil {
		return nil, err
	}
	answer, err := s.receive(ctx, by.Tenant, c, r)
	if err != nil {
		return nil, err
	}
	out := &contract.ChannelSimulateOutput{Result: contract.Result{Status: "received", ChangedAt: r.At}, HTTPStatus: answer.Status}
	if receipt.Handshake != nil {
		out.Status = "answered"
		return out, nil
	}
	at := place{by.Tenant, streamOf(c.Name, receipt.key(r.Body))}
	if err := s.handleNow(ctx, entry{at, inboxKey(r.At, at.stream)}); err != nil {
		return nil, err
	}
	if out.Outcomes, err = s.outcomes(ctx, at); out.Outcomes != nil {
		out.Status = "handled"
	}
	return out, err
}

// sample is a request as the provider would sign it. CodeNotFound.
func (s *Service) sample(adapter Adapter, name string, key []byte) (*Request, error) {
	sampler, ok := adapter.(Sampler)
	if !ok {
		return nil, writ.Errorf(writ.CodeNotFound, "simulate", "there are no samples of %s", adapter.Traits().Title)
	}
	r, err := sampler.Sample(name, key, s.opts.Clock.Now())
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, writ.Errorf(writ.CodeNotFound, "simulate", "there is no sample %q", writ.Clip(name, maxName)).
			WithFix("one of %s", strings.Join(sampler.Samples(), ", "))
	}
	return r, err
}

// handleNow does what a worker would: the command line opens a home in which nobody
// else looks after the inbox.
func (s *Service) handleNow(ctx context.Context, e entry) error {
	if !s.take(e.place) {
		return nil
	}
	j, err := s.open(ctx, e)
	if err != nil || j == nil {
		s.release(e.place)
		return err
	}
	s.work(ctx, j)
	return nil
}

// outcomes waits until a delivery has been handled; nil where that takes too long.
func (s *Service) outcomes(ctx context.Context, at place) ([]writ.DeliveryOutcome, error) {
	late := time.NewTimer(simulated)
	defer late.Stop()
	for {
		s.mu.Lock()
		done := s.done
		s.mu.Unlock()
		records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: at.tenant, Stream: at.stream})
		if err != nil {
			return nil, err
		}
		for i := range records {
			if records[i].Type == writ.RecDeliveryHandled {
				return records[i].Body.Delivery.Outcomes, nil
			}
		}
		select {
		case <-done:
		case <-late.C:
			return nil, nil
		case <-ctx.Done():
			return nil, nil
		}
	}
}
