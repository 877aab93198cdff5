package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/sdktest"
)

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }

type issuer struct {
	key *ecdsa.PrivateKey
	pem string
	set map[string]any // of the public key
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{
		key: key, pem: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		set: keySet(t, &key.PublicKey),
	}
}

func keySet(t *testing.T, key any) (set map[string]any) {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "k1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func (i *issuer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func claims(change map[string]any) map[string]any {
	now := time.Now().Unix()
	out := map[string]any{"iss": "https://id.test", "aud": "writ", "sub": "ada", "exp": now + 600, "iat": now}
	for name, value := range change {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

func TestVerify(t *testing.T) {
	ours, other := newIssuer(t), newIssuer(t)
	now := time.Now().Unix()
	good := ours.sign(t, claims(nil))
	verify := func(token string, edit func(*VerifyIn)) string {
		in := VerifyIn{TokenIn: TokenIn{token}, JWKS: ours.set, Issuer: "https://id.test", Audience: "writ"}
		if edit != nil {
			edit(&in)
		}
		out, err := sdktest.Run[Token](sdktest.New(t), "jwt_verify", in)
		var f *sdk.Failure
		switch {
		case errors.As(err, &f):
			return f.Code
		case !out.Verified || out.Claims["sub"] != "ada" || out.Algorithm != "ES256" || out.KeyID != "k1":
			t.Errorf("verified as %+v", out)
		}
		return "verified"
	}
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		token string
		edit  func(*VerifyIn)
		want  string
	}{
		"good":              {good, nil, "verified"},
		"by PEM":            {good, func(in *VerifyIn) { in.JWKS, in.PublicKey = nil, ours.pem }, "verified"},
		"another's":         {other.sign(t, claims(nil)), nil, "not_verified"},
		"another's PEM":     {good, func(in *VerifyIn) { in.JWKS, in.PublicKey = nil, other.pem }, "not_verified"},
		"another claim":     {parts[0] + "." + parts[1][:len(parts[1])-2] + "." + parts[2], nil, "not_verified"},
		"expired":           {ours.sign(t, claims(map[string]any{"exp": now - 61})), nil, "not_verified"},
		"just expired":      {ours.sign(t, claims(map[string]any{"exp": now - 30})), nil, "verified"},
		"no leeway left":    {ours.sign(t, claims(map[string]any{"exp": now - 30})), func(in *VerifyIn) { in.Leeway = 1 }, "not_verified"},
		"too much leeway":   {good, func(in *VerifyIn) { in.Leeway = maxLeeway + 1 }, "bad_leeway"},
		"most leeway":       {good, func(in *VerifyIn) { in.Leeway = maxLeeway }, "verified"},
		"not yet":           {ours.sign(t, claims(map[string]any{"nbf": now + 120})), nil, "not_verified"},
		"for ever":          {ours.sign(t, claims(map[string]any{"exp": nil})), nil, "not_verified"},
		"another issuer":    {good, func(in *VerifyIn) { in.Issuer = "https://evil.test" }, "not_verified"},
		"another audience":  {good, func(in *VerifyIn) { in.Audience = "other" }, "not_verified"},
		"no audience":       {good, func(in *VerifyIn) { in.Audience = "" }, "empty"},
		"no key":            {good, func(in *VerifyIn) { in.JWKS = nil }, "bad_key"},
		"two keys":          {good, func(in *VerifyIn) { in.PublicKey = ours.pem }, "bad_key"},
		"no PEM":            {good, func(in *VerifyIn) { in.JWKS, in.PublicKey = nil, "key" }, "bad_key"},
		"an empty set":      {good, func(in *VerifyIn) { in.JWKS = map[string]any{"keys": []any{}} }, "bad_key"},
		"a private key":     {good, func(in *VerifyIn) { in.JWKS = keySet(t, ours.key) }, "bad_key"},
		"a shared key":      {good, func(in *VerifyIn) { in.JWKS = keySet(t, []byte("secret")) }, "bad_key"},
		"too long a token":  {strings.Repeat("a", maxToken+1), nil, "bad_token"},
		"not a token":       {"a.b.c", nil, "bad_token"},
		"an unsigned token": {parts[0] + "." + parts[1] + ".", nil, "not_verified"},
	} {
		if got := verify(c.token, c.edit); got != c.want {
			t.Errorf("%s is %s, want %s", name, got, c.want)
		}
	}
	out, err := jwtDecode(nil, TokenIn{other.sign(t, claims(nil))})
	if err != nil || out.Verified || out.Claims["sub"] != "ada" {
		t.Errorf("decoded as %+v, %v", out, err)
	}
}
