package whatsappmeta_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/whatsappmeta"
)

func TestSpeaks(t *testing.T) {
	channeltest.Speaks(t, channeltest.Speaking{
		Adapter: whatsappmeta.Adapter{}, Token: "EAAGexample", Thread: "106540352242922/16505551234", Path: "/v23.0/106540352242922/messages",
		Check: func(t *testing.T, r *http.Request, body []byte) string {
			var in struct {
				Product string `json:"messaging_product"`
				To      string
				Type    string
				Text    struct{ Body string }
			}
			if err := json.Unmarshal(body, &in); err != nil || r.Header.Get("Authorization") != "Bearer EAAGexample" || in.Product != "whatsapp" || in.To != "16505551234" || in.Type != "text" {
				t.Errorf("%v %+v", err, in)
			}
			return in.Text.Body
		},
		Status: 200, Took: `{"messages":[{"id":"wamid.HBg"}]}`, ID: "wamid.HBg", Error: `{"error":{"message":"no","code":100}}`, Longest: 4096,
		Threads: []string{"1", "x/1", "1/2/3", "1/", "../1"}, Hostile: `{"x":"y"}`, Harmless: `{"x":"y"}`,
	})
}
