package keylesstest

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// TimestampPath is where a deployment's server stamps.
const TimestampPath = "/api/v1/timestamp"

// Serve answers as a Fulcio and, under TimestampPath, as a timestamp authority,
// both at the deployment's moment, until the server is closed. It certifies
// whatever a token of Token says.
func (s *Sigstore) Serve() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", s.certificate)
	mux.HandleFunc("POST "+TimestampPath, func(w http.ResponseWriter, r *http.Request) {
		request, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(s.answer(request, s.now)) // a client that is gone misses nothing
	})
	return httptest.NewServer(mux)
}

// Token is one that Serve takes. Nobody has signed it.
func Token(who Subject) string {
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err) // strings alone always encode
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return part(map[string]string{"alg": "none"}) + "." + part(map[string]any{"iss": who.Issuer, "sub": who.SAN, "subject": who}) + ".c2lnbmF0dXJl"
}

func (s *Sigstore) certificate(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var asked struct {
		PublicKeyRequest struct {
			PublicKey struct {
				Content string `json:"content"`
			} `json:"publicKey"`
		} `json:"publicKeyRequest"`
	}
	var claims struct {
		Subject Subject `json:"subject"`
	}
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
	if err != nil || json.Unmarshal(raw, &claims) != nil || claims.Subject.SAN == "" || json.NewDecoder(r.Body).Decode(&asked) != nil {
		http.Error(w, "the token "+token+" names nobody", http.StatusBadRequest) // a server that repeats secrets
		return
	}
	block, _ := pem.Decode([]byte(asked.PublicKeyRequest.PublicKey.Content))
	if block == nil {
		http.Error(w, "no key", http.StatusBadRequest)
		return
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	leaf := s.certifyKey(s.template(claims.Subject, s.now), key, s.issuer)
	_ = json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{ // as above
		"certificates": []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))},
	}}})
}
