// Package slack is the adapter for apps of Slack: the Events API, slash commands and
// what people press.
package slack

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

// maxBody is twice what a plan can read, as a form has up to three bytes for one. The
// text of a message has at most 40,000 characters.
const maxBody = 2 << 20

// tolerance is how far a timestamp may be from now, as Slack advises.
const tolerance = 5 * time.Minute

const (
	headerTimestamp = "X-Slack-Request-Timestamp"
	headerSignature = "X-Slack-Signature"
	version         = "v0"
	mediaJSON       = "application/json"
	mediaForm       = "application/x-www-form-urlencoded"
)

// Adapter speaks what Slack sends to the request URLs of an app, all to one URL.
type Adapter struct{}

var (
	_ channel.Adapter = Adapter{}
	_ channel.Sampler = Adapter{}
)

// Traits implements channel.Adapter.
func (Adapter) Traits() channel.Traits {
	return channel.Traits{Provider: "slack", Title: "Slack", Methods: []string{http.MethodPost}, MaxBody: maxBody, Writes: true}
}

// Receive implements channel.Adapter. The time and the body are signed, nothing else:
// the content type must fit the body and decides nothing, or whoever stands in between
// could have what somebody wrote read as a command. Slack wants its answer within 3 s
// and tries again with the same event_id.
func (Adapter) Receive(r *channel.Request, keys [][]byte) (*channel.Receipt, error) {
	stamp := r.Header.Get(headerTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return nil, unsigned("the header %s is not there as it should be", headerTimestamp)
	}
	encoded, ok := strings.CutPrefix(r.Header.Get(headerSignature), version+"=")
	signature, err := hex.DecodeString(encoded)
	if !ok || err != nil || !channel.Signed(keys, [][]byte{signature}, func(key []byte) []byte { return sign(key, stamp, r.Body) }) {
		return nil, unsigned("the signature in %s is not of this channel's secret", headerSignature)
	}
	if away := r.At.Std().Sub(time.Unix(seconds, 0)).Abs(); away > tolerance {
		return nil, unsigned("it was signed %s away from now: at most %s", away.Round(time.Second), tolerance)
	}
	media, receive := mediaForm, receiveForm
	if isObject(r.Body) {
		media, receive = mediaJSON, receiveEvent
	}
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != media {
		return nil, writ.Errorf(writ.CodeInvalid, "slack", "the content type is not %s, as the body is", media).
			WithFix("let nothing between Slack and this host change the headers")
	}
	return receive(r.Body)
}

func unsigned(format string, args ...any) error {
	return writ.Errorf(writ.CodeUnauthenticated, "slack", format, args...).
		WithFix("keep the signing secret of the app (Basic Information, App Credentials) as the secret of the channel, and the clock right")
}

// invalid is for what Slack does not send.
func invalid(format string, args ...any) error {
	return writ.Errorf(writ.CodeInvalid, "slack", format, args...).WithFix("give this URL to nothing but the app's events, commands and interactivity")
}

func sign(key []byte, stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s:%s:", version, stamp)
	mac.Write(body)
	return mac.Sum(nil)
}

// isObject tells an event from a form: no form of Slack's begins with a brace.
func isObject(body []byte) bool { return len(body) > 0 && body[0] == '{' }

// accepted is without a body: Slack would show it to who gave the command.
func accepted(key string) *channel.Receipt {
	return &channel.Receipt{Key: key, Accepted: channel.Answer{Status: http.StatusOK}}
}

// challengeForm keeps what is echoed to what a challenge looks like.
var challengeForm = regexp.MustCompile(`^[0-9A-Za-z_-]{1,256}$`)

func receiveEvent(body []byte) (*channel.Receipt, error) {
	var e struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
		EventID   string `json:"event_id"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, invalid("the body is not JSON of Slack's")
	}
	switch {
	case e.Type == "url_verification" && challengeForm.MatchString(e.Challenge):
		return &channel.Receipt{Handshake: &channel.Answer{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(e.Challenge)}}, nil
	case e.Type == "event_callback" && e.EventID != "":
		return accepted(e.EventID), nil
	case e.Type == "app_rate_limited":
		return accepted(""), nil // the body is its own key
	}
	return nil, invalid("the body is no event of Slack's")
}

// Read implements channel.Adapter. What says something is a message; every other event
// has happened; a slash command has happened as "command.NAME"; a button is pressed. The
// thread is TEAM/CHANNEL/TS of the message that it began with, the sender TEAM/USER: a
// user's id alone is of its workspace only.
func (Adapter) Read(d *channel.Delivery) ([]channel.Message, error) {
	if isObject(d.Body) {
		return readEvent(d.Body)
	}
	return readForm(d.Body)
}

// withheld are members of what Slack sends that let their owner speak for Slack, or in
// the app's name: no plan reads them.
var withheld = []string{"token", "response_url", "response_urls"}

// read decodes canonical JSON into v, and gives it back without what is withheld.
func read(body []byte, v any) (json.RawMessage, error) {
	whole, err := channel.Object("slack", body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(whole, v); err != nil {
		return nil, invalid("the body is not as Slack sends it")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(whole, &members); err != nil {
		return nil, invalid("the body is not as Slack sends it")
	}
	for _, name := range withheld {
		delete(members, name)
	}
	return canon.MarshalJSON(members)
}

var (
	idForm = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)
	tsForm = regexp.MustCompile(`^[0-9]{1,16}\.[0-9]{1,16}$`)
)

// path joins ids that have no slash. An empty one ends it; CodeInvalid for what is no
// id, so that no two threads or senders have one path.
func path(ids ...string) (string, error) {
	var out bytes.Buffer
	for i, id := range ids {
		if id == "" && i > 0 {
			break
		}
		if !idForm.MatchString(id) && (i == 0 || !tsForm.MatchString(id)) {
			return "", invalid("it names no %s as Slack does", []string{"team", "channel or user", "message"}[min(i, 2)])
		}
		if i > 0 {
			out.WriteByte('/')
		}
		out.WriteString(id)
	}
	return out.String(), nil
}

// first that is not empty.
func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
