package whatsapptwilio

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

const (
	maxText = 1600
	longest = 1_500 // bytes: no character counts for more than its bytes
	home    = "https://api.twilio.com"
)

var _ channel.Speaker = Adapter{}

// Home implements channel.Speaker.
func (Adapter) Home() string { return home }

// Longest implements channel.Speaker.
func (Adapter) Longest() int { return longest }

// tokenForm is ACCOUNT:AUTH-TOKEN, or ACCOUNT:KEY:SECRET with an API key.
var tokenForm = regexp.MustCompile(`^(AC[0-9a-fA-F]{32}):(?:(SK[0-9a-fA-F]{32}):)?([0-9A-Za-z]{1,128})$`)

// missing are errors of Twilio's that mean that there is no such place or person.
var missing = map[int]bool{21211: true, 21612: true, 63003: true, 63007: true}

// Send implements channel.Speaker with a message of the Messages API. It has no buttons
// and changes nothing that was said.
func (Adapter) Send(ctx context.Context, account *channel.Account, out *channel.Outgoing) (string, error) {
	ours, theirs, ok := numbers(out.Thread)
	if !ok {
		return "", writ.Errorf(writ.CodeInvalid, "whatsapp-twilio", "%q is no thread", writ.Clip(out.Thread, 128)).
			WithFix("write whatsapp:+NUMBER/whatsapp:+PERSON, both escaped as in a URL's path")
	}
	token := tokenForm.FindStringSubmatch(string(account.Token))
	if token == nil {
		return "", writ.Errorf(writ.CodeUnauthenticated, "whatsapp-twilio", "the token is not one of Twilio's").
			WithFix("keep ACCOUNT-SID:AUTH-TOKEN, or ACCOUNT-SID:KEY-SID:KEY-SECRET, as the channel's token")
	}
	user := token[2]
	if user == "" {
		user = token[1]
	}
	attempt := account.NewAttempt(ctx, home, "whatsapp-twilio")
	base := &client.Client{Credentials: client.NewCredentials(user, token[3]), HTTPClient: attempt.Client()}
	base.SetAccountSid(token[1])
	// Made here and not by the library, which would read the environment.
	api := openapi.NewApiService(&client.RequestHandler{Client: base})
	params := &openapi.CreateMessageParams{}
	params.SetFrom(ours)
	params.SetTo(theirs)
	params.SetBody(channel.Fit(out.Plain(), maxText, channel.UTF16))
	said, err := api.CreateMessage(params)
	if err == nil && said.Sid != nil && sidForm.MatchString(*said.Sid) {
		return *said.Sid, nil
	}
	var answered *client.TwilioRestError
	if !errors.As(err, &answered) {
		return "", attempt.Failed("")
	}
	failed := attempt.Failed(answered.Message)
	if missing[answered.Code] && writ.IsCode(failed, writ.CodeInvalid) {
		return "", attempt.Refused(writ.CodeNotFound, answered.Message)
	}
	return "", failed
}

// numbers of a thread: the account's and the person's.
func numbers(thread string) (ours, theirs string, ok bool) {
	to, from, two := strings.Cut(thread, "/")
	ours, err := url.PathUnescape(to)
	theirs, bad := url.PathUnescape(from)
	return ours, theirs, two && err == nil && bad == nil && senderForm.MatchString(ours) && senderForm.MatchString(theirs)
}
