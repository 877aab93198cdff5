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
		Check: func(t *testing.T, r *http.Request, body []byte) string {
			form := formOf(t, r, body)
			if form.Get("thread_ts") != "1700000000.000100" || form.Get("mrkdwn") != "false" || form.Get("link_names") == "1" || form.Get("parse") == "full" {
				t.Errorf("%v", form)
			}
			return form.Get("text")
		},
		Status: 200, Took: `{"ok":true,"channel":"C02GENERAL","ts":"1700000001.000200","message":{}}`, ID: "1700000001.000200", Error: `{"ok":false,"error":"x"}`, Longest: 12_000,
		Threads: []string{"T02ACME", "T02ACME/C02GENERAL/now", "T02ACME/C02GENERAL/1.2/3", "T02ACME/<!here>"},
		Hostile: "<!here> <!channel> <@U02ADA> &amp; <http://a|b>", Harmless: "&lt;!here&gt; &lt;!channel&gt; &lt;@U02ADA&gt; &amp;amp; &lt;http://a|b&gt;",
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

func TestButtonsAndChanges(t *testing.T) {
	var path string
	var form url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		form = r.Form
		_, _ = w.Write([]byte(`{"ok":true,"channel":"C1","ts":"1.2"}`))
	}))
	defer server.Close()
	account := &channel.Account{Token: []byte(botToken), Base: server.URL}
	out := &channel.Outgoing{Thread: "T1/C1", Text: strings.Repeat("<!here> ", 500), Replaces: "1.1", Buttons: []channel.Button{{Label: "Approve", Press: channel.Press{Action: "approve", Value: "d"}}}}
	if id, err := (slack.Adapter{}).Send(t.Context(), account, out); err != nil || id != "1.2" || path != "/api/chat.update" || form.Get("ts") != "1.1" || form.Get("thread_ts") != "" {
		t.Errorf("%q, %v: %s %v", id, err, path, form)
	}
	var blocks []struct {
		Type     string
		Text     struct{ Type, Text string }
		Elements []struct {
			ActionID string `json:"action_id"`
			Value    string
		}
	}
	if err := json.Unmarshal([]byte(form.Get("blocks")), &blocks); err != nil || len(blocks) != 4 {
		t.Fatalf("%v: %d blocks", err, len(blocks))
	}
	for _, b := range blocks[:3] {
		if b.Text.Type != "plain_text" || len(b.Text.Text) > 3000 {
			t.Errorf("%+v", b)
		}
	}
	if e := blocks[3].Elements; len(e) != 1 || e[0].ActionID != "approve" || e[0].Value != "d" {
		t.Errorf("%+v", blocks[3])
	}
}
