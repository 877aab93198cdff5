package whatsappmeta

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

const (
	maxText     = 4096
	maxUnder    = 1024 // of a message with buttons
	maxChosen   = 3
	maxLabel    = 20
	maxPress    = 256
	longest     = 1_000 // bytes: no character counts for more than its bytes
	home        = "https://graph.facebook.com"
	apiVersion  = "v23.0"
	codeLimited = 4 // and those below, of Meta's list of errors
)

// limits are the codes of errors that go away by themselves.
var limits = map[int]bool{codeLimited: true, 80007: true, 130429: true, 131048: true, 131056: true}

var _ channel.Speaker = Adapter{}

// Home implements channel.Speaker.
func (Adapter) Home() string { return home }

// Longest implements channel.Speaker.
func (Adapter) Longest() int { return longest }

var numberForm = regexp.MustCompile(`^[0-9]{1,32}$`)

type textBody struct {
	Preview bool   `json:"preview_url"`
	Body    string `json:"body"`
}

type reply struct {
	Type  string `json:"type"`
	Reply choice `json:"reply"`
}

type interactive struct {
	Type string `json:"type"`
	Body struct {
		Text string `json:"text"`
	} `json:"body"`
	Action struct {
		Buttons []reply `json:"buttons"`
	} `json:"action"`
}

type sending struct {
	Product     string       `json:"messaging_product"`
	To          string       `json:"to"`
	Recipient   string       `json:"recipient_type"`
	Type        string       `json:"type"`
	Text        *textBody    `json:"text,omitempty"`
	Interactive *interactive `json:"interactive,omitempty"`
}

type answer struct {
	Messages []struct {
		ID string `json:"id"`
	} `json:"messages"`
	Error struct {
		Message string `json:"message"`
		Code    int    `json:"code"`
	} `json:"error"`
}

// Send implements channel.Speaker with the Cloud API. It changes nothing that was said.
// Meta lets a business say what it likes for 24 hours after a person has written.
func (Adapter) Send(ctx context.Context, account *channel.Account, out *channel.Outgoing) (string, error) {
	number, body, err := bodyOf(out)
	if err != nil {
		return "", err
	}
	raw, err := canon.MarshalJSON(body)
	if err != nil {
		return "", writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "the text is not UTF-8")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, home+"/"+apiVersion+"/"+number+"/messages", bytes.NewReader(raw))
	if err != nil {
		return "", writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "the request cannot be made")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+string(account.Token))
	attempt := account.NewAttempt(ctx, home, "whatsapp-meta")
	var a answer
	said, err := attempt.Do(request, func(body []byte) string {
		_ = json.Unmarshal(body, &a) // what is not understood says nothing
		return a.Error.Message
	})
	switch {
	case writ.IsCode(err, writ.CodeInvalid) && limits[a.Error.Code], writ.IsCode(err, writ.CodeForbidden) && limits[a.Error.Code]:
		return "", channel.Limited("whatsapp-meta", 0)
	case err != nil:
		return "", err
	case json.Unmarshal(said, &a) != nil || len(a.Messages) != 1 || a.Messages[0].ID == "":
		return "", attempt.Failed("")
	}
	return a.Messages[0].ID, nil
}

// bodyOf reads the thread: NUMBER/PERSON, or NUMBER/group/GROUP.
func bodyOf(out *channel.Outgoing) (number string, body *sending, err error) {
	parts := strings.Split(out.Thread, "/")
	body = &sending{Product: "whatsapp", Recipient: "individual", Type: "text"}
	ok := len(parts) == 2 || len(parts) == 3 && parts[1] == "group"
	if ok {
		body.To, err = url.PathUnescape(parts[len(parts)-1])
		ok = err == nil && body.To != "" && numberForm.MatchString(parts[0])
	}
	if !ok {
		return "", nil, writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "%q is no thread", writ.Clip(out.Thread, 128)).
			WithFix("write NUMBER/PERSON: the id of the business's phone number, and the number of the person")
	}
	if len(parts) == 3 {
		body.Recipient = "group"
	}
	if buttons := repliesOf(out.Buttons); buttons != nil {
		body.Type, body.Interactive = "interactive", &interactive{Type: "button"}
		body.Interactive.Body.Text, body.Interactive.Action.Buttons = channel.Fit(out.Plain(), maxUnder, channel.UTF16), buttons
	} else {
		body.Text = &textBody{Body: channel.Fit(out.Plain(), maxText, channel.UTF16)}
	}
	return parts[0], body, nil
}

func repliesOf(buttons []channel.Button) []reply {
	var out []reply
	for i := range buttons {
		if id := buttons[i].ID(); len(id) <= maxPress && buttons[i].Label != "" && len(out) < maxChosen {
			out = append(out, reply{"reply", choice{ID: id, Title: channel.Fit(buttons[i].Label, maxLabel, channel.UTF16)}})
		}
	}
	return out
}
