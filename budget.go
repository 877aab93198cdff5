package writ

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// BudgetScope is whose use a limit counts. The zero value is nobody's.
type BudgetScope string

// The scopes.
const (
	BudgetTenant    BudgetScope = "tenant"    // everything of one tenant
	BudgetPrincipal BudgetScope = "principal" // what it asked for, and who acts on its behalf
	BudgetSkill     BudgetScope = "skill"     // steps of a skill, by its key
	BudgetSession   BudgetScope = "session"   // what one session asked for
)

// EachSubject as a limit's subject gives every principal, skill or session a count
// of its own.
const EachSubject = "*"

// BudgetKind is what a limit counts. The zero value is nothing.
type BudgetKind string

// The kinds.
const (
	BudgetSteps  BudgetKind = "steps"  // attempts of steps
	BudgetCalls  BudgetKind = "calls"  // tool calls
	BudgetSpend  BudgetKind = "spend"  // micro-units of the host's currency
	BudgetTokens BudgetKind = "tokens" // tokens of models
)

// Valid reports whether k is one of the kinds.
func (k BudgetKind) Valid() bool {
	return k == BudgetSteps || k == BudgetCalls || k == BudgetSpend || k == BudgetTokens
}

// Reserved reports whether what a call takes is known for certain only afterwards.
func (k BudgetKind) Reserved() bool { return k == BudgetSpend || k == BudgetTokens }

// BudgetSpan is how long a limit counts before it begins again. The zero value is
// no span.
type BudgetSpan string

// The spans. They begin where those of UTC do.
const (
	SpanMinute BudgetSpan = "m"
	SpanHour   BudgetSpan = "h"
	SpanDay    BudgetSpan = "d"
	SpanTotal  BudgetSpan = "total" // it never begins again
)

// Valid reports whether s is one of the spans.
func (s BudgetSpan) Valid() bool { return s == SpanTotal || s.length() > 0 }

func (s BudgetSpan) length() time.Duration {
	switch s {
	case SpanMinute:
		return time.Minute
	case SpanHour:
		return time.Hour
	case SpanDay:
		return 24 * time.Hour
	}
	return 0
}

// Start is when the span around a moment began, zero for SpanTotal.
func (s BudgetSpan) Start(at Time) Time {
	length := Time(s.length())
	if length == 0 {
		return 0
	}
	past := at % length
	if past < 0 {
		past += length
	}
	return at - past
}

// End is when a span that began then is over, zero for SpanTotal.
func (s BudgetSpan) End(start Time) Time {
	if s.length() == 0 {
		return 0
	}
	return start.Add(s.length())
}

// MaxAmount of a limit and of what one call takes: what a JSON number holds exactly.
const MaxAmount = 1<<53 - 1

// BudgetLimit is one limit that somebody has set.
type BudgetLimit struct {
	Scope   BudgetScope `json:"scope"`
	Subject string      `json:"subject,omitempty"` // of principal, skill and session; EachSubject: each of them
	Kind    BudgetKind  `json:"kind"`
	Count   int64       `json:"count"` // 0: nothing at all
	Span    BudgetSpan  `json:"span"`
	Host    bool        `json:"host,omitempty"` // the host's word on a tenant, which its admins do not change
	Reason  string      `json:"reason"`
	By      PrincipalID `json:"by"`
	At      Time        `json:"at"`
	// Since is when it was first set. Another count under the same name goes on
	// counting.
	Since Time `json:"since"`
}

// Name is all of a limit but its count: "principal agent:bot, calls/h".
func (l *BudgetLimit) Name() string { return budgetName(l.Scope, l.Subject, l.Kind, l.Span) }

func budgetName(scope BudgetScope, subject string, kind BudgetKind, span BudgetSpan) string {
	name := string(scope)
	if subject != "" {
		name += " " + subject
	}
	return name + ", " + string(kind) + "/" + string(span)
}

// Subjects are whose counts of the limit the work moves: none where it does not
// cover it. What acts on behalf of others counts for each of them.
func (l *BudgetLimit) Subjects(p *Principal, skill SkillKey) []string {
	each := func(names ...string) []string {
		var out []string
		for _, name := range names {
			if name != "" && (l.Subject == EachSubject || l.Subject == name) {
				out = append(out, name)
			}
		}
		return out
	}
	switch l.Scope {
	case BudgetTenant:
		return []string{""}
	case BudgetSkill:
		return each(string(skill))
	case BudgetSession:
		if p != nil {
			return each(p.Session)
		}
	case BudgetPrincipal:
		if p == nil {
			return nil
		}
		names := []string{string(p.ID)}
		for _, id := range p.OnBehalfOf {
			if id != p.ID {
				names = append(names, string(id))
			}
		}
		return each(names...)
	}
	return nil
}

// BudgetUse is one count of a limit as a record moved it, or found no room in it.
type BudgetUse struct {
	Scope   BudgetScope `json:"scope"`
	Subject string      `json:"subject,omitempty"`
	Each    bool        `json:"each,omitempty"` // the limit gives each subject a count of its own
	Kind    BudgetKind  `json:"kind"`
	Span    BudgetSpan  `json:"span"`
	Host    bool        `json:"host,omitempty"`
	Since   Time        `json:"since"` // of the limit
	Limit   int64       `json:"limit"`
	Amount  int64       `json:"amount"`           // that the record takes, or wanted
	Taken   int64       `json:"taken"`            // used and reserved: with the record, or without what was refused
	Window  Time        `json:"window,omitempty"` // when the span began; zero: it is the only one
	First   bool        `json:"first,omitempty"`  // of a refusal: nobody was refused in this span before
}

// Covers reports whether work of the principal and the skill moves this count.
func (u *BudgetUse) Covers(p *Principal, skill SkillKey) bool {
	l := BudgetLimit{Scope: u.Scope, Subject: u.Subject}
	return len(l.Subjects(p, skill)) == 1
}

// Refuses reports whether the count has no room for its amount.
func (u *BudgetUse) Refuses() bool { return u.Taken+u.Amount > u.Limit }

// FreeAt is when the count begins again, zero where it never does.
func (u *BudgetUse) FreeAt() Time { return u.Span.End(u.Window) }

// RuleBudget names the reason of what a budget refused.
const RuleBudget = "writ.budget"

// Refusal is the reason that a refused step or call is given.
func (u *BudgetUse) Refusal() Reason {
	whose := string(u.Scope)
	if u.Subject != "" {
		whose += " " + Clip(u.Subject, longestReason)
	}
	limit := AmountText(u.Kind, u.Limit) + map[BudgetSpan]string{SpanMinute: " a minute", SpanHour: " an hour", SpanDay: " a day", SpanTotal: " in all"}[u.Span]
	r := Reason{
		Rule: RuleBudget,
		Message: "the budget of " + whose + " is " + limit + ": " + AmountText(u.Kind, u.Taken) + " taken, and this takes " +
			AmountText(u.Kind, u.Amount) + " more",
		Fix: "have an admin set another with `writ budget set`",
	}
	if u.Host {
		r.Fix = "have an admin of the host set another with `writ budget set`"
	}
	switch free := u.FreeAt(); {
	case u.Amount > u.Limit:
		r.Message += ", which it never has room for"
	case free == 0:
		r.Message += "; it does not become free by itself"
	default:
		r.Message += "; it is free again at " + free.Std().Format(time.RFC3339)
		r.Fix = "try again then, or " + r.Fix
	}
	return r
}

// Exhausted is the verdict with which a budget refuses what policy allows.
func Exhausted(v *Verdict, u *BudgetUse) *Verdict {
	blocked := *v
	blocked.Mode, blocked.Reasons = Blocked, []Reason{u.Refusal()}
	blocked.Clamps = append(append([]Clamp{}, v.Clamps...), Clamp{Rule: RuleBudget, From: v.Mode, To: Blocked})
	return &blocked
}

// microUnits are one unit of the currency.
const microUnits = 1_000_000

// AmountText is an amount for people: "100 calls", "12.5 of spend".
func AmountText(kind BudgetKind, n int64) string {
	if kind != BudgetSpend {
		if n == 1 {
			return "1 " + strings.TrimSuffix(string(kind), "s")
		}
		return strconv.FormatInt(n, 10) + " " + string(kind)
	}
	return MicroText(n) + " of spend"
}

// MicroText is micro-units as decimal units: "12.5".
func MicroText(n int64) string {
	text := strconv.FormatInt(n/microUnits, 10)
	if rest := n % microUnits; rest != 0 {
		text += "." + strings.TrimRight(strconv.FormatInt(microUnits+rest, 10)[1:], "0")
	}
	return text
}

// Amounts are what a call takes of budgets beside being a call.
type Amounts struct {
	Spend  int64 `json:"spend,omitempty"` // micro-units
	Tokens int64 `json:"tokens,omitempty"`
}

// BudgetWant is what a step or a call is about to take.
type BudgetWant struct {
	Tenant    TenantID
	Principal *Principal
	Skill     SkillKey
	Steps     int64
	Calls     int64
	Amounts
	Time Time // of the record; a count that has begun later makes it that
}

// Of is what is wanted of a kind.
func (w *BudgetWant) Of(kind BudgetKind) int64 {
	switch kind {
	case BudgetSteps:
		return w.Steps
	case BudgetCalls:
		return w.Calls
	}
	return w.Amounts.Of(kind)
}

// Of is the amount of a kind.
func (a Amounts) Of(kind BudgetKind) int64 {
	switch kind {
	case BudgetSpend:
		return a.Spend
	case BudgetTokens:
		return a.Tokens
	}
	return 0
}

// BudgetSettlement says what a reservation came to.
type BudgetSettlement struct {
	Use    BudgetUse // as it was reserved
	Amount int64     // 0: nothing was done
}

// ErrBudgetSpent is the cause of a CodeConflict: between the decision and the
// record a budget was used up. Decide again.
var ErrBudgetSpent = errors.New("a budget has no room left")
