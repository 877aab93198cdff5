// Package writ is the vocabulary of the control plane: one file per noun, and
// the interfaces through which the organs (plan, policy, registry, host, engine,
// trace, identity) meet. It holds no behaviour that needs a heavy dependency.
package writ

import (
	"context"
	"time"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// Version is the version of the host, compared with a skill's requires.host.
const Version = "0.1.0"

// Identifiers. The deterministic ones are PREFIX_ and 26 base32 characters; docs/formats.md
// fixes what each is derived from.
type (
	TenantID    string
	WorkspaceID string
	PrincipalID string
	IntentID    string // int_
	ExecutionID string // exe_
	PlanID      string // pln_
	StepID      string // stp_, and stp_.../INDEX for an iteration of forEach
	RunID       string // run_
	// StreamID names one journal of a tenant: an ExecutionID, or SystemStream.
	StreamID string
	// SkillKey is publisher/name.
	SkillKey string
	// Digest is "sha256:" and 64 hexadecimal digits.
	Digest = canon.Digest
	// Time is nanoseconds since the Unix epoch; JSON has nine fraction digits.
	Time = canon.Time
	// Effect and Risk are defined with the guest wire, which names them too.
	Effect = abi.Effect
	// Risk is a tier of risk.
	Risk = abi.Risk
	// Capability is a tool and the scope in which it may be used.
	Capability = abi.Capability
)

// DefaultTenant and DefaultWorkspace serve a home that names no other.
const (
	DefaultTenant    TenantID    = "default"
	DefaultWorkspace WorkspaceID = "default"
	// SystemStream is the tenant's journal of what belongs to no execution:
	// trust, policy, grants, tokens, skills.
	SystemStream StreamID = "system"
)

// Clock tells the time. It is injected everywhere so that tests and replay
// decide what now is.
type Clock func() time.Time

// Now is the clock's time in the form that is stored.
func (c Clock) Now() Time { return canon.TimeOf(c()) }

type contextKey int

const principalKey contextKey = iota

// WithPrincipal carries the authenticated caller to the operations.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey, p)
}

// PrincipalFrom is the authenticated caller, or CodeUnauthenticated.
func PrincipalFrom(ctx context.Context) (*Principal, error) {
	if p, ok := ctx.Value(principalKey).(*Principal); ok && p != nil {
		return p, nil
	}
	return nil, &Error{
		Code: CodeUnauthenticated, Op: "authenticate", Message: "no caller is authenticated",
		Fix: "send a bearer token, or run `writ init` to make one",
	}
}
