package contract

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// TokenCreate makes a bearer token.
var TokenCreate = define[TokenCreateInput, TokenCreateOutput](Contract{
	Key: "controlPlane.token.create", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ token create", Title: "Create a token", Idempotent: false,
	Description: "Makes a bearer token for a principal, with the capabilities that are named and no others. It is shown once; only its hash is stored.",
	Goal:        "Let a person, a service or an agent call the host as itself.",
	Context:     "At any time. A principal that does not exist yet is added.",
	PII:         []string{"input.principalId", "input.name", "output.token", "output.principalId"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The workspace does not exist."),
		on(writ.CodeConflict, "The principal exists and is of another kind."),
	},
	Examples: example(
		TokenCreateInput{PrincipalID: "ci", Kind: writ.Service, Capabilities: []string{CapCore}, ExpiresIn: abi.Duration(720 * time.Hour)},
		TokenCreateOutput{Result: done("created"), TokenID: "tok_example", Token: "writ_example", PrincipalID: "ci", ExpiresAt: exLater}),
})

// TokenRevoke ends a token.
var TokenRevoke = define[TokenRevokeInput, TokenRevokeOutput](Contract{
	Key: "controlPlane.token.revoke", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ token revoke", Title: "Revoke a token", Idempotent: true,
	Description: "Ends a token at once.",
	Goal:        "Withdraw a credential that leaked or is no longer needed.",
	Context:     "At any time.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such token.")},
	Examples:    example(TokenRevokeInput{TokenID: "tok_example", Reason: "Leaked."}, TokenRevokeOutput{Result: done("revoked")}),
})

// SessionEnd ends the caller's own session.
var SessionEnd = define[SessionEndInput, SessionEndOutput](Contract{
	Key: "controlPlane.session.end", Kind: Command, Capability: CapCore, Auth: User,
	CLI: "writ logout", Title: "Log out", Idempotent: true,
	Description: "Ends the session that the call is made with, at once. Another's is ended with token.revoke.",
	Goal:        "Leave nothing behind that could still be used.",
	Context:     "After a login at the OpenID provider.",
	PII:         []string{"input.reason", "output.principalId"},
	Errors:      []Failure{on(writ.CodeConflict, "The caller came with a token, a certificate or over the socket, and has no session.")},
	Examples:    example(SessionEndInput{}, SessionEndOutput{Result: done("ended"), SessionID: "tok_example", PrincipalID: exOperator}),
})

// TokenList shows the tokens.
var TokenList = define[TokenListInput, TokenListOutput](Contract{
	Key: "controlPlane.token.list", Version: "1.2.0", Kind: Query, Capability: CapCore, Auth: Operator,
	CLI: "writ token list", Title: "List tokens", Idempotent: true,
	Description: "Lists the tokens, and the sessions of people who logged in, without their secrets.",
	Goal:        "See who can call the host, and until when.",
	Context:     "At any time.",
	PII:         []string{"output.items.principalId", "output.items.name"},
	Examples: example(TokenListInput{}, TokenListOutput{
		Result: done("ok"),
		Items:  []Token{{TokenID: "tok_example", PrincipalID: "ci", Credential: CredentialToken, Kind: writ.Service, Capabilities: []string{CapCore}, CreatedAt: exTime, ExpiresAt: exLater}},
	}),
})

// GrantCreate lets a principal's steps use a tool within a scope.
var GrantCreate = define[GrantCreateInput, GrantCreateOutput](Contract{
	Key: "controlPlane.grant.create", Version: "1.1.0", Kind: Command, Capability: CapCore, Auth: Operator,
	CLI: "writ grant create", Title: "Create a grant", Idempotent: false,
	Description: "Lets the steps of a principal use a tool within a scope. A grant that delegates another is never wider than it.",
	Goal:        "Allow exactly what is needed, for as long as it is needed.",
	Context:     "At any time. The policy still decides.",
	PII:         []string{"input.principalId", "input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The principal or the parent grant does not exist."),
		on(writ.CodeConflict, "The grant would be wider than its parent."),
	},
	Examples: example(
		GrantCreateInput{
			PrincipalID: exOperator, MaxRisk: writ.RiskMedium, ExpiresIn: abi.Duration(24 * time.Hour),
			Capability: writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET"}, Paths: []string{"/**"}},
		},
		GrantCreateOutput{Result: done("granted"), GrantID: "grt_example"}),
})

// GrantRevoke ends a grant.
var GrantRevoke = define[GrantRevokeInput, GrantRevokeOutput](Contract{
	Key: "controlPlane.grant.revoke", Kind: Command, Capability: CapCore, Auth: Operator,
	CLI: "writ grant revoke", Title: "Revoke a grant", Idempotent: true,
	Description: "Ends a grant, and those that delegate it, at once.",
	Goal:        "Withdraw what a principal was allowed.",
	Context:     "At any time; calls that are checked later are denied.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such grant.")},
	Examples:    example(GrantRevokeInput{GrantID: "grt_example"}, GrantRevokeOutput{Result: done("revoked")}),
})

// GrantList shows the grants.
var GrantList = define[GrantListInput, GrantListOutput](Contract{
	Key: "controlPlane.grant.list", Version: "1.2.0", Kind: Query, Capability: CapCore, Auth: User,
	CLI: "writ grant list", Title: "List grants", Idempotent: true,
	Description: "Lists the grants of a principal, or all, without those that have expired.",
	Goal:        "See what is allowed, to whom and for how long.",
	Context:     "At any time.",
	PII:         []string{"output.items.principalId"},
	Examples: example(GrantListInput{PrincipalID: exOperator}, GrantListOutput{
		Result: done("ok"),
		Items:  []Grant{{GrantID: "grt_example", PrincipalID: exOperator, Capability: writ.Capability{Tool: abi.ToolKVGet, Prefixes: []string{"notes/"}}}}, BreakGlass: []BreakGlass{},
	}),
})

// SystemStatus shows how the host is.
var SystemStatus = define[SystemStatusInput, SystemStatusOutput](Contract{
	Key: "controlPlane.system.status", Version: "1.2.0", Kind: Query, Capability: CapCore, Auth: User,
	CLI: "writ status", Title: "Status of the host", Idempotent: true,
	Description: "Shows versions, the active policy, what is frozen, counts and the state of each part. It is degraded where a check fails: the journal takes nothing, an enabled skill or the keys are not as they must be, everything or the tenant is frozen, an emergency was not reviewed in time, or the last look found serious drift.",
	Goal:        "Know whether the host is well, and what to do where it is not.",
	Context:     "At any time.",
	PII:         []string{"output.caller", "output.frozen.subject", "output.frozen.reason", "output.frozen.by"},
	Examples: example(SystemStatusInput{}, SystemStatusOutput{
		Result: done("ok"), Version: writ.Version, ABIVersion: abi.ABIVersion, ContractsVersion: abi.ContractsVersion,
		PolicyDigest: exDigest, PolicyVersion: "1.0.0", Skills: 1, BreakGlass: []BreakGlass{}, Checks: []SystemCheck{{Name: "journal", OK: true}},
	}),
})
