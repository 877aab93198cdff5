package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// propose opens an approval for the step, or for the call that its guest wants
// to make, and leaves the step waiting. It returns nil: there is no record that
// ends the dispatch.
func (x *execution) propose(d *dispatch, facts *writ.CallFacts) *writ.NewRecord {
	x.mu.Lock()
	defer x.mu.Unlock()
	request, err := x.requestFor(d, facts, x.now())
	if err != nil {
		x.broken = err
		return nil
	}
	records := []writ.NewRecord{}
	if facts != nil {
		records = append(records, writ.NewRecord{
			Type: writ.RecCallProposed, Time: request.OpenedAt, Step: d.step.ID, Attempt: d.attempt.number,
			Body: writ.Body{Call: &writ.CalledFacts{
				Sequence: facts.Sequence, Tool: facts.Tool, Effect: facts.Effect, Idempotent: facts.Idempotent,
				Digest: facts.Digest, Summary: facts.Target.String(),
			}},
			Payloads: []writ.Payload{{Name: writ.PayloadArguments, Data: facts.Arguments}},
		})
	}
	opened, approval, err := openRecord(request, d.attempt.number)
	if err != nil {
		x.broken = err
		return nil
	}
	if x.append(append(records, opened)...) == nil {
		x.approvals[d.step.ID] = append(x.approvals[d.step.ID], approval)
	}
	return nil
}

// requestFor is the document that is approved. It follows from the plan, the
// verdict and the proposed call; only the moment is a fact of its own. The
// caller holds mu.
func (x *execution) requestFor(d *dispatch, facts *writ.CallFacts, now writ.Time) (*writ.ApprovalRequest, error) {
	if d.verdict == nil {
		return nil, writ.Errorf(writ.CodeTampered, "step "+d.step.Name, "there is no verdict to approve under")
	}
	requirement := d.verdict.Approvals
	request := &writ.ApprovalRequest{
		Tenant: x.tenant, Execution: x.id, PlanHash: x.plan.Hash, Step: d.step.ID, StepName: d.step.Name,
		Skill: d.step.Skill, Action: d.step.Action, Effect: d.step.Effect, Risk: d.verdict.Risk,
		Input: d.resolved.Input, Capabilities: orEmpty(d.resolved.Capabilities), Taint: orEmpty(d.resolved.Taint),
		Summary: summary(d, facts), Reasons: orEmpty(d.verdict.Reasons), Requirement: requirement,
		PolicyDigest: d.verdict.PolicyDigest, Requester: x.state.Principal.ID,
		OnBehalfOf: orEmpty(x.state.Principal.OnBehalfOf), OpenedAt: now,
		DecideBy: now.Add(requirement.ExpiresIn.Std()),
	}
	request.ExecuteBy = request.DecideBy.Add(defaultExecuteWithin)
	request.Compensation = compensationOf(d.step)
	if facts != nil {
		request.Call = &writ.ProposedCall{Tool: facts.Tool, Digest: facts.Digest, Arguments: facts.Arguments}
	}
	return request, nil
}

// openRecord keeps the request's data out of the record: the payload holds it,
// so that it can expire.
func openRecord(request *writ.ApprovalRequest, attempt int) (writ.NewRecord, *writ.Approval, error) {
	digest, err := request.Digest()
	if err != nil {
		return writ.NewRecord{}, nil, err
	}
	raw, err := canon.MarshalJSON(request)
	if err != nil {
		return writ.NewRecord{}, nil, err
	}
	public := *request
	public.Input, public.Compensation = nil, nil
	if request.Call != nil {
		public.Call = &writ.ProposedCall{Tool: request.Call.Tool, Digest: request.Call.Digest}
	}
	record := writ.NewRecord{
		Type: writ.RecApprovalOpened, Step: request.Step, Attempt: attempt, Time: request.OpenedAt,
		Body:     writ.Body{Approval: &writ.ApprovalFacts{Digest: digest, Status: writ.ApprovalPending, Request: &public}},
		Payloads: []writ.Payload{{Name: writ.PayloadRequest, Data: raw}, {Name: writ.PayloadInput, Data: request.Input}},
	}
	return record, &writ.Approval{Digest: digest, Status: writ.ApprovalPending, Request: *request}, nil
}

func summary(d *dispatch, facts *writ.CallFacts) string {
	text := string(d.step.Skill.Key) + " " + d.step.Action
	if facts != nil {
		text += ": " + facts.Target.String()
	}
	return text
}

// ExecutionApprove is the handler of contract.ExecutionApprove. CodeForbidden
// without a registered key's signature, for the requester, for anybody but a
// human with one of the roles; CodeConflict where nothing is pending or the
// digest is another; CodeExpired past the deadline.
func (e *Engine) ExecutionApprove(ctx context.Context, in *contract.ExecutionApproveInput) (*contract.ExecutionApproveOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if _, err := p.Claim("approvedBy", in.ApprovedBy); err != nil {
		return nil, err
	}
	if err := e.Approvals.VerifyApproval(ctx, p, in.ApprovalDigest, in.Signature); err != nil {
		return nil, err
	}
	a, err := x.decide(p, in.StepID, in.ApprovalDigest, &writ.Decision{
		By: p.ID, Approved: true, Note: in.Note, Signature: in.Signature,
	})
	if err != nil {
		return nil, err
	}
	if err := x.barrier(ctx); err != nil {
		return nil, err
	}
	return &contract.ExecutionApproveOutput{Result: contract.Result{Status: string(a.Status), ChangedAt: e.Clock.Now()}}, nil
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
	a, err := x.decide(p, in.StepID, in.ApprovalDigest, &writ.Decision{By: p.ID, Note: in.Reason})
	if err != nil {
		return nil, err
	}
	if err := x.barrier(ctx); err != nil {
		return nil, err
	}
	return &contract.ExecutionRejectOutput{Result: contract.Result{Status: string(a.Status), ChangedAt: e.Clock.Now()}}, nil
}

// decide applies a person's word to the pending approval of a step.
func (x *execution) decide(p *writ.Principal, id writ.StepID, digest writ.Digest, decision *writ.Decision) (writ.Approval, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	decision.At = x.now()
	a, err := x.decidable(p, id, digest, decision.Approved)
	if err != nil {
		return writ.Approval{}, err
	}
	facts := &writ.ApprovalFacts{Digest: a.Digest, Status: a.Status, Decision: decision}
	step, _ := x.planned(string(id))
	attempt := x.state.Step(string(id)).Attempt
	records := []writ.NewRecord{{
		Type: writ.RecApprovalDecided, Step: id, Attempt: attempt, Time: decision.At,
		Actor: x.auditOf(p), Body: writ.Body{Approval: facts},
	}}
	switch {
	case !decision.Approved:
		facts.Status = writ.ApprovalRejected
		records = append(records, stepEnded(writ.RecStepRejected, step, attempt, &writ.EndedFacts{Reason: decision.Note}))
	case a.Granted()+1 >= max(1, a.Request.Requirement.Count):
		facts.Status = writ.ApprovalApproved
	}
	if err := x.append(records...); err != nil {
		return writ.Approval{}, err
	}
	applyDecision(a, facts, decision.At)
	x.advance()
	return *a, nil
}

// decidable checks that p may decide this approval now. The caller holds mu.
func (x *execution) decidable(p *writ.Principal, id writ.StepID, digest writ.Digest, approving bool) (*writ.Approval, error) {
	op := "approval of step " + string(id)
	state := x.state.Step(string(id))
	if state == nil {
		return nil, writ.Errorf(writ.CodeNotFound, op, "execution %s has no such step", x.id).WithFix("see `writ exec get %s`", x.id)
	}
	a := x.approval(state.ID)
	if a == nil || !a.Open() || state.Status != writ.StepAwaitingApproval {
		return nil, writ.Errorf(writ.CodeConflict, op, "nothing is pending: the step is %s", state.Status).WithFix("see `writ approval list`")
	}
	if digest != a.Digest && (approving || digest != "") {
		return nil, writ.Errorf(writ.CodeConflict, op, "what is pending is %s, not what you saw", a.Digest).WithFix("look at it again with `writ approval list`, then decide")
	}
	if x.now() >= a.Request.DecideBy {
		x.expireApprovals()
		x.advance()
		return nil, writ.Errorf(writ.CodeExpired, op, "the deadline was %s", a.Request.DecideBy).WithFix("submit the intent again")
	}
	return a, x.entitled(p, a, approving, op)
}

// entitled holds who may decide: people alone, never those in whose name the
// step was asked for, and each of them once.
func (x *execution) entitled(p *writ.Principal, a *writ.Approval, approving bool, op string) error {
	if p.Kind != writ.Human || !p.Strength.Acts() {
		return writ.Errorf(writ.CodeForbidden, op, "only an authenticated person decides; %s is a %s", p.ID, p.Kind).WithFix("authenticate as a person who has the role %s", approverRole)
	}
	roles := a.Request.Requirement.Roles
	if a.Status == writ.ApprovalEscalated {
		roles = slices.Concat(roles, a.Request.Requirement.EscalateTo)
	}
	if len(roles) > 0 && !slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(p.Roles, role) }) {
		return writ.Errorf(writ.CodeForbidden, op, "%s has none of the roles %s", p.ID, strings.Join(roles, ", "))
	}
	if !approving {
		return nil
	}
	if p.ID == a.Request.Requester || slices.Contains(a.Request.OnBehalfOf, p.ID) {
		return writ.Errorf(writ.CodeForbidden, op, "%s asked for this step and does not count as its approver", p.ID).
			WithFix("let another person approve, or submit with an agent's token: `writ token create --kind agent --name NAME`")
	}
	for _, earlier := range a.Decisions {
		if earlier.By == p.ID {
			return writ.Errorf(writ.CodeConflict, op, "%s has approved already; another person must", p.ID)
		}
	}
	return nil
}

// escalationTime is when the approval widens, zero where it does not or has.
func escalationTime(a *writ.Approval) writ.Time {
	if a.Status != writ.ApprovalPending || a.Request.Requirement.EscalateAfter <= 0 || len(a.Request.Requirement.EscalateTo) == 0 {
		return 0
	}
	return a.Request.OpenedAt.Add(a.Request.Requirement.EscalateAfter.Std())
}

// expireApprovals records what the clock alone decides: escalation, and at the
// deadline the end of the step. It never allows anything. The caller holds mu.
func (x *execution) expireApprovals() {
	now := x.now()
	for step := range x.steps() {
		a := x.approval(step.ID)
		if a == nil || !a.Open() || x.state.Step(string(step.ID)).Status != writ.StepAwaitingApproval {
			continue
		}
		attempt := x.state.Step(string(step.ID)).Attempt
		if now >= a.Request.DecideBy {
			x.closeApproval(step, a, attempt)
			continue
		}
		if at := escalationTime(a); at != 0 && now >= at {
			facts := &writ.ApprovalFacts{Digest: a.Digest, Status: writ.ApprovalEscalated}
			if x.append(writ.NewRecord{Type: writ.RecApprovalEscalated, Step: step.ID, Attempt: attempt, Body: writ.Body{Approval: facts}}) == nil {
				applyDecision(a, facts, now)
			}
		}
	}
}

func (x *execution) closeApproval(step *writ.Step, a *writ.Approval, attempt int) {
	facts := &writ.ApprovalFacts{Digest: a.Digest, Status: writ.ApprovalExpired}
	err := x.append(
		writ.NewRecord{Type: writ.RecApprovalExpired, Step: step.ID, Attempt: attempt, Body: writ.Body{Approval: facts}},
		stepEnded(writ.RecStepExpired, step, attempt, &writ.EndedFacts{Reason: "nobody decided before " + a.Request.DecideBy.String()}),
	)
	if err == nil {
		applyDecision(a, facts, x.now())
	}
}

// tooLate ends a step whose approval was given but whose time to be executed
// has passed.
func (x *execution) tooLate(d *dispatch, approvals []*writ.Approval) *writ.NewRecord {
	now := x.time()
	for _, a := range approvals {
		if now >= a.Request.ExecuteBy {
			record := stepEnded(writ.RecStepExpired, d.step, x.attemptNumber(d.step), &writ.EndedFacts{
				Reason: "it was approved but not executed before " + a.Request.ExecuteBy.String(),
			})
			return &record
		}
	}
	return nil
}

func (x *execution) attemptNumber(step *writ.Step) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state.Step(string(step.ID)).Attempt
}
