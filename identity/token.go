package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base32"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// token is a stored token: never its value, only the hash of it.
type token struct {
	ID        string           `json:"id"`
	Hash      writ.Digest      `json:"hash"` // canon.DomainToken over the whole token
	Principal writ.PrincipalID `json:"principal"`
	Tenant    writ.TenantID    `json:"tenant"`
	Scopes    []string         `json:"scopes"` // capabilities; never more than the principal's
	CreatedAt writ.Time        `json:"createdAt"`
	ExpiresAt writ.Time        `json:"expiresAt"`
	RevokedAt writ.Time        `json:"revokedAt,omitempty"`
	// ReplacedBy is the token that it was rotated to; it ends when the overlap does.
	ReplacedBy string          `json:"replacedBy,omitempty"`
	Session    *vouched        `json:"session,omitempty"` // set where a login gave it
	who        *writ.Principal // as authenticated, cached with the token
}

func (t *token) live(now writ.Time) bool { return t.RevokedAt == 0 && now < t.ExpiresAt }

const (
	tokenMark  = "writ"
	tokenBytes = 32
	idBytes    = 10
	// defaultValidity is long enough for a service and short enough to make
	// rotation a habit.
	defaultValidity = 90 * 24 * time.Hour
	maxValidity     = 366 * 24 * time.Hour
	maxName         = 200 // bytes; a name is for one line of a list
)

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// tokenForm is writ_ID_SECRET: 16 and 52 base32 characters. A token of another
// tenant than the default one is writ_TENANT_ID_SECRET: who reads it knows where
// to look, and the hash is over the name too.
var tokenForm = regexp.MustCompile(`^writ_(?:(` + tenantName + `)_)?([a-z2-7]{16})_([a-z2-7]{52})$`)

// tenantName has no underscore, so that a token has one reading.
const tenantName = `[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?`

var tenantForm = regexp.MustCompile(`^` + tenantName + `$`)

// parseToken returns tenant and id of a well-formed token.
func parseToken(text string) (writ.TenantID, string, bool) {
	const longest = len(tokenMark) + 1 + 32 + 1 + 16 + 1 + 52
	if len(text) > longest {
		return "", "", false
	}
	parts := tokenForm.FindStringSubmatch(text)
	if parts == nil {
		return "", "", false
	}
	if parts[1] == "" {
		return writ.DefaultTenant, parts[2], true
	}
	return writ.TenantID(parts[1]), parts[2], true
}

func tokenHash(text string) writ.Digest { return canon.Sum(canon.DomainToken, []byte(text)) }

// nobodys is no token's hash.
var nobodys = canon.DigestOf([32]byte{})

// Token implements writ.Authenticator. Every refusal reads the same.
func (s *Service) Token(ctx context.Context, text string) (*writ.Principal, error) {
	tenant, id, ok := parseToken(text)
	if !ok {
		return nil, unauthenticated()
	}
	t, err := s.token(ctx, tenant, id)
	if writ.IsCode(err, writ.CodeNotFound) {
		t, err = &token{Hash: nobodys}, nil // it takes the way of one that is there
	}
	if err != nil {
		return nil, err
	}
	same := subtle.ConstantTimeCompare([]byte(t.Hash), []byte(tokenHash(text))) == 1
	if !same || !t.live(s.opts.Clock.Now()) {
		return nil, unauthenticated()
	}
	return cloned(t.who), nil
}

// cloned keeps what is cached out of the caller's hands.
func cloned(p *writ.Principal) *writ.Principal {
	who := *p
	who.Roles, who.Capabilities = slices.Clone(p.Roles), slices.Clone(p.Capabilities)
	who.OnBehalfOf = slices.Clone(p.OnBehalfOf)
	return &who
}

func tokenCacheKey(tenant writ.TenantID, id string) string { return string(tenant) + "\x00" + id }

// token reads a token with its principal, from memory where nothing changed.
func (s *Service) token(ctx context.Context, tenant writ.TenantID, id string) (*token, error) {
	cacheKey := tokenCacheKey(tenant, id)
	if cached, ok := s.tokens.Load(cacheKey); ok {
		return cached.(*token), nil
	}
	// Under mu, so that a revocation cannot slip between reading and keeping.
	s.mu.Lock()
	defer s.mu.Unlock()
	var t token
	if err := s.get(ctx, tenant, tokenPrefix+id, &t); err != nil {
		return nil, err
	}
	if t.Tenant != tenant {
		return nil, writ.Errorf(writ.CodeTampered, tokenPrefix+id, "the stored token is of another tenant")
	}
	who, err := s.principal(ctx, t.Tenant, t.Principal)
	if err != nil {
		return nil, err
	}
	who.Source, who.Strength, who.Session = "token:"+t.ID, writ.StrengthToken, t.ID
	if t.Session != nil {
		who.Source, who.Strength = "session:"+t.ID, writ.StrengthOIDC
	}
	who.Capabilities = intersect(who.Capabilities, t.Scopes)
	t.who = who
	s.tokens.Store(cacheKey, &t)
	return &t, nil
}

// issue makes a token of a principal. The caller holds mu.
func (s *Service) issue(p *writ.Principal, scopes []string, validity time.Duration) (*token, string, error) {
	random, err := s.draw(idBytes + tokenBytes)
	if err != nil {
		return nil, "", err
	}
	id := encoding.EncodeToString(random[:idBytes])
	text := tokenMark + "_" + id + "_" + encoding.EncodeToString(random[idBytes:])
	if p.Tenant != writ.DefaultTenant {
		text = tokenMark + "_" + string(p.Tenant) + strings.TrimPrefix(text, tokenMark)
	}
	now := s.opts.Clock.Now()
	return &token{
		ID: id, Hash: tokenHash(text), Principal: p.ID, Tenant: p.Tenant, Scopes: scopes,
		CreatedAt: now, ExpiresAt: now.Add(validity),
	}, text, nil
}

// TokenCreate is the handler of contract.TokenCreate. A new principal is made
// with the kind that is asked for; nobody hands out more than it has itself.
func (s *Service) TokenCreate(ctx context.Context, in *contract.TokenCreateInput) (*contract.TokenCreateOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	validity := in.ExpiresIn.Std()
	if validity == 0 {
		validity = defaultValidity
	}
	if validity < 0 || validity > maxValidity {
		return nil, invalid("expiresIn", "is not between now and %s", maxValidity).WithFix("choose at most 8784h")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, made, err := s.principalFor(ctx, by, in)
	if err != nil {
		return nil, err
	}
	scopes := in.Capabilities
	if len(scopes) == 0 {
		scopes = p.Capabilities
	}
	t, text, err := s.issue(p, scopes, validity)
	if err != nil {
		return nil, err
	}
	changes := []change{{
		record: writ.RecTokenCreated, facts: writ.SystemFacts{Subject: t.ID, Status: "created", Details: map[string]string{"principal": string(p.ID)}},
		documents: map[string]any{tokenPrefix + t.ID: t},
	}}
	if made {
		changes = append([]change{principalAdded(p)}, changes...)
	}
	if in.ApproverPublicKeyPEM != "" {
		registered, err := s.registration(ctx, p, []byte(in.ApproverPublicKeyPEM))
		if err != nil {
			return nil, err
		}
		changes = append(changes, *registered)
	}
	if err := s.commit(ctx, by, changes...); err != nil {
		return nil, err
	}
	return &contract.TokenCreateOutput{
		Result:  contract.Result{Status: "created", ChangedAt: t.CreatedAt},
		TokenID: t.ID, Token: text, PrincipalID: p.ID, ExpiresAt: t.ExpiresAt,
	}, nil
}

// TokenRevoke is the handler of contract.TokenRevoke: it counts from the next
// request on.
func (s *Service) TokenRevoke(ctx context.Context, in *contract.TokenRevokeInput) (*contract.TokenRevokeOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.revoke(ctx, by, in.TokenID, in.Reason)
	if err != nil {
		return nil, err
	}
	return &contract.TokenRevokeOutput{Result: contract.Result{Status: "revoked", ChangedAt: at}}, nil
}

// revoke ends a token or session of by's tenant. The caller holds mu.
func (s *Service) revoke(ctx context.Context, by *writ.Principal, id, reason string) (writ.Time, error) {
	var t token
	err := s.get(ctx, by.Tenant, tokenPrefix+id, &t)
	if writ.IsCode(err, writ.CodeNotFound) {
		return 0, writ.Errorf(writ.CodeNotFound, "token "+clip(id), "there is no such token").WithFix("see `writ token list`")
	}
	if err != nil {
		return 0, err
	}
	if t.RevokedAt != 0 {
		return t.RevokedAt, nil
	}
	err = s.commit(ctx, by, s.revocation(&t, reason))
	s.tokens.Delete(tokenCacheKey(by.Tenant, t.ID))
	return t.RevokedAt, err
}

// revocation is the change that ends t.
func (s *Service) revocation(t *token, reason string) change {
	t.RevokedAt = s.opts.Clock.Now()
	return change{
		record:    writ.RecTokenRevoked,
		facts:     writ.SystemFacts{Subject: t.ID, Status: "revoked", Reason: reason},
		documents: map[string]any{tokenPrefix + t.ID: t},
	}
}

// TokenList is the handler of contract.TokenList.
func (s *Service) TokenList(ctx context.Context, in *contract.TokenListInput) (*contract.TokenListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	documents, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: by.Tenant, Prefix: tokenPrefix})
	if err != nil {
		return nil, err
	}
	out := &contract.TokenListOutput{Items: []contract.Token{}}
	for _, document := range documents {
		var t token
		if err := decode(document, &t); err != nil {
			return nil, err
		}
		if (in.PrincipalID != "" && t.Principal != in.PrincipalID) || (t.RevokedAt != 0 && !in.IncludeRevoked) {
			continue
		}
		p, err := s.principal(ctx, by.Tenant, t.Principal)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, contract.Token{
			TokenID: t.ID, PrincipalID: t.Principal, Kind: p.Kind, Name: p.Name, WorkspaceID: p.Workspace, Roles: p.Roles,
			Capabilities: t.Scopes, Credential: t.credential(), CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, RevokedAt: t.RevokedAt, ReplacedBy: t.ReplacedBy,
		})
	}
	return out, nil
}

func invalid(place, format string, args ...any) *writ.Error {
	e := writ.Errorf(writ.CodeInvalid, "identity", format, args...)
	e.Place = place
	return e
}
