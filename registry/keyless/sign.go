package keyless

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/writ-run/writ"
)

// Services are the Sigstore services that a signature is made with.
type Services struct {
	Fulcio     string            // URL of the certificate authority
	Timestamp  string            // URL, with its path, of the timestamp authority; empty: none is asked
	Log        string            // URL of the transparency log; empty: none is asked
	LogVersion uint32            // 1 or 2; 0: 2
	HTTP       http.RoundTripper // of Fulcio and the timestamp authority; nil: the default one
	Token      Token             // goes to Fulcio alone
}

// Token is an OIDC token. fmt does not print it.
type Token string

// String keeps the token out of logs.
func (Token) String() string { return "[token]" }

// GoString keeps the token out of %#v.
func (Token) GoString() string { return "[token]" }

// Signer has a certificate for a key that is never written anywhere.
type Signer struct {
	services Services
	key      *sign.EphemeralKeypair
	der      []byte
	claims   *Claims
}

// NewSigner makes a key and has Fulcio certify whom the token names. CodeInvalid
// where a service or the token is missing or unusable, CodeUnauthenticated where
// Fulcio refuses the token, CodeUnavailable where it cannot be asked.
func NewSigner(ctx context.Context, services Services) (*Signer, error) {
	const op = "keyless signature"
	if err := services.check(); err != nil {
		return nil, err
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: op, Message: "no key can be made", Err: err}
	}
	s := &Signer{services: services, key: key}
	fulcio := sign.NewFulcio(&sign.FulcioOptions{BaseURL: services.Fulcio, Transport: services.HTTP})
	s.der, err = fulcio.GetCertificate(ctx, key, &sign.CertificateProviderOptions{IDToken: string(services.Token)})
	if err != nil {
		return nil, s.failed(err, "the certificate was not issued", "check --fulcio-url, and that the token is fresh and meant for this Fulcio (audience sigstore)")
	}
	if s.claims = unverified(s.der); s.claims == nil {
		return nil, writ.Errorf(writ.CodeUnavailable, op, "Fulcio answered with a certificate that names nobody")
	}
	return s, nil
}

func (s *Services) check() error {
	const op = "keyless signature"
	if s.LogVersion == 0 {
		s.LogVersion = 2
	}
	switch {
	case !webAddress(s.Fulcio):
		return writ.Errorf(writ.CodeInvalid, op, "Fulcio's address %q is not a URL", clip(s.Fulcio)).WithFix("give --fulcio-url")
	case !confidential(s.Fulcio):
		return writ.Errorf(writ.CodeInvalid, op, "the identity token would travel in the clear").WithFix("give --fulcio-url as https://...; http is for this machine alone")
	case s.Timestamp == "" && (s.Log == "" || s.LogVersion != 1):
		return writ.Errorf(writ.CodeInvalid, op, "nothing would say when it was signed: the certificate lives for minutes, and a log of version 2 gives no time").
			WithFix("give --tsa-url")
	case s.Timestamp != "" && !webAddress(s.Timestamp), s.Log != "" && !webAddress(s.Log):
		return writ.Errorf(writ.CodeInvalid, op, "the address of the timestamp authority or of the log is not a URL").WithFix("give --tsa-url and --rekor-url as https://...")
	case s.LogVersion > 2:
		return writ.Errorf(writ.CodeInvalid, op, "version %d of a log: want 1 or 2", s.LogVersion).WithFix("leave --rekor-version out for version 2")
	}
	return checkToken(string(s.Token))
}

// confidential reports whether what is sent to an address stays between the two:
// https, or this machine.
func confidential(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.User != nil {
		return false
	}
	host, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || (err == nil && host.IsLoopback())
}

// checkToken reads as much of a token as a mistake would show: that it is one.
func checkToken(token string) error {
	bad := writ.Errorf(writ.CodeInvalid, "identity token", "not a JSON web token").
		WithFix("give a file that holds the OIDC token alone, or the name of a variable that does: --identity-token env:NAME")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return bad
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(body, &claims) != nil {
		return bad
	}
	return nil
}

// failed hides the token, should a server's answer repeat it.
func (s *Signer) failed(err error, message, fix string) *writ.Error {
	text := err.Error()
	for part := range strings.SplitSeq(string(s.services.Token), ".") {
		if part != "" {
			text = strings.ReplaceAll(text, part, "[token]")
		}
	}
	code := writ.CodeUnavailable
	if strings.Contains(text, " 400") || strings.Contains(text, " 401") || strings.Contains(text, " 403") {
		code = writ.CodeUnauthenticated
	}
	return writ.Errorf(code, "keyless signature", "%s: %s", message, clip(text)).WithFix("%s", fix)
}

// Claims are what the certificate says.
func (s *Signer) Claims() *Claims { return s.claims }

// GetCertificate implements sign.CertificateProvider: one certificate serves all
// statements of this signer.
func (s *Signer) GetCertificate(context.Context, sign.Keypair, *sign.CertificateProviderOptions) ([]byte, error) {
	return s.der, nil
}

// Sign makes a Sigstore bundle of an in-toto statement. CodeUnavailable where the
// timestamp authority or the log cannot be asked.
func (s *Signer) Sign(ctx context.Context, payloadType string, statement []byte) ([]byte, error) {
	opts := sign.BundleOptions{Context: ctx, CertificateProvider: s}
	if s.services.Timestamp != "" {
		opts.TimestampAuthorities = []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{
			URL: s.services.Timestamp, Transport: s.services.HTTP,
		})}
	}
	if s.services.Log != "" {
		opts.TransparencyLogs = []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: s.services.Log, Version: s.services.LogVersion})}
	}
	made, err := sign.Bundle(&sign.DSSEData{Data: statement, PayloadType: payloadType}, s.key, opts)
	if err != nil {
		return nil, s.failed(err, "the signature was not made", "check --tsa-url and --rekor-url")
	}
	return protojson.Marshal(made)
}
