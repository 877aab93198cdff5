package contract

import (
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Decision is one person's word on an approval.
type Decision struct {
	By       writ.PrincipalID `json:"by"`
	For      writ.PrincipalID `json:"for,omitempty" jsonschema:"The absent person in whose place by decided: both count as one."`
	Roles    []string         `json:"roles,omitempty" jsonschema:"The roles by which the person was entitled."`
	Approved bool             `json:"approved"`
	Note     string           `json:"note,omitempty"`
	At       writ.Time        `json:"at"`
	Bulk     int              `json:"bulk,omitempty" jsonschema:"How many requests were decided in one command, this one included."`
	Signed   bool             `json:"signed,omitempty"`
	Channel  writ.ChannelName `json:"channel,omitempty" jsonschema:"In which it was said; absent: by somebody whom this host authenticated."`
}

// EarlierDecision is how an earlier request was decided.
type EarlierDecision struct {
	ExecutionID writ.ExecutionID    `json:"executionId"`
	Status      writ.ApprovalStatus `json:"status"`
	Summary     string              `json:"summary"`
	By          writ.PrincipalID    `json:"by,omitempty" jsonschema:"Who said the last word; absent where it expired."`
	Note        string              `json:"note,omitempty"`
	At          writ.Time           `json:"at"`
}

// Seats are approvals that people of one role must give.
type Seats struct {
	Role  string `json:"role"`
	Count int    `json:"count"`
}

// SeatsFrom converts the seats of a requirement.
func SeatsFrom(seats []writ.Seats) []Seats {
	out := make([]Seats, 0, len(seats))
	for _, s := range seats {
		out = append(out, Seats(s))
	}
	return out
}

// Approval is a request for a human's word, with what was said so far.
type Approval struct {
	ExecutionID writ.ExecutionID    `json:"executionId"`
	StepID      writ.StepID         `json:"stepId"`
	Digest      writ.Digest         `json:"digest" jsonschema:"Digest of the canonical bytes of request: what an approver approves."`
	Status      writ.ApprovalStatus `json:"status"`
	DecideBy    writ.Time           `json:"decideBy,omitempty"`
	Summary     string              `json:"summary" jsonschema:"The effect in one line."`
	RiskTier    writ.Risk           `json:"riskTier,omitempty"`
	Template    string              `json:"template,omitempty" jsonschema:"publisher/skill#action."`
	Rules       []string            `json:"rules,omitempty" jsonschema:"Because of which people are asked, sorted."`
	Required    int                 `json:"required" jsonschema:"How many different people must approve."`
	Granted     int                 `json:"granted"`
	Roles       []string            `json:"roles,omitempty" jsonschema:"Who may decide now has one of these."`
	Missing     []Seats             `json:"missing,omitempty" jsonschema:"Of which roles people must still approve; one person takes one seat."`
	Decisions   []Decision          `json:"decisions,omitempty"`
	Request     Object              `json:"request,omitempty" jsonschema:"The exact document that is approved, RFC 8785: its digest is digest."`
	Priority    int                 `json:"priority,omitempty" jsonschema:"In approval.list: place in the queue of all that wait, 1 first: the higher risk, then the nearer deadline, then the older."`
	DecideAs    []writ.PrincipalID  `json:"decideAs,omitempty" jsonschema:"In approval.list: in whose name the caller could approve now, itself or absent people."`
	Earlier     []EarlierDecision   `json:"earlier,omitempty" jsonschema:"In approval.list: the last decisions about the same action and rule, newest first, at most 5."`
	OpenedAt    writ.Time           `json:"openedAt,omitempty"`
	ClosedAt    writ.Time           `json:"closedAt,omitempty"`
}

// ApprovalFrom converts an approval. The request is its canonical bytes, so a
// reader can compute the digest again; it is left out where it is not whole: the
// fold of a journal holds it without its input, which is in the payload.
// CodeInternal where it cannot be encoded.
func ApprovalFrom(a *writ.Approval) (*Approval, error) {
	request, err := canon.MarshalJSON(&a.Request)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approval "+string(a.Digest), "encode the request: %w", err)
	}
	requirement := &a.Request.Requirement
	out := &Approval{
		ExecutionID: a.Request.Execution, StepID: a.Request.Step, Digest: a.Digest, Status: a.Status,
		DecideBy: a.Request.DecideBy, Summary: a.Request.Summary, RiskTier: a.Request.Risk,
		Template: a.Request.Template(), Rules: a.Request.Rules(), Granted: a.Granted(),
		Required: max(1, requirement.Count), Roles: requirement.Deciders(a.Status == writ.ApprovalEscalated),
		OpenedAt: a.Request.OpenedAt, ClosedAt: a.ClosedAt,
	}
	if a.Open() {
		out.Missing = SeatsFrom(a.Missing(requirement))
	}
	if canon.Sum(canon.DomainApproval, request) == a.Digest {
		out.Request = request
	}
	for i := range a.Decisions {
		d := &a.Decisions[i]
		said := Decision{By: d.By, For: d.For, Roles: d.Roles, Approved: d.Approved, Note: d.Note, At: d.At, Bulk: d.Bulk, Signed: len(d.Signature) > 0}
		if d.Via != nil {
			said.Channel = d.Via.Channel
		}
		out.Decisions = append(out.Decisions, said)
	}
	return out, nil
}
