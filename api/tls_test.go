package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/contract"
)

// certificate signed by itself: what counts is identity's matter.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// A certificate is one credential and a token is another: with both, none counts,
// however good each is, also where either alone would be let in.
func TestACertificateBesideAToken(t *testing.T) {
	server := certificate(t, "server")
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := contract.NewDispatcher(contract.DispatcherOptions{})
	asked := 0
	contract.Bind(d, contract.ExecutionList, func(ctx context.Context, _ *contract.ExecutionListInput) (*contract.ExecutionListOutput, error) {
		asked++
		p, err := writ.PrincipalFrom(ctx)
		if err != nil {
			return nil, err
		}
		return &contract.ExecutionListOutput{NextCursor: string(p.ID)}, nil
	})
	auth := &callers{tokens: map[string]*writ.Principal{"good": {ID: "ada", Kind: writ.Human, Tenant: "default", Capabilities: everything(), Strength: writ.StrengthToken}}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	listener := tls.NewListener(tcp, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}})
	go func() { ended <- api.NewServer(api.Options{Caller: d, Auth: auth}).Serve(ctx, listener) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for name, tc := range map[string]struct {
		certificate string
		headers     []string
		status      int
		caller      string
	}{
		"a certificate":            {"ci", nil, 200, "service:ci"},
		"a token":                  {"", []string{"Bearer good"}, 200, "ada"},
		"both":                     {"ci", []string{"Bearer good"}, 401, ""},
		"a bad token":              {"ci", []string{"Bearer bad"}, 401, ""},
		"an empty header":          {"ci", []string{""}, 401, ""},
		"a good token, bad cert":   {"eve", []string{"Bearer good"}, 401, ""},
		"a bad certificate":        {"eve", nil, 401, ""},
		"neither":                  {"", nil, 401, ""},
		"two tokens and the cert":  {"ci", []string{"Bearer good", "Bearer good"}, 401, ""},
		"the name as basic's user": {"", []string{"Basic Y2k6"}, 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked = 0
			roots := x509.NewCertPool()
			leaf, err := x509.ParseCertificate(server.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			roots.AddCert(leaf)
			config := &tls.Config{RootCAs: roots}
			if tc.certificate != "" {
				config.Certificates = []tls.Certificate{certificate(t, tc.certificate)}
			}
			transport := &http.Transport{TLSClientConfig: config}
			defer transport.CloseIdleConnections()
			req, err := http.NewRequest("POST", "https://"+tcp.Addr().String()+"/v1/"+contract.ExecutionList.Key, strings.NewReader(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for _, h := range tc.headers {
				req.Header.Add("Authorization", h)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if err != nil || resp.StatusCode != tc.status || (tc.caller != "" && !strings.Contains(string(body), `"`+tc.caller+`"`)) || (asked > 0) != (tc.status == 200) {
				t.Errorf("got %d %s, %v", resp.StatusCode, body, err)
			}
		})
	}
}

func TestClientsThatWouldSendTwoCredentials(t *testing.T) {
	pair := &tls.Config{Certificates: []tls.Certificate{certificate(t, "ci")}}
	for _, o := range []api.ClientOptions{
		{URL: "https://127.0.0.1:1", Token: "t", TLS: pair}, {URL: "http://127.0.0.1:1", TLS: pair}, {URL: "http://127.0.0.1:1", TLS: &tls.Config{}},
	} {
		if _, err := api.NewClient(o); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
