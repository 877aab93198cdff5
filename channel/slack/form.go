package slack

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
)

const (
	// maxFields of a form: a slash command has 15.
	maxFields = 64
	// maxActions of what is pressed at once: it is one, and a form has a few.
	maxActions = 16
	// maxCommand is twice what Slack lets a command's name have.
	maxCommand = 64
)

// fields of a form, each once.
func fields(body []byte) (map[string]string, error) {
	if bytes.Count(body, []byte{'&'}) >= maxFields {
		return nil, invalid("the form has more than %d fields", maxFields)
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalid("the body is neither JSON nor a form")
	}
	out := make(map[string]string, len(values))
	for name, all := range values {
		if len(all) != 1 || !utf8.ValidString(name) || !utf8.ValidString(all[0]) {
			return nil, invalid("a field of the form is there twice, or is not UTF-8")
		}
		out[name] = all[0]
	}
	return out, nil
}

// receiveForm knows both by their trigger_id, which is signed as the rest and never the
// same. Slack does not try a form again.
func receiveForm(body []byte) (*channel.Receipt, error) {
	form, err := fields(body)
	if err != nil {
		return nil, err
	}
	switch {
	case form["ssl_check"] == "1":
		return &channel.Receipt{Handshake: &channel.Answer{Status: http.StatusOK}}, nil
	case form["payload"] != "":
		var i struct {
			Type      string `json:"type"`
			TriggerID string `json:"trigger_id"`
		}
		if err := json.Unmarshal([]byte(form["payload"]), &i); err != nil || i.Type == "" {
			return nil, invalid("the payload is no interaction of Slack's")
		}
		return accepted(i.TriggerID), nil // without one it asks for nothing, and the body is its own key
	case form["command"] != "" && form["trigger_id"] != "":
		return accepted(form["trigger_id"]), nil
	}
	return nil, invalid("the form is neither a command nor an interaction")
}

func readForm(body []byte) ([]channel.Message, error) {
	form, err := fields(body)
	if err != nil {
		return nil, err
	}
	if form["payload"] != "" {
		return readInteraction([]byte(form["payload"]))
	}
	return readCommand(form)
}

// ownCommand is said to the host, under its own name. Any other is an event.
const ownCommand = "writ"

// readCommand: an answer belongs to the channel, as a command is no message in it.
func readCommand(form map[string]string) ([]channel.Message, error) {
	name, ok := strings.CutPrefix(form["command"], "/")
	if !ok || name == "" || len(name) > maxCommand || strings.ContainsFunc(name, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }) {
		return nil, invalid("the form has no command")
	}
	m := channel.Message{Kind: channel.Happened, Event: "command." + name, ID: form["trigger_id"], Text: plain(form["text"])}
	if name == ownCommand {
		m.Kind, m.Event, m.Addressed, m.Text = channel.Said, "", true, "/"+name+" "+m.Text
	}
	team := first(form["team_id"], form["enterprise_id"])
	if form["channel_id"] == "" || form["user_id"] == "" {
		return nil, invalid("the command is of no channel or of nobody")
	}
	var err error
	if m.Thread, err = path(team, form["channel_id"]); err != nil {
		return nil, err
	}
	if m.Sender.ID, err = path(team, form["user_id"]); err != nil {
		return nil, err
	}
	m.Sender.Name = first(form["user_name"], form["user_id"])
	for _, name := range withheld {
		delete(form, name)
	}
	if m.Metadata, err = canon.MarshalJSON(form); err != nil {
		return nil, invalid("the form is not text")
	}
	return []channel.Message{m}, nil
}

// interaction is what is read of the payload of one. The rest of it is metadata.
type interaction struct {
	Type       string `json:"type"`
	TriggerID  string `json:"trigger_id"`
	CallbackID string `json:"callback_id"`
	Team       named  `json:"team"`
	Enterprise named  `json:"enterprise"`
	Channel    named  `json:"channel"`
	User       struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Username string `json:"username"`
		TeamID   string `json:"team_id"`
	} `json:"user"`
	Container place    `json:"container"`
	Message   place    `json:"message"`
	Actions   []action `json:"actions"`
	State     state    `json:"state"` // of the message
	View      struct {
		CallbackID      string `json:"callback_id"`
		PrivateMetadata string `json:"private_metadata"`
		State           state  `json:"state"`
	} `json:"view"`
}

// state is what was typed, in the order of the ids of blocks and of their fields.
type state []string

// UnmarshalJSON implements json.Unmarshaler. Where nothing was typed it has many forms.
func (s *state) UnmarshalJSON(raw []byte) error {
	var whole struct {
		Values map[string]map[string]struct {
			Value any `json:"value"`
		} `json:"values"`
	}
	if json.Unmarshal(raw, &whole) != nil {
		return nil
	}
	for _, block := range slices.Sorted(maps.Keys(whole.Values)) {
		inputs := whole.Values[block]
		for _, name := range slices.Sorted(maps.Keys(inputs)) {
			if text, _ := inputs[name].Value.(string); text != "" {
				*s = append(*s, text)
			}
		}
	}
	return nil
}

// written is all of it.
func (s state) written() string { return strings.Join(s, "\n") }

// place of the message that has the button.
type place struct {
	ChannelID string `json:"channel_id"`
	MessageTS string `json:"message_ts"`
	TS        string `json:"ts"`
	ThreadTS  string `json:"thread_ts"`
}

type action struct {
	ActionID       string `json:"action_id"`
	Value          string `json:"value"`
	SelectedOption struct {
		Value string `json:"value"`
	} `json:"selected_option"`
}

func readInteraction(payload []byte) ([]channel.Message, error) {
	var i interaction
	metadata, err := read(payload, &i)
	if err != nil {
		return nil, err
	}
	// A trigger is of one press: under one message several people press several buttons.
	m := channel.Message{Metadata: metadata, ID: i.TriggerID}
	switch {
	case i.Type == "block_actions" || i.Type == "view_submission":
		m.Kind = channel.Pressed
	case (i.Type == "shortcut" || i.Type == "message_action") && i.CallbackID != "":
		m.Kind, m.Event = channel.Happened, "shortcut."+i.CallbackID
	default:
		m.Kind, m.Why = channel.Passing, "nothing is pressed"
		return []channel.Message{m}, nil
	}
	if i.User.ID == "" {
		return nil, invalid("nobody pressed it")
	}
	team := first(i.Team.id, i.User.TeamID, i.Enterprise.id)
	if m.Sender.ID, err = path(first(i.User.TeamID, team), i.User.ID); err != nil {
		return nil, err
	}
	m.Sender.Name = first(i.User.Username, i.User.Name, i.User.ID)
	if m.Thread, err = i.thread(team); err != nil {
		return nil, err
	}
	switch i.Type {
	case "block_actions":
		return i.presses(m)
	case "view_submission":
		m.Press, m.Text = &channel.Press{Action: i.View.CallbackID, Value: i.View.PrivateMetadata}, i.View.State.written()
	}
	return []channel.Message{m}, nil
}

// thread is that of the message with the button; of a form, the one with the person.
func (i *interaction) thread(team string) (string, error) {
	at := first(i.Container.ChannelID, i.Channel.id)
	if at == "" {
		return path(team, i.User.ID)
	}
	return path(team, at, first(i.Container.ThreadTS, i.Message.ThreadTS, i.Container.MessageTS, i.Message.TS))
}

// presses are one message of each action, each with what was typed above it.
func (i *interaction) presses(m channel.Message) ([]channel.Message, error) {
	if len(i.Actions) < 1 || len(i.Actions) > maxActions {
		return nil, invalid("%d things are pressed at once: want 1 to %d", len(i.Actions), maxActions)
	}
	out := make([]channel.Message, len(i.Actions))
	for n, a := range i.Actions {
		out[n] = m
		out[n].Text = i.State.written()
		if n > 0 {
			out[n].ID = "" // it is known by its place in the delivery
		}
		out[n].Press = &channel.Press{Action: a.ActionID, Value: first(a.Value, a.SelectedOption.Value)}
	}
	return out, nil
}
