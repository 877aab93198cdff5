package whatsapptwilio_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/whatsapptwilio"
)

func TestSpeaks(t *testing.T) {
	const account = "AC00000000000000000000000000000001"
	for token, user := range map[string]string{
		account + ":0123456789abcdef":                                    account,
		account + ":SK00000000000000000000000000000002:0123456789abcdef": "SK00000000000000000000000000000002",
	} {
		channeltest.Speaks(t, channeltest.Speaking{
			Adapter: whatsapptwilio.Adapter{}, Token: token, Thread: "whatsapp:+14155238886/whatsapp:+15005550006", Path: "/2010-04-01/Accounts/" + account + "/Messages.json",
			Check: func(t *testing.T, r *http.Request, body []byte) channeltest.Seen {
				form, err := url.ParseQuery(string(body))
				name, password, _ := r.BasicAuth()
				if err != nil || name != user || password != "0123456789abcdef" || form.Get("From") != "whatsapp:+14155238886" || form.Get("To") != "whatsapp:+15005550006" {
					t.Errorf("%v of %s: %v", err, name, form)
				}
				if channel.UTF16(form.Get("Body")) > 1600 {
					t.Errorf("%d units", channel.UTF16(form.Get("Body")))
				}
				return channeltest.Seen{Text: form.Get("Body")}
			},
			Status: 201, Took: `{"sid":"SM00000000000000000000000000000003"}`, ID: "SM00000000000000000000000000000003", Error: `{"code":20000,"message":"no","status":400}`, Longest: 1600,
			Threads: []string{"whatsapp:+1", "+1/+2", "whatsapp:+1/sms:+2"}, Hostile: "a&To=whatsapp:+1", Harmless: "a&To=whatsapp:+1",
		})
	}
}
