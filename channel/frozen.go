package channel

import (
	"context"
	"errors"

	"github.com/writ-run/writ"
)

// What is frozen says nothing: what waits in its outbox goes on waiting, and nothing is
// said at once.

// frozen is what holds a channel, nil where nothing does.
func (s *Service) frozen(ctx context.Context, at lane) (*writ.Freeze, error) {
	return s.opts.Freezes.Frozen(ctx, at.tenant, &writ.FreezeTarget{Channel: at.channel.Key()})
}

// admits is CodeFrozen where nothing is to be said in a channel.
func (s *Service) admits(ctx context.Context, at lane) error {
	f, err := s.frozen(ctx, at)
	if err != nil || f == nil {
		return err
	}
	return f.Refusal("channel "+string(at.channel), "nothing was said: say it again when `writ freeze list` does not show this any more")
}

// begin records that a message is about to be said, unless something holds its channel. A
// freeze in the same moment counts: it moves the epoch that fences the record.
func (s *Service) begin(ctx context.Context, m *sendable, t *tries) (*writ.Freeze, error) {
	for {
		epoch, err := s.opts.Journal.Epoch(ctx, m.tenant)
		if err != nil {
			return nil, err
		}
		if f, err := s.frozen(ctx, m.lane); err != nil || f != nil {
			return f, err
		}
		record := m.record(writ.RecMessageSending, writ.MessageFacts{Attempt: t.attempt + 1})
		err = s.put(ctx, m, t, &writ.Batch{Records: []writ.NewRecord{record}, Epoch: epoch})
		if errors.Is(err, writ.ErrStaleEpoch) {
			continue
		}
		if err == nil {
			t.attempt++
			s.announce()
		}
		return nil, err
	}
}

// FreezesChanged lets what a tenant's channels have to say go on where nothing holds it
// any more.
func (s *Service) FreezesChanged(tenant writ.TenantID) {
	var lanes []lane
	s.mu.Lock()
	for at := range s.lanes {
		if at.tenant == tenant {
			lanes = append(lanes, at)
		}
	}
	s.mu.Unlock()
	for _, at := range lanes {
		s.stir(at)
	}
}
