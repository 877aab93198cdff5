package identity

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

const (
	roleBreakGlass = "breakglass"
	roleApprover   = "approver"
	// maxGlass is long enough to act and short enough not to become a habit.
	maxGlass     = time.Hour
	reviewWithin = 24 * time.Hour // after the end of the grant
	maxReason    = 1000           // bytes; a reason is read in a list
)

// glass is a stored emergency. It outlives its grant: until somebody has
// reviewed it, it is not over.
type glass struct {
	contract.BreakGlass
	ReviewedBy writ.PrincipalID `json:"reviewedBy,omitempty"`
	ReviewedAt writ.Time        `json:"reviewedAt,omitempty"`
	Note       string           `json:"note,omitempty"`
}

func (g *glass) status(now writ.Time) string {
	switch {
	case g.ReviewedAt != 0:
		return contract.GlassReviewed
	case now < g.EndsAt:
		return contract.GlassActive
	case now < g.ReviewBy:
		return contract.GlassEnded
	}
	return contract.GlassOverdue
}

// words holds that a person said something, and not a book.
func words(place, text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return invalid(place, "is missing").WithFix("say it in a sentence")
	case len(text) > maxReason || !utf8.ValidString(text):
		return invalid(place, "is longer than %d bytes or no UTF-8", maxReason)
	}
	return nil
}

// mayBreakGlass: a person alone, and by a token.
func mayBreakGlass(by *writ.Principal) bool {
	return by.Kind == writ.Human && by.Strength.Acts() &&
		(slices.Contains(by.Roles, roleAdmin) || slices.Contains(by.Roles, roleBreakGlass))
}

// GrantBreakGlass is the handler of contract.GrantBreakGlass.
func (s *Service) GrantBreakGlass(ctx context.Context, in *contract.GrantBreakGlassInput) (*contract.GrantBreakGlassOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if !mayBreakGlass(by) {
		return nil, writ.Errorf(writ.CodeForbidden, "break-glass", "%s is no person with the role admin or breakglass", by.ID).WithFix("ask one, or give a grant with `writ grant create`")
	}
	if err := words("reason", in.Reason); err != nil {
		return nil, err
	}
	if in.For <= 0 || in.For.Std() > maxGlass {
		return nil, invalid("for", "is not between now and %s", maxGlass).WithFix("say --for 30m; give another when it has ended, or a plain grant")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.grantee(ctx, by.Tenant, in.PrincipalID)
	if err != nil {
		return nil, err
	}
	g, err := s.newGrant(by, &contract.GrantCreateInput{
		PrincipalID: in.PrincipalID, Capability: in.Capability, Skills: in.Skills, MaxRisk: in.MaxRisk, MaxUses: in.MaxUses, ExpiresIn: in.For,
	})
	if err != nil {
		return nil, err
	}
	g.BreakGlass = true
	given := &glass{BreakGlass: contract.BreakGlass{
		GrantID: g.ID, PrincipalID: g.Principal, GivenBy: by.ID, Self: by.ActsFor(p.ID) || p.ActsFor(by.ID), Reason: in.Reason,
		Capability: g.Capability, MaxRisk: g.MaxRisk, GivenAt: s.opts.Clock.Now(), EndsAt: g.Expires, ReviewBy: g.Expires.Add(reviewWithin),
	}}
	s.forgetGrants(by.Tenant, g.Principal)
	err = s.commit(ctx, by, change{
		record: writ.RecGrantChanged, facts: contract.BreakGlassFacts(&given.BreakGlass),
		documents: map[string]any{grantKey(g.Principal, g.ID): g, glassPrefix + g.ID: given},
	})
	if err != nil {
		return nil, err
	}
	return &contract.GrantBreakGlassOutput{
		Result:  contract.Result{Status: contract.GrantGlassBroken, ChangedAt: given.GivenAt},
		GrantID: g.ID, ExpiresAt: g.Expires, ReviewBy: given.ReviewBy,
	}, nil
}

// grantee is who is to have a grant. The caller holds mu.
func (s *Service) grantee(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*writ.Principal, error) {
	p, err := s.principal(ctx, tenant, id)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, writ.Errorf(writ.CodeNotFound, "grant", "there is no principal %s", id).WithFix("make one with `writ token create`")
	}
	return p, err
}

// endGlass is what a revocation changes of an emergency. The caller holds mu.
func (s *Service) endGlass(ctx context.Context, g *writ.Grant, documents map[string]any) error {
	if !g.BreakGlass {
		return nil
	}
	var given glass
	if err := s.get(ctx, g.Tenant, glassPrefix+g.ID, &given); err != nil {
		return err
	}
	if now := s.opts.Clock.Now(); now < given.EndsAt {
		given.EndsAt, given.ReviewBy = now, now.Add(reviewWithin)
		documents[glassPrefix+g.ID] = &given
	}
	return nil
}

// GrantReview is the handler of contract.GrantReview.
func (s *Service) GrantReview(ctx context.Context, in *contract.GrantReviewInput) (*contract.GrantReviewOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := words("note", in.Note); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	op := "grant " + in.GrantID
	var given glass
	err = s.get(ctx, by.Tenant, glassPrefix+in.GrantID, &given)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, writ.Errorf(writ.CodeNotFound, op, "is no break-glass grant").WithFix("see `writ grant list`")
	}
	if err != nil {
		return nil, err
	}
	if err := s.mayReview(ctx, by, &given); err != nil {
		return nil, err
	}
	now := s.opts.Clock.Now()
	switch given.status(now) {
	case contract.GlassReviewed:
		return nil, writ.Errorf(writ.CodeConflict, op, "%s has reviewed it already", given.ReviewedBy)
	case contract.GlassActive:
		return nil, writ.Errorf(writ.CodeConflict, op, "it lasts until %s", given.EndsAt).WithFix("end it with `writ grant revoke %s`, or wait", in.GrantID)
	}
	given.ReviewedBy, given.ReviewedAt, given.Note = by.ID, now, in.Note
	err = s.commit(ctx, by, change{
		record: writ.RecGrantChanged,
		facts: writ.SystemFacts{Subject: in.GrantID, Status: contract.GrantReviewed, Reason: in.Note, Details: map[string]string{
			"principal": string(given.PrincipalID), "capability": contract.CapabilityText(&given.Capability), "maxRisk": string(given.MaxRisk),
		}},
		documents: map[string]any{glassPrefix + in.GrantID: &given},
	})
	if err != nil {
		return nil, err
	}
	return &contract.GrantReviewOutput{Result: contract.Result{Status: contract.GlassReviewed, ChangedAt: now}}, nil
}

// mayReview holds that it is another person: neither who gave the grant, nor who
// had it, nor one for whom either acts.
func (s *Service) mayReview(ctx context.Context, by *writ.Principal, given *glass) error {
	op := "grant " + given.GrantID
	roles := []string{roleAdmin, roleBreakGlass, roleApprover}
	if by.Kind != writ.Human || !by.Strength.Acts() || !slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(by.Roles, r) }) {
		return writ.Errorf(writ.CodeForbidden, op, "%s is no person with one of the roles %s", by.ID, strings.Join(roles, ", ")).WithFix("ask one to review it")
	}
	for _, id := range []writ.PrincipalID{given.GivenBy, given.PrincipalID} {
		p, err := s.principal(ctx, by.Tenant, id)
		if err != nil {
			return err
		}
		if by.ActsFor(id) || p.ActsFor(by.ID) {
			return writ.Errorf(writ.CodeForbidden, op, "%s gave it or had it, and does not review it", by.ID).WithFix("have another person review it")
		}
	}
	return nil
}

// Emergencies are the break-glass grants that are not reviewed yet, those that
// last first, then by their time of review.
func (s *Service) Emergencies(ctx context.Context, tenant writ.TenantID) ([]contract.BreakGlass, error) {
	documents, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: glassPrefix})
	if err != nil {
		return nil, err
	}
	now := s.opts.Clock.Now()
	out := []contract.BreakGlass{}
	for _, document := range documents {
		var given glass
		if err := decode(document, &given); err != nil {
			return nil, err
		}
		if given.Status = given.status(now); given.Status != contract.GlassReviewed {
			out = append(out, given.BreakGlass)
		}
	}
	slices.SortStableFunc(out, func(a, b contract.BreakGlass) int {
		if active := a.Status == contract.GlassActive; active != (b.Status == contract.GlassActive) {
			return map[bool]int{true: -1, false: 1}[active]
		}
		return cmp.Compare(a.ReviewBy, b.ReviewBy)
	})
	return out, nil
}

// GrantDrift finds what was given in an emergency and not reviewed in time.
func (s *Service) GrantDrift(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	open, err := s.Emergencies(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []contract.DriftFinding
	for i := range open {
		if g := &open[i]; g.Status == contract.GlassOverdue {
			out = append(out, contract.DriftFinding{
				Code: contract.DriftGrantUnreviewed, Subject: g.GrantID, Since: g.ReviewBy,
				Message: string(g.GivenBy) + " gave it to " + string(g.PrincipalID) + " in an emergency, and nobody else has reviewed it in time",
				Fix:     "look at what was done with it, then `writ grant review " + g.GrantID + " --note ...` by another person",
			})
		}
	}
	return out, nil
}
