package identity

import (
	"context"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Bootstrapped is what a new home starts with.
type Bootstrapped struct {
	Operator *writ.Principal
	Token    string // shown once
	Expires  writ.Time
}

// Bootstrap makes the first person of an empty home: operator, admin and
// approver, with one token, an approver's key and a grant of every tool up to
// high risk. CodeConflict where there is a principal already: nobody else can
// become the first.
func (s *Service) Bootstrap(ctx context.Context, name string, approver *ApproverKey) (*Bootstrapped, error) {
	var public []byte
	if approver != nil {
		var err error
		if public, err = approver.PublicPEM(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made, err := s.firstPerson(ctx, writ.DefaultTenant, name, public)
	if writ.IsCode(err, writ.CodeConflict) {
		return nil, writ.Errorf(writ.CodeConflict, "home", "it has an operator already").WithFix("use its token, or make another home")
	}
	return made, err
}

// firstPerson makes the first principal of a tenant. CodeConflict where there is
// one. The caller holds mu.
func (s *Service) firstPerson(ctx context.Context, tenant writ.TenantID, name string, approverPEM []byte) (*Bootstrapped, error) {
	existing, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: principalPrefix, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(existing) > 0 {
		return nil, writ.Errorf(writ.CodeConflict, "tenant "+string(tenant), "it has an operator already")
	}
	operator := &writ.Principal{
		ID: writ.PrincipalID("human:" + name), Kind: writ.Human, Name: name,
		Tenant: tenant, Workspace: writ.DefaultWorkspace, Roles: []string{contract.RoleOperator, roleAdmin, "approver"},
		Capabilities: []string{capabilityCore, capabilityApproval, capabilityAudit, capabilitySkills, capabilityChannels},
	}
	if !principalForm.MatchString(string(operator.ID)) {
		return nil, invalid("name", "%q cannot be a principal's name", name).WithFix("use lower-case letters, digits, dots and dashes")
	}
	t, text, err := s.issue(operator, operator.Capabilities, defaultValidity)
	if err != nil {
		return nil, err
	}
	random, err := s.draw(idBytes)
	if err != nil {
		return nil, err
	}
	grant := &writ.Grant{
		ID: "grant_" + encoding.EncodeToString(random), Principal: operator.ID, Tenant: operator.Tenant,
		Capability: writ.Capability{Tool: writ.AnyTool}, MaxRisk: writ.RiskHigh, MaxSensitivity: writ.SensitivitySecret,
	}
	changes := []change{
		principalAdded(operator),
		{record: writ.RecTokenCreated, facts: writ.SystemFacts{Subject: t.ID, Status: "created"}, documents: map[string]any{tokenPrefix + t.ID: t}},
		{record: writ.RecGrantChanged, facts: writ.SystemFacts{Subject: grant.ID, Status: "created"}, documents: map[string]any{grantKey(operator.ID, grant.ID): grant}},
	}
	if approverPEM != nil {
		registered, err := s.registration(ctx, operator, approverPEM)
		if err != nil {
			return nil, err
		}
		changes = append(changes, *registered)
	}
	if err := s.commit(ctx, operator, changes...); err != nil {
		return nil, err
	}
	return &Bootstrapped{Operator: operator, Token: text, Expires: t.ExpiresAt}, nil
}
