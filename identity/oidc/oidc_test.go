package oidc_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/identity/oidc"
	"github.com/writ-run/writ/identity/oidc/oidctest"
	"github.com/writ-run/writ/trace"
	"github.com/writ-run/writ/trace/tracetest"
)

const redirect = "http://127.0.0.1:7000/callback"

// rig is a host that believes a real provider. The provider's clock is the
// machine's, so the host's is it too, and what a test adds.
type rig struct {
	*identity.Service
	provider *oidctest.Provider
	journal  *trace.Journal
	logins   *identity.Logins
	ada      *writ.Principal
	later    time.Duration
}

func (r *rig) clock() time.Time { return time.Now().Add(r.later) }

type setup struct {
	secret, given string // what the provider demands, what the host knows
	rules         []identity.LoginRule
	scopes        []string
	issuer        func(string) string
}

func rules() []identity.LoginRule {
	return []identity.LoginRule{
		{Subject: "ada", Principal: "human:ada"},
		{Claim: "groups", Value: "ops", Roles: []string{"operator"}, Capabilities: []string{contract.CapCore, contract.CapSkillRegistry}},
		{Claim: "groups", Value: "deciders", Roles: []string{"approver"}, Capabilities: []string{contract.CapCore, contract.CapApproval}},
		{Claim: "department", Value: "audit"},
		{Subject: "ghost", Principal: "human:ghost"},
	}
}

func users() map[string]map[string]any {
	return map[string]map[string]any{
		"ada": {"groups": []any{"nobody-knows"}}, "bob": {"groups": []any{"ops", "deciders"}}, "eve": {"groups": []any{"opsx", 7, "op"}},
		"carol": {"department": "audit"}, "ghost": {}, "mallory": {"groups": "ops,deciders", "email": "ada@example.com"},
	}
}

func newRig(t *testing.T, s setup) *rig {
	t.Helper()
	r := &rig{}
	var err error
	if r.provider, err = oidctest.Start(users(), s.secret); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.provider.Close)
	r.journal = tracetest.Memory(t, r.clock)
	r.Service, err = identity.New(identity.Options{Store: r.journal, Journal: r.journal, Clock: r.clock, Entropy: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Bootstrap(t.Context(), "ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.ada, err = r.Token(t.Context(), made.Token); err != nil {
		t.Fatal(err)
	}
	issuer := r.provider.Issuer
	if s.issuer != nil {
		issuer = s.issuer(issuer)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	provider, err := oidc.New(oidc.Options{
		Issuer: issuer, ClientID: oidctest.ClientID, ClientSecret: s.given, Scopes: s.scopes, Clock: r.clock, Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.rules == nil {
		s.rules = rules()
	}
	if r.logins, err = identity.NewLogins(r.Service, identity.LoginOptions{Provider: provider, Rules: s.rules}); err != nil {
		t.Fatal(err)
	}
	return r
}

const verifier = "a-verifier-that-only-the-command-line-knows-0123456789"

func challenge(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// answer logs a user in at the provider and brings back what the browser does.
func (r *rig) answer(t *testing.T, user string) *writ.LoginAnswer {
	t.Helper()
	begun, err := r.logins.Begin(t.Context(), &writ.LoginRequest{Redirect: redirect, Challenge: challenge(verifier)})
	if err != nil {
		t.Fatal(err)
	}
	end, err := oidctest.Browse(t.Context(), begun.URL, user)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(end)
	if err != nil || !strings.HasPrefix(end, redirect+"?") || u.Query().Get("state") != begun.State {
		t.Fatalf("the browser ends at %s, %v", end, err)
	}
	return &writ.LoginAnswer{State: begun.State, Code: u.Query().Get("code"), Verifier: verifier}
}

func (r *rig) login(t *testing.T, user string) (*writ.Principal, *writ.LoginSession) {
	t.Helper()
	s, err := r.logins.Finish(t.Context(), r.answer(t, user))
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Token(t.Context(), s.Token)
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

func (r *rig) records(t *testing.T) []writ.Stored {
	t.Helper()
	stored, err := r.journal.Records(t.Context(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func wantCode(t *testing.T, err error, code writ.Code) {
	t.Helper()
	if writ.CodeOf(err) != code {
		t.Errorf("got %v; want %q", err, code)
	}
}

func TestLogin(t *testing.T) {
	r := newRig(t, setup{scopes: []string{"profile"}})
	for _, tc := range []struct {
		user                string
		id                  writ.PrincipalID // empty: one of its own
		roles, capabilities []string
	}{
		{"ada", "human:ada", r.ada.Roles, r.ada.Capabilities},
		{"bob", "", []string{"operator", "approver"}, []string{contract.CapCore, contract.CapSkillRegistry, contract.CapApproval}},
		{"carol", "", nil, []string{contract.CapCore, contract.CapAudit}},
	} {
		t.Run(tc.user, func(t *testing.T) {
			p, s := r.login(t, tc.user)
			own := strings.HasPrefix(string(p.ID), "human:oidc_") && !strings.Contains(string(p.ID), tc.user)
			if (tc.id == "" && !own) || (tc.id != "" && p.ID != tc.id) || p.Kind != writ.Human || p.Tenant != writ.DefaultTenant {
				t.Errorf("logged in as %+v", p)
			}
			if !slices.Equal(p.Roles, tc.roles) || !slices.Equal(p.Capabilities, tc.capabilities) {
				t.Errorf("%s holds %v and %v", tc.user, p.Roles, p.Capabilities)
			}
			if p.Strength != writ.StrengthOIDC || p.Session != s.SessionID || p.Source != "session:"+s.SessionID {
				t.Errorf("the session does not show: %+v", p)
			}
			if left := time.Duration(s.ExpiresAt - writ.Clock(r.clock).Now()); left > 8*time.Hour || left < 8*time.Hour-time.Minute {
				t.Errorf("the session lasts %s", left)
			}
			records := r.records(t)
			last := records[len(records)-1].Record
			d := last.Body.System.Details
			if last.Type != writ.RecTokenCreated || last.Actor.ActorID != p.ID || last.Actor.SessionID != s.SessionID ||
				d["credential"] != "session" || d["issuer"] != r.provider.Issuer || d["subject"] != tc.user {
				t.Errorf("the record says %+v %v", last.Actor, d)
			}
			again, _ := r.login(t, tc.user)
			if again.ID != p.ID {
				t.Errorf("the next login is of %s", again.ID)
			}
		})
	}
	raw, err := json.Marshal(r.records(t))
	if err != nil || strings.Contains(string(raw), "writ_") {
		t.Errorf("a token is in the journal: %v", err)
	}
}

// A person keeps one principal when groups change, and has what they say now.
func TestGroupsCountFromTheNextLogin(t *testing.T) {
	r := newRig(t, setup{})
	p, old := r.login(t, "bob")
	r.provider.Falsify(func(claims map[string]any) { claims["groups"] = []string{"deciders"} }, nil)
	q, _ := r.login(t, "bob")
	if q.ID != p.ID || slices.Contains(q.Roles, "operator") || !slices.Contains(q.Roles, "approver") {
		t.Errorf("got %+v", q)
	}
	before, err := r.Token(t.Context(), old.Token)
	if err != nil || slices.Contains(before.Roles, "operator") || slices.Contains(before.Capabilities, contract.CapSkillRegistry) {
		t.Errorf("the earlier session keeps what was taken: %+v, %v", before, err)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	r := newRig(t, setup{scopes: []string{"email", "profile"}})
	count := len(r.records(t))
	for _, user := range []string{"eve", "mallory", "ghost"} {
		_, err := r.logins.Finish(t.Context(), r.answer(t, user))
		wantCode(t, err, writ.CodeForbidden)
		var e *writ.Error
		if !errors.As(err, &e) || !strings.Contains(e.Fix, "operator") {
			t.Errorf("%s is told %v", user, err)
		}
	}
	if len(r.records(t)) != count {
		t.Error("who is not let in leaves a record")
	}
}

// Each answer is falsified in one way, and each is refused.
func TestHostileAnswers(t *testing.T) {
	r := newRig(t, setup{})
	set := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	stranger, err := oidctest.Start(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stranger.Close)
	public, err := x509.MarshalPKIXPublicKey(&r.provider.Key().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		claims func(map[string]any)
		sign   func([]byte) (string, error)
		answer func(*writ.LoginAnswer)
	}{
		"wrong nonce":               {claims: set("nonce", "another")},
		"no nonce":                  {claims: func(c map[string]any) { delete(c, "nonce") }},
		"wrong audience":            {claims: set("aud", "another")},
		"two audiences, no party":   {claims: func(c map[string]any) { c["aud"] = []string{"writ", "x"}; delete(c, "azp") }},
		"another party":             {claims: set("azp", "another")},
		"party that is no text":     {claims: set("azp", []string{"writ"})},
		"expired":                   {claims: set("exp", time.Now().Add(-time.Minute).Unix())},
		"no expiry":                 {claims: func(c map[string]any) { delete(c, "exp") }},
		"issued tomorrow":           {claims: set("iat", time.Now().Add(24*time.Hour).Unix())},
		"not yet":                   {claims: set("nbf", time.Now().Add(time.Hour).Unix())},
		"wrong issuer":              {claims: set("iss", "https://login.example.com")},
		"issuer with a slash":       {claims: set("iss", r.provider.Issuer+"/")},
		"no subject":                {claims: func(c map[string]any) { delete(c, "sub") }},
		"subject with a control":    {claims: set("sub", "ad\x00a")},
		"subject that is too long":  {claims: set("sub", strings.Repeat("a", 256))},
		"algorithm none":            {sign: unsigned("none")},
		"algorithm None":            {sign: unsigned("None")},
		"no algorithm":              {sign: unsigned("")},
		"the public key as secret":  {sign: hs256(public)},
		"its PEM as secret":         {sign: hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))},
		"the client's id as secret": {sign: hs256([]byte(oidctest.ClientID))},
		"a stranger's key":          {sign: stranger.Sign},
		"flipped signature":         {sign: func(b []byte) (string, error) { s, err := r.provider.Sign(b); return flip(s), err }},
		"no token":                  {sign: func([]byte) (string, error) { return "", nil }},
		"no code":                   {answer: func(a *writ.LoginAnswer) { a.Code = "" }},
		"made-up code":              {answer: func(a *writ.LoginAnswer) { a.Code = "made-up" }},
		"endless code":              {answer: func(a *writ.LoginAnswer) { a.Code = strings.Repeat("c", 4097) }},
		"another's verifier":        {answer: func(a *writ.LoginAnswer) { a.Verifier = strings.Repeat("v", 43) }},
		"no verifier":               {answer: func(a *writ.LoginAnswer) { a.Verifier = "" }},
		"no state":                  {answer: func(a *writ.LoginAnswer) { a.State = "" }},
		"flipped state":             {answer: func(a *writ.LoginAnswer) { a.State = flip(a.State) }},
		"state without its MAC":     {answer: func(a *writ.LoginAnswer) { a.State = a.State[43:] }},
		"mixed-up provider":         {answer: func(a *writ.LoginAnswer) { a.Issuer = "https://evil.example.com" }},
	} {
		t.Run(name, func(t *testing.T) {
			r.provider.Falsify(nil, nil)
			answer := r.answer(t, "ada")
			count := len(r.records(t))
			r.provider.Falsify(tc.claims, tc.sign)
			if tc.answer != nil {
				tc.answer(answer)
			}
			s, err := r.logins.Finish(t.Context(), answer)
			wantCode(t, err, writ.CodeUnauthenticated)
			if s != nil || len(r.records(t)) != count {
				t.Errorf("it left %+v", s)
			}
		})
	}
	r.provider.Falsify(nil, nil)
	r.login(t, "ada")
}

func flip(s string) string {
	b := []byte(s)
	at := len(b) / 2
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

func unsigned(algorithm string) func([]byte) (string, error) {
	return func(claims []byte) (string, error) {
		header, err := json.Marshal(map[string]string{"alg": algorithm})
		return base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims) + ".", err
	}
}

func hs256(secret []byte) func([]byte) (string, error) {
	return func(claims []byte) (string, error) {
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"key-1"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
	}
}

// A provider may offer what is not safe; it is not taken.
func TestADiscoveryThatOffersSymmetricKeys(t *testing.T) {
	r := newRig(t, setup{})
	r.provider.Discovery(func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []string{"HS256", "none"} })
	answer := r.answer(t, "ada")
	r.provider.Falsify(nil, unsigned("none"))
	_, err := r.logins.Finish(t.Context(), answer)
	wantCode(t, err, writ.CodeUnauthenticated)
}

func TestAnAnswerCountsOnce(t *testing.T) {
	r := newRig(t, setup{})
	answer := r.answer(t, "ada")
	if _, err := r.logins.Finish(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	_, err := r.logins.Finish(t.Context(), answer)
	wantCode(t, err, writ.CodeUnauthenticated)
	if spent := r.provider.Spent(); len(spent) != 1 {
		t.Errorf("the provider saw %d codes: ours must be refused before", len(spent))
	}
	// The same code under another login, which the provider refuses.
	again := r.answer(t, "ada")
	again.Code = answer.Code
	_, err = r.logins.Finish(t.Context(), again)
	wantCode(t, err, writ.CodeUnauthenticated)
	// A code of another login that is good: the verifier is the same, the nonce is not.
	other, third := r.answer(t, "ada"), r.answer(t, "bob")
	other.Code = third.Code
	_, err = r.logins.Finish(t.Context(), other)
	wantCode(t, err, writ.CodeUnauthenticated)
}

// Where the provider says that it names itself, an answer that does not is of
// somebody else (RFC 9207).
func TestTheIssuerOfAnAnswer(t *testing.T) {
	r := newRig(t, setup{})
	r.provider.Discovery(func(d map[string]any) { d["authorization_response_iss_parameter_supported"] = true })
	answer := r.answer(t, "ada")
	_, err := r.logins.Finish(t.Context(), answer)
	wantCode(t, err, writ.CodeUnauthenticated)
	if len(r.provider.Spent()) != 0 {
		t.Error("the code was sent before the issuer was looked at")
	}
	answer.Issuer = r.provider.Issuer
	if _, err := r.logins.Finish(t.Context(), answer); err != nil {
		t.Error(err)
	}
}

func TestALoginTakesTenMinutesAtMost(t *testing.T) {
	r := newRig(t, setup{})
	answer := r.answer(t, "ada")
	r.later = 10*time.Minute + time.Second
	_, err := r.logins.Finish(t.Context(), answer)
	wantCode(t, err, writ.CodeUnauthenticated)
	if _, err := r.logins.Finish(t.Context(), r.answer(t, "ada")); err != nil {
		t.Error(err)
	}
}

func TestKeysRotate(t *testing.T) {
	r := newRig(t, setup{})
	r.login(t, "ada")
	withdrawn := r.provider.Signer()
	if err := r.provider.Rotate(); err != nil {
		t.Fatal(err)
	}
	r.login(t, "ada") // a key that was not seen before is fetched
	r.later = time.Hour + time.Minute
	lasting := func(c map[string]any) { c["exp"] = r.clock().Add(time.Hour).Unix() }
	r.provider.Falsify(lasting, withdrawn)
	_, err := r.logins.Finish(t.Context(), r.answer(t, "ada"))
	wantCode(t, err, writ.CodeUnauthenticated)
	r.provider.Falsify(lasting, nil)
	r.login(t, "ada")
}

// A key that the provider has withdrawn counts for an hour at most, although
// nothing makes the host ask again.
func TestAWithdrawnKey(t *testing.T) {
	r := newRig(t, setup{})
	r.login(t, "ada")
	withdrawn := r.provider.Signer()
	if err := r.provider.Rotate(); err != nil {
		t.Fatal(err)
	}
	r.later = time.Hour + time.Minute
	r.provider.Falsify(func(c map[string]any) { c["exp"] = r.clock().Add(time.Hour).Unix() }, withdrawn)
	_, err := r.logins.Finish(t.Context(), r.answer(t, "ada"))
	wantCode(t, err, writ.CodeUnauthenticated)
}

func TestAClientsSecret(t *testing.T) {
	good := newRig(t, setup{secret: "s3cret-of-the-client", given: "s3cret-of-the-client"})
	good.login(t, "ada")
	bad := newRig(t, setup{secret: "s3cret-of-the-client", given: "another-secret"})
	_, err := bad.logins.Finish(t.Context(), bad.answer(t, "ada"))
	wantCode(t, err, writ.CodeUnauthenticated)
	if err != nil && strings.Contains(err.Error(), "another-secret") {
		t.Errorf("the secret is in %v", err)
	}
}

func TestAProviderThatIsNone(t *testing.T) {
	begin := func(r *rig) error {
		_, err := r.logins.Begin(t.Context(), &writ.LoginRequest{Redirect: redirect, Challenge: challenge(verifier)})
		return err
	}
	for name, change := range map[string]func(map[string]any){
		"another issuer":    func(d map[string]any) { d["issuer"] = "https://login.example.com" },
		"plain endpoint":    func(d map[string]any) { d["token_endpoint"] = "http://login.example.com/token" },
		"plain keys":        func(d map[string]any) { d["jwks_uri"] = "http://login.example.com/keys" },
		"a file":            func(d map[string]any) { d["authorization_endpoint"] = "file:///etc/passwd" },
		"script":            func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" },
		"no endpoint":       func(d map[string]any) { delete(d, "token_endpoint") },
		"an endless answer": func(d map[string]any) { d["padding"] = strings.Repeat("x", 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{})
			r.provider.Discovery(change)
			wantCode(t, begin(r), writ.CodeUnavailable)
			r.provider.Discovery(nil)
			if err := begin(r); err != nil {
				t.Errorf("it is not asked again: %v", err)
			}
		})
	}
	r := newRig(t, setup{issuer: func(s string) string { return s + "/" }})
	wantCode(t, begin(r), writ.CodeUnavailable)
	r = newRig(t, setup{})
	r.provider.Close()
	wantCode(t, begin(r), writ.CodeUnavailable)
}

func TestOptionsThatAreRefused(t *testing.T) {
	for _, issuer := range []string{
		"", "login.example.com", "http://login.example.com", "ftp://127.0.0.1", "https://", "https://u:p@login.example.com", "https://login.example.com?x=1",
		"https://login.example.com#x", "http://127.0.0.1.example.com",
	} {
		_, err := oidc.New(oidc.Options{Issuer: issuer, ClientID: "writ", Clock: time.Now})
		wantCode(t, err, writ.CodeInvalid)
	}
	_, err := oidc.New(oidc.Options{Issuer: "https://login.example.com", Clock: time.Now})
	wantCode(t, err, writ.CodeInvalid)
}

// Sessions end: by the person, by an admin, by time, and by too many others.
func TestSessionsEnd(t *testing.T) {
	r := newRig(t, setup{})
	refused := func(what, token string) {
		t.Helper()
		if _, err := r.Token(t.Context(), token); !writ.IsCode(err, writ.CodeUnauthenticated) {
			t.Errorf("%s: %v", what, err)
		}
	}
	p, s := r.login(t, "bob")
	out, err := r.SessionEnd(writ.WithPrincipal(t.Context(), p), &contract.SessionEndInput{Reason: "done"})
	if err != nil || out.SessionID != s.SessionID || out.Status != "ended" {
		t.Errorf("got %+v, %v", out, err)
	}
	refused("logged out", s.Token)
	_, err = r.SessionEnd(writ.WithPrincipal(t.Context(), r.ada), &contract.SessionEndInput{})
	wantCode(t, err, writ.CodeConflict)

	_, s = r.login(t, "bob")
	if _, err := r.TokenRevoke(writ.WithPrincipal(t.Context(), r.ada), &contract.TokenRevokeInput{TokenID: s.SessionID}); err != nil {
		t.Fatal(err)
	}
	refused("revoked", s.Token)

	_, s = r.login(t, "bob")
	list, err := r.TokenList(writ.WithPrincipal(t.Context(), r.ada), &contract.TokenListInput{PrincipalID: p.ID})
	if err != nil || len(list.Items) != 1 || list.Items[0].Credential != contract.CredentialSession || list.Items[0].TokenID != s.SessionID {
		t.Errorf("got %+v, %v", list, err)
	}
	var sessions []*writ.LoginSession
	for range 16 {
		_, one := r.login(t, "bob")
		sessions = append(sessions, one)
	}
	refused("the oldest of 17", s.Token)
	for i, one := range sessions {
		if _, err := r.Token(t.Context(), one.Token); err != nil {
			t.Errorf("session %d of 16: %v", i, err)
		}
	}
	r.later = 8*time.Hour + time.Second
	refused("expired", sessions[15].Token)
	r.provider.Falsify(func(c map[string]any) { c["exp"] = r.clock().Add(time.Hour).Unix() }, nil)
	_, s = r.login(t, "bob")
	list, err = r.TokenList(writ.WithPrincipal(t.Context(), r.ada), &contract.TokenListInput{PrincipalID: p.ID, IncludeRevoked: true})
	if err != nil || len(list.Items) != 1 || list.Items[0].TokenID != s.SessionID {
		t.Errorf("ended sessions are kept: %+v, %v", list, err)
	}
}
