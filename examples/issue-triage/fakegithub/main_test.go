//go:build !wasip1

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/examples/issue-triage/fakegithub/github"
)

const token = "s3cret"

// start runs the program as it is and returns its URL.
func start(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"-token", token}, in, &stderr)
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("exit %d: %s", code, stderr.String())
		}
	})
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
}

type request struct {
	method, path, body, token, key string
}

func (r request) send(t *testing.T, base string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	var small bytes.Buffer
	if json.Compact(&small, raw) != nil {
		return response.StatusCode, string(raw)
	}
	return response.StatusCode, small.String()
}

const issue = "/repos/o/r/issues/7"

func TestCalls(t *testing.T) {
	base := start(t)
	tests := []struct {
		request
		status int
		answer string
	}{
		{request{"POST", issue + "/labels", `{"labels":["bug","docs","bug"]}`, token, "k1"}, 200, `[{"name":"bug"},{"name":"docs"}]`},
		{request{"POST", issue + "/labels", `{"labels":["bug","docs","bug"]}`, token, "k1"}, 200, `[{"name":"bug"},{"name":"docs"}]`},
		{request{"POST", issue + "/comments", `{"body":"hi"}`, token, "k2"}, 201, `{"body":"hi","html_url":"https://github.com/o/r/issues/7#issuecomment-1","id":1}`},
		{request{"POST", issue + "/comments", `{"body":"hi"}`, token, "k2"}, 201, `{"body":"hi","html_url":"https://github.com/o/r/issues/7#issuecomment-1","id":1}`},
		{request{"POST", issue + "/comments", `{"body":"other"}`, token, "k2"}, 422, `{"message":"the Idempotency-Key was used for another request"}`},
		{request{"POST", issue + "/comments", `{"body":"again"}`, token, ""}, 201, `{"body":"again","html_url":"https://github.com/o/r/issues/7#issuecomment-2","id":2}`},
		{request{"POST", issue + "/comments", `{"body":"again"}`, token, ""}, 201, `{"body":"again","html_url":"https://github.com/o/r/issues/7#issuecomment-3","id":3}`},
		{request{"POST", issue + "/comments", `{"body":""}`, token, "k3"}, 422, `{"message":"body is missing"}`},
		{request{"POST", issue + "/labels", `nonsense`, token, "k4"}, 422, `{"message":"labels are missing"}`},
		{request{"POST", issue + "/comments", strings.Repeat("x", 256<<10+1), token, "k5"}, 413, `{"message":"the body is too large"}`},
		{request{"GET", issue, "", token, ""}, 200, `{"body":null,"html_url":"https://github.com/o/r/issues/7","labels":[{"name":"bug"},{"name":"docs"}],"number":7,"state":"open","title":"An issue","user":{"login":"o"}}`},
		{request{"GET", "/repos/o/r/issues/x", "", token, ""}, 404, `{"message":"Not Found"}`},
		{request{"PATCH", "/repos/o/r/issues/comments/2", `{"body":"then"}`, token, ""}, 200, `{"body":"then","html_url":"https://github.com/o/r/issues/7#issuecomment-2","id":2}`},
		{request{"PATCH", "/repos/o/other/issues/comments/2", `{"body":"then"}`, token, ""}, 404, `{"message":"Not Found"}`},
		{request{"PATCH", "/repos/o/r/issues/comments/9", `{"body":"then"}`, token, ""}, 404, `{"message":"Not Found"}`},
		{request{"PATCH", "/repos/o/r/issues/comments/x", `{"body":"then"}`, token, ""}, 404, `{"message":"Not Found"}`},
		{request{"PATCH", "/repos/o/r/issues/comments/2", `{}`, token, ""}, 422, `{"message":"body is missing"}`},
		{request{"GET", issue + "/comments", "", token, ""}, 200, `[{"body":"hi","html_url":"https://github.com/o/r/issues/7#issuecomment-1","id":1},{"body":"then","html_url":"https://github.com/o/r/issues/7#issuecomment-2","id":2},{"body":"again","html_url":"https://github.com/o/r/issues/7#issuecomment-3","id":3}]`},
		{request{"GET", "/repos/o/r/issues/0/comments", "", token, ""}, 404, `{"message":"Not Found"}`},
		{request{"GET", issue, "", "", ""}, 401, `{"message":"Bad credentials"}`},
		{request{"POST", issue + "/comments", `{"body":"hi"}`, token + "x", "k6"}, 401, `{"message":"Bad credentials"}`},
	}
	for _, tt := range tests {
		status, answer := tt.send(t, base)
		if status != tt.status || answer != tt.answer {
			t.Errorf("%s %s %q (%s) = %d %s, want %d %s", tt.method, tt.path, tt.body[:min(20, len(tt.body))], tt.key, status, answer, tt.status, tt.answer)
		}
	}
	want := github.State{
		Requests: 19, Refused: 2, Effects: 5,
		Keys: map[string]int{"": 7, "k1": 2, "k2": 3, "k3": 1, "k4": 1},
		Issues: map[string]*github.Issue{"o/r#7": {Labels: []string{"bug", "docs"}, Comments: []github.Comment{
			{ID: 1, Author: "triage-bot[bot]", Body: "hi"}, {ID: 2, Author: "triage-bot[bot]", Body: "then", Edits: 1}, {ID: 3, Author: "triage-bot[bot]", Body: "again"},
		}}},
	}
	if got := state(t, base); !reflect.DeepEqual(got, want) {
		t.Errorf("state is %+v, want %+v", got, want)
	}
}

func state(t *testing.T, base string) (s github.State) {
	t.Helper()
	status, body := request{method: "GET", path: "/_state"}.send(t, base)
	if err := json.Unmarshal([]byte(body), &s); err != nil || status != 200 {
		t.Fatalf("state: %d %s", status, body)
	}
	return s
}

// However many at once, one key is one effect.
func TestOneKeyIsOneEffect(t *testing.T) {
	base := start(t)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			request{"POST", issue + "/comments", `{"body":"hi"}`, token, "same"}.send(t, base)
		})
	}
	wait.Wait()
	if s := state(t, base); s.Effects != 1 || s.Keys["same"] != 20 || len(s.Issues["o/r#7"].Comments) != 1 {
		t.Errorf("state is %+v", s)
	}
}

func TestRefusesToStart(t *testing.T) {
	tests := []struct {
		args []string
		code int
		said string
	}{
		{nil, 1, "no token"},
		{[]string{"-token", "t", "-webhook", "http://127.0.0.1:1"}, 1, "no secret"},
		{[]string{"-token", "t", "-addr", "0.0.0.0:0"}, 1, "no loopback address"},
		{[]string{"-token", "t", "-addr", "127.0.0.1:nonsense"}, 1, "fakegithub:"},
		{[]string{"-nonsense"}, 2, "flag provided but not defined"},
	}
	for _, tt := range tests {
		var stderr bytes.Buffer
		if code := run(t.Context(), tt.args, io.Discard, &stderr); code != tt.code || !strings.Contains(stderr.String(), tt.said) {
			t.Errorf("run %v = %d %s, want %d %s", tt.args, code, stderr.String(), tt.code, tt.said)
		}
	}
}
