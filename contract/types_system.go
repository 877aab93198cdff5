package contract

import (
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// SecretSetInput is the input of SecretSet.
type SecretSetInput struct {
	Name  string `json:"name"`
	Value string `json:"value" jsonschema:"Never stored in a trace, a log or an error."`
}

// SecretSetOutput is the output of SecretSet.
type SecretSetOutput struct {
	Result
	Version int `json:"version,omitempty"`
}

// SecretRotateInput is the input of SecretRotate.
type SecretRotateInput struct {
	Name    string       `json:"name"`
	Value   string       `json:"value" jsonschema:"Never stored in a trace, a log or an error."`
	KeepOld abi.Duration `json:"keepOld,omitempty" jsonschema:"How long the old value is still looked for, such as 24h, at most 720h; absent: the host's secrets.keepOld."`
	Reason  string       `json:"reason,omitempty"`
}

// SecretRotateOutput is the output of SecretRotate.
type SecretRotateOutput struct {
	Result
	Version  int       `json:"version"`
	OldUntil writ.Time `json:"oldUntil" jsonschema:"Until when the old value is looked for in what comes in and goes out."`
}

// SecretRemoveInput is the input of SecretRemove.
type SecretRemoveInput struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

// SecretRemoveOutput is the output of SecretRemove.
type SecretRemoveOutput struct {
	Result
}

// SecretListInput is the input of SecretList.
type SecretListInput struct {
	Check bool `json:"check,omitempty" jsonschema:"Ask each provider whether it has a value. No value is shown."`
}

// SecretListOutput is the output of SecretList: names, never values.
type SecretListOutput struct {
	Result
	Items []SecretName `json:"items"`
}

// SecretName is one secret without its value.
type SecretName struct {
	Name       string         `json:"name"`
	Provider   string         `json:"provider,omitempty" jsonschema:"home: the encrypted file; else a provider as the configuration names it."`
	Version    int            `json:"version,omitempty" jsonschema:"Absent where the provider does not count, or was not asked yet."`
	UpdatedAt  writ.Time      `json:"updatedAt,omitempty"`
	LastUsedAt writ.Time      `json:"lastUsedAt,omitempty" jsonschema:"When a call last got it; after a crash up to an hour too old."`
	OldUntil   writ.Time      `json:"oldUntil,omitempty" jsonschema:"Until when an old value is looked for in what comes in and goes out."`
	Shadowed   bool           `json:"shadowed,omitempty" jsonschema:"Stored, and not used: the configuration gives the name to a provider."`
	Failure    *SecretFailure `json:"failure,omitempty" jsonschema:"Why the provider has no value; with check alone."`
}

// SecretFailure is why a provider has no value.
type SecretFailure struct {
	Code    writ.Code `json:"code"`
	Message string    `json:"message"`
	Fix     string    `json:"fix,omitempty"`
}

// TokenCreateInput is the input of TokenCreate.
type TokenCreateInput struct {
	PrincipalID          writ.PrincipalID   `json:"principalId"`
	Kind                 writ.PrincipalKind `json:"kind,omitempty" jsonschema:"Needed for a principal that does not exist yet."`
	Name                 string             `json:"name,omitempty"`
	WorkspaceID          writ.WorkspaceID   `json:"workspaceId,omitempty"`
	Roles                []string           `json:"roles,omitempty"`
	Capabilities         []string           `json:"capabilities,omitempty" jsonschema:"Keys such as control-plane.core; absent: none."`
	OnBehalfOf           []writ.PrincipalID `json:"onBehalfOf,omitempty"`
	ExpiresIn            abi.Duration       `json:"expiresIn,omitempty" jsonschema:"Such as 720h; absent: the host's default."`
	ApproverPublicKeyPEM string             `json:"approverPublicKeyPem,omitempty" jsonschema:"Registers the key with which this human signs approvals."`
}

// TokenCreateOutput is the output of TokenCreate.
type TokenCreateOutput struct {
	Result
	TokenID     string           `json:"tokenId"`
	Token       string           `json:"token" jsonschema:"Shown once; only its hash is stored."`
	PrincipalID writ.PrincipalID `json:"principalId"`
	ExpiresAt   writ.Time        `json:"expiresAt,omitempty"`
}

// TokenRevokeInput is the input of TokenRevoke.
type TokenRevokeInput struct {
	TokenID string `json:"tokenId"`
	Reason  string `json:"reason,omitempty"`
}

// TokenRevokeOutput is the output of TokenRevoke.
type TokenRevokeOutput struct {
	Result
}

// TokenListInput is the input of TokenList.
type TokenListInput struct {
	PrincipalID    writ.PrincipalID `json:"principalId,omitempty"`
	IncludeRevoked bool             `json:"includeRevoked,omitempty"`
}

// TokenListOutput is the output of TokenList.
type TokenListOutput struct {
	Result
	Items []Token `json:"items"`
}

// Token is a bearer token without its secret.
type Token struct {
	TokenID      string             `json:"tokenId"`
	PrincipalID  writ.PrincipalID   `json:"principalId"`
	Credential   Credential         `json:"credential,omitempty" jsonschema:"token, or session where a person logged in."`
	Kind         writ.PrincipalKind `json:"kind"`
	Name         string             `json:"name,omitempty"`
	WorkspaceID  writ.WorkspaceID   `json:"workspaceId,omitempty"`
	Roles        []string           `json:"roles,omitempty"`
	Capabilities []string           `json:"capabilities,omitempty"`
	CreatedAt    writ.Time          `json:"createdAt"`
	ExpiresAt    writ.Time          `json:"expiresAt,omitempty"`
	RevokedAt    writ.Time          `json:"revokedAt,omitempty"`
	ReplacedBy   string             `json:"replacedBy,omitempty" jsonschema:"Id of the token that it was rotated to."`
}

// Credential is how a token came to be.
type Credential string

// The credentials.
const (
	CredentialToken   Credential = "token"   // made with token.create
	CredentialSession Credential = "session" // opened by a login, see docs/access.md
)

// SessionEndInput is the input of SessionEnd.
type SessionEndInput struct {
	Reason string `json:"reason,omitempty"`
}

// SessionEndOutput is the output of SessionEnd.
type SessionEndOutput struct {
	Result
	SessionID   string           `json:"sessionId"`
	PrincipalID writ.PrincipalID `json:"principalId"`
}

// GrantCreateInput is the input of GrantCreate.
type GrantCreateInput struct {
	PrincipalID writ.PrincipalID `json:"principalId"`
	Capability  writ.Capability  `json:"capability" jsonschema:"A tool and its scope; tool * with no scope covers every tool."`
	Skills      []writ.SkillKey  `json:"skills,omitempty" jsonschema:"Absent: any skill."`
	MaxRisk     writ.Risk        `json:"maxRisk,omitempty" jsonschema:"Absent: low."`
	ExpiresIn   abi.Duration     `json:"expiresIn,omitempty" jsonschema:"Such as 24h; absent: does not expire."`
	MaxUses     int              `json:"maxUses,omitempty" jsonschema:"A use is an attempt of a step that needed the grant; absent: not counted."`
	Parent      string           `json:"parent,omitempty" jsonschema:"Delegates this grant; never wider than it."`
	Reason      string           `json:"reason,omitempty"`

	MaxSensitivity writ.Sensitivity `json:"maxSensitivity,omitempty" jsonschema:"Of the data in a step's input: public, private (absent) or secret."`
}

// GrantCreateOutput is the output of GrantCreate.
type GrantCreateOutput struct {
	Result
	GrantID string `json:"grantId"`
}

// GrantRevokeInput is the input of GrantRevoke.
type GrantRevokeInput struct {
	GrantID string `json:"grantId"`
	Reason  string `json:"reason,omitempty"`
}

// GrantRevokeOutput is the output of GrantRevoke.
type GrantRevokeOutput struct {
	Result
}

// GrantListInput is the input of GrantList.
type GrantListInput struct {
	PrincipalID writ.PrincipalID `json:"principalId,omitempty"`
	IncludePast bool             `json:"includePast,omitempty" jsonschema:"Those that have expired too."`
}

// GrantListOutput is the output of GrantList.
type GrantListOutput struct {
	Result
	Items      []Grant      `json:"items"`
	BreakGlass []BreakGlass `json:"breakGlass" jsonschema:"Given in an emergency and not reviewed yet, those that last first."`
}

// Grant lets a principal's steps use a tool within a scope.
type Grant struct {
	GrantID     string           `json:"grantId"`
	Parent      string           `json:"parent,omitempty"`
	PrincipalID writ.PrincipalID `json:"principalId"`
	Capability  writ.Capability  `json:"capability"`
	Skills      []writ.SkillKey  `json:"skills,omitempty"`
	MaxRisk     writ.Risk        `json:"maxRisk,omitempty"`
	ExpiresAt   writ.Time        `json:"expiresAt,omitempty"`
	MaxUses     int              `json:"maxUses,omitempty"`
	Uses        int              `json:"uses,omitempty"`
	BreakGlass  bool             `json:"breakGlass,omitempty" jsonschema:"Given in an emergency."`
	Expired     bool             `json:"expired,omitempty" jsonschema:"It allows nothing any more."`

	MaxSensitivity writ.Sensitivity `json:"maxSensitivity,omitempty" jsonschema:"Of the data in a step's input: public, private or secret."`
}

// GrantFrom converts a grant as it is at a moment.
func GrantFrom(g *writ.Grant, now writ.Time) Grant {
	return Grant{
		GrantID: g.ID, Parent: g.Parent, PrincipalID: g.Principal, Capability: g.Capability,
		Skills: g.Skills, MaxRisk: g.MaxRisk, MaxSensitivity: g.Sensitivity(), ExpiresAt: g.Expires, MaxUses: g.MaxUses, Uses: g.Uses, BreakGlass: g.BreakGlass,
		Expired: g.Expired(now),
	}
}

// SystemStatusInput is the input of SystemStatus.
type SystemStatusInput struct{}

// SystemStatusOutput is the output of SystemStatus. Status is ok, or degraded where
// a check fails.
type SystemStatusOutput struct {
	Result
	Version          string           `json:"version" jsonschema:"Of the host."`
	ABIVersion       string           `json:"abiVersion"`
	ContractsVersion string           `json:"contractsVersion"`
	Engine           string           `json:"engine,omitempty" jsonschema:"Of the sandbox, with its version."`
	PolicyDigest     writ.Digest      `json:"policyDigest,omitempty"`
	PolicyVersion    string           `json:"policyVersion,omitempty"`
	Skills           int              `json:"skills"`
	Executions       map[string]int   `json:"executions,omitempty" jsonschema:"Number by status."`
	PendingApprovals int              `json:"pendingApprovals"`
	StartedAt        writ.Time        `json:"startedAt,omitempty"`
	Caller           writ.PrincipalID `json:"caller,omitempty" jsonschema:"Who is asking."`
	Frozen           []Frozen         `json:"frozen,omitempty" jsonschema:"What the kill switch holds, the widest first."`
	BreakGlass       []BreakGlass     `json:"breakGlass" jsonschema:"Grants given in an emergency and not reviewed yet."`
	Checks           []SystemCheck    `json:"checks"`
}

// SystemCheck is one part of the host.
type SystemCheck struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message,omitempty"`
	Fix     string `json:"fix,omitempty"`
}
