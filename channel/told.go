package channel

import (
	"context"
	"encoding/json"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// toldPrefix of the documents of whom a channel has told that it does not know them:
// told/PROVIDER/NAME.
const toldPrefix = "told/"

// Whoever is no member is told so once in a while, and only so many are: a channel is no
// way to make a host talk.
const (
	toldFor = time.Hour
	maxTold = 256 // senders of one channel in that time
)

// telling is when, and by which delivery, a sender was told.
type telling struct {
	At     writ.Time     `json:"at"`
	Stream writ.StreamID `json:"stream"`
}

// told is of one channel, by the digest of the sender's id.
type told map[writ.Digest]telling

// unmapped is what comes of a message of nobody.
func (s *Service) unmapped(ctx context.Context, c *come, h *heard) error {
	if h.channel.Unmapped == contract.UnmappedIgnore {
		c.add(h.m, ignored("the sender is no member of the channel"))
		return nil
	}
	o := refused(writ.CodeForbidden, "the sender is no member of the channel")
	if h.m.Kind == Said && h.m.Addressed && h.m.answerable() {
		change, err := s.tell(ctx, h)
		if err != nil {
			return err
		}
		if change != nil && c.change(*change) {
			o.Answer = answer(sayUnmapped)
		}
	}
	c.add(h.m, o)
	return nil
}

// tell notes that a sender is told, nil where it was lately. The same delivery may say it
// again: what came of it before is not on disk.
func (s *Service) tell(ctx context.Context, h *heard) (*writ.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := toldPrefix + string(h.channel.Name)
	place := string(h.tenant) + "\x00" + key
	have, ok := s.told[place]
	if !ok {
		have = told{}
		raw, err := s.opts.Store.Get(ctx, h.tenant, key)
		if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
			return nil, err
		}
		if err == nil {
			if err := json.Unmarshal(raw, &have); err != nil {
				return nil, writ.Errorf(writ.CodeTampered, key, "the document cannot be read").WithFix("restore the store from a backup")
			}
		}
		s.told[place] = have
	}
	now := s.opts.Clock.Now()
	for sender, t := range have {
		if now >= t.At.Add(toldFor) {
			delete(have, sender)
		}
	}
	sender := canon.SHA256([]byte(h.m.Sender.ID))
	if t, lately := have[sender]; lately && t.Stream != h.stream || !lately && len(have) >= maxTold {
		return nil, nil
	}
	have[sender] = telling{At: now, Stream: h.stream}
	raw, err := canon.MarshalJSON(have)
	return &writ.Change{Key: key, Value: raw}, err
}
