package telegram_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/telegram"
)

func TestSpeaks(t *testing.T) {
	channeltest.Speaks(t, channeltest.Speaking{
		Adapter: telegram.Adapter{}, Token: "123456:ABC-example", Thread: "-1001/7", Path: "/bot123456:ABC-example/sendMessage",
		Check: func(t *testing.T, r *http.Request, body []byte) string {
			var in map[string]any
			if err := json.Unmarshal(body, &in); err != nil || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%v", err)
			}
			text, _ := in["text"].(string)
			if in["chat_id"] != -1001.0 || in["message_thread_id"] != 7.0 || in["parse_mode"] != nil || in["reply_markup"] != nil {
				t.Errorf("%v", in)
			}
			return text
		},
		Status: 200, Took: `{"ok":true,"result":{"message_id":42}}`, ID: "42", Error: `{"ok":false,"description":"Bad Request"}`, Longest: 4096,
		Threads: []string{"@channel", "12/", "12/x", "1/2/3"},
		Hostile: "@ada (@bob) ada@example.com <b>x</b>", Harmless: "@\u2060ada (@\u2060bob) ada@example.com <b>x</b>",
	})
}
