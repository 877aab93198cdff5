package channel

import (
	"context"
	"encoding/json"

	"github.com/writ-run/writ"
)

// Queue is queue for tests of other packages' view.
func (s *Service) Queue(ctx context.Context, tenant writ.TenantID, name writ.ChannelName, key string, out *Outgoing) (writ.StreamID, error) {
	return s.queue(ctx, lane{tenant, name}, key, out)
}

// HandleOldest handles the oldest delivery of a tenant with these answers.
func (s *Service) HandleOldest(ctx context.Context, tenant writ.TenantID, answers ...Outgoing) error {
	entries, err := s.page(ctx, tenant, "", 1)
	if err != nil {
		return err
	}
	j := &job{entry: entries[0]}
	if _, err := s.read(ctx, j); err != nil {
		return err
	}
	return s.handled(ctx, j, &come{answers: answers})
}

// Unsaid are the messages that wait to be said.
func (s *Service) Unsaid() int64 { return s.unsaid.Load() }

// Values is values.
func Values(raw json.RawMessage) string { return values(raw) }

// MaxTries is maxTries.
const MaxTries = maxTries
