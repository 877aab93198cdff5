package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // the reference registry's
	// The reference registry does not end its broadcaster.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func clock() time.Time { return now }

func key(t testing.TB) *registry.Key {
	t.Helper()
	k, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const manifestYAML = `apiVersion: writ/v1
name: acme/mailer
version: VERSION
description: Sends mail.
licence: MIT
abi: writ/v1
actions:
  - name: send
    description: Sends one.
    effects: [none]
    input: {type: object}
    output: {type: object}
`

// unsigned packs a skill with a module of the size.
func unsigned(t testing.TB, version string, size int) []byte {
	t.Helper()
	m, err := registry.ParseManifest("skill.yaml", []byte(strings.Replace(manifestYAML, "VERSION", version, 1)))
	if err != nil {
		t.Fatal(err)
	}
	module := make([]byte, size) // not a module: nothing here runs it
	for i := range module {
		module[i] = byte(i * i >> 3)
	}
	file, err := registry.Pack(m, module)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func sign(t testing.TB, file []byte, key *registry.Key) []byte {
	t.Helper()
	signed, err := registry.Sign(file, registry.SignRequest{Key: key, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// bundle is a signed skill with a module of 300,000 bytes.
func bundle(t testing.TB, version string) []byte {
	t.Helper()
	return sign(t, unsigned(t, version, 300_000), key(t))
}

// newClient speaks plain HTTP to loopback and does not wait long.
func newClient(t testing.TB, edit ...func(*Options)) *Client {
	t.Helper()
	opts := Options{Private: true, PlainLoopback: true, Clock: clock, Timeout: time.Minute}
	for _, e := range edit {
		e(&opts)
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = time.Millisecond
	return c
}

func cached(dir string) func(*Options) { return func(o *Options) { o.CacheDir = dir } }

func ggcrHandler(opts ...ggcr.Option) http.Handler {
	return ggcr.New(append(opts, ggcr.Logger(log.New(io.Discard, "", 0)))...)
}

// distributionHandler is the reference implementation, which has no referrers API.
func distributionHandler(t testing.TB, edit ...func(*configuration.Configuration)) http.Handler {
	t.Helper()
	config := &configuration.Configuration{Version: configuration.CurrentVersion, Storage: configuration.Storage{
		"inmemory":    configuration.Parameters{},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.Log.Level, config.Log.AccessLog.Disabled = "fatal", true
	config.HTTP.Secret = "of this test"
	for _, e := range edit {
		e(config)
	}
	app := handlers.NewApp(t.Context(), config)
	t.Cleanup(func() { _ = app.Shutdown() })
	return app
}

// serve runs a registry on loopback and returns its HOST:PORT.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func at(host string) Reference { return Reference{Host: host, Repository: "acme/mailer", Tag: "1.0.0"} }

func mustPush(t testing.TB, c *Client, file []byte, ref Reference) *Pushed {
	t.Helper()
	out, err := c.Push(t.Context(), file, ref)
	if err != nil {
		t.Fatalf("push: %v", describe(err))
	}
	return out
}

func mustPull(t testing.TB, c *Client, ref Reference) *Pulled {
	t.Helper()
	out, err := c.Pull(t.Context(), ref)
	if err != nil {
		t.Fatalf("pull: %v", describe(err))
	}
	return out
}

func describe(err error) string {
	e, ok := err.(*writ.Error)
	if !ok {
		return err.Error() + " (not a *writ.Error)"
	}
	return string(e.Code) + ": " + e.Error() + " (fix: " + e.Fix + ")"
}

// refused wants an error of the code that says what to do, and each of the words.
func refused(t testing.TB, err error, code writ.Code, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	e, ok := err.(*writ.Error)
	if !ok || e.Code != code || e.Fix == "" || e.Op == "" {
		t.Fatalf("%s, want %s with a fix", describe(err), code)
	}
	for _, word := range words {
		if !strings.Contains(e.Error()+" "+e.Fix, word) {
			t.Errorf("%s does not say %q", describe(err), word)
		}
	}
}

// dockerConfig writes a config.json and returns its path.
func dockerConfig(t testing.TB, document any) string {
	t.Helper()
	raw, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// spy counts requests and lets a test change answers.
type spy struct {
	next http.Handler

	mu       sync.Mutex
	requests []string
	change   func(w http.ResponseWriter, r *http.Request, next http.Handler) // nil: as they are
}

func (s *spy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range"))
	change := s.change
	s.mu.Unlock()
	if change == nil {
		s.next.ServeHTTP(w, r)
		return
	}
	change(w, r, s.next)
}

func (s *spy) set(change func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change, s.requests = change, nil
}

func (s *spy) count(has string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.Contains(r, has) {
			n++
		}
	}
	return n
}

// edited lets next answer and gives its body to edit.
func edited(edit func(header http.Header, body []byte) []byte) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		body := edit(recorded.Header(), recorded.Body.Bytes())
		for name, values := range recorded.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(body)
	}
}

// isGet reports whether a request gets what the path holds.
func isGet(r *http.Request, part string) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, part)
}

// manifestLiteral pushes any manifest, without its blobs.
func manifestLiteral(t testing.TB, host, tag, mediaType string, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPut, "http://"+host+"/v2/acme/mailer/manifests/"+tag, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", mediaType)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("%s", answer.Status)
	}
}

// moduleDigest is the digest of a bundle's module.
func moduleDigest(t testing.TB, file []byte) writ.Digest {
	t.Helper()
	about, err := registry.Inspect(file)
	if err != nil {
		t.Fatal(err)
	}
	return about.Ref.Module
}
