package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base32"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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

func (s *Service) principal(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*writ.Principal, error) {
	var p writ.Principal
	if err := s.get(ctx, tenant, principalPrefix+string(id), &p); err != nil {
		return nil, err
	}
	return &p, nil
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

func principalAdded(p *writ.Principal) change {
	return change{
		record:    writ.RecPrincipalAdded,
		facts:     writ.SystemFacts{Subject: string(p.ID), Status: string(p.Kind), Details: map[string]string{"roles": strings.Join(p.Roles, ",")}},
		documents: map[string]any{principalPrefix + string(p.ID): p},
	}
}

// principalFor finds the principal of a new token, or describes a new one.
func (s *Service) principalFor(ctx context.Context, by *writ.Principal, in *contract.TokenCreateInput) (*writ.Principal, bool, error) {
	if !principalForm.MatchString(string(in.PrincipalID)) {
		return nil, false, invalid("principalId", "%q is not a principal's id", in.PrincipalID).WithFix("write KIND:NAME, such as agent:triage-bot")
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
