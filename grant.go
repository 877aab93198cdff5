package writ

// Grant lets a principal's steps use tools within a scope. A delegated grant is
// never wider than its parent.
type Grant struct {
	ID         string      `json:"id"`
	Parent     string      `json:"parent,omitempty"`
	Principal  PrincipalID `json:"principal"`
	Tenant     TenantID    `json:"tenant"`
	Capability Capability  `json:"capability"`        // Tool "*" with no scope covers every tool
	Skills     []SkillKey  `json:"skills,omitempty"`  // empty: any skill
	MaxRisk    Risk        `json:"maxRisk,omitempty"` // empty: low
	Expires    Time        `json:"expires,omitempty"` // zero: does not expire
	MaxUses    int         `json:"maxUses,omitempty"` // zero: not counted
	Uses       int         `json:"uses,omitempty"`
}
