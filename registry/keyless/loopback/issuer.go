//go:build linux

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is an OIDC issuer on loopback that gives anybody any claims. RS256, since
// cosign takes a token of another algorithm for the name of a file.
type issuer struct {
	url    string
	key    *rsa.PrivateKey
	server *http.Server
}

const keyName = "1"

func newIssuer() (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &issuer{url: "http://" + listener.Addr().String(), key: key}
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v) // a client that is gone misses nothing
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: keyName, Algorithm: "RS256", Use: "sig"}}}))
	for _, kind := range []string{"/people", "/ci"} {
		mux.HandleFunc(kind+"/.well-known/openid-configuration", answer(map[string]any{
			"issuer": i.url + kind, "jwks_uri": i.url + "/keys", "authorization_endpoint": i.url + "/none", "token_endpoint": i.url + "/none",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		}))
	}
	i.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = i.server.Serve(listener) }() // ends with Close
	return i, nil
}

// token signs claims for Fulcio, good for ten minutes.
func (i *issuer) token(kind string, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: keyName}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(claims).Claims(jwt.Claims{
		Issuer: i.url + kind, Audience: jwt.Audience{"sigstore"}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute)),
	}).Serialize()
}

// person is a token of somebody with an e-mail address.
func (i *issuer) person(mail string) (string, error) {
	return i.token("/people", map[string]any{"sub": mail, "email": mail, "email_verified": true})
}

// workflow is a token of a CI's workflow.
func (i *issuer) workflow(repository, name, ref, commit string) (string, error) {
	return i.token("/ci", map[string]any{
		"sub": "repo:" + repository + ":ref:" + ref, "repository": repository, "ref": ref, "sha": commit,
		"job_workflow_ref": repository + "/.github/workflows/" + name + "@" + ref, "runner_environment": "github-hosted",
	})
}
