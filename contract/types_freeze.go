package contract

import "github.com/writ-run/writ"

// FreezeSubject names what is frozen: exactly one of its members.
type FreezeSubject struct {
	All         bool             `json:"all,omitempty" jsonschema:"Everything on the host, whatever tenant it belongs to."`
	Tenant      bool             `json:"tenant,omitempty" jsonschema:"Everything of the caller's tenant."`
	Skill       string           `json:"skill,omitempty" jsonschema:"A skill with a range of versions: acme/mail <1.4.2; without a range: every version. What it calls is held too."`
	PrincipalID writ.PrincipalID `json:"principalId,omitempty" jsonschema:"What this principal asked for, and whoever acts on its behalf."`
	ChannelKey  string           `json:"channelKey,omitempty" jsonschema:"What came by this channel key, and what is said there; a star at the end is any ending."`
}

// FreezeInput is the input of Freeze.
type FreezeInput struct {
	FreezeSubject
	Mode   writ.FreezeMode `json:"mode,omitempty" jsonschema:"wait (default): it goes on by itself when nothing freezes it any more; fail: its steps fail."`
	Reason string          `json:"reason"`
}

// FreezeOutput is the output of Freeze.
type FreezeOutput struct {
	Result
	Freeze Frozen `json:"freeze"`
}

// UnfreezeInput is the input of Unfreeze.
type UnfreezeInput struct {
	FreezeSubject
	Reason string `json:"reason"`
}

// UnfreezeOutput is the output of Unfreeze.
type UnfreezeOutput struct {
	Result
	Scope     writ.FreezeScope `json:"scope"`
	Subject   string           `json:"subject,omitempty"`
	Remaining []Frozen         `json:"remaining" jsonschema:"What is frozen still, and may hold the same work."`
}

// FreezeListInput is the input of FreezeList.
type FreezeListInput struct{}

// FreezeListOutput is the output of FreezeList.
type FreezeListOutput struct {
	Result
	Items []Frozen `json:"items"`
}

// Frozen is one thing that is frozen.
type Frozen struct {
	Scope   writ.FreezeScope `json:"scope"`
	Subject string           `json:"subject,omitempty" jsonschema:"Of the scopes skill, principal and channel."`
	Mode    writ.FreezeMode  `json:"mode"`
	Reason  string           `json:"reason"`
	By      writ.PrincipalID `json:"by"`
	At      writ.Time        `json:"at"`
}

// FreezeEvent is the data of controlPlane.freeze.changed. Who did it is the
// event's actor.
type FreezeEvent struct {
	Scope   writ.FreezeScope `json:"scope"`
	Subject string           `json:"subject,omitempty"`
	Mode    writ.FreezeMode  `json:"mode,omitempty"`
	Status  string           `json:"status" jsonschema:"frozen or unfrozen."`
	Reason  string           `json:"reason"`
}

// Statuses of the records of freezes, and of the operations' outputs.
const (
	StatusFrozen   = "frozen"
	StatusUnfrozen = "unfrozen"
)

// FreezeFacts are a change as the system journal holds it.
func FreezeFacts(f *writ.Freeze, status, reason string) writ.SystemFacts {
	return writ.SystemFacts{
		Subject: f.Name(), Status: status, Reason: reason,
		Details: map[string]string{"scope": string(f.Scope), "subject": f.Subject, "mode": string(f.Mode)},
	}
}

func freezeEvent(f *writ.SystemFacts) *FreezeEvent {
	return &FreezeEvent{
		Scope: writ.FreezeScope(f.Details["scope"]), Subject: f.Details["subject"], Mode: writ.FreezeMode(f.Details["mode"]),
		Status: f.Status, Reason: f.Reason,
	}
}
