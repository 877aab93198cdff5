package contract

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// ApprovalListInput is the input of ApprovalList.
type ApprovalListInput struct {
	ExecutionID writ.ExecutionID    `json:"executionId,omitempty"`
	Status      writ.ApprovalStatus `json:"status,omitempty" jsonschema:"Absent: those that can still be decided."`
	Mine        bool                `json:"mine,omitempty" jsonschema:"Only those that the caller could approve now, as itself or for an absent person."`
	Role        string              `json:"role,omitempty" jsonschema:"Only those that people of this role may decide now."`
	Rules       []string            `json:"rules,omitempty" jsonschema:"Only those that are asked because of exactly these rules."`
	Template    string              `json:"template,omitempty" jsonschema:"Only those of this publisher/skill#action."`
	Page
}

// ApprovalListOutput is the output of ApprovalList: the higher risk first, then the
// nearer deadline, then the older.
type ApprovalListOutput struct {
	Result
	Items      []Approval `json:"items"`
	Total      int        `json:"total" jsonschema:"How many there are on all pages."`
	NextCursor string     `json:"nextCursor,omitempty"`
}

// MaxBulk is how many requests one command decides: nobody has looked at more.
const MaxBulk = 200

// ApprovalApproveInput is the input of ApprovalApprove.
type ApprovalApproveInput struct {
	Template string           `json:"template" jsonschema:"publisher/skill#action of every item."`
	Rules    []string         `json:"rules" jsonschema:"The rules because of which every item is asked, exactly these."`
	Items    []ApprovalItem   `json:"items" jsonschema:"At most 200."`
	For      writ.PrincipalID `json:"for,omitempty" jsonschema:"The absent person who has delegated to the caller."`
	Note     string           `json:"note,omitempty"`
}

// ApprovalItem is one request with the approver's own signature of it.
type ApprovalItem struct {
	ExecutionID    writ.ExecutionID `json:"executionId"`
	StepID         writ.StepID      `json:"stepId"`
	ApprovalDigest writ.Digest      `json:"approvalDigest" jsonschema:"What the approver saw."`
	Signature      []byte           `json:"signature" jsonschema:"DSSE envelope of the approver's key over the approval statement, base64."`
}

// ApprovalApproveOutput is the output of ApprovalApprove.
type ApprovalApproveOutput struct {
	Result
	Approved int               `json:"approved" jsonschema:"How many of the caller's words were taken."`
	Items    []ApprovalOutcome `json:"items" jsonschema:"In the order of the input."`
}

// ApprovalOutcome is what came of one item.
type ApprovalOutcome struct {
	ExecutionID writ.ExecutionID    `json:"executionId"`
	StepID      writ.StepID         `json:"stepId"`
	Status      writ.ApprovalStatus `json:"status,omitempty" jsonschema:"Of the approval: pending while more people must approve."`
	Code        writ.Code           `json:"code,omitempty" jsonschema:"Why the word was not taken."`
	Message     string              `json:"message,omitempty"`
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

// ApprovalSample is what is counted of one decision of a person, or of a deadline
// that passed. It is no member of an operation.
type ApprovalSample struct {
	Rules   []string
	Risk    writ.Risk
	Outcome writ.ApprovalStatus // approved, rejected or expired
	Took    time.Duration       // since it was asked
	Edited  bool                // rejected for another input, and asked again with it
}

// ApprovalStatsInput is the input of ApprovalStats.
type ApprovalStatsInput struct {
	Since abi.Duration `json:"since,omitempty" jsonschema:"How far back, at most 8760h; absent: 720h."`
}

// ApprovalStatsOutput is the output of ApprovalStats, the higher risk first.
type ApprovalStatsOutput struct {
	Result
	Since    writ.Time      `json:"since"`
	Complete bool           `json:"complete" jsonschema:"False where there were more executions than are looked at."`
	Items    []ApprovalStat `json:"items"`
}

// ApprovalStat is how people decided what one rule asked at one risk. A request that
// several rules ask for counts for each.
type ApprovalStat struct {
	Rule        string       `json:"rule"`
	RiskTier    writ.Risk    `json:"riskTier"`
	Approved    int          `json:"approved" jsonschema:"Words of people, not requests."`
	Rejected    int          `json:"rejected"`
	Edited      int          `json:"edited,omitempty" jsonschema:"Requests that somebody edited instead: a word too, and neither yes nor no."`
	Expired     int          `json:"expired" jsonschema:"Requests whose deadline passed."`
	Fast        int          `json:"fast" jsonschema:"Words less than 3 seconds after the request."`
	ApproveRate float64      `json:"approveRate" jsonschema:"Of the words, from 0 to 1."`
	EditRate    float64      `json:"editRate,omitempty" jsonschema:"Of the words, from 0 to 1."`
	Median      abi.Duration `json:"median,omitempty" jsonschema:"From the request to the word."`
	Hint        string       `json:"hint,omitempty" jsonschema:"Where it looks as if nobody reads what they approve."`
}
