// Package whatsappmeta is the adapter for WhatsApp as Meta itself offers it: the Cloud
// API of the WhatsApp Business Platform.
package whatsappmeta

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// maxBody is what Meta sends at most.
const maxBody = 3 << 20

const (
	headerSignature = "X-Hub-Signature-256"
	signaturePrefix = "sha256="
)

// Adapter speaks the webhooks of object whatsapp_business_account.
type Adapter struct{}

var (
	_ channel.Adapter    = Adapter{}
	_ channel.Challenger = Adapter{}
	_ channel.Sampler    = Adapter{}
)

// Traits implements channel.Adapter.
func (Adapter) Traits() channel.Traits {
	return channel.Traits{Provider: "whatsapp-meta", Title: "WhatsApp by Meta", Methods: []string{http.MethodGet, http.MethodPost}, MaxBody: maxBody, Batched: true, Marks: "*_~`"}
}

// Receive implements channel.Adapter. Meta signs the body as it sends it, letters
// beyond ASCII escaped, and no time: the body is its own key, and what is tried again
// with others beside it is known by the ids of its messages.
func (Adapter) Receive(r *channel.Request, keys [][]byte) (*channel.Receipt, error) {
	if r.Method == http.MethodGet {
		return challenge(r, keys)
	}
	signature, err := hex.DecodeString(strings.TrimPrefix(r.Header.Get(headerSignature), signaturePrefix))
	if err != nil || len(signature) != sha256.Size || !channel.Signed(keys, [][]byte{signature}, func(key []byte) []byte { return sign(key, r.Body) }) {
		return nil, writ.Errorf(writ.CodeUnauthenticated, "whatsapp-meta", "the signature in %s is not of this channel's secret", headerSignature).
			WithFix("the secret must be the app secret: App settings, Basic, in the app dashboard of Meta")
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "the content type is not application/json")
	}
	return &channel.Receipt{Accepted: channel.Answer{Status: http.StatusOK}}, nil
}

func sign(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(nil)
}

// tokenSize is 144 bits in bytes: as base64 it needs no padding.
const tokenSize = 18

// Token implements channel.Challenger. It stands in URLs, and so in logs: the app secret
// itself must not, and HKDF gives what is no signature of any body.
func (Adapter) Token(key []byte) string {
	token, err := hkdf.Key(sha256.New, key, nil, "writ/whatsapp-meta/verify-token/v1", tokenSize)
	if err != nil {
		return "" // of a length that HKDF cannot give
	}
	return base64.RawURLEncoding.EncodeToString(token)
}

// challengeForm is wider than the number that Meta sends, and says nothing to a browser.
var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// challenge answers the question whether somebody here knows the verify token.
func challenge(r *channel.Request, keys [][]byte) (*channel.Receipt, error) {
	asked, err := url.Parse(r.URL)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "the URL cannot be read")
	}
	q := asked.Query()
	token := []byte(q.Get("hub.verify_token"))
	if len(token) == 0 || !channel.Signed(keys, [][]byte{token}, func(key []byte) []byte { return []byte(Adapter{}.Token(key)) }) {
		return nil, writ.Errorf(writ.CodeUnauthenticated, "whatsapp-meta", "hub.verify_token is not the verify token of this channel").
			WithFix("`writ channel list --output json` says which one to give to Meta")
	}
	if q.Get("hub.mode") != "subscribe" || !challengeForm.MatchString(q.Get("hub.challenge")) {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "this is no verification request: want hub.mode=subscribe and a hub.challenge of at most 128 letters and digits")
	}
	return &channel.Receipt{Handshake: &channel.Answer{
		Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(q.Get("hub.challenge")),
	}}, nil
}
