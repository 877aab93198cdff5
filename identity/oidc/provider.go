// Package oidc talks to one OpenID provider for package identity: discovery, the
// authorization code flow with PKCE, and the verification of the ID token. It is
// the one owner of go-oidc and oauth2.
package oidc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/identity"
)

// Options say which provider, and who Writ is to it.
type Options struct {
	Issuer       string // https, or http on a loopback address
	ClientID     string
	ClientSecret string   // empty: a public client, which PKCE alone protects
	Scopes       []string // besides openid; those that give the claims of the rules
	Clock        writ.Clock
	// Transport reaches the provider; nil: http.DefaultTransport.
	Transport http.RoundTripper
}

// Provider implements identity.IDProvider.
type Provider struct {
	opts Options
	http *http.Client

	mu         sync.Mutex // also around the discovery, so that one is under way
	discovered *discovered
}

var _ identity.IDProvider = (*Provider)(nil)

// discovered is what the provider says of itself.
type discovered struct {
	at       time.Time
	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	oauth    oauth2.Config
	// names its issuer in every answer (RFC 9207, section 3)
	namesIssuer bool
}

const (
	// discoverEvery is how long endpoints and keys are kept: a key that the provider
	// has withdrawn counts no longer than this.
	discoverEvery = time.Hour
	httpTimeout   = 10 * time.Second
	// maxAnswer bounds what the provider sends: a key set or an ID token with many
	// groups has some tens of KiB.
	maxAnswer = 1 << 20
	// leeway for the provider's clock, as go-oidc gives nbf.
	leeway = 5 * time.Minute
	// maxSubject is what OpenID Connect Core 1.0, section 2, allows.
	maxSubject = 255
)

// algorithms are asymmetric: with a shared secret as the key, whoever holds it
// could vouch for anybody.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// New checks the options; nothing is fetched yet, so that a host starts while its
// provider is away.
func New(opts Options) (*Provider, error) {
	if opts.ClientID == "" || opts.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "oidc", "the client's id is missing").WithFix("register Writ at the provider and write oidc.clientId")
	}
	u, err := url.Parse(opts.Issuer)
	if err != nil || !safe(u) || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "oidc.issuer", "%q is not an https URL", writ.Clip(opts.Issuer, maxSubject)).
			WithFix("write the issuer as the provider does, such as https://login.example.com")
	}
	if opts.Transport == nil {
		opts.Transport = http.DefaultTransport
	}
	return &Provider{opts: opts, http: &http.Client{
		Transport: bounded{opts.Transport}, Timeout: httpTimeout,
		// A redirect would carry code and secret to where nobody meant them to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// safe URLs carry secrets unseen: https, or http that stays on this machine.
func safe(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || (err == nil && addr.IsLoopback())
	return u.Host != "" && (u.Scheme == "https" || (u.Scheme == "http" && loopback))
}

// bounded cuts answers that are too long; go-oidc reads to the end.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = &limited{Reader: io.LimitReader(resp.Body, maxAnswer+1), body: resp.Body}
	}
	return resp, err
}

var errTooLong = errors.New("the answer is too long")

type limited struct {
	io.Reader
	body io.Closer
	n    int
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.n += n; l.n > maxAnswer {
		return 0, errTooLong
	}
	return n, err
}

func (l *limited) Close() error { return l.body.Close() }

// discover gives what the provider says of itself, at most discoverEvery old.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.discovered; d != nil && p.opts.Clock().Sub(d.at) < discoverEvery {
		return d, nil
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.http), p.opts.Issuer)
	var mismatch *oidc.IssuerMismatchError
	if errors.As(err, &mismatch) {
		return nil, writ.Errorf(writ.CodeUnavailable, "oidc "+p.opts.Issuer, "its discovery document is of another issuer, %s", writ.Clip(mismatch.Discovered, maxSubject)).
			WithFix("write oidc.issuer exactly as the provider does")
	}
	if err != nil {
		return nil, p.away(err)
	}
	var metadata struct {
		JWKS        string `json:"jwks_uri"`
		NamesIssuer bool   `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, p.away(err)
	}
	endpoint := provider.Endpoint()
	for _, text := range []string{endpoint.AuthURL, endpoint.TokenURL, metadata.JWKS} {
		if u, err := url.Parse(text); err != nil || !safe(u) || (u.Scheme == "http" && strings.HasPrefix(p.opts.Issuer, "https:")) {
			return nil, writ.Errorf(writ.CodeUnavailable, "oidc "+p.opts.Issuer, "its endpoint %q is not https", writ.Clip(text, maxSubject)).
				WithFix("look at the provider's /.well-known/openid-configuration")
		}
	}
	p.discovered = &discovered{
		at: p.opts.Clock(), provider: provider, namesIssuer: metadata.NamesIssuer,
		verifier: provider.VerifierContext(oidc.ClientContext(context.Background(), p.http), &oidc.Config{
			ClientID: p.opts.ClientID, SupportedSigningAlgs: algorithms, Now: p.opts.Clock,
		}),
		oauth: oauth2.Config{
			ClientID: p.opts.ClientID, ClientSecret: p.opts.ClientSecret, Endpoint: endpoint,
			Scopes: append([]string{oidc.ScopeOpenID}, p.opts.Scopes...),
		},
	}
	return p.discovered, nil
}

func (p *Provider) away(err error) error {
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		return writ.Errorf(writ.CodeUnavailable, "oidc "+p.opts.Issuer, "the provider did not answer within %s", httpTimeout).WithFix("try again, or use a token")
	}
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		err = wrapped.Err // the outer one repeats the URL
	}
	return writ.Errorf(writ.CodeUnavailable, "oidc "+p.opts.Issuer, "the provider does not answer as one: %s", writ.Clip(err.Error(), maxSubject)).
		WithFix("try again, use a token, or check oidc.issuer")
}

// AuthorizeURL implements identity.IDProvider.
func (p *Provider) AuthorizeURL(ctx context.Context, r *identity.Authorization) (string, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	config := d.oauth
	config.RedirectURL = r.Redirect
	return config.AuthCodeURL(r.State, oidc.Nonce(r.Nonce),
		oauth2.SetAuthURLParam("code_challenge", r.Challenge), oauth2.SetAuthURLParam("code_challenge_method", "S256")), nil
}

// Exchange implements identity.IDProvider.
func (p *Provider) Exchange(ctx context.Context, r *identity.Exchange) (*identity.Claims, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	// Before the code is sent: one of another provider must not reach this one.
	if r.Issuer != p.opts.Issuer && (r.Issuer != "" || d.namesIssuer) {
		return nil, refused("the answer is of another provider, %q", writ.Clip(r.Issuer, maxSubject))
	}
	config := d.oauth
	config.RedirectURL = r.Redirect
	ctx = oidc.ClientContext(ctx, p.http)
	tokens, err := config.Exchange(ctx, r.Code, oauth2.VerifierOption(r.Verifier))
	var said *oauth2.RetrieveError
	if errors.As(err, &said) && said.Response != nil && said.Response.StatusCode < http.StatusInternalServerError {
		return nil, refused("the provider does not take the code (%s)", writ.Clip(said.ErrorCode, maxSubject))
	}
	if err != nil {
		return nil, p.away(err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok || raw == "" {
		return nil, refused("the provider gave no ID token")
	}
	token, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, refused("the ID token does not hold: %s", writ.Clip(strings.TrimPrefix(err.Error(), "oidc: "), maxSubject))
	}
	return p.claims(token, r)
}

// claims checks what go-oidc leaves to its caller: OpenID Connect Core 1.0,
// section 3.1.3.7, items 3 to 5, 10 and 11.
func (p *Provider) claims(token *oidc.IDToken, r *identity.Exchange) (*identity.Claims, error) {
	out := &identity.Claims{Issuer: p.opts.Issuer, Subject: token.Subject, Values: map[string]any{}}
	if err := token.Claims(&out.Values); err != nil {
		return nil, refused("the claims of the ID token do not decode")
	}
	party, has := out.Values["azp"]
	switch {
	case r.Nonce == "" || token.Nonce != r.Nonce:
		return nil, refused("the ID token is of another login")
	case has && party != p.opts.ClientID, !has && len(token.Audience) > 1:
		return nil, refused("the ID token was issued to another client")
	case token.IssuedAt.After(p.opts.Clock().Add(leeway)):
		return nil, refused("the ID token was issued in the future")
	case !plainSubject(token.Subject):
		return nil, refused("the ID token names nobody")
	}
	for _, name := range []string{"name", "preferred_username"} {
		if text, ok := out.Values[name].(string); ok && out.Name == "" {
			out.Name = text
		}
	}
	return out, nil
}

// plainSubject: ASCII, as the standard demands, and printable, so that a message
// shows all of it.
func plainSubject(s string) bool {
	return s != "" && len(s) <= maxSubject && !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < '!' || c > '~' })
}

func refused(format string, args ...any) error {
	return writ.Errorf(writ.CodeUnauthenticated, "login", format, args...).WithFix("begin again with `writ login`; if it stays so, ask who runs the provider")
}
