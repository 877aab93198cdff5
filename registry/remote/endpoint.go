package remote

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	oci "oras.land/oras-go/v2/registry"
	oras "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/writ-run/writ"
)

// endpoint is one repository of one registry, for one push or pull.
type endpoint struct {
	*oras.Repository
	transport *http.Transport
}

func (e *endpoint) close() { e.transport.CloseIdleConnections() }

// open prepares to talk to a repository; nothing is sent yet.
func (c *Client) open(name, repository string) (*endpoint, error) {
	ref := oci.Reference{Registry: name, Repository: repository}
	h, named := c.hosts[name]
	plain := h.plainHTTP
	if c.opts.PlainLoopback && !plain {
		if !isLoopbackName(name) {
			return nil, writ.Errorf(writ.CodeInvalid, "registry "+name, "plain HTTP without more is for loopback alone").
				WithFix("if it is meant, say so in the configuration: registries: {%q: {plainHttp: true}}", name)
		}
		plain = true
	}
	login, err := c.credentials()
	if err != nil {
		return nil, err
	}
	d := &dialer{
		own: withPort(ref.Host(), plain), free: named || c.opts.Private,
		lookup: c.lookup, dial: c.connect, kinds: map[kind]bool{}, proxies: map[string]bool{},
	}
	if d.lookup == nil {
		d.lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	if d.dial == nil {
		d.dial = new(net.Dialer).DialContext
	}
	transport := &http.Transport{
		DialContext: d.DialContext, Proxy: c.proxy(d), TLSClientConfig: &tls.Config{RootCAs: h.pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: idleTimeout,
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 2,
	}
	policy := &patience{backoff: c.backoff, attempts: 4}
	repo := &oras.Repository{
		Reference: ref, PlainHTTP: plain, MaxMetadataBytes: c.opts.Limits.Document, ReferrerListMaxPages: 8, SkipReferrersGC: true,
		Client: &auth.Client{
			Client: &http.Client{
				Transport:     &retry.Transport{Base: &schemeGuard{transport, plain}, Policy: func() retry.Policy { return policy }},
				CheckRedirect: checkRedirect,
			},
			Header: http.Header{"User-Agent": {"writ/" + writ.Version}}, Credential: login, Cache: auth.NewCache(),
		},
	}
	return &endpoint{repo, transport}, nil
}

func (c *Client) proxy(d *dialer) func(*http.Request) (*url.URL, error) {
	if c.opts.Proxy == nil {
		return nil
	}
	return func(r *http.Request) (*url.URL, error) {
		via, err := c.opts.Proxy(r)
		if via != nil {
			// A name is the proxy's to resolve; an address needs no resolving.
			if addr, err := netip.ParseAddr(r.URL.Hostname()); err == nil {
				if err := d.admit(withPort(r.URL.Host, r.URL.Scheme == "http"), addr); err != nil {
					return nil, err
				}
			}
			d.usesProxy(withPort(via.Host, via.Scheme == "http"))
		}
		return via, err
	}
}

// credentials are Docker's: read for each push and pull, so that a login counts at once.
func (c *Client) credentials() (auth.CredentialFunc, error) {
	if c.opts.DockerConfig == "" {
		return nil, nil
	}
	store, err := credentials.NewStore(c.opts.DockerConfig, credentials.StoreOptions{})
	if err != nil { // its text may repeat what the file holds
		return nil, writ.Errorf(writ.CodeInvalid, c.opts.DockerConfig, "cannot be read as Docker's configuration").WithFix("correct it, or write it again with docker login")
	}
	get := credentials.Credential(store)
	return func(ctx context.Context, host string) (auth.Credential, error) {
		found, err := get(ctx, host)
		if err != nil { // a helper's text may hold anything
			return auth.EmptyCredential, &loginError{host}
		}
		return found, nil
	}, nil
}

// loginError is that of credentials which are configured and cannot be had.
type loginError struct{ host string }

func (e *loginError) Error() string { return "the credentials of " + e.host + " cannot be read" }

func withPort(host string, plain bool) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "443"
	if plain {
		port = "80"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func isLoopbackName(host string) bool {
	name, _, _ := net.SplitHostPort(withPort(host, true))
	if name == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && kindOf(addr) == loopback
}

// maxRedirects of one request: a registry sends to its storage, which may send on.
const maxRedirects = 5

// badRedirect is the error of a redirect that is not followed.
type badRedirect struct{ why string }

func (e *badRedirect) Error() string { return e.why }

func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return &badRedirect{fmt.Sprintf("more than %d redirects", maxRedirects)}
	case r.URL.User != nil:
		return &badRedirect{"a redirect that holds a user"}
	case via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme != "https":
		return &badRedirect{"a redirect from https to " + r.URL.Scheme}
	}
	return nil
}

// schemeGuard holds everything that is sent to TLS, wherever its address came from:
// a redirect, a token service, an upload's location or a next page.
type schemeGuard struct {
	base  http.RoundTripper
	plain bool
}

func (g *schemeGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && (!g.plain || r.URL.Scheme != "http") {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, &badRedirect{"an address with the scheme " + r.URL.Scheme}
	}
	return g.base.RoundTrip(r)
}

// patience says when to try again and how long to wait.
type patience struct {
	backoff  time.Duration
	attempts int
}

// maxWait is the longest Retry-After that is kept; who asks for more is told to the caller.
const maxWait = 30 * time.Second

// Retry implements retry.Policy.
func (p *patience) Retry(attempt int, resp *http.Response, err error) (time.Duration, error) {
	again, err := retry.DefaultPredicate(resp, err)
	if err != nil || !again || attempt >= p.attempts {
		return -1, err
	}
	wait := p.wait(attempt)
	if resp != nil {
		if asked, ok := retryAfter(resp.Header, time.Now()); ok {
			wait = max(asked, p.backoff)
		}
	}
	if wait > maxWait {
		return -1, nil
	}
	return wait, nil
}

// wait doubles with each attempt and is spread by a half, so that hosts of a fleet do
// not come back all at once.
func (p *patience) wait(attempt int) time.Duration {
	d := p.backoff << attempt
	return d/2 + rand.N(d/2+1)
}

// retryAfter reads the header's two forms (RFC 9110 section 10.2.3).
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// sleep waits, unless the caller gives up.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
