package identity

import (
	"fmt"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// LoginRule lets people of the OpenID provider in. It matches by Subject, or by
// Claim and Value; the zero rule is refused, and people whom no rule matches get
// nothing.
type LoginRule struct {
	Subject string // the provider's immutable id of one person
	Claim   string // such as groups; a list is searched
	Value   string // exactly

	// Principal is a person who is here already, with roles and capabilities of
	// its own; with Subject alone. Empty: a person of its own for each subject.
	Principal    writ.PrincipalID
	Tenant       writ.TenantID    // empty: writ.DefaultTenant
	Workspace    writ.WorkspaceID // empty: writ.DefaultWorkspace
	Roles        []string
	Capabilities []string // empty: control-plane.core and control-plane.audit
}

// Claims are what a provider vouches for of one person.
type Claims struct {
	Issuer  string
	Subject string
	Name    string         // for people to read; nothing is decided by it
	Values  map[string]any // every claim, as JSON decodes it
}

// unstable are claims that a person may change, or that pass to somebody else:
// who is let in by one is let in as whoever holds the name next.
var unstable = []string{
	"email", "email_verified", "preferred_username", "upn", "unique_name", "name", "given_name", "family_name", "middle_name",
	"nickname", "profile", "picture", "website", "phone_number", "phone_number_verified", "address", "locale", "zoneinfo",
}

// protocol are claims of the token and not of the person.
var protocol = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "c_hash", "jti", "sid", "auth_time"}

// maxRules is far above what somebody writes by hand.
const maxRules = 1000

// CheckLoginRules is CodeInvalid for the first rule that could not mean what it
// says.
func CheckLoginRules(rules []LoginRule) error {
	if len(rules) > maxRules {
		return invalid("oidc.rules", "are more than %d", maxRules).WithFix("let groups in instead of people")
	}
	for i := range rules {
		if err := rules[i].check(fmt.Sprintf("oidc.rules[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *LoginRule) check(place string) error {
	switch {
	case (r.Subject == "") == (r.Claim == ""):
		return invalid(place, "matches nobody, or by two things").WithFix("give subject, or claim and value")
	case (r.Claim == "") != (r.Value == ""):
		return invalid(place, "a claim has a value, and a subject has none").WithFix("give claim and value together")
	case slices.Contains(unstable, r.Claim):
		return invalid(place, "the claim %s may pass to somebody else", r.Claim).WithFix("match subject, or a claim that the provider controls, such as groups")
	case slices.Contains(protocol, r.Claim):
		return invalid(place, "the claim %s says nothing of the person", r.Claim).WithFix("match subject, or a claim such as groups")
	}
	if r.Tenant != "" && !tenantForm.MatchString(string(r.Tenant)) {
		return invalid(place, "%q is no tenant's name", r.Tenant).WithFix("see `writ tenant list`")
	}
	if r.Principal == "" {
		return checkGiven(place, r.Roles, r.Capabilities)
	}
	switch {
	case r.Subject == "":
		return invalid(place, "a claim that many have cannot be one principal").WithFix("match its subject")
	case !isHuman(r.Principal):
		return invalid(place, "%q is not a person's id", r.Principal).WithFix("write human:NAME")
	case len(r.Roles)+len(r.Capabilities) > 0 || r.Workspace != "":
		return invalid(place, "%s has roles, capabilities and a workspace of its own", r.Principal).WithFix("leave them out, or leave principal out")
	}
	return nil
}

func isHuman(id writ.PrincipalID) bool {
	return principalForm.MatchString(string(id)) && kindOf(id) == writ.Human
}

// checkGiven holds what configuration may hand out.
func checkGiven(place string, roles, capabilities []string) error {
	for _, role := range roles {
		if !roleForm.MatchString(role) || role == contract.RoleSystem {
			return invalid(place, "%q is not a role that somebody may have", role).WithFix("use names such as operator, admin or approver")
		}
	}
	for _, key := range capabilities {
		if !slices.ContainsFunc(contract.Capabilities(), func(c contract.Capability) bool { return c.Key == key }) {
			return invalid(place, "there is no capability %q", key).WithFix("use one such as %s", capabilityCore)
		}
	}
	if len(capabilities) > 0 && !slices.Contains(capabilities, capabilityCore) {
		return invalid(place, "nobody can be here, and log out again, without %s", capabilityCore).WithFix("add %s", capabilityCore)
	}
	return nil
}

func (r *LoginRule) tenant() writ.TenantID {
	if r.Tenant == "" {
		return writ.DefaultTenant
	}
	return r.Tenant
}

func (r *LoginRule) matches(c *Claims) bool {
	if r.Subject != "" {
		return r.Subject == c.Subject
	}
	if r.Claim == "" || r.Value == "" {
		return false
	}
	switch value := c.Values[r.Claim].(type) {
	case string:
		return value == r.Value
	case []any:
		return slices.ContainsFunc(value, func(v any) bool { return v == r.Value })
	}
	return false
}

// admitted is whom the rules make of somebody.
type admitted struct {
	principal writ.Principal
	bound     bool // it must be here already, and keeps what it has
}

// admit joins what all matching rules give. A subject that is bound to a
// principal is that one and nobody else.
func admit(rules []LoginRule, c *Claims) (*admitted, error) {
	var out *admitted
	for i := range rules {
		r := &rules[i]
		if !r.matches(c) {
			continue
		}
		if r.Principal != "" {
			return &admitted{bound: true, principal: writ.Principal{ID: r.Principal, Kind: writ.Human, Tenant: r.tenant()}}, nil
		}
		if out == nil {
			out = &admitted{principal: writ.Principal{
				ID: personOf(c), Kind: writ.Human, Name: writ.Clip(c.Name, maxName-len("...")), Tenant: r.tenant(), Workspace: r.Workspace,
			}}
		}
		p := &out.principal
		if p.Tenant != r.tenant() {
			return nil, writ.Errorf(writ.CodeForbidden, "login", "the rules put you into two tenants, %s and %s", p.Tenant, r.tenant()).
				WithFix("ask an operator to let at most one rule of oidc.rules match")
		}
		capabilities := r.Capabilities
		if len(capabilities) == 0 {
			capabilities = []string{capabilityCore, capabilityAudit}
		}
		p.Roles, p.Capabilities = union(p.Roles, r.Roles), union(p.Capabilities, capabilities)
	}
	if out == nil {
		return nil, writ.Errorf(writ.CodeForbidden, "login", "%s knows you as %s, and no rule lets you in", writ.Clip(c.Issuer, maxName), writ.Clip(c.Subject, maxName)).
			WithFix("give an operator this subject and ask for a rule in oidc.rules")
	}
	if out.principal.Workspace == "" {
		out.principal.Workspace = writ.DefaultWorkspace
	}
	return out, nil
}

func union(a, b []string) []string {
	return append(slices.Clone(a), without(b, a)...)
}

// personOf is the id of a subject: the same for ever, of no other, and no name
// that the person could choose.
func personOf(c *Claims) writ.PrincipalID {
	return writ.PrincipalID(canon.ID("human:oidc", canon.DomainPerson, []byte(c.Issuer), []byte(c.Subject)))
}
