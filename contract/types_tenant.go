package contract

import "github.com/writ-run/writ"

// TenantCreateInput is the input of TenantCreate.
type TenantCreateInput struct {
	TenantID             writ.TenantID `json:"tenantId" jsonschema:"Lower-case letters, digits and dashes, 32 at most."`
	Operator             string        `json:"operator" jsonschema:"Name of the first person, such as ada."`
	ApproverPublicKeyPEM string        `json:"approverPublicKeyPem,omitempty" jsonschema:"Registers the key with which this person signs approvals."`
	Reason               string        `json:"reason,omitempty"`
}

// TenantCreateOutput is the output of TenantCreate.
type TenantCreateOutput struct {
	Result
	TenantID  writ.TenantID    `json:"tenantId"`
	Operator  writ.PrincipalID `json:"operator"`
	Token     string           `json:"token" jsonschema:"Shown once; only its hash is stored."`
	ExpiresAt writ.Time        `json:"expiresAt"`
}

// TenantListInput is the input of TenantList.
type TenantListInput struct{}

// TenantListOutput is the output of TenantList, the default tenant first.
type TenantListOutput struct {
	Result
	Items []Tenant `json:"items"`
}

// Tenant is one tenant of the host.
type Tenant struct {
	TenantID  writ.TenantID    `json:"tenantId"`
	CreatedAt writ.Time        `json:"createdAt,omitempty"`
	CreatedBy writ.PrincipalID `json:"createdBy,omitempty"`
}
