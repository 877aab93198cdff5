package github

import (
	"context"
	"errors"
	"regexp"
	"strconv"

	gogithub "github.com/google/go-github/v84/github"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// maxText is below the 65,536 characters of a comment, escapes included.
const (
	maxText = 60_000
	longest = 10_000 // bytes: escaped, each is six characters at most, and layout is less
	home    = "https://api.github.com"
)

var _ channel.Speaker = Adapter{}

// Home implements channel.Speaker.
func (Adapter) Home() string { return home }

// Longest implements channel.Speaker.
func (Adapter) Longest() int { return longest }

// threadForm is of an issue or a pull request.
var threadForm = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100})#([0-9]{1,18})$`)

// Send implements channel.Speaker with a comment on an issue or a pull request. Nothing of
// what is said is Markdown, and it mentions and refers to nobody and nothing.
func (Adapter) Send(ctx context.Context, account *channel.Account, out *channel.Outgoing) (string, error) {
	at := threadForm.FindStringSubmatch(out.Thread)
	if at == nil || at[2] == "." || at[2] == ".." {
		return "", writ.Errorf(writ.CodeInvalid, "github", "%q is no issue or pull request", writ.Clip(out.Thread, 128)).WithFix("write OWNER/REPOSITORY#NUMBER")
	}
	number, err := strconv.Atoi(at[3])
	if err != nil {
		return "", writ.Errorf(writ.CodeInvalid, "github", "the number of the issue is not one")
	}
	text := markdown(out)
	attempt := account.NewAttempt(ctx, home, "github")
	issues := gogithub.NewClient(attempt.Client()).WithAuthToken(string(account.Token)).Issues
	comment := &gogithub.IssueComment{Body: &text}
	var said *gogithub.IssueComment
	if out.Replaces == "" {
		said, _, err = issues.CreateComment(ctx, at[1], at[2], number, comment)
	} else {
		id, bad := strconv.ParseInt(out.Replaces, 10, 64)
		if bad != nil {
			return "", writ.Errorf(writ.CodeInvalid, "github", "%q is no comment's id", writ.Clip(out.Replaces, 64))
		}
		said, _, err = issues.EditComment(ctx, at[1], at[2], id, comment)
	}
	if err != nil || said.GetID() == 0 {
		return "", attempt.Failed(words(err))
	}
	return strconv.FormatInt(said.GetID(), 10), nil
}

// words are what GitHub says of an error.
func words(err error) string {
	var limit *gogithub.RateLimitError
	var abuse *gogithub.AbuseRateLimitError
	var answered *gogithub.ErrorResponse
	switch {
	case errors.As(err, &limit):
		return limit.Message
	case errors.As(err, &abuse):
		return abuse.Message
	case errors.As(err, &answered):
		return answered.Message
	}
	return ""
}
