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
	// Authors wrote or edited the draft, where that was not the requester alone.
	Authors   []PrincipalID `json:"authors,omitempty"`
	OpenedAt  Time          `json:"openedAt"`
	DecideBy  Time          `json:"decideBy"`
	ExecuteBy Time          `json:"executeBy"`
}

// Template names what is asked for: publisher/skill#action.
func (r *ApprovalRequest) Template() string { return string(r.Skill.Key) + "#" + r.Action }

// Rules are those because of which people are asked, sorted, each once.
func (r *ApprovalRequest) Rules() []string {
	out := []string{}
	for _, reason := range r.Reasons {
		out = append(out, reason.Rule)
	}
	slices.Sort(out)
	return slices.Compact(out)
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

// Excludes names who of those that asked for the step p is or acts for, empty
// where p may count as its approver: nobody approves what they asked for or wrote,
// nor through somebody else.
func (r *ApprovalRequest) Excludes(p *Principal) PrincipalID {
	for _, id := range slices.Concat([]PrincipalID{r.Requester}, r.OnBehalfOf, r.Authors) {
		if p.ActsFor(id) {
			return id
		}
	}
	return ""
}

// Takes reports whether a word is worth anything here: that a channel's provider vouches
// for a person is too little for a high risk.
func (r *ApprovalRequest) Takes(d *Decision) bool {
	return d.Via == nil || r.Risk.Rank() < RiskHigh.Rank()
}

// Decision is one person's word. Signature is the DSSE envelope (JSON) over the
// approval statement; a rejection may go without, except in a channel.
type Decision struct {
	By         PrincipalID `json:"by"`
	For        PrincipalID `json:"for,omitempty"`        // the absent person in whose place By decides
	Delegation string      `json:"delegation,omitempty"` // that allows it
	Roles      []string    `json:"roles,omitempty"`      // of those that are asked for, the ones that By, or For, had
	Approved   bool        `json:"approved"`
	Note       string      `json:"note,omitempty"`
	At         Time        `json:"at"`
	Bulk       int         `json:"bulk,omitempty"`   // how many requests were decided in one command, this one included
	Edited     ExecutionID `json:"edited,omitempty"` // the input was edited, and this execution asks anew
	Via        *Via        `json:"via,omitempty"`    // nil: By was authenticated by this host
	Signature  []byte      `json:"signature,omitempty"`
}

// Via is the channel in which a person decided. Its provider vouches for who it was,
// and the host signs that the provider did.
type Via struct {
	Channel  ChannelName `json:"channel"`
	Sender   string      `json:"sender"`   // the provider's id of who decided
	Delivery StreamID    `json:"delivery"` // of the request that the provider signed
}

// people are those who count as having decided: who decides in another's place
// and that other are one.
func (d *Decision) people() []PrincipalID {
	if d.For == "" {
		return []PrincipalID{d.By}
	}
	return []PrincipalID{d.By, d.For}
}

// Repeats is the earlier yes of one of those whose word d is, nil where there is
// none.
func (a *Approval) Repeats(d *Decision) *Decision {
	for i := range a.Decisions {
		earlier := &a.Decisions[i]
		if earlier.Approved && slices.ContainsFunc(earlier.people(), func(id PrincipalID) bool { return slices.Contains(d.people(), id) }) {
			return earlier
		}
	}
	return nil
}

// yeses are the approving decisions of different people, the first of each.
func (a *Approval) yeses() []*Decision {
	var out []*Decision
	seen := map[PrincipalID]bool{}
	for i := range a.Decisions {
		d := &a.Decisions[i]
		if !d.Approved || !a.Request.Takes(d) || slices.ContainsFunc(d.people(), func(id PrincipalID) bool { return seen[id] }) {
			continue
		}
		for _, id := range d.people() {
			seen[id] = true
		}
		out = append(out, d)
	}
	return out
}

// Granted counts the distinct people who approved.
func (a *Approval) Granted() int { return len(a.yeses()) }

// Meets reports whether the collected approvals are enough people, and those of
// the roles that the requirement asks for.
func (a *Approval) Meets(r *Requirement) bool {
	return a.Granted() >= max(1, r.Count) && len(a.Missing(r)) == 0
}

// Missing are the seats that nobody has taken, in the requirement's order. People
// are seated so that as few as possible stay open, whoever came first.
func (a *Approval) Missing(r *Requirement) []Seats {
	yeses := a.yeses()
	seated := make([]int, len(yeses)) // by decision: 1 + the index of its seats
	taken := make([]int, len(r.Quorum))
	var seat func(role int, tried map[int]bool) bool
	seat = func(role int, tried map[int]bool) bool {
		for i, d := range yeses {
			if tried[i] || seated[i] == role+1 || !slices.Contains(d.Roles, r.Quorum[role].Role) {
				continue
			}
			tried[i] = true
			if seated[i] == 0 || seat(seated[i]-1, tried) {
				seated[i] = role + 1
				return true
			}
		}
		return false
	}
	var out []Seats
	for role, s := range r.Quorum {
		for taken[role] < s.Count && seat(role, map[int]bool{}) {
			taken[role]++
		}
		if open := s.Count - taken[role]; open > 0 {
			out = append(out, Seats{Role: s.Role, Count: open})
		}
	}
	return out
}

// After is the status of the approval once d is said too.
func (a *Approval) After(d *Decision) ApprovalStatus {
	if !d.Approved {
		return ApprovalRejected
	}
	with := Approval{Request: a.Request, Decisions: append(slices.Clone(a.Decisions), *d)}
	if with.Meets(&a.Request.Requirement) {
		return ApprovalApproved
	}
	return a.Status
}

// Satisfies reports whether the collected approvals meet the requirement of v,
// under the same policy answer that the approvers saw or a looser one.
func (a *Approval) Satisfies(v *Verdict) bool {
	return a != nil && a.Status == ApprovalApproved && v.Mode.Rank() >= Assist.Rank() &&
		a.Meets(&v.Approvals) && a.Request.Risk.Rank() >= v.Risk.Rank()
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

// Word is what is signed of a decision: yes or no to what has the digest, and in whose
// place.
type Word struct {
	Digest   Digest
	For      PrincipalID // empty: their own
	Rejected bool
}

// ApprovalVerifier checks the signature of a decision. The statement is an in-toto
// Statement v1 whose subject is the approval's digest.
type ApprovalVerifier interface {
	// VerifyApproval gives back the channel in which the word was said, nil for an
	// approver's own signature. CodeForbidden where the signature is missing, signs
	// another word, or is not of a registered approver key of the principal: for one
	// whom a channel's provider vouches for, not of this host.
	VerifyApproval(ctx context.Context, p *Principal, word Word, envelope []byte) (*Via, error)
}
