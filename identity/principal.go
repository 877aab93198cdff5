package identity

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (s *Service) principal(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*writ.Principal, error) {
	var p writ.Principal
	if err := s.get(ctx, tenant, principalPrefix+string(id), &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// Principal finds one of a tenant, as it stands now. CodeNotFound.
func (s *Service) Principal(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*writ.Principal, error) {
	if !principalForm.MatchString(string(id)) {
		return nil, writ.Errorf(writ.CodeNotFound, "principal "+writ.Clip(string(id), 80), "there is no such principal")
	}
	return s.principal(ctx, tenant, id)
}

func intersect(a, b []string) []string {
	out := []string{}
	for _, x := range a {
		for _, y := range b {
			if x == y {
				out = append(out, x)
				break
			}
		}
	}
	return out
}

// principalForm keeps ids readable and safe in keys, file names and messages.
var principalForm = regexp.MustCompile(`^(human|service|agent|tool):[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$`)

// kindOf is what an id says of its principal.
func kindOf(id writ.PrincipalID) writ.PrincipalKind {
	kind, _, _ := strings.Cut(string(id), ":")
	return writ.PrincipalKind(kind)
}

func principalAdded(p *writ.Principal) change {
	return change{
		record:    writ.RecPrincipalAdded,
		facts:     writ.SystemFacts{Subject: string(p.ID), Status: string(p.Kind), Details: map[string]string{"roles": strings.Join(p.Roles, ",")}},
		documents: map[string]any{principalPrefix + string(p.ID): p},
	}
}

// principalFor finds the principal of a new token, or describes a new one.
func (s *Service) principalFor(ctx context.Context, by *writ.Principal, in *contract.TokenCreateInput) (*writ.Principal, bool, error) {
	if !principalForm.MatchString(string(in.PrincipalID)) || in.PrincipalID == writ.HostPrincipal {
		return nil, false, invalid("principalId", "%q is no id that a principal can have", in.PrincipalID).WithFix("write KIND:NAME, such as agent:triage-bot")
	}
	p, err := s.principal(ctx, by.Tenant, in.PrincipalID)
	if err == nil {
		if in.Kind != "" && in.Kind != p.Kind {
			return nil, false, invalid("kind", "%s is a %s", p.ID, p.Kind).WithFix("leave kind out")
		}
		if extra := without(in.Roles, p.Roles); len(extra) > 0 {
			return nil, false, invalid("roles", "%s does not have %s", p.ID, strings.Join(extra, ", ")).WithFix("leave roles out: they are the principal's")
		}
		if extra := without(in.Capabilities, p.Capabilities); len(extra) > 0 {
			return nil, false, invalid("capabilities", "%s does not have %s", p.ID, strings.Join(extra, ", ")).WithFix("leave them out")
		}
		// The token speaks as p: nobody makes one that can do more than its maker.
		scopes := in.Capabilities
		if len(scopes) == 0 {
			scopes = p.Capabilities
		}
		return p, false, holdsAll(by, scopes, p.Roles)
	}
	if !writ.IsCode(err, writ.CodeNotFound) {
		return nil, false, err
	}
	kind := kindOf(in.PrincipalID)
	if in.Kind != kind {
		return nil, false, invalid("kind", "%q does not fit %s", in.Kind, in.PrincipalID).WithFix("say kind %s", kind)
	}
	p = &writ.Principal{
		ID: in.PrincipalID, Kind: in.Kind, Name: in.Name, Tenant: by.Tenant, Workspace: in.WorkspaceID,
		Roles: in.Roles, Capabilities: in.Capabilities, OnBehalfOf: in.OnBehalfOf,
	}
	if p.Workspace == "" {
		p.Workspace = by.Workspace
	}
	if len(p.Capabilities) == 0 {
		p.Capabilities = []string{capabilityCore, capabilityAudit}
	}
	if kind != writ.Human && len(in.Roles) > 0 {
		return nil, false, invalid("roles", "a %s has none: roles are for people", kind).WithFix("leave roles out")
	}
	if kind != writ.Human && slices.Contains(p.Capabilities, capabilityApproval) {
		return nil, false, invalid("capabilities", "a %s never approves", kind).WithFix("leave %s out", capabilityApproval)
	}
	if len(p.Name) > maxName || !utf8.ValidString(p.Name) {
		return nil, false, invalid("name", "is longer than %d bytes or no UTF-8", maxName)
	}
	for _, other := range in.OnBehalfOf {
		if other == p.ID || !principalForm.MatchString(string(other)) {
			return nil, false, invalid("onBehalfOf", "%q is not another principal's id", other).WithFix("write KIND:NAME, such as human:ada")
		}
	}
	return p, true, holdsAll(by, p.Capabilities, p.Roles)
}

// holdsAll refuses to hand out what by does not have.
func holdsAll(by *writ.Principal, capabilities, roles []string) error {
	if extra := without(capabilities, by.Capabilities); len(extra) > 0 {
		return writ.Errorf(writ.CodeForbidden, "token", "%s does not hold %s itself", by.ID, strings.Join(extra, ", "))
	}
	for _, role := range roles {
		if !roleForm.MatchString(role) {
			return invalid("roles", "%q is not a role", clip(role)).WithFix("use lower-case letters, digits and hyphens, at most 32")
		}
	}
	// Other roles are words of the policy: it alone gives them a meaning.
	held := by.Roles
	if slices.Contains(held, roleAdmin) { // who may break the glass may let others
		held = append(slices.Clone(held), roleBreakGlass)
	}
	extra := slices.DeleteFunc(without(roles, held), func(role string) bool { return !slices.Contains(ownRoles, role) })
	if len(extra) > 0 {
		return writ.Errorf(writ.CodeForbidden, "token", "%s does not have the role %s itself", by.ID, strings.Join(extra, ", "))
	}
	return nil
}

// ownRoles are those to which this program itself gives a meaning.
var ownRoles = []string{contract.RoleOperator, contract.RoleAdmin, contract.RoleSystem, roleApprover, roleBreakGlass}

// roleForm keeps roles readable in messages and policies.
var roleForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func without(list, taken []string) []string {
	var out []string
	for _, x := range list {
		if len(intersect([]string{x}, taken)) == 0 {
			out = append(out, x)
		}
	}
	return out
}
