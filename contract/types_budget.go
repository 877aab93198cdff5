package contract

import (
	"strconv"

	"github.com/writ-run/writ"
)

// BudgetSubject names what a budget is of: exactly one of its first five members,
// and what is counted.
type BudgetSubject struct {
	Tenant      bool             `json:"tenant,omitempty" jsonschema:"Everything of the caller's tenant."`
	TenantID    writ.TenantID    `json:"tenantId,omitempty" jsonschema:"The host's word on everything of a tenant, which that tenant's admins do not change; admins of the default tenant alone."`
	PrincipalID writ.PrincipalID `json:"principalId,omitempty" jsonschema:"What this principal asks for, and whoever acts on its behalf; a star: each of them by itself."`
	Skill       string           `json:"skill,omitempty" jsonschema:"Steps of this skill, by its key; a star: each by itself."`
	SessionID   string           `json:"sessionId,omitempty" jsonschema:"What this session asks for; a star: each by itself."`
	Kind        writ.BudgetKind  `json:"kind" jsonschema:"steps: attempts of steps; calls: tool calls; spend: micro-units of the host's currency; tokens: of models."`
	Span        writ.BudgetSpan  `json:"span" jsonschema:"m, h or d: it begins again with each minute, hour or day of UTC; total: it never does."`
}

// BudgetSetInput is the input of BudgetSet.
type BudgetSetInput struct {
	BudgetSubject
	Count  int64  `json:"count" jsonschema:"How much may be taken in a span; 0: nothing."`
	Reason string `json:"reason"`
}

// BudgetSetOutput is the output of BudgetSet.
type BudgetSetOutput struct {
	Result
	Budget Budget `json:"budget"`
}

// BudgetRemoveInput is the input of BudgetRemove.
type BudgetRemoveInput struct {
	BudgetSubject
	Reason string `json:"reason"`
}

// BudgetRemoveOutput is the output of BudgetRemove.
type BudgetRemoveOutput struct {
	Result
	Budget Budget `json:"budget" jsonschema:"As it was; what counts of it is gone."`
}

// BudgetListInput is the input of BudgetList.
type BudgetListInput struct {
	TenantID writ.TenantID `json:"tenantId,omitempty" jsonschema:"What the host has set of another tenant than the caller's; admins of the default tenant alone."`
}

// BudgetListOutput is the output of BudgetList.
type BudgetListOutput struct {
	Result
	Items []Budget `json:"items"`
}

// Budget is one limit with how much of it is taken.
type Budget struct {
	Scope   writ.BudgetScope `json:"scope"`
	Subject string           `json:"subject,omitempty"`
	Host    bool             `json:"host,omitempty" jsonschema:"It was set by an admin of the host."`
	Kind    writ.BudgetKind  `json:"kind"`
	Span    writ.BudgetSpan  `json:"span"`
	Count   int64            `json:"count"`
	Reason  string           `json:"reason"`
	By      writ.PrincipalID `json:"by"`
	At      writ.Time        `json:"at"`
	Taken   []BudgetTaken    `json:"taken" jsonschema:"By whom, the most first; of those that count by themselves at most 20."`
	More    int              `json:"more,omitempty" jsonschema:"Others that count by themselves and are not shown."`
}

// BudgetTaken is how much of a budget is taken in the present span.
type BudgetTaken struct {
	Subject  string    `json:"subject,omitempty"`
	Used     int64     `json:"used"`
	Reserved int64     `json:"reserved" jsonschema:"By calls under way, or whose outcome is not known."`
	Left     int64     `json:"left"`
	FreeAt   writ.Time `json:"freeAt,omitempty" jsonschema:"When it begins again; absent where it never does."`
}

// BudgetEvent is the data of controlPlane.budget.changed. Who did it is the event's
// actor.
type BudgetEvent struct {
	Scope   writ.BudgetScope `json:"scope"`
	Subject string           `json:"subject,omitempty"`
	Host    bool             `json:"host,omitempty"`
	Kind    writ.BudgetKind  `json:"kind"`
	Span    writ.BudgetSpan  `json:"span"`
	Count   int64            `json:"count"`
	Status  string           `json:"status" jsonschema:"set or removed."`
	Reason  string           `json:"reason,omitempty" jsonschema:"Absent where it is the host's word on another tenant."`
	// TenantID is in the host's own events alone.
	TenantID writ.TenantID `json:"tenantId,omitempty" jsonschema:"Of the host's word: on which tenant."`
}

// Details of a record budget.changed that is the host's word.
const (
	BudgetOfHost   = "host"
	BudgetOfTenant = "tenant" // in the host's own journal alone
)

// ExhaustedEvent is the data of controlPlane.budget.exhausted.
type ExhaustedEvent struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	StepID      writ.StepID      `json:"stepId"`
	Scope       writ.BudgetScope `json:"scope"`
	Subject     string           `json:"subject,omitempty"`
	Host        bool             `json:"host,omitempty"`
	Kind        writ.BudgetKind  `json:"kind"`
	Span        writ.BudgetSpan  `json:"span"`
	Limit       int64            `json:"limit"`
	Taken       int64            `json:"taken"`
	Wanted      int64            `json:"wanted"`
	FreeAt      writ.Time        `json:"freeAt,omitempty"`
}

// Statuses of the records of budgets, and of the operations' outputs.
const (
	StatusBudgetSet     = "set"
	StatusBudgetRemoved = "removed"
)

// BudgetFacts are a change as the system journal holds it.
func BudgetFacts(l *writ.BudgetLimit, status, reason string) writ.SystemFacts {
	facts := writ.SystemFacts{
		Subject: l.Name(), Status: status, Reason: reason,
		Details: map[string]string{
			"scope": string(l.Scope), "subject": l.Subject, "kind": string(l.Kind), "span": string(l.Span),
			"count": strconv.FormatInt(l.Count, 10),
		},
	}
	if l.Host {
		facts.Details[BudgetOfHost] = "true"
	}
	return facts
}

func budgetEvent(f *writ.SystemFacts) *BudgetEvent {
	count, _ := strconv.ParseInt(f.Details["count"], 10, 64) // it was written by BudgetFacts
	return &BudgetEvent{
		Scope: writ.BudgetScope(f.Details["scope"]), Subject: f.Details["subject"], Host: f.Details[BudgetOfHost] == "true",
		Kind: writ.BudgetKind(f.Details["kind"]), Span: writ.BudgetSpan(f.Details["span"]), Count: count,
		Status: f.Status, Reason: f.Reason, TenantID: writ.TenantID(f.Details[BudgetOfTenant]),
	}
}

// decidedEvent is that of a verdict with which a budget refuses for the first time
// in its span; other verdicts have none.
func decidedEvent(r *writ.Record, f *writ.DecidedFacts) (string, any) {
	u := f.Over
	if u == nil || !u.First {
		return "", nil
	}
	return EventBudgetExhausted, &ExhaustedEvent{
		ExecutionID: writ.ExecutionID(r.Stream), StepID: r.Step, Scope: u.Scope, Subject: u.Subject, Host: u.Host,
		Kind: u.Kind, Span: u.Span, Limit: u.Limit, Taken: u.Taken, Wanted: u.Amount, FreeAt: u.FreeAt(),
	}
}
