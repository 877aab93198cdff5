package github_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/github"
)

func TestSpeaks(t *testing.T) {
	plain := strings.NewReplacer("\u2060", "", "\\", "", "&lt;", "<", "&amp;", "&")
	channeltest.Speaks(t, channeltest.Speaking{
		Adapter: github.Adapter{}, Token: "ghp_example0000", Thread: "acme/site#12", Path: "/repos/acme/site/issues/12/comments",
		Check: func(t *testing.T, r *http.Request, body []byte) string {
			var in struct{ Body string }
			if err := json.Unmarshal(body, &in); err != nil || r.Header.Get("Authorization") != "Bearer ghp_example0000" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%v %v", err, r.Header)
			}
			for _, bad := range []string{"@ada", "@acme", "#12", "<img", "[x](", "**"} {
				if strings.Contains(in.Body, bad) {
					t.Errorf("%q is in %q", bad, in.Body)
				}
			}
			if len(in.Body) < 1000 {
				return plain.Replace(in.Body)
			}
			return in.Body
		},
		Status: 201, Took: `{"id":1234567}`, ID: "1234567", Error: `{"message":"no"}`, Longest: 60_000,
		Threads: []string{"acme/site", "acme/../x#1", "acme/..#1", "acme/site#0x1", "acme/a/b#1", "#1"},
		Hostile: "@ada (@acme/team) fixes #12 **x** [x](http://a) <img src=x> &lt; `@ada`", Harmless: "@ada (@acme/team) fixes #12 **x** [x](http://a) <img src=x> &lt; `@ada`",
	})
}

// TestSecondaryLimits are a 403 at GitHub.
func TestSecondaryLimits(t *testing.T) {
	for header, wait := range map[string]time.Duration{"Retry-After": 30 * time.Second, "X-Ratelimit-Remaining": 0} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(header, map[string]string{"Retry-After": "30", "X-Ratelimit-Remaining": "0"}[header])
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"message":"You have exceeded a secondary rate limit."}`))
		}))
		_, err := github.Adapter{}.Send(t.Context(), &channel.Account{Token: []byte("x"), Base: server.URL}, &channel.Outgoing{Thread: "a/b#1", Text: "x"})
		if !writ.IsCode(err, writ.CodeLimited) || channel.RetryAfter(err) != wait {
			t.Errorf("%s: %v", header, err)
		}
		server.Close()
	}
}
