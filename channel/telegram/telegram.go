// Package telegram is the adapter for bots of Telegram.
package telegram

import (
	"crypto/sha256"
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

// maxBody is what a plan can read. An update has some KiB: its text has at most 4,096
// characters.
const maxBody = 1 << 20

const headerSecret = "X-Telegram-Bot-Api-Secret-Token"

// Adapter speaks the updates of Telegram's Bot API as webhooks.
type Adapter struct{}

var (
	_ channel.Adapter = Adapter{}
	_ channel.Sampler = Adapter{}
)

// Traits implements channel.Adapter.
func (Adapter) Traits() channel.Traits {
	return channel.Traits{Provider: "telegram", Title: "Telegram", Methods: []string{http.MethodPost}, MaxBody: maxBody}
}

// Receive implements channel.Adapter. The secret comes along as it is and signs
// nothing: who sees a request can send any other, so that only TLS keeps it. Digests
// are compared, as they are of one length whatever was sent.
func (Adapter) Receive(r *channel.Request, keys [][]byte) (*channel.Receipt, error) {
	secret := digest([]byte(r.Header.Get(headerSecret)))
	if !channel.Signed(keys, [][]byte{secret}, digest) {
		return nil, writ.Errorf(writ.CodeUnauthenticated, "telegram", "%s is not this channel's secret", headerSecret).
			WithFix("call setWebhook with the secret of the channel as its secret_token")
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, writ.Errorf(writ.CodeInvalid, "telegram", "the content type is not application/json").
			WithFix("let nothing between Telegram and this host change the headers")
	}
	var u struct {
		ID       int64           `json:"update_id"`
		Callback json.RawMessage `json:"callback_query"`
	}
	if err := json.Unmarshal(r.Body, &u); err != nil || u.ID < 1 {
		return nil, invalid("the body is no update: its update_id is no positive integer")
	}
	return &channel.Receipt{Key: number(u.ID), Accepted: accepted(u.Callback)}, nil
}

// callbackForm is wider than the number that Telegram sends.
var callbackForm = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// accepted is the answer to an update. Telegram lets it call one method: a button that was
// pressed stops waiting.
func accepted(pressed json.RawMessage) channel.Answer {
	plain := channel.Answer{Status: http.StatusOK}
	call := struct {
		Method string `json:"method"`
		ID     string `json:"callback_query_id"`
	}{Method: "answerCallbackQuery"}
	var c struct {
		ID string `json:"id"`
	}
	if len(pressed) == 0 || json.Unmarshal(pressed, &c) != nil || !callbackForm.MatchString(c.ID) {
		return plain
	}
	call.ID = c.ID
	body, err := json.Marshal(call)
	if err != nil {
		return plain
	}
	return channel.Answer{Status: http.StatusOK, ContentType: "application/json", Body: body}
}

func digest(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}

// invalid is for what Telegram does not send.
func invalid(format string, args ...any) error {
	return writ.Errorf(writ.CodeInvalid, "telegram", format, args...).WithFix("give this URL to setWebhook of one bot, and to nothing else")
}

func number(id int64) string { return strconv.FormatInt(id, 10) }

// passing kinds of updates, and why.
var passing = map[string]string{
	"edited_message":      "a message was changed",
	"edited_channel_post": "a message was changed",
	"my_chat_member":      "somebody let the bot into a chat or put it out",
}

var kindForm = regexp.MustCompile(`^[a-z_]{1,64}$`)

// Read implements channel.Adapter. The thread is that of the chat, of a forum
// CHAT/TOPIC. Ids are strings, in the metadata too: a plan that reads numbers as
// fractions would not give them back as they were.
func (Adapter) Read(d *channel.Delivery) ([]channel.Message, error) {
	whole, err := channel.Object("telegram", d.Body)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(whole, &members); err != nil || members["update_id"] == nil || len(members) != 2 {
		return nil, invalid("the body is no update: it has an update_id and one thing that happened")
	}
	delete(members, "update_id")
	metadata, err := exact(whole)
	if err != nil {
		return nil, err
	}
	m := channel.Message{Metadata: metadata}
	for kind, body := range members {
		err = readKind(&m, kind, body)
	}
	if err != nil {
		return nil, err
	}
	return []channel.Message{m}, nil
}

// readKind makes a message of the one thing that happened.
func readKind(m *channel.Message, kind string, body json.RawMessage) error {
	switch kind {
	case "message", "channel_post":
		var said message
		if err := said.decode(body); err != nil {
			return err
		}
		return said.read(m, kind == "channel_post")
	case "callback_query":
		var pressed callback
		if err := json.Unmarshal(body, &pressed); err != nil {
			return invalid("the callback_query is not as Telegram sends it")
		}
		return pressed.read(m)
	}
	if !kindForm.MatchString(kind) {
		return invalid("the body is no update of Telegram's")
	}
	m.Kind, m.Why = channel.Passing, passing[kind]
	if m.Why == "" {
		m.Why = "nothing here reads what Telegram calls " + kind
	}
	return nil
}

// exact makes strings of ids.
func exact(whole []byte) (json.RawMessage, error) {
	decoder := json.NewDecoder(strings.NewReader(string(whole)))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, invalid("the body is not JSON")
	}
	return canon.MarshalJSON(named("", v))
}

// named gives back a value in which the integers are strings that are named as ids.
func named(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for member := range v {
			v[member] = named(member, v[member])
		}
	case []any:
		for i := range v {
			v[i] = named(strings.TrimSuffix(name, "s"), v[i])
		}
	case json.Number:
		if _, err := v.Int64(); err == nil && (name == "id" || strings.HasSuffix(name, "_id")) {
			return v.String()
		}
	}
	return v
}
