package toolbox

import (
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// redirector answers /to?code=N&where=URL with that redirect, and everything else
// with what it was asked.
func redirector(hits *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		q := r.URL.Query()
		if r.URL.Path == "/to" {
			w.Header().Set("Location", q.Get("where"))
			w.WriteHeader(atoi(q.Get("code")))
			return
		}
		body, _ := io.ReadAll(r.Body)
		lines := []string{r.Method + " " + r.RequestURI + " " + string(body)}
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			lines = append(lines, name+": "+r.Header.Get(name))
		}
		_, _ = io.WriteString(w, strings.Join(lines, "\n"))
	}
}

func to(code, where string) string {
	return "https://api.test/to?code=" + code + "&where=" + url.QueryEscape(where)
}

func TestRedirectMethods(t *testing.T) {
	var hits atomic.Int32
	b := mapped(t, redirector(&hits), Options{})
	for _, c := range []struct{ method, code, want string }{
		{"GET", "301", "GET /end "},
		{"GET", "302", "GET /end "},
		{"GET", "303", "GET /end "},
		{"GET", "307", "GET /end "},
		{"GET", "308", "GET /end "},
		{"POST", "301", "GET /end "},
		{"POST", "302", "GET /end "},
		{"POST", "303", "GET /end "},
		{"POST", "307", "POST /end body"},
		{"POST", "308", "POST /end body"},
		{"PUT", "301", "PUT /end body"},
		{"PUT", "302", "PUT /end body"},
		{"PUT", "303", "GET /end "},
		{"PUT", "307", "PUT /end body"},
		{"DELETE", "303", "GET /end "},
		{"PATCH", "308", "PATCH /end body"},
	} {
		request := abi.HTTPRequest{Method: c.method, URL: to(c.code, "/end#fragment"), Headers: map[string]string{"Content-Type": "text/x"}}
		if c.method != "GET" {
			request.Body = "body"
		}
		response := bodyOf[abi.HTTPResponse](t, b.do(abi.ToolHTTPRequest, request))
		first, rest, _ := strings.Cut(response.Body, "\n")
		if first != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.code, first, c.want)
		}
		if sent := strings.Contains(rest, "Content-Type"); c.method != "GET" && sent == strings.HasPrefix(c.want, "GET") {
			t.Errorf("%s %s: Content-Type sent: %v", c.method, c.code, sent)
		}
	}
	hits.Store(0)
	for _, code := range []string{"300", "304", "305", "306"} {
		if response := bodyOf[abi.HTTPResponse](t, b.request("GET", to(code, "/end"))); response.Status != atoi(code) {
			t.Errorf("%s was followed", code)
		}
	}
	if response := bodyOf[abi.HTTPResponse](t, b.request("GET", "https://api.test/to?code=302")); response.Status != 302 || hits.Load() != 5 {
		t.Error("a redirect to nowhere is an answer")
	}
}

func TestRedirectsThatAreRefused(t *testing.T) {
	var hits, inner atomic.Int32
	inside := serve(t, func(http.ResponseWriter, *http.Request) { inner.Add(1) })
	port := itoa(inside.Listener.Addr().(*net.TCPAddr).Port)
	b := mapped(t, redirector(&hits), Options{Resolver: resolving([]string{"127.0.0.1"})})
	for _, where := range []string{
		inside.URL + "/", "http://inside.test:" + port + "/", "http://[::ffff:127.0.0.1]:" + port + "/", "http://2130706433:" + port + "/",
		"https://127.0.0.1:" + port + "/", "https://inside.test:" + port + "/", "//inside.test:" + port + "/",
		"http://api.test/end", "https://user:pass@api.test/end", "https://api.test/a/%2e%2e/end", "/a%2fb", "javascript:alert(1)", "file:///etc/passwd", "https://", "/end?a b", "https://ä.test/",
	} {
		hits.Store(0)
		result := b.request("GET", to("302", where))
		if result.Failure == nil || result.Outcome == writ.OutcomeUnknown || hits.Load() != 1 {
			t.Errorf("%q: outcome %q, failure %v, %d requests", where, result.Outcome, result.Failure, hits.Load())
			continue
		}
		if strings.Contains(result.Failure.Message, port) || strings.Contains(result.Failure.Message, "inside") {
			t.Errorf("%q: the failure says %q", where, result.Failure.Message)
		}
	}
	if inner.Load() != 0 {
		t.Error("the inside was reached")
	}
}

func TestRedirectsNeedThePermit(t *testing.T) {
	var hits atomic.Int32
	server := serve(t, redirector(&hits))
	b := newBench(t, Options{Upstreams: map[string]string{"api.test": server.URL, "other.test": server.URL}}, writ.Capability{
		Tool: abi.ToolHTTPRequest, Hosts: []string{"api.test"}, Methods: []string{"POST"}, Paths: []string{"/to", "/end"},
	})
	for where, code := range map[string]string{"https://other.test/end": "307", "/elsewhere": "307", "/end": "303", "/*": "307"} {
		hits.Store(0)
		wantFailure(t, b.request("POST", to(code, where)), abi.FailDenied, writ.OutcomeDone)
		if hits.Load() != 1 {
			t.Errorf("%s: %d requests", where, hits.Load())
		}
	}
	if result := b.request("POST", to("307", "/end")); result.Failure != nil {
		t.Error(result.Failure)
	}
}

// TestAssistCoversOneDigest: a human approved one call; where a redirect leads is
// another one.
func TestAssistCoversOneDigest(t *testing.T) {
	var hits atomic.Int32
	b := mapped(t, redirector(&hits), Options{})
	call := b.callOf(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: to("307", "/end")})
	request := writ.ApprovalRequest{
		Tenant: testTenant, Execution: testExecution, Step: testStep, Skill: writ.SkillRef{Key: testSkill}, Input: []byte("{}"), Risk: writ.RiskMedium,
		Call: &writ.ProposedCall{Tool: call.Tool, Digest: call.Digest, Arguments: call.Arguments},
	}
	digest, err := request.Digest()
	if err != nil {
		t.Fatal(err)
	}
	permit, err := writ.MintPermit(
		writ.PermitScope{Tenant: testTenant, Execution: testExecution, Step: testStep, Skill: request.Skill, Capabilities: []writ.Capability{anyHTTP()}},
		writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Assist, Risk: writ.RiskMedium}, Input: []byte("{}"), Approvals: []*writ.Approval{{
			Digest: digest, Status: writ.ApprovalApproved, Request: request, Decisions: []writ.Decision{{By: "ada", Approved: true}},
		}}})
	if err != nil {
		t.Fatal(err)
	}
	result, err := b.Perform(t.Context(), permit, call)
	if err != nil {
		t.Fatal(err)
	}
	if wantFailure(t, result, abi.FailDenied, writ.OutcomeDone); hits.Load() != 1 {
		t.Errorf("%d requests", hits.Load())
	}
	other := b.callOf(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://api.test/end"})
	if _, err := b.Perform(t.Context(), permit, other); !writ.IsCode(err, writ.CodeApprovalNeeded) {
		t.Errorf("another call: %v", err)
	}
}

func TestRedirectsAreCounted(t *testing.T) {
	var hits atomic.Int32
	b := mapped(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if left := atoi(r.URL.Query().Get("left")); left > 0 {
			http.Redirect(w, r, "/?left="+itoa(left-1), http.StatusFound)
		}
	}, Options{})
	if result := b.request("GET", "https://api.test/?left="+itoa(maxRedirects)); result.Failure != nil {
		t.Errorf("at the limit: %v", result.Failure)
	}
	hits.Store(0)
	wantFailure(t, b.request("GET", "https://api.test/?left="+itoa(maxRedirects+1)), abi.FailUnavailable, writ.OutcomeDone)
	if hits.Load() != maxRedirects+1 {
		t.Errorf("%d requests", hits.Load())
	}
}

func TestAStrangerGetsNothingOfTheGuest(t *testing.T) {
	var hits atomic.Int32
	server := serve(t, redirector(&hits))
	source := secrets{"token": "s3cr3t-of-the-api", "other": "s3cr3t-of-the-other"}
	opts := Options{Upstreams: map[string]string{"api.test": server.URL, "other.test": server.URL}, Secrets: source}
	b := newBench(t, opts, anyHTTP(
		abi.Secret{Name: "token", Scheme: "https", Host: "api.test", InjectAs: "header:X-Key"},
		abi.Secret{Name: "other", Scheme: "https", Host: "other.test", InjectAs: "bearer"}))
	headers := map[string]string{"Authorization": "Bearer own", "Cookie": "a=b", "X-Api-Key": "own", "Accept": "text/plain"}
	for _, where := range []string{"https://other.test/end", "https://other.test/to?code=302&where=" + url.QueryEscape("https://api.test/end")} {
		result := b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "GET", URL: to("302", where), Headers: headers})
		body := bodyOf[abi.HTTPResponse](t, result).Body
		for _, gone := range []string{"Authorization", "Cookie", "X-Api-Key", "X-Key", "s3cr3t"} {
			if strings.Contains(body, gone) {
				t.Errorf("%s: the other host sees %s", where, gone)
			}
		}
		if !strings.Contains(body, "Accept: text/plain") {
			t.Errorf("%s: Accept is gone", where)
		}
	}
}
