package slack_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/slack"
)

const botToken = "xoxb-0000-example"

func formOf(t *testing.T, r *http.Request, body []byte) url.Values {
	t.Helper()
	form, err := url.ParseQuery(string(body))
	token := form.Get("token")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = bearer
	}
	if err != nil || token != botToken || form.Get("channel") != "C02GENERAL" {
		t.Errorf("%v of %q in %q", err, token, form.Get("channel"))
	}
	return form
}

func TestSpeaks(t *testing.T) {
	channeltest.Speaks(t, channeltest.Speaking{
		Adapter: slack.Adapter{}, Token: botToken, Thread: "T02ACME/C02GENERAL/1700000000.000100", Path: "/api/chat.postMessage",
		Check: func(t *testing.T, r *http.Request, body []byte) channeltest.Seen {
			form := formOf(t, r, body)
			if form.Get("thread_ts") != "1700000000.000100" || form.Has("ts") {
				t.Errorf("%v", form)
			}
			return seenIn(t, form)
		},
		Most: channeltest.Under{Buttons: 25, Styles: true, Field: true},
		Edit: channeltest.Edit{ID: "1700000001.000200", Method: http.MethodPost, Path: "/api/chat.update", Check: func(t *testing.T, r *http.Request, body []byte) channeltest.Seen {
			form := formOf(t, r, body)
			if form.Get("ts") != "1700000001.000200" || form.Has("thread_ts") || !form.Has("blocks") { // else what was there before stays
				t.Errorf("%v", form)
			}
			return seenIn(t, form)
		}},
		Status: 200, Took: `{"ok":true,"channel":"C02GENERAL","ts":"1700000001.000200","message":{}}`, ID: "1700000001.000200", Error: `{"ok":false,"error":"x"}`, Longest: 10_000,
		Threads: []string{"T02ACME", "T02ACME/C02GENERAL/now", "T02ACME/C02GENERAL/1.2/3", "T02ACME/<!here>"},
		Hostile: "<!here> <!channel> <@U02ADA> &amp; <http://a|b>", Harmless: "<!here> <!channel> <@U02ADA> &amp; <http://a|b>",
	})
}

// TestWhatSlackSays in an answer with status 200.
func TestWhatSlackSays(t *testing.T) {
	for said, code := range map[string]writ.Code{
		"channel_not_found": writ.CodeNotFound, "not_in_channel": writ.CodeForbidden, "invalid_auth": writ.CodeUnauthenticated, "ratelimited": writ.CodeLimited,
		"fatal_error": writ.CodeIndeterminate, "internal_error": writ.CodeIndeterminate, "service_unavailable": writ.CodeUnavailable, "msg_too_long": writ.CodeInvalid,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": said})
		}))
		_, err := slack.Adapter{}.Send(t.Context(), &channel.Account{Token: []byte(botToken), Base: server.URL}, &channel.Outgoing{Thread: "T1/C1", Text: "x"})
		if !writ.IsCode(err, code) {
			t.Errorf("%s: %v", said, err)
		}
		server.Close()
	}
}
