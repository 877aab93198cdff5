package whatsapptwilio

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// sampleURL is what samples are signed for: a simulation does not tell whether publicUrl
// is right.
const sampleURL = "https://writ.example.com/webhooks/whatsapp-twilio/sample"

// samples are written here; they have the fields that Twilio documents and plans read.
var samples = map[string]map[string]string{
	"text":   {"Body": "Is the pump in hall 3 still warm?", "MessageType": "text"},
	"media":  {"Body": "The gauge, just now", "MessageType": "image", "NumMedia": "1", "MediaUrl0": "https://api.example.com/media/ME01", "MediaContentType0": "image/jpeg"},
	"button": {"Body": "Restart", "MessageType": "button", "ButtonText": "Restart", "ButtonPayload": "restart:pump-3"},
	"status": {"MessageStatus": "delivered", "SmsStatus": "delivered", "From": "whatsapp:+15550100200", "To": "whatsapp:+15550100601"},
}

// sampleFields are of every sample that does not say otherwise.
var sampleFields = map[string]string{
	"AccountSid": "AC00000000000000000000000000000401", "ApiVersion": "2010-04-01", "From": "whatsapp:+15550100601", "To": "whatsapp:+15550100200",
	"NumMedia": "0", "NumSegments": "1", "ProfileName": "Grace", "SmsStatus": "received", "WaId": "15550100601",
}

// Samples implements channel.Sampler.
func (Adapter) Samples() []string { return slices.Sorted(maps.Keys(samples)) }

// Sample implements channel.Sampler.
func (Adapter) Sample(name string, key []byte, at writ.Time) (*channel.Request, error) {
	fields, ok := samples[name]
	if !ok {
		return nil, writ.Errorf(writ.CodeNotFound, "sample", "there is no sample %q", writ.Clip(name, 128))
	}
	sid := fmt.Sprintf("SM%032x", int64(at))
	form := url.Values{"MessageSid": {sid}, "SmsMessageSid": {sid}, "SmsSid": {sid}}
	for _, of := range []map[string]string{sampleFields, fields} {
		for name, value := range of {
			form.Set(name, value)
		}
	}
	r := signed(sampleURL, key, []byte(form.Encode()))
	r.At = at
	return r, nil
}

// signed is a form as Twilio sends it to a URL.
func signed(to string, key, body []byte) *channel.Request {
	r := &channel.Request{Method: http.MethodPost, URL: to, Header: http.Header{}, Body: body}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	fields, _ := whatIsSigned(r, formatForm) // what is no form is signed as an empty one
	r.Header.Set(headerSignature, base64.StdEncoding.EncodeToString(sign(key, to+fields)))
	return r
}
