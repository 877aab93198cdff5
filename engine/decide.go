package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Delegations finds in whose place a person may decide.
type Delegations interface {
	// DelegatedTo are the delegations to p that hold now, each with those of its
	// roles that the absent person still has.
	DelegatedTo(ctx context.Context, p *writ.Principal) ([]writ.Delegation, error)
}

// ExecutionApprove is the handler of contract.ExecutionApprove. CodeForbidden
// without a registered key's signature, for who asked for the step or wrote it,
// for anybody but a human with one of the roles; CodeConflict where nothing is
// pending or the digest is another; CodeExpired past the deadline.
func (e *Engine) ExecutionApprove(ctx context.Context, in *contract.ExecutionApproveInput) (*contract.ExecutionApproveOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if _, err := p.Claim("approvedBy", in.ApprovedBy); err != nil {
		return nil, err
	}
	via, err := e.Approvals.VerifyApproval(ctx, p, writ.Word{Digest: in.ApprovalDigest, For: in.For}, in.Signature)
	if err != nil {
		return nil, err
	}
	w, err := e.wordOf(ctx, p, in.For)
	if err != nil {
		return nil, err
	}
	w.step, w.digest, w.decision.Via = in.StepID, in.ApprovalDigest, via
	w.decision.Approved, w.decision.Note, w.decision.Signature = true, in.Note, in.Signature
	a, err := x.decide(w)
	if err != nil {
		return nil, err
	}
	if err := x.barrier(ctx); err != nil {
		return nil, err
	}
	out := &contract.ExecutionApproveOutput{Result: contract.Result{Status: string(a.Status), ChangedAt: w.decision.At}}
	out.Granted, out.Required = a.Granted(), max(1, a.Request.Requirement.Count)
	out.Missing = contract.SeatsFrom(a.Missing(&a.Request.Requirement))
	return out, nil
}

// ExecutionReject is the handler of contract.ExecutionReject. One rejection of
// anyone entitled ends the step.
func (e *Engine) ExecutionReject(ctx context.Context, in *contract.ExecutionRejectInput) (*contract.ExecutionRejectOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if _, err := p.Claim("rejectedBy", in.RejectedBy); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Reason) == "" {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "reject", Place: "reason", Message: "a rejection needs a reason", Fix: "say why, so that the requester can act on it"}
	}
	w, err := e.wordOf(ctx, p, in.For)
	if err != nil {
		return nil, err
	}
	// Who is authenticated by this host needs no signature to say no.
	if p.Strength == writ.StrengthChannel || len(in.Signature) > 0 {
		word := writ.Word{Digest: in.ApprovalDigest, For: in.For, Rejected: true}
		if w.decision.Via, err = e.Approvals.VerifyApproval(ctx, p, word, in.Signature); err != nil {
			return nil, err
		}
		w.decision.Signature = in.Signature
	}
	w.step, w.digest, w.decision.Note = in.StepID, in.ApprovalDigest, in.Reason
	a, err := x.decide(w)
	if err != nil {
		return nil, err
	}
	if err := x.barrier(ctx); err != nil {
		return nil, err
	}
	return &contract.ExecutionRejectOutput{Result: contract.Result{Status: string(a.Status), ChangedAt: w.decision.At}}, nil
}

// word is what a person says to one request. The zero decision is a no.
type word struct {
	p          *writ.Principal
	roles      []string         // in which p decides: its own, or those of the absent person
	absent     writ.PrincipalID // in whose place; empty: p's own
	delegation string
	step       writ.StepID
	digest     writ.Digest
	decision   *writ.Decision
}

// wordOf is a word of p, in the place of another person where one is named.
// CodeForbidden where that person has not delegated to p for now.
//
// CodeFrozen where one of the two is frozen, or the channel in which p decides: people
// go on to decide about what is frozen, and who is frozen decides nothing.
func (e *Engine) wordOf(ctx context.Context, p *writ.Principal, absent writ.PrincipalID) (*word, error) {
	channel := ""
	if p.Strength == writ.StrengthChannel {
		name, _ := strings.CutPrefix(p.Source, "channel:")
		channel = writ.ChannelName(name).Key()
	}
	for _, who := range []*writ.Principal{p, {ID: absent}} {
		f, err := e.Freezes.Frozen(ctx, p.Tenant, &writ.FreezeTarget{Principal: who, Channel: channel, Named: true})
		if err != nil {
			return nil, err
		}
		if f != nil {
			return nil, f.Refusal("approval", "let somebody decide who is not frozen; see `writ freeze list`")
		}
	}
	if absent == "" || absent == p.ID {
		return &word{p: p, roles: p.Roles, decision: &writ.Decision{By: p.ID}}, nil
	}
	words, err := e.wordsOf(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		if w.absent == absent {
			w.decision = &writ.Decision{By: p.ID, For: absent, Delegation: w.delegation}
			return w, nil
		}
	}
	return nil, writ.Errorf(writ.CodeForbidden, "approval", "%s has not delegated to %s, or not for now", absent, p.ID).
		WithFix("see `writ approval delegations`")
}

// decide applies a person's word to the pending approval of a step.
func (x *execution) decide(w *word) (writ.Approval, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	decision := w.decision
	decision.At = x.now()
	a, err := x.decidable(w)
	if err != nil {
		return writ.Approval{}, err
	}
	facts := &writ.ApprovalFacts{Digest: a.Digest, Status: a.After(decision), Decision: decision}
	step, _ := x.planned(string(w.step))
	attempt := x.state.Step(string(w.step)).Attempt
	records := []writ.NewRecord{{
		Type: writ.RecApprovalDecided, Step: w.step, Attempt: attempt, Time: decision.At,
		Actor: x.auditOf(w.p), Body: writ.Body{Approval: facts},
	}}
	if !decision.Approved {
		records = append(records, stepEnded(writ.RecStepRejected, step, attempt, &writ.EndedFacts{Reason: decision.Note}))
	}
	if err := x.append(records...); err != nil {
		return writ.Approval{}, err
	}
	applyDecision(a, facts, decision.At)
	x.observe(a, decision, decision.At)
	decided := *a
	x.advance()
	return decided, nil
}

// decidable checks that the word may be said now. The caller holds mu.
func (x *execution) decidable(w *word) (*writ.Approval, error) {
	op := "approval of step " + string(w.step)
	if err := x.unedited(); err != nil {
		return nil, err
	}
	state := x.state.Step(string(w.step))
	if state == nil {
		return nil, writ.Errorf(writ.CodeNotFound, op, "execution %s has no such step", x.id).WithFix("see `writ exec get %s`", x.id)
	}
	a := x.approval(state.ID)
	if a == nil || !a.Open() || state.Status != writ.StepAwaitingApproval {
		return nil, writ.Errorf(writ.CodeConflict, op, "nothing is pending: %s", closedBy(a, state)).WithFix("see `writ approval list`")
	}
	if w.digest != a.Digest && (w.decision.Approved || w.digest != "") {
		return nil, writ.Errorf(writ.CodeConflict, op, "what is pending is %s, not what you saw", a.Digest).WithFix("look at it again with `writ approval list`, then decide")
	}
	if x.now() >= a.Request.DecideBy {
		x.expireApprovals()
		x.advance()
		return nil, writ.Errorf(writ.CodeExpired, op, "the deadline was %s", a.Request.DecideBy).WithFix("submit the intent again")
	}
	return a, w.entitled(a, op)
}

// closedBy says who was faster, or what the step does instead of waiting.
func closedBy(a *writ.Approval, state *writ.StepState) string {
	if a == nil || a.Open() || len(a.Decisions) == 0 {
		return "the step is " + string(state.Status)
	}
	last := &a.Decisions[len(a.Decisions)-1]
	return "it was " + string(a.Status) + " by " + string(last.By) + " at " + last.At.String() + "; the step is " + string(state.Status)
}

// entitled holds who may decide: people alone, never those who asked for the step
// or wrote it, and each of them once. It notes by which roles.
func (w *word) entitled(a *writ.Approval, op string) error {
	p, d := w.p, w.decision
	if p.Kind != writ.Human || !p.Strength.Acts() && d.Via == nil {
		return writ.Errorf(writ.CodeForbidden, op, "only an authenticated person decides; %s is a %s", p.ID, p.Kind).WithFix("authenticate as a person who has the role %s", approverRole)
	}
	if !a.Request.Takes(d) {
		return writ.Errorf(writ.CodeForbidden, op, "its risk is %s, about which nobody decides in a channel", a.Request.Risk).
			WithFix("decide with `writ exec approve %s %s` or `writ exec reject`", a.Request.Execution, a.Request.StepName)
	}
	roles := a.Request.Requirement.Deciders(a.Status == writ.ApprovalEscalated)
	for _, role := range roles {
		if slices.Contains(w.roles, role) {
			d.Roles = append(d.Roles, role)
		}
	}
	if len(roles) > 0 && len(d.Roles) == 0 {
		return writ.Errorf(writ.CodeForbidden, op, "%s has none of the roles %s", cmp.Or(d.For, p.ID), strings.Join(roles, ", ")).
			WithFix("ask somebody who has one, or decide for somebody who has delegated to you with --for")
	}
	if !d.Approved {
		return nil
	}
	for _, who := range []*writ.Principal{p, {ID: d.For}} {
		if asked := a.Request.Excludes(who); asked != "" && who.ID != "" {
			return writ.Errorf(writ.CodeForbidden, op, "%s asked for this step or wrote it, so %s does not count as its approver", asked, who.ID).
				WithFix("let another person approve, or submit with an agent's token: `writ token create --kind agent --name NAME`")
		}
	}
	if earlier := a.Repeats(d); earlier != nil {
		return writ.Errorf(writ.CodeConflict, op, "%s has approved already; another person must", said(earlier))
	}
	return nil
}

// said names who decided: "human:bob for human:ada".
func said(d *writ.Decision) string {
	if d.For == "" {
		return string(d.By)
	}
	return string(d.By) + " for " + string(d.For)
}
