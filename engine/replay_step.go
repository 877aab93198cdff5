package engine

import (
	"encoding/json"
	"slices"

	"github.com/writ-run/writ"
)

func plainIntent(raw []byte) *writ.Intent {
	var intent writ.Intent
	if json.Unmarshal(raw, &intent) != nil {
		return nil
	}
	return &intent
}

// skill loads a pinned skill once.
func (r *replayer) skill(ref writ.SkillRef) (*writ.Skill, error) {
	if skill, ok := r.skills[ref]; ok {
		return skill, nil
	}
	skill, err := r.e.Skills.Load(r.ctx, writ.LoadRequest{Tenant: r.x.tenant, Ref: ref, Replaying: true})
	if err == nil {
		r.skills[ref] = skill
	}
	return skill, err
}

// dispatch resolves a step again.
func (r *replayer) dispatch(id writ.StepID) (*dispatch, error) {
	step, ok := r.x.planned(string(id))
	if !ok {
		return nil, writ.Errorf(writ.CodeTampered, "step "+string(id), "the plan has no such step")
	}
	skill, err := r.skill(step.Skill)
	if err != nil {
		return nil, err
	}
	if err := r.calling(id); err != nil {
		return nil, err
	}
	resolved, err := r.e.Planner.Resolve(r.x.plan.Plan, step, r.x.scope(step, &skill.Release))
	if err != nil {
		return nil, err
	}
	return &dispatch{
		step: step, skill: skill, resolved: resolved, attempt: r.x.attempts[id],
		action: actionOf(skill.Manifest, step.Action),
	}, nil
}

// judged is what a step's last verdict before its dispatch was asked, with the
// digest of its payload.
type judged struct {
	question *writ.Question
	digest   writ.Digest
}

// askedFacts are what is read of a recorded question; the rest of it is derived,
// and compared as bytes.
type askedFacts struct {
	Principal *writ.Principal   `json:"principal"`
	Grants    []writ.Grant      `json:"grants"`
	Call      *writ.CallFacts   `json:"call"`
	History   writ.HistoryFacts `json:"history"`
	Host      writ.HostFacts    `json:"host"`
	Time      writ.Time         `json:"time"`
}

// verdict makes the question again, takes from the record only what is a
// recorded fact (grants, what the principal did in the last hour, host, time), and
// judges it again.
func (r *replayer) verdict(record *writ.Record) error {
	raw := r.loader.named(record, writ.PayloadQuestion)
	if r.loader.err != nil {
		return r.loader.err
	}
	var recorded askedFacts
	if err := json.Unmarshal(raw, &recorded); err != nil {
		r.member(stageVerdict, record.Step, "question", string(raw), "a question")
		return nil
	}
	r.member(stageIntent, "", "principal", r.x.state.Principal, recorded.Principal)
	facts := record.Body.Decided
	stage := r.stageOfDecision(facts, &recorded)
	r.member(stageVerdict, record.Step, "stage", facts.Stage, stage)
	question, err := r.question(record, &recorded, stage)
	if err != nil {
		return err
	}
	r.compare(stageVerdict, record.Step, raw, question)
	if ref, ok := record.Payload(writ.PayloadQuestion); ok && facts.Stage == writ.StageDispatch {
		r.asked[record.Step] = judged{question, ref.Digest}
	}
	if question.Call != nil {
		r.member(stageVerdict, record.Step, "sequence", facts.Sequence, question.Call.Sequence)
	}
	judge, err := r.judge(facts.Verdict.PolicyDigest)
	if err != nil {
		r.member(stageVerdict, record.Step, "policyDigest", facts.Verdict.PolicyDigest, nil)
		return err
	}
	answer, err := judge.Judge(r.ctx, question)
	if err != nil {
		return err
	}
	verdict := answer
	switch state := r.x.state.Step(string(record.Step)); stage {
	case writ.StageVerify:
		verdict = bound(effective(answer, nil, writ.Autonomous), r.verdictOnUndo(record))
	case writ.StageDispatch:
		verdict = effective(answer, state.Verdict, r.x.state.Mode)
	}
	if facts.Over != nil {
		verdict = r.exhausted(record, question, verdict)
	}
	want := facts.Verdict
	if r.policy != "" { // what-if: the name of the policy differs by intention
		want.PolicyDigest, want.PolicyVersion = verdict.PolicyDigest, verdict.PolicyVersion
	}
	r.compare(stageVerdict, record.Step, want, verdict)
	r.takenUpWith(record, question)
	return nil
}

// verdictOnUndo is the verdict on a step's compensation, which is written right
// before the one on the step.
func (r *replayer) verdictOnUndo(record *writ.Record) *writ.Verdict {
	if record.Seq < 2 || record.Seq > uint64(len(r.records)) {
		return nil
	}
	before := &r.records[record.Seq-2].Record
	if before.Type != writ.RecVerdict || before.Step != compensationID(record.Step) {
		return nil
	}
	return &before.Body.Decided.Verdict
}

// stageOfDecision follows from what is asked and from what has begun.
func (r *replayer) stageOfDecision(facts *writ.DecidedFacts, recorded *askedFacts) string {
	switch {
	case recorded.Call != nil:
		return writ.StageCall
	case r.x.state.RunID == "" || facts.Advisory:
		return writ.StageVerify
	}
	return writ.StageDispatch
}

func (r *replayer) judge(digest writ.Digest) (writ.Judge, error) {
	if r.policy != "" {
		digest = r.policy
	}
	if judge, ok := r.judges[digest]; ok {
		return judge, nil
	}
	judge, err := r.e.Judges.ByDigest(r.ctx, digest)
	if err == nil {
		r.judges[digest] = judge
	}
	return judge, err
}

func (r *replayer) question(record *writ.Record, recorded *askedFacts, stage string) (*writ.Question, error) {
	step, ok := r.x.planned(string(record.Step))
	if !ok {
		return nil, writ.Errorf(writ.CodeTampered, "step "+string(record.Step), "the plan has no such step")
	}
	attempt := max(record.Attempt, 1)
	var d *dispatch
	var resolved *writ.ResolvedStep
	if stage != writ.StageVerify || step.Settled() {
		var err error
		if d, err = r.dispatch(step.ID); err != nil {
			return nil, err
		}
		resolved = d.resolved
	}
	r.x.mu.Lock()
	q := r.x.derivedQuestion(step, resolved, attempt)
	r.x.mu.Unlock()
	q.Grants, q.Host, q.Time = orEmpty(recorded.Grants), recorded.Host, recorded.Time
	q.History.StepsLastHour = recorded.History.StepsLastHour
	if recorded.Call != nil && d.attempt != nil {
		facts, err := writ.CallFactsOf(recorded.Call.Tool, recorded.Call.Arguments)
		if err != nil {
			return nil, err
		}
		facts.Sequence = len(d.attempt.calls) + 1
		r.x.aboutCall(q, d, facts)
	}
	return q, nil
}

func (r *replayer) approval(record *writ.Record) error {
	facts := record.Body.Approval
	if record.Type == writ.RecApprovalDecided {
		r.decided(record, facts)
		return nil
	}
	raw := r.loader.named(record, writ.PayloadRequest)
	if r.loader.err != nil {
		return r.loader.err
	}
	var request writ.ApprovalRequest
	if err := json.Unmarshal(raw, &request); err != nil {
		r.member(stageApproval, record.Step, "request", string(raw), "a request")
		return nil
	}
	d, err := r.dispatch(record.Step)
	if err != nil {
		return err
	}
	d.verdict = r.x.state.Step(string(record.Step)).Verdict
	derived, err := r.x.requestFor(d, r.proposalOf(record, &request), request.OpenedAt)
	if err != nil {
		return err
	}
	r.compare(stageApproval, record.Step, raw, derived)
	opened, _, err := openRecord(derived, r.x.state.Step(string(record.Step)).Attempt)
	if err != nil {
		return err
	}
	r.compare(stageApproval, record.Step, facts, opened.Body.Approval)
	r.compare(stageApproval, record.Step, r.loader.named(record, writ.PayloadInput), []byte(derived.Input))
	r.compare(stageApproval, record.Step, map[string]any{"attempt": record.Attempt, "openedAt": record.Time},
		map[string]any{"attempt": opened.Attempt, "openedAt": opened.Time})
	return nil
}

// decided holds what a person said against who was asked.
func (r *replayer) decided(record *writ.Record, facts *writ.ApprovalFacts) {
	a := r.x.approval(record.Step)
	if a == nil {
		r.member(stageApproval, record.Step, "digest", facts.Digest, nil)
		return
	}
	r.compare(stageApproval, record.Step, facts, writ.ApprovalFacts{
		Digest: a.Digest, Status: decidedStatus(a, facts.Decision), Decision: facts.Decision,
	})
	r.member(stageApproval, record.Step, "attempt", record.Attempt, r.x.state.Step(string(record.Step)).Attempt)
	if into := r.x.state.EditedInto; into != nil && facts.Decision != nil {
		r.compare(stageApproval, record.Step, facts.Decision, editDecision(into, record.Time))
		r.member(stageApproval, record.Step, "actorType", record.Actor.ActorType, editorKind(into, r.x.state.Principal))
	} else {
		r.member(stageApproval, record.Step, "actorType", record.Actor.ActorType, writ.Human)
		r.member(stageApproval, record.Step, "edited", facts.Decision != nil && facts.Decision.Edited != "", false)
	}
	if facts.Decision != nil {
		r.member(stageApproval, record.Step, "at", facts.Decision.At, record.Time)
		r.member(stageApproval, record.Step, "by", facts.Decision.By, record.Actor.ActorID)
		asked := a.Request.Requirement.Deciders(a.Status == writ.ApprovalEscalated)
		others := slices.DeleteFunc(slices.Clone(facts.Decision.Roles), func(role string) bool { return slices.Contains(asked, role) })
		r.member(stageApproval, record.Step, "roles that were not asked for", len(others), 0)
		r.member(stageApproval, record.Step, "counts", facts.Decision.Approved && !mayCount(a, record), false)
	}
}

// mayCount holds a recorded yes against who asked for the step and who has said
// yes before.
func mayCount(a *writ.Approval, record *writ.Record) bool {
	d := record.Body.Approval.Decision
	by := &writ.Principal{ID: d.By, OnBehalfOf: record.Actor.OnBehalfOf}
	absent := &writ.Principal{ID: d.For}
	return a.Request.Excludes(by) == "" && (d.For == "" || a.Request.Excludes(absent) == "") && a.Repeats(d) == nil
}

// proposalOf reads the proposed call back, and the verdict on it that stands before
// it; nil where the step itself was proposed.
func (r *replayer) proposalOf(opened *writ.Record, request *writ.ApprovalRequest) *proposal {
	if request.Call == nil {
		return nil
	}
	facts, err := writ.CallFactsOf(request.Call.Tool, request.Call.Arguments)
	if err != nil {
		return nil
	}
	p := &proposal{facts: facts}
	if opened.Seq >= 2 && opened.Seq <= uint64(len(r.records)) {
		proposed := &r.records[opened.Seq-2].Record
		if verdict := r.decisionBefore(proposed); verdict != nil && proposed.Type == writ.RecCallProposed && proposed.Step == opened.Step {
			p.decision = &writ.NewRecord{Body: writ.Body{Decided: &writ.DecidedFacts{Verdict: *verdict}}}
		}
	}
	return p
}

func decidedStatus(a *writ.Approval, decision *writ.Decision) writ.ApprovalStatus {
	if decision == nil {
		return a.Status
	}
	return a.After(decision)
}

// stepStarted derives what the attempt was pinned to.
func (r *replayer) stepStarted(record *writ.Record) error {
	d, err := r.dispatch(record.Step)
	if err != nil {
		return err
	}
	input := r.loader.named(record, writ.PayloadInput)
	if r.loader.err != nil {
		return r.loader.err
	}
	r.compare(stageStep, record.Step, input, d.resolved.Input)
	facts := *record.Body.Started
	derived := facts // engine and clock are facts
	if facts.Engine != r.e.EngineID && !slices.Contains(r.engines, facts.Engine) {
		r.engines = append(r.engines, facts.Engine)
	}
	derived.Key, derived.Module, derived.ABI = stepKey(r.x.id, record.Step), d.step.Skill.Module, d.skill.Manifest.ABI
	derived.Limits, derived.Taint = d.step.Limits, d.resolved.Taint
	if verdict := r.x.state.Step(string(record.Step)).Verdict; verdict != nil {
		derived.Policy = verdict.PolicyDigest
	}
	asked := r.asked[record.Step]
	derived.Question = asked.digest
	derived.Grants = usesOf(asked.question, nil, facts.Grants)
	derived.Budgets = r.usesOf(record, d.step, &writ.BudgetWant{Steps: 1}, facts.Budgets)
	r.member(stageVerdict, record.Step, "question", facts.Question, derived.Question)
	r.compare(stageStep, record.Step, facts, derived)
	if r.policy != "" {
		return nil
	}
	r.member(stageStep, record.Step, "attempt", record.Attempt, r.x.state.Step(string(record.Step)).Attempt+1)
	return nil
}
