package writ

import (
	"slices"
	"sync/atomic"
)

// Permit is the witness that a verdict let one step use certain capabilities.
// Its members are sealed: the only way to a live Permit is MintPermit, which the
// engine alone may call (a test of the layers holds that). The zero Permit
// refuses everything.
//
// The permit of an assist step covers what has no effect outside the step. A
// call that has one is covered only where a human approved its exact digest, so
// the guest can run up to that call, which is then proposed.
type Permit struct{ seal *seal }

type seal struct {
	scope    PermitScope
	assist   bool
	approved []Digest // of calls
	closed   atomic.Bool
}

// PermitScope is what a permit covers.
type PermitScope struct {
	Tenant       TenantID
	Execution    ExecutionID
	Step         StepID
	Skill        SkillRef
	Capabilities []Capability
	Taint        []Label // of the step's input
	Attempt      int
	Compensates  StepID // the step that this one undoes, empty where it undoes none
}

// PermitEvidence is why a permit may exist.
type PermitEvidence struct {
	Verdict   *Verdict
	Approvals []*Approval // granted ones of this step, and of the step that it undoes
	Input     []byte      // the canonical input that will be run
}

// MintPermit turns a verdict into a live permit. CodeBlocked where the verdict
// blocks or would let a high-risk step run by itself, CodeApprovalNeeded where
// an approval was given for another step, skill or input.
func MintPermit(scope PermitScope, evidence PermitEvidence) (Permit, error) {
	op := "permit for step " + string(scope.Step)
	v := evidence.Verdict
	if v == nil || v.Mode.Rank() == 0 || v.Risk.Rank() >= RiskBlocked.Rank() {
		return Permit{}, Errorf(CodeBlocked, op, "the verdict does not allow the step")
	}
	if v.Mode == Autonomous && v.Risk.Rank() >= RiskHigh.Rank() {
		return Permit{}, Errorf(CodeBlocked, op, "a high-risk step is never autonomous")
	}
	s := &seal{scope: scope, assist: v.Mode != Autonomous}
	s.scope.Capabilities, s.scope.Taint = slices.Clone(scope.Capabilities), slices.Clone(scope.Taint)
	if !s.assist {
		return Permit{seal: s}, nil
	}
	for _, a := range evidence.Approvals {
		if a.SatisfiesCompensation(v, &scope) {
			s.assist = false
			continue
		}
		if !a.Satisfies(v) || !approvedFor(a, &scope, evidence.Input) {
			return Permit{}, Errorf(CodeApprovalNeeded, op, "an approval was given for something else")
		}
		if a.Request.Call != nil {
			s.approved = append(s.approved, a.Request.Call.Digest)
		}
	}
	return Permit{seal: s}, nil
}

func approvedFor(a *Approval, scope *PermitScope, input []byte) bool {
	r := &a.Request
	digest, err := r.Digest()
	return err == nil && digest == a.Digest && r.Tenant == scope.Tenant && r.Execution == scope.Execution &&
		r.Step == scope.Step && r.Skill == scope.Skill && string(r.Input) == string(input)
}

// Live reports whether the permit allows anything at all.
func (p Permit) Live() bool { return p.seal != nil && !p.seal.closed.Load() }

// Close ends the permit: when its step's attempt ends, nothing is covered any more.
func (p Permit) Close() {
	if p.seal != nil {
		p.seal.closed.Store(true)
	}
}

// Scope is a copy of what the permit covers; zero for a permit that is not live.
func (p Permit) Scope() PermitScope {
	if !p.Live() {
		return PermitScope{}
	}
	scope := p.seal.scope
	scope.Capabilities, scope.Taint = slices.Clone(scope.Capabilities), slices.Clone(scope.Taint)
	return scope
}

// Grants reports whether any capability of the permit names the tool.
func (p Permit) Grants(tool string) bool {
	return p.Live() && slices.ContainsFunc(p.seal.scope.Capabilities, func(c Capability) bool { return c.Tool == tool })
}

// Covers returns the capability that covers the call. CodeForbidden where there
// is none, CodeApprovalNeeded where a human must approve this digest first.
func (p Permit) Covers(call *CallFacts) (*Capability, error) {
	op := "tool " + call.Tool
	if !p.Live() {
		return nil, Errorf(CodeForbidden, op, "there is no live permit")
	}
	i := slices.IndexFunc(p.seal.scope.Capabilities, func(c Capability) bool { return CapabilityAllows(&c, call) })
	if i < 0 {
		return nil, Errorf(CodeForbidden, op, "%s is outside what this step was granted", call.Target)
	}
	if p.seal.assist && p.reachesOut(call) && !slices.Contains(p.seal.approved, call.Digest) {
		return nil, Errorf(CodeApprovalNeeded, op, "%s needs a human's approval", call.Target)
	}
	return &p.seal.scope.Capabilities[i], nil
}

// Cost is what the call takes of budgets, as the plan says. CodeInvalid where that
// cannot be told: the call must not be made.
func (p Permit) Cost(call *CallFacts) (Amounts, error) {
	if !p.Live() {
		return Amounts{}, Errorf(CodeForbidden, "tool "+call.Tool, "there is no live permit")
	}
	return CostOf(p.seal.scope.Capabilities, call)
}

// reachesOut reports whether the call changes something, or carries untrusted
// data out of the host: reads included, since a URL is a message too.
func (p Permit) reachesOut(call *CallFacts) bool {
	spec, known := LookupTool(call.Tool)
	untrusted := slices.ContainsFunc(p.seal.scope.Taint, func(l Label) bool { return !l.Trusted() })
	return !known || call.Effect.Writes() || (spec.Leaves && untrusted)
}
