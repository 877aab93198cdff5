package writ

import (
	"slices"
	"sync/atomic"
)

// Permit is the witness that a verdict let one step use certain capabilities.
// Its members are sealed: the only way to a live Permit is MintPermit, which the
// engine alone may call (a test of the layers holds that). The zero Permit
// refuses everything.
type Permit struct{ seal *seal }

type seal struct {
	scope  PermitScope
	closed atomic.Bool
}

// PermitScope is what a permit covers.
type PermitScope struct {
	Tenant       TenantID
	Execution    ExecutionID
	Step         StepID
	Skill        SkillRef
	Capabilities []Capability
	Attempt      int
}

// PermitEvidence is why a permit may exist.
type PermitEvidence struct {
	Verdict  *Verdict
	Approval *Approval // where the verdict asks for one
	Input    []byte    // the canonical input that will be run
}

// MintPermit turns a verdict into a live permit. CodeBlocked where the verdict
// blocks, CodeApprovalNeeded where it asks for approvals that are not there or
// that were given for another step, skill or input.
func MintPermit(scope PermitScope, evidence PermitEvidence) (Permit, error) {
	op := "permit for step " + string(scope.Step)
	v := evidence.Verdict
	if v == nil || v.Mode.Rank() == 0 || v.Risk.Rank() >= RiskBlocked.Rank() {
		return Permit{}, Errorf(CodeBlocked, op, "the verdict does not allow the step")
	}
	if v.Mode == Autonomous && v.Risk.Rank() >= RiskHigh.Rank() {
		return Permit{}, Errorf(CodeBlocked, op, "a high-risk step is never autonomous")
	}
	if v.Mode == Assist {
		if err := checkApproval(op, &scope, &evidence); err != nil {
			return Permit{}, err
		}
	}
	scope.Capabilities = slices.Clone(scope.Capabilities)
	return Permit{seal: &seal{scope: scope}}, nil
}

func checkApproval(op string, scope *PermitScope, evidence *PermitEvidence) error {
	a := evidence.Approval
	if !a.Satisfies(evidence.Verdict) {
		return Errorf(CodeApprovalNeeded, op, "the approvals that the verdict asks for are not there")
	}
	r := &a.Request
	same := r.Tenant == scope.Tenant && r.Execution == scope.Execution && r.Step == scope.Step &&
		r.Skill == scope.Skill && string(r.Input) == string(evidence.Input)
	if digest, err := r.Digest(); err != nil || digest != a.Digest || !same {
		return Errorf(CodeApprovalNeeded, op, "the approval was given for something else")
	}
	return nil
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
	scope.Capabilities = slices.Clone(scope.Capabilities)
	return scope
}

// Grants reports whether any capability of the permit names the tool.
func (p Permit) Grants(tool string) bool {
	return p.Live() && slices.ContainsFunc(p.seal.scope.Capabilities, func(c Capability) bool { return c.Tool == tool })
}

// Covers returns the capability that covers the call, or CodeForbidden.
func (p Permit) Covers(call *CallFacts) (*Capability, error) {
	if !p.Live() {
		return nil, Errorf(CodeForbidden, "tool "+call.Tool, "there is no live permit")
	}
	for i := range p.seal.scope.Capabilities {
		if c := &p.seal.scope.Capabilities[i]; CapabilityAllows(c, call) {
			return c, nil
		}
	}
	return nil, Errorf(CodeForbidden, "tool "+call.Tool, "%s is outside what this step was granted", call.Target)
}
