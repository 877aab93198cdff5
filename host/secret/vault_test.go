package secret

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
)

const vaultToken = "hvs.token-of-the-test"

// vaultServer speaks as much of Vault's protocol as the provider does.
type vaultServer struct {
	*httptest.Server
	requests atomic.Int32
	logins   atomic.Int32

	mu       sync.Mutex
	values   map[string][]string // by path, all versions
	token    string              // the one that counts
	secretID string
	lease    int64
	answer   http.HandlerFunc // in the place of all of it
}

func newVaultServer(t *testing.T) *vaultServer {
	t.Helper()
	s := &vaultServer{values: map[string][]string{}, token: vaultToken, secretID: "secret-id", lease: 60}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *vaultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost && r.URL.Path == "/v1/auth/approle/login" {
		s.logIn(w, r)
		return
	}
	versions := s.values[strings.TrimPrefix(r.URL.Path, "/v1/kv/data/")]
	switch {
	case r.Header.Get("X-Vault-Token") != s.token || r.Header.Get("X-Vault-Request") != "true" || r.Header.Get("X-Vault-Namespace") != "ns":
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":["permission denied, you said `+r.Header.Get("X-Vault-Token")+`"]}`)
	case r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/v1/kv/data/") || len(versions) == 0:
		w.WriteHeader(http.StatusNotFound)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"lease_id": "", "data": map[string]any{
			"data":     map[string]any{"value": versions[len(versions)-1], "number": 7},
			"metadata": map[string]any{"version": len(versions), "created_time": "2026-01-02T03:04:05.678Z", "destroyed": false},
		}})
	}
}

func (s *vaultServer) logIn(w http.ResponseWriter, r *http.Request) {
	s.logins.Add(1)
	var in map[string]string
	if json.NewDecoder(r.Body).Decode(&in) != nil || in["role_id"] != "role" || in["secret_id"] != s.secretID || r.Header.Get("X-Vault-Token") != "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.token = fmt.Sprint("hvs.login-", s.logins.Load())
	_ = json.NewEncoder(w).Encode(map[string]any{"auth": map[string]any{"client_token": s.token, "lease_duration": s.lease}})
}

func (s *vaultServer) put(path, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[path] = append(s.values[path], value)
}

func (s *vaultServer) say(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *vaultServer) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// options are those that fit the server.
func (s *vaultServer) options(t *testing.T, c *clockOf) VaultOptions {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	writeSecret(t, file, vaultToken+"\n", 0o600)
	return VaultOptions{URL: s.URL, Mount: "kv", Namespace: "ns", TokenFile: file, CA: s.ca(), Clock: c.read, Timeout: MaxTimeout}
}

func newTestVault(t *testing.T, opts VaultOptions) *Vault {
	t.Helper()
	v, err := NewVault(opts)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func vaultKeeper(t *testing.T) *keeper {
	server, c := newVaultServer(t), &clockOf{now: fixedClock()}
	opts := server.options(t, c)
	return &keeper{
		store: elsewhere(t, newTestVault(t, opts), c.read),
		put:   server.put,
		gone: func(name string) {
			server.mu.Lock()
			defer server.mu.Unlock()
			delete(server.values, name)
		},
		spoil: func(string) writ.Code {
			writeSecret(t, opts.TokenFile, "hvs.another", 0o600)
			return writ.CodeForbidden
		},
		stale: func() { c.now = c.now.Add(DefaultCacheFor) },
	}
}

var apiReference = &Reference{Tenant: tenantA, Name: "api", Provider: "p", Path: "api", Field: "value"}

// TestVaultCache: a value is as old as is said and no older, many callers make one
// request, and a server that is down is no reason to go on with an old value.
func TestVaultCache(t *testing.T) {
	server, c := newVaultServer(t), &clockOf{now: fixedClock()}
	server.put("api", value)
	opts := server.options(t, c)
	opts.CacheFor = 10 * time.Second
	v := newTestVault(t, opts)
	read := func() string {
		got, err := v.Read(t.Context(), apiReference)
		if err != nil {
			t.Error(err)
			return ""
		}
		out := string(got.Value)
		clear(got.Value) // the caller's copy
		return out
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if got := read(); got != value {
				t.Errorf("%q", got)
			}
		})
	}
	wg.Wait()
	if n := server.requests.Load(); n != 1 {
		t.Errorf("%d requests for 16 callers", n)
	}
	server.put("api", "next-value")
	c.now = c.now.Add(10*time.Second - 1)
	if got := read(); got != value {
		t.Errorf("%q before its time", got)
	}
	c.now = c.now.Add(1)
	if got := read(); got != "next-value" {
		t.Errorf("%q after its time", got)
	}
	c.now = c.now.Add(10 * time.Second)
	server.say(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	_, err := v.Read(t.Context(), apiReference)
	wantCode(t, err, writ.CodeUnavailable)
	server.say(nil)
	if got := read(); got != "next-value" {
		t.Errorf("%q after a failure", got)
	}
	if text := fmt.Sprintf("%v %+v %#v", v, v, v); strings.Contains(text, "next-value") || strings.Contains(text, vaultToken) {
		t.Error("printing it shows a value")
	}
}

// TestVaultCacheIsBounded at the limit and one past it.
func TestVaultCacheIsBounded(t *testing.T) {
	server, c := newVaultServer(t), &clockOf{now: fixedClock()}
	v := newTestVault(t, server.options(t, c))
	for i := range maxCached + 1 {
		name := fmt.Sprint("s", i)
		server.put(name, value)
		f := &flight{done: make(chan struct{})}
		v.fly(t.Context(), cacheKey{name, "value"}, f)
		if f.err != nil {
			t.Fatal(f.err)
		}
		c.now = c.now.Add(time.Millisecond)
		if want := min(i+1, maxCached); len(v.cache) != want {
			t.Fatalf("%d values after %d", len(v.cache), i+1)
		}
	}
	if v.cache[cacheKey{"s0", "value"}] != nil || v.cache[cacheKey{"s1", "value"}] == nil {
		t.Error("another than the oldest went")
	}
}

// TestVaultHostileServers: each answer that a server may give in the place of a secret
// has its code, and nothing that it says is repeated.
func TestVaultHostileServers(t *testing.T) {
	good := func(data string) string {
		return `{"data":{"data":` + data + `,"metadata":{"version":1,"created_time":"2026-01-02T03:04:05Z"}}}`
	}
	body := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with %q", r.Header.Get("X-Vault-Token"))
	}))
	defer elsewhere.Close()
	server := newVaultServer(t)
	opts := server.options(t, &clockOf{now: fixedClock()})
	opts.Timeout = MaxTimeout // a machine that is busy is not a server that is
	patient := newTestVault(t, opts)
	opts.Timeout = 300 * time.Millisecond
	hasty := newTestVault(t, opts)
	stop := make(chan struct{})
	defer close(stop)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   writ.Code
	}{
		"as it should":      {body(200, good(`{"value":"fine-value"}`)), ""},
		"no JSON":           {body(200, "s3cr3t <html>"), writ.CodeUnavailable},
		"an array":          {body(200, "[]"), writ.CodeUnavailable},
		"two documents":     {body(200, good(`{"value":"x"}`)+"{}"), writ.CodeUnavailable},
		"cut":               {body(200, good(`{"value":"x"}`)[:30]), writ.CodeUnavailable},
		"not UTF-8":         {body(200, good("{\"value\":\"\xff\xfe\"}")), writ.CodeUnavailable},
		"no data":           {body(200, `{"data":{"data":null}}`), writ.CodeNotFound},
		"KV version 1":      {body(200, `{"data":{"value":"x"}}`), writ.CodeNotFound},
		"another field":     {body(200, good(`{"password":"s3cr3t"}`)), writ.CodeNotFound},
		"a number":          {body(200, good(`{"value":7}`)), writ.CodeInvalid},
		"an object":         {body(200, good(`{"value":{"s3cr3t":1}}`)), writ.CodeInvalid},
		"nothing":           {body(200, ""), writ.CodeUnavailable},
		"no content":        {body(204, ""), writ.CodeUnavailable},
		"unauthorised":      {body(401, "s3cr3t"), writ.CodeForbidden},
		"forbidden":         {body(403, "s3cr3t"), writ.CodeForbidden},
		"not found":         {body(404, `{"data":{"data":{"value":"s3cr3t"}}}`), writ.CodeNotFound},
		"too many requests": {body(429, "s3cr3t"), writ.CodeUnavailable},
		"a standby":         {body(472, "s3cr3t"), writ.CodeUnavailable},
		"sealed":            {body(503, "s3cr3t"), writ.CodeUnavailable},
		"at the limit":      {body(200, padded(good(`{"value":"fine-value"}`), maxAnswer)), ""},
		"one past it":       {body(200, padded(good(`{"value":"s3cr3t-value"}`), maxAnswer+1)), writ.CodeTooLarge},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/s3cr3t", http.StatusTemporaryRedirect)
		}, writ.CodeUnavailable},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for block := strings.Repeat("s3cr3t", 1<<12); ; {
				if _, err := io.WriteString(w, block); err != nil {
					return
				}
			}
		}, writ.CodeTooLarge},
		"endless headers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-S3cr3t", strings.Repeat("s3cr3t", maxVaultHeader))
		}, writ.CodeUnavailable},
		// Both hold on to the end of the test: an answer that ends because who asked has gone
		// could still reach them on a busy machine.
		"silent": {func(http.ResponseWriter, *http.Request) { <-stop }, writ.CodeTimeout},
		"slow": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"data":`)
			w.(http.Flusher).Flush()
			<-stop
		}, writ.CodeTimeout},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"data":`)
		}, writ.CodeUnavailable},
	} {
		server.say(c.answer)
		v := patient
		if c.want == writ.CodeTimeout {
			v = hasty
		}
		v.cache = map[cacheKey]*cached{}
		got, err := v.Read(t.Context(), apiReference)
		if writ.CodeOf(err) != c.want {
			t.Errorf("%s: code %q, want %q: %v", name, writ.CodeOf(err), c.want, err)
		}
		var e *writ.Error
		if errors.As(err, &e) && (e.Fix == "" || strings.Contains(fmt.Sprintf("%+v", *e), "s3cr3t")) {
			t.Errorf("%s: %+v", name, e)
		}
		if c.want == "" && string(got.Value) != "fine-value" {
			t.Errorf("%s: %q", name, got.Value)
		}
	}
}

// padded is a document with white space up to a length.
func padded(document string, length int) string {
	return document + strings.Repeat(" ", length-len(document))
}

// TestVaultOfNobody: no server, a certificate of nobody, plain http, addresses that no
// server has.
func TestVaultOfNobody(t *testing.T) {
	server := newVaultServer(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	plain := httptest.NewServer(server)
	defer plain.Close()
	server.put("api", value)
	for url, want := range map[string]writ.Code{
		"https://" + closed.Addr().String(): writ.CodeUnavailable,
		server.URL:                          writ.CodeUnavailable, // without its authority
		plain.URL:                           "",                   // loopback
		"http://192.0.2.1:8200":             writ.CodeForbidden,
		"http://10.0.0.1":                   writ.CodeForbidden,
		"https://169.254.169.254":           writ.CodeForbidden,
		"https://[fe80::1]":                 writ.CodeForbidden,
		"https://0.0.0.0":                   writ.CodeForbidden,
		"https://224.0.0.1":                 writ.CodeForbidden,
		"https://vault.invalid":             writ.CodeUnavailable,
	} {
		opts := server.options(t, &clockOf{now: fixedClock()})
		opts.URL, opts.CA = url, nil
		_, err := newTestVault(t, opts).Read(t.Context(), apiReference)
		wantCode(t, err, want)
	}
	// The caller gives up first; the request ends by itself.
	server.say(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	opts := server.options(t, &clockOf{now: fixedClock()})
	opts.Timeout = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = newTestVault(t, opts).Read(ctx, apiReference)
	wantCode(t, err, writ.CodeTimeout)
}

// TestVaultTokens: the file is read each time, private, and holds a token.
func TestVaultTokens(t *testing.T) {
	server, c := newVaultServer(t), &clockOf{now: fixedClock()}
	server.put("api", value)
	opts := server.options(t, c)
	v := newTestVault(t, opts)
	for _, at := range []struct {
		text string
		mode os.FileMode
		want writ.Code
	}{
		{vaultToken, 0o400, ""},
		{"hvs.other", 0o600, writ.CodeForbidden},
		{vaultToken + "\r\n", 0o600, ""},
		{vaultToken, 0o640, writ.CodeForbidden},
		{"", 0o600, writ.CodeInvalid},
		{"a b", 0o600, writ.CodeInvalid},
		{vaultToken + "\nX-A: b", 0o600, writ.CodeInvalid},
		{strings.Repeat("x", maxToken), 0o600, writ.CodeForbidden},
		{strings.Repeat("x", maxToken+1), 0o600, writ.CodeInvalid},
	} {
		writeSecret(t, opts.TokenFile, at.text, at.mode)
		v.cache = map[cacheKey]*cached{}
		_, err := v.Read(t.Context(), apiReference)
		if writ.CodeOf(err) != at.want {
			t.Errorf("%.30q %o: %v", at.text, at.mode, err)
		}
	}
	opts.TokenFile += ".absent"
	_, err := newTestVault(t, opts).Read(t.Context(), apiReference)
	wantCode(t, err, writ.CodeNotFound)
}

// TestAppRole: one login serves until its time is nearly over, and once more where the
// server has forgotten the token.
func TestAppRole(t *testing.T) {
	server, c := newVaultServer(t), &clockOf{now: fixedClock()}
	server.put("api", value)
	opts := server.options(t, c)
	opts.CacheFor = time.Second
	opts.AppRole, opts.TokenFile = &AppRole{RoleID: "role", SecretIDFile: opts.TokenFile}, ""
	writeSecret(t, opts.AppRole.SecretIDFile, "secret-id", 0o400)
	v := newTestVault(t, opts)
	read := func(logins int32, want writ.Code) {
		t.Helper()
		_, err := v.Read(t.Context(), apiReference)
		wantCode(t, err, want)
		if n := server.logins.Load(); n != logins {
			t.Errorf("%d logins, want %d", n, logins)
		}
		c.now = c.now.Add(time.Second)
	}
	read(1, "")
	read(1, "")
	c.now = c.now.Add(46*time.Second - 1) // 48 of 60 seconds
	read(1, "")
	read(2, "")
	server.mu.Lock()
	server.token = "hvs.forgotten"
	server.mu.Unlock()
	read(3, "")
	server.mu.Lock()
	server.token, server.secretID = "hvs.forgotten", "renewed"
	server.mu.Unlock()
	read(4, writ.CodeForbidden)
	writeSecret(t, opts.AppRole.SecretIDFile, "renewed", 0o400)
	read(5, "")
	server.say(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"auth":{"client_token":""}}`) })
	v.login.have = ""
	read(5, writ.CodeUnavailable)
}

func TestVaultOptions(t *testing.T) {
	c := &clockOf{now: fixedClock()}
	good := VaultOptions{URL: "https://vault.example.com/base/", TokenFile: "/t", Clock: c.read}
	if v := newTestVault(t, good); v.base.Path != "/base" || v.opts.Mount != "secret" || v.opts.CacheFor != DefaultCacheFor || v.opts.Timeout != DefaultTimeout {
		t.Errorf("%+v", v.opts)
	}
	for name, edit := range map[string]func(*VaultOptions){
		"no clock": func(o *VaultOptions) { o.Clock = nil }, "no URL": func(o *VaultOptions) { o.URL = "" },
		"scheme": func(o *VaultOptions) { o.URL = "ftp://a" }, "user": func(o *VaultOptions) { o.URL = "https://u:p@a" },
		"query": func(o *VaultOptions) { o.URL = "https://a?b" }, "nobody": func(o *VaultOptions) { o.TokenFile = "" },
		"twice":   func(o *VaultOptions) { o.AppRole = &AppRole{RoleID: "r", SecretIDFile: "/s"} },
		"mount":   func(o *VaultOptions) { o.Mount = "../sys" },
		"cache":   func(o *VaultOptions) { o.CacheFor = MaxCacheFor + 1 },
		"-cache":  func(o *VaultOptions) { o.CacheFor = -1 },
		"timeout": func(o *VaultOptions) { o.Timeout = MaxTimeout + 1 },
		"ca":      func(o *VaultOptions) { o.CA = []byte("none") },
		"space":   func(o *VaultOptions) { o.Namespace = "a\r\nb" },
		"role":    func(o *VaultOptions) { o.TokenFile, o.AppRole = "", &AppRole{RoleID: "r"} },
	} {
		opts := good
		edit(&opts)
		_, err := NewVault(opts)
		if writ.CodeOf(err) != writ.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVaultAnswer: whatever a server says, there is a value or a code, and no panic.
func FuzzVaultAnswer(f *testing.F) {
	f.Add([]byte(`{"data":{"data":{"value":"x"},"metadata":{"version":1,"created_time":"2026-01-02T03:04:05Z"}}}`))
	f.Add([]byte(`{"data":{"data":{"value":null},"metadata":{"version":-1,"created_time":"9999-12-31T23:59:59Z"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		reading, err := readingOf(body, "secret", cacheKey{"api", "value"})
		if (reading == nil) == (err == nil) || (err != nil && writ.CodeOf(err) == writ.CodeInternal) {
			t.Errorf("%+v, %v", reading, err)
		}
	})
}
