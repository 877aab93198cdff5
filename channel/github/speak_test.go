package github_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/github"
)

// seenIn a comment is what is rendered of it.
func seenIn(t *testing.T, r *http.Request, body []byte) channeltest.Seen {
	t.Helper()
	var in struct{ Body string }
	if err := json.Unmarshal(body, &in); err != nil || r.Header.Get("Authorization") != "Bearer ghp_example0000" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %v", err, r.Header)
	}
	if channel.UTF16(in.Body) > 65_536 {
		t.Errorf("%d units", channel.UTF16(in.Body))
	}
	return channeltest.Seen{Text: rendered(t, in.Body)}
}

func TestSpeaks(t *testing.T) {
	channeltest.Speaks(t, channeltest.Speaking{
		Adapter: github.Adapter{}, Token: "ghp_example0000", Thread: "acme/site#12", Path: "/repos/acme/site/issues/12/comments",
		Check:  seenIn,
		Edit:   channeltest.Edit{ID: "1234567", Method: http.MethodPatch, Path: "/repos/acme/site/issues/comments/1234567", Check: seenIn},
		Status: 201, Took: `{"id":1234567}`, ID: "1234567", Error: `{"message":"no"}`, Longest: 60_000,
		Threads: []string{"acme/site", "acme/../x#1", "acme/..#1", "acme/site#0x1", "acme/a/b#1", "#1"},
		Hostile: "@ada (@acme/team) fixes #12 **x** [x](http://a) <img src=x> &lt; `@ada`", Harmless: "@\u2060ada (@\u2060acme/team) fixes #\u206012 **x** [x](http://a) <img src=x> &lt; `@\u2060ada`",
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
