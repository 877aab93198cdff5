package channel

import (
	"context"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// change says in each place how a request stands now, and closes what is decided. full is
// nil where its data is not kept any more.
func (s *Service) change(ctx context.Context, tenant writ.TenantID, e *writ.Execution, a *question, full *writ.Approval) error {
	st := e.Step(string(a.Step))
	open := full != nil && full.Open() && st != nil && st.Status == writ.StepAwaitingApproval && !e.Status.Final()
	told := "gone"
	if full != nil {
		if told = standing(full); full.Open() && !open {
			told = "over"
		}
	}
	if told == a.Told {
		return nil
	}
	for i := range a.Posts {
		p := &a.Posts[i]
		if err := s.repost(ctx, lane{tenant, p.Channel}, p, &retelling{reference(a.Digest), told, full, open}); err != nil {
			return err
		}
	}
	a.Told = told
	changes, err := s.notes(a, open)
	if err != nil {
		return err
	}
	return s.opts.Notes.Note(context.WithoutCancel(ctx), tenant, changes...)
}

// notes are the changes that say how a request stands.
func (s *Service) notes(a *question, open bool) ([]writ.Change, error) {
	if open {
		return a.noted()
	}
	return s.closing(a)
}

// closing are the changes that close a request.
func (s *Service) closing(a *question) ([]writ.Change, error) {
	ref, now := reference(a.Digest), s.opts.Clock.Now()
	changes := []writ.Change{{Key: askedKey(a)}}
	old := &askedOld{With: []string{askRefPrefix + ref}}
	var err error
	for _, p := range a.Posts {
		key := threadPrefix(p.Channel, p.Thread) + ref
		old.With = append(old.With, key)
		if changes, err = note(changes, key, &askedIn{Message: p.Message, Decides: p.Decides, ClosedAt: now}); err != nil {
			return nil, err
		}
	}
	return note(changes, askOldKey(now, ref), old)
}

// retelling is what is said of a request about which people were asked.
type retelling struct {
	ref, told string
	full      *writ.Approval // nil: its data is not kept any more
	open      bool
}

// repost changes what was said in one place. What was shown without buttons gets none, and
// what is not shown whole any more is not decided there any more.
func (s *Service) repost(ctx context.Context, to lane, p *post, r *retelling) error {
	c, err := s.channel(ctx, to.tenant, p.Channel)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v, err := s.speaker(ctx, to)
	if err != nil {
		s.opts.Log.Warn("what was asked in a channel stays as it was", "channel", p.Channel, "why", err)
		return nil
	}
	shown := *c
	shown.Decides = c.Decides && p.Decides
	place := &askPlace{&shown, p.Thread, c.AskIn == p.Thread}
	out := sayClosed(r.full, place)
	if r.open {
		out, p.Decides = sayAsk(r.full, place, v)
	}
	out.Changes = p.Message
	_, err = s.queue(ctx, to, askKey(r.ref, p.Thread, r.told), out)
	return err
}

// standing is how an approval stands, as far as people are told.
func standing(a *writ.Approval) string {
	raw, _ := canon.MarshalJSON([]any{a.Status, len(a.Decisions)}) // of two values that are always encoded
	return canon.SHA256(raw).Hex()[:16]
}
