package keyless

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry/keyless/keylesstest"
)

func TestSignWithACertificate(t *testing.T) {
	s := keylesstest.New(t, moment)
	server := s.Serve()
	defer server.Close()
	signer, err := NewSigner(context.Background(), Services{
		Fulcio: server.URL, Timestamp: server.URL + keylesstest.TimestampPath, Token: Token(keylesstest.Token(release())),
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := signer.Claims(); c.SAN != workflow || c.SourceRef != "refs/tags/v1.0.0" || c.SignedAt != 0 {
		t.Errorf("%+v", c)
	}
	raw, err := signer.Sign(context.Background(), "application/vnd.in-toto+json", about)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := verifyJSON(t, raw, parse(t, s.Root(keylesstest.Trusted{})))
	if err != nil || claims.Signer() != workflow+" ("+issuer+")" {
		t.Errorf("%v %+v", err, claims)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil || Unverified(&b).Signer() != claims.Signer() {
		t.Error(err)
	}
}

func TestSigningThatIsRefused(t *testing.T) {
	server := keylesstest.New(t, moment).Serve()
	defer server.Close()
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	good := Services{Fulcio: server.URL, Timestamp: server.URL + keylesstest.TimestampPath, Token: Token(keylesstest.Token(release()))}
	for name, c := range map[string]struct {
		edit func(*Services)
		code writ.Code
	}{
		"no Fulcio":             {func(s *Services) { s.Fulcio = "" }, writ.CodeInvalid},
		"a token in the clear":  {func(s *Services) { s.Fulcio = "http://fulcio.example.com" }, writ.CodeInvalid},
		"a password in the URL": {func(s *Services) { s.Fulcio = "https://a:b@fulcio.example.com" }, writ.CodeInvalid},
		"no time":               {func(s *Services) { s.Timestamp = "" }, writ.CodeInvalid},
		"a log without time":    {func(s *Services) { s.Timestamp, s.Log = "", "https://log.example.com" }, writ.CodeInvalid},
		"no version of a log":   {func(s *Services) { s.LogVersion = 3 }, writ.CodeInvalid},
		"a stamper of no URL":   {func(s *Services) { s.Timestamp = "tsa" }, writ.CodeInvalid},
		"no token":              {func(s *Services) { s.Token = "" }, writ.CodeInvalid},
		"a password as token":   {func(s *Services) { s.Token = "hunter2" }, writ.CodeInvalid},
		"a token of nobody":     {func(s *Services) { s.Token = Token(keylesstest.Token(keylesstest.Subject{Issuer: issuer})) }, writ.CodeUnavailable},
		"Fulcio is down":        {func(s *Services) { s.Fulcio = down.URL }, writ.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			services := good
			c.edit(&services)
			_, err := NewSigner(context.Background(), services)
			var e *writ.Error
			if !errors.As(err, &e) || e.Code != c.code || e.Fix == "" {
				t.Fatalf("%v", err)
			}
			if services.Token != "" && strings.Contains(err.Error(), string(services.Token)) {
				t.Errorf("the token stands in the error: %v", err)
			}
		})
	}
	// A Fulcio that refuses and repeats the token does not get it into an error.
	loud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no: "+r.Header.Get("Authorization"), http.StatusForbidden)
	}))
	defer loud.Close()
	services := good
	services.Fulcio = loud.URL
	_, err := NewSigner(context.Background(), services)
	if !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Errorf("%v", err)
	}
	for part := range strings.SplitSeq(string(services.Token), ".") {
		if strings.Contains(err.Error(), part) {
			t.Errorf("a part of the token stands in the error: %v", err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, services); strings.Contains(text, string(services.Token)) {
			t.Errorf("%s prints the token: %s", verb, text)
		}
	}
	services.Fulcio, services.Timestamp = server.URL, down.URL
	signer, err := NewSigner(context.Background(), services)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(context.Background(), "application/vnd.in-toto+json", about); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Errorf("%v", err)
	}
}
