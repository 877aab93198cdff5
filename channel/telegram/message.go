package telegram

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/writ-run/writ/channel"
)

// message is what is read of one. The rest of it is metadata, files among it.
type message struct {
	ID         int64  `json:"message_id"`
	Topic      int64  `json:"message_thread_id"`
	IsTopic    bool   `json:"is_topic_message"`
	Date       int64  `json:"date"`
	Chat       *chat  `json:"chat"`
	From       *user  `json:"from"`
	SenderChat *chat  `json:"sender_chat"`
	ViaBot     *user  `json:"via_bot"`
	Text       string `json:"text"`
	Caption    string `json:"caption"`

	attached bool
}

type chat struct {
	ID    int64  `json:"id"`
	Type  string `json:"type"`
	Title string `json:"title"`
}

type user struct {
	ID        int64  `json:"id"`
	IsBot     bool   `json:"is_bot"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
	Username  string `json:"username"`
}

// attachments are what people send beside text or instead of it. What has none of
// them and no text is of Telegram itself: somebody joined, a message was pinned.
var attachments = []string{
	"animation", "audio", "checklist", "contact", "dice", "document", "game", "location", "paid_media", "photo", "poll", "sticker", "story", "venue",
	"video", "video_note", "voice",
}

func (m *message) decode(body []byte) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, m) != nil || json.Unmarshal(body, &members) != nil || m.Chat == nil || m.Chat.ID == 0 {
		return invalid("the message is not as Telegram sends it")
	}
	for _, name := range attachments {
		m.attached = m.attached || members[name] != nil
	}
	return nil
}

// thread is the chat, and in a forum the topic. The replies to one message have a
// thread's id in other groups, too, and are of the chat all the same.
func (m *message) thread() string {
	if m.IsTopic && m.Topic != 0 {
		return fmt.Sprintf("%d/%d", m.Chat.ID, m.Topic)
	}
	return number(m.Chat.ID)
}

// read makes of it what a person said, or a channel that speaks as itself.
func (m *message) read(out *channel.Message, post bool) error {
	out.Kind, out.ID, out.Thread, out.Text = channel.Said, number(m.ID), m.thread(), m.Text+m.Caption
	out.Addressed, out.At = m.Chat.Type == "private", channel.Within(m.Date)
	switch {
	case m.ViaBot != nil, m.From != nil && m.From.IsBot:
		out.Why = "a bot said it"
	case m.Text == "" && m.Caption == "" && !m.attached:
		out.Why = "Telegram tells of something that nobody said"
	case post && m.SenderChat != nil:
		out.Sender = m.SenderChat.sender()
	case post:
		out.Sender = m.Chat.sender()
	case m.SenderChat != nil: // from is then an account that many share
		out.Why = "it was said in the name of a chat, and nobody knows by whom"
	case m.From == nil:
		out.Why = "nobody said it"
	default:
		out.Sender = m.From.sender()
	}
	if out.Why != "" {
		out.Kind = channel.Passing
		return nil
	}
	if out.Sender.ID == "0" {
		return invalid("the message is of nobody")
	}
	return nil
}

func (c *chat) sender() channel.Sender { return channel.Sender{ID: number(c.ID), Name: c.Title} }

func (u *user) sender() channel.Sender {
	name := strings.TrimSpace(u.FirstName + " " + u.LastName)
	if u.Username != "" {
		name = u.Username
	}
	return channel.Sender{ID: number(u.ID), Name: name}
}

// callback is a button under a message of the bot's.
type callback struct {
	ID      string          `json:"id"`
	From    *user           `json:"from"`
	Message json.RawMessage `json:"message"`
	Data    string          `json:"data"`
}

// read splits the data, of which Telegram keeps 64 bytes: ACTION:VALUE.
func (c *callback) read(out *channel.Message) error {
	out.Kind, out.ID = channel.Pressed, c.ID
	if c.From == nil || c.From.ID == 0 {
		return invalid("nobody pressed it")
	}
	if c.Message == nil {
		return passes(out, "the button is under a message of another's")
	}
	var under message
	if err := under.decode(c.Message); err != nil {
		return err
	}
	switch {
	case c.From.IsBot:
		return passes(out, "a bot did it")
	case under.Date == 0: // so Telegram sends a message that is not there any more, without its topic
		return passes(out, "the message with the button is gone")
	case c.Data == "":
		return passes(out, "the button says nothing")
	}
	out.Thread, out.Sender, out.Press = under.thread(), c.From.sender(), &channel.Press{}
	out.Press.Action, out.Press.Value, _ = strings.Cut(c.Data, ":")
	return nil
}

func passes(out *channel.Message, why string) error {
	out.Kind, out.Why = channel.Passing, why
	return nil
}
