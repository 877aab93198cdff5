package slack

import (
	"context"
	"errors"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// Bounds of what Slack shows. It splits or refuses a text alone of more than 4,000 bytes,
// which it counts when it has escaped them; blocks have more room.
const (
	maxText  = 10_000
	maxAlone = 4_000
	longest  = 6_000 // bytes: no character counts for more than its bytes, and the rest is for blocks
	home     = "https://slack.com"
)

var _ channel.Speaker = Adapter{}

// Home implements channel.Speaker.
func (Adapter) Home() string { return home }

// Longest implements channel.Speaker.
func (Adapter) Longest() int { return longest }

// codes are what Slack answers where something was not said. What it does not name here
// is not said either, and not for now.
var codes = map[string]writ.Code{
	"channel_not_found": writ.CodeNotFound, "thread_not_found": writ.CodeNotFound, "message_not_found": writ.CodeNotFound, "user_not_found": writ.CodeNotFound,
	"not_authed": writ.CodeUnauthenticated, "invalid_auth": writ.CodeUnauthenticated, "account_inactive": writ.CodeUnauthenticated,
	"token_revoked": writ.CodeUnauthenticated, "token_expired": writ.CodeUnauthenticated,
	"missing_scope": writ.CodeForbidden, "not_in_channel": writ.CodeForbidden, "is_archived": writ.CodeForbidden, "restricted_action": writ.CodeForbidden,
	"no_permission": writ.CodeForbidden, "access_denied": writ.CodeForbidden, "not_allowed_token_type": writ.CodeForbidden,
	"cant_update_message": writ.CodeForbidden, "edit_window_closed": writ.CodeForbidden,
	"service_unavailable": writ.CodeUnavailable,
	// Of these Slack says that some of it may have been done.
	"internal_error": writ.CodeIndeterminate, "fatal_error": writ.CodeIndeterminate, "request_timeout": writ.CodeIndeterminate,
}

// Send implements channel.Speaker with chat.postMessage and chat.update. Nothing in the
// text is markup: the three characters that begin a mention or a link are escaped, and
// blocks are plain.
func (Adapter) Send(ctx context.Context, account *channel.Account, out *channel.Outgoing) (string, error) {
	at, ts, err := target(out.Thread)
	if err != nil {
		return "", err
	}
	if out.Replaces != "" && !tsForm.MatchString(out.Replaces) {
		return "", writ.Errorf(writ.CodeInvalid, "slack", "%q is no message's time stamp", writ.Clip(out.Replaces, 64))
	}
	text := channel.Fit(out.Plain(), maxText, channel.UTF16)
	options := []slackgo.MsgOption{slackgo.MsgOptionDisableMarkdown(), slackgo.MsgOptionDisableLinkUnfurl(), slackgo.MsgOptionDisableMediaUnfurl()}
	// Slack keeps the blocks of a message that is changed where it is not given others.
	if out.Replaces != "" || out.Heading != "" || len(out.Facts) > 0 || out.Field != nil || len(out.Buttons) > 0 || escapedBytes(text) > maxAlone {
		options = append(options, slackgo.MsgOptionBlocks(blocks(out, text)...))
		text = channel.Fit(text, maxAlone, escapedBytes) // it is what a notification says of the blocks
	}
	options = append(options, slackgo.MsgOptionText(text, true))
	switch {
	case out.Replaces != "":
		options = append(options, slackgo.MsgOptionUpdate(out.Replaces))
	case ts != "":
		options = append(options, slackgo.MsgOptionTS(ts))
	}
	attempt := account.NewAttempt(ctx, home, "slack")
	api := slackgo.New(string(account.Token), slackgo.OptionHTTPClient(attempt.Client()))
	_, id, _, err := api.SendMessageContext(ctx, at, options...)
	if err == nil {
		return id, nil
	}
	var answered slackgo.SlackErrorResponse
	if !errors.As(err, &answered) {
		return "", attempt.Failed("")
	}
	if answered.Err == "ratelimited" || answered.Err == "rate_limited" {
		return "", channel.Limited("slack", 0)
	}
	code, known := codes[answered.Err]
	if !known {
		code = writ.CodeInvalid
	}
	return "", attempt.Refused(code, answered.Err)
}

// target reads a thread: TEAM/CHANNEL/TS, or TEAM/CHANNEL for the channel itself.
func target(thread string) (at, ts string, err error) {
	parts := strings.Split(thread, "/")
	if len(parts) < 2 || len(parts) > 3 || !idForm.MatchString(parts[0]) || !idForm.MatchString(parts[1]) || len(parts) == 3 && !tsForm.MatchString(parts[2]) {
		return "", "", writ.Errorf(writ.CodeInvalid, "slack", "%q is no thread of Slack's", writ.Clip(thread, 128)).
			WithFix("write TEAM/CHANNEL, or TEAM/CHANNEL/TS with the time stamp of the message that the thread began with")
	}
	if len(parts) == 3 {
		ts = parts[2]
	}
	return parts[1], ts, nil
}
