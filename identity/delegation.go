package identity

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// delegationPrefix is of documents: delegation/TO/ID. A decision reads those to one
// person.
const delegationPrefix = "delegation/"

func delegationKey(to writ.PrincipalID, id string) string {
	return delegationPrefix + string(to) + "/" + id
}

// Bounds of delegations. An absence that is longer wants another person in the
// role; more than a few deputies at once is a role by another name.
const (
	maxAbsence   = 90 * 24 * time.Hour
	maxDeputies  = 16 // that one person has at once, future ones included
	delegationID = "dlg_"
)

// ApprovalDelegate is the handler of contract.ApprovalDelegate. What is delegated
// are the caller's own roles: what was delegated to it goes no further.
func (s *Service) ApprovalDelegate(ctx context.Context, in *contract.ApprovalDelegateInput) (*contract.ApprovalDelegateOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if by.Kind != writ.Human || len(by.OnBehalfOf) > 0 {
		return nil, writ.Errorf(writ.CodeForbidden, "delegation", "only a person who acts for nobody else delegates; %s is a %s", by.ID, by.Kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.newDelegation(ctx, by, in)
	if err != nil {
		return nil, err
	}
	now := s.opts.Clock.Now()
	all, err := s.delegations(ctx, by.Tenant, "")
	if err != nil {
		return nil, err
	}
	mine := 0
	for i := range all {
		if all[i].By == by.ID && now < all[i].Until {
			mine++
		}
	}
	if mine >= maxDeputies {
		return nil, writ.Errorf(writ.CodeConflict, "delegation", "%s has %d delegations already", by.ID, mine).WithFix("end one with `writ approval undelegate`")
	}
	err = s.commit(ctx, by, change{
		record: writ.RecDelegationChanged,
		facts: writ.SystemFacts{Subject: d.ID, Status: "created", Reason: d.Reason, Details: map[string]string{
			"by": string(d.By), "to": string(d.To), "roles": strings.Join(d.Roles, ","), "from": d.From.String(), "until": d.Until.String(),
		}},
		documents: map[string]any{delegationKey(d.To, d.ID): d},
	})
	if err != nil {
		return nil, err
	}
	return &contract.ApprovalDelegateOutput{Result: contract.Result{Status: "delegated", ChangedAt: d.CreatedAt}, Delegation: contract.DelegationFrom(d)}, nil
}

// newDelegation checks what is asked for. The caller holds mu.
func (s *Service) newDelegation(ctx context.Context, by *writ.Principal, in *contract.ApprovalDelegateInput) (*writ.Delegation, error) {
	now := s.opts.Clock.Now()
	d := &writ.Delegation{
		Tenant: by.Tenant, By: by.ID, To: in.To, Roles: slices.Clone(in.Roles), From: cmp.Or(in.From, now), Until: in.Until,
		Reason: strings.TrimSpace(in.Reason), CreatedAt: now,
	}
	if len(d.Roles) == 0 {
		d.Roles = slices.Clone(by.Roles)
	}
	slices.Sort(d.Roles)
	d.Roles = slices.Compact(d.Roles)
	switch {
	case d.Reason == "" || len(d.Reason) > maxReason:
		return nil, invalid("reason", "a delegation needs a reason of at most %d bytes", maxReason).WithFix("say why; it stays in the record")
	case d.To == by.ID:
		return nil, invalid("to", "is the caller").WithFix("name another person")
	case d.Until <= d.From || d.Until <= now:
		return nil, invalid("until", "the delegation would end before it holds").WithFix("give a later moment")
	case d.Until > max(d.From, now).Add(maxAbsence):
		return nil, invalid("until", "a delegation holds at most %d days", int(maxAbsence.Hours()/24)).WithFix("give an earlier moment")
	case len(d.Roles) == 0:
		return nil, writ.Errorf(writ.CodeForbidden, "delegation", "%s has no role to delegate", by.ID)
	}
	if extra := without(d.Roles, by.Roles); len(extra) > 0 {
		return nil, writ.Errorf(writ.CodeForbidden, "delegation", "%s does not have the role %s itself", by.ID, strings.Join(extra, ", ")).
			WithFix("name roles of your own: what was delegated to you goes no further")
	}
	to, err := s.principal(ctx, by.Tenant, d.To)
	switch {
	case writ.IsCode(err, writ.CodeNotFound):
		return nil, writ.Errorf(writ.CodeNotFound, "delegation", "there is no principal %s", d.To).WithFix("see `writ token list`")
	case err != nil:
		return nil, err
	case to.Kind != writ.Human:
		return nil, writ.Errorf(writ.CodeForbidden, "delegation", "%s is a %s: only people approve", to.ID, to.Kind)
	}
	random, err := s.draw(idBytes)
	if err != nil {
		return nil, err
	}
	d.ID = delegationID + encoding.EncodeToString(random)
	return d, nil
}

// ApprovalUndelegate is the handler of contract.ApprovalUndelegate: who delegated,
// who it was delegated to, and admins may end it.
func (s *Service) ApprovalUndelegate(ctx context.Context, in *contract.ApprovalUndelegateInput) (*contract.ApprovalUndelegateOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.delegations(ctx, by.Tenant, "")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(d writ.Delegation) bool { return d.ID == in.DelegationID })
	if i < 0 {
		return nil, writ.Errorf(writ.CodeNotFound, "delegation "+clip(in.DelegationID), "there is no such delegation").WithFix("see `writ approval delegations`")
	}
	d := &all[i]
	if by.ID != d.By && by.ID != d.To && !slices.Contains(by.Roles, roleAdmin) {
		return nil, writ.Errorf(writ.CodeForbidden, "delegation "+d.ID, "it is %s's", d.By).WithFix("ask them, or an admin")
	}
	err = s.commit(ctx, by, change{
		record: writ.RecDelegationChanged,
		facts: writ.SystemFacts{Subject: d.ID, Status: "ended", Reason: in.Reason, Details: map[string]string{
			"by": string(d.By), "to": string(d.To),
		}},
		documents: map[string]any{delegationKey(d.To, d.ID): nil},
	})
	if err != nil {
		return nil, err
	}
	return &contract.ApprovalUndelegateOutput{Result: contract.Result{Status: "ended", ChangedAt: s.opts.Clock.Now()}}, nil
}

// ApprovalDelegations is the handler of contract.ApprovalDelegations.
func (s *Service) ApprovalDelegations(ctx context.Context, in *contract.ApprovalDelegationsInput) (*contract.ApprovalDelegationsOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.delegations(ctx, by.Tenant, "")
	if err != nil {
		return nil, err
	}
	now := s.opts.Clock.Now()
	out := &contract.ApprovalDelegationsOutput{Items: []contract.Delegation{}}
	for i := range all {
		d := &all[i]
		if in.PrincipalID != "" && d.By != in.PrincipalID && d.To != in.PrincipalID || d.Until <= now && !in.IncludePast {
			continue
		}
		out.Items = append(out.Items, contract.DelegationFrom(d))
	}
	slices.SortFunc(out.Items, func(a, b contract.Delegation) int {
		return cmp.Or(cmp.Compare(a.From, b.From), strings.Compare(a.DelegationID, b.DelegationID))
	})
	return out, nil
}

// DelegatedTo are the delegations to p that hold now, each with those of its roles
// that the absent person still has. An absent person who is gone delegates nothing.
func (s *Service) DelegatedTo(ctx context.Context, p *writ.Principal) ([]writ.Delegation, error) {
	all, err := s.delegations(ctx, p.Tenant, p.ID)
	if err != nil {
		return nil, err
	}
	now := s.opts.Clock.Now()
	var out []writ.Delegation
	for i := range all {
		d := all[i]
		if !d.Holds(now) {
			continue
		}
		absent, err := s.principal(ctx, p.Tenant, d.By)
		if writ.IsCode(err, writ.CodeNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if d.Roles = intersect(d.Roles, absent.Roles); absent.Kind == writ.Human && len(d.Roles) > 0 {
			out = append(out, d)
		}
	}
	return out, nil
}

func (s *Service) delegations(ctx context.Context, tenant writ.TenantID, to writ.PrincipalID) ([]writ.Delegation, error) {
	prefix := delegationPrefix
	if to != "" {
		prefix += string(to) + "/"
	}
	documents, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: prefix})
	if err != nil {
		return nil, err
	}
	out := make([]writ.Delegation, len(documents))
	for i, document := range documents {
		if err := decode(document, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
