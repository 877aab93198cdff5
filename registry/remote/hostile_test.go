package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/writ-run/writ"
)

// hostile is a registry that holds a good bundle until change is set.
func hostile(t *testing.T) (*spy, string, []byte) {
	t.Helper()
	s := &spy{next: ggcrHandler(ggcr.WithReferrersSupport(true))}
	host := serve(t, s)
	file := bundle(t, "1.0.0")
	mustPush(t, newClient(t), file, at(host))
	return s, host, file
}

// Whatever a registry answers, what comes of it is an error with advice or the
// bundle itself, and never much memory or time.
func TestHostileAnswers(t *testing.T) {
	type answer = func(w http.ResponseWriter, r *http.Request, next http.Handler)
	only := func(path string, change answer) answer {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.URL.Path, path) && r.Method == http.MethodGet {
				change(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		}
	}
	flip := edited(func(_ http.Header, body []byte) []byte {
		body = bytes.Clone(body)
		body[len(body)/2] ^= 1
		return body
	})
	endless := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		block := bytes.Repeat([]byte(" "), 64<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	status := func(code int) answer {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, `{"errors":[{"code":"SAID\u001b[2J","message":"`+strings.Repeat("long ", 500)+`"}]}`)
		}
	}
	for _, test := range []struct {
		name   string
		change answer
		want   writ.Code
		word   string
	}{
		{"swapped blob", only("/blobs/", flip), writ.CodeSkillRefused, "another digest"},
		{"swapped manifest", only("/manifests/1.0.0", edited(func(h http.Header, body []byte) []byte {
			return bytes.Replace(body, []byte(`"size":3`), []byte(`"size":2`), 1)
		})), writ.CodeSkillRefused, ""},
		{"swapped referrer", only("/manifests/sha256:", flip), writ.CodeSkillRefused, ""},
		{"wrong digest header", only("/manifests/1.0.0", edited(func(h http.Header, body []byte) []byte {
			h.Set("Docker-Content-Digest", "sha256:"+strings.Repeat("1", 64))
			return body
		})), writ.CodeSkillRefused, "digest"},
		{"nonsense digest header", only("/manifests/1.0.0", edited(func(h http.Header, body []byte) []byte {
			h.Set("Docker-Content-Digest", "md5:1")
			return body
		})), writ.CodeSkillRefused, ""},
		{"endless blob", only("/blobs/", endless), writ.CodeSkillRefused, "goes on beyond"},
		{"endless manifest", only("/manifests/1.0.0", endless), writ.CodeSkillRefused, ""},
		{"manifest of 5 MiB", only("/manifests/1.0.0", edited(func(h http.Header, body []byte) []byte {
			h.Del("Docker-Content-Digest")
			h.Set("Content-Length", strconv.Itoa(5<<20))
			return append(bytes.Clone(body), bytes.Repeat([]byte(" "), 5<<20-len(body))...)
		})), writ.CodeSkillRefused, ""},
		{"endless referrers", only("/referrers/", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Link", "<"+r.URL.Path+">; rel=\"next\"")
			edited(func(_ http.Header, body []byte) []byte { return body })(w, r, next)
		}), writ.CodeSkillRefused, "too large"},
		{"referrers that are no JSON", only("/referrers/", edited(func(_ http.Header, body []byte) []byte { return body[:len(body)/2] })), writ.CodeSkillRefused, ""},
		{"cut for ever", only("/blobs/", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Content-Length", "100000000")
			_, _ = w.Write([]byte("x"))
		}), writ.CodeSkillRefused, ""},
		{"401", status(http.StatusUnauthorized), writ.CodeUnauthenticated, "docker login"},
		{"403", status(http.StatusForbidden), writ.CodeForbidden, "docker login"},
		{"404", status(http.StatusNotFound), writ.CodeNotFound, ""},
		{"418", status(http.StatusTeapot), writ.CodeUnavailable, "teapot"},
		{"429", status(http.StatusTooManyRequests), writ.CodeLimited, "asked too often"},
		{"503", status(http.StatusServiceUnavailable), writ.CodeUnavailable, "try again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, host, _ := hostile(t)
			s.set(test.change)
			got, err := newClient(t, func(o *Options) { o.Timeout = 20 * time.Second }).Pull(t.Context(), at(host))
			if err == nil {
				t.Fatalf("%d bytes passed", len(got.File))
			}
			refused(t, err, test.want, test.word)
			if text := err.Error(); len(text) > 600 || strings.ContainsAny(text, "\x1b\n") {
				t.Errorf("the registry's text is repeated: %q", text)
			}
		})
	}
}

// A pinned digest is held against the bytes, whatever the headers say.
func TestAPinnedDigestMustMatch(t *testing.T) {
	s, host, _ := hostile(t)
	other := bundle(t, "2.0.0")
	c := newClient(t)
	second := mustPush(t, c, other, Reference{Host: host, Repository: "acme/mailer"})
	first := mustPull(t, c, at(host)).Reference
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.URL.Path = strings.ReplaceAll(r.URL.Path, string(first.Digest), string(second.Reference.Digest))
		edited(func(h http.Header, body []byte) []byte {
			if h.Get("Docker-Content-Digest") == string(second.Reference.Digest) {
				h.Set("Docker-Content-Digest", string(first.Digest))
			}
			return body
		})(w, r, next)
	})
	_, err := c.Pull(t.Context(), first)
	refused(t, err, writ.CodeSkillRefused, "ARTIFACT_DIGEST_MISMATCH")
	// By its tag, the other bundle is what the registry says it is: signatures and
	// floors judge that, not the transport.
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.URL.Path = strings.Replace(r.URL.Path, "/manifests/1.0.0", "/manifests/2.0.0", 1)
		next.ServeHTTP(w, r)
	})
	ref := at(host)
	if got := mustPull(t, c, ref); got.Version != "2.0.0" || got.Reference.Digest != second.Reference.Digest {
		t.Errorf("%+v", got.Reference)
	}
}

// Without signatures the file still comes, for the gate to refuse; so do lists that
// name what is gone, and what others attached.
func TestMissingAndForeignReferrers(t *testing.T) {
	s, host, file := hostile(t)
	c := newClient(t)
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/referrers/") || strings.Contains(r.URL.Path, "sha256-") {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
	if got := mustPull(t, c, at(host)); got.Signatures != 0 || len(got.File) == 0 {
		t.Errorf("%d signatures", got.Signatures)
	}
	s.set(nil)
	subject := mustPull(t, c, at(host)).Reference.Digest
	attach := func(artifact, extra string) {
		t.Helper()
		manifestLiteral(t, host, "other"+strconv.Itoa(len(artifact+extra)), "application/vnd.oci.image.manifest.v1+json", fmt.Appendf(nil,
			`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:%s","size":2},"layers":[%s],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1}}`,
			artifact, strings.Repeat("a", 64), extra, subject))
	}
	attach("application/spdx+json", "")
	attach("application/vnd.dev.sigstore.bundle.v0.3+json", "")
	attach("application/vnd.dev.sigstore.bundle.v0.3+json", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":"sha256:`+strings.Repeat("b", 64)+`","size":99999999}`)
	if got := mustPull(t, c, at(host)); got.Signatures != 2 || !bytes.Equal(got.File, file) {
		t.Errorf("%d signatures", got.Signatures)
	}
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isGet(r, "/manifests/sha256:") {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
	if got := mustPull(t, c, at(host)); got.Signatures != 0 {
		t.Errorf("%d signatures", got.Signatures)
	}
	// So many that looking at all of them would take for ever.
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !isGet(r, "/referrers/") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		var list []string
		for i := range maxAttached + 1 {
			list = append(list, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%064x","size":5}`, i))
		}
		_, _ = io.WriteString(w, `{"schemaVersion":2,"manifests":[`+strings.Join(list, ",")+`]}`)
	})
	_, err := c.Pull(t.Context(), at(host))
	refused(t, err, writ.CodeSkillRefused, "more than 128")
}

func TestRetries(t *testing.T) {
	s, host, file := hostile(t)
	c := newClient(t)
	failures := map[string]int{}
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if failures[r.URL.Path]++; failures[r.URL.Path] == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if failures[r.URL.Path] == 2 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		next.ServeHTTP(w, r)
	})
	if got := mustPull(t, c, at(host)); !bytes.Equal(got.File, file) {
		t.Error("the file differs")
	}
	mustPush(t, c, sign(t, file, key(t)), at(host))

	// Who asks for more patience than there is gets none.
	requests := 0
	s.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		requests++
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := c.Pull(t.Context(), at(host))
	refused(t, err, writ.CodeLimited)
	if requests != 1 {
		t.Errorf("%d requests", requests)
	}
}

func TestPatience(t *testing.T) {
	p := &patience{backoff: 100 * time.Millisecond, attempts: 3}
	answer := func(status int, after string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}}
	}
	for _, test := range []struct {
		attempt  int
		resp     *http.Response
		min, max time.Duration
	}{
		{0, answer(200, ""), -1, -1},
		{0, answer(404, "1"), -1, -1},
		{0, answer(503, ""), 50 * time.Millisecond, 100 * time.Millisecond},
		{2, answer(503, ""), 200 * time.Millisecond, 400 * time.Millisecond},
		{3, answer(503, ""), -1, -1},
		{0, answer(429, "7"), 7 * time.Second, 7 * time.Second},
		{0, answer(503, "30"), 30 * time.Second, 30 * time.Second},
		{0, answer(503, "31"), -1, -1},
		{0, answer(429, "-5"), 50 * time.Millisecond, 100 * time.Millisecond},
		{0, answer(429, "99999999999999999999"), 50 * time.Millisecond, 100 * time.Millisecond},
		{0, answer(429, "Wed, 21 Oct 2015 07:28:00 GMT"), 100 * time.Millisecond, 100 * time.Millisecond},
	} {
		got, err := p.Retry(test.attempt, test.resp, nil)
		if err != nil || got < test.min || got > test.max {
			t.Errorf("attempt %d, %d, Retry-After %q: %v, %v", test.attempt, test.resp.StatusCode, test.resp.Header.Get("Retry-After"), got, err)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if d, ok := retryAfter(http.Header{"Retry-After": {at.Add(9 * time.Second).Format(http.TimeFormat)}}, at); !ok || d != 9*time.Second {
		t.Errorf("%v %v", d, ok)
	}
}

func TestRedirects(t *testing.T) {
	s, host, file := hostile(t)
	c := newClient(t, withLogin(dockerConfig(t, loginOf(host, user, password))))
	// A registry on loopback may send to its storage on loopback, without its login.
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("credentials were sent to the storage")
		}
		s.next.ServeHTTP(w, r)
	}))
	t.Cleanup(storage.Close)
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if _, given, _ := r.BasicAuth(); given != password {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if isGet(r, "/blobs/") {
			http.Redirect(w, r, storage.URL+r.URL.Path+"?X-Signature=hidden", http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
	if got := mustPull(t, c, at(host)); !bytes.Equal(got.File, file) {
		t.Error("the file differs")
	}
	for hops, ok := range map[int]bool{maxRedirects: true, maxRedirects + 1: false} {
		s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			n, _ := strconv.Atoi(r.URL.Query().Get("hop"))
			if isGet(r, "/blobs/") && n < hops {
				http.Redirect(w, r, fmt.Sprintf("%s?hop=%d", r.URL.Path, n+1), http.StatusFound)
				return
			}
			next.ServeHTTP(w, r)
		})
		_, err := c.Pull(t.Context(), at(host))
		if ok && err != nil {
			t.Errorf("%d redirects: %v", hops, err)
		}
		if !ok {
			refused(t, err, writ.CodeForbidden, "redirects")
		}
	}
	for target, word := range map[string]string{
		"http://169.254.169.254/latest/meta-data": "special", "http://10.0.0.1/": "private", "http://[fe80::1]/": "special", "http://0.0.0.0/": "special",
		"file:///etc/passwd": "scheme", "gopher://127.0.0.1/": "scheme", "http://user:hidden@127.0.0.1/": "user",
	} {
		s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if isGet(r, "/blobs/") {
				w.Header().Set("Location", target+"?token=hidden")
				w.WriteHeader(http.StatusFound)
				return
			}
			next.ServeHTTP(w, r)
		})
		_, err := c.Pull(t.Context(), at(host))
		refused(t, err, writ.CodeForbidden, word)
		if strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error repeats a secret: %v", target, err)
		}
	}
}

// A registry on the internet leads nobody into the house: not by a redirect, not by a
// name, not by a name that changes its mind.
func TestAPublicRegistryLeadsNowhereElse(t *testing.T) {
	s, host, file := hostile(t)
	names := map[string]string{"registry.example": "198.51.100.7", "storage.example": "198.51.100.8", "inside.example": "10.1.2.3", "loop.example": "127.0.0.1"}
	c := newClient(t, func(o *Options) {
		o.PlainLoopback, o.Private = false, false
		o.Hosts = map[string]Host{"registry.example": {PlainHTTP: true}}
	})
	dialled := map[string]int{}
	c.lookup = func(_ context.Context, name string) ([]netip.Addr, error) {
		if addr, ok := names[name]; ok {
			return []netip.Addr{netip.MustParseAddr(addr)}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	c.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled[address]++
		return new(net.Dialer).DialContext(ctx, network, host)
	}
	ref := at("registry.example")
	redirectTo := func(target string) {
		s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if isGet(r, "/blobs/") && strings.HasPrefix(r.Host, "registry.example") {
				http.Redirect(w, r, target+r.URL.Path, http.StatusFound)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	redirectTo("http://storage.example")
	if got := mustPull(t, c, ref); !bytes.Equal(got.File, file) || dialled["198.51.100.8:80"] == 0 {
		t.Errorf("%v", dialled)
	}
	for _, target := range []string{"http://inside.example", "http://loop.example", "http://127.0.0.1", "http://10.1.2.3", "http://[::1]", "http://[::ffff:127.0.0.1]", "http://2130706433"} {
		clear(dialled)
		redirectTo(target)
		_, err := c.Pull(t.Context(), ref)
		if err == nil || (target != "http://2130706433" && !writ.IsCode(err, writ.CodeForbidden)) {
			t.Errorf("%s: %v", target, err)
		}
		for address := range dialled {
			if address != "198.51.100.7:80" {
				t.Errorf("%s: %s was dialled", target, address)
			}
		}
	}
	// Who is not named must be public; who is named may be anywhere, also inside.
	names["registry.example"] = "10.1.2.3"
	redirectTo("http://inside.example")
	mustPull(t, c, ref)
	names["other.example"] = "10.9.9.9"
	clear(dialled)
	_, err := c.Pull(t.Context(), at("other.example"))
	refused(t, err, writ.CodeForbidden, "private", "other.example", `registries: {"other.example": {}}`)
	if len(dialled) > 0 {
		t.Errorf("%v", dialled)
	}
	_, err = c.Pull(t.Context(), at("none.example"))
	refused(t, err, writ.CodeUnavailable, "no such host")
}

// A proxy is the operator's, wherever it is; behind it names are the proxy's to resolve.
func TestProxy(t *testing.T) {
	s, host, file := hostile(t)
	asked := 0
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if asked++; r.In.URL.Host != "registry.example" {
			t.Errorf("the proxy was asked for %s", r.In.URL)
		}
		r.SetURL(&url.URL{Scheme: "http", Host: host})
	}})
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, func(o *Options) {
		o.Private, o.PlainLoopback, o.Proxy = false, false, http.ProxyURL(at)
		o.Hosts = map[string]Host{"registry.example": {PlainHTTP: true}}
	})
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	got := mustPull(t, c, Reference{Host: "registry.example", Repository: "acme/mailer", Tag: "1.0.0"})
	if !bytes.Equal(got.File, file) || asked == 0 {
		t.Errorf("%d requests", asked)
	}
	// What is an address already is checked here.
	s.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Location", "http://10.0.0.1/")
		w.WriteHeader(http.StatusFound)
	})
	_, err = c.Pull(t.Context(), Reference{Host: "registry.example", Repository: "acme/mailer", Tag: "1.0.0"})
	refused(t, err, writ.CodeForbidden, "private")
	_, err = c.Pull(t.Context(), Reference{Host: "10.0.0.1", Repository: "acme/mailer", Tag: "1.0.0"})
	refused(t, err, writ.CodeForbidden, "registries:")
}

func TestKinds(t *testing.T) {
	for text, want := range map[string]kind{
		"8.8.8.8": public, "2a00:1450:4001::1": public, "127.0.0.1": loopback, "127.255.0.1": loopback, "::1": loopback, "::ffff:127.0.0.1": loopback,
		"10.0.0.1": private, "172.31.255.255": private, "172.32.0.0": public, "192.168.1.1": private, "100.64.0.1": private, "fc00::1": private, "fdff::1": private,
		"169.254.169.254": special, "fe80::1": special, "fe80::1%eth0": special, "8.8.8.8%x": special, "0.0.0.0": special, "::": special, "224.0.0.1": special, "ff02::1": special,
		"255.255.255.255": special, "168.63.129.16": special, "100.100.100.200": special, "fd00:ec2::254": special,
		"64:ff9b::7f00:1": special, "2002:7f00:1::": special, "::127.0.0.1": special, "2001::1": special,
	} {
		addr, err := netip.ParseAddr(text)
		if err != nil && !strings.Contains(text, "%x") {
			t.Fatal(err)
		}
		if got := kindOf(addr); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// Cancelling ends a pull at once, and what came so far is kept.
func TestCancelled(t *testing.T) {
	s, host, file := hostile(t)
	dir := t.TempDir()
	c := newClient(t, cached(dir))
	ctx, cancel := context.WithCancel(t.Context())
	module := moduleDigest(t, file)
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !isGet(r, module.Hex()) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", "300000")
		_, _ = w.Write(make([]byte, 1000))
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	_, err := c.Pull(ctx, at(host))
	refused(t, err, writ.CodeCancelled, "run it again")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		t.Errorf("%v %v", entries, err)
	}
	_, err = newClient(t, func(o *Options) { o.Timeout = time.Nanosecond }).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeTimeout)
}
