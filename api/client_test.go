package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/contract"
)

func TestClientGivesErrorsBack(t *testing.T) {
	r := newRig(t, nil)
	_, err := contract.Invoke(t.Context(), r.client(nil), contract.PlanCompile, &contract.PlanCompileInput{ExecutionID: "e", IntentID: "i"})
	var e *writ.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	details, ok := e.Details.(json.RawMessage)
	if e.Code != writ.CodePlanRejected || e.Op != "plan" || e.Message != "does not compile" || e.Fix != "fix it" || e.Place != "a.yaml:1:2" ||
		!ok || !strings.Contains(string(details), `"code":"c"`) {
		t.Errorf("%+v", e)
	}
	_, err = r.client(nil).Call(t.Context(), "intent.submit", nil)
	if !errors.As(err, &e) || e.Code != writ.CodeNotFound || !strings.Contains(e.Fix, "controlPlane.intent.submit") {
		t.Errorf("the suggestion is lost: %v", err)
	}
	out, err := contract.Invoke(t.Context(), r.client(nil), contract.IntentSubmit, &contract.IntentSubmitInput{WorkspaceID: "d", Text: "t", IdempotencyKey: "k"})
	if err != nil || out.IntentID != "int_k" || out.Status != "ok" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestClientOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		opts api.ClientOptions
		ok   bool
	}{
		"nothing":             {api.ClientOptions{}, false},
		"both":                {api.ClientOptions{Socket: "s", URL: "http://localhost"}, false},
		"no scheme":           {api.ClientOptions{URL: "localhost:1"}, false},
		"ftp":                 {api.ClientOptions{URL: "ftp://localhost"}, false},
		"credentials":         {api.ClientOptions{URL: "https://a:b@example.com"}, false},
		"query":               {api.ClientOptions{URL: "https://example.com?x"}, false},
		"token in the clear":  {api.ClientOptions{URL: "http://example.com", Token: "t"}, false},
		"loopback look-alike": {api.ClientOptions{URL: "http://127.0.0.1.example.com", Token: "t"}, false},
		"said so":             {api.ClientOptions{URL: "http://example.com", Token: "t", PlaintextUnsafe: true}, true},
		"no token":            {api.ClientOptions{URL: "http://example.com"}, true},
		"loopback":            {api.ClientOptions{URL: "http://[::1]:1", Token: "t"}, true},
		"https":               {api.ClientOptions{URL: "https://example.com/writ/", Token: "t"}, true},
		"socket":              {api.ClientOptions{Socket: "s", Token: "t"}, true},
	} {
		if _, err := api.NewClient(tc.opts); (err == nil) != tc.ok || (err != nil && !writ.IsCode(err, writ.CodeInvalid)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClientAgainstOthers(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	held := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("/redirect/", http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	mux.HandleFunc("/html/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html>bad gateway</html>"))
	})
	mux.HandleFunc("/large/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 101)) })
	mux.HandleFunc("/limit/", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`"` + strings.Repeat("x", 98) + `"`))
	})
	mux.HandleFunc("/hold/", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	other := httptest.NewServer(mux)
	defer other.Close()
	defer close(held)
	for path, want := range map[string]writ.Code{
		"redirect": writ.CodeUnavailable, "html": writ.CodeUnavailable, "large": writ.CodeTooLarge, "limit": "", "hold": writ.CodeTimeout,
	} {
		timeout := time.Minute
		if path == "hold" {
			timeout = time.Millisecond
		}
		c, err := api.NewClient(api.ClientOptions{URL: other.URL + "/" + path, Token: "t", MaxAnswer: 100, Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), "x", nil); writ.CodeOf(err) != want {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		c.Close()
	}
	if reached {
		t.Error("the token went where a redirect pointed")
	}
}

func TestClientWithoutHost(t *testing.T) {
	c, err := api.NewClient(api.ClientOptions{Socket: filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Call(t.Context(), contract.SystemStatus.Key, nil)
	var e *writ.Error
	if !errors.As(err, &e) || e.Code != writ.CodeUnavailable || !strings.Contains(e.Fix, "writ serve") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(ctx, contract.SystemStatus.Key, nil); !writ.IsCode(err, writ.CodeCancelled) {
		t.Errorf("%v", err)
	}
	if err := c.Follow(t.Context(), api.FollowRequest{}, nil); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Errorf("%v", err)
	}
}
