package main

import (
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
)

// config is the layered configuration: defaults < /etc/writ/config.yaml <
// $WRIT_HOME/config.yaml < WRIT_* < flags.
type config struct {
	Home       string
	Server     string
	Token      string
	Passphrase string
	Listen     string
	PublicURL  string   // under which providers of channels reach the listener
	Hosts      []string // names under which the TCP listener may be called
	LogLevel   string
	LogFormat  string
	Sandbox    string
	FileRoot   string
	Upstreams  map[string]string
	Private    []string
	Payloads   time.Duration
	Entries    time.Duration
	Labels     map[string]string
	PolicyKeys map[string]string // name -> PEM file
	FeedEvery  time.Duration
	StaleFeeds string // staleReport or staleRefuse
	// CompilerWrapper starts the process that compiles modules.
	CompilerWrapper []string
	Registries      map[string]registrySetting // by HOST[:PORT]
	DockerConfig    string                     // Docker's config.json, for its credentials
	UserCache       string                     // for what is fetched without a home
	Secrets         secretSettings
	PolicyPin       writ.Digest // of the bundle that is to decide; "": whichever is active
	OIDC            oidcSetting // where people log in
	TLS             tlsSetting  // of the HTTP listener
	Hooks           []hookSetting
	// Files with which commands reach a daemon at a URL.
	ClientCert, ClientKey, ClientCA string

	values  *koanf.Koanf
	origins map[string]string // key -> the layer that decided
}

// setting is one key of the configuration with its default.
type setting struct {
	key     string
	value   any
	meaning string
	secret  bool
	names   bool // its names alone are shown: the URL of a hook may be a credential
}

var settings = []setting{
	{key: "listen", value: "", meaning: "address of the HTTP listener, such as 127.0.0.1:7823; empty: the Unix socket alone"},
	{key: "hosts", value: []string{}, meaning: "host names under which the listener may be called, besides loopback"},
	{key: "publicUrl", value: "", meaning: "URL under which providers of channels reach the listener, such as https://writ.example.com; some sign it"},
	{key: "log.level", value: "info", meaning: "trace, debug, info, warn or error"},
	{key: "log.format", value: "text", meaning: "text or json"},
	{key: "sandbox", value: "writ", meaning: "writ, or extism for the fallback lane"},
	{key: "compiler.wrapper", value: []string{}, meaning: "command, by its absolute path, under which the process that compiles modules starts; none: by itself"},
	{key: "files.root", value: "", meaning: "directory that file.* tools see; empty: none"},
	{key: "http.upstreams", value: map[string]string{}, meaning: "host: base URL; sends what is for the host to another base"},
	{key: "http.allowPrivate", value: []string{}, meaning: "CIDRs of private addresses that http.request and channels may reach"},
	{key: "retention.payloads", value: "2160h", meaning: "how long payloads are kept"},
	{key: "retention.entries", value: "9600h", meaning: "how long entries are kept"},
	{key: "host.labels", value: map[string]string{}, meaning: "labels of this host, for policy"},
	{key: "policy.keys", value: map[string]string{}, meaning: "name: PEM file of a public key that may sign policies; none: no policy from outside is activated"},
	{key: "policy.pin", value: "", meaning: "sha256:... of the bundle that is to decide; another one is drift; empty: whichever is active"},
	{key: "trust.feedEvery", value: "1h", meaning: "how often the daemon reads the feeds of revocations; at least 1m"},
	{key: "trust.staleFeeds", value: staleReport, meaning: "report, or refuse to install while a feed is past its signed time"},
	{key: "registries", value: map[string]any{}, meaning: "host: {mirrors, ca, plainHttp} of a registry of skills; who is named here may be at a private address"},
	{key: "secrets.keepOld", value: "24h", meaning: "how long a replaced secret is still looked for in what comes in and goes out, 720h at most"},
	{key: "secrets.providers", value: map[string]any{}, meaning: "name: {kind: env, files, systemd or vault, ...} of who else keeps secrets"},
	{key: "secrets.names", value: map[string]any{}, meaning: "secret: {provider, path, field} of a secret that a provider keeps"},
	{key: "oidc", value: map[string]any{}, meaning: "{issuer, clientId, clientSecretFile, scopes, session, ca, rules} of the OpenID provider at which people log in; none: tokens alone"},
	{key: "tls", value: map[string]any{}, meaning: "{cert, key, clientCA, trustDomain, rules} of the HTTP listener; none: plain HTTP"},
	{key: "hooks", value: map[string]any{}, meaning: "name: {url, events, secret, tenant, allowPrivate, link, ca} of who outside is told of events", names: true},
	{key: "client.cert", value: "", meaning: "certificate chain (PEM) with which commands come to a daemon, instead of a token"},
	{key: "client.key", value: "", meaning: "its key (PEM)"},
	{key: "client.ca", value: "", meaning: "authorities (PEM) of the daemon's certificate, instead of the system's"},
	{key: "server", value: "", meaning: "URL of the daemon that commands talk to"},
	{key: "token", value: "", meaning: "bearer token of commands", secret: true},
	{key: "passphrase", value: "", meaning: "passphrase of the approver's key", secret: true},
}

// What is done while a feed of revocations is past its signed time.
const (
	staleReport = "report"
	staleRefuse = "refuse"
)

// leastFeedEvery keeps a slip of the pen from hammering somebody's server.
const leastFeedEvery = time.Minute

// configure reads the layers. Only here does Writ read the environment.
func (a *app) configure(cmd *cobra.Command) error {
	switch a.flags.output {
	case "table", "json", "yaml":
	default:
		return usage("--output %s: want table, json or yaml", a.flags.output)
	}
	home, origin, err := a.homeDir()
	if err != nil {
		return err
	}
	c := &config{Home: home, values: koanf.New(keyDelimiter), origins: map[string]string{"home": origin}}
	for _, layer := range a.layers(home) {
		if err := c.layer(layer); err != nil {
			return err
		}
	}
	c.environmentFiles()
	a.config = c
	return c.fill()
}

// keyDelimiter is not a dot: host names are keys too.
const keyDelimiter = "/"

// layer is one source of settings.
type layer struct {
	name   string
	file   string
	values map[string]any
}

func (a *app) homeDir() (string, string, error) {
	switch {
	case a.flags.home != "":
		return absolute(a.flags.home), "flag --home", nil
	case os.Getenv("WRIT_HOME") != "":
		return absolute(os.Getenv("WRIT_HOME")), "environment WRIT_HOME", nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", "", usage("there is no home directory").WithFix("set WRIT_HOME, or give --home")
	}
	return filepath.Join(user, ".writ"), "default", nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func (a *app) layers(home string) []layer {
	defaults, environment, flags := map[string]any{}, map[string]any{}, map[string]any{}
	for _, s := range settings {
		key := strings.ReplaceAll(s.key, ".", keyDelimiter)
		defaults[key] = s.value
		variable := "WRIT_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
		if value, ok := os.LookupEnv(variable); ok {
			environment[key] = environmentValue(s, value)
		}
	}
	for key, value := range map[string]string{
		"server": a.flags.server, "token": a.flags.token,
		"client/cert": a.flags.clientCert, "client/key": a.flags.clientKey, "client/ca": a.flags.clientCA,
	} {
		if value != "" {
			flags[key] = value
		}
	}
	return []layer{
		{name: "default", values: defaults},
		{name: "/etc/writ/config.yaml", file: "/etc/writ/config.yaml"},
		{name: filepath.Join(home, "config.yaml"), file: filepath.Join(home, "config.yaml")},
		{name: "environment", values: environment},
		{name: "flag", values: flags},
	}
}

// environmentValue reads a list as a,b and a map as name=value,name=value.
func environmentValue(s setting, text string) any {
	switch s.value.(type) {
	case []string:
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
	case map[string]string:
		out := map[string]any{}
		for _, pair := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
			name, value, _ := strings.Cut(pair, "=")
			out[name] = value
		}
		return out
	case map[string]any:
		if text == "" {
			return map[string]any{}
		}
	}
	return text
}

var variableForm = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func (c *config) layer(l layer) error {
	one := koanf.New(keyDelimiter)
	if l.file == "" {
		if err := one.Load(confmap.Provider(l.values, keyDelimiter), nil); err != nil {
			return writ.Errorf(writ.CodeInvalid, l.name, "%w", err)
		}
	} else {
		text, err := os.ReadFile(l.file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return usage("%s: %s", l.file, plainCause(err))
		}
		if text, err = expand(l.file, text); err != nil {
			return err
		}
		if err := one.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
			return writ.Errorf(writ.CodeInvalid, l.file, "%w", err).WithFix("correct the YAML")
		}
	}
	for _, key := range one.Keys() {
		name, ok := settingOf(key)
		if !ok {
			return usage("%s: there is no setting %q", l.name, strings.ReplaceAll(key, keyDelimiter, ".")).WithFix("see `writ config show`")
		}
		c.origins[name] = l.name
	}
	return c.values.Merge(one)
}

// settingOf finds the setting that a key belongs to; keys of maps go deeper.
func settingOf(key string) (string, bool) {
	name := strings.ReplaceAll(key, keyDelimiter, ".")
	for _, s := range settings {
		_, isMap := s.value.(map[string]string)
		_, isTree := s.value.(map[string]any)
		isMap = isMap || isTree
		if name == s.key || (isMap && strings.HasPrefix(name, s.key+".")) {
			return s.key, true
		}
	}
	return "", false
}

// expand puts in ${VARIABLES}; all that are not set are named at once.
func expand(file string, text []byte) ([]byte, error) {
	var missing []string
	out := variableForm.ReplaceAllFunc(text, func(m []byte) []byte {
		name := string(variableForm.FindSubmatch(m)[1])
		value, ok := os.LookupEnv(name)
		if !ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return []byte(value)
	})
	if len(missing) > 0 {
		return nil, usage("%s: not set: %s", file, strings.Join(missing, ", ")).WithFix("set them, or take ${...} out of the file")
	}
	return out, nil
}

func (c *config) fill() error {
	v := c.values
	c.Server, c.Token, c.Passphrase = v.String("server"), v.String("token"), v.String("passphrase")
	c.Listen, c.Hosts, c.Sandbox = v.String("listen"), v.Strings("hosts"), v.String("sandbox")
	c.LogLevel, c.LogFormat, c.FileRoot = v.String("log/level"), v.String("log/format"), v.String("files/root")
	c.Upstreams, c.Private, c.Labels = v.StringMap("http/upstreams"), v.Strings("http/allowPrivate"), v.StringMap("host/labels")
	c.PolicyKeys, c.CompilerWrapper = v.StringMap("policy/keys"), v.Strings("compiler/wrapper")
	for key, into := range map[string]*time.Duration{"retention/payloads": &c.Payloads, "retention/entries": &c.Entries, "trust/feedEvery": &c.FeedEvery} {
		d, err := time.ParseDuration(v.String(key))
		if err != nil || d <= 0 {
			return usage("%s: %q is not a duration such as 2160h", strings.ReplaceAll(key, keyDelimiter, "."), v.String(key))
		}
		*into = d
	}
	if c.PolicyPin = writ.Digest(v.String("policy/pin")); c.PolicyPin != "" && !c.PolicyPin.Valid() {
		return usage("policy.pin: %q is not a digest such as sha256:...", c.PolicyPin).WithFix("see `writ policy list`")
	}
	if c.FeedEvery < leastFeedEvery {
		return usage("trust.feedEvery: %s is less than %s", c.FeedEvery, leastFeedEvery)
	}
	if c.StaleFeeds = v.String("trust/staleFeeds"); c.StaleFeeds != staleReport && c.StaleFeeds != staleRefuse {
		return usage("trust.staleFeeds: %q: want %s or %s", c.StaleFeeds, staleReport, staleRefuse)
	}
	if c.PublicURL = v.String("publicUrl"); c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "" {
			return usage("publicUrl: %q is not a URL such as https://writ.example.com", c.PublicURL)
		}
	}
	if c.Sandbox != "writ" && c.Sandbox != "extism" {
		return usage("sandbox: %q: want writ or extism", c.Sandbox)
	}
	if len(c.CompilerWrapper) > 0 && !filepath.IsAbs(c.CompilerWrapper[0]) {
		return usage("compiler.wrapper: %q is not an absolute path", c.CompilerWrapper[0])
	}
	if err := errors.Join(c.fillSecrets(), c.fillHooks()); err != nil {
		return err
	}
	c.ClientCert, c.ClientKey, c.ClientCA = v.String("client/cert"), v.String("client/key"), v.String("client/ca")
	if err := errors.Join(c.fillOIDC(), c.fillTLS()); err != nil {
		return err
	}
	return c.fillRegistries()
}

// homeFile is a path of the configuration: a relative one is the home's.
func (c *config) homeFile(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(c.Home, file)
}

// policySigners reads the keys of policy.keys.
func (c *config) policySigners() (map[string]string, error) {
	keys := make(map[string]string, len(c.PolicyKeys))
	for name, file := range c.PolicyKeys {
		file = c.homeFile(file)
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, usage("policy.keys: %s: %s: %s", name, file, plainCause(err)).WithFix("put the signer's public key (PEM) there, or take %s out of policy.keys", name)
		}
		keys[name] = string(pem)
	}
	return keys, nil
}

func (a *app) configCommand() *cobra.Command {
	var origin bool
	show := &cobra.Command{
		Use: "show", Short: "Show the configuration", Args: cobra.NoArgs,
		Example: "  writ config show --origin       with where each value came from",
		RunE: func(*cobra.Command, []string) error {
			type item struct {
				Key, Value, Origin, Meaning string
			}
			items := []item{{"home", a.config.Home, a.config.origins["home"], "where everything is kept"}}
			for _, s := range settings {
				value := a.config.values.Get(strings.ReplaceAll(s.key, ".", keyDelimiter))
				items = append(items, item{s.key, shown(s, value), a.config.origins[s.key], s.meaning})
			}
			return a.print(items, func(t *table) {
				t.head("key", "value", "origin", "meaning")
				for _, i := range items {
					if !origin {
						i.Origin = ""
					}
					t.row(i.Key, i.Value, i.Origin, i.Meaning)
				}
			})
		},
	}
	show.Flags().BoolVar(&origin, "origin", false, "with the layer that decided each value")
	return group("config", "Show the configuration and where it comes from", show, a.configAck())
}

func shown(s setting, value any) string {
	if all, ok := value.(map[string]any); ok && s.names {
		return strings.Join(slices.Sorted(maps.Keys(all)), " ")
	}
	text := strings.Trim(strings.TrimPrefix(sprint(value), "map"), "[]")
	if s.secret && text != "" {
		return "(set)"
	}
	return text
}
