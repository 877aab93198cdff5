package remote

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"golang.org/x/crypto/bcrypt"

	"github.com/writ-run/writ"
)

const (
	user     = "robot"
	password = "a-password-of-tests"
)

func loginOf(host, user, password string) map[string]any {
	return map[string]any{"auths": map[string]any{host: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}}}
}

func withLogin(path string) func(*Options) { return func(o *Options) { o.DockerConfig = path } }

// The reference registry with htpasswd.
func TestBasicAuth(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	passwords := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(passwords, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host := serve(t, distributionHandler(t, func(c *configuration.Configuration) {
		c.Auth = configuration.Auth{"htpasswd": configuration.Parameters{"realm": "writ", "path": passwords}}
	}))
	file := bundle(t, "1.0.0")
	c := newClient(t, withLogin(dockerConfig(t, loginOf(host, user, password))))
	mustPush(t, c, file, at(host))
	if got := mustPull(t, c, at(host)); !bytes.Equal(got.File, file) {
		t.Error("the file differs")
	}
	_, err = newClient(t).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeUnauthenticated, "docker login "+host)
	_, err = newClient(t, withLogin(dockerConfig(t, loginOf(host, user, "not-the-one")))).Push(t.Context(), file, at(host))
	refused(t, err, writ.CodeUnauthenticated, "docker login "+host)
	if strings.Contains(describe(err), "not-the-one") {
		t.Error("the error repeats the password")
	}
	// No file is no login, and a file that is none says so without repeating it.
	_, err = newClient(t, withLogin(filepath.Join(t.TempDir(), "none.json"))).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeUnauthenticated)
	broken := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(broken, []byte(`{"auths": "a-password-of-tests`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = newClient(t, withLogin(broken)).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeInvalid, broken)
	if strings.Contains(describe(err), password) {
		t.Error("the error repeats the file")
	}
}

// tokens is a registry behind a token service on another port.
func tokens(t *testing.T, wants func(r *http.Request) bool) (s *spy, service *httptest.Server) {
	t.Helper()
	s = &spy{next: ggcrHandler()}
	service = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !wants(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "of " + strings.Join(r.URL.Query()["scope"], " "), "access_token": "of " + r.FormValue("scope")})
	}))
	t.Cleanup(service.Close)
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		action := "pull"
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			action = "push"
		}
		if token := r.Header.Get("Authorization"); !strings.HasPrefix(token, "Bearer of repository:acme/mailer:") || !strings.Contains(token, action) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="tests",scope="repository:acme/mailer:pull"`, service.URL))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	return s, service
}

func TestTokenService(t *testing.T) {
	s, service := tokens(t, func(r *http.Request) bool {
		name, given, ok := r.BasicAuth()
		return ok && name == user && given == password
	})
	host := serve(t, s)
	file := bundle(t, "1.0.0")
	c := newClient(t, withLogin(dockerConfig(t, loginOf(host, user, password))))
	mustPush(t, c, file, at(host))
	if got := mustPull(t, c, at(host)); !bytes.Equal(got.File, file) {
		t.Error("the file differs")
	}
	_, err := newClient(t).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeUnauthenticated, "docker login")
	_ = service
}

// An identity token, as `docker login` keeps it for some registries.
func TestIdentityToken(t *testing.T) {
	s, _ := tokens(t, func(r *http.Request) bool {
		return r.Method == http.MethodPost && r.FormValue("grant_type") == "refresh_token" && r.FormValue("refresh_token") == "an-identity"
	})
	host := serve(t, s)
	config := dockerConfig(t, map[string]any{"auths": map[string]any{host: map[string]string{"identitytoken": "an-identity"}}})
	mustPush(t, newClient(t, withLogin(config)), bundle(t, "1.0.0"), at(host))
}

// A token service that the registry names must be where the registry may lead.
func TestTokenServiceElsewhere(t *testing.T) {
	for _, realm := range []string{"http://169.254.169.254/token", "http://10.0.0.1/token", "file:///etc/passwd"} {
		asked := 0
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		_, err := newClient(t, withLogin(dockerConfig(t, loginOf(host, user, password)))).Pull(t.Context(), at(host))
		if err == nil || asked != 1 {
			t.Errorf("%s: %v after %d requests", realm, err, asked)
		}
	}
}

func TestCredentialHelper(t *testing.T) {
	dir := t.TempDir()
	helper := "#!/bin/sh\nread host\n[ \"$1\" = get ] && [ \"$host\" = GOOD ] && echo '{\"Username\":\"" + user + "\",\"Secret\":\"" + password + "\"}' && exit 0\necho 'a-password-of-tests is wrong'; exit 1\n"
	s := &spy{next: ggcrHandler()}
	host := serve(t, s)
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if name, given, _ := r.BasicAuth(); name != user || given != password {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	path := filepath.Join(dir, "docker-credential-tests")
	if err := os.WriteFile(path, []byte(strings.Replace(helper, "GOOD", host, 1)), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	config := dockerConfig(t, map[string]any{"credHelpers": map[string]string{host: "tests"}})
	mustPush(t, newClient(t, withLogin(config)), bundle(t, "1.0.0"), at(host))
	if err := os.WriteFile(path, []byte(strings.Replace(helper, "GOOD", "none", 1)), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, helper := range []string{"tests", "not-there"} {
		config = dockerConfig(t, map[string]any{"credsStore": helper})
		_, err := newClient(t, withLogin(config)).Pull(t.Context(), at(host))
		refused(t, err, writ.CodeUnauthenticated, "credential helper")
		if strings.Contains(describe(err), password) {
			t.Error("the error repeats the helper")
		}
	}
}

func serveTLS(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestTLS(t *testing.T) {
	s := serveTLS(t, ggcrHandler())
	host := strings.TrimPrefix(s.URL, "https://")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	file := bundle(t, "1.0.0")
	tls := func(o *Options) { o.PlainLoopback = false }
	known := newClient(t, tls, func(o *Options) { o.Hosts = map[string]Host{host: {CA: ca}} })
	mustPush(t, known, file, at(host))
	if got := mustPull(t, known, at(host)); !bytes.Equal(got.File, file) {
		t.Error("the file differs")
	}
	_, err := newClient(t, tls).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeUnavailable, "authority", "ca: FILE")
	_, port, _ := strings.Cut(host, ":")
	other := "localhost:" + port
	_, err = newClient(t, tls, func(o *Options) { o.Hosts = map[string]Host{other: {CA: ca}} }).Pull(t.Context(), at(other))
	refused(t, err, writ.CodeUnavailable, "not valid for it")
	plain := serve(t, ggcrHandler())
	_, err = newClient(t, tls).Pull(t.Context(), at(plain))
	refused(t, err, writ.CodeUnavailable, "does not speak TLS", "--plain-http")

	// From https nothing goes on over http, neither by a redirect nor by an upload's location.
	down := &spy{next: ggcrHandler()}
	secure := serveTLS(t, down)
	host = strings.TrimPrefix(secure.URL, "https://")
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	c := newClient(t, tls, func(o *Options) { o.Hosts = map[string]Host{host: {CA: ca}} })
	mustPush(t, c, file, at(host))
	down.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isGet(r, "/blobs/") {
			http.Redirect(w, r, "http://"+plain+r.URL.Path, http.StatusFound)
			return
		}
		next.ServeHTTP(w, r)
	})
	_, err = c.Pull(t.Context(), at(host))
	refused(t, err, writ.CodeForbidden, "from https to http")
	down.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", "http://"+host+"/upload")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		next.ServeHTTP(w, r)
	})
	if _, err = c.Push(t.Context(), bundle(t, "2.0.0"), at(host)); err == nil {
		t.Error("an upload went on over http")
	}
}
