package engine

import (
	"context"
	"errors"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// caller authenticates and finds the execution in the caller's tenant.
func (e *Engine) caller(ctx context.Context, id writ.ExecutionID) (*writ.Principal, *execution, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, nil, err
	}
	x, err := e.open(ctx, p.Tenant, id)
	return p, x, err
}

// PlanCompile is the handler of contract.PlanCompile. CodePlanRejected carries
// the problems; a corrected draft may then be compiled for the same intent.
func (e *Engine) PlanCompile(ctx context.Context, in *contract.PlanCompileInput) (*contract.PlanCompileOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	catalogue, err := e.Skills.Catalogue(ctx, p.Tenant)
	if err != nil {
		return nil, err
	}
	compiled, rejected, err := x.compile(p, in, catalogue)
	if err != nil {
		return nil, err
	}
	if err := x.barrier(ctx); err != nil {
		return nil, err
	}
	if rejected != nil {
		return nil, rejected
	}
	at := x.snapshot().UpdatedAt
	return &contract.PlanCompileOutput{
		Result: contract.Result{Status: string(writ.ExecCompiled), ChangedAt: at},
		PlanID: compiled.ID, CompiledAt: at, StepCount: len(compiled.Plan.Steps), DeterministicHash: compiled.Hash,
	}, nil
}

func (x *execution) compile(p *writ.Principal, in *contract.PlanCompileInput, catalogue writ.Catalogue) (*writ.CompiledPlan, error, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	op := "execution " + string(x.id)
	switch {
	case in.IntentID != "" && in.IntentID != x.state.IntentID:
		return nil, nil, writ.Errorf(writ.CodeInvalid, op, "its intent is %s", x.state.IntentID).WithFix("send that intentId, or leave it out")
	case x.state.RunID != "" || (x.state.Status.Final() && x.state.PlanHash != ""):
		return nil, nil, writ.Errorf(writ.CodeConflict, op, "it has been started; its plan is fixed").WithFix("submit a new intent")
	}
	if in.Draft != "" && x.state.EditedFrom != nil {
		return nil, nil, writ.Errorf(writ.CodeConflict, op, "its draft is an edited one, and stays so").WithFix("submit a new intent")
	}
	if in.Draft != "" {
		facts := &writ.IntentFacts{ID: x.state.IntentID, Workspace: x.state.Workspace, ChannelKey: x.state.ChannelKey, Origin: authorOf(x.state.Origin, p.Kind)}
		facts.Authors = x.authors(p)
		record := interpreted(facts, in.Draft, in.DraftFormat, in.DraftName)
		record.Actor = x.auditOf(p)
		if err := x.append(record); err != nil {
			return nil, nil, err
		}
		x.draft = []byte(in.Draft)
	}
	if len(x.draft) == 0 {
		return nil, nil, writ.Errorf(writ.CodeInvalid, op, "there is no draft to compile").WithFix("send `draft`, or submit the intent with one")
	}
	noting := &notedCatalogue{Catalogue: catalogue}
	compiled, rejection := x.engine.Planner.Compile(x.compileNow(noting))
	if rejection != nil {
		var e *writ.Error
		if !errors.As(rejection, &e) || e.Code != writ.CodePlanRejected {
			return nil, nil, rejection
		}
		problems, _ := e.Details.([]writ.Problem)
		err := x.append(writ.NewRecord{Type: writ.RecPlanRejected, Actor: x.auditOf(p), Body: writ.Body{
			Plan: &writ.CompiledFacts{Problems: problems, Resolutions: noting.resolutions},
		}})
		return nil, rejection, err
	}
	facts := &writ.CompiledFacts{ID: compiled.ID, Hash: compiled.Hash, Steps: plannedSteps(compiled.Plan), Templates: plannedTemplates(compiled.Plan), Law: compiled.Plan.Law, Resolutions: noting.resolutions}
	err := x.append(writ.NewRecord{
		Type: writ.RecPlanCompiled, Actor: x.auditOf(p), Body: writ.Body{Plan: facts},
		Payloads: []writ.Payload{{Name: writ.PayloadPlan, Data: compiled.Bytes}},
	})
	if err != nil {
		return nil, nil, err
	}
	x.plan = compiled
	return compiled, nil, nil
}

// authors are those who write a draft for somebody else's intent: p, and who p acts
// for. The caller holds mu.
func (x *execution) authors(p *writ.Principal) []writ.PrincipalID {
	if x.state.Principal == nil || p.ID == x.state.Principal.ID {
		return nil
	}
	return append([]writ.PrincipalID{p.ID}, p.OnBehalfOf...)
}

func (x *execution) compileRequest(catalogue writ.Catalogue) writ.CompileRequest {
	return writ.CompileRequest{
		Draft: writ.Interpretation{Source: x.state.Draft.Source, Format: x.state.Draft.Format, Name: x.state.Draft.Name, Raw: x.draft},
		Edits: x.edits, Origin: x.state.Draft.Origin, Intent: x.intent, Catalogue: catalogue,
	}
}

func plannedSteps(plan *writ.Plan) []writ.PlannedStep {
	out := make([]writ.PlannedStep, 0, len(plan.Steps))
	for i := range plan.Steps {
		out = append(out, plannedStep(&plan.Steps[i]))
	}
	return out
}

func plannedStep(s *writ.Step) writ.PlannedStep {
	return writ.PlannedStep{ID: s.ID, Name: s.Name, Skill: s.Skill, Action: s.Action, Needs: s.Needs, Effect: s.Effect, Risk: s.Risk}
}

// PlanVerify is the handler of contract.PlanVerify: one decision per step. It is
// provisional where a step's input is not known yet.
func (e *Engine) PlanVerify(ctx context.Context, in *contract.PlanVerifyInput) (*contract.PlanVerifyOutput, error) {
	_, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if err := x.checkPlan(in.PlanID); err != nil {
		return nil, err
	}
	judge := e.Judges.Active()
	advisory := in.PolicyVersion != "" && in.PolicyVersion != judge.Policy().Version && in.PolicyVersion != string(judge.Policy().Digest)
	if advisory {
		if judge, err = e.Judges.ByDigest(ctx, writ.Digest(in.PolicyVersion)); err != nil {
			return nil, err
		}
	}
	out, err := x.verify(ctx, judge, advisory)
	if err != nil {
		return nil, err
	}
	return out, x.barrier(ctx)
}

func (x *execution) checkPlan(id writ.PlanID) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	op := "execution " + string(x.id)
	if x.plan == nil {
		return writ.Errorf(writ.CodeConflict, op, "it has no plan: it is %s", x.state.Status).WithFix("run `writ plan compile %s`", x.id)
	}
	if id != "" && id != x.plan.ID {
		return writ.Errorf(writ.CodeInvalid, op, "its plan is %s", x.plan.ID).WithFix("send that planId, or leave it out")
	}
	return nil
}

func (x *execution) verify(ctx context.Context, judge writ.Judge, advisory bool) (*contract.PlanVerifyOutput, error) {
	out := &contract.PlanVerifyOutput{Verdict: writ.Autonomous, Advisory: advisory}
	records := make([]writ.NewRecord, 0, len(x.plan.Plan.Steps))
	for i := range x.plan.Plan.Steps {
		step := &x.plan.Plan.Steps[i]
		var err error
		before := len(records)
		if records, err = x.provisional(ctx, judge, step, records); err != nil {
			return nil, err
		}
		for k := range records[before:] {
			records[before+k].Body.Decided.Advisory = advisory
		}
		verdict := &records[len(records)-1].Body.Decided.Verdict
		out.Verdict = out.Verdict.Tighten(verdict.Mode)
		out.RequiresApproval = out.RequiresApproval || verdict.Mode == writ.Assist
		if verdict.Mode == writ.Blocked {
			out.BlockedReasons = append(out.BlockedReasons, contract.ReasonsFrom(step.ID, verdict.Reasons)...)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state.RunID != "" && !advisory {
		return nil, writ.Errorf(writ.CodeConflict, "execution "+string(x.id), "it has been started; its steps are judged again as they run")
	}
	if err := x.append(records...); err != nil {
		return nil, err
	}
	out.Status, out.ChangedAt, out.VerifiedAt = string(x.state.Status), x.state.UpdatedAt, x.state.UpdatedAt
	return out, nil
}

// provisional judges a step of the plan after its templates; last of them its
// compensation, whose verdict binds it. It adds what it decides to the records.
func (x *execution) provisional(ctx context.Context, judge writ.Judge, step *writ.Step, records []writ.NewRecord) ([]writ.NewRecord, error) {
	var undo *writ.Verdict
	order := []*writ.Step{}
	for _, planned := range templatesOf(step) {
		if made, ok := template(x.plan.Plan, planned.ID); ok && planned.ID != compensationID(step.ID) {
			order = append(order, made)
		}
	}
	if made := compensationOf(step); made != nil {
		order = append(order, made)
	}
	for _, s := range append(order, step) {
		question, err := x.provisionalQuestion(ctx, s)
		if err != nil {
			return nil, err
		}
		answer, err := judge.Judge(ctx, question)
		if err != nil {
			return nil, err
		}
		verdict := bound(effective(answer, nil, writ.Autonomous), undo)
		if s.ID == compensationID(step.ID) {
			undo = verdict
		}
		record, err := verdictRecord(writ.StageVerify, s.ID, question, verdict)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// provisionalQuestion judges a settled step with its exact input and any other
// with what is planned.
func (x *execution) provisionalQuestion(ctx context.Context, step *writ.Step) (*writ.Question, error) {
	if !step.Settled() {
		return x.stepQuestion(ctx, step, nil, 1)
	}
	skill, err := x.engine.Skills.Load(ctx, writ.LoadRequest{Tenant: x.tenant, Ref: step.Skill})
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	scope := x.scope(step, &skill.Release)
	x.mu.Unlock()
	resolved, err := x.engine.Planner.Resolve(x.plan.Plan, step, scope)
	if err != nil {
		return nil, err
	}
	return x.stepQuestion(ctx, step, resolved, 1)
}

// ExecutionCancel is the handler of contract.ExecutionCancel. A write in flight
// is waited for; steps that have not begun never will.
func (e *Engine) ExecutionCancel(ctx context.Context, in *contract.ExecutionCancelInput) (*contract.ExecutionCancelOutput, error) {
	p, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	state := x.snapshot()
	if err := contract.Own(p, &state); err != nil {
		return nil, err
	}
	if _, err := p.Claim("cancelledBy", in.CancelledBy); err != nil {
		return nil, err
	}
	if err := x.cancel(p, in.Reason); err != nil {
		return nil, err
	}
	if err := x.barrier(ctx); err != nil {
		return nil, err
	}
	state = x.snapshot()
	return &contract.ExecutionCancelOutput{Result: contract.Result{Status: string(state.Status), ChangedAt: state.UpdatedAt}}, nil
}

func (x *execution) cancel(p *writ.Principal, reason string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state.Status.Final() {
		return writ.Errorf(writ.CodeConflict, "execution "+string(x.id), "it is already %s", x.state.Status)
	}
	if x.state.Cancelling {
		return nil
	}
	if x.state.Undoing() {
		return writ.Errorf(writ.CodeConflict, "execution "+string(x.id), "what it did is being undone").WithFix("wait for its end")
	}
	if reason == "" {
		reason = "cancelled by " + string(p.ID)
	}
	err := x.append(writ.NewRecord{Type: writ.RecCancelRequested, Actor: x.auditOf(p), Body: writ.Body{End: &writ.EndFacts{Reason: reason}}})
	if err != nil {
		return err
	}
	x.stop()
	if x.state.RunID == "" {
		return x.append(
			writ.NewRecord{Type: writ.RecExecutionEnded, Actor: x.auditOf(p), Body: writ.Body{End: &writ.EndFacts{Status: writ.ExecCancelled, Reason: reason}}},
			writ.NewRecord{Type: writ.RecSealed, Body: writ.Body{Seal: &writ.SealFacts{Records: x.state.Seq + 1}}},
		)
	}
	x.advance()
	return nil
}

// ExecutionExpire is the handler of contract.ExecutionExpire, which the host
// alone may call: it applies deadlines now instead of at the next timer.
func (e *Engine) ExecutionExpire(ctx context.Context, in *contract.ExecutionExpireInput) (*contract.ExecutionExpireOutput, error) {
	_, x, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if err := x.checkPlan(""); err != nil {
		return nil, err
	}
	x.mu.Lock()
	x.expireApprovals()
	x.advance()
	x.mu.Unlock()
	if err := x.barrier(ctx); err != nil {
		return nil, err
	}
	state := x.snapshot()
	return &contract.ExecutionExpireOutput{Result: contract.Result{Status: string(state.Status), ChangedAt: state.UpdatedAt}}, nil
}
