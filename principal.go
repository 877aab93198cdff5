package writ

import (
	"context"
	"crypto/x509"
)

// PrincipalKind is what sort of actor a principal is.
type PrincipalKind string

// The kinds. Only a human may approve.
const (
	Human   PrincipalKind = "human"
	Service PrincipalKind = "service"
	Agent   PrincipalKind = "agent"
	Tool    PrincipalKind = "tool"
)

// Valid reports whether k is one of the four kinds.
func (k PrincipalKind) Valid() bool {
	return k == Human || k == Service || k == Agent || k == Tool
}

// Strength is how well a caller proved who it is. The zero value is none.
type Strength string

// The strengths, weakest first.
const (
	// StrengthPeer is the user of the process at the other end of the Unix
	// socket: good for reading, never for approving, since an agent may run
	// under the same user.
	StrengthPeer Strength = "peer"
	// StrengthChannel is a sender whom a channel's provider vouches for.
	StrengthChannel Strength = "channel"
	// StrengthToken is a bearer token.
	StrengthToken Strength = "token"
	// StrengthMTLS is a service's client certificate.
	StrengthMTLS Strength = "mtls"
	// StrengthOIDC is a session that a person opened at an OpenID provider.
	StrengthOIDC Strength = "oidc"
)

// Acts reports whether s is proof enough to change something. The zero value and
// what is not known are none.
func (s Strength) Acts() bool {
	return s == StrengthToken || s == StrengthMTLS || s == StrengthOIDC
}

// Principal is an authenticated actor. Tenant comes from the credential and
// never from a request's body.
type Principal struct {
	ID           PrincipalID   `json:"id"`
	Kind         PrincipalKind `json:"kind"`
	Name         string        `json:"name,omitempty"`
	Tenant       TenantID      `json:"tenant"`
	Workspace    WorkspaceID   `json:"workspace"`
	Roles        []string      `json:"roles,omitempty"`
	Capabilities []string      `json:"capabilities,omitempty"` // of the control plane: "control-plane.core"
	Session      string        `json:"session,omitempty"`
	OnBehalfOf   []PrincipalID `json:"onBehalfOf,omitempty"` // delegation chain, nearest first
	Source       string        `json:"source,omitempty"`     // what gave the capabilities: a token's or session's id, "socket"
	Strength     Strength      `json:"strength,omitempty"`
}

// ActsFor reports whether p is id or provably acts for it.
func (p *Principal) ActsFor(id PrincipalID) bool {
	if id == p.ID {
		return true
	}
	for _, other := range p.OnBehalfOf {
		if other == id {
			return true
		}
	}
	return false
}

// Claim checks an optional actor field of a request (actorId, approvedBy, ...)
// against the authenticated caller: empty is the caller, another actor is
// CodeForbidden.
func (p *Principal) Claim(field string, id PrincipalID) (PrincipalID, error) {
	if id == "" {
		return p.ID, nil
	}
	if p.ActsFor(id) {
		return id, nil
	}
	return "", &Error{
		Code: CodeForbidden, Op: field, Place: field,
		Message: "names " + string(id) + ", but the caller is " + string(p.ID),
		Fix:     "leave " + field + " out, or authenticate as the principal that it names",
	}
}

// Audit are the fields that stand on every entry of a journal.
type Audit struct {
	ActorID          PrincipalID   `json:"actorId"`
	ActorType        PrincipalKind `json:"actorType"`
	TenantID         TenantID      `json:"tenantId"`
	WorkspaceID      WorkspaceID   `json:"workspaceId"`
	SessionID        string        `json:"sessionId,omitempty"`
	WorkflowID       string        `json:"workflowId,omitempty"`
	CapabilityGrants []string      `json:"capabilityGrants"`
	CapabilitySource string        `json:"capabilitySource"`
	TraceID          string        `json:"traceId"`
	OnBehalfOf       []PrincipalID `json:"onBehalfOf"`
}

// AuditOf are the audit fields of what p does.
func AuditOf(p *Principal, traceID string) Audit {
	return Audit{
		ActorID: p.ID, ActorType: p.Kind, TenantID: p.Tenant, WorkspaceID: p.Workspace,
		SessionID: p.Session, CapabilityGrants: append([]string{}, p.Capabilities...),
		CapabilitySource: p.Source, TraceID: traceID,
		OnBehalfOf: append([]PrincipalID{}, p.OnBehalfOf...),
	}
}

// Authenticator turns a credential into a principal.
type Authenticator interface {
	// Token is CodeUnauthenticated for a token that is unknown, revoked or
	// expired; the message does not say which.
	Token(ctx context.Context, token string) (*Principal, error)
	// Peer is the local operator seen through the Unix socket: StrengthPeer, with
	// the capabilities for reading alone. CodeUnauthenticated for another user.
	Peer(ctx context.Context, uid uint32) (*Principal, error)
	// Certificate is the service behind a client certificate whose key the other
	// side has proved to hold; the leaf comes first. CodeUnauthenticated for one
	// that is not of a known workload; the message does not say why.
	Certificate(ctx context.Context, chain []*x509.Certificate) (*Principal, error)
}
