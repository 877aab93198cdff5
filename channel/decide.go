package channel

import (
	"context"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// ruling is what a person says about a request.
type ruling struct {
	ref      string // empty: the one that waits in the thread
	approved bool
	note     string
	pressed  bool // a button; whoever presses it sees the message change
}

// pressed is what comes of a button.
func (s *Service) pressed(ctx context.Context, c *come, h *heard) error {
	press := h.m.Press
	if press == nil || press.Action != actApprove && press.Action != actReject {
		c.add(h.m, ignored("nothing here is set off by it"))
		return nil
	}
	adapter, err := s.adapterOf(h.channel.Name)
	if err != nil {
		return err
	}
	r := &ruling{ref: press.Value, approved: press.Action == actApprove, pressed: true}
	if adapter.Traits().Writes {
		r.note = writ.Clip(strings.TrimSpace(h.m.Text), maxWhy)
	}
	if !referenceForm.MatchString(r.ref) { // never a bare word: what was pressed names one thing
		c.add(h.m, ignored("the button is none of this host's"))
		return nil
	}
	if !r.approved && r.note == "" {
		if adapter.Traits().Writes {
			c.add(h.m, writ.DeliveryOutcome{Status: writ.DeliveryRefused, Principal: h.acting.ID, Code: writ.CodeInvalid, Message: "a rejection needs a reason", Answer: answer(sayWriteWhy)})
			return nil
		}
		r.note = sayNoReason
	}
	return s.rule(ctx, c, h, r)
}

// rule hands a person's word over, as the host attests it. What the host cannot do now is
// an error and tried again: the word is about the same bytes then. Whatever else is wrong
// is the outcome, a freeze included: who is frozen does not decide once it ends.
func (s *Service) rule(ctx context.Context, c *come, h *heard, r *ruling) error {
	means, err := s.ruled(ctx, h, r)
	o := writ.DeliveryOutcome{Status: writ.DeliveryDecided, Principal: h.acting.ID, Message: "rejected"}
	if r.approved {
		o.Message = "approved"
	}
	if means != nil {
		o.Execution = means.Execution
	}
	switch writ.CodeOf(err) {
	case writ.CodeUnavailable, writ.CodeTimeout, writ.CodeCancelled, writ.CodeInternal:
		if err != nil {
			return err
		}
	}
	if err != nil {
		o.Status, o.Code, o.Message, o.Answer = writ.DeliveryRefused, writ.CodeOf(err), writ.Clip(err.Error(), maxWhy), sayRefused(err, o.Execution)
		c.add(h.m, o)
		return nil
	}
	if !r.pressed {
		all, err := s.requests(ctx, h.tenant, means.Execution)
		if err != nil {
			return err
		}
		if full := all[means.Digest]; full != nil {
			o.Answer = sayDecided(h.acting, full, r.approved, h.m.Thread == h.channel.AskIn)
		}
	}
	c.add(h.m, o)
	return nil
}

// ruled says a word to the engine.
func (s *Service) ruled(ctx context.Context, h *heard, r *ruling) (*refers, error) {
	at := lane{h.tenant, h.channel.Name}
	if !h.channel.Decides {
		return nil, writ.Errorf(writ.CodeForbidden, "approval", sayNoneDecide).WithFix("decide with `writ exec approve` or `writ exec reject`")
	}
	m := memberOf(h.channel, h.m.Sender.ID)
	if h.acting.Kind == writ.Human && (m == nil || m.Sender != h.m.Sender.ID) { // a star is nobody in particular
		return nil, writ.Errorf(writ.CodeForbidden, "approval", "only a member by their own id decides").WithFix("map the sender to a person: --member SENDER=human:NAME")
	}
	if r.ref == "" {
		ref, err := s.only(ctx, h, r.approved)
		if err != nil {
			return nil, err
		}
		r.ref = ref
	}
	means, err := s.meantBy(ctx, at, r.ref)
	if err != nil {
		return nil, err
	}
	word := writ.Word{Digest: means.Digest, Rejected: !r.approved}
	via := &writ.Via{Channel: h.channel.Name, Sender: h.m.Sender.ID, Delivery: h.stream}
	signature, err := s.opts.Attest(ctx, h.acting, word, via)
	if err != nil {
		return means, err
	}
	if r.approved {
		_, err = contract.Invoke(ctx, s.opts.Caller, contract.ExecutionApprove, &contract.ExecutionApproveInput{
			ExecutionID: means.Execution, StepID: means.Step, ApprovalDigest: means.Digest, Note: r.note, Signature: signature,
		})
	} else {
		_, err = contract.Invoke(ctx, s.opts.Caller, contract.ExecutionReject, &contract.ExecutionRejectInput{
			ExecutionID: means.Execution, StepID: means.Step, ApprovalDigest: means.Digest, Reason: r.note, Signature: signature,
		})
	}
	if writ.IsCode(err, writ.CodeConflict) && s.saidBefore(ctx, h, means, r.approved) {
		return means, nil // it was taken, and the host went down before that was noted
	}
	return means, err
}

// saidBefore reports whether this delivery decided so already.
func (s *Service) saidBefore(ctx context.Context, h *heard, means *refers, approved bool) bool {
	all, err := s.requests(ctx, h.tenant, means.Execution)
	if err != nil || all[means.Digest] == nil {
		return false
	}
	for i := range all[means.Digest].Decisions {
		d := &all[means.Digest].Decisions[i]
		if d.By == h.acting.ID && d.Approved == approved && d.Via != nil && d.Via.Delivery == h.stream {
			return true
		}
	}
	return false
}
