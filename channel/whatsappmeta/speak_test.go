package whatsappmeta_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/whatsappmeta"
)

// seenIn a message is its text, and the reply buttons below.
func seenIn(t *testing.T, r *http.Request, body []byte) channeltest.Seen {
	t.Helper()
	var in struct {
		Product     string `json:"messaging_product"`
		To          string
		Type        string
		Text        *struct{ Body string }
		Interactive *struct {
			Type   string
			Body   struct{ Text string }
			Action struct {
				Buttons []struct {
					Type  string
					Reply struct{ ID, Title string }
				}
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || r.Header.Get("Authorization") != "Bearer EAAGexample" || in.Product != "whatsapp" || in.To != "16505551234" {
		t.Errorf("%v %s", err, body)
	}
	if in.Type == "text" && in.Text != nil && in.Interactive == nil {
		return channeltest.Seen{Text: in.Text.Body}
	}
	if in.Type != "interactive" || in.Text != nil || in.Interactive == nil || in.Interactive.Type != "button" || in.Interactive.Body.Text == "" || channel.UTF16(in.Interactive.Body.Text) > 1024 {
		t.Fatalf("%s", body)
	}
	seen := channeltest.Seen{Text: in.Interactive.Body.Text}
	for _, b := range in.Interactive.Action.Buttons {
		if b.Type != "reply" || b.Reply.Title == "" || channel.UTF16(b.Reply.Title) > 20 || len(b.Reply.ID) > 256 {
			t.Errorf("%+v", b)
		}
		seen.Buttons = append(seen.Buttons, channel.Button{Label: b.Reply.Title, Press: *channel.PressOf(b.Reply.ID)})
	}
	return seen
}

func TestSpeaks(t *testing.T) {
	channeltest.Speaks(t, channeltest.Speaking{
		Adapter: whatsappmeta.Adapter{}, Token: "EAAGexample", Thread: "106540352242922/16505551234", Path: "/v23.0/106540352242922/messages",
		Check: seenIn, Most: channeltest.Under{Buttons: 3},
		Status: 200, Took: `{"messages":[{"id":"wamid.HBg"}]}`, ID: "wamid.HBg", Error: `{"error":{"message":"no","code":100}}`, Longest: 4096,
		Threads: []string{"1", "x/1", "1/2/3", "1/", "../1"}, Hostile: `{"x":"y"}`, Harmless: `{"x":"y"}`,
	})
}
