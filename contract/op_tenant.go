package contract

import "github.com/writ-run/writ"

// TenantCreate makes a tenant with its first person.
var TenantCreate = define[TenantCreateInput, TenantCreateOutput](Contract{
	Key: "controlPlane.tenant.create", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ tenant create", Title: "Create a tenant", Idempotent: false,
	Description: "Makes a tenant and its first person: operator, admin and approver there, with one token that is shown once. Nothing of another tenant is seen from it.",
	Goal:        "Let a team or a customer have a host of its own on the same machine.",
	Context:     "At any time; admins of the default tenant alone.",
	PII:         []string{"input.operator", "input.reason", "output.operator", "output.token"},
	Errors:      []Failure{on(writ.CodeConflict, "The tenant is there already.")},
	Examples: example(TenantCreateInput{TenantID: "acme", Operator: "ada"},
		TenantCreateOutput{Result: done("created"), TenantID: "acme", Operator: "human:ada", Token: "writ_example", ExpiresAt: exLater}),
})

// TenantList shows the tenants.
var TenantList = define[TenantListInput, TenantListOutput](Contract{
	Key: "controlPlane.tenant.list", Kind: Query, Capability: CapCore, Auth: Admin,
	CLI: "writ tenant list", Title: "List tenants", Idempotent: true,
	Description: "Lists the tenants of the host.",
	Goal:        "See who shares the host.",
	Context:     "At any time; admins of the default tenant alone.",
	PII:         []string{"output.items.createdBy"},
	Examples: example(TenantListInput{}, TenantListOutput{
		Result: done("ok"), Items: []Tenant{{TenantID: "acme", CreatedAt: exTime, CreatedBy: exOperator}},
	}),
})
