package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/writ-run/writ/sdk"
)

// signatures are those that a public key verifies. What a shared secret verifies is
// left out, and so is none: a token must not choose its own kind of proof.
var signatures = []jose.SignatureAlgorithm{
	jose.EdDSA, jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
}

// maxToken bounds a token; those of real issuers have some kilobytes.
const maxToken = 64 << 10

// TokenIn is the input of jwt_decode.
type TokenIn struct {
	Token string `json:"token" doc:"A signed JSON Web Token in its compact form"`
}

// Token is what a token says.
type Token struct {
	Algorithm string         `json:"algorithm"`
	KeyID     string         `json:"keyId"`
	Claims    map[string]any `json:"claims"`
	Verified  bool           `json:"verified" doc:"Whether a key has proved that the claims are their issuer's"`
}

func parsed(token string) (*jwt.JSONWebToken, error) {
	if len(token) > maxToken {
		return nil, sdk.Fail("bad_token", fmt.Sprintf("the token has more than %d bytes", maxToken))
	}
	t, err := jwt.ParseSigned(token, signatures)
	if err != nil {
		return nil, sdk.Fail("bad_token", "not a JSON Web Token with the signature of a public key: "+err.Error())
	}
	return t, nil
}

func (t *Token) header(from *jwt.JSONWebToken) {
	if len(from.Headers) > 0 {
		t.Algorithm, t.KeyID = from.Headers[0].Algorithm, from.Headers[0].KeyID
	}
}

// jwtDecode shows what a token claims. Nothing of it is proved.
func jwtDecode(_ *sdk.Context, in TokenIn) (Token, error) {
	t, err := parsed(in.Token)
	if err != nil {
		return Token{}, err
	}
	var out Token
	out.header(t)
	if err := t.UnsafeClaimsWithoutVerification(&out.Claims); err != nil || out.Claims == nil {
		return Token{}, sdk.Fail("bad_token", "its claims are no JSON object")
	}
	return out, nil
}

// VerifyIn is the input of jwt_verify.
type VerifyIn struct {
	TokenIn
	PublicKey string         `json:"publicKey,omitempty" doc:"PEM (PKIX); this or jwks"`
	JWKS      map[string]any `json:"jwks,omitempty" doc:"A set of public keys (RFC 7517); the token names one of them by its kid"`
	Issuer    string         `json:"issuer" doc:"Who must have issued the token"`
	Audience  string         `json:"audience" doc:"For whom the token must be"`
	Leeway    int            `json:"leeway,omitempty" doc:"Seconds by which clocks may differ, at most 300; 60 if absent"`
}

// maxLeeway is more than clocks that are kept at all differ by.
const defaultLeeway, maxLeeway = 60, 300

func jwtVerify(_ *sdk.Context, in VerifyIn) (Token, error) {
	key, err := in.key()
	if err != nil {
		return Token{}, err
	}
	if in.Issuer == "" || in.Audience == "" {
		return Token{}, sdk.Fail("empty", "name issuer and audience: a token of another is no proof")
	}
	if in.Leeway < 0 || in.Leeway > maxLeeway {
		return Token{}, sdk.Fail("bad_leeway", fmt.Sprintf("leeway is %d: want 0 to %d seconds", in.Leeway, maxLeeway))
	}
	if in.Leeway == 0 {
		in.Leeway = defaultLeeway
	}
	t, err := parsed(in.Token)
	if err != nil {
		return Token{}, err
	}
	out := Token{Verified: true}
	out.header(t)
	var standard jwt.Claims
	if err := t.Claims(key, &standard, &out.Claims); err != nil || out.Claims == nil {
		return Token{}, sdk.Fail("not_verified", "no key that was given has signed the token")
	}
	if standard.Expiry == nil {
		return Token{}, sdk.Fail("not_verified", "the token never expires")
	}
	err = standard.ValidateWithLeeway(jwt.Expected{
		Issuer: in.Issuer, AnyAudience: jwt.Audience{in.Audience}, Time: time.Now(),
	}, time.Duration(in.Leeway)*time.Second)
	if err != nil {
		return Token{}, sdk.Fail("not_verified", err.Error())
	}
	return out, nil
}

// key reads the one key or the set of them. Private and symmetric keys are refused:
// an input is no place for them.
func (in *VerifyIn) key() (any, error) {
	if (in.PublicKey == "") == (in.JWKS == nil) {
		return nil, sdk.Fail("bad_key", "give either publicKey or jwks")
	}
	if in.PublicKey != "" {
		block, _ := pem.Decode([]byte(in.PublicKey))
		if block == nil || block.Type != "PUBLIC KEY" {
			return nil, sdk.Fail("bad_key", "publicKey is no PEM block of a PUBLIC KEY")
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, sdk.Fail("bad_key", "publicKey cannot be read")
		}
		return key, nil
	}
	raw, err := json.Marshal(in.JWKS)
	if err != nil {
		return nil, err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, sdk.Fail("bad_key", "jwks is no set of keys")
	}
	if err := public(&set); err != nil {
		return nil, sdk.Fail("bad_key", err.Error())
	}
	return &set, nil
}

func public(set *jose.JSONWebKeySet) error {
	if len(set.Keys) == 0 {
		return errors.New("jwks has no key")
	}
	for i := range set.Keys {
		if !set.Keys[i].IsPublic() {
			return errors.New("jwks holds a key that is not public: whoever reads the journal has it now, so replace it")
		}
	}
	return nil
}
