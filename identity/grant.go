package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func decode(d writ.Document, v any) error {
	if err := json.Unmarshal(d.Value, v); err != nil {
		return writ.Errorf(writ.CodeTampered, d.Key, "the stored document does not decode: %w", err)
	}
	return nil
}

// grantKey puts the principal first: a decision reads the few grants of one.
func grantKey(p writ.PrincipalID, id string) string { return grantPrefix + string(p) + "/" + id }

// GrantCreate is the handler of contract.GrantCreate. A delegated grant is never
// wider than its parent, which must be the caller's.
func (s *Service) GrantCreate(ctx context.Context, in *contract.GrantCreateInput) (*contract.GrantCreateOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.grantee(ctx, by.Tenant, in.PrincipalID); err != nil {
		return nil, err
	}
	g, err := s.newGrant(by, in)
	if err != nil {
		return nil, err
	}
	if in.Parent != "" {
		if err := s.delegable(ctx, by, in.Parent, g); err != nil {
			return nil, err
		}
	} else if !slices.Contains(by.Roles, roleAdmin) {
		return nil, writ.Errorf(writ.CodeForbidden, "grant", "%s is no admin and names no grant of its own to delegate", by.ID).WithFix("give --parent, or ask an admin")
	}
	s.forgetGrants(by.Tenant, g.Principal)
	err = s.commit(ctx, by, change{
		record: writ.RecGrantChanged,
		facts: writ.SystemFacts{Subject: g.ID, Status: "created", Reason: in.Reason, Details: map[string]string{
			"principal": string(g.Principal), "tool": g.Capability.Tool, "maxRisk": string(g.MaxRisk), "maxUses": strconv.Itoa(g.MaxUses),
			"maxSensitivity": string(g.MaxSensitivity),
		}},
		documents: map[string]any{grantKey(g.Principal, g.ID): g},
	})
	if err != nil {
		return nil, err
	}
	return &contract.GrantCreateOutput{Result: contract.Result{Status: "created", ChangedAt: s.opts.Clock.Now()}, GrantID: g.ID}, nil
}

func (s *Service) newGrant(by *writ.Principal, in *contract.GrantCreateInput) (*writ.Grant, error) {
	risk := in.MaxRisk
	if risk == "" {
		risk = writ.RiskLow
	}
	if risk.Rank() > writ.RiskHigh.Rank() {
		return nil, invalid("maxRisk", "%q: a grant reaches low, medium or high", in.MaxRisk)
	}
	if in.MaxSensitivity != "" && !in.MaxSensitivity.Valid() {
		return nil, notSensitive("maxSensitivity", in.MaxSensitivity)
	}
	if err := checkCapability(&in.Capability); err != nil {
		return nil, err
	}
	if in.ExpiresIn < 0 {
		return nil, invalid("expiresIn", "must not be negative")
	}
	if in.MaxUses < 0 || in.MaxUses > maxUses {
		return nil, invalid("maxUses", "is not between 1 and %d", maxUses).WithFix("leave it out for a grant whose uses are not counted")
	}
	random, err := s.draw(idBytes)
	if err != nil {
		return nil, err
	}
	g := &writ.Grant{
		ID: "grant_" + encoding.EncodeToString(random), Parent: in.Parent, Principal: in.PrincipalID, Tenant: by.Tenant,
		Capability: in.Capability, Skills: in.Skills, MaxRisk: risk, MaxUses: in.MaxUses,
		MaxSensitivity: cmp.Or(in.MaxSensitivity, writ.SensitivityPrivate),
	}
	if in.ExpiresIn > 0 {
		g.Expires = s.opts.Clock.Now().Add(in.ExpiresIn.Std())
	}
	return g, nil
}

func notSensitive(place string, s writ.Sensitivity) *writ.Error {
	return invalid(place, "%q is no sensitivity", writ.Clip(string(s), 80)).WithFix("one of public, private, secret")
}

// maxUses is far above what anybody counts: a larger one is a mistake.
const maxUses = 1_000_000

func checkCapability(c *writ.Capability) error {
	if len(c.Secrets) > 0 {
		return invalid("capability.secrets", "a grant names no secrets: a skill's manifest does")
	}
	if len(c.Costs) > 0 {
		return invalid("capability.costs", "a grant says nothing of costs: a skill's manifest does")
	}
	if c.Tool == writ.AnyTool {
		for name, scope := range scopes(c) {
			if len(scope) > 0 {
				return invalid("capability."+name, "tool * has no scope").WithFix("name the tool, or leave the scope out")
			}
		}
		return nil
	}
	spec, ok := writ.LookupTool(c.Tool)
	if !ok {
		return invalid("capability.tool", "%q is not a tool of this host", c.Tool).WithFix("see docs/tools.md, or use *")
	}
	// An empty list allows nothing, and one that the tool does not read bounds nothing.
	for name, scope := range scopes(c) {
		if applies := slices.Contains(spec.Scope, name); applies != (len(scope) > 0) {
			return invalid("capability."+name, "%s is bounded by %v, each of them", c.Tool, spec.Scope).WithFix("name exactly these; ** covers everything")
		}
	}
	for separator, patterns := range map[string][]string{".": c.Hosts, "/": slices.Concat(c.Paths, c.Channels), "#": c.Skills} {
		for _, p := range patterns {
			if !writ.ValidPattern(p, separator) {
				return invalid("capability", "%q is not a pattern", p).WithFix("* stands for one segment, ** at the end for any number")
			}
		}
	}
	return nil
}

// scopes are the members of a capability that bound it, by name.
func scopes(c *writ.Capability) map[string][]string {
	return map[string][]string{
		writ.ScopeHosts: c.Hosts, writ.ScopeMethods: c.Methods, writ.ScopePaths: c.Paths, writ.ScopePrefixes: c.Prefixes,
		"servers": c.Servers, "models": c.Models, writ.ScopeChannels: c.Channels, writ.ScopeSkills: c.Skills,
	}
}

const roleAdmin = "admin"

// maxDelegation bounds a chain: each decision looks at the whole of it.
const maxDelegation = 8

// delegable holds that g may be delegated from the parent now. The caller holds mu.
func (s *Service) delegable(ctx context.Context, by *writ.Principal, id string, g *writ.Grant) error {
	all, err := s.allGrants(ctx, by.Tenant, "")
	if err != nil {
		return err
	}
	parent, err := grantIn(all, id)
	if err != nil {
		return err
	}
	if err := narrower(by, parent, g); err != nil {
		return err
	}
	h, err := s.withAbove(ctx, *parent, all)
	if err != nil {
		return err
	}
	op := "grant delegated from " + parent.ID
	if len(h.above)+1 >= maxDelegation {
		return writ.Errorf(writ.CodeConflict, op, "a chain of delegation has at most %d grants", maxDelegation).WithFix("delegate from a grant nearer to its root")
	}
	if over := s.over(h, s.opts.Clock.Now()); over != "" {
		return writ.Errorf(writ.CodeConflict, op, "%s", over).WithFix("see `writ grant list`")
	}
	return nil
}

// narrower holds that a delegated grant allows nothing that its parent does not.
func narrower(by *writ.Principal, parent, g *writ.Grant) error {
	op := "grant delegated from " + parent.ID
	switch {
	case parent.Principal != by.ID:
		return writ.Errorf(writ.CodeForbidden, op, "it is %s's", parent.Principal)
	case parent.BreakGlass:
		return writ.Errorf(writ.CodeConflict, op, "a break-glass grant is for its principal alone").WithFix("give another with `writ grant break-glass`")
	case parent.Capability.Tool != writ.AnyTool && !writ.CapabilityCovers(&parent.Capability, &g.Capability):
		return writ.Errorf(writ.CodeConflict, op, "the capability is wider")
	case g.MaxRisk.Rank() > parent.MaxRisk.Rank():
		return writ.Errorf(writ.CodeConflict, op, "the risk is higher than %s", parent.MaxRisk)
	case !parent.ForSensitivity(g.Sensitivity()):
		return writ.Errorf(writ.CodeConflict, op, "the data are more sensitive than %s", parent.Sensitivity()).
			WithFix("say --max-sensitivity %s", parent.Sensitivity())
	case parent.Expires != 0 && (g.Expires == 0 || g.Expires > parent.Expires):
		return writ.Errorf(writ.CodeConflict, op, "it would last longer than %s", parent.Expires)
	case parent.MaxUses != 0 && (g.MaxUses == 0 || g.MaxUses > parent.MaxUses):
		return writ.Errorf(writ.CodeConflict, op, "it would allow more than %d uses", parent.MaxUses)
	case len(parent.Skills) > 0 && (len(g.Skills) == 0 || !subset(g.Skills, parent.Skills)):
		return writ.Errorf(writ.CodeConflict, op, "it names skills that the parent does not")
	}
	return nil
}

func subset(a, b []writ.SkillKey) bool {
	return !slices.ContainsFunc(a, func(k writ.SkillKey) bool { return !slices.Contains(b, k) })
}

func (s *Service) allGrants(ctx context.Context, tenant writ.TenantID, principal writ.PrincipalID) ([]writ.Grant, error) {
	prefix := grantPrefix
	if principal != "" {
		prefix += string(principal) + "/"
	}
	documents, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: prefix})
	if err != nil {
		return nil, err
	}
	out := make([]writ.Grant, len(documents))
	for i, document := range documents {
		if err := decode(document, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func grantIn(all []writ.Grant, id string) (*writ.Grant, error) {
	i := slices.IndexFunc(all, func(g writ.Grant) bool { return g.ID == id })
	if i < 0 {
		return nil, writ.Errorf(writ.CodeNotFound, "grant "+id, "there is no such grant").WithFix("see `writ grant list`")
	}
	return &all[i], nil
}

// GrantRevoke is the handler of contract.GrantRevoke. What was delegated from
// the grant goes with it.
func (s *Service) GrantRevoke(ctx context.Context, in *contract.GrantRevokeInput) (*contract.GrantRevokeOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.allGrants(ctx, by.Tenant, "")
	if err != nil {
		return nil, err
	}
	first, err := grantIn(all, in.GrantID)
	if err != nil {
		return nil, err
	}
	var changes []change
	gone := []writ.Grant{*first}
	for i := 0; i < len(gone); i++ {
		g := gone[i]
		revoked := change{
			record:    writ.RecGrantChanged,
			facts:     writ.SystemFacts{Subject: g.ID, Status: "revoked", Reason: in.Reason, Details: map[string]string{"principal": string(g.Principal)}},
			documents: map[string]any{grantKey(g.Principal, g.ID): nil, usePrefix + g.ID: nil},
		}
		if err := s.endGlass(ctx, &g, revoked.documents); err != nil {
			return nil, err
		}
		changes = append(changes, revoked)
		for _, child := range all {
			if child.Parent == g.ID {
				gone = append(gone, child)
			}
		}
	}
	for _, g := range gone {
		s.forgetGrants(by.Tenant, g.Principal)
	}
	if err := s.commit(ctx, by, changes...); err != nil {
		return nil, err
	}
	return &contract.GrantRevokeOutput{Result: contract.Result{Status: "revoked", ChangedAt: s.opts.Clock.Now()}}, nil
}

// GrantList is the handler of contract.GrantList.
func (s *Service) GrantList(ctx context.Context, in *contract.GrantListInput) (*contract.GrantListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.allGrants(ctx, by.Tenant, in.PrincipalID)
	if err != nil {
		return nil, err
	}
	out := &contract.GrantListOutput{Items: make([]contract.Grant, 0, len(all))}
	now := s.opts.Clock.Now()
	for i := range all {
		if all[i].Expired(now) && !in.IncludePast {
			continue
		}
		if err := s.countIn(ctx, &all[i]); err != nil {
			return nil, err
		}
		out.Items = append(out.Items, contract.GrantFrom(&all[i], now))
	}
	if out.BreakGlass, err = s.Emergencies(ctx, by.Tenant); err != nil {
		return nil, err
	}
	slices.SortFunc(out.Items, func(a, b contract.Grant) int { return strings.Compare(a.GrantID, b.GrantID) })
	return out, nil
}
