package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
)

// logins answers what it is asked, and counts.
type logins struct {
	mu              sync.Mutex
	begun, finished int
}

func (l *logins) Begin(_ context.Context, in *writ.LoginRequest) (*writ.LoginStart, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun++
	return &writ.LoginStart{URL: "https://login.example.com/?r=" + in.Redirect, State: in.Challenge}, nil
}

func (l *logins) Finish(_ context.Context, in *writ.LoginAnswer) (*writ.LoginSession, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finished++
	if in.Code == "bad" {
		return nil, writ.Errorf(writ.CodeUnauthenticated, "login", "no").WithFix("again")
	}
	return &writ.LoginSession{SessionID: in.State, Token: in.Code + in.Verifier + in.Issuer}, nil
}

const (
	begin  = "/v1/login/begin"
	finish = "/v1/login/finish"
)

func TestLoginRoutes(t *testing.T) {
	l := &logins{}
	r := newRig(t, func(o *api.Options) { o.Logins, o.MaxBody = l, 1<<20 })
	c := r.client(func(o *api.ClientOptions) { o.Token = "" })
	start, err := c.Begin(t.Context(), &writ.LoginRequest{Redirect: "r", Challenge: "c"})
	if err != nil || start.URL != "https://login.example.com/?r=r" || start.State != "c" {
		t.Errorf("got %+v, %v", start, err)
	}
	s, err := c.Finish(t.Context(), &writ.LoginAnswer{State: "s", Code: "c", Verifier: "v", Issuer: "i"})
	if err != nil || s.SessionID != "s" || s.Token != "cvi" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err = c.Finish(t.Context(), &writ.LoginAnswer{Code: "bad"}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Errorf("got %v", err)
	}
	l.begun, l.finished = 0, 0
	for name, tc := range map[string]struct {
		method, path, body string
		header             http.Header
		status             int
	}{
		"form":            {"POST", begin, `{}`, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
		"rebound name":    {"POST", begin, `{}`, http.Header{"Host": {"evil.example.net"}}, 421},
		"no JSON":         {"POST", begin, `{`, nil, 400},
		"a member twice":  {"POST", begin, `{"redirectUri":"a","redirectUri":"b"}`, nil, 400},
		"unknown member":  {"POST", finish, `{"state":"a","admin":true}`, nil, 400},
		"one byte more":   {"POST", finish, `{"state":"` + strings.Repeat("x", 16<<10+1-len(`{"state":""}`)) + `"}`, nil, 413},
		"by GET":          {"GET", finish, "", nil, 405},
		"across origins":  {"OPTIONS", finish, "", http.Header{"Origin": {"https://evil.example.net"}}, 405},
		"something else":  {"POST", "/v1/login/other", `{}`, nil, 404},
		"no operation":    {"POST", "/v1/login", `{}`, nil, 404},
		"begin, no query": {"POST", begin + "?redirectUri=x", `[]`, nil, 400},
	} {
		t.Run(name, func(t *testing.T) {
			if resp, p := r.send(tc.method, tc.path, tc.body, tc.header); resp.StatusCode != tc.status {
				t.Errorf("got %d %+v, want %d", resp.StatusCode, p, tc.status)
			}
		})
	}
	if l.begun+l.finished != 0 {
		t.Errorf("%d refused logins got through", l.begun+l.finished)
	}
	if resp, _ := r.send("POST", finish, `{"state":"`+strings.Repeat("x", 16<<10-len(`{"state":""}`))+`"}`, nil); resp.StatusCode != 200 {
		t.Errorf("at the limit: %d", resp.StatusCode)
	}
	none := newRig(t, nil)
	if resp, p := none.send("POST", begin, `{}`, nil); resp.StatusCode != 503 || !strings.Contains(p.Fix, "oidc") {
		t.Errorf("without a provider: %d %+v", resp.StatusCode, p)
	}
}

// Each address has twenty requests and one more every three seconds, and costs
// nobody else theirs.
func TestLoginsAreThrottled(t *testing.T) {
	now := time.Unix(1_767_225_600, 0)
	l := &logins{}
	s := api.NewServer(api.Options{Logins: l, Clock: func() time.Time { return now }})
	ask := func(from string) *http.Response {
		req := httptest.NewRequest("POST", "http://localhost"+begin, strings.NewReader(`{}`))
		req.Header.Set("Content-Type", "application/json")
		req.RemoteAddr = from
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		return w.Result()
	}
	status := func(from string) int { return ask(from).StatusCode }
	for i := range 20 {
		if got := status("192.0.2.1:" + strconv.Itoa(1000+i)); got != 200 {
			t.Fatalf("request %d: %d", i, got)
		}
	}
	resp := ask("192.0.2.1:1")
	var p api.Problem
	raw, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(raw, &p) != nil || resp.StatusCode != 429 || p.Code != writ.CodeLimited || resp.Header.Get("Retry-After") != "3" || l.begun != 20 {
		t.Errorf("the 21st: %d %s %v", resp.StatusCode, raw, resp.Header)
	}
	if got := status("[::ffff:192.0.2.1]:1"); got != 429 {
		t.Errorf("the same address in IPv6: %d", got)
	}
	if got := status("192.0.2.2:1"); got != 200 {
		t.Errorf("another address: %d", got)
	}
	now = now.Add(3 * time.Second)
	if a, b := status("192.0.2.1:1"), status("192.0.2.1:1"); a != 200 || b != 429 {
		t.Errorf("after three seconds: %d, %d", a, b)
	}
	for i := range 20 {
		if got := status(fmt.Sprintf("[2001:db8::%x]:1", i)); got != 200 {
			t.Fatalf("address %d of one network: %d", i, got)
		}
	}
	if got := status("[2001:db8::ffff]:1"); got != 429 {
		t.Errorf("a network of IPv6 has many addresses and one allowance: %d", got)
	}
	// Who comes from everywhere shares what is left.
	for i := range 1100 {
		status(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256))
	}
	if got := status("198.51.100.1:1"); got != 429 {
		t.Errorf("the 1,125th address: %d", got)
	}
	if got := status("10.0.0.1:1"); got != 200 {
		t.Errorf("one that came early: %d", got)
	}
	now = now.Add(time.Minute)
	if got := status("198.51.100.1:1"); got != 200 {
		t.Errorf("a minute later: %d", got)
	}
}

// Requests of one address at once have what one after the other would have.
func TestThrottleHammer(t *testing.T) {
	now := time.Unix(1_767_225_600, 0)
	l := &logins{}
	s := api.NewServer(api.Options{Logins: l, Clock: func() time.Time { return now }})
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			req := httptest.NewRequest("POST", "http://localhost"+begin, strings.NewReader(`{}`))
			req.Header.Set("Content-Type", "application/json")
			req.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i%2)
			s.ServeHTTP(httptest.NewRecorder(), req)
		})
	}
	all.Wait()
	if l.begun != 40 {
		t.Errorf("%d of 200 requests of two addresses were let through, want 40", l.begun)
	}
}
