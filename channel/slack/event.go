package slack

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/channel"
)

// envelope is what is read of the outside of an event. The rest of it is metadata.
type envelope struct {
	Type           string `json:"type"`
	TeamID         string `json:"team_id"`
	EnterpriseID   string `json:"enterprise_id"`
	AppID          string `json:"api_app_id"`
	Shared         bool   `json:"is_ext_shared_channel"` // with another organisation
	Event          event  `json:"event"`
	Authorizations []struct {
		UserID string `json:"user_id"`
		IsBot  bool   `json:"is_bot"`
	} `json:"authorizations"`
}

type event struct {
	Type     string `json:"type"`
	Subtype  string `json:"subtype"`
	User     named  `json:"user"`
	UserTeam named  `json:"user_team"`
	Team     named  `json:"team"`
	BotID    string `json:"bot_id"`
	AppID    string `json:"app_id"`
	Channel  named  `json:"channel"`
	Item     item   `json:"item"`
	Text     string `json:"text"`
	TS       string `json:"ts"`
	ThreadTS string `json:"thread_ts"`
	Hidden   bool   `json:"hidden"`
	Place    string `json:"channel_type"`
	Edited   any    `json:"edited"`
}

// named is what one event names by its id and another has whole.
type named struct{ id, name string }

// UnmarshalJSON implements json.Unmarshaler. What is neither names nothing.
func (n *named) UnmarshalJSON(raw []byte) error {
	var whole struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	if json.Unmarshal(raw, &n.id) != nil && json.Unmarshal(raw, &whole) == nil {
		*n = named{whole.ID, whole.Name}
	}
	return nil
}

// item is what a reaction or a pin is on.
type item struct{ channel, ts string }

// UnmarshalJSON implements json.Unmarshaler. What is on no message is on nothing.
func (i *item) UnmarshalJSON(raw []byte) error {
	var whole struct {
		Channel string `json:"channel"`
		TS      string `json:"ts"`
	}
	if json.Unmarshal(raw, &whole) == nil {
		*i = item{whole.Channel, whole.TS}
	}
	return nil
}

var eventForm = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)

func readEvent(body []byte) ([]channel.Message, error) {
	var e envelope
	metadata, err := read(body, &e)
	if err != nil {
		return nil, err
	}
	if e.Type == "app_rate_limited" {
		return []channel.Message{{Kind: channel.Passing, Why: "Slack holds events back, as there are too many", Metadata: metadata}}, nil
	}
	if e.Type != "event_callback" || !eventForm.MatchString(e.Event.Type) {
		return nil, invalid("the body is no event of Slack's")
	}
	m := channel.Message{Kind: channel.Happened, Event: e.Event.Type, ID: e.Event.TS, Text: plain(e.Event.Text), Metadata: metadata}
	if e.says() {
		m.Kind, m.Event, m.Addressed = channel.Said, "", e.addressed()
		seconds, _, _ := strings.Cut(e.Event.TS, ".")
		n, _ := strconv.ParseInt(seconds, 10, 64) // 0 for what is no time
		m.At = channel.Within(n)
	}
	if m.Why = e.passes(); m.Why != "" {
		m.Kind = channel.Passing
		return []channel.Message{m}, nil
	}
	if m.Thread, err = e.thread(); err != nil {
		return nil, err
	}
	// The team of the user goes first, as in a shared channel the app's is another.
	if m.Sender.ID, err = path(first(e.Event.UserTeam.id, e.Event.Team.id, e.TeamID, e.EnterpriseID), e.Event.User.id); err != nil {
		return nil, err
	}
	m.Sender.Name = first(e.Event.User.name, e.Event.User.id)
	return []channel.Message{m}, nil
}

// says reports whether the event is somebody's words.
func (e *envelope) says() bool { return e.Event.Type == "message" || e.Event.Type == "app_mention" }

// spoken are the kinds of messages that people write, beside the one without a name.
var spoken = []string{"", "file_share", "me_message", "thread_broadcast"}

// slackbot is the user that Slack itself speaks as.
const slackbot = "USLACKBOT"

// passes says why an event asks for nothing; empty: it does.
func (e *envelope) passes() string {
	switch {
	case e.Event.Subtype == "message_changed" || e.Event.Edited != nil:
		return "a message was changed"
	case e.Event.Subtype == "message_deleted":
		return "a message was deleted"
	case e.Event.AppID != "" && e.Event.AppID == e.AppID, e.isApp(e.Event.User.id):
		return "the app itself did it"
	case e.Event.BotID != "" || e.Event.Subtype == "bot_message" || e.Event.User.id == slackbot:
		return "a bot did it"
	case e.Event.Hidden, e.says() && !slices.Contains(spoken, e.Event.Subtype):
		return "Slack tells of something that nobody said"
	case e.Event.User.id == "":
		return "nobody caused it"
	case e.Shared && first(e.Event.UserTeam.id, e.Event.Team.id) == "":
		return "the channel is shared, and nothing says of which team the user is"
	}
	return ""
}

// isApp reports whether a user is one that the app acts as.
func (e *envelope) isApp(user string) bool {
	for _, a := range e.Authorizations {
		if a.IsBot && a.UserID == user {
			return true
		}
	}
	return false
}

// addressed: in a direct message, or by its name.
func (e *envelope) addressed() bool {
	if e.Event.Type == "app_mention" || e.Event.Place == "im" {
		return true
	}
	for _, a := range e.Authorizations {
		if a.IsBot && a.UserID != "" && (strings.Contains(e.Event.Text, "<@"+a.UserID+">") || strings.Contains(e.Event.Text, "<@"+a.UserID+"|")) {
			return true
		}
	}
	return false
}

// thread is where an event belongs: somebody's words always, other events as far as
// they say.
func (e *envelope) thread() (string, error) {
	team := first(e.TeamID, e.EnterpriseID)
	if !e.says() {
		return path(team, first(e.Event.Channel.id, e.Event.Item.channel), first(e.Event.ThreadTS, e.Event.Item.ts))
	}
	ts := first(e.Event.ThreadTS, e.Event.TS)
	if e.Event.Channel.id == "" || ts == "" {
		return "", invalid("a message is of no channel or of no time")
	}
	return path(team, e.Event.Channel.id, ts)
}
