package writ

import "context"

// FreezeScope is what kind of thing a freeze holds. The zero value is none.
type FreezeScope string

// The scopes, widest first.
const (
	FreezeAll       FreezeScope = "all"       // every tenant of the host
	FreezeTenant    FreezeScope = "tenant"    // one tenant
	FreezeChannel   FreezeScope = "channel"   // intents of a channel key; a star at the end is any ending
	FreezePrincipal FreezeScope = "principal" // what it asked for, and who acts on its behalf
	FreezeSkill     FreezeScope = "skill"     // a skill, or a range of its versions: "acme/mail <1.4.2"
)

// FreezeMode is what becomes of frozen work. The zero value is no mode.
type FreezeMode string

// The modes.
const (
	FreezeWait FreezeMode = "wait" // it goes on by itself when nothing freezes it any more
	FreezeFail FreezeMode = "fail" // its steps fail
)

// Freeze is one entry of the kill switch.
type Freeze struct {
	Scope   FreezeScope `json:"scope"`
	Subject string      `json:"subject,omitempty"` // of channel, principal and skill
	Mode    FreezeMode  `json:"mode"`
	Reason  string      `json:"reason"`
	By      PrincipalID `json:"by"`
	At      Time        `json:"at"`
}

// Name is scope and subject, as it is frozen and unfrozen: "all", "skill acme/mail
// <1.4.2".
func (f *Freeze) Name() string {
	if f.Subject == "" {
		return string(f.Scope)
	}
	return string(f.Scope) + " " + f.Subject
}

// What is Name for people: "everything", "skill acme/mail <1.4.2".
func (f *Freeze) What() string {
	switch f.Scope {
	case FreezeAll:
		return "everything"
	case FreezeTenant:
		return "the tenant"
	}
	return Clip(f.Name(), longestReason)
}

// longestReason of a freeze fits into one line of a list.
const longestReason = 256

// ToOthers is the freeze as tenants see it that it is not of: the host did it, and
// why is the host's matter.
func (f *Freeze) ToOthers() *Freeze {
	return &Freeze{Scope: f.Scope, Mode: f.Mode, By: HostPrincipal, At: f.At}
}

// Who froze it, for people.
func (f *Freeze) Who() string {
	if f.By == HostPrincipal {
		return "the host"
	}
	return Clip(string(f.By), longestReason)
}

// Why it was frozen, as it follows who and when: empty where that is not said.
func (f *Freeze) Why() string {
	if f.Reason == "" {
		return ""
	}
	return ": " + Clip(f.Reason, longestReason)
}

// Said is who froze it and why, for lists.
func (f *Freeze) Said() string { return "frozen by " + f.Who() + f.Why() }

// Refusal is what a step or an intent is told that the freeze does not let wait.
func (f *Freeze) Refusal(op, fix string) *Error {
	return Errorf(CodeFrozen, op, "%s is frozen by %s since %s%s", f.What(), f.Who(), f.At, f.Why()).WithFix("%s", fix)
}

// FreezeTarget is work that a freeze may cover.
type FreezeTarget struct {
	Principal *Principal // who asked for it
	Channel   string     // key of the channel that it came by; empty: none
	Skills    []SkillRef // of the step, and of those that called it
	Named     bool       // by what names one of these alone: no freeze of the tenant or of everything
}

// Freezes finds what holds work: an organ of its own keeps them, and a test can
// do with a map.
type Freezes interface {
	// Frozen is the freeze that covers the target, nil where none does; of several
	// one that fails work. What was frozen before an epoch that Journal.Epoch has
	// answered is found. On an error nothing may begin.
	Frozen(ctx context.Context, tenant TenantID, target *FreezeTarget) (*Freeze, error)
}
