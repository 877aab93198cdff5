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

// handle makes of each message what its sender may do. An error means that nothing
// is decided and the delivery is to be handled again: what was submitted before has
// the same idempotency key then.
func (s *Service) handle(ctx context.Context, j *job) ([]writ.DeliveryOutcome, error) {
	switch {
	case j.channel == nil:
		return []writ.DeliveryOutcome{refused(writ.CodeNotFound, "the channel was removed before this was handled")}, nil
	case j.unread != nil:
		return []writ.DeliveryOutcome{refused(writ.CodeOf(j.unread), j.unread.Error())}, nil
	}
	outcomes := make([]writ.DeliveryOutcome, 0, len(j.messages))
	for i := range j.messages {
		m := &j.messages[i]
		of, err := s.message(ctx, j, m, keyIn(j, m, i))
		if err != nil {
			return nil, err
		}
		for n := range of {
			of[n].Kind, of[n].Sender = string(m.Kind), writ.Clip(m.Sender.ID, maxName)
		}
		outcomes = append(outcomes, of...)
	}
	return outcomes, nil
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

func ignored(why string) []writ.DeliveryOutcome {
	return []writ.DeliveryOutcome{{Status: writ.DeliveryIgnored, Message: writ.Clip(why, maxWhy)}}
}

// message is what comes of one: as many outcomes as it sets off.
func (s *Service) message(ctx context.Context, j *job, m *Message, key string) ([]writ.DeliveryOutcome, error) {
	if m.Kind == Passing {
		return ignored(m.Why), nil
	}
	member := memberOf(j.channel, m.Sender.ID)
	switch {
	case member == nil && j.channel.Unmapped == contract.UnmappedIgnore:
		return ignored("the sender is no member of the channel"), nil
	case member == nil:
		return []writ.DeliveryOutcome{refused(writ.CodeForbidden, "the sender is no member of the channel")}, nil
	}
	by, err := s.opts.Principals.Principal(ctx, j.tenant, member.PrincipalID)
	if writ.IsCode(err, writ.CodeNotFound) {
		gone := refused(writ.CodeForbidden, "the principal of this sender does not exist")
		gone.Principal = member.PrincipalID
		return []writ.DeliveryOutcome{gone}, nil
	}
	if err != nil {
		return nil, err
	}
	acting := *by
	acting.Source, acting.Strength = "channel:"+string(j.channel.Name), writ.StrengthChannel
	acting.Capabilities = slices.DeleteFunc(slices.Clone(by.Capabilities), func(c string) bool {
		return c != contract.CapCore && c != contract.CapApproval // a chat administers nothing
	})
	ctx = writ.WithPrincipal(ctx, &acting)
	var outcomes []writ.DeliveryOutcome
	for i := range j.channel.Triggers {
		t := &j.channel.Triggers[i]
		if m.Kind != Happened || !setOff(t.Event, m.Event) {
			continue
		}
		o, err := s.submit(ctx, &contract.IntentSubmitInput{
			WorkspaceID: acting.Workspace, Text: m.Text, ChannelKey: keyOf(j.channel.Name), Origin: writ.OriginChannel, Metadata: contract.Object(m.Metadata),
			IdempotencyKey: fmt.Sprintf("%s/%d", key, i), Draft: t.Draft, DraftName: "trigger " + t.Event, Run: true,
		})
		if err != nil {
			return nil, err
		}
		o.Principal = acting.ID
		outcomes = append(outcomes, *o)
	}
	if len(outcomes) == 0 {
		return ignored("nothing here is set off by it"), nil
	}
	return outcomes, nil
}

// setOff reports whether an event is meant by the name of a trigger.
func setOff(trigger, event string) bool {
	start, open := strings.CutSuffix(trigger, "*")
	return event != "" && (trigger == event || open && strings.HasPrefix(event, start))
}

// keyOf is the channel as intents and freezes name it: "github:acme".
func keyOf(name writ.ChannelName) string { return strings.Replace(string(name), "/", ":", 1) }

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

// submit hands an intent over. What the host cannot take now, or somebody has frozen,
// is an error and tried again; any other refusal is the outcome.
func (s *Service) submit(ctx context.Context, in *contract.IntentSubmitInput) (*writ.DeliveryOutcome, error) {
	out, err := contract.Invoke(ctx, s.opts.Caller, contract.IntentSubmit, in)
	if err == nil {
		return &writ.DeliveryOutcome{Status: writ.DeliverySubmitted, Execution: out.ExecutionID}, nil
	}
	switch writ.CodeOf(err) {
	case writ.CodeUnavailable, writ.CodeTimeout, writ.CodeFrozen, writ.CodeLimited, writ.CodeCancelled, writ.CodeInternal:
		return nil, err
	}
	o := refused(writ.CodeOf(err), err.Error())
	if o.Code == writ.CodePlanRejected || o.Code == writ.CodeBlocked {
		// The intent is kept, with what was wrong with it: the same key finds it.
		kept := *in
		kept.Run = false
		out, err := contract.Invoke(ctx, s.opts.Caller, contract.IntentSubmit, &kept)
		if err != nil {
			return nil, err
		}
		o.Execution = out.ExecutionID
	}
	return &o, nil
}
