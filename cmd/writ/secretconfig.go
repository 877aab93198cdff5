package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host/secret"
)

// secretSettings are what `secrets` says.
type secretSettings struct {
	keepOld   time.Duration
	providers map[string]providerSetting
	names     map[string]nameSetting
}

// providerSetting is one of secrets.providers; which members count, its kind decides.
type providerSetting struct {
	kind, directory                            string
	url, mount, namespace, ca                  string
	tokenFile, roleID, roleMount, secretIDFile string
	cacheFor, timeout                          time.Duration
}

// nameSetting is one of secrets.names.
type nameSetting struct{ provider, path, field, tenant string }

const (
	providersForm = "secrets: {providers: {NAME: {kind: files, directory: /run/secrets}}}; kinds: env, files, systemd, vault"
	namesForm     = "secrets: {names: {github-token: {provider: NAME, path: apps/github, field: token}}}"
)

// kinds of providers and the members that each takes.
var providerMembers = map[string][]string{
	"env": {"kind"}, "systemd": {"kind"}, "files": {"kind", "directory"},
	"vault": {"kind", "url", "mount", "namespace", "ca", "tokenFile", "roleId", "roleMount", "secretIdFile", "cacheFor", "timeout"},
}

// fillSecrets reads `secrets` strictly: a member with a wrong name would be one that is
// silently without effect.
func (c *config) fillSecrets() error {
	s := secretSettings{providers: map[string]providerSetting{}, names: map[string]nameSetting{}}
	var err error
	if s.keepOld, err = time.ParseDuration(c.values.String("secrets/keepOld")); err != nil || s.keepOld <= 0 || s.keepOld > secret.MaxKeepOld {
		return usage("secrets.keepOld: %q is not a duration between 0 and %s", c.values.String("secrets/keepOld"), secret.MaxKeepOld)
	}
	err = c.objects("secrets.providers", providersForm, func(name string, m *members) {
		kind := m.text("kind")
		allowed, ok := providerMembers[kind]
		if !ok {
			m.fail("kind", "want env, files, systemd or vault")
		}
		m.only(allowed)
		s.providers[name] = providerSetting{
			kind: kind, directory: m.text("directory"), url: m.text("url"), mount: m.text("mount"), namespace: m.text("namespace"), ca: m.text("ca"),
			tokenFile: m.text("tokenFile"), roleID: m.text("roleId"), roleMount: m.text("roleMount"), secretIDFile: m.text("secretIdFile"),
			cacheFor: m.duration("cacheFor"), timeout: m.duration("timeout"),
		}
		if kind == "files" && s.providers[name].directory == "" {
			m.fail("directory", "want a path")
		}
		if name == secret.Home {
			m.fail("", "%s is the encrypted file's name", name)
		}
	})
	if err != nil {
		return err
	}
	err = c.objects("secrets.names", namesForm, func(name string, m *members) {
		m.only([]string{"provider", "path", "field", "tenant"})
		n := nameSetting{provider: m.text("provider"), path: m.text("path"), field: m.text("field"), tenant: m.text("tenant")}
		p, ok := s.providers[n.provider]
		if !ok {
			m.fail("provider", "there is no provider %q", n.provider)
		}
		if n.field != "" && p.kind != "vault" {
			m.fail("field", "a provider of kind %s has none", p.kind)
		}
		s.names[name] = n
	})
	c.Secrets = s
	return err
}

// members are those of one object of the configuration. The first fault counts.
type members struct {
	place string
	form  string
	have  map[string]any
	err   error
}

// objects reads a map of objects in the order of their names.
func (c *config) objects(key, form string, each func(string, *members)) error {
	all, ok := c.values.Get(strings.ReplaceAll(key, ".", keyDelimiter)).(map[string]any)
	if !ok {
		return usage("%s: want an object; a variable cannot hold it", key).WithFix("write %s", form)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := &members{place: key + "." + name, form: form}
		if m.have, ok = all[name].(map[string]any); !ok {
			m.fail("", "want an object")
		}
		each(name, m)
		if m.err != nil {
			return m.err
		}
	}
	return nil
}

func (m *members) fail(name, format string, args ...any) {
	if m.err != nil {
		return
	}
	place := m.place
	if name != "" {
		place += "." + name
	}
	m.err = usage("%s: %s", place, fmt.Sprintf(format, args...)).WithFix("write %s", m.form)
}

func (m *members) only(names []string) {
	for _, name := range slices.Sorted(maps.Keys(m.have)) {
		if !slices.Contains(names, name) {
			m.fail(name, "there is no such member here")
		}
	}
}

func (m *members) text(name string) string {
	value, ok := m.have[name]
	if !ok {
		return ""
	}
	text, ok := value.(string)
	if !ok || text == "" {
		m.fail(name, "want a text")
	}
	return text
}

func (m *members) duration(name string) time.Duration {
	text := m.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		m.fail(name, "%q is not a duration such as 1m", text)
	}
	return d
}

// secretReferences makes the providers, and says which secret is whose. Here alone the
// environment is read for them.
func (c *config) secretReferences(clock writ.Clock) ([]secret.Reference, error) {
	readers := map[string]secret.Provider{}
	for name, p := range c.Secrets.providers {
		reader, err := c.secretProvider(&p, clock)
		if err != nil {
			return nil, usage("secrets.providers.%s: %s", name, err).WithFix("write %s", providersForm)
		}
		readers[name] = reader
	}
	var out []secret.Reference
	for _, name := range slices.Sorted(maps.Keys(c.Secrets.names)) {
		n := c.Secrets.names[name]
		kind := c.Secrets.providers[n.provider].kind
		out = append(out, secret.Reference{
			Tenant: writ.TenantID(cmp.Or(n.tenant, string(writ.DefaultTenant))), Name: name, Provider: n.provider,
			Reader: readers[n.provider], Path: cmp.Or(n.path, defaultPath(kind, name)), Field: cmp.Or(n.field, "value"),
		})
	}
	return out, nil
}

var notInVariables = regexp.MustCompile(`[^A-Z0-9_]`)

// defaultPath is where a provider is asked for a name: by itself, or in the environment
// as WRIT_SECRET_NAME.
func defaultPath(kind, name string) string {
	if kind == "env" {
		return "WRIT_SECRET_" + notInVariables.ReplaceAllString(strings.ToUpper(name), "_")
	}
	return name
}

func (c *config) secretProvider(p *providerSetting, clock writ.Clock) (secret.Provider, error) {
	switch p.kind {
	case "env":
		return secret.NewVariables(os.LookupEnv), nil
	case "files":
		return secret.NewFiles(c.homeFile(p.directory)), nil
	case "systemd":
		return secret.NewCredentials(os.Getenv("CREDENTIALS_DIRECTORY")), nil
	}
	opts := secret.VaultOptions{
		URL: p.url, Mount: p.mount, Namespace: p.namespace, CacheFor: p.cacheFor, Timeout: p.timeout, Clock: clock,
	}
	if p.tokenFile != "" {
		opts.TokenFile = c.homeFile(p.tokenFile)
	}
	if p.roleID != "" || p.secretIDFile != "" || p.roleMount != "" {
		opts.AppRole = &secret.AppRole{Mount: p.roleMount, RoleID: p.roleID}
		if p.secretIDFile != "" {
			opts.AppRole.SecretIDFile = c.homeFile(p.secretIDFile)
		}
	}
	if p.ca != "" {
		pem, err := os.ReadFile(filepath.Clean(c.homeFile(p.ca)))
		if err != nil {
			return nil, usage("ca: %s: %s", c.homeFile(p.ca), plainCause(err))
		}
		opts.CA = pem
	}
	return secret.NewVault(opts)
}
