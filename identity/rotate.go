package identity

import (
	"context"
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

const (
	// defaultOverlap is enough to hand a secret to a service and restart it.
	defaultOverlap = 10 * time.Minute
	maxOverlap     = 24 * time.Hour
)

// TokenRotate is the handler of contract.TokenRotate. The new secret has the
// principal, the scopes and, unless an admin says otherwise, the end of the old:
// whoever holds a token cannot make it last.
func (s *Service) TokenRotate(ctx context.Context, in *contract.TokenRotateInput) (*contract.TokenRotateOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	overlap := defaultOverlap
	if in.Overlap != nil {
		overlap = in.Overlap.Std()
	}
	if overlap < 0 || overlap > maxOverlap {
		return nil, invalid("overlap", "is not between 0s and %s", maxOverlap).WithFix("choose at most 24h")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.rotatable(ctx, by, in.TokenID)
	if err != nil {
		return nil, err
	}
	next, text, err := s.rotated(ctx, by, old, in.ExpiresIn.Std())
	if err != nil {
		return nil, err
	}
	old.ReplacedBy, old.ExpiresAt = next.ID, min(old.ExpiresAt, next.CreatedAt.Add(overlap))
	err = s.commit(ctx, by, change{
		record:    writ.RecTokenCreated,
		facts:     writ.SystemFacts{Subject: next.ID, Status: "rotated", Reason: in.Reason, Details: map[string]string{"principal": string(next.Principal), "replaces": old.ID}},
		documents: map[string]any{tokenPrefix + next.ID: next},
	}, change{
		record:    writ.RecTokenRevoked,
		facts:     writ.SystemFacts{Subject: old.ID, Status: "replaced", Reason: in.Reason, Details: map[string]string{"by": next.ID, "endsAt": old.ExpiresAt.String()}},
		documents: map[string]any{tokenPrefix + old.ID: old},
	})
	s.tokens.Delete(tokenCacheKey(by.Tenant, old.ID))
	if err != nil {
		return nil, err
	}
	return &contract.TokenRotateOutput{
		Result:  contract.Result{Status: "rotated", ChangedAt: next.CreatedAt},
		TokenID: next.ID, Token: text, PrincipalID: next.Principal, ExpiresAt: next.ExpiresAt, Replaces: old.ID, OldEndsAt: old.ExpiresAt,
	}, nil
}

// rotatable finds the token that is meant; without an id it is the caller's own. The
// caller holds mu.
func (s *Service) rotatable(ctx context.Context, by *writ.Principal, id string) (*token, error) {
	if id == "" {
		if id = by.Session; id == "" {
			return nil, writ.Errorf(writ.CodeForbidden, "token", "%s calls with no token of its own", by.ID).WithFix("name the token, as an admin")
		}
	}
	// First who asks: whether there is a token is not everybody's business.
	if id != by.Session && !slices.Contains(by.Roles, roleAdmin) {
		return nil, writ.Errorf(writ.CodeForbidden, "token", "%s may rotate only the token that it calls with", by.ID).WithFix("leave the id out, or ask an admin")
	}
	var t token
	err := s.get(ctx, by.Tenant, tokenPrefix+id, &t)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, writ.Errorf(writ.CodeNotFound, "token", "there is no such token").WithFix("see `writ token list`")
	}
	return &t, err
}

// rotated makes the token that takes the place of old. The caller holds mu.
func (s *Service) rotated(ctx context.Context, by *writ.Principal, old *token, validity time.Duration) (*token, string, error) {
	op, now := "token "+old.ID, s.opts.Clock.Now()
	switch {
	case old.Session != nil: // it would come out as a token, which no provider vouches for
		return nil, "", writ.Errorf(writ.CodeConflict, op, "it is a session, which has no secret of its own to replace").WithFix("log out and in again: `writ logout`, `writ login`")
	case !old.live(now):
		return nil, "", writ.Errorf(writ.CodeConflict, op, "it has ended").WithFix("make another with `writ token create`")
	case old.ReplacedBy != "":
		return nil, "", writ.Errorf(writ.CodeConflict, op, "it has been rotated to %s already", old.ReplacedBy).WithFix("rotate that one; if that was not you, revoke both")
	case validity != 0 && !slices.Contains(by.Roles, roleAdmin):
		return nil, "", writ.Errorf(writ.CodeForbidden, op, "only an admin says how long a token lasts").WithFix("leave expiresIn out: the new secret ends when the old one would have")
	case validity < 0 || validity > maxValidity:
		return nil, "", invalid("expiresIn", "is not between now and %s", maxValidity).WithFix("choose at most 8784h")
	}
	p, err := s.principal(ctx, by.Tenant, old.Principal)
	if err != nil {
		return nil, "", err
	}
	if old.ID != by.Session {
		if err := holdsAll(by, old.Scopes, p.Roles); err != nil {
			return nil, "", err
		}
	}
	if validity == 0 {
		validity = old.ExpiresAt.Std().Sub(now.Std())
	}
	next, text, err := s.issue(p, old.Scopes, validity)
	return next, text, err
}
