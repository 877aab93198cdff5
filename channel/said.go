package channel

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/intent"
)

// said is what comes of a member's words: a command of the host's own, or the one
// action that a phrase of an enabled skill means. Nothing is ever guessed.
func (s *Service) said(ctx context.Context, c *come, h *heard) error {
	a := ask(h.m.Text, h.m.Addressed)
	if a.verb != "" {
		return s.command(ctx, c, h, &a)
	}
	answered := func(why, text string) error {
		c.add(h.m, writ.DeliveryOutcome{Status: writ.DeliveryAnswered, Principal: h.acting.ID, Message: why, Answer: text})
		return nil
	}
	if a.phrase == "" {
		if a.addressed && len(h.m.Text) > intent.MaxText {
			return answered("it is too long", answer(sayTooLong))
		}
		c.add(h.m, ignored("it asks for nothing"))
		return nil
	}
	book, err := s.book(ctx, h)
	if err != nil {
		return err
	}
	switch found := book.Read(a.phrase); {
	case len(found) == 1:
		return s.meant(ctx, c, h, &found[0])
	case len(found) > 1:
		return answered("several actions are meant", sayChoices(found))
	case a.addressed:
		return answered("no phrase of a skill means it", sayUnderstoodNot(book.Near(a.phrase, maxNear, s.reaches(ctx, h))))
	}
	c.add(h.m, ignored("no phrase of a skill means it, and it was said to nobody"))
	return nil
}

func (s *Service) book(ctx context.Context, h *heard) (*intent.Book, error) {
	if s.opts.Books == nil {
		return &intent.Book{}, nil
	}
	return s.opts.Books.Book(ctx, h.tenant)
}

// meant submits what a phrase means. The words are not in the draft: it reads them from
// the metadata, labelled as what a channel says.
func (s *Service) meant(ctx context.Context, c *come, h *heard, found *intent.Match) error {
	draft, err := found.Draft()
	if err != nil {
		return err
	}
	metadata := map[string]json.RawMessage{}
	if len(h.m.Metadata) > 0 {
		if err := json.Unmarshal(h.m.Metadata, &metadata); err != nil {
			return writ.Errorf(writ.CodeInternal, "channel "+string(h.channel.Name), "the metadata of a message is no object: %w", err)
		}
	}
	metadata[intent.MetadataInput] = found.Input
	raw, err := canon.MarshalJSON(metadata)
	if err != nil {
		return writ.Errorf(writ.CodeInternal, "channel "+string(h.channel.Name), "the metadata of a message cannot be written: %w", err)
	}
	return s.submit(ctx, c, h, &request{
		answers: true,
		in: contract.IntentSubmitInput{
			Metadata: contract.Object(raw), IdempotencyKey: h.key + "/said", Draft: draft, DraftFormat: "json", DraftName: "phrase.json",
		},
	})
}

// command does what a member asks of the host itself.
func (s *Service) command(ctx context.Context, c *come, h *heard, a *asked) error {
	if a.verb.decides() {
		return s.decision(ctx, c, h, a)
	}
	o := writ.DeliveryOutcome{Status: writ.DeliveryAnswered, Principal: h.acting.ID, Execution: a.execution}
	var err error
	switch a.verb {
	case verbHelp:
		o.Answer, err = s.help(ctx, h)
	case verbWhoami:
		o.Answer = sayWho(h.acting, &h.m.Sender, h.channel.Name)
	case verbStatus:
		o.Answer, err = sayStatusForm, nil
		if a.execution != "" {
			o.Answer, err = s.status(ctx, a.execution)
		}
	case verbCancel:
		o.Answer, err = sayCancelForm, nil
		if a.execution != "" {
			o.Answer, err = s.cancel(ctx, h, a.execution)
		}
	}
	switch writ.CodeOf(err) {
	case writ.CodeNotFound:
		o.Status, o.Code, o.Answer, err = writ.DeliveryRefused, writ.CodeNotFound, answer(sayNotYours), nil
	case writ.CodeForbidden, writ.CodeConflict, writ.CodeInvalid:
		o.Status, o.Code, o.Answer, err = writ.DeliveryRefused, writ.CodeOf(err), sayRefused(err, a.execution), nil
	}
	if err != nil {
		return err
	}
	o.Message = "writ " + string(a.verb)
	c.add(h.m, o)
	return nil
}

// decision is a member's word about what is asked.
func (s *Service) decision(ctx context.Context, c *come, h *heard, a *asked) error {
	r := &ruling{ref: a.ref, approved: a.verb == verbApprove, note: writ.Clip(a.note, maxWhy)}
	if !r.approved && strings.TrimSpace(r.note) == "" {
		c.add(h.m, writ.DeliveryOutcome{Status: writ.DeliveryRefused, Principal: h.acting.ID, Code: writ.CodeInvalid, Message: "a rejection needs a reason", Answer: answer(sayRejectForm)})
		return nil
	}
	return s.rule(ctx, c, h, r)
}

// help lists what this member may ask for, as far as grants say; a decision may still
// refuse it.
func (s *Service) help(ctx context.Context, h *heard) (string, error) {
	book, err := s.book(ctx, h)
	if err != nil {
		return "", err
	}
	var phrases []string
	may := s.reaches(ctx, h)
	for _, said := range book.Actions() {
		if !slices.Contains(phrases, said.Phrase) && may(said.Release, said.Action) {
			phrases = append(phrases, said.Phrase)
		}
	}
	return sayAll(phrases, h.channel.Decides), nil
}

// reaches says what is shown to a member: what they may not ask for is nobody's business.
func (s *Service) reaches(ctx context.Context, h *heard) func(*writ.Release, string) bool {
	return func(release *writ.Release, action string) bool {
		return s.opts.May != nil && s.opts.May(ctx, h.acting, release, action)
	}
}

func (s *Service) status(ctx context.Context, id writ.ExecutionID) (string, error) {
	out, err := contract.Invoke(ctx, s.opts.Caller, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: id})
	if err != nil {
		return "", err
	}
	return sayState(&out.Execution), nil
}

func (s *Service) cancel(ctx context.Context, h *heard, id writ.ExecutionID) (string, error) {
	out, err := contract.Invoke(ctx, s.opts.Caller, contract.ExecutionCancel, &contract.ExecutionCancelInput{
		ExecutionID: id, Reason: "asked for by " + string(h.acting.ID) + " in " + string(h.channel.Name),
	})
	if err != nil {
		return "", err
	}
	return sayCancelled(id, out.Status), nil
}
