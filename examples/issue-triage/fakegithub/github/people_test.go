//go:build !wasip1

package github

import (
	"crypto/hmac"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/examples/loopback"
)

// TestPeopleAreToldOfAsGitHubDoes: each webhook is signed, and says who did what.
func TestPeopleAreToldOfAsGitHubDoes(t *testing.T) {
	type event struct {
		Action     string
		Issue      struct{ Number int }
		Comment    struct{ Body string }
		Sender     struct{ Type, Login string }
		Repository struct {
			FullName string `json:"full_name"`
		}
	}
	var mu sync.Mutex
	var got []string
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var e event
		if err != nil || json.Unmarshal(body, &e) != nil || !hmac.Equal([]byte(r.Header.Get("X-Hub-Signature-256")), []byte("sha256="+loopback.MAC("s3cret", body))) {
			t.Errorf("%v: %v %s", err, r.Header, body)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, strings.Join([]string{r.Header.Get("X-Github-Event"), e.Action, e.Repository.FullName, e.Sender.Login, e.Sender.Type, e.Comment.Body}, " "))
		w.WriteHeader(http.StatusAccepted)
	}))
	defer daemon.Close()
	g := New(Options{Token: "t", Secret: "s3cret", Webhook: daemon.URL})
	grace := Person{ID: 601, Login: "grace"}
	for want := range 2 {
		if name, err := g.Open(t.Context(), grace, "acme/hello", "It crashes", ""); err != nil || name != []string{"acme/hello#1", "acme/hello#2"}[want] {
			t.Fatalf("%q %v", name, err)
		}
	}
	if err := g.Comment(t.Context(), grace, "acme/hello#1", "/approve"); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/repos/acme/hello/issues/1/comments", strings.NewReader(`{"body":"hi"}`))
	request.Header.Set("Authorization", "Bearer t")
	g.ServeHTTP(answer, request)
	if err := g.Close(); err != nil || answer.Code != http.StatusCreated {
		t.Fatal(err, answer.Code)
	}
	want := []string{
		"issues opened acme/hello grace User ", "issues opened acme/hello grace User ", "issue_comment created acme/hello grace User /approve",
		"issue_comment created acme/hello triage-bot[bot] Bot hi",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	again := httptest.NewRecorder()
	g.ServeHTTP(again, httptest.NewRequest(http.MethodPost, "/_people/redeliver", strings.NewReader(`{"number":3}`)))
	if d := g.State().Deliveries; again.Code != http.StatusOK || len(d) != 4 || d[2] != (loopback.Delivery{Number: 3, Event: "issue_comment.created", Status: 202, Times: 2}) || got[4] != got[2] {
		t.Errorf("%d %s: %+v %q", again.Code, again.Body, d, got)
	}
	// Nobody edits what somebody else wrote.
	answer = httptest.NewRecorder()
	request = httptest.NewRequest(http.MethodPatch, "/repos/acme/hello/issues/comments/1", strings.NewReader(`{"body":"hi"}`))
	request.Header.Set("Authorization", "Bearer t")
	if g.ServeHTTP(answer, request); answer.Code != http.StatusForbidden {
		t.Error(answer.Code, answer.Body)
	}
}

func TestWhatNobodyDoes(t *testing.T) {
	g := New(Options{Token: "t"})
	for path, body := range map[string]string{
		"/_people/issues":    `{"repository":"acme","id":1,"login":"a","title":"x"}`,
		"/_people/comments":  `{"issue":"acme/hello","id":1,"login":"a","body":"x"}`,
		"/_people/redeliver": `{"number":1}`,
	} {
		for _, in := range []string{body, `{"other":1}`, `{}`} {
			answer := httptest.NewRecorder()
			if g.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, path, strings.NewReader(in))); answer.Code < 400 {
				t.Errorf("%s %s: %d", path, in, answer.Code)
			}
		}
	}
	// Where no webhook is set, it is said that nobody was told.
	if _, err := g.Open(t.Context(), Person{ID: 1, Login: "a"}, "acme/hello", "x", ""); err == nil || !strings.Contains(err.Error(), "where to send") {
		t.Error(err)
	}
}
