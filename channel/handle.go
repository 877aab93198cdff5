package channel

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Bounds of what a record repeats of a message.
const (
	maxWhy  = 400
	maxName = 128
)

// come is what comes of a delivery.
type come struct {
	outcomes []writ.DeliveryOutcome
	answers  []Outgoing
	changes  []writ.Change // of the tenant's documents
	taken    int           // bytes of answers and changes
}

// All that comes of a delivery is one batch, of which the outcomes of a thousand messages
// are the greater part.
const (
	maxTaken  = 192 << 10
	maxThread = 512
)

// room reports whether there is room for so much more, and takes it.
func (c *come) room(bytes int) bool {
	if c.taken+bytes > maxTaken {
		return false
	}
	c.taken += bytes
	return true
}

// change sets a document, once however often it is changed; false where there is no room.
func (c *come) change(change writ.Change) bool {
	i := slices.IndexFunc(c.changes, func(have writ.Change) bool { return have.Key == change.Key })
	if i < 0 {
		if !c.room(len(change.Key) + len(change.Value)) {
			return false
		}
		c.changes = append(c.changes, change)
		return true
	}
	if !c.room(len(change.Value) - len(c.changes[i].Value)) {
		return false
	}
	c.changes[i] = change
	return true
}

// answerable reports whether there is a place in which a message can be answered.
func (m *Message) answerable() bool { return m.Thread != "" && len(m.Thread) <= maxThread }

// add takes an outcome, with what is to be said about it in the thread of its message.
func (c *come) add(m *Message, o writ.DeliveryOutcome) {
	if !m.answerable() || !c.room(len(o.Answer)) {
		o.Answer = "" // there is nowhere to say it, or there are too many
	}
	if o.Answer != "" {
		c.answers = append(c.answers, Outgoing{Thread: m.Thread, Text: o.Answer})
	}
	o.Kind, o.Sender = string(m.Kind), writ.Clip(m.Sender.ID, maxName)
	c.outcomes = append(c.outcomes, o)
}

// handle makes of each message what its sender may do. An error means that nothing
// is decided and the delivery is to be handled again: what was submitted before has
// the same idempotency key then.
func (s *Service) handle(ctx context.Context, j *job) (*come, error) {
	c := &come{}
	if err := s.renew(ctx, j); err != nil {
		return nil, err
	}
	switch {
	case j.channel == nil:
		c.outcomes = []writ.DeliveryOutcome{refused(writ.CodeNotFound, "the channel was removed before this was handled")}
		return c, nil
	case j.unread != nil:
		c.outcomes = []writ.DeliveryOutcome{refused(writ.CodeOf(j.unread), j.unread.Error())}
		return c, nil
	}
	for i := range j.messages {
		if err := s.message(ctx, c, &heard{job: j, m: &j.messages[i], key: keyIn(j, &j.messages[i], i)}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// renew takes the channel as it stands now: since the delivery was read, it may have been
// removed, or have lost a member.
func (s *Service) renew(ctx context.Context, j *job) error {
	if j.channel == nil {
		return nil
	}
	now, err := s.channel(ctx, j.tenant, j.facts.Channel)
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		return err
	}
	j.channel = now
	return nil
}

// keyIn is the idempotency key of a message: its own where the provider gave it an id,
// because a delivery that is tried again may have others beside it; else its place.
func keyIn(j *job, m *Message, i int) string {
	if m.ID == "" {
		return fmt.Sprintf("%s/%d", j.stream, i)
	}
	return canon.ID("msg", canon.DomainDelivery, []byte(j.facts.Channel), []byte(m.Kind), []byte(m.Thread), []byte(m.Event), []byte(m.ID))
}

func refused(code writ.Code, why string) writ.DeliveryOutcome {
	return writ.DeliveryOutcome{Status: writ.DeliveryRefused, Code: code, Message: writ.Clip(why, maxWhy)}
}

func ignored(why string) writ.DeliveryOutcome {
	return writ.DeliveryOutcome{Status: writ.DeliveryIgnored, Message: writ.Clip(why, maxWhy)}
}

// heard is a message of a delivery, and who its sender is here.
type heard struct {
	*job
	m      *Message
	key    string // for idempotency
	acting *writ.Principal
}

// message is what comes of one: as many outcomes as it sets off.
func (s *Service) message(ctx context.Context, c *come, h *heard) error {
	if h.m.Kind == Passing {
		c.add(h.m, ignored(h.m.Why))
		return nil
	}
	member := memberOf(h.channel, h.m.Sender.ID)
	if member == nil {
		return s.unmapped(ctx, c, h)
	}
	by, err := s.opts.Principals.Principal(ctx, h.tenant, member.PrincipalID)
	if writ.IsCode(err, writ.CodeNotFound) {
		gone := refused(writ.CodeForbidden, "the principal of this sender does not exist")
		gone.Principal = member.PrincipalID
		c.add(h.m, gone)
		return nil
	}
	if err != nil {
		return err
	}
	acting := *by
	acting.Source, acting.Strength = "channel:"+string(h.channel.Name), writ.StrengthChannel
	acting.Capabilities = slices.DeleteFunc(slices.Clone(by.Capabilities), func(c string) bool {
		return c != contract.CapCore && c != contract.CapApproval // a chat administers nothing
	})
	if member.Sender == "*" { // many are this principal: the session is who of them asked
		acting.Session = canon.ID("snd", canon.DomainDelivery, []byte("sender"), []byte(h.channel.Name), []byte(h.m.Sender.ID))
	}
	h.acting = &acting
	ctx = writ.WithPrincipal(ctx, h.acting)
	switch h.m.Kind {
	case Happened:
		return s.happened(ctx, c, h)
	case Said:
		return s.said(ctx, c, h)
	case Pressed:
		return s.pressed(ctx, c, h)
	}
	c.add(h.m, ignored("nothing here is set off by it"))
	return nil
}

// happened submits the draft of each trigger that means the event.
func (s *Service) happened(ctx context.Context, c *come, h *heard) error {
	none := true
	for i := range h.channel.Triggers {
		t := &h.channel.Triggers[i]
		if !setOff(t.Event, h.m.Event) {
			continue
		}
		none = false
		err := s.submit(ctx, c, h, &request{
			answers: t.Answer,
			in: contract.IntentSubmitInput{
				Metadata: contract.Object(h.m.Metadata), IdempotencyKey: fmt.Sprintf("%s/%d", h.key, i), Draft: t.Draft, DraftName: "trigger " + t.Event,
			},
		})
		if err != nil {
			return err
		}
	}
	if none {
		c.add(h.m, ignored("nothing here is set off by it"))
	}
	return nil
}

// setOff reports whether an event is meant by the name of a trigger.
func setOff(trigger, event string) bool {
	start, open := strings.CutSuffix(trigger, "*")
	return event != "" && (trigger == event || open && strings.HasPrefix(event, start))
}

// memberOf is who a sender is here: named itself, or anybody. nil: nobody.
func memberOf(c *contract.Channel, sender string) *contract.ChannelMember {
	var anybody *contract.ChannelMember
	for i := range c.Members {
		switch m := &c.Members[i]; {
		case m.Sender == sender && sender != "":
			return m
		case m.Sender == "*":
			anybody = m
		}
	}
	return anybody
}

// request is an intent that a message asks for.
type request struct {
	in      contract.IntentSubmitInput
	answers bool // its thread is told what comes of it
}

// submit hands an intent over. What the host cannot take now, or somebody has frozen,
// is an error and tried again; any other refusal is the outcome.
func (s *Service) submit(ctx context.Context, c *come, h *heard, r *request) error {
	in := &r.in
	in.WorkspaceID, in.Text, in.ChannelKey, in.Origin, in.Run = h.acting.Workspace, h.m.Text, h.channel.Name.Key(), writ.OriginChannel, true
	out, err := contract.Invoke(ctx, s.opts.Caller, contract.IntentSubmit, in)
	switch writ.CodeOf(err) {
	case writ.CodeUnavailable, writ.CodeTimeout, writ.CodeFrozen, writ.CodeLimited, writ.CodeCancelled, writ.CodeInternal:
		if err != nil {
			return err
		}
	}
	if h.m.Kind == Said && writ.IsCode(err, writ.CodeConflict) {
		c.add(h.m, ignored("the same message was taken before, in another event"))
		return nil
	}
	var o writ.DeliveryOutcome
	if err == nil {
		o = writ.DeliveryOutcome{Status: writ.DeliverySubmitted, Execution: out.ExecutionID}
	} else if o, err = s.notRun(ctx, in, err); err != nil {
		return err
	}
	o.Principal = h.acting.ID
	if r.answers && h.m.answerable() {
		if o.Status == writ.DeliverySubmitted {
			if o.Answer, err = s.follow(ctx, c, h, o.Execution); err != nil {
				return err
			}
		}
	} else {
		o.Answer = ""
	}
	c.add(h.m, o)
	return nil
}

// notRun is the outcome of an intent that was refused.
func (s *Service) notRun(ctx context.Context, in *contract.IntentSubmitInput, why error) (writ.DeliveryOutcome, error) {
	o := refused(writ.CodeOf(why), why.Error())
	if o.Code == writ.CodePlanRejected || o.Code == writ.CodeBlocked {
		// The intent is kept, with what was wrong with it: the same key finds it.
		kept := *in
		kept.Run = false
		out, err := contract.Invoke(ctx, s.opts.Caller, contract.IntentSubmit, &kept)
		if err != nil {
			return o, err
		}
		o.Execution = out.ExecutionID
	}
	o.Answer = sayRefused(why, o.Execution)
	return o, nil
}
