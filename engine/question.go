package engine

import (
	"context"
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// stepQuestion is the complete input of a decision about a step. resolved is nil
// while the step's input is not known.
func (x *execution) stepQuestion(ctx context.Context, step *writ.Step, resolved *writ.ResolvedStep, attempt int) (*writ.Question, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	q := x.derivedQuestion(step, resolved, attempt)
	grants, err := x.engine.Grants.Candidates(ctx, x.state.Principal, q.Step.Capabilities, x.held(step.ID))
	if err != nil {
		return nil, err
	}
	q.Grants, q.Time = orEmpty(grants), x.now()
	if q.History.StepsLastHour, err = x.engine.Budgets.StepsLastHour(ctx, x.state.Principal, q.Time); err != nil {
		return nil, err
	}
	q.Host = writ.HostFacts{Version: writ.Version, Labels: labelsOf(x.engine.Labels)}
	return q, nil
}

// derivedQuestion is the part of a question that follows from what the journal
// already holds; replay makes it again. The caller holds mu.
func (x *execution) derivedQuestion(step *writ.Step, resolved *writ.ResolvedStep, attempt int) *writ.Question {
	capabilities, taint, sinks, risk := step.Capabilities, step.Taint, step.Sinks, step.Risk
	facts := writ.StepFacts{
		ID: step.ID, Name: step.Name, Skill: step.Skill.Key, Publisher: step.Skill.Key.Publisher(),
		Version: step.Skill.Version, Digest: step.Skill.Digest, Action: step.Action,
		Effect: step.Effect, Attempt: attempt, Declassified: step.Declassified,
	}
	if resolved != nil {
		capabilities, taint, sinks, risk = resolved.Capabilities, resolved.Taint, resolved.Sinks, resolved.Risk
		facts.Input, facts.Resolved = resolved.Input, true
	}
	facts.Risk, facts.Capabilities, facts.Tools = risk.Join(step.Risk), orEmpty(capabilities), toolNames(capabilities)
	origin := x.state.Origin
	if x.plan.Plan.Rules > 0 {
		origin = x.plan.Plan.Origin // whoever wrote the draft may be trusted less than who stated the intent
	}
	return &writ.Question{
		Point: writ.PointStep, Principal: x.state.Principal, Origin: origin,
		Plan:    writ.PlanFacts{Hash: x.plan.Hash, Steps: len(x.plan.Plan.Steps)},
		Step:    facts,
		Taint:   x.taintFacts(taint, sinks),
		History: writ.HistoryFacts{Approvals: x.approvalsGiven(step.ID)},
	}
}

// callQuestion is the decision about one tool call of a step already allowed.
func (x *execution) callQuestion(ctx context.Context, d *dispatch, facts *writ.CallFacts) (*writ.Question, error) {
	q, err := x.stepQuestion(ctx, d.step, d.resolved, d.attempt.number)
	if err != nil {
		return nil, err
	}
	x.aboutCall(q, d, facts)
	return q, nil
}

func (x *execution) aboutCall(q *writ.Question, d *dispatch, facts *writ.CallFacts) {
	q.Point, q.Call = writ.PointCall, facts
	q.History.CallsInStep = facts.Sequence - 1
	seen, sinks := d.seen(), d.resolved.Sinks
	if spec, known := writ.LookupTool(facts.Tool); x.plan.Plan.Rules > 0 && (!known || spec.Leaves) {
		// Nobody knows what of all that the guest has seen is in its arguments.
		sinks = append(slices.Clone(sinks), writ.SinkFlow{Path: sinkOfCall, Labels: seen})
	}
	q.Taint = x.taintFacts(seen, sinks)
}

// sinkOfCall stands for all arguments of a call that leaves the host.
const sinkOfCall = "call.arguments"

// seen is the labels of all that the guest knows by now.
func (d *dispatch) seen() []writ.Label {
	if d.attempt == nil {
		return d.resolved.Taint
	}
	return writ.JoinLabels(d.resolved.Taint, d.attempt.labels)
}

// yield is the labels of the output.
func (d *dispatch) yield() []writ.Label {
	if d.step.Declassified != nil {
		return writ.Declassify(d.said())
	}
	return d.said()
}

// said is the labels of whatever the guest gives out: no rule is about a failure.
func (d *dispatch) said() []writ.Label {
	if d.action.Sensitivity == abi.SensitivityPrivate {
		return writ.JoinLabels(d.seen(), []writ.Label{writ.LabelPrivate})
	}
	return d.seen()
}

func (x *execution) approvalsGiven(id writ.StepID) int {
	people := map[writ.PrincipalID]bool{}
	for _, a := range slices.Concat(x.granted(id), x.givenWith(id)) {
		for _, decision := range a.Decisions {
			people[decision.By] = true
		}
	}
	return len(people)
}

func (x *execution) taintFacts(labels []writ.Label, sinks []writ.SinkFlow) writ.TaintFacts {
	untrusted := slices.ContainsFunc(labels, func(l writ.Label) bool { return !l.Trusted() })
	facts := writ.TaintFacts{Labels: orEmpty(labels), Untrusted: untrusted, Sinks: orEmpty(sinks)}
	if x.plan.Plan.Rules >= writ.PlanRulesSensitivity {
		facts.Sensitivity = writ.SensitivityOf(labels)
	}
	return facts
}

func toolNames(capabilities []writ.Capability) []string {
	names := make([]string, 0, len(capabilities))
	for i := range capabilities {
		names = append(names, capabilities[i].Tool)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// orEmpty keeps null out of stored documents: a policy can then rely on a list.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func labelsOf(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

// verdictRecord stores a decision with the whole input that was judged.
func verdictRecord(stage string, step writ.StepID, q *writ.Question, v *writ.Verdict) (writ.NewRecord, error) {
	raw, err := canon.MarshalJSON(q)
	if err != nil {
		return writ.NewRecord{}, writ.Errorf(writ.CodeInvalid, "step "+string(step), "the input of the decision is not canonical: %w", err)
	}
	decided := &writ.DecidedFacts{Stage: stage, Verdict: *v}
	if q.Call != nil {
		decided.Sequence = q.Call.Sequence
	}
	return writ.NewRecord{
		Type: writ.RecVerdict, Step: step, Body: writ.Body{Decided: decided},
		Payloads: []writ.Payload{{Name: writ.PayloadQuestion, Data: raw}},
	}, nil
}

// Defaults of an approval that the run's mode asks for and the policy did not.
const (
	defaultDecideWithin  = 24 * time.Hour
	defaultExecuteWithin = 24 * time.Hour
	approverRole         = "approver"
)

// effective is what counts of an answer: never looser than what was decided for
// the step before, nor than the mode that the run was started in.
func effective(answer, prior *writ.Verdict, mode writ.Mode) *writ.Verdict {
	v := *answer
	v.Clamps = slices.Clone(answer.Clamps)
	v.Mode = clamp(&v, "verdict.zero", v.Mode.Tighten(writ.Autonomous))
	if prior != nil {
		v.Mode = clamp(&v, "verdict.before", v.Mode.Tighten(prior.Mode))
		v.Risk = v.Risk.Join(prior.Risk)
		v.Approvals = v.Approvals.Join(&prior.Approvals)
	}
	if mode == writ.Assist {
		v.Mode = clamp(&v, "run.mode", v.Mode.Tighten(writ.Assist))
	}
	if v.Mode == writ.Autonomous && v.Risk.Rank() >= writ.RiskHigh.Rank() {
		v.Mode = clamp(&v, "risk.high", writ.Assist)
	}
	if v.Mode == writ.Assist {
		settle(&v.Approvals)
	}
	return &v
}

// settle fills in what the policy did not say of the people that it asks for.
func settle(r *writ.Requirement) {
	r.Count = max(r.Count, 1)
	if len(r.Roles) == 0 && len(r.Quorum) == 0 {
		r.Roles = []string{approverRole}
	}
	if r.ExpiresIn <= 0 {
		r.ExpiresIn = abi.Duration(defaultDecideWithin)
	}
}

func clamp(v *writ.Verdict, rule string, to writ.Mode) writ.Mode {
	if to != v.Mode {
		v.Clamps = append(v.Clamps, writ.Clamp{Rule: rule, From: v.Mode, To: to})
	}
	return to
}
