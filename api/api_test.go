package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/contract"
)

func TestEveryRouteHasItsPermission(t *testing.T) {
	routes := api.NewServer(api.Options{}).Routes()
	if len(routes) < 9 {
		t.Fatalf("only %d routes", len(routes))
	}
	doc, err := os.ReadFile(filepath.Join("..", "docs", "access.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("(?m)^\\| `((?:GET|POST|PUT|DELETE) /[^`]*)` \\| `([a-z.-]+)` \\|").FindAllStringSubmatch(string(doc), -1)
	said := map[string]string{}
	for _, row := range documented {
		said[row[1]] = row[2]
	}
	for _, route := range routes {
		known := route.Permission == api.Public || route.Permission == api.ByLogin || route.Permission == api.ByContract || route.Permission == api.BySignature
		for _, c := range contract.Capabilities() {
			known = known || string(route.Permission) == c.Key
		}
		if !known || route.Method == "" {
			t.Errorf("%s %s: permission %q", route.Method, route.Pattern, route.Permission)
		}
		name := route.Method + " " + route.Pattern
		if said[name] != string(route.Permission) {
			t.Errorf("%s asks for %q, and docs/access.md says %q", name, route.Permission, said[name])
		}
		delete(said, name)
	}
	for name := range said {
		t.Errorf("docs/access.md has the route %s, which is not served", name)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, func(o *api.Options) {
		o.Hosts = []string{"writ.example.com"}
		o.Routes = []api.Route{{Method: "GET", Pattern: "/open", Handler: func(http.ResponseWriter, *http.Request) error {
			t.Error("a route without a permission was reached")
			return nil
		}}}
	})
	none := func(name string) http.Header { return http.Header{name: nil} }
	with := func(name string, values ...string) http.Header { return http.Header{name: values} }
	for name, tc := range map[string]struct {
		method, path, body string
		header             http.Header
		status             int
		code               writ.Code
	}{
		"no credential":        {"POST", submit, intent, none("Authorization"), 401, writ.CodeUnauthenticated},
		"wrong token":          {"POST", submit, intent, with("Authorization", "Bearer bad"), 401, writ.CodeUnauthenticated},
		"empty token":          {"POST", submit, intent, with("Authorization", "Bearer "), 401, writ.CodeUnauthenticated},
		"basic":                {"POST", submit, intent, with("Authorization", "Basic Z29vZA=="), 401, writ.CodeUnauthenticated},
		"two credentials":      {"POST", submit, intent, with("Authorization", "Bearer good", "Bearer good"), 401, writ.CodeUnauthenticated},
		"two tokens":           {"POST", submit, intent, with("Authorization", "Bearer good, Bearer bad"), 401, writ.CodeUnauthenticated},
		"endless token":        {"POST", submit, intent, with("Authorization", "Bearer "+strings.Repeat("g", 5000)), 401, writ.CodeUnauthenticated},
		"token in the query":   {"POST", submit + "?access_token=good", intent, none("Authorization"), 401, writ.CodeUnauthenticated},
		"unknown, no caller":   {"POST", "/v1/x", intent, none("Authorization"), 401, writ.CodeUnauthenticated},
		"no capability":        {"POST", submit, intent, with("Authorization", "Bearer bare"), 403, writ.CodeForbidden},
		"events, bare":         {"GET", "/v1/events", "", with("Authorization", "Bearer bare"), 403, writ.CodeForbidden},
		"events, nobody":       {"GET", "/v1/events", "", none("Authorization"), 401, writ.CodeUnauthenticated},
		"metrics, nobody":      {"GET", "/metrics", "", none("Authorization"), 401, writ.CodeUnauthenticated},
		"route of nobody":      {"GET", "/open", "", nil, 403, writ.CodeForbidden},
		"rebound name":         {"POST", submit, intent, with("Host", "evil.example.net"), 421, writ.CodeForbidden},
		"rebound loopback":     {"GET", "/healthz", "", with("Host", "127.0.0.1.evil.example.net"), 421, writ.CodeForbidden},
		"other address":        {"GET", "/healthz", "", with("Host", "10.0.0.1"), 421, writ.CodeForbidden},
		"unknown key":          {"POST", "/v1/controlPlane.intent.submti", intent, nil, 404, writ.CodeNotFound},
		"key with a slash":     {"POST", "/v1/a%2Fb", intent, nil, 404, writ.CodeNotFound},
		"no path":              {"GET", "/nothing", "", nil, 404, writ.CodeNotFound},
		"method":               {"GET", submit, "", nil, 405, writ.CodeInvalid},
		"method of health":     {"POST", "/healthz", "", nil, 405, writ.CodeInvalid},
		"preflight":            {"OPTIONS", submit, "", with("Origin", "https://evil.example.net"), 405, writ.CodeInvalid},
		"no content type":      {"POST", submit, intent, none("Content-Type"), 415, writ.CodeInvalid},
		"form":                 {"POST", submit, intent, with("Content-Type", "application/x-www-form-urlencoded"), 415, writ.CodeInvalid},
		"plain text":           {"POST", submit, intent, with("Content-Type", "text/plain; application/json"), 415, writ.CodeInvalid},
		"latin 1":              {"POST", submit, intent, with("Content-Type", "application/json; charset=latin1"), 415, writ.CodeInvalid},
		"compressed":           {"POST", submit, intent, with("Content-Encoding", "gzip"), 415, writ.CodeInvalid},
		"malformed":            {"POST", submit, `{"text":`, nil, 400, writ.CodeInvalid},
		"no body":              {"POST", submit, ``, nil, 400, writ.CodeInvalid},
		"wrong type":           {"POST", submit, `{"workspaceId":"d","text":[]}`, nil, 400, writ.CodeInvalid},
		"one byte too many":    {"POST", submit, pad(4<<10 + 1), nil, 413, writ.CodeTooLarge},
		"huge":                 {"POST", submit, pad(1 << 20), nil, 413, writ.CodeTooLarge},
		"not served":           {"POST", "/v1/controlPlane.plan.verify", `{"executionId":"e","planId":"p"}`, nil, 503, writ.CodeUnavailable},
		"handler's refusal":    {"POST", "/v1/controlPlane.plan.compile", `{"executionId":"e","intentId":"i"}`, nil, 422, writ.CodePlanRejected},
		"bad position":         {"GET", "/v1/events", "", with("Last-Event-ID", "-1"), 400, writ.CodeInvalid},
		"empty idempotency":    {"POST", submit, intent, with("Idempotency-Key", ""), 400, writ.CodeInvalid},
		"two idempotency keys": {"POST", submit, intent, with("Idempotency-Key", "a", "b"), 400, writ.CodeInvalid},
		"long idempotency key": {"POST", submit, intent, with("Idempotency-Key", strings.Repeat("k", 256)), 400, writ.CodeInvalid},
		"idempotency differs":  {"POST", submit, `{"workspaceId":"d","text":"t","idempotencyKey":"a"}`, with("Idempotency-Key", "b"), 400, writ.CodeInvalid},
		"idempotency unserved": {"POST", "/v1/controlPlane.evidence.export", `{"executionId":"e"}`, with("Idempotency-Key", "b"), 400, writ.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			resp, p := r.send(tc.method, tc.path, tc.body, tc.header)
			if resp.StatusCode != tc.status || p.Code != tc.code || p.Status != tc.status {
				t.Fatalf("got %d %+v, want %d %s", resp.StatusCode, p, tc.status, tc.code)
			}
			if p.Type != "urn:writ:error:"+string(tc.code) || p.Title == "" || p.Fix == "" || !strings.HasPrefix(p.Instance, "urn:writ:request:") {
				t.Errorf("the problem is not whole: %+v", p)
			}
			if (resp.StatusCode == 401) != (resp.Header.Get("WWW-Authenticate") != "") {
				t.Error("401 and only 401 carries a challenge")
			}
			for header := range resp.Header {
				if strings.HasPrefix(header, "Access-Control-") {
					t.Errorf("%s: other origins are not served", header)
				}
			}
		})
	}
	if len(r.calls) != 0 {
		t.Errorf("%d refused requests reached a handler", len(r.calls))
	}
}

// TestAProviderIsAskedForNoToken: its signature is wrong, and a token would not help.
func TestAProviderIsAskedForNoToken(t *testing.T) {
	r := newRig(t, func(o *api.Options) {
		o.Routes = []api.Route{{Method: "POST", Pattern: "/signed", Permission: api.BySignature, Handler: func(http.ResponseWriter, *http.Request) error {
			return writ.Errorf(writ.CodeUnauthenticated, "signed", "the signature is not of this channel's secret")
		}}}
	})
	resp, p := r.send("POST", "/signed", "{}", nil)
	if challenge, there := resp.Header["Www-Authenticate"]; resp.StatusCode != 401 || p.Code != writ.CodeUnauthenticated || there {
		t.Errorf("%d %s, %q", resp.StatusCode, p.Code, challenge)
	}
}

// pad is a valid intent of n bytes.
func pad(n int) string {
	return strings.Replace(intent, "hello", strings.Repeat("x", n-len(intent)+len("hello")), 1)
}

func TestAccepted(t *testing.T) {
	r := newRig(t, func(o *api.Options) { o.Hosts = []string{"Writ.example.com"} })
	for name, tc := range map[string]struct {
		method, path, body string
		header             http.Header
	}{
		"plain":            {"POST", submit, intent, nil},
		"at the limit":     {"POST", submit, pad(4 << 10), nil},
		"scheme in case":   {"POST", submit, intent, http.Header{"Authorization": {"bEARER good"}}},
		"charset":          {"POST", submit, intent, http.Header{"Content-Type": {"application/json; charset=UTF-8"}}},
		"configured host":  {"POST", submit, intent, http.Header{"Host": {"WRIT.example.com:8443"}}},
		"final dot":        {"POST", submit, intent, http.Header{"Host": {"writ.example.com."}}},
		"localhost":        {"GET", "/healthz", "", http.Header{"Host": {"localhost:1"}}},
		"IPv6 loopback":    {"GET", "/healthz", "", http.Header{"Host": {"[::1]:1"}}},
		"health, nobody":   {"GET", "/healthz", "", http.Header{"Authorization": nil}},
		"ready, nobody":    {"GET", "/readyz", "", http.Header{"Authorization": nil}},
		"openapi, nobody":  {"GET", "/openapi.json", "", http.Header{"Authorization": nil}},
		"asyncapi, nobody": {"GET", "/asyncapi.json", "", http.Header{"Authorization": nil}},
		"list, no body":    {"POST", "/v1/controlPlane.execution.list", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			resp, p := r.send(tc.method, tc.path, tc.body, tc.header)
			if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") || resp.Header.Get("X-Request-Id") == "" {
				t.Errorf("got %d %+v %v", resp.StatusCode, p, resp.Header)
			}
		})
	}
}

func TestIdempotencyKeyHeader(t *testing.T) {
	r := newRig(t, nil)
	for header, body := range map[string]string{
		"abc":   intent,
		`"abc"`: `{"workspaceId":"default","text":"<&>"}`,
	} {
		req, err := http.NewRequest("POST", "http://"+r.addr+submit, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer good"}, "Content-Type": {"application/json"}, "Idempotency-Key": {header}}
		req.Close = true
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(raw, []byte(`"intentId":"int_abc"`)) {
			t.Errorf("%s: %s", header, raw)
		}
	}
	// Both at once agree, and a key that stands twice in the body stays an error.
	if resp, p := r.send("POST", submit, `{"workspaceId":"d","text":"t","idempotencyKey":"a"}`, http.Header{"Idempotency-Key": {"a"}}); resp.StatusCode != 200 {
		t.Errorf("%+v", p)
	}
	if resp, _ := r.send("POST", submit, `{"workspaceId":"d","text":"t","text":"u"}`, http.Header{"Idempotency-Key": {"a"}}); resp.StatusCode != 400 {
		t.Errorf("a duplicate member got %d", resp.StatusCode)
	}
}

func TestUnixSocket(t *testing.T) {
	r := newRig(t, nil)
	info, err := os.Stat(r.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	peer := r.client(func(o *api.ClientOptions) { o.URL, o.Socket, o.Token = "", r.socket, "" })
	if _, err := contract.Invoke(t.Context(), peer, contract.ExecutionList, &contract.ExecutionListInput{}); err != nil {
		t.Errorf("a peer may read: %v", err)
	}
	_, err = contract.Invoke(t.Context(), peer, contract.IntentSubmit, &contract.IntentSubmitInput{WorkspaceID: "d", Text: "t"})
	if !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("a peer must not command: %v", err)
	}
	asked := r.auth.peers
	wrong := r.client(func(o *api.ClientOptions) { o.URL, o.Socket, o.Token = "", r.socket, "bad" })
	if _, err := wrong.Call(t.Context(), contract.ExecutionList.Key, nil); !writ.IsCode(err, writ.CodeUnauthenticated) || r.auth.peers != asked {
		t.Errorf("a wrong token falls back to the peer: %v", err)
	}
	token := r.client(func(o *api.ClientOptions) { o.URL, o.Socket = "", r.socket })
	if _, err := contract.Invoke(t.Context(), token, contract.IntentSubmit, &contract.IntentSubmitInput{WorkspaceID: "d", Text: "t"}); err != nil {
		t.Errorf("a token over the socket: %v", err)
	}
}

func TestListenUnix(t *testing.T) {
	r := newRig(t, nil)
	if _, err := api.ListenUnix(r.socket); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a live socket: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ListenUnix(file); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a file: %v", err)
	}
	if _, err := api.ListenUnix(filepath.Join(t.TempDir(), "none", "w.sock")); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Errorf("no directory: %v", err)
	}
}

func TestInternalErrorsStayHidden(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, func(o *api.Options) {
		o.Log = hclog.New(&hclog.LoggerOptions{Output: &log, JSONFormat: true})
		o.Caller = callFunc(func(_ context.Context, key string) (json.RawMessage, error) {
			switch key {
			case contract.ExecutionList.Key:
				panic("secret in a panic")
			case contract.PlanVerify.Key:
				return nil, writ.Errorf(writ.CodeInternal, "store", "secret in an error").WithFix("secret fix")
			}
			return nil, errors.New("secret in a bare error")
		})
	})
	for _, path := range []string{contract.ExecutionList.Key, contract.PlanVerify.Key, contract.IntentSubmit.Key} {
		resp, p := r.send("POST", "/v1/"+path, `{}`, nil)
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		id := resp.Header.Get("X-Request-Id")
		if resp.StatusCode != 500 || p.Code != writ.CodeInternal || bytes.Contains(raw, []byte("secret")) || p.Instance != "urn:writ:request:"+id {
			t.Errorf("%s: %d %s", path, resp.StatusCode, raw)
		}
	}
	if err := r.stop(); err != nil { // orders the reads of log after the writes
		t.Fatal(err)
	}
	if text := log.String(); strings.Count(text, `"code":"internal"`) != 3 || !strings.Contains(text, "secret in an error") {
		t.Errorf("the log does not have them: %s", text)
	}
}

type callFunc func(ctx context.Context, key string) (json.RawMessage, error)

func (f callFunc) Call(ctx context.Context, key string, _ json.RawMessage) (json.RawMessage, error) {
	return f(ctx, key)
}

func TestLogHasNoBodiesTokensOrForeignPaths(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, func(o *api.Options) { o.Log = hclog.New(&hclog.LoggerOptions{Output: &log}) })
	r.send("POST", submit, `{"workspaceId":"d","text":"precious words"}`, nil)
	r.send("POST", "/v1/made-up-by-a-stranger?q=precious", `{}`, http.Header{"Authorization": {"Bearer precious"}})
	r.send("GET", "/precious", "", nil)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	text := log.String()
	for _, never := range []string{"precious", "good", "made-up"} {
		if strings.Contains(text, never) {
			t.Errorf("the log has %q: %s", never, text)
		}
	}
	if !strings.Contains(text, contract.IntentSubmit.Key) || !strings.Contains(text, "principal=ada") {
		t.Errorf("the log lacks the request: %s", text)
	}
}

func TestMetrics(t *testing.T) {
	r := newRig(t, func(o *api.Options) {
		o.Findings = func() map[contract.DriftCode]int { return map[contract.DriftCode]int{contract.DriftFeedStale: 2} }
		o.Hooks = func() contract.HookMeters {
			return contract.HookMeters{
				States: map[contract.HookStatus]int{contract.HookActive: 3, contract.HookDisabled: 1}, Behind: 12, DeadLetters: 4, Failing: 1.5,
				Attempts: map[string]uint64{"delivered": 7},
			}
		}
		o.Channels = func() contract.ChannelMeters {
			return contract.ChannelMeters{Waiting: 5, Repeated: 6, Unsaid: 8, GivenUp: 9, Messages: map[writ.DeliveryStatus]uint64{writ.DeliveryAnswered: 2}}
		}
	})
	r.send("POST", submit, intent, nil)
	r.send("POST", "/v1/made.up", intent, nil)
	raw := r.scrape()
	for _, want := range []string{
		`writ_requests_total{code="ok",operation="controlPlane.intent.submit"} 1`,
		`writ_requests_total{code="not_found",operation="unknown"} 1`,
		`writ_drift_findings{code="FEED_STALE"} 2`,
		`writ_hooks{state="active"} 3`, `writ_hooks{state="disabled"} 1`, "writ_hook_behind_positions 12", "writ_hook_dead_letters 4",
		"writ_hook_failing_seconds 1.5", `writ_hook_attempts_total{outcome="delivered"} 7`,
		"writ_channel_waiting 5", "writ_channel_repeated_total 6", "writ_channel_outbox_waiting 8", "writ_channel_outbox_given_up 9",
		`writ_channel_messages_total{outcome="answered"} 2`,
	} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("lacks %s: %s", want, raw)
		}
	}
	for _, never := range []string{"default", "ada", "made"} {
		if bytes.Contains(raw, []byte(never)) {
			t.Errorf("the metrics name %s", never)
		}
	}
}

// scrape reads the metrics.
func (r *rig) scrape() []byte {
	r.t.Helper()
	req, err := http.NewRequest("GET", "http://"+r.addr+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Authorization", "Bearer good")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.Body.Close() != nil {
		r.t.Fatal(err)
	}
	return raw
}

// TestMetricsOfApprovals: by rule, risk and outcome, and no more series than a few
// hundred, whatever a policy calls its rules.
func TestMetricsOfApprovals(t *testing.T) {
	r := newRig(t, nil)
	r.server.Decided(contract.ApprovalSample{Rules: []string{"risk", "untrusted-origin"}, Risk: writ.RiskMedium, Outcome: writ.ApprovalApproved, Took: 2 * time.Second})
	r.server.Decided(contract.ApprovalSample{Rules: []string{"risk"}, Risk: writ.RiskMedium, Outcome: writ.ApprovalRejected, Took: 3 * time.Second})
	r.server.Decided(contract.ApprovalSample{Rules: []string{"risk"}, Risk: writ.RiskHigh, Outcome: writ.ApprovalExpired, Took: time.Hour})
	for i := range 62 {
		r.server.Decided(contract.ApprovalSample{Rules: []string{fmt.Sprintf("rule %d", i)}, Risk: writ.RiskLow, Outcome: writ.ApprovalExpired})
	}
	raw := r.scrape()
	if bytes.Contains(raw, []byte("(other)")) {
		t.Error("64 rules are too many")
	}
	for range 2 {
		r.server.Decided(contract.ApprovalSample{Rules: []string{"one more"}, Risk: writ.RiskLow, Outcome: writ.ApprovalExpired})
	}
	raw = r.scrape()
	for _, want := range []string{
		`writ_approval_decision_seconds_count{outcome="approved",risk="medium",rule="risk"} 1`,
		`writ_approval_decision_seconds_count{outcome="approved",risk="medium",rule="untrusted-origin"} 1`,
		`writ_approval_decision_seconds_count{outcome="rejected",risk="medium",rule="risk"} 1`,
		`writ_approval_decisions_fast_total{risk="medium",rule="risk"} 1`,
		`writ_approvals_expired_total{risk="high",rule="risk"} 1`,
		`writ_approvals_expired_total{risk="low",rule="(other)"} 2`,
	} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("lacks %s", want)
		}
	}
	if bytes.Contains(raw, []byte("one more")) {
		t.Error("a 65th rule has a series of its own")
	}
}

func TestReadiness(t *testing.T) {
	r := newRig(t, func(o *api.Options) {
		o.Ready = func(context.Context) error { return errors.New("the store at /precious is not open") }
	})
	if resp, p := r.send("GET", "/readyz", "", nil); resp.StatusCode != 503 || strings.Contains(p.Detail, "precious") {
		t.Errorf("%d %+v", resp.StatusCode, p)
	}
}
