// Package oidctest runs a real OpenID provider on loopback, with people who have
// groups, keys that rotate, and answers that a test may falsify.
package oidctest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// ClientID is the one client that the provider knows; it is public where the
// Secret is empty.
const ClientID = "writ"

// password of everybody.
const password = "correct"

// Provider is one issuer. Change it under its methods alone: it serves meanwhile.
type Provider struct {
	Issuer string

	server *httptest.Server
	store  *store

	mu        sync.Mutex
	claims    func(claims map[string]any)
	sign      func(claims []byte) (string, error)
	discovery func(document map[string]any)
	codes     []string
}

// Start runs a provider for users, each with the further claims of its ID token.
// A secret makes the client a confidential one. The caller closes it.
func Start(users map[string]map[string]any, secret string) (*Provider, error) {
	p := &Provider{}
	mux := http.NewServeMux()
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(mux, w, r) }))
	p.Issuer = p.server.URL
	people := people{}
	for id := range users {
		people[id] = &storage.User{ID: id, Username: id, Password: password, FirstName: id, LastName: "Example", Email: "shared@example.com"}
	}
	p.store = &store{
		Storage: storage.NewStorageWithClients(people, nil), users: users, secret: secret,
		client: client{Client: storage.NativeClient(ClientID, "http://127.0.0.1/callback"), confidential: secret != ""},
	}
	if err := p.Rotate(); err != nil {
		return nil, err
	}
	config := &op.Config{CodeMethodS256: true}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return nil, err
	}
	provider, err := op.NewProvider(config, p.store, op.StaticIssuer(p.Issuer), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		p.server.Close()
		return nil, err
	}
	callback := op.AuthCallbackURL(provider)
	mux.HandleFunc("/login", op.NewIssuerInterceptor(provider.IssuerFromRequest).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p.store.CheckUsernamePassword(r.FormValue("user"), r.FormValue("password"), r.FormValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, callback(r.Context(), r.FormValue("id")), http.StatusSeeOther)
	}))
	mux.Handle("/", provider)
	return p, nil
}

// Close ends the provider.
func (p *Provider) Close() { p.server.Close() }

// Rotate signs with a new key from now on; the old one is withdrawn.
func (p *Provider) Rotate() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.keys++
	p.store.key = &signingKey{id: fmt.Sprintf("key-%d", p.store.keys), private: key}
	return nil
}

// Falsify changes the claims of ID tokens, and signs them as sign does; nil
// leaves either as it is.
func (p *Provider) Falsify(claims func(map[string]any), sign func([]byte) (string, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims, p.sign = claims, sign
}

// Discovery changes the provider's document about itself.
func (p *Provider) Discovery(change func(document map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.discovery = change
}

// Key is the key that signs now.
func (p *Provider) Key() *rsa.PrivateKey {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	return p.store.key.private
}

// Sign signs as the provider does.
func (p *Provider) Sign(claims []byte) (string, error) { return p.Signer()(claims) }

// Signer signs with the key of now, also after it has been withdrawn.
func (p *Provider) Signer() func(claims []byte) (string, error) {
	p.store.mu.Lock()
	key := p.store.key
	p.store.mu.Unlock()
	return func(claims []byte) (string, error) {
		signer, err := op.SignerFromKey(key)
		if err != nil {
			return "", err
		}
		signed, err := signer.Sign(claims)
		if err != nil {
			return "", err
		}
		return signed.CompactSerialize()
	}
}

// Spent lists the codes that reached the token endpoint.
func (p *Provider) Spent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.codes...)
}

func (p *Provider) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	claims, sign, discovery := p.claims, p.sign, p.discovery
	if strings.HasSuffix(r.URL.Path, "/token") {
		p.codes = append(p.codes, r.FormValue("code"))
	}
	p.mu.Unlock()
	var change func(map[string]any) error
	switch {
	case strings.HasSuffix(r.URL.Path, "/token") && (claims != nil || sign != nil):
		change = func(answer map[string]any) error { return p.falsify(answer, claims, sign) }
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") && discovery != nil:
		change = func(answer map[string]any) error { discovery(answer); return nil }
	default:
		next.ServeHTTP(w, r)
		return
	}
	recorded := httptest.NewRecorder()
	next.ServeHTTP(recorded, r)
	var answer map[string]any
	if json.Unmarshal(recorded.Body.Bytes(), &answer) != nil || recorded.Code != http.StatusOK {
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(recorded.Body.Bytes()) // the client has gone
		return
	}
	if err := change(answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client has gone
}

func (p *Provider) falsify(answer map[string]any, change func(map[string]any), sign func([]byte) (string, error)) error {
	text, _ := answer["id_token"].(string)
	parsed, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return err
	}
	var claims map[string]any
	if err := json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return err
	}
	if change != nil {
		change(claims)
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	if sign == nil {
		sign = p.Sign
	}
	answer["id_token"], err = sign(raw)
	return err
}

// Browse does what a person's browser does at the provider, and gives where it is
// sent in the end, which it does not follow.
func Browse(ctx context.Context, authorization, user string) (string, error) {
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	at, err := url.Parse(authorization)
	if err != nil {
		return "", err
	}
	home := at.Host
	for range 10 {
		var form io.Reader
		method := http.MethodGet
		if at.Path == "/login" {
			form, method = strings.NewReader(url.Values{"id": at.Query()["id"], "user": {user}, "password": {password}}.Encode()), http.MethodPost
		}
		request, err := http.NewRequestWithContext(ctx, method, at.String(), form)
		if err != nil {
			return "", err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := browser.Do(request)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return "", err
		}
		next, err := answer.Location()
		if err != nil {
			return "", fmt.Errorf("%s: %s: %s", at.Path, answer.Status, body)
		}
		if next.Host != home {
			return next.String(), nil
		}
		at = next
	}
	return "", errors.New("the provider sends the browser in circles")
}

// people implements storage.UserStore.
type people map[string]*storage.User

// GetUserByID implements storage.UserStore.
func (p people) GetUserByID(id string) *storage.User { return p[id] }

// GetUserByUsername implements storage.UserStore.
func (p people) GetUserByUsername(name string) *storage.User { return p[name] }

// ExampleClientID implements storage.UserStore.
func (p people) ExampleClientID() string { return "service" }

// store is the module's storage in memory with a client, claims and keys of ours.
type store struct {
	*storage.Storage
	users  map[string]map[string]any
	secret string
	client client

	mu   sync.Mutex
	key  *signingKey
	keys int
}

type client struct {
	*storage.Client
	confidential bool
}

func (c client) LoginURL(id string) string { return "/login?id=" + id }

func (c client) AuthMethod() oidc.AuthMethod {
	if c.confidential {
		return oidc.AuthMethodBasic
	}
	return oidc.AuthMethodNone
}

func (s *store) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != ClientID {
		return nil, errors.New("there is no such client")
	}
	return s.client, nil
}

func (s *store) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != ClientID || s.secret == "" || secret != s.secret {
		return errors.New("the client's secret is wrong")
	}
	return nil
}

func (s *store) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	if err := s.Storage.SetUserinfoFromRequest(ctx, info, r, scopes); err != nil {
		return err
	}
	for name, value := range maps.All(s.users[r.GetSubject()]) {
		info.AppendClaims(name, value)
	}
	return nil
}

func (s *store) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, nil
}

func (s *store) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []op.Key{publicKey{s.key}}, nil
}

type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *signingKey) Key() any                                    { return k.private }
func (k *signingKey) ID() string                                  { return k.id }

type publicKey struct{ key *signingKey }

func (k publicKey) ID() string                         { return k.key.id }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.key.private.PublicKey }
