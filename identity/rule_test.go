package identity

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
)

func TestLoginRulesThatAreRefused(t *testing.T) {
	for name, r := range map[string]LoginRule{
		"the zero rule":              {},
		"two matchers":               {Subject: "1", Claim: "groups", Value: "ops"},
		"a claim without value":      {Claim: "groups"},
		"a value without claim":      {Subject: "1", Value: "ops"},
		"email":                      {Claim: "email", Value: "ada@example.com"},
		"a name that one chooses":    {Claim: "preferred_username", Value: "ada"},
		"upn":                        {Claim: "upn", Value: "ada@example.com"},
		"the token's own claim":      {Claim: "iss", Value: "https://login.example.com"},
		"sub by the back door":       {Claim: "sub", Value: "1"},
		"many as one principal":      {Claim: "groups", Value: "ops", Principal: "human:ada"},
		"a service":                  {Subject: "1", Principal: "service:ci"},
		"an agent":                   {Subject: "1", Principal: "agent:bot"},
		"no id":                      {Subject: "1", Principal: "ada"},
		"a principal with roles":     {Subject: "1", Principal: "human:ada", Roles: []string{"admin"}},
		"a principal with more":      {Subject: "1", Principal: "human:ada", Capabilities: []string{capabilityCore}},
		"a principal's workspace":    {Subject: "1", Principal: "human:ada", Workspace: "x"},
		"the host's own role":        {Claim: "groups", Value: "ops", Roles: []string{"system"}},
		"no role":                    {Claim: "groups", Value: "ops", Roles: []string{""}},
		"no capability":              {Claim: "groups", Value: "ops", Capabilities: []string{"control-plane.everything"}},
		"nobody could log out again": {Claim: "groups", Value: "ops", Capabilities: []string{capabilityAudit}},
		"a tenant that is no name":   {Claim: "groups", Value: "ops", Tenant: "a_b"},
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, CheckLoginRules([]LoginRule{{Subject: "1"}, r}), writ.CodeInvalid)
		})
	}
	wantCode(t, CheckLoginRules(slices.Repeat([]LoginRule{{Subject: "1"}}, maxRules+1)), writ.CodeInvalid)
	if err := CheckLoginRules(slices.Repeat([]LoginRule{{Subject: "1"}}, maxRules)); err != nil {
		t.Error(err)
	}
}

func TestAdmit(t *testing.T) {
	bound := LoginRule{Subject: "1", Principal: "human:ada", Tenant: "acme"}
	ops := LoginRule{Claim: "groups", Value: "ops", Roles: []string{"operator"}}
	deciders := LoginRule{Claim: "groups", Value: "deciders", Roles: []string{"approver", "operator"}, Capabilities: []string{capabilityCore, capabilityApproval}}
	elsewhere := LoginRule{Claim: "groups", Value: "ops", Tenant: "acme", Workspace: "w"}
	claims := func(sub string, groups any) *Claims {
		return &Claims{Issuer: "https://login.example.com", Subject: sub, Name: "Ada\x1b[2J", Values: map[string]any{"groups": groups}}
	}
	both := []any{"deciders", "ops"}
	for name, tc := range map[string]struct {
		rules  []LoginRule
		claims *Claims
		id     writ.PrincipalID // empty: nobody; *: of its own
		tenant writ.TenantID
		roles  []string
	}{
		"no rule":               {nil, claims("1", both), "", "", nil},
		"no claim":              {[]LoginRule{ops}, claims("1", nil), "", "", nil},
		"another group":         {[]LoginRule{ops}, claims("1", []any{"opsx", "op", "OPS", 1, nil}), "", "", nil},
		"a list as one text":    {[]LoginRule{ops}, claims("1", "deciders,ops"), "", "", nil},
		"an object":             {[]LoginRule{ops}, claims("1", map[string]any{"ops": true}), "", "", nil},
		"the zero rule":         {[]LoginRule{{}}, claims("", nil), "", "", nil},
		"one group":             {[]LoginRule{ops, deciders}, claims("1", []any{"ops"}), "*", "default", []string{"operator"}},
		"a claim with one text": {[]LoginRule{ops}, claims("1", "ops"), "*", "default", []string{"operator"}},
		"two groups":            {[]LoginRule{ops, deciders}, claims("1", both), "*", "default", []string{"operator", "approver"}},
		"bound, and a group":    {[]LoginRule{ops, bound}, claims("1", both), "human:ada", "acme", nil},
		"another's subject":     {[]LoginRule{bound}, claims("10", both), "", "", nil},
		"two tenants":           {[]LoginRule{ops, elsewhere}, claims("1", both), "", "", nil},
		"a tenant":              {[]LoginRule{elsewhere}, claims("1", both), "*", "acme", nil},
	} {
		t.Run(name, func(t *testing.T) {
			who, err := admit(tc.rules, tc.claims)
			if tc.id == "" {
				wantCode(t, err, writ.CodeForbidden)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := who.principal
			if (tc.id != "*" && p.ID != tc.id) || who.bound != (tc.id != "*") || p.Kind != writ.Human || p.Tenant != tc.tenant || !slices.Equal(p.Roles, tc.roles) {
				t.Errorf("got %+v", who)
			}
			if !principalForm.MatchString(string(p.ID)) || strings.Contains(p.Name, "\x1b") {
				t.Errorf("got %q, %q", p.ID, p.Name)
			}
		})
	}
}

// No two people of any providers are one principal, however issuer and subject
// are cut.
func TestPeopleDoNotMix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab/:\x00]{0,4}`)
		a := &Claims{Issuer: text.Draw(t, "issuer"), Subject: text.Draw(t, "subject")}
		b := &Claims{Issuer: text.Draw(t, "other issuer"), Subject: text.Draw(t, "other subject")}
		if same := a.Issuer == b.Issuer && a.Subject == b.Subject; same != (personOf(a) == personOf(b)) {
			t.Fatalf("%q and %q: %s, %s", a, b, personOf(a), personOf(b))
		}
	})
}

func TestRedirects(t *testing.T) {
	for text, want := range map[string]bool{
		"http://127.0.0.1:7000/callback": true, "http://[::1]:7000/": true, "http://127.3.2.1:1": true,
		"": false, "https://127.0.0.1:7000/": false, "http://127.0.0.1/": false, "http://127.0.0.1:0/": false, "http://localhost:7000/": false,
		"http://10.0.0.1:7000/": false, "http://evil.example.com:80/": false, "http://127.0.0.1.evil.example.com:80/": false,
		"http://127.0.0.1:7000/?x=1": false, "http://127.0.0.1:7000/?": false, "http://127.0.0.1:7000/#": false, "http://a@127.0.0.1:7000/": false,
		"http://127.0.0.1:7000@evil.example.com/": false, "javascript:alert(1)": false, "//127.0.0.1:7000/": false, "http://0.0.0.0:7000/": false,
		"http://[fe80::1%25lo]:7000/": false, "http://127.0.0.1:70000/": false, "http://127.0.0.1:7000/" + strings.Repeat("a", 200): false,
	} {
		if got := isLoopbackRedirect(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// silent is a provider that is never asked.
type silent struct{ t testing.TB }

func (s silent) AuthorizeURL(context.Context, *Authorization) (string, error) {
	return "https://login.example.com", nil
}

func (s silent) Exchange(context.Context, *Exchange) (*Claims, error) {
	s.t.Error("a code was spent")
	return nil, unauthenticated()
}

func TestLoginOptions(t *testing.T) {
	r := newRig(t)
	for _, o := range []LoginOptions{
		{}, {Provider: silent{t}, Validity: maxSession + 1}, {Provider: silent{t}, Validity: -1}, {Provider: silent{t}, Rules: []LoginRule{{}}},
	} {
		_, err := NewLogins(r.Service, o)
		wantCode(t, err, writ.CodeInvalid)
	}
}

// A state that this process did not make is of no login.
func FuzzState(f *testing.F) {
	r := newRig(f)
	l, err := NewLogins(r.Service, LoginOptions{Provider: silent{f}})
	if err != nil {
		f.Fatal(err)
	}
	good, err := l.seal(&begun{Nonce: "n", Challenge: "c", Redirect: "r", Expires: 1})
	if err != nil {
		f.Fatal(err)
	}
	other, err := NewLogins(r.Service, LoginOptions{Provider: silent{f}})
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := other.seal(&begun{Expires: 1 << 60})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good + "A")
	f.Add(foreign)
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", 32) + `{"e":1}`)))
	f.Fuzz(func(t *testing.T, state string) {
		if _, ok := l.open(state); ok && state != good {
			t.Errorf("%q opens", state)
		}
	})
}

// Of many that finish one login at once, one does.
func TestSpendHammer(t *testing.T) {
	r := newRig(t)
	l, err := NewLogins(r.Service, LoginOptions{Provider: silent{t}})
	if err != nil {
		t.Fatal(err)
	}
	var spent atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if l.spend("state", r.opts.Clock.Now().Add(loginTime)) {
				spent.Add(1)
			}
			l.spend(fmt.Sprint("other", i), r.opts.Clock.Now()) // forgotten by the next
		})
	}
	all.Wait()
	if spent.Load() != 1 || len(l.spent) > 2 {
		t.Errorf("%d finished, %d are remembered", spent.Load(), len(l.spent))
	}
}
