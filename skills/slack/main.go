// Command slack is the skill writ/slack: messages, channels and people of a Slack
// workspace, over the Web API. The host adds the token; this code never sees it.
package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/writ-run/writ/sdk"
)

const (
	api     = "https://slack.com/api/"
	perPage = 200 // what Slack recommends
	// maxItems of a list is five pages; maxText is Slack's own limit of a message.
	maxItems, defaultItems = 1000, 100
	maxText                = 40_000
)

var (
	channelPattern = regexp.MustCompile(`^[CDG][A-Z0-9]{2,20}$`)
	userPattern    = regexp.MustCompile(`^[UW][A-Z0-9]{2,20}$`)
	stampPattern   = regexp.MustCompile(`^[0-9]{1,12}\.[0-9]{1,9}$`)
	emojiPattern   = regexp.MustCompile(`^[a-z0-9_+'-]{1,100}(?:::skin-tone-[2-6])?$`)
)

// checked fails where a value has not its form.
func checked(what, value string, form *regexp.Regexp) error {
	if form.MatchString(value) {
		return nil
	}
	return sdk.Fail("bad_"+what, fmt.Sprintf("%s %q is none", what, value))
}

// call sends one request of the Web API: url.Values by GET, anything else by POST.
func call(c *sdk.Context, method string, args, into any) error {
	request := sdk.HTTPRequest{Method: "GET", URL: api + method, Headers: map[string]string{"accept": "application/json"}}
	if query, ok := args.(url.Values); ok {
		request.URL += "?" + query.Encode()
	} else {
		raw, err := json.Marshal(args)
		if err != nil {
			return err
		}
		request.Method, request.Body = "POST", string(raw)
		request.Headers["content-type"] = "application/json; charset=utf-8"
	}
	response, err := sdk.HTTP(c, request)
	if err != nil {
		return err
	}
	var said struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	switch {
	case response.Status == 429:
		return &sdk.Failure{Code: "rate_limited", Message: "Slack asks to wait", Fix: "try again later"}
	case response.Status != 200:
		return sdk.Fail("slack_status", fmt.Sprintf("Slack answered %d for %s", response.Status, method))
	case json.Unmarshal([]byte(response.Body), &said) != nil:
		return sdk.Fail("bad_answer", "Slack's answer could not be read")
	case !said.OK:
		return refusal(method, said.Error)
	}
	if err := json.Unmarshal([]byte(response.Body), into); err != nil {
		return sdk.Fail("bad_answer", "Slack's answer could not be read: "+err.Error())
	}
	return nil
}

// refusal turns Slack's word for what is wrong into a code.
func refusal(method, word string) error {
	f := &sdk.Failure{Code: "refused", Message: fmt.Sprintf("Slack refused %s: %.200s", method, word)}
	switch word {
	case "not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired":
		f.Code, f.Fix = "unauthorised", "set the secret slack-token to a valid bot token"
	case "missing_scope", "not_allowed_token_type", "restricted_action", "access_denied":
		f.Code, f.Fix = "forbidden", "give the app the scope that the method needs"
	case "not_in_channel":
		f.Code, f.Fix = "forbidden", "invite the app to the channel"
	case "channel_not_found", "user_not_found", "users_not_found", "message_not_found", "thread_not_found":
		f.Code = "not_found"
	case "ratelimited":
		f.Code, f.Fix = "rate_limited", "try again later"
	}
	return f
}

var escaping = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// words is a message as Slack takes it: without markup, what would mention people
// or hide where a link goes is text.
func words(text string, markup bool) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", sdk.Fail("empty", "a message needs a text")
	}
	if !markup {
		text = escaping.Replace(text)
	}
	if len(text) > maxText {
		return "", sdk.Fail("too_long", fmt.Sprintf("the message has %d bytes, at most %d are taken", len(text), maxText))
	}
	return text, nil
}

// PostIn is the input of post.
type PostIn struct {
	Channel string `json:"channel" doc:"Id of a channel or conversation, such as C012AB3CD"`
	Text    string `json:"text"`
	Markup  bool   `json:"markup,omitempty" doc:"Whether <...> in the text means mentions and links"`
}

// ReplyIn is the input of reply.
type ReplyIn struct {
	PostIn
	Thread string `json:"thread" doc:"Timestamp of the message that is answered"`
}

// Message names a message.
type Message struct {
	Channel string `json:"channel"`
	TS      string `json:"ts" doc:"Timestamp, which names the message in its channel"`
}

func post(c *sdk.Context, in PostIn) (Message, error) { return write(c, in, "chat.postMessage", "") }

func reply(c *sdk.Context, in ReplyIn) (Message, error) {
	if err := checked("thread", in.Thread, stampPattern); err != nil {
		return Message{}, err
	}
	return write(c, in.PostIn, "chat.postMessage", in.Thread)
}

// UpdateIn is the input of update.
type UpdateIn struct {
	PostIn
	TS string `json:"ts" doc:"Timestamp of the message to replace; it must be the app's own"`
}

func update(c *sdk.Context, in UpdateIn) (Message, error) {
	if err := checked("ts", in.TS, stampPattern); err != nil {
		return Message{}, err
	}
	return write(c, in.PostIn, "chat.update", in.TS)
}

// write posts, answers the message ts or replaces it. Links are not unfolded:
// Slack would fetch them.
func write(c *sdk.Context, in PostIn, method, ts string) (Message, error) {
	text, err := words(in.Text, in.Markup)
	if err == nil {
		err = checked("channel", in.Channel, channelPattern)
	}
	if err != nil {
		return Message{}, err
	}
	body := map[string]any{"channel": in.Channel, "text": text}
	switch {
	case method == "chat.update":
		body["ts"] = ts
	case ts != "":
		body["thread_ts"] = ts
		fallthrough
	default:
		body["unfurl_links"], body["unfurl_media"] = false, false
	}
	var made Message
	err = call(c, method, body, &made)
	return made, err
}

// ReactIn is the input of react.
type ReactIn struct {
	Channel string `json:"channel"`
	TS      string `json:"ts" doc:"Timestamp of the message"`
	Emoji   string `json:"emoji" doc:"Name without colons, such as thumbsup"`
}

// Done is the output of react.
type Done struct {
	OK bool `json:"ok"`
}

func react(c *sdk.Context, in ReactIn) (Done, error) {
	for _, one := range []struct {
		what, value string
		form        *regexp.Regexp
	}{{"channel", in.Channel, channelPattern}, {"ts", in.TS, stampPattern}, {"emoji", in.Emoji, emojiPattern}} {
		if err := checked(one.what, one.value, one.form); err != nil {
			return Done{}, err
		}
	}
	var out Done
	err := call(c, "reactions.add", map[string]any{"channel": in.Channel, "timestamp": in.TS, "name": in.Emoji}, &out)
	return out, err
}

// pages follows cursors until there are limit items or no more. page reads one and
// gives what it holds with the next cursor.
func pages[T any](limit int, page func(cursor string) ([]T, string, error)) (items []T, more bool, err error) {
	if limit < 0 || limit > maxItems {
		return nil, false, sdk.Fail("bad_limit", fmt.Sprintf("limit is %d: want 1 to %d", limit, maxItems))
	}
	if limit == 0 {
		limit = defaultItems
	}
	items = []T{}
	for cursor := ""; ; {
		got, next, err := page(cursor)
		if err != nil {
			return nil, false, err
		}
		items = append(items, got...)
		if len(items) >= limit {
			return items[:limit], len(items) > limit || next != "", nil
		}
		if next == "" || len(got) == 0 { // an empty page with a cursor would never end
			return items, next != "", nil
		}
		cursor = next
	}
}

func cursored(values map[string]string, cursor string) url.Values {
	query := url.Values{"limit": {strconv.Itoa(perPage)}}
	for name, value := range values {
		if value != "" {
			query.Set(name, value)
		}
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	return query
}

// cursor is how Slack names the next page.
type cursor struct {
	Meta struct {
		Next string `json:"next_cursor"`
	} `json:"response_metadata"`
}

func main() {} // a skill is entered through its actions
