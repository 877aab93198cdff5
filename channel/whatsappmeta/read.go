package whatsappmeta

import (
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

// maxMessages is as many updates as Meta puts into one delivery.
const maxMessages = 1000

// maxID is far above what Meta's ids have, which is about 60 bytes.
const maxID = 512

type delivery struct {
	Object string `json:"object"`
	Entry  []struct {
		Changes []struct {
			Field string          `json:"field"`
			Value json.RawMessage `json:"value"`
		} `json:"changes"`
	} `json:"entry"`
}

// value is of the field messages. What is inside is read one by one, so that one person's
// odd message takes no other's with it.
type value struct {
	Metadata json.RawMessage   `json:"metadata"`
	Contacts []json.RawMessage `json:"contacts"`
	Messages []json.RawMessage `json:"messages"`
	Statuses []json.RawMessage `json:"statuses"`
}

type message struct {
	ID       string `json:"id"`
	From     string `json:"from"`
	FromUser string `json:"from_user_id"` // who has a user name may have no number here
	Group    string `json:"group_id"`
	At       string `json:"timestamp"`
	Type     string `json:"type"`
	Text     struct {
		Body string `json:"body"`
	} `json:"text"`
	Button struct {
		Payload string `json:"payload"`
		Text    string `json:"text"`
	} `json:"button"`
	Interactive struct {
		Button *choice `json:"button_reply"`
		List   *choice `json:"list_reply"`
	} `json:"interactive"`
	Image    captioned `json:"image"`
	Video    captioned `json:"video"`
	Document captioned `json:"document"`
}

type captioned struct {
	Caption string `json:"caption"`
}

type choice struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}

// Read implements channel.Adapter. The thread is a person's with one number of the
// business, or a group's; the metadata is what Meta says of this message, and nothing of
// those beside it.
func (Adapter) Read(d *channel.Delivery) ([]channel.Message, error) {
	raw, err := channel.Object("whatsapp-meta", d.Body)
	if err != nil {
		return nil, err
	}
	var in delivery
	if err := json.Unmarshal(raw, &in); err != nil || in.Object != "whatsapp_business_account" {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "the body is not of a WhatsApp business account").
			WithFix("subscribe the webhook to the object WhatsApp Business Account alone")
	}
	var out []channel.Message
	for i := range in.Entry {
		for _, change := range in.Entry[i].Changes {
			more, err := read(change.Field, change.Value, maxMessages-len(out))
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	return out, nil
}

// read is what one change says, with room for so many messages.
func read(field string, raw json.RawMessage, room int) ([]channel.Message, error) {
	crowded := writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "one delivery has more than %d messages", maxMessages)
	if room == 0 {
		return nil, crowded
	}
	if field != "messages" {
		return []channel.Message{passing("it is no message: " + writ.Clip(field, 64))}, nil
	}
	var v value
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "whatsapp-meta", "the messages are not as Meta sends them")
	}
	if len(v.Messages)+len(v.Statuses) > room {
		return nil, crowded
	}
	var number struct {
		ID string `json:"phone_number_id"`
	}
	_ = json.Unmarshal(v.Metadata, &number) // a number that cannot be read is missing, below
	known := contactsOf(v.Contacts)
	out := make([]channel.Message, 0, len(v.Messages)+len(v.Statuses))
	for _, raw := range v.Messages {
		var m message
		if err := json.Unmarshal(raw, &m); err != nil || number.ID == "" || m.ID == "" || len(m.ID) > maxID {
			out = append(out, passing("it is not understood"))
			continue
		}
		one := m.read()
		one.ID, one.Thread = m.ID, thread(number.ID, &m)
		one.Addressed = one.Kind == channel.Said && m.Group == ""
		who := known[one.Sender.ID] // null where nothing is said of it
		one.Sender.Name = who.name
		var err error
		if one.Metadata, err = canon.MarshalJSON(map[string]json.RawMessage{"metadata": v.Metadata, "contact": who.raw, "message": raw}); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	for _, raw := range v.Statuses {
		var s struct {
			Status string `json:"status"`
		}
		_ = json.Unmarshal(raw, &s) // it asks for nothing, whatever it says
		out = append(out, passing("a receipt of what was sent: "+writ.Clip(s.Status, 64)))
	}
	return out, nil
}

func passing(why string) channel.Message { return channel.Message{Kind: channel.Passing, Why: why} }

// read is what a person said or pressed.
func (m *message) read() channel.Message {
	sender := m.From
	if sender == "" {
		sender = m.FromUser
	}
	seconds, _ := strconv.ParseInt(m.At, 10, 64) // 0 for what is no time
	out := channel.Message{Kind: channel.Said, Sender: channel.Sender{ID: sender}, At: channel.Within(seconds)}
	switch m.Type {
	case "text":
		out.Text = m.Text.Body
	case "button": // of a template
		out.Kind, out.Press, out.Text = channel.Pressed, channel.PressOf(m.Button.Payload), m.Button.Text
	case "interactive":
		for _, c := range []*choice{m.Interactive.Button, m.Interactive.List} {
			if c != nil {
				out.Kind, out.Press, out.Text = channel.Pressed, channel.PressOf(c.ID), c.Title
			}
		}
	case "image":
		out.Text = m.Image.Caption
	case "video":
		out.Text = m.Video.Caption
	case "document":
		out.Text = m.Document.Caption
	case "audio", "sticker", "location", "contacts", "order": // all of it is metadata
	default: // a reaction, a number that changed, what the Cloud API cannot show
		out.Kind, out.Why = channel.Passing, "a message of type "+writ.Clip(m.Type, 64)
	}
	if sender == "" {
		out.Kind, out.Why, out.Press = channel.Passing, "it does not say who sent it", nil
	}
	return out
}

// thread keeps apart what any two ids are, whatever is in them.
func thread(number string, m *message) string {
	if m.Group != "" {
		return url.PathEscape(number) + "/group/" + url.PathEscape(m.Group)
	}
	if m.From != "" {
		return url.PathEscape(number) + "/" + url.PathEscape(m.From)
	}
	return url.PathEscape(number) + "/" + url.PathEscape(m.FromUser)
}

type contact struct {
	name string
	raw  json.RawMessage
}

// contactsOf are what a delivery says of senders, by each id that they have.
func contactsOf(contacts []json.RawMessage) map[string]contact {
	known := map[string]contact{}
	for _, raw := range contacts {
		var c struct {
			Number  string `json:"wa_id"`
			User    string `json:"user_id"`
			Profile struct {
				Name string `json:"name"`
			} `json:"profile"`
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			continue
		}
		for _, id := range []string{c.Number, c.User} {
			if _, twice := known[id]; id != "" && !twice {
				known[id] = contact{c.Profile.Name, raw}
			}
		}
	}
	return known
}
