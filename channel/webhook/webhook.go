// Package webhook is the adapter for whoever sends Standard Webhooks
// (standardwebhooks.com, specification 1.0.0).
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// tolerance is how far a timestamp may be from now, as the specification advises.
const tolerance = 5 * time.Minute

// secretPrefix stands before the base64 of a secret, by the specification.
const secretPrefix = "whsec_"

// The headers of the specification.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// Adapter speaks Standard Webhooks with symmetric signatures (v1).
type Adapter struct{}

var (
	_ channel.Adapter = Adapter{}
	_ channel.Sampler = Adapter{}
)

// Traits implements channel.Adapter.
func (Adapter) Traits() channel.Traits {
	return channel.Traits{Provider: "webhook", Title: "Standard Webhooks", Methods: []string{http.MethodPost}, MaxBody: 1 << 20}
}

// Receive implements channel.Adapter. The id is inside what is signed, and is the
// delivery's key.
func (Adapter) Receive(r *channel.Request, keys [][]byte) (*channel.Receipt, error) {
	id, stamp := r.Header.Get(headerID), r.Header.Get(headerTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if id == "" || err != nil {
		return nil, unsigned("the headers %s and %s are not there as they should be", headerID, headerTimestamp)
	}
	if !channel.Signed(keys, signatures(r.Header.Get(headerSignature)), func(key []byte) []byte { return sign(key, id, stamp, r.Body) }) {
		return nil, unsigned("no signature in %s is of this channel's secret", headerSignature)
	}
	if away := r.At.Std().Sub(time.Unix(seconds, 0)).Abs(); away > tolerance {
		return nil, unsigned("it was signed %s away from now: at most %s", away.Round(time.Second), tolerance)
	}
	if media := r.Header.Get("Content-Type"); media != "" && !isJSON(media) { // the specification demands none
		return nil, writ.Errorf(writ.CodeInvalid, "webhook", "the content type is not application/json").WithFix("send JSON, and say so")
	}
	return &channel.Receipt{Key: id, Accepted: channel.Answer{Status: http.StatusAccepted}}, nil
}

// isJSON is for JSON and what is written in it, such as application/cloudevents+json.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

func unsigned(format string, args ...any) error {
	return writ.Errorf(writ.CodeUnauthenticated, "webhook", format, args...).WithFix("sign as standardwebhooks.com says, with the secret of the channel")
}

// secret is the key itself: "whsec_" and base64, or the bytes as they are.
func secret(key []byte) []byte {
	if encoded, ok := strings.CutPrefix(string(key), secretPrefix); ok {
		if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return raw
		}
	}
	return key
}

func sign(key []byte, id, stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret(key))
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	return mac.Sum(nil)
}

// Sign gives the headers of a request that is signed with a key.
func Sign(key []byte, id string, body []byte, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return http.Header{headerID: {id}, headerTimestamp: {stamp}, headerSignature: {"v1," + base64.StdEncoding.EncodeToString(sign(key, id, stamp, body))}}
}

// signatures are those of version 1 in the header's list, at most eight.
func signatures(header string) [][]byte {
	const most = 8
	var out [][]byte
	for _, field := range strings.Fields(header) {
		encoded, ok := strings.CutPrefix(field, "v1,")
		if !ok || len(out) == most {
			continue
		}
		if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			out = append(out, raw)
		}
	}
	return out
}

// Read implements channel.Adapter. The body is an object; its type names the event,
// and all of it is metadata. A source or actor that it names is nobody's word but the
// sender's: the sender is whoever has the secret.
func (Adapter) Read(d *channel.Delivery) ([]channel.Message, error) {
	metadata, err := channel.Object("webhook", d.Body)
	if err != nil {
		return nil, err
	}
	var event struct {
		Type string `json:"type"`
		Data struct {
			Thread string `json:"thread"`
			Text   string `json:"text"`
		} `json:"data"`
	}
	if err := json.Unmarshal(metadata, &event); err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "webhook", "the body is not an event with a type and data")
	}
	return []channel.Message{{
		Kind: channel.Happened, Event: event.Type, Sender: channel.Sender{ID: "sender", Name: "webhook"},
		Thread: event.Data.Thread, Text: event.Data.Text, Metadata: metadata,
	}}, nil
}

var samples = map[string]string{
	"contact.created": `{"type":"contact.created","timestamp":%q,"data":{"id":"1f81eb52-5198-4599-803e-771906343485","text":"Ada Lovelace","thread":"contacts"}}`,
	"alert.raised":    `{"type":"alert.raised","timestamp":%q,"data":{"id":"alert-17","severity":"warning","text":"The disk of db-3 is 91 % full","thread":"db-3"}}`,
}

// Samples implements channel.Sampler.
func (Adapter) Samples() []string { return channel.SampleNames(samples) }

// Sample implements channel.Sampler.
func (Adapter) Sample(name string, key []byte, at writ.Time) (*channel.Request, error) {
	body, err := channel.SampleBody(samples, name, at)
	if err != nil {
		return nil, err
	}
	id := "msg_sample_" + strconv.FormatInt(int64(at), 36)
	return &channel.Request{Method: http.MethodPost, Body: body, At: at, Header: Sign(key, id, body, at.Std())}, nil
}
