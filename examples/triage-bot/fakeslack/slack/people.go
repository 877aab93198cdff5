package slack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/examples/loopback"
)

// signer signs as Slack does: the time and the body.
func signer(secret string) func([]byte) http.Header {
	return func(body []byte) http.Header {
		stamp := strconv.FormatInt(time.Now().Unix(), 10)
		return http.Header{
			"X-Slack-Request-Timestamp": {stamp},
			"X-Slack-Signature":         {"v0=" + loopback.MAC(secret, []byte("v0:"+stamp+":"), body)},
		}
	}
}

// Pressing is a person who presses a button of a message.
type Pressing struct {
	User   string `json:"user"`
	TS     string `json:"ts"` // of the message
	Action string `json:"action"`
	Typed  string `json:"typed"` // into the field of the message
}

// Press sends block_actions, made of the blocks that the message has now.
func (s *Slack) Press(ctx context.Context, p *Pressing) (*loopback.Delivery, error) {
	sent, err := s.pressed(p)
	if err != nil {
		return nil, err
	}
	return s.hook.Send(ctx, sent)
}

func (s *Slack) pressed(p *Pressing) (*loopback.Sent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.find(p.TS)
	if m == nil || p.User == "" {
		return nil, fmt.Errorf("there is no message %q, or nobody presses", p.TS)
	}
	button := m.button(p.Action)
	if button == nil {
		return nil, fmt.Errorf("the message %s has no button %q", p.TS, p.Action)
	}
	values, fields := m.typed(p.Typed)
	if p.Typed != "" && fields == 0 {
		return nil, fmt.Errorf("the message %s has no field to write into", p.TS)
	}
	pressed := map[string]any{"action_ts": s.stamp()}
	for name, value := range button {
		pressed[name] = value
	}
	container := map[string]any{"type": "message", "message_ts": m.TS, "channel_id": s.channel, "is_ephemeral": false}
	if m.ThreadTS != "" {
		container["thread_ts"] = m.ThreadTS
	}
	raw, err := json.Marshal(map[string]any{
		"type": "block_actions", "user": map[string]any{"id": p.User, "username": strings.ToLower(p.User), "name": strings.ToLower(p.User), "team_id": Team},
		"api_app_id": App, "team": map[string]any{"id": Team, "domain": "acme"}, "enterprise": nil, "is_enterprise_install": false,
		"container": container, "trigger_id": s.trigger(), "channel": map[string]any{"id": s.channel, "name": "triage"},
		"message": m.object(), "state": map[string]any{"values": values}, "actions": []any{pressed},
	})
	if err != nil {
		return nil, err
	}
	return form("block_actions", url.Values{"payload": {string(raw)}}), nil
}

// Button is the value of the button with this action, false where there is none.
func (m *Message) Button(action string) (value string, ok bool) {
	button := m.button(action)
	value, _ = button["value"].(string)
	return value, button != nil
}

// Field reports whether the message has a field to write into.
func (m *Message) Field() bool {
	_, fields := m.typed("")
	return fields > 0
}

func (m *Message) button(action string) map[string]any {
	for _, block := range m.Blocks {
		elements, _ := block["elements"].([]any)
		for _, element := range append(slices.Clip(elements), block["accessory"]) {
			if b, _ := element.(map[string]any); b["type"] == "button" && b["action_id"] == action {
				out := map[string]any{"block_id": block["block_id"]}
				for name, value := range b {
					out[name] = value
				}
				return out
			}
		}
	}
	return nil
}

// typed are the values of the fields of a message, of which the first has the text.
func (m *Message) typed(text string) (values map[string]any, fields int) {
	values = map[string]any{}
	for _, block := range m.Blocks {
		element, _ := block["element"].(map[string]any)
		if block["type"] != "input" || element == nil {
			continue
		}
		state := map[string]any{"type": element["type"], "value": nil}
		if fields == 0 && text != "" {
			state["value"] = text
		}
		fields++
		values[fmt.Sprint(block["block_id"])] = map[string]any{fmt.Sprint(element["action_id"]): state}
	}
	return values, fields
}

func (s *Slack) trigger() string { return s.stamp() + ".demo" }

// Commanding is a person who gives a slash command, such as "/triage".
type Commanding struct {
	User    string `json:"user"`
	Command string `json:"command"`
	Text    string `json:"text"`
}

// Command sends a slash command.
func (s *Slack) Command(ctx context.Context, c *Commanding) (*loopback.Delivery, error) {
	if !strings.HasPrefix(c.Command, "/") || c.User == "" {
		return nil, fmt.Errorf("%q is no command, or nobody gives it", c.Command)
	}
	s.mu.Lock()
	trigger := s.trigger()
	s.mu.Unlock()
	return s.hook.Send(ctx, form("command", url.Values{
		"team_id": {Team}, "team_domain": {"acme"}, "channel_id": {s.channel}, "channel_name": {"triage"}, "user_id": {c.User}, "user_name": {strings.ToLower(c.User)},
		"command": {c.Command}, "text": {escape.Replace(c.Text)}, "api_app_id": {App}, "is_enterprise_install": {"false"}, "trigger_id": {trigger},
	}))
}

// Saying is a person who writes in the channel, or in a thread of it.
type Saying struct {
	User   string `json:"user"`
	Text   string `json:"text"` // as Slack sends it: <@U0WRIT> mentions the bot
	Thread string `json:"thread"`
}

// Say adds the message, and sends the event to the app where the bot is mentioned in it.
func (s *Slack) Say(ctx context.Context, in *Saying) (*Message, error) {
	s.mu.Lock()
	if in.User == "" || in.Text == "" || in.Thread != "" && s.find(in.Thread) == nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("a message has somebody who writes it, a text, and a thread that there is or none")
	}
	m := *s.add(Message{User: in.User, Text: in.Text, ThreadTS: in.Thread})
	s.mu.Unlock()
	if !strings.Contains(in.Text, "<@"+Bot+">") {
		return &m, nil
	}
	event := m.object()
	event["type"], event["channel"], event["event_ts"] = "app_mention", s.channel, m.TS
	raw, err := json.Marshal(map[string]any{
		"type": "event_callback", "team_id": Team, "api_app_id": App, "event": event, "event_id": "Ev" + strings.ReplaceAll(m.TS, ".", ""),
		"authorizations": []any{map[string]any{"team_id": Team, "user_id": Bot, "is_bot": true}},
	})
	if err != nil {
		return nil, err
	}
	_, err = s.hook.Send(ctx, &loopback.Sent{Event: "app_mention", Body: raw, Header: http.Header{"Content-Type": {"application/json"}}})
	return &m, err
}

// Repeating sends a delivery once more.
type Repeating struct {
	Number int `json:"number"`
}

// Again sends the same bytes, signed anew.
func (s *Slack) Again(ctx context.Context, r *Repeating) (*loopback.Delivery, error) {
	return s.hook.Again(ctx, r.Number)
}

func form(event string, values url.Values) *loopback.Sent {
	return &loopback.Sent{Event: event, Body: []byte(values.Encode()), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
}

// escape is what Slack does to what people type.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
