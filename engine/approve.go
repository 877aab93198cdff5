package engine

import (
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// proposal is a call that people are asked about, with what the policy said of it.
type proposal struct {
	facts    *writ.CallFacts
	decision *writ.NewRecord // nil in traces of earlier versions, which did not record it
}

// verdict is what the policy said of the call, nil where nothing is known.
func (p *proposal) verdict() *writ.Verdict {
	if p == nil || p.decision == nil {
		return nil
	}
	return &p.decision.Body.Decided.Verdict
}

// propose opens an approval for the step, or for the call that its guest wants
// to make, and leaves the step waiting. It returns nil: there is no record that
// ends the dispatch.
func (x *execution) propose(d *dispatch, call *proposal) *writ.NewRecord {
	x.mu.Lock()
	defer x.mu.Unlock()
	request, err := x.requestFor(d, call, x.now())
	if err != nil {
		x.broken = err
		return nil
	}
	records := []writ.NewRecord{}
	if call != nil {
		facts := call.facts
		call.decision.Time = request.OpenedAt
		records = append(records, *call.decision, writ.NewRecord{
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
// verdicts and the proposed call; only the moment is a fact of its own. The
// caller holds mu.
func (x *execution) requestFor(d *dispatch, call *proposal, now writ.Time) (*writ.ApprovalRequest, error) {
	if d.verdict == nil {
		return nil, writ.Errorf(writ.CodeTampered, "step "+d.step.Name, "there is no verdict to approve under")
	}
	asked := asks(d.verdict, call.verdict())
	request := &writ.ApprovalRequest{
		Tenant: x.tenant, Execution: x.id, PlanHash: x.plan.Hash, Step: d.step.ID, StepName: d.step.Name,
		Skill: d.step.Skill, Action: d.step.Action, Effect: d.step.Effect, Risk: asked.Risk,
		Input: d.resolved.Input, Capabilities: orEmpty(d.resolved.Capabilities), Taint: orEmpty(x.shown(d, call)),
		Summary: summary(d, call), Reasons: orEmpty(asked.Reasons), Requirement: asked.Approvals,
		PolicyDigest: d.verdict.PolicyDigest, Requester: x.state.Principal.ID,
		OnBehalfOf: orEmpty(x.state.Principal.OnBehalfOf), OpenedAt: now,
		DecideBy: now.Add(asked.Approvals.ExpiresIn.Std()),
	}
	request.ExecuteBy = request.DecideBy.Add(defaultExecuteWithin)
	request.Compensation = compensationOf(d.step)
	if x.plan.Plan.Rules > 0 {
		request.Flows = x.engine.Planner.Flows(x.plan.Plan, d.step, x.scope(d.step, &d.skill.Release))
	}
	if x.state.Draft != nil {
		request.Authors = x.state.Draft.Authors
	}
	if call != nil {
		request.Call = &writ.ProposedCall{Tool: call.facts.Tool, Digest: call.facts.Digest, Arguments: call.facts.Arguments}
	}
	return request, nil
}

// shown is the labels that an approver sees: of the step's input, or of all that
// its guest knew when it wanted the call.
func (x *execution) shown(d *dispatch, call *proposal) []writ.Label {
	if call == nil || x.plan.Plan.Rules == 0 {
		return d.resolved.Taint
	}
	return d.seen()
}

// asks is what people are asked under: the step's verdict, and where the policy
// wants them to see the call, also what it said of that. A step may go by itself
// until it makes a call that may not.
func asks(step, call *writ.Verdict) *writ.Verdict {
	if call == nil || call.Mode != writ.Assist {
		return step
	}
	v := *step
	v.Risk = v.Risk.Join(call.Risk)
	v.Reasons = slices.Concat(step.Reasons, call.Reasons)
	if step.Mode != writ.Assist {
		v.Approvals, v.Reasons = call.Approvals, call.Reasons
	}
	v.Approvals = v.Approvals.Join(&call.Approvals)
	settle(&v.Approvals)
	return &v
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
	public.Input, public.Compensation, public.Flows = nil, nil, nil
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

func summary(d *dispatch, call *proposal) string {
	text := string(d.step.Skill.Key) + " " + d.step.Action
	if call != nil {
		text += ": " + call.facts.Target.String()
	}
	return text
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
		x.observe(a, nil, x.now())
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
