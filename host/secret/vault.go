package secret

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Bounds of a Vault provider.
const (
	DefaultCacheFor = time.Minute     // how old a value may be that a call gets
	MaxCacheFor     = time.Hour       // a rotation should count within the hour at the latest
	DefaultTimeout  = 5 * time.Second // of one value, a login included
	MaxTimeout      = 30 * time.Second
	maxAnswer       = 1 << 20 // Vault stores 512 KiB at most
	maxCached       = 256     // values; a configuration names some dozen
)

// VaultOptions say where a server that speaks Vault's KV version 2 is, and who asks.
type VaultOptions struct {
	URL       string // https://vault.example.com:8200; plain http for loopback alone
	Mount     string // of the KV engine; "": secret
	Namespace string // X-Vault-Namespace; "": none
	TokenFile string // with the token, read for each request; or AppRole
	AppRole   *AppRole
	CA        []byte        // PEM of the authorities; nil: the system's
	CacheFor  time.Duration // 0: DefaultCacheFor
	Timeout   time.Duration // 0: DefaultTimeout
	Clock     writ.Clock    // must be set
}

// Vault is a provider of KV version 2 secrets over HTTP, as Vault and OpenBao serve
// them. It follows no redirects, uses no proxy and believes no answer above its bounds.
type Vault struct {
	opts   VaultOptions
	base   *url.URL
	client *http.Client
	login  *login // nil: a token file

	mu      sync.Mutex // held for a moment
	cache   map[cacheKey]*cached
	flights map[cacheKey]*flight
}

type cacheKey struct{ path, field string }

type cached struct {
	Reading
	until writ.Time
}

// flight is one request that several callers wait for.
type flight struct {
	done    chan struct{}
	reading *Reading
	err     error
}

// NewVault checks the options. CodeInvalid names what is wrong with them.
func NewVault(opts VaultOptions) (*Vault, error) {
	bad := func(what, fix string) (*Vault, error) {
		return nil, (&writ.Error{Code: writ.CodeInvalid, Op: "vault provider", Message: what}).WithFix("%s", fix)
	}
	opts.Mount = cmp.Or(opts.Mount, "secret")
	opts.CacheFor, opts.Timeout = cmp.Or(opts.CacheFor, DefaultCacheFor), cmp.Or(opts.Timeout, DefaultTimeout)
	base, err := url.Parse(opts.URL)
	switch {
	case opts.Clock == nil:
		return bad("there is no clock", "set one")
	case err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") || base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return bad("url: is not such as https://vault.example.com:8200", "leave user, query and fragment out")
	case !plainName(opts.Mount):
		return bad("mount: is not the path of a secrets engine", "see `vault secrets list`")
	case (opts.TokenFile == "") == (opts.AppRole == nil):
		return bad("who asks is not said, or twice", "give either tokenFile, or roleId and secretIdFile")
	case opts.CacheFor < 0 || opts.CacheFor > MaxCacheFor:
		return bad("cacheFor: is not between 0 and 1h", "leave it out for 1m")
	case opts.Timeout < 0 || opts.Timeout > MaxTimeout:
		return bad("timeout: is not between 0 and 30s", "leave it out for 5s")
	case strings.ContainsAny(opts.Namespace, "\r\n"):
		return bad("namespace: has a line end", "write it on one line")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	v := &Vault{opts: opts, base: base, cache: map[cacheKey]*cached{}, flights: map[cacheKey]*flight{}}
	if v.client, err = clientOf(base, opts.CA); err != nil {
		return nil, err
	}
	if opts.AppRole != nil {
		if v.login, err = opts.AppRole.login(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// String says nothing of tokens and values.
func (v *Vault) String() string { return "vault provider" }

// GoString says nothing of tokens and values.
func (v *Vault) GoString() string { return v.String() }

// Local implements Provider.
func (v *Vault) Local() bool { return false }

// Read implements Provider. A value may be CacheFor old; a failure is never cached, and
// no value outlives its time because the server is down.
func (v *Vault) Read(ctx context.Context, at *Reference) (*Reading, error) {
	key := cacheKey{at.Path, at.Field}
	v.mu.Lock()
	if have := v.cache[key]; have != nil && v.opts.Clock.Now() < have.until {
		defer v.mu.Unlock()
		return have.copy(), nil
	}
	f := v.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		v.flights[key] = f
		// The request is nobody's own: who waits first may give up first.
		go v.fly(context.WithoutCancel(ctx), key, f)
	}
	v.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, providerError(writ.CodeTimeout, "did not come in time", "try again")
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.reading.copy(), nil
}

func (r *Reading) copy() *Reading {
	out := *r
	out.Value = slices.Clone(r.Value)
	return &out
}

func (v *Vault) fly(ctx context.Context, key cacheKey, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, v.opts.Timeout)
	defer cancel()
	f.reading, f.err = v.fetch(ctx, key)
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.flights, key)
	if was := v.cache[key]; was != nil {
		clear(was.Value)
		delete(v.cache, key)
	}
	if f.err == nil {
		v.makeRoom()
		v.cache[key] = &cached{Reading: *f.reading.copy(), until: v.opts.Clock.Now().Add(v.opts.CacheFor)}
	}
	close(f.done)
}

// makeRoom lets the value go that would go first.
func (v *Vault) makeRoom() {
	if len(v.cache) < maxCached {
		return
	}
	var oldest cacheKey
	first := writ.Time(0)
	for key, have := range v.cache {
		if first == 0 || have.until < first {
			oldest, first = key, have.until
		}
	}
	clear(v.cache[oldest].Value)
	delete(v.cache, oldest)
}

// kvAnswer is what GET /v1/MOUNT/data/PATH answers, as far as it is read.
type kvAnswer struct {
	Data struct {
		Data     map[string]json.RawMessage `json:"data"`
		Metadata struct {
			CreatedTime time.Time `json:"created_time"`
			Version     int       `json:"version"`
		} `json:"metadata"`
	} `json:"data"`
}

func (v *Vault) fetch(ctx context.Context, key cacheKey) (*Reading, error) {
	request := func(token string) ([]byte, error) {
		return v.ask(ctx, http.MethodGet, v.opts.Mount+"/data/"+key.path, token, nil)
	}
	body, err := v.authenticated(ctx, request)
	defer clear(body)
	if err != nil {
		return nil, err
	}
	return readingOf(body, v.opts.Mount, key)
}

// readingOf takes the value out of an answer.
func readingOf(body []byte, mount string, key cacheKey) (*Reading, error) {
	var answer kvAnswer
	if err := decodeAnswer(body, &answer); err != nil {
		return nil, err
	}
	raw, ok := answer.Data.Data[key.field]
	if !ok {
		return nil, providerError(writ.CodeNotFound, "has no field "+key.field+" at "+mount+"/"+key.path, "correct the field in the configuration, or write it there")
	}
	var value *string
	if json.Unmarshal(raw, &value) != nil || value == nil {
		return nil, providerError(writ.CodeInvalid, "the field "+key.field+" at "+mount+"/"+key.path+" is not a string", "write it as a string")
	}
	out := &Reading{Value: trimmed([]byte(*value)), Version: max(answer.Data.Metadata.Version, 0)}
	if created := answer.Data.Metadata.CreatedTime; !created.IsZero() {
		out.UpdatedAt = canon.TimeOf(created)
	}
	return out, nil
}

// authenticated makes a request with a token, and once more with a new one where that
// came from a login and is refused.
func (v *Vault) authenticated(ctx context.Context, request func(token string) ([]byte, error)) ([]byte, error) {
	if v.login == nil {
		token, err := readToken(v.opts.TokenFile)
		if err != nil {
			return nil, err
		}
		return request(token)
	}
	token, err := v.login.token(ctx, v, "")
	if err != nil {
		return nil, err
	}
	body, err := request(token)
	if writ.IsCode(err, writ.CodeForbidden) {
		if token, err = v.login.token(ctx, v, token); err != nil {
			return nil, err
		}
		body, err = request(token)
	}
	return body, err
}

// maxToken is far above the tokens that there are (100 bytes; batch tokens some more).
const maxToken = 8 << 10

// readToken reads a token's file, which its owner alone may read.
func readToken(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", unreadable(err, "the file "+path)
	}
	defer file.Close()
	reading, err := readPrivate(file)
	if err != nil {
		return "", err
	}
	defer clear(reading.Value)
	if token := string(reading.Value); validToken(token) {
		return token, nil
	}
	return "", providerError(writ.CodeInvalid, "the file "+path+" holds no token", "let Vault's agent write it, or put a token there")
}

// validToken keeps what is no token out of a header.
func validToken(token string) bool {
	return token != "" && len(token) <= maxToken && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// ask makes one request and reads its answer, bounded.
func (v *Vault) ask(ctx context.Context, method, path, token string, body []byte) ([]byte, error) {
	u := *v.base
	u.Path += "/v1/" + path
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, providerError(writ.CodeInvalid, "has a path that cannot be asked for", "correct it in the configuration")
	}
	request.Header.Set("X-Vault-Request", "true")
	if token != "" {
		request.Header.Set("X-Vault-Token", token)
	}
	if v.opts.Namespace != "" {
		request.Header.Set("X-Vault-Namespace", v.opts.Namespace)
	}
	response, err := v.client.Do(request)
	if err != nil {
		return nil, v.silent(ctx, err)
	}
	defer response.Body.Close()
	if err := refusal(response.StatusCode, path); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		clear(raw)
		return nil, v.silent(ctx, err)
	case len(raw) > maxAnswer:
		clear(raw)
		return nil, providerError(writ.CodeTooLarge, "answers more than a secret can be", "look at what answers there")
	}
	return raw, nil
}

// refusal words a status. What a server says beside it is not repeated: it may hold
// anything.
func refusal(status int, path string) error {
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusNotFound:
		return providerError(writ.CodeNotFound, "has nothing at "+path+", or no longer", "write it there, or correct its path and the mount in the configuration")
	case status == http.StatusForbidden || status == http.StatusUnauthorized || status == http.StatusBadRequest:
		return providerError(writ.CodeForbidden, "does not let this host read "+path, "see whether the token is valid and its policy has read on this path")
	case status >= 300 && status < 400:
		return providerError(writ.CodeUnavailable, "redirects elsewhere, which is not followed", "name the server that answers, in the configuration")
	case status == http.StatusServiceUnavailable:
		return providerError(writ.CodeUnavailable, "is sealed or not ready", "see `vault status`")
	}
	return providerError(writ.CodeUnavailable, "answers with status "+strconv.Itoa(status), "look at the server's log")
}

func decodeAnswer(body []byte, into any) error {
	if !utf8.Valid(body) || json.Unmarshal(body, into) != nil {
		return providerError(writ.CodeUnavailable, "does not answer as Vault does", "see whether the URL is that of Vault and the mount is KV version 2")
	}
	return nil
}
