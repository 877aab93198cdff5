package contract

import "github.com/writ-run/writ"

// ApprovalListInput is the input of ApprovalList.
type ApprovalListInput struct {
	ExecutionID writ.ExecutionID    `json:"executionId,omitempty"`
	Status      writ.ApprovalStatus `json:"status,omitempty" jsonschema:"Absent: those that can still be decided."`
	Page
}

// ApprovalListOutput is the output of ApprovalList, the nearest deadline first.
type ApprovalListOutput struct {
	Result
	Items      []Approval `json:"items"`
	NextCursor string     `json:"nextCursor,omitempty"`
}

// Delegation lets a person decide approvals in the place of one who is away.
type Delegation struct {
	DelegationID string           `json:"delegationId"`
	By           writ.PrincipalID `json:"by" jsonschema:"Who is away."`
	To           writ.PrincipalID `json:"to"`
	Roles        []string         `json:"roles" jsonschema:"Of by, in which to decides."`
	From         writ.Time        `json:"from"`
	Until        writ.Time        `json:"until" jsonschema:"The first moment at which it no longer holds."`
	Reason       string           `json:"reason"`
	CreatedAt    writ.Time        `json:"createdAt"`
}

// DelegationFrom converts a delegation.
func DelegationFrom(d *writ.Delegation) Delegation {
	return Delegation{
		DelegationID: d.ID, By: d.By, To: d.To, Roles: d.Roles, From: d.From, Until: d.Until, Reason: d.Reason, CreatedAt: d.CreatedAt,
	}
}

// ApprovalDelegateInput is the input of ApprovalDelegate.
type ApprovalDelegateInput struct {
	To     writ.PrincipalID `json:"to" jsonschema:"The person who decides meanwhile."`
	From   writ.Time        `json:"from,omitempty" jsonschema:"Absent: now."`
	Until  writ.Time        `json:"until" jsonschema:"The first moment at which it no longer holds; at most 90 days after it begins."`
	Roles  []string         `json:"roles,omitempty" jsonschema:"Roles of the caller; absent: all of them."`
	Reason string           `json:"reason" jsonschema:"Why: it stays in the record."`
}

// ApprovalDelegateOutput is the output of ApprovalDelegate.
type ApprovalDelegateOutput struct {
	Result
	Delegation Delegation `json:"delegation"`
}

// ApprovalUndelegateInput is the input of ApprovalUndelegate.
type ApprovalUndelegateInput struct {
	DelegationID string `json:"delegationId"`
	Reason       string `json:"reason,omitempty"`
}

// ApprovalUndelegateOutput is the output of ApprovalUndelegate.
type ApprovalUndelegateOutput struct {
	Result
}

// ApprovalDelegationsInput is the input of ApprovalDelegations.
type ApprovalDelegationsInput struct {
	PrincipalID writ.PrincipalID `json:"principalId,omitempty" jsonschema:"Only those by or to this person."`
	IncludePast bool             `json:"includePast,omitempty" jsonschema:"Those that have run out too."`
}

// ApprovalDelegationsOutput is the output of ApprovalDelegations.
type ApprovalDelegationsOutput struct {
	Result
	Items []Delegation `json:"items"`
}
