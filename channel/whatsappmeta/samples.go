package whatsappmeta

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

const (
	sampleStart = `{"object":"whatsapp_business_account","entry":[{"id":"401","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550100200","phone_number_id":"2001"},`
	sampleEnd   = `}}]}]}`

	sampleContact = `"contacts":[{"profile":{"name":"Grace"},"wa_id":"15550100601"}],`
	sampleFrom    = `"from":"15550100601","id":"wamid.%[1]s","timestamp":"1772366400",`
	sampleContext = `"context":{"from":"15550100200","id":"wamid.asked"},`
)

// sampleVerify is the verification request of the app dashboard.
const sampleVerify = "verify"

// samples are written here; they have the members that Meta documents and plans read.
var samples = map[string]string{
	"text":     sampleStart + sampleContact + `"messages":[{` + sampleFrom + `"type":"text","text":{"body":"Is the pump in hall 3 still warm?"}}]` + sampleEnd,
	"image":    sampleStart + sampleContact + `"messages":[{` + sampleFrom + `"type":"image","image":{"caption":"The gauge, just now","mime_type":"image/jpeg","sha256":"2bTqCXnl0hLBKVwZ8wjY3k1hQn8FJxhYv5c4pGfV5cM=","id":"3001"}}]` + sampleEnd,
	"button":   sampleStart + sampleContact + `"messages":[{` + sampleFrom + sampleContext + `"type":"interactive","interactive":{"type":"button_reply","button_reply":{"id":"restart:pump-3","title":"Restart"}}}]` + sampleEnd,
	"list":     sampleStart + sampleContact + `"messages":[{` + sampleFrom + sampleContext + `"type":"interactive","interactive":{"type":"list_reply","list_reply":{"id":"choose:pump-4","title":"Pump 4","description":"Hall 3, east"}}}]` + sampleEnd,
	"reaction": sampleStart + sampleContact + `"messages":[{` + sampleFrom + `"type":"reaction","reaction":{"message_id":"wamid.asked","emoji":"\ud83d\udc4d"}}]` + sampleEnd,
	"status":   sampleStart + `"statuses":[{"id":"wamid.%[1]s","status":"delivered","timestamp":"1772366400","recipient_id":"15550100601"}]` + sampleEnd,
}

// Samples implements channel.Sampler.
func (Adapter) Samples() []string { return append(channel.SampleNames(samples), sampleVerify) }

// Sample implements channel.Sampler.
func (Adapter) Sample(name string, key []byte, at writ.Time) (*channel.Request, error) {
	if name == sampleVerify {
		return verify(key, strconv.FormatInt(int64(at), 10), at), nil
	}
	body, err := channel.SampleBody(samples, name, at)
	if err != nil {
		return nil, err
	}
	return signed(key, body, at), nil
}

// verify asks as the app dashboard does.
func verify(key []byte, challenge string, at writ.Time) *channel.Request {
	q := url.Values{"hub.mode": {"subscribe"}, "hub.challenge": {challenge}, "hub.verify_token": {Adapter{}.Token(key)}}
	return &channel.Request{Method: http.MethodGet, URL: "https://writ.example.com/webhooks/whatsapp-meta/sample?" + q.Encode(), Header: http.Header{}, At: at}
}

func signed(key, body []byte, at writ.Time) *channel.Request {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set(headerSignature, signaturePrefix+hex.EncodeToString(sign(key, body)))
	return &channel.Request{Method: http.MethodPost, Header: header, Body: body, At: at}
}
