package policy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// floorCase is one question about the floor, and its name for messages.
type floorCase struct {
	name     string
	question *writ.Question
}

// taints of the questions about the floor: what labels reach a sink. Private data
// beside untrusted data are left to the clamp: a rule that says nothing of them
// means nothing by it.
var floorTaints = []struct {
	name   string
	labels []writ.Label
}{
	{"none", nil},
	{"trusted", []writ.Label{writ.LabelPrincipal}},
	{"untrusted", []writ.Label{writ.LabelHTTP}},
	{"secret", []writ.Label{writ.LabelPrincipal, writ.LabelSecret}},
}

var floorOrigins = []struct {
	origin writ.Origin
	kind   writ.PrincipalKind
}{
	{writ.OriginHuman, writ.Human},
	{writ.OriginModel, writ.Agent},
	{writ.OriginAutomation, writ.Service},
	{writ.OriginChannel, writ.Human},
}

// floorCases are the questions that a bundle is asked before it is activated, the
// same in each process: every effect class at every tier that a plan can have of
// it, by every kind of author, with every kind of data, with and without grants,
// for the step and for each kind of call.
func floorCases() iter.Seq[floorCase] {
	return func(yield func(floorCase) bool) {
		for _, effect := range abi.Effects {
			for _, risk := range []writ.Risk{writ.RiskLow, writ.RiskMedium, writ.RiskHigh, writ.RiskBlocked} {
				if risk.Rank() < writ.RiskOf(effect).Rank() {
					continue // no plan says so: compilation joins what the effect demands
				}
				for c := range floorSteps(effect, risk) {
					if !yield(c) {
						return
					}
					for call := range floorCalls(c) {
						if !yield(call) {
							return
						}
					}
				}
			}
		}
	}
}

// floorSteps are the questions about a step of an effect class and a tier.
func floorSteps(effect writ.Effect, risk writ.Risk) iter.Seq[floorCase] {
	return func(yield func(floorCase) bool) {
		for _, by := range floorOrigins {
			for _, taint := range floorTaints {
				for _, granted := range []bool{false, true} {
					c := floorCase{
						name:     fmt.Sprintf("step effect=%s risk=%s origin=%s data=%s grants=%t", effect, risk, by.origin, taint.name, granted),
						question: floorQuestion(effect, risk),
					}
					q := c.question
					q.Origin, q.Principal.Kind = by.origin, by.kind
					if taint.labels != nil {
						q.Taint.Labels, q.Taint.Untrusted = taint.labels, !taint.labels[0].Trusted()
						q.Taint.Sinks = []writ.SinkFlow{{Path: "url", Labels: taint.labels}}
						q.Taint.Sensitivity = writ.SensitivityOf(taint.labels)
					}
					if granted {
						q.Grants = []writ.Grant{{ID: "floor", Principal: q.Principal.ID, Tenant: q.Principal.Tenant, Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskHigh, MaxSensitivity: writ.SensitivitySecret}}
					}
					if !yield(c) {
						return
					}
				}
			}
		}
	}
}

// floorCalls are the questions about calls of a step: of each effect class that
// the step may have, before and after people have approved.
func floorCalls(of floorCase) iter.Seq[floorCase] {
	return func(yield func(floorCase) bool) {
		for _, effect := range abi.Effects[:slices.Index(abi.Effects, of.question.Step.Effect)+1] {
			for _, approvals := range []int{0, highRiskPeople} {
				if approvals > 0 && !effect.Writes() {
					continue // nobody approves what changes nothing
				}
				q := *of.question
				q.Point, q.History.Approvals = writ.PointCall, approvals
				method := "GET"
				if effect.Writes() {
					method = "POST"
				}
				q.Call = &writ.CallFacts{
					Sequence: 1, Tool: abi.ToolHTTPRequest, Effect: effect, Arguments: []byte(`{}`),
					Target: writ.Target{Scheme: "https", Host: floorHost, Method: method, Path: "/v1"},
				}
				name := fmt.Sprintf("call effect=%s approvals=%d of %s", effect, approvals, of.name)
				if !yield(floorCase{name, &q}) {
					return
				}
			}
		}
	}
}

const floorHost = "api.example.com"

func floorQuestion(effect writ.Effect, risk writ.Risk) *writ.Question {
	return &writ.Question{
		Point:     writ.PointStep,
		Principal: &writ.Principal{ID: "floor", Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Strength: writ.StrengthToken},
		Grants:    []writ.Grant{},
		Plan:      writ.PlanFacts{Hash: writ.Digest("sha256:00"), Steps: 1},
		Step: writ.StepFacts{
			ID: "stp_floor", Name: "floor", Skill: "writ/floor", Publisher: "writ", Version: "1.0.0", Action: "run",
			Effect: effect, Risk: risk, Tools: []string{abi.ToolHTTPRequest}, Input: []byte(`{}`), Resolved: true, Attempt: 1,
			Capabilities: []writ.Capability{{Tool: abi.ToolHTTPRequest, Hosts: []string{floorHost}, Methods: []string{"GET", "POST"}, Paths: []string{"/**"}}},
		},
		Taint: writ.TaintFacts{Labels: []writ.Label{}, Sinks: []writ.SinkFlow{}},
		Host:  writ.HostFacts{Version: writ.Version, Labels: map[string]string{}},
		Time:  1_767_225_600_000_000_000,
	}
}

// keepsFloor refuses a bundle with an answer that the clamp would have to
// tighten. The clamp holds either way; whoever writes a looser rule means
// something that will not happen. CodeConflict with the question, CodeTimeout
// where the answers do not come.
func (p *Policy) keepsFloor(ctx context.Context) error {
	op := "policy " + string(p.ref.Digest)
	timed, cancel := context.WithTimeout(ctx, runDeadline)
	defer cancel()
	for c := range floorCases() {
		own, err := p.answer(timed, p.memory.ask(c.question, p.alters), nil)
		if err != nil && ctx.Err() == nil {
			return writ.Errorf(writ.CodeTimeout, op, "the questions about the floor were not answered within %s", runDeadline)
		}
		if err != nil {
			return err
		}
		held := *own
		held.Clamps = slices.Clone(own.Clamps)
		if clamp(c.question, &held); len(held.Clamps) == 0 {
			continue
		}
		floor := loosest(c.question, own.Risk)
		rule := "no rule"
		if len(own.Reasons) > 0 {
			rule = "rule " + own.Reasons[0].Rule
		}
		return &writ.Error{
			Code: writ.CodeConflict, Op: op, Details: map[string]any{"question": c.question, "answer": own, "clamp": held.Clamps[0].Rule},
			Message: fmt.Sprintf("weakens the floor (%s): asked about %s, %s answers %s and the floor allows at most %s",
				held.Clamps[0].Rule, c.name, rule, spoken(own), spoken(&floor)),
			Fix: "tighten the rule so that it asks for at least what the floor does; `writ policy test` asks the same questions",
		}
	}
	return nil
}

// floorTest is keepsFloor as a test of the bundle.
func (p *Policy) floorTest(ctx context.Context) (TestCase, error) {
	c := TestCase{Name: "writ.floor", Passed: true}
	err := p.keepsFloor(ctx)
	var e *writ.Error
	if errors.As(err, &e) && (e.Code == writ.CodeConflict || e.Code == writ.CodeTimeout) {
		c.Passed, c.Message = false, e.Message
		return c, nil
	}
	return c, err
}

// spoken is an answer as a message says it.
func spoken(v *writ.Verdict) string {
	text := fmt.Sprintf("%s at %s risk", v.Mode, v.Risk)
	if v.Mode != writ.Assist {
		return text
	}
	until := "without a deadline"
	if v.Approvals.ExpiresIn > 0 {
		until = fmt.Sprintf("within %gh", v.Approvals.ExpiresIn.Std().Hours())
	}
	return fmt.Sprintf("%s (%d of the approvers, %s)", text, v.Approvals.Count, until)
}
