package toolbox

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

const planted = `s3cr3t+/="&<\ %41 värde`

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestInjection(t *testing.T) {
	for as, want := range map[string]string{
		"bearer":               "Authorization: Bearer " + planted,
		"header:X-Api-Key":     "X-Api-Key: " + planted,
		"header:x-api-key":     "X-Api-Key: " + planted,
		"header:authorization": "Authorization: " + planted,
		"query:key":            "/path?a=1&key=" + url.QueryEscape(planted),
	} {
		var seen string
		b := mapped(t, func(_ http.ResponseWriter, r *http.Request) {
			seen = r.RequestURI
			for name, values := range r.Header {
				seen += "\n" + name + ": " + values[0]
			}
		}, Options{Secrets: secrets{"token": planted}}, abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: as})
		result := b.request("GET", "https://api.test/path?a=1")
		if result.Failure != nil || !strings.Contains(seen, want) {
			t.Errorf("%s: the server saw %q; %v", as, seen, result.Failure)
		}
	}
}

func TestBasicInjection(t *testing.T) {
	var user, password string
	b := mapped(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ = r.BasicAuth()
		if r.URL.Query().Get("echo") != "" {
			_, _ = io.WriteString(w, password)
		}
	}, Options{Secrets: secrets{"login": "ada:correct-horse"}}, abi.Secret{Name: "login", Scheme: "https", Host: "api.test", InjectAs: "basic"})
	if result := b.request("GET", "https://api.test/"); result.Failure != nil || user != "ada" || password != "correct-horse" {
		t.Errorf("%q %q %v", user, password, result.Failure)
	}
	wantFailure(t, b.request("GET", "https://api.test/?echo=password"), abi.FailSecretLeak, writ.OutcomeDone)
}

func TestSecretsThatCannotBeInjected(t *testing.T) {
	var hits atomic.Int32
	source := secrets{
		"short": "1234567", "long": strings.Repeat("x", maxInjected+1), "newline": "s3cr3t-value\n", "crlf": "s3cr3t\r\nX-A: value",
		"no-colon": "s3cr3t-value", "weak": "ada:1234567", "broken": "!tampered", "slow": "!timeout", "closed": "!forbidden", "bad": "!invalid", "gone": "!not_found", "good": "s3cr3t-value",
	}
	cases := []struct{ name, as, code, says string }{
		{"absent", "bearer", abi.FailInvalid, "writ secret set absent"},
		{"short", "bearer", abi.FailInvalid, "writ secret set short"},
		{"long", "bearer", abi.FailInvalid, "writ secret set long"},
		{"newline", "bearer", abi.FailInvalid, "writ secret set newline"},
		{"crlf", "header:X-A", abi.FailInvalid, "writ secret set crlf"},
		{"no-colon", "basic", abi.FailInvalid, "user:password"},
		{"weak", "basic", abi.FailInvalid, "user:password"},
		{"broken", "bearer", abi.FailUnavailable, "secret broken of provider p cannot be read; nothing was sent"},
		{"slow", "bearer", abi.FailTimeout, "secret slow of provider p did not come in time"},
		{"closed", "bearer", abi.FailUnavailable, "secret closed of provider p may not be read"},
		{"bad", "bearer", abi.FailInvalid, "secret bad of provider p has no value that can be used"},
		{"gone", "bearer", abi.FailInvalid, "secret gone of provider p is not set"},
		{"gone", "bearer", abi.FailInvalid, "writ secret list --check"},
		{"good", "", abi.FailInvalid, "manifest"},
		{"good", "cookie", abi.FailInvalid, "manifest"},
		{"good", "bearer:x", abi.FailInvalid, "manifest"},
		{"good", "header:", abi.FailInvalid, "manifest"},
		{"good", "query:", abi.FailInvalid, "manifest"},
		{"good", "header:Host", abi.FailInvalid, "manifest"},
		{"good", "header:Proxy-Authorization", abi.FailInvalid, "manifest"},
	}
	for _, c := range cases {
		b := mapped(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) }, Options{Secrets: source},
			abi.Secret{Name: c.name, Scheme: "https", Host: "api.test", InjectAs: c.as})
		result := b.request("POST", "https://api.test/")
		wantFailure(t, result, c.code, writ.OutcomeNotDone)
		text := result.Failure.Message + result.Failure.Fix
		if !strings.Contains(text, c.says) || strings.Contains(text, "s3cr3t") || strings.Contains(text, "detail") {
			t.Errorf("%s as %q: %q", c.name, c.as, text)
		}
	}
	none := mapped(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) }, Options{}, abi.Secret{Name: "any", Scheme: "https", Host: "api.test", InjectAs: "bearer"})
	wantFailure(t, none.request("GET", "https://api.test/"), abi.FailInvalid, writ.OutcomeNotDone)
	if hits.Load() != 0 {
		t.Error("something was sent")
	}
}

func TestGuestsDoNotStandInASecretsPlace(t *testing.T) {
	var hits atomic.Int32
	cases := []struct {
		as      string
		request abi.HTTPRequest
	}{
		{"bearer", abi.HTTPRequest{Method: "GET", URL: "https://api.test/", Headers: map[string]string{"authorization": "Bearer own"}}},
		{"header:X-Key", abi.HTTPRequest{Method: "GET", URL: "https://api.test/", Headers: map[string]string{"x-key": "own"}}},
		{"query:key", abi.HTTPRequest{Method: "GET", URL: "https://api.test/?a=b&key=own"}},
		{"query:key", abi.HTTPRequest{Method: "GET", URL: "https://api.test/?k%65y=own"}},
		{"query:key", abi.HTTPRequest{Method: "GET", URL: "https://api.test/?key"}},
		{"query:key", abi.HTTPRequest{Method: "GET", URL: "https://api.test/?%zz=own"}},
	}
	for _, c := range cases {
		b := mapped(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) }, Options{Secrets: secrets{"token": planted}},
			abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: c.as})
		wantFailure(t, b.do(abi.ToolHTTPRequest, c.request), abi.FailInvalid, writ.OutcomeNotDone)
	}
	if hits.Load() != 0 {
		t.Error("something was sent")
	}
}

// TestSecretsStayWithTheirHost: another host, scheme or port gets none.
func TestSecretsStayWithTheirHost(t *testing.T) {
	var leaked atomic.Bool
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Store(true)
		}
	})
	opts := Options{Secrets: secrets{"token": planted}, Upstreams: map[string]string{"api.test": server.URL, "other.test": server.URL, "api.test:8443": server.URL}}
	b := newBench(t, opts, anyHTTP(abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: "bearer"}))
	for _, text := range []string{"http://api.test/", "https://other.test/", "https://api.test:8443/"} {
		if result := b.request("GET", text); result.Failure != nil || leaked.Load() {
			t.Errorf("%s: leaked %v, %v", text, leaked.Load(), result.Failure)
		}
	}
	if b.request("GET", "https://API.test:443/"); !leaked.Load() {
		t.Error("the host itself got none")
	}
	// Without a mapping, http would carry the secret in the clear.
	plain := newBench(t, Options{Secrets: opts.Secrets, AllowPrivate: loopback},
		anyHTTP(abi.Secret{Name: "token", Scheme: "http", Host: server.Listener.Addr().String(), InjectAs: "bearer"}))
	wantFailure(t, plain.request("GET", server.URL+"/"), abi.FailInvalid, writ.OutcomeNotDone)
}

// TestEchoes: a server that says the secret back, anywhere and in any encoding,
// is not heard, and nothing of it is in a failure or in the log.
func TestEchoes(t *testing.T) {
	secret := []byte(planted)
	var logged bytes.Buffer
	opts := Options{
		Secrets: secrets{"token": planted}, MaxResponse: 1 << 16,
		Logger: hclog.New(&hclog.LoggerOptions{Output: &logged, Level: hclog.Trace}),
	}
	type place func(w http.ResponseWriter, text []byte)
	places := map[string]place{
		"body": func(w http.ResponseWriter, text []byte) { _, _ = w.Write(text) },
		"error body": func(w http.ResponseWriter, text []byte) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write(append(bytes.Repeat([]byte("x"), 4000), text...))
		},
		"gzip body": func(w http.ResponseWriter, text []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			_, _ = packed.Write(text)
			_ = packed.Close()
		},
		"header": func(w http.ResponseWriter, text []byte) {
			w.Header().Set("X-Echo", strings.ReplaceAll(string(text), "\r\n", " "))
		},
		"set-cookie": func(w http.ResponseWriter, text []byte) {
			w.Header().Set("Set-Cookie", "a="+strings.ReplaceAll(string(text), "\r\n", ""))
		},
		"redirect": func(w http.ResponseWriter, text []byte) {
			w.Header().Set("Location", "/?token="+strings.ReplaceAll(string(text), "\r\n", ""))
			w.WriteHeader(http.StatusFound)
		},
	}
	var answer func(http.ResponseWriter)
	for _, as := range []string{"bearer", "query:key"} {
		b := mapped(t, func(w http.ResponseWriter, _ *http.Request) { answer(w) }, opts,
			abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: as})
		for where, put := range places {
			for _, encoding := range encodings {
				text := encoding.of([]byte("you said "), secret, []byte(", did you?"))
				answer = func(w http.ResponseWriter) { put(w, text) }
				result := b.request("POST", "https://api.test/")
				if result.Failure == nil || result.Failure.Code != abi.FailSecretLeak || result.Outcome != writ.OutcomeDone {
					t.Errorf("%s, %s in the %s: %q %v", as, encoding.name, where, result.Outcome, result.Failure)
				}
				if strings.Contains(fmt.Sprintf("%+v", result.Failure), "s3cr3t") {
					t.Errorf("the failure says it: %v", result.Failure)
				}
			}
		}
	}
	if strings.Contains(logged.String(), "s3cr3t") || strings.Contains(logged.String(), base64.StdEncoding.EncodeToString(secret)[:12]) {
		t.Error("the log says it")
	}
}

// TestOldValuesAreFoundToo: a late answer may hold the value that was rotated away.
func TestOldValuesAreFoundToo(t *testing.T) {
	source := secrets{"token": "s3cr3t-value", "token/old": "0ld-s3cr3t"}
	answers := map[string]string{"0ld-s3cr3t": abi.FailSecretLeak, "0ld-s3cr3": "", base64.StdEncoding.EncodeToString([]byte("x0ld-s3cr3t")): abi.FailSecretLeak}
	for text, want := range answers {
		b := mapped(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }, Options{Secrets: source},
			abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: "bearer"})
		if result := b.request("GET", "https://api.test/"); (result.Failure == nil) != (want == "") || (want != "" && result.Failure.Code != want) {
			t.Errorf("%q: %v", text, result.Failure)
		}
	}
}

// TestWhatGuestsSendHoldsNoSecret: not in the URL, the headers or the body, to whatever
// host. What a step was given is found from 8 bytes on; of others' secrets a refusal
// tells nothing that could be guessed.
func TestWhatGuestsSendHoldsNoSecret(t *testing.T) {
	const own, ownOld, strangers, password = "0wn-s3c8", "0wn-0ld8", "strangers-secret", "short-15-bytes!"
	var hits atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	opts := Options{
		Secrets:   secrets{"token": own, "token/old": ownOld, "other": strangers, "login": "user:" + password, "brief": password},
		Upstreams: map[string]string{"api.test": server.URL, "elsewhere.test": server.URL},
	}
	b := newBench(t, opts, anyHTTP(abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: "bearer"}))
	for _, secret := range []string{own, ownOld, strangers, "user:" + password} {
		for _, host := range []string{"elsewhere.test", "api.test"} {
			for where, request := range map[string]abi.HTTPRequest{
				"path":   {Method: "GET", URL: "https://" + host + "/" + url.PathEscape(secret)},
				"query":  {Method: "GET", URL: "https://" + host + "/?q=" + url.QueryEscape(secret)},
				"header": {Method: "GET", URL: "https://" + host + "/", Headers: map[string]string{"x-a": "a " + secret}},
				"body":   {Method: "POST", URL: "https://" + host + "/", Body: string(jsonText([]byte("see " + secret)))},
				"base64": {Method: "POST", URL: "https://" + host + "/", BodyBase64: base64.StdEncoding.EncodeToString([]byte("\xff" + base64.StdEncoding.EncodeToString([]byte("ab"+secret))))},
			} {
				result := b.do(abi.ToolHTTPRequest, request)
				wantFailure(t, result, abi.FailSecretLeak, writ.OutcomeNotDone)
				if strings.Contains(fmt.Sprintf("%+v", result.Failure), secret) {
					t.Errorf("%s: the failure says it", where)
				}
			}
		}
	}
	if hits.Load() != 0 {
		t.Fatal("something was sent")
	}
	for _, innocent := range []string{password, own[:7], strangers[:15], ownOld[1:]} {
		if result := b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://elsewhere.test/", Body: innocent}); result.Failure != nil {
			t.Errorf("%q: %v", innocent, result.Failure)
		}
	}
}

// TestSecretsThatCannotBeLookedFor stop every request: what leaves would leave unseen.
func TestSecretsThatCannotBeLookedFor(t *testing.T) {
	var hits atomic.Int32
	b := mapped(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) }, Options{Secrets: secrets{"/broken": "x"}})
	result := b.request("GET", "https://api.test/")
	wantFailure(t, result, abi.FailUnavailable, writ.OutcomeNotDone)
	if hits.Load() != 0 || strings.Contains(fmt.Sprintf("%+v", result.Failure), "/home/x") {
		t.Errorf("%d requests, %v", hits.Load(), result.Failure)
	}
}

// TestQuerySecretsAreInNoFailure: the URL that was really sent is in no text.
func TestQuerySecretsAreInNoFailure(t *testing.T) {
	s := serveRaw(t, func(net.Conn, <-chan struct{}) {}).url
	opts := Options{Secrets: secrets{"token": "s3cr3t-value"}}
	for _, base := range []string{s, "http://127.0.0.1:1", "https://127.0.0.1:1"} {
		opts.Upstreams = map[string]string{"api.test": base}
		b := newBench(t, opts, anyHTTP(abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: "query:key"}))
		result := b.request("POST", "https://api.test/")
		if result.Failure == nil || strings.Contains(fmt.Sprintf("%+v", result), "s3cr3t") {
			t.Errorf("%+v", result.Failure)
		}
	}
}
