package toolbox

import (
	"context"
	"encoding/base64"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// anyHTTP lets every request pass, so that what refuses is the tool itself.
func anyHTTP(secrets ...abi.Secret) writ.Capability {
	return writ.Capability{
		Tool: abi.ToolHTTPRequest, Hosts: []string{"**"}, Paths: []string{"/", "/**"},
		Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, Secrets: secrets,
	}
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// mapped is a bench on which https://api.test is the server.
func mapped(t *testing.T, handler http.HandlerFunc, opts Options, secrets ...abi.Secret) *bench {
	t.Helper()
	if opts.Upstreams == nil {
		opts.Upstreams = map[string]string{}
	}
	opts.Upstreams["api.test"] = serve(t, handler).URL
	if opts.Resolver == nil {
		opts.Resolver = answers{}
	}
	return newBench(t, opts, anyHTTP(secrets...))
}

func (b *bench) request(method, url string) *writ.ToolResult {
	b.t.Helper()
	return b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: method, URL: url})
}

func TestRequestAndResponse(t *testing.T) {
	var seen *http.Request
	var body []byte
	b := mapped(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Add("X-Many", "a")
		w.Header().Add("X-Many", "b")
		w.Header().Add("Set-Cookie", "session=1")
		w.Header().Add("Proxy-Authenticate", "Basic")
		w.Header().Add("Content-Type", "text/plain")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "grün")
	}, Options{})
	result := b.do(abi.ToolHTTPRequest, abi.HTTPRequest{
		Method: "POST", URL: "https://api.test/a%20b?x=1&y=%2F", Headers: map[string]string{"x-custom": "v", "Content-Type": "text/x"}, Body: "bödy",
	})
	if result.Outcome != writ.OutcomeDone || !slices.Equal(result.Labels, []writ.Label{writ.LabelHTTP}) {
		t.Errorf("outcome %q, labels %v", result.Outcome, result.Labels)
	}
	response := bodyOf[abi.HTTPResponse](t, result)
	if response.Status != 201 || response.Body != "grün" || response.Headers["x-many"] != "a, b" || response.Headers["content-type"] != "text/plain" {
		t.Errorf("response %+v", response)
	}
	for _, name := range []string{"set-cookie", "connection", "proxy-authenticate", "transfer-encoding"} {
		if value, ok := response.Headers[name]; ok {
			t.Errorf("the guest sees %s: %s", name, value)
		}
	}
	if seen.Method != "POST" || seen.RequestURI != "/a%20b?x=1&y=%2F" || string(body) != "bödy" || seen.ContentLength != 5 {
		t.Errorf("the server saw %s %s %q", seen.Method, seen.RequestURI, body)
	}
	for name, want := range map[string]string{"X-Custom": "v", "Content-Type": "text/x", "Accept-Encoding": "gzip", "User-Agent": "writ/" + writ.Version} {
		if got := seen.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(seen.Header.Get("Idempotency-Key"), "key") {
		t.Error("a write goes without its key")
	}
}

func TestVisibleHeader(t *testing.T) {
	got := visibleHeader(http.Header{
		"Connection": {"close, x-private", "X-Other"}, "X-Private": {"1"}, "X-Other": {"2"}, "Keep-Alive": {"3"}, "Upgrade": {"4"},
		"Set-Cookie": {"a=b"}, "Proxy-Authenticate": {"5"}, "X-Bad": {"a\xffb"}, "X-Many": {"a", "b"},
	})
	if want := map[string]string{"x-bad": "a\ufffdb", "x-many": "a, b"}; !maps.Equal(got, want) {
		t.Errorf("the guest sees %v", got)
	}
}

func TestEveryMethod(t *testing.T) {
	b := mapped(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.Header.Get("Idempotency-Key")+" "+strings.Join(r.TransferEncoding, ","))
	}, Options{})
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		call := b.callOf(abi.ToolHTTPRequest, abi.HTTPRequest{Method: method, URL: "https://api.test"})
		result, err := b.Perform(t.Context(), b.permit, call)
		if err != nil {
			t.Fatal(err)
		}
		want := method + " " + call.Key + " "
		switch method {
		case "GET":
			want = "GET  "
		case "HEAD":
			want = ""
		}
		if got := bodyOf[abi.HTTPResponse](t, result).Body; got != want {
			t.Errorf("%s: %q, want %q", method, got, want)
		}
	}
}

func TestBinaryBodies(t *testing.T) {
	raw := []byte{0, 0xff, 0xfe, '"'}
	b := mapped(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}, Options{})
	encoded := base64.StdEncoding.EncodeToString(raw)
	result := b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://api.test/", BodyBase64: encoded})
	if response := bodyOf[abi.HTTPResponse](t, result); response.BodyBase64 != encoded || response.Body != "" {
		t.Errorf("response %+v", response)
	}
	wantFailure(t, b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://api.test/", BodyBase64: "AB=="}), abi.FailInvalid, writ.OutcomeNotDone)
	wantFailure(t, b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "GET", URL: "https://api.test/", Body: "x"}), abi.FailInvalid, writ.OutcomeNotDone)
}

func TestHeadersThatGuestsMayNotSet(t *testing.T) {
	var hits atomic.Int32
	b := mapped(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) }, Options{})
	for _, name := range []string{
		"Host", "host", "Connection", "Content-Length", "content-length", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Keep-Alive",
		"Expect", "HTTP2-Settings", "Idempotency-Key", "X-Idempotency-Key", "Accept-Encoding", "Proxy-Authorization", "proxy-connection",
		"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method",
	} {
		result := b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://api.test/", Headers: map[string]string{name: "x"}})
		wantFailure(t, result, abi.FailInvalid, writ.OutcomeNotDone)
	}
	twice := map[string]string{"X-A": "1", "x-a": "2"}
	wantFailure(t, b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "GET", URL: "https://api.test/", Headers: twice}), abi.FailInvalid, writ.OutcomeNotDone)
	if hits.Load() != 0 {
		t.Error("something was sent")
	}
	own := map[string]string{"Authorization": "Bearer own", "Cookie": "a=b", "User-Agent": "me"}
	if result := b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "GET", URL: "https://api.test/", Headers: own}); result.Failure != nil {
		t.Error(result.Failure)
	}
}

// TestURLsThatAreRefused: each is an error or a refusal, and nothing is sent.
func TestURLsThatAreRefused(t *testing.T) {
	var hits atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	port := server.Listener.Addr().(*net.TCPAddr).Port
	host := func(name string) string { return "http://" + net.JoinHostPort(name, itoa(port)) + "/" }
	b := newBench(t, Options{Resolver: resolving([]string{"127.0.0.1"}), Timeout: time.Second}, anyHTTP())
	for _, text := range []string{
		host("127.0.0.1"), host("::1"), host("::ffff:127.0.0.1"), host("::ffff:7f00:1"), host("::127.0.0.1"), host("64:ff9b::7f00:1"), host("2002:7f00:1::"),
		host("0.0.0.0"), host("::"), host("localhost"), host("named.test"), host("named.test."), host("127.0.0.1.nip.test"),
		host("2130706433"), host("0x7f000001"), host("017700000001"), host("0177.0.0.1"), host("127.1"), host("0x7f.1"),
		"http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://168.63.129.16/",
		"http://user:pass@127.0.0.1/", "http://1.1.1.1@127.0.0.1/", "http://127.0.0.1#@1.1.1.1/", "http://[fe80::1%25lo]/",
		"http://127.0.0.1:99999/", "http://127.0.0.1\\@1.1.1.1/", "http:127.0.0.1/", "http:///x", "//127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/",
		host("127.0.0.1") + "a/../b", host("127.0.0.1") + "a/%2e%2e/b", host("127.0.0.1") + "a/%2E/b", host("127.0.0.1") + "a%2fb", host("127.0.0.1") + "a%5cb", host("127.0.0.1") + "%00",
		host("127.0.0.1") + "?a b", host("127.0.0.1") + " HTTP/1.1\r\nX: y", host("127.0.0.1") + "\r\n",
	} {
		args := canonical(t, abi.HTTPRequest{Method: "GET", URL: text})
		facts, err := writ.CallFactsOf(abi.ToolHTTPRequest, args)
		if err != nil {
			continue
		}
		call := &writ.ToolCall{CallFacts: *facts, Tenant: testTenant, Skill: testSkill, Execution: testExecution, Step: testStep}
		result, err := b.Perform(t.Context(), b.permit, call)
		if writ.IsCode(err, writ.CodeForbidden) {
			continue
		}
		if err != nil || result.Failure == nil || result.Outcome != writ.OutcomeNotDone {
			t.Errorf("%q: %+v, %v", text, result, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests reached the loopback interface", hits.Load())
	}
}

func TestAllowedRangesAreReached(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
	port := itoa(server.Listener.Addr().(*net.TCPAddr).Port)
	b := newBench(t, Options{Resolver: resolving([]string{"127.0.0.1"}), AllowPrivate: loopback}, anyHTTP())
	for _, host := range []string{"127.0.0.1:" + port, "[::ffff:127.0.0.1]:" + port, "named.test:" + port} {
		if got := bodyOf[abi.HTTPResponse](t, b.request("GET", "http://"+host+"/")).Body; got != host {
			t.Errorf("the server was called %q, want %q", got, host)
		}
	}
}

// TestRebinding: what was checked is what is dialled, and one bad address among
// good ones spoils an answer.
func TestRebinding(t *testing.T) {
	var inner atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { inner.Add(1) })
	port := itoa(server.Listener.Addr().(*net.TCPAddr).Port)
	for name, list := range map[string][][]string{
		"mixed":          {{"1.1.1.1", "127.0.0.1"}},
		"mixed families": {{"2606:4700::1111", "::1"}},
		"mapped":         {{"::ffff:127.0.0.1"}},
		"private":        {{"10.0.0.1"}},
	} {
		b := newBench(t, Options{Resolver: resolving(list...)}, anyHTTP())
		result := b.request("GET", "http://rebind.test:"+port+"/")
		if wantFailure(t, result, abi.FailDenied, writ.OutcomeNotDone); inner.Load() != 0 {
			t.Fatalf("%s: the inside was reached", name)
		}
	}
	// The second answer would be the private one; nobody asks for it.
	resolver := resolving([]string{"127.0.0.1"}, []string{"127.0.0.2"})
	allowed := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	b := newBench(t, Options{Resolver: resolver, AllowPrivate: allowed}, anyHTTP())
	if result := b.request("GET", "http://rebind.test:"+port+"/"); result.Failure != nil {
		t.Fatal(result.Failure)
	}
	if resolver.next.n != 1 {
		t.Errorf("the name was asked for %d times", resolver.next.n)
	}
	wantFailure(t, b.request("GET", "http://rebind.test:"+port+"/"), abi.FailDenied, writ.OutcomeNotDone)
}

func TestUpstreams(t *testing.T) {
	var uri, host string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		uri, host = r.RequestURI, r.Host
		switch r.URL.Path {
		case "/api/v3/moved":
			w.Header().Set("Location", "http://"+r.Host+"/api/v3/here?q=1")
			w.WriteHeader(http.StatusMovedPermanently)
		case "/api/v3/out":
			w.Header().Set("Location", "http://"+r.Host+"/apix")
			w.WriteHeader(http.StatusMovedPermanently)
		}
	})
	b := newBench(t, Options{Upstreams: map[string]string{"api.github.com": server.URL + "/api/v3/"}, Resolver: answers{}},
		writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.github.com"}, Methods: []string{"GET"}, Paths: []string{"/**", "/"}})
	for path, want := range map[string]string{"": "/api/v3/", "/a%20b?x=%2F": "/api/v3/a%20b?x=%2F", "/moved": "/api/v3/here?q=1"} {
		if result := b.request("GET", "https://api.github.com"+path); result.Failure != nil || uri != want {
			t.Errorf("%q: %q, want %q; %v", path, uri, want, result.Failure)
		}
	}
	if base, _ := url.Parse(server.URL); host != base.Host {
		t.Errorf("the upstream is called %q", host)
	}
	// A redirect to elsewhere on the upstream's host is no redirect to the host
	// that it serves.
	wantFailure(t, b.request("GET", "https://api.github.com/out"), abi.FailDenied, writ.OutcomeDone)
	// The exemption is the mapped host's alone.
	direct := newBench(t, Options{Upstreams: b.opts.Upstreams, Resolver: answers{}}, anyHTTP())
	wantFailure(t, direct.request("GET", server.URL+"/"), abi.FailDenied, writ.OutcomeNotDone)
	for host, base := range map[string]string{
		"a.test": "127.0.0.1:80", "b.test": "ftp://x/", "c.test": "http://u:p@x/", "d.test": "http://x/?q", "e.test": "http://x/#f", "f.test": "http:///x",
		"": "http://x", "G.test": "http://x", "h.test/x": "http://x", "*.test": "http://x",
	} {
		if _, err := New(Options{Upstreams: map[string]string{host: base}}); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%q to %q: %v", host, base, err)
		}
	}
}

func TestNoProxyAndModernTLS(t *testing.T) {
	b := newBench(t, Options{}, anyHTTP())
	transport := b.transport(&egress.Dialer{})
	if transport.Proxy != nil {
		t.Error("a proxy may stand between")
	}
	if transport.TLSClientConfig.InsecureSkipVerify || transport.TLSClientConfig.MinVersion < 0x0303 {
		t.Error("TLS is not verified, or older than 1.2")
	}
}

// itoa, atoi and canonical keep the tables short.
func itoa(n int) string { return strconv.Itoa(n) }

func atoi(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

func canonical(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := canon.MarshalJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

type secrets map[string]string

func (s secrets) Secret(_ context.Context, tenant writ.TenantID, name string) ([]byte, error) {
	if value, ok := s[name]; ok && tenant == testTenant {
		if code, broken := strings.CutPrefix(value, "!"); broken {
			return nil, writ.Errorf(writ.Code(code), "secret "+name+" of provider p", "at /home/x: a detail")
		}
		return []byte(value), nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, "secret "+name, "is not there")
}

// Known has the values, and of a name with "/old" its old one.
func (s secrets) Known(_ context.Context, tenant writ.TenantID) (map[string][][]byte, error) {
	if s["/broken"] != "" {
		return nil, writ.Errorf(writ.CodeTampered, "secret store", "at /home/x: a detail")
	}
	out := map[string][][]byte{}
	for name, value := range s {
		name, _, _ = strings.Cut(name, "/")
		if tenant == testTenant && !strings.HasPrefix(value, "!") {
			out[name] = append(out[name], []byte(value))
		}
	}
	return out, nil
}
