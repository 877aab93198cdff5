package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ"
)

// IDProvider is one OpenID provider, as identity/oidc talks to it.
type IDProvider interface {
	// AuthorizeURL is where a browser begins. CodeUnavailable where the provider
	// does not answer.
	AuthorizeURL(ctx context.Context, r *Authorization) (string, error)
	// Exchange spends a code and verifies what it gives. CodeUnauthenticated where
	// the provider does not stand by it, CodeUnavailable where it does not answer.
	Exchange(ctx context.Context, r *Exchange) (*Claims, error)
}

// Authorization is what the provider is asked.
type Authorization struct {
	State, Nonce, Challenge, Redirect string
}

// Exchange is what the provider's answer is held against.
type Exchange struct {
	Code, Verifier, Redirect, Nonce string
	Issuer                          string // as the browser brought it back; may be empty
}

// LoginOptions are what Logins work with.
type LoginOptions struct {
	Provider IDProvider
	Rules    []LoginRule
	Validity time.Duration // of a session; 0: 8 hours, a working day
}

// Limits of a login.
const (
	defaultSession = 8 * time.Hour
	maxSession     = 24 * time.Hour
	// loginTime is what a person needs for a second factor that has to be found.
	loginTime = 10 * time.Minute
	maxCode   = 4096 // bytes; some providers put a whole token into it
	stateKey  = 32
	nonceSize = 16
)

// Logins implements writ.Logins. It keeps nothing of a login that has begun: what
// it must know stands in the state, under a MAC, so that strangers who begin
// logins fill no memory. A restart voids those under way.
type Logins struct {
	opts    LoginOptions
	service *Service
	key     []byte

	mu    sync.Mutex
	spent map[string]writ.Time // states that gave a session, until they expire
}

var _ writ.Logins = (*Logins)(nil)

// NewLogins checks the options. CodeInvalid for rules that cannot mean what they
// say and for sessions that are longer than a day.
func NewLogins(s *Service, opts LoginOptions) (*Logins, error) {
	if opts.Provider == nil {
		return nil, invalid("oidc", "there is no provider")
	}
	if opts.Validity == 0 {
		opts.Validity = defaultSession
	}
	if opts.Validity < time.Minute || opts.Validity > maxSession {
		return nil, invalid("oidc.session", "%s is not between a minute and %s", opts.Validity, maxSession).WithFix("leave it out for %s", defaultSession)
	}
	if err := CheckLoginRules(opts.Rules); err != nil {
		return nil, err
	}
	key, err := s.draw(stateKey)
	if err != nil {
		return nil, err
	}
	return &Logins{opts: opts, service: s, key: key, spent: map[string]writ.Time{}}, nil
}

// begun is what the state of a login carries.
type begun struct {
	Nonce     string    `json:"n"`
	Challenge string    `json:"c"`
	Redirect  string    `json:"r"`
	Expires   writ.Time `json:"e"`
}

// base64url of a SHA-256, RFC 7636 section 4.2, and of a verifier, section 4.1.
var (
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	verifierForm  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
)

// Begin implements writ.Logins.
func (l *Logins) Begin(ctx context.Context, in *writ.LoginRequest) (*writ.LoginStart, error) {
	if !challengeForm.MatchString(in.Challenge) {
		return nil, invalid("codeChallenge", "is not the base64url of a SHA-256").WithFix("use `writ login`")
	}
	if !isLoopbackRedirect(in.Redirect) {
		return nil, invalid("redirectUri", "is not http on a loopback address with a port").WithFix("use `writ login`, or one such as http://127.0.0.1:7000/callback")
	}
	random, err := l.service.draw(nonceSize)
	if err != nil {
		return nil, err
	}
	b := begun{
		Nonce: encoding.EncodeToString(random), Challenge: in.Challenge, Redirect: in.Redirect,
		Expires: l.service.opts.Clock.Now().Add(loginTime),
	}
	state, err := l.seal(&b)
	if err != nil {
		return nil, err
	}
	place, err := l.opts.Provider.AuthorizeURL(ctx, &Authorization{State: state, Nonce: b.Nonce, Challenge: b.Challenge, Redirect: b.Redirect})
	if err != nil {
		return nil, err
	}
	return &writ.LoginStart{URL: place, State: state, ExpiresAt: b.Expires}, nil
}

// isLoopbackRedirect holds that a code goes to the machine of the browser and
// nowhere else (RFC 8252, section 7.3). A name would ask a resolver.
func isLoopbackRedirect(text string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxName || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return false
	}
	at, err := netip.ParseAddrPort(u.Host)
	return err == nil && at.Port() != 0 && at.Addr().Zone() == "" && at.Addr().IsLoopback()
}

// Finish implements writ.Logins. A state gives one session at most, also where
// the provider would take its code twice.
func (l *Logins) Finish(ctx context.Context, in *writ.LoginAnswer) (*writ.LoginSession, error) {
	b, ok := l.open(in.State)
	if !ok {
		return nil, notLoggedIn("this answer is of no login that was begun here")
	}
	if l.service.opts.Clock.Now() >= b.Expires {
		return nil, notLoggedIn("it took longer than %s", loginTime)
	}
	sum := sha256.Sum256([]byte(in.Verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if !verifierForm.MatchString(in.Verifier) || subtle.ConstantTimeCompare([]byte(challenge), []byte(b.Challenge)) != 1 {
		return nil, notLoggedIn("somebody else began this login")
	}
	if in.Code == "" || len(in.Code) > maxCode {
		return nil, notLoggedIn("the provider gave no code, or one of more than %d bytes", maxCode)
	}
	if !l.spend(in.State, b.Expires) {
		return nil, notLoggedIn("this login has been finished already")
	}
	claims, err := l.opts.Provider.Exchange(ctx, &Exchange{
		Code: in.Code, Verifier: in.Verifier, Redirect: b.Redirect, Nonce: b.Nonce, Issuer: in.Issuer,
	})
	if err != nil {
		l.unspend(in.State)
		return nil, err
	}
	who, err := admit(l.opts.Rules, claims)
	if err != nil {
		return nil, err
	}
	return l.service.open(ctx, who, claims, l.opts.Validity)
}

func notLoggedIn(format string, args ...any) *writ.Error {
	return writ.Errorf(writ.CodeUnauthenticated, "login", format, args...).WithFix("begin again with `writ login`")
}

// seal is the state: what was begun, and its MAC.
func (l *Logins) seal(b *begun) (string, error) {
	raw, err := json.Marshal(b)
	if err != nil {
		return "", writ.Errorf(writ.CodeInternal, "login", "cannot be encoded: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(append(l.mac(raw), raw...)), nil
}

func (l *Logins) mac(raw []byte) []byte {
	h := hmac.New(sha256.New, l.key)
	h.Write(raw)
	return h.Sum(nil)
}

// maxState is well above what seal gives.
const maxState = 2048

func (l *Logins) open(state string) (*begun, bool) {
	if len(state) > maxState {
		return nil, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil || len(sealed) < sha256.Size || !hmac.Equal(sealed[:sha256.Size], l.mac(sealed[sha256.Size:])) {
		return nil, false
	}
	var b begun
	return &b, json.Unmarshal(sealed[sha256.Size:], &b) == nil
}

// spend takes a state once. What has expired is forgotten, so the map holds the
// logins of ten minutes that a provider stood by, and those under way.
func (l *Logins) spend(state string, expires writ.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.service.opts.Clock.Now()
	for s, e := range l.spent {
		if now >= e {
			delete(l.spent, s)
		}
	}
	if _, gone := l.spent[state]; gone {
		return false
	}
	l.spent[state] = expires
	return true
}

// unspend frees a state that gave nothing: the provider was away, or a stranger
// to the person's browser sent a wrong code first.
func (l *Logins) unspend(state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.spent, state)
}
