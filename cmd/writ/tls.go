package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/identity"
)

// tlsSetting is what `tls` says of the HTTP listener.
type tlsSetting struct {
	Cert        string            `json:"cert"`
	Key         string            `json:"key"`
	ClientCA    string            `json:"clientCA"`
	TrustDomain string            `json:"trustDomain"`
	Rules       []certificateRule `json:"rules"`
}

// certificateRule is identity.CertificateRule as it is written.
type certificateRule struct {
	ID        string           `json:"id"`
	Principal writ.PrincipalID `json:"principal"`
	Tenant    writ.TenantID    `json:"tenant"`
}

const tlsForm = `tls: {cert: FILE, key: FILE, clientCA: FILE, trustDomain: prod.example.com, rules: [{id: "spiffe://prod.example.com/ci", principal: "service:ci"}]}`

func (c *config) fillTLS() error {
	if err := c.strictly("tls", tlsForm, &c.TLS); err != nil {
		return err
	}
	s := &c.TLS
	switch {
	case (s.Cert == "") != (s.Key == ""):
		return usage("tls: cert and key belong together").WithFix("write %s", tlsForm)
	case s.Cert == "" && (s.ClientCA != "" || len(s.Rules) > 0):
		return usage("tls: clientCA is of no use without cert and key").WithFix("write %s", tlsForm)
	case s.ClientCA == "" && (s.TrustDomain != "" || len(s.Rules) > 0):
		return usage("tls.clientCA: is missing").WithFix("write %s", tlsForm)
	case s.ClientCA == "":
		return nil
	}
	return c.clientCertificates().Check()
}

// clientCertificates are the rules; who uses them sets Roots.
func (c *config) clientCertificates() *identity.Certificates {
	out := &identity.Certificates{TrustDomain: c.TLS.TrustDomain}
	for _, r := range c.TLS.Rules {
		out.Rules = append(out.Rules, identity.CertificateRule(r))
	}
	return out
}

// lookEvery is how often a change of the files is noticed by connections that
// are open; new ones see it at once.
const lookEvery = time.Second

// serverTLS holds the listener's files, read again whenever one of them changes.
type serverTLS struct {
	config *config
	clock  writ.Clock
	log    hclog.Logger

	mu     sync.Mutex
	looked time.Time
	seen   [3]fileState
	now    *tls.Config
}

// fileState tells a file from what was there before.
type fileState struct {
	size int64
	mod  time.Time
	err  string
}

// newServerTLS is nil where tls is not configured. Files that cannot be read are
// an error at the start; later ones leave those before in place.
func newServerTLS(c *config, clock writ.Clock, log hclog.Logger) (*serverTLS, error) {
	if c.TLS.Cert == "" {
		return nil, nil
	}
	t := &serverTLS{config: c, clock: clock, log: log}
	t.seen = t.states()
	var err error
	t.now, err = t.load()
	return t, err
}

func (t *serverTLS) states() [3]fileState {
	var out [3]fileState
	for i, file := range []string{t.config.TLS.Cert, t.config.TLS.Key, t.config.TLS.ClientCA} {
		if file == "" {
			continue
		}
		info, err := os.Stat(t.config.homeFile(file))
		if err != nil {
			out[i].err = err.Error()
			continue
		}
		out[i].size, out[i].mod = info.Size(), info.ModTime()
	}
	return out
}

func (t *serverTLS) load() (*tls.Config, error) {
	s := &t.config.TLS
	pair, err := tls.LoadX509KeyPair(t.config.homeFile(s.Cert), t.config.homeFile(s.Key))
	if err != nil {
		return nil, usage("tls: %s and %s: %s", s.Cert, s.Key, tlsCause(err)).WithFix("name a certificate chain and its key, both PEM; relative paths are the home's")
	}
	out := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Time: t.clock,
		// A ticket would carry a verified certificate past a change of authorities.
		SessionTicketsDisabled: true,
	}
	if s.ClientCA != "" {
		if out.ClientCAs, err = t.config.authorities("tls.clientCA", s.ClientCA); err != nil {
			return nil, err
		}
		out.ClientAuth = tls.VerifyClientCertIfGiven // people come with tokens
	}
	return out, nil
}

func tlsCause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Path + ": " + path.Err.Error()
	}
	return err.Error()
}

// current looks at the files unless that was done less than lately ago.
func (t *serverTLS) current(lately time.Duration) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	if passed := now.Sub(t.looked); passed >= 0 && passed < lately {
		return t.now
	}
	t.looked = now
	states := t.states()
	if states == t.seen {
		return t.now
	}
	fresh, err := t.load()
	if err != nil {
		// Half of a rotation: the other file follows. What is there stays.
		t.log.Error("the listener's certificates could not be read again; those before stay", "error", err)
		t.seen = states
		return t.now
	}
	t.log.Info("the listener's certificates were read again")
	t.seen, t.now = states, fresh
	return t.now
}

// listener is the configuration of the listener: each handshake has what the
// files hold at that moment.
func (t *serverTLS) listener() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current(0), nil },
	}
}

// roots are the authorities whose client certificates count now: none where there
// is no listener.
func (t *serverTLS) roots() *x509.CertPool {
	if t == nil {
		return nil
	}
	return t.current(lookEvery).ClientCAs
}

// clientTLS is what --client-cert, --client-key and --ca say; nil where nothing.
func (c *config) clientTLS() (*tls.Config, error) {
	if c.ClientCert == "" && c.ClientKey == "" && c.ClientCA == "" {
		return nil, nil
	}
	if c.Server == "" {
		return nil, usage("a client certificate or --ca is for a daemon at a URL").WithFix("name it with --server https://...")
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		return nil, usage("--client-cert and --client-key belong together")
	}
	if c.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, usage("--client-cert %s: %s", c.ClientCert, tlsCause(err)).WithFix("name a certificate chain and its key, both PEM")
		}
		out.Certificates = []tls.Certificate{pair}
		// Also where the daemon names other authorities: it then says what is wrong.
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	if c.ClientCA != "" {
		pem, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return nil, usage("--ca %s: %s", c.ClientCA, plainCause(err))
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("--ca %s: holds no certificate", c.ClientCA)
		}
	}
	return out, nil
}
