package telegram_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/telegram"
)

const botToken = "123456:ABC-example"

// seenIn a body is the text, and the keys of the keyboard: a message that is changed has
// those alone that come with the change.
func seenIn(t *testing.T, r *http.Request, body []byte, where map[string]any) channeltest.Seen {
	t.Helper()
	var in map[string]any
	var said struct {
		Text   string
		Markup *struct {
			Rows [][]struct {
				Text string
				Data string `json:"callback_data"`
			} `json:"inline_keyboard"`
		} `json:"reply_markup"`
	}
	if json.Unmarshal(body, &in) != nil || json.Unmarshal(body, &said) != nil || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s", body)
	}
	for _, name := range []string{"chat_id", "message_thread_id", "message_id", "parse_mode", "entities"} {
		if in[name] != where[name] {
			t.Errorf("%s is %v, want %v", name, in[name], where[name])
		}
	}
	if channel.UTF16(said.Text) > 4096 {
		t.Errorf("%d units", channel.UTF16(said.Text))
	}
	seen := channeltest.Seen{Text: said.Text}
	if said.Markup == nil {
		return seen
	}
	for _, row := range said.Markup.Rows {
		if len(row) != 1 || len(row[0].Data) > 64 || row[0].Text == "" {
			t.Errorf("%+v", row)
		}
		seen.Buttons = append(seen.Buttons, channel.Button{Label: row[0].Text, Press: *channel.PressOf(row[0].Data)})
	}
	return seen
}

func TestSpeaks(t *testing.T) {
	channeltest.Speaks(t, channeltest.Speaking{
		Adapter: telegram.Adapter{}, Token: botToken, Thread: "-1001/7", Path: "/bot" + botToken + "/sendMessage",
		Check: func(t *testing.T, r *http.Request, body []byte) channeltest.Seen {
			return seenIn(t, r, body, map[string]any{"chat_id": -1001.0, "message_thread_id": 7.0})
		},
		Most: channeltest.Under{Buttons: 10},
		Edit: channeltest.Edit{ID: "42", Method: http.MethodPost, Path: "/bot" + botToken + "/editMessageText", Check: func(t *testing.T, r *http.Request, body []byte) channeltest.Seen {
			return seenIn(t, r, body, map[string]any{"chat_id": -1001.0, "message_id": 42.0})
		}},
		Status: 200, Took: `{"ok":true,"result":{"message_id":42}}`, ID: "42", Error: `{"ok":false,"description":"Bad Request"}`, Longest: 4096,
		Threads: []string{"@channel", "12/", "12/x", "1/2/3"},
		Hostile: "@ada (@bob) ada@example.com <b>x</b>", Harmless: "@\u2060ada (@\u2060bob) ada@example.com <b>x</b>",
	})
}

// TestWhatTelegramSays of a change, with status 400: what is there already is said.
func TestWhatTelegramSays(t *testing.T) {
	const same = "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message"
	for _, c := range []struct {
		said, replaces string
		code           writ.Code
	}{
		{same, "42", ""},
		{same, "", writ.CodeInvalid},
		{"Bad Request: message to edit not found", "42", writ.CodeNotFound},
		{"Bad Request: message can't be edited", "42", writ.CodeInvalid},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"ok":false,"error_code":400,"description":%q}`, c.said)
		}))
		id, err := telegram.Adapter{}.Send(t.Context(), &channel.Account{Token: []byte(botToken), Base: server.URL}, &channel.Outgoing{Thread: "7", Text: "x", Replaces: c.replaces})
		if c.code == "" && (err != nil || id != c.replaces) || c.code != "" && (!writ.IsCode(err, c.code) || id != "") {
			t.Errorf("%q of %q: %q, %v", c.said, c.replaces, id, err)
		}
		server.Close()
	}
}
