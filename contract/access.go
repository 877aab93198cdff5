package contract

import (
	"slices"

	"github.com/writ-run/writ"
)

// Roles that the levels of Auth ask for.
const (
	RoleOperator = "operator"
	RoleAdmin    = "admin"
	RoleSystem   = "system" // the host's own background work; no token carries it
)

// Permits checks a caller against the contract. CodeForbidden names what is
// missing.
func (c *Contract) Permits(p *writ.Principal) error {
	if p == nil {
		return writ.Errorf(writ.CodeUnauthenticated, c.Key, "no caller is authenticated")
	}
	// The user behind a socket may be an agent: reading only.
	if p.Strength == writ.StrengthPeer && c.Kind != Query {
		return writ.Errorf(writ.CodeForbidden, c.Key, "a caller known by its process alone may only read").
			WithFix("send a bearer token: `writ login`, or WRIT_TOKEN")
	}
	if p.Strength == writ.StrengthChannel && !fromChannels(c.Key) {
		return writ.Errorf(writ.CodeForbidden, c.Key, "a sender known by a channel alone may only ask for something, see how it goes and cancel it, and decide about what it is shown there").
			WithFix("use the command line with a token of your own")
	}
	if p.Strength != writ.StrengthPeer && p.Strength != writ.StrengthChannel && !p.Strength.Acts() {
		return writ.Errorf(writ.CodeForbidden, c.Key, "the caller has not proved who it is").
			WithFix("send a bearer token: `writ login`, or WRIT_TOKEN")
	}
	if !slices.Contains(p.Capabilities, c.Capability) {
		return writ.Errorf(writ.CodeForbidden, c.Key, "%s has not the capability %s", p.ID, c.Capability).
			WithFix("use a token with it: `writ token create --capability %s`", c.Capability)
	}
	if !c.Auth.met(p.Roles) {
		return writ.Errorf(writ.CodeForbidden, c.Key, "%s has not the role %s", p.ID, c.Auth).
			WithFix("ask somebody with the role %s", c.Auth)
	}
	return nil
}

// fromChannels: a channel's word for who somebody is suffices to ask for something, and
// to see and cancel what they asked for. That it is their own is Own's to say. It
// suffices to decide where the host attests it, and the risk is not high.
func fromChannels(key string) bool {
	switch key {
	case IntentSubmit.Key, ExecutionGet.Key, ExecutionCancel.Key, ExecutionApprove.Key, ExecutionReject.Key:
		return true
	}
	return false
}

// Own is CodeNotFound for an execution that a sender known by a channel alone did not ask
// for, in the words for one that does not exist. Where many senders are one principal, the
// session says which of them it was. Anybody else may look.
func Own(p *writ.Principal, e *writ.Execution) error {
	if p.Strength != writ.StrengthChannel {
		return nil
	}
	if e.Principal != nil && p.ID != "" && e.Principal.ID == p.ID && (p.Session == "" || e.Principal.Session == p.Session) {
		return nil
	}
	return writ.Errorf(writ.CodeNotFound, "execution "+string(e.ID), "there is no such execution").WithFix("see `writ exec list`")
}

// met: an unknown level is met by nobody.
func (a Auth) met(roles []string) bool {
	switch a {
	case User:
		return true
	case Operator:
		return slices.Contains(roles, RoleOperator) || slices.Contains(roles, RoleAdmin)
	case Admin:
		return slices.Contains(roles, RoleAdmin)
	case System:
		return slices.Contains(roles, RoleSystem)
	}
	return false
}
