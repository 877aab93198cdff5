package telegram

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

const (
	maxText   = 4096  // UTF-16 units
	maxPress  = 64    // bytes of what a button sends
	maxChosen = 10    // buttons
	longest   = 2_000 // bytes: of what is kept quiet each counts twice
	home      = "https://api.telegram.org"
)

var _ channel.Speaker = Adapter{}

// Home implements channel.Speaker.
func (Adapter) Home() string { return home }

// Longest implements channel.Speaker.
func (Adapter) Longest() int { return longest }

var (
	chatForm  = regexp.MustCompile(`^(-?[0-9]{1,18})(?:/([0-9]{1,18}))?$`)
	tokenForm = regexp.MustCompile(`^[0-9]{1,20}:[A-Za-z0-9_-]{1,128}$`)
)

// sending is of sendMessage and editMessageText. There is no parse_mode: nothing in the
// text is markup, and what Telegram finds without one is kept quiet.
type sending struct {
	Chat     int64     `json:"chat_id"`
	Topic    int64     `json:"message_thread_id,omitempty"`
	Message  int64     `json:"message_id,omitempty"`
	Text     string    `json:"text"`
	Preview  preview   `json:"link_preview_options"`
	Keyboard *keyboard `json:"reply_markup,omitempty"`
}

type preview struct {
	Disabled bool `json:"is_disabled"`
}

type keyboard struct {
	Rows [][]key `json:"inline_keyboard"`
}

type key struct {
	Text string `json:"text"`
	Data string `json:"callback_data"`
}

// answer is what the Bot API says of every request.
type answer struct {
	OK          bool   `json:"ok"`
	Description string `json:"description"`
	Parameters  struct {
		RetryAfter int64 `json:"retry_after"`
	} `json:"parameters"`
	Result struct {
		ID int64 `json:"message_id"`
	} `json:"result"`
}

// Send implements channel.Speaker.
func (Adapter) Send(ctx context.Context, account *channel.Account, out *channel.Outgoing) (string, error) {
	at := chatForm.FindStringSubmatch(out.Thread)
	if at == nil {
		return "", writ.Errorf(writ.CodeInvalid, "telegram", "%q is no chat", writ.Clip(out.Thread, 64)).WithFix("write CHAT, or CHAT/TOPIC for a topic of a forum, both numbers")
	}
	if !tokenForm.Match(account.Token) { // it is a part of the URL
		return "", writ.Errorf(writ.CodeUnauthenticated, "telegram", "the token is not as BotFather writes it").WithFix("keep the bot's token, such as 123456:ABC-DEF, as the channel's token")
	}
	body, method, err := bodyOf(at, out)
	if err != nil {
		return "", err
	}
	raw, err := canon.MarshalJSON(body)
	if err != nil {
		return "", writ.Errorf(writ.CodeInvalid, "telegram", "the text is not UTF-8")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, home+"/bot"+string(account.Token)+"/"+method, bytes.NewReader(raw))
	if err != nil {
		return "", writ.Errorf(writ.CodeInvalid, "telegram", "the request cannot be made")
	}
	request.Header.Set("Content-Type", "application/json")
	attempt := account.NewAttempt(ctx, home, "telegram")
	var a answer
	reply, err := attempt.Do(request, func(body []byte) string {
		_ = json.Unmarshal(body, &a) // what is not understood says nothing
		return a.Description
	})
	switch {
	case err != nil && writ.IsCode(err, writ.CodeLimited) && a.Parameters.RetryAfter > 0:
		return "", channel.Limited("telegram", time.Duration(min(a.Parameters.RetryAfter, 1<<20))*time.Second)
	case writ.IsCode(err, writ.CodeInvalid) && out.Replaces != "" && strings.Contains(a.Description, "message is not modified"): // it is said already
		return number(body.Message), nil
	case writ.IsCode(err, writ.CodeInvalid) && strings.Contains(a.Description, "not found"): // a chat, with status 400
		return "", attempt.Refused(writ.CodeNotFound, a.Description)
	case err != nil:
		return "", err
	case json.Unmarshal(reply, &a) != nil || !a.OK || a.Result.ID == 0:
		return "", attempt.Failed("")
	}
	return number(a.Result.ID), nil
}

// bodyOf a method. What changes a message without a keyboard takes the one away that it had.
func bodyOf(at []string, out *channel.Outgoing) (body *sending, method string, err error) {
	body = &sending{Text: channel.Fit(channel.Quiet(out.Plain()), maxText, channel.UTF16), Preview: preview{true}, Keyboard: keys(out.Buttons)}
	body.Chat, _ = strconv.ParseInt(at[1], 10, 64) // at most 18 digits
	if out.Replaces == "" {
		body.Topic, _ = strconv.ParseInt(at[2], 10, 64)
		return body, "sendMessage", nil
	}
	body.Message, err = strconv.ParseInt(out.Replaces, 10, 64)
	if err != nil || body.Message < 1 {
		return nil, "", writ.Errorf(writ.CodeInvalid, "telegram", "%q is no message's id", writ.Clip(out.Replaces, 64))
	}
	return body, "editMessageText", nil
}

// keys are one below the other. What Telegram would not send back is no button.
func keys(buttons []channel.Button) *keyboard {
	var k keyboard
	for i := range buttons[:min(len(buttons), maxChosen)] {
		if id := buttons[i].ID(); len(id) <= maxPress && buttons[i].Label != "" {
			k.Rows = append(k.Rows, []key{{buttons[i].Label, id}})
		}
	}
	if k.Rows == nil {
		return nil
	}
	return &k
}
