package writ

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/writ-run/writ/canon"
)

// ApprovalStatus is the state of an approval.
type ApprovalStatus string

// The states. Only a pending or escalated approval can be resolved.
const (
	ApprovalNotRequired ApprovalStatus = "not_required"
	ApprovalPending     ApprovalStatus = "pending"
	ApprovalApproved    ApprovalStatus = "approved"
	ApprovalRejected    ApprovalStatus = "rejected"
	ApprovalEscalated   ApprovalStatus = "escalated"
	ApprovalExpired     ApprovalStatus = "expired"
)

// ApprovalRequest is the document that an approver sees and whose digest is
// approved: change any member and it is another request.
type ApprovalRequest struct {
	Tenant    TenantID        `json:"tenantId"`
	Execution ExecutionID     `json:"executionId"`
	PlanHash  Digest          `json:"planHash"`
	Step      StepID          `json:"stepId"`
	StepName  string          `json:"stepName"`
	Skill     SkillRef        `json:"skill"`
	Action    string          `json:"action"`
	Effect    Effect          `json:"effect"`
	Risk      Risk            `json:"risk"`
	Input     json.RawMessage `json:"input"` // the exact canonical bytes
	Call      *ProposedCall   `json:"call,omitempty"`
	// Compensation is what would undo the step: who approves the step approves
	// it too, whatever values its expressions have by then.
	Compensation *Step        `json:"compensation,omitempty"`
	Capabilities []Capability `json:"capabilities"`
	Taint        []Label      `json:"taint"`
	// Flows say where each parameter of the input comes from.
	Flows        []Flow        `json:"flows,omitempty"`
	Summary      string        `json:"summary"` // rendered effect, one line
	Reasons      []Reason      `json:"reasons"`
	Requirement  Requirement   `json:"requirement"`
	PolicyDigest Digest        `json:"policyDigest"`
	Requester    PrincipalID   `json:"requester"`
	OnBehalfOf   []PrincipalID `json:"onBehalfOf"`
	OpenedAt     Time          `json:"openedAt"`
	DecideBy     Time          `json:"decideBy"`
	ExecuteBy    Time          `json:"executeBy"`
}

// ProposedCall is the write call that is to be approved.
type ProposedCall struct {
	Tool      string          `json:"tool"`
	Digest    Digest          `json:"digest"`
	Arguments json.RawMessage `json:"arguments"`
}

// Digest binds an approval to the request's canonical bytes.
func (r *ApprovalRequest) Digest() (Digest, error) {
	b, err := canon.MarshalJSON(r)
	if err != nil {
		return "", err
	}
	return canon.Sum(canon.DomainApproval, b), nil
}

// Approval is a request with what people said.
type Approval struct {
	Digest    Digest          `json:"digest"`
	Status    ApprovalStatus  `json:"status"`
	Request   ApprovalRequest `json:"request"`
	Decisions []Decision      `json:"decisions"`
	ClosedAt  Time            `json:"closedAt,omitempty"`
}

// Open reports whether the approval can still be decided.
func (a *Approval) Open() bool {
	return a.Status == ApprovalPending || a.Status == ApprovalEscalated
}

// Decision is one person's word. Signature is the DSSE envelope (JSON) over the
// approval statement; a rejection may go without.
type Decision struct {
	By        PrincipalID `json:"by"`
	Approved  bool        `json:"approved"`
	Note      string      `json:"note,omitempty"`
	At        Time        `json:"at"`
	Signature []byte      `json:"signature,omitempty"`
}

// Granted counts the distinct people who approved.
func (a *Approval) Granted() int {
	people := map[PrincipalID]bool{}
	for _, d := range a.Decisions {
		if d.Approved {
			people[d.By] = true
		}
	}
	return len(people)
}

// Satisfies reports whether the collected approvals meet the requirement of v,
// under the same policy answer that the approvers saw or a looser one.
func (a *Approval) Satisfies(v *Verdict) bool {
	return a != nil && a.Status == ApprovalApproved && v.Mode.Rank() >= Assist.Rank() &&
		a.Granted() >= max(1, v.Approvals.Count) &&
		a.Request.Risk.Rank() >= v.Risk.Rank()
}

// SatisfiesCompensation reports whether the approval of a step covers the
// compensation of that step: the template that was shown, within its capabilities.
func (a *Approval) SatisfiesCompensation(v *Verdict, scope *PermitScope) bool {
	r := &a.Request
	if r.Compensation == nil || scope.Compensates != r.Step || scope.Step != r.Compensation.ID || scope.Skill != r.Compensation.Skill {
		return false
	}
	for i := range scope.Capabilities {
		covers := func(shown Capability) bool { return CapabilityCovers(&shown, &scope.Capabilities[i]) }
		if !slices.ContainsFunc(r.Compensation.Capabilities, covers) {
			return false
		}
	}
	digest, err := r.Digest()
	return err == nil && digest == a.Digest && r.Tenant == scope.Tenant && r.Execution == scope.Execution && a.Satisfies(v)
}

// ApprovalVerifier checks an approver's signature. The statement is an in-toto
// Statement v1 whose subject is the approval's digest.
type ApprovalVerifier interface {
	// VerifyApproval is CodeForbidden where the signature is missing, is not of a
	// registered approver key of the principal, or signs another digest.
	VerifyApproval(ctx context.Context, p *Principal, digest Digest, envelope []byte) error
}
