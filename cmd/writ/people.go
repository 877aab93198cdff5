package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/identity/oidc"
)

// oidcSetting is what `oidc` says of the provider at which people log in.
type oidcSetting struct {
	Issuer           string      `json:"issuer"`
	ClientID         string      `json:"clientId"`
	ClientSecretFile string      `json:"clientSecretFile"`
	CA               string      `json:"ca"`
	Scopes           []string    `json:"scopes"`
	Session          string      `json:"session"`
	Rules            []loginRule `json:"rules"`
}

// loginRule is identity.LoginRule as it is written.
type loginRule struct {
	Subject      string           `json:"subject"`
	Claim        string           `json:"claim"`
	Value        string           `json:"value"`
	Principal    writ.PrincipalID `json:"principal"`
	Tenant       writ.TenantID    `json:"tenant"`
	Workspace    writ.WorkspaceID `json:"workspace"`
	Roles        []string         `json:"roles"`
	Capabilities []string         `json:"capabilities"`
}

const oidcForm = "oidc: {issuer: https://login.example.com, clientId: writ, rules: [{claim: groups, value: ops, roles: [operator]}]}"

// strictly reads a tree of settings into a struct: a member with a wrong name
// would be one that is silently without effect.
func (c *config) strictly(key, form string, into any) error {
	tree, ok := c.values.Get(key).(map[string]any)
	if !ok {
		return usage("%s: want an object; a variable cannot hold it", key).WithFix("write %s", form)
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return usage("%s: is no plain YAML", key).WithFix("write %s", form)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return usage("%s: %s", key, strings.TrimPrefix(err.Error(), "json: ")).WithFix("write %s; quote a value that looks like a number", form)
	}
	return nil
}

func (c *config) fillOIDC() error {
	if err := c.strictly("oidc", oidcForm, &c.OIDC); err != nil {
		return err
	}
	if c.OIDC.Issuer == "" && (c.OIDC.ClientID != "" || len(c.OIDC.Rules) > 0) {
		return usage("oidc.issuer: is missing").WithFix("write %s", oidcForm)
	}
	if c.OIDC.Session != "" {
		d, err := time.ParseDuration(c.OIDC.Session)
		if err != nil || d <= 0 {
			return usage("oidc.session: %q is not a duration such as 8h", c.OIDC.Session)
		}
	}
	return identity.CheckLoginRules(c.loginRules())
}

func (c *config) loginRules() []identity.LoginRule {
	rules := make([]identity.LoginRule, len(c.OIDC.Rules))
	for i, r := range c.OIDC.Rules {
		rules[i] = identity.LoginRule(r)
	}
	return rules
}

// maxClientSecret is far above what providers give out.
const maxClientSecret = 4096

// logins is nil where no provider is configured.
func (h *home) logins() (writ.Logins, error) {
	s := &h.config.OIDC
	if s.Issuer == "" {
		return nil, nil
	}
	options := oidc.Options{Issuer: s.Issuer, ClientID: s.ClientID, Scopes: s.Scopes, Clock: h.clock}
	if s.ClientSecretFile != "" {
		file := h.config.homeFile(s.ClientSecretFile)
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, usage("oidc.clientSecretFile: %s: %s", file, plainCause(err)).WithFix("put the client's secret there (mode 600), or take clientSecretFile out for a public client")
		}
		if options.ClientSecret = strings.TrimSpace(string(raw)); options.ClientSecret == "" || len(raw) > maxClientSecret {
			return nil, usage("oidc.clientSecretFile: %s holds no secret", file)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if s.CA != "" {
		roots, err := h.config.authorities("oidc.ca", s.CA)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	options.Transport = transport
	provider, err := oidc.New(options)
	if err != nil {
		return nil, err
	}
	validity, err := time.ParseDuration(s.Session)
	if err != nil {
		validity = 0 // fillOIDC let it be empty alone
	}
	return identity.NewLogins(h.identity, identity.LoginOptions{Provider: provider, Rules: h.config.loginRules(), Validity: validity})
}

// authorities reads a PEM file of certificates, for a setting.
func (c *config) authorities(setting, file string) (*x509.CertPool, error) {
	file = c.homeFile(file)
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("%s: %s: %s", setting, file, plainCause(err)).WithFix("put the certificates of its authority (PEM) there, or take %s out", setting)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usage("%s: %s holds no certificate", setting, file).WithFix("put the certificates of its authority (PEM) there")
	}
	return pool, nil
}
