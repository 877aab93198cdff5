package identity

import (
	"context"
	"regexp"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// tenantPrefix of the documents of the default tenant that say which others there
// are.
const tenantPrefix = "tenant/"

// tenancy is what is stored of a tenant.
type tenancy struct {
	Name      writ.TenantID    `json:"name"`
	CreatedAt writ.Time        `json:"createdAt"`
	CreatedBy writ.PrincipalID `json:"createdBy"`
}

var operatorForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$`)

// hostAdmin refuses everybody but the people of the default tenant: an admin of
// another has a tenant, not the host.
func hostAdmin(by *writ.Principal) error {
	if by.Tenant != writ.DefaultTenant {
		return writ.Errorf(writ.CodeForbidden, "tenant", "%s is not of the tenant %s, whose admins look after the host", by.ID, writ.DefaultTenant).
			WithFix("ask an admin of the host")
	}
	return nil
}

// TenantCreate is the handler of contract.TenantCreate. One that is there without
// a person, since a crash came between, is finished.
func (s *Service) TenantCreate(ctx context.Context, in *contract.TenantCreateInput) (*contract.TenantCreateOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := hostAdmin(by); err != nil {
		return nil, err
	}
	if !tenantForm.MatchString(string(in.TenantID)) {
		return nil, invalid("tenantId", "%q cannot be a tenant's name", in.TenantID).WithFix("use lower-case letters, digits and dashes, 32 at most")
	}
	if !operatorForm.MatchString(in.Operator) {
		return nil, invalid("operator", "%q cannot be a person's name", in.Operator).WithFix("use lower-case letters, digits, dots and dashes, 64 at most")
	}
	taken := writ.Errorf(writ.CodeConflict, "tenant "+string(in.TenantID), "it is there already").WithFix("choose another name; `writ tenant list` shows those that are there")
	if in.TenantID == writ.DefaultTenant {
		return nil, taken
	}
	var public []byte
	if in.ApproverPublicKeyPEM != "" {
		public = []byte(in.ApproverPublicKeyPEM)
		if _, err := parsePublic(public); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.addTenant(ctx, by, in); err != nil {
		return nil, err
	}
	made, err := s.firstPerson(ctx, in.TenantID, in.Operator, public)
	if writ.IsCode(err, writ.CodeConflict) {
		return nil, taken
	}
	if err != nil {
		return nil, err
	}
	return &contract.TenantCreateOutput{
		Result: contract.Result{Status: "created", ChangedAt: s.opts.Clock.Now()}, TenantID: in.TenantID,
		Operator: made.Operator.ID, Token: made.Token, ExpiresAt: made.Expires,
	}, nil
}

// addTenant makes the tenant where it is not there, and tells it what the host has
// frozen or activated before anybody is of it. The caller holds mu.
func (s *Service) addTenant(ctx context.Context, by *writ.Principal, in *contract.TenantCreateInput) error {
	known, err := s.hasTenant(ctx, in.TenantID)
	if err != nil {
		return err
	}
	if !known {
		t := tenancy{Name: in.TenantID, CreatedAt: s.opts.Clock.Now(), CreatedBy: by.ID}
		err := s.commit(ctx, by, change{
			record: writ.RecTenantCreated, facts: writ.SystemFacts{Subject: string(t.Name), Status: "created", Reason: in.Reason},
			documents: map[string]any{tenantPrefix + string(t.Name): &t},
		})
		if err != nil {
			return err
		}
	}
	return s.welcome(ctx, in.TenantID)
}

// hasTenant reports whether somebody may be of the tenant.
func (s *Service) hasTenant(ctx context.Context, name writ.TenantID) (bool, error) {
	if name == writ.DefaultTenant {
		return true, nil
	}
	_, err := s.opts.Store.Get(ctx, writ.DefaultTenant, tenantPrefix+string(name))
	if writ.IsCode(err, writ.CodeNotFound) {
		return false, nil
	}
	return err == nil, err
}

// TenantList is the handler of contract.TenantList.
func (s *Service) TenantList(ctx context.Context, _ *contract.TenantListInput) (*contract.TenantListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := hostAdmin(by); err != nil {
		return nil, err
	}
	others, err := s.tenants(ctx)
	if err != nil {
		return nil, err
	}
	out := &contract.TenantListOutput{Items: []contract.Tenant{{TenantID: writ.DefaultTenant}}}
	for _, t := range others {
		out.Items = append(out.Items, contract.Tenant{TenantID: t.Name, CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy})
	}
	return out, nil
}

// Tenants lists every tenant of the host, the default one first.
func (s *Service) Tenants(ctx context.Context) ([]writ.TenantID, error) {
	others, err := s.tenants(ctx)
	out := []writ.TenantID{writ.DefaultTenant}
	for _, t := range others {
		out = append(out, t.Name)
	}
	return out, err
}

func (s *Service) tenants(ctx context.Context) ([]tenancy, error) {
	documents, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: writ.DefaultTenant, Prefix: tenantPrefix})
	if err != nil {
		return nil, err
	}
	out := make([]tenancy, len(documents))
	for i, document := range documents {
		if err := decode(document, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
