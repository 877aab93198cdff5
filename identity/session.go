package identity

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// vouched says who opened a session, in the provider's terms: what an operator
// looks for when somebody leaves.
type vouched struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// maxSessions of one person at a time: a desk, a laptop and what was forgotten.
// The next one ends the oldest.
const maxSessions = 16

func (t *token) credential() contract.Credential {
	if t.Session != nil {
		return contract.CredentialSession
	}
	return contract.CredentialToken
}

// open makes a session of somebody whom a rule let in, and the principal where
// it is not here yet or the provider says otherwise than last time.
func (s *Service) open(ctx context.Context, who *admitted, c *Claims, validity time.Duration) (*writ.LoginSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, changes, err := s.person(ctx, who)
	if err != nil {
		return nil, err
	}
	t, text, err := s.issue(p, p.Capabilities, validity)
	if err != nil {
		return nil, err
	}
	t.Session = &vouched{Issuer: c.Issuer, Subject: c.Subject}
	ended, err := s.makeRoom(ctx, p)
	if err != nil {
		return nil, err
	}
	changes = append(append(changes, ended...), change{
		record: writ.RecTokenCreated,
		facts: writ.SystemFacts{Subject: t.ID, Status: "created", Details: map[string]string{
			"principal": string(p.ID), "credential": string(t.credential()), "issuer": c.Issuer, "subject": c.Subject,
		}},
		documents: map[string]any{tokenPrefix + t.ID: t},
	})
	by := cloned(p)
	by.Source, by.Strength, by.Session = "login:"+c.Issuer, writ.StrengthOIDC, t.ID
	if err := s.commit(ctx, by, changes...); err != nil {
		return nil, err
	}
	s.forget(p)
	return &writ.LoginSession{
		SessionID: t.ID, Token: text, PrincipalID: p.ID, Name: p.Name, Tenant: p.Tenant, ExpiresAt: t.ExpiresAt,
	}, nil
}

// person is the principal of somebody who is let in, with the change that makes
// it so.
func (s *Service) person(ctx context.Context, who *admitted) (*writ.Principal, []change, error) {
	want := &who.principal
	if known, err := s.hasTenant(ctx, want.Tenant); err != nil || !known {
		if err == nil {
			err = writ.Errorf(writ.CodeForbidden, "login", "the rule for you names a tenant that is not here").WithFix("ask an admin of the host for it: `writ tenant create`")
		}
		return nil, nil, err
	}
	have, err := s.principal(ctx, want.Tenant, want.ID)
	missing := writ.IsCode(err, writ.CodeNotFound)
	if err != nil && !missing {
		return nil, nil, err
	}
	if who.bound {
		if missing {
			return nil, nil, writ.Errorf(writ.CodeForbidden, "login", "the rule for you names %s, who is not here", want.ID).
				WithFix("ask an operator to add %s with `writ token create`, or to correct oidc.rules", want.ID)
		}
		return have, nil, nil
	}
	if !missing && have.Name == want.Name && have.Workspace == want.Workspace &&
		slices.Equal(have.Roles, want.Roles) && slices.Equal(have.Capabilities, want.Capabilities) {
		return have, nil, nil
	}
	return want, []change{principalAdded(want)}, nil
}

// makeRoom drops the sessions of p that have ended and ends the oldest where
// there are too many.
func (s *Service) makeRoom(ctx context.Context, p *writ.Principal) ([]change, error) {
	documents, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: p.Tenant, Prefix: tokenPrefix})
	if err != nil {
		return nil, err
	}
	var live, ended []*token
	for _, document := range documents {
		t := new(token)
		if err := decode(document, t); err != nil {
			return nil, err
		}
		if t.Session == nil || t.Principal != p.ID {
			continue
		}
		if t.live(s.opts.Clock.Now()) {
			live = append(live, t)
		} else {
			ended = append(ended, t)
		}
	}
	var changes []change
	slices.SortFunc(live, func(a, b *token) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	for len(live) >= maxSessions {
		changes = append(changes, s.revocation(live[0], "this person has opened too many sessions"))
		live = live[1:]
	}
	if len(ended) > 0 {
		gone := map[string]any{}
		for _, t := range ended {
			gone[tokenPrefix+t.ID] = nil
		}
		changes = append(changes, change{
			record: writ.RecTokenRevoked, documents: gone,
			facts: writ.SystemFacts{Subject: string(p.ID), Status: "ended sessions dropped"},
		})
	}
	return changes, nil
}

// forget drops what is cached of a principal's tokens: they carry what it was.
func (s *Service) forget(p *writ.Principal) {
	s.tokens.Range(func(key, cached any) bool {
		if t := cached.(*token); t.Tenant == p.Tenant && t.Principal == p.ID {
			s.tokens.Delete(key)
		}
		return true
	})
}

// SessionEnd is the handler of contract.SessionEnd.
func (s *Service) SessionEnd(ctx context.Context, in *contract.SessionEndInput) (*contract.SessionEndOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if by.Strength != writ.StrengthOIDC || by.Session == "" {
		return nil, writ.Errorf(writ.CodeConflict, "session", "%s has not logged in: there is no session to end", by.ID).
			WithFix("a token is ended with `writ token revoke`")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.revoke(ctx, by, by.Session, in.Reason)
	if err != nil {
		return nil, err
	}
	return &contract.SessionEndOutput{
		Result: contract.Result{Status: "ended", ChangedAt: at}, SessionID: by.Session, PrincipalID: by.ID,
	}, nil
}
