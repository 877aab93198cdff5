// Package remote brings bundles to registries and back. A reference becomes the
// bytes of a .skill file, which package registry then judges as if a stranger had
// handed it over: nothing that a registry says is believed. It tames oras-go;
// nothing else in the module imports it.
package remote

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
)

// Host is what the configuration says about one registry.
type Host struct {
	Mirrors   []string // HOST[:PORT][/PREFIX], asked in this order before the registry itself
	CA        []byte   // PEM of further certificate authorities; nil: the system's alone
	PlainHTTP bool     // no TLS
}

// Options are how registries are reached. The zero value reaches public ones,
// without credentials and over TLS.
type Options struct {
	Hosts         map[string]Host // by HOST[:PORT] as references write it; who is named may be at any address
	Private       bool            // hosts that Hosts does not name may be at private and loopback addresses too
	PlainLoopback bool            // registries on loopback are spoken to without TLS
	DockerConfig  string          // path of Docker's config.json; "": no credentials
	CacheDir      string          // keeps what was fetched; "": nothing is kept
	CacheBytes    int64           // 0: 256 MiB
	Limits        registry.Limits // zero members: the defaults
	Timeout       time.Duration   // of one push or pull; 0: 10 minutes
	Transfers     int             // at once, each in memory up to the limit of a bundle; more wait. 0: 4
	Clock         writ.Clock      // nil: the system's
	Progress      func(Progress)  // nil: nobody is told
	// Proxy as in http.Transport; nil: none. What a proxy connects to, the proxy decides.
	Proxy func(*http.Request) (*url.URL, error)
}

// Progress says how far a transfer is, in bytes; Total grows as more is known.
type Progress struct{ Done, Total int64 }

// Client pushes and pulls. It is safe for concurrent use.
type Client struct {
	opts  Options
	hosts map[string]host
	cache *blobs
	slots chan struct{} // one for each transfer under way

	// As a test needs them; nil and zero: the system's.
	lookup  func(ctx context.Context, name string) ([]netip.Addr, error)
	connect dialFunc
	backoff time.Duration
}

// host is a Host that has been checked.
type host struct {
	mirrors   []mirror
	pool      *x509.CertPool
	plainHTTP bool
}

type mirror struct{ host, prefix string }

// New checks the options. CodeInvalid where a mirror or a certificate is none.
func New(opts Options) (*Client, error) {
	const op = "registries"
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Minute
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 256 << 20
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Transfers == 0 {
		opts.Transfers = 4
	}
	opts.Limits = opts.Limits.WithDefaults()
	c := &Client{
		opts: opts, hosts: map[string]host{}, cache: &blobs{dir: opts.CacheDir, bound: opts.CacheBytes, clock: opts.Clock},
		slots: make(chan struct{}, opts.Transfers), backoff: 250 * time.Millisecond,
	}
	for name, h := range opts.Hosts {
		if !validHost(name) {
			return nil, writ.Errorf(writ.CodeInvalid, op, "%q is not HOST or HOST:PORT", registry.Clip(name)).WithFix("write the host as references do, without https://")
		}
		checked := host{plainHTTP: h.PlainHTTP}
		for _, text := range h.Mirrors {
			at, prefix, _ := strings.Cut(text, "/")
			if !validHost(at) || (prefix != "" && !validRepository(prefix)) {
				return nil, writ.Errorf(writ.CodeInvalid, op, "%s: the mirror %q is not HOST[:PORT][/PREFIX]", name, registry.Clip(text)).WithFix("write it without https:// and without a tag")
			}
			checked.mirrors = append(checked.mirrors, mirror{at, prefix})
		}
		if h.CA != nil {
			pool, err := x509.SystemCertPool()
			if err != nil {
				pool = x509.NewCertPool()
			}
			if !pool.AppendCertsFromPEM(h.CA) {
				return nil, writ.Errorf(writ.CodeInvalid, op, "%s: ca holds no certificate", name).WithFix("give a file with certificates in PEM")
			}
			checked.pool = pool
		}
		c.hosts[name] = checked
	}
	return c, nil
}

// begin bounds a transfer in time and waits for its turn.
func (c *Client) begin(ctx context.Context, op string) (context.Context, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	end := func() { <-c.slots; cancel() }
	select { // a free slot is taken, even if time has run out: the transfer says so itself
	case c.slots <- struct{}{}:
		return ctx, end, nil
	default:
	}
	select {
	case c.slots <- struct{}{}:
		return ctx, end, nil
	case <-ctx.Done():
		cancel()
		return nil, nil, writ.Errorf(writ.CodeLimited, op, "other transfers did not end in time").WithFix("try again when they have ended")
	}
}

// Fetch implements registry.Fetcher.
func (c *Client) Fetch(ctx context.Context, reference string) ([]byte, string, error) {
	ref, err := ParseReference(reference)
	if err != nil {
		return nil, "", err
	}
	pulled, err := c.Pull(ctx, ref)
	if err != nil {
		return nil, "", err
	}
	return pulled.File, pulled.Reference.String(), nil
}
