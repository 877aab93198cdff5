// Package github is the adapter for webhooks of repositories, organisations and apps
// of GitHub.
package github

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// maxBody is less than the 25 MiB that GitHub sends at most: what a plan can read is
// 1 MiB, and an event of a person has some 10 KiB.
const maxBody = 4 << 20

const (
	headerSignature = "X-Hub-Signature-256"
	headerEvent     = "X-Github-Event"
	hintEvent       = "event"
	signaturePrefix = "sha256="
)

// Adapter speaks GitHub's webhooks with content type application/json.
type Adapter struct{}

var (
	_ channel.Adapter = Adapter{}
	_ channel.Sampler = Adapter{}
)

// Traits implements channel.Adapter.
func (Adapter) Traits() channel.Traits {
	return channel.Traits{Provider: "github", Title: "GitHub", Methods: []string{http.MethodPost}, MaxBody: maxBody}
}

var eventForm = regexp.MustCompile(`^[a-z_]{1,64}$`)

// Receive implements channel.Adapter. GitHub signs the body alone, so that the body is
// its own key: the id of the delivery and the name of the event are headers that
// whoever stands in between may change. There is no time in it either.
func (Adapter) Receive(r *channel.Request, keys [][]byte) (*channel.Receipt, error) {
	signature, err := hex.DecodeString(strings.TrimPrefix(r.Header.Get(headerSignature), signaturePrefix))
	if err != nil || len(signature) != sha256.Size || !channel.Signed(keys, [][]byte{signature}, func(key []byte) []byte { return sign(key, r.Body) }) {
		return nil, writ.Errorf(writ.CodeUnauthenticated, "github", "the signature in %s is not of this channel's secret", headerSignature).
			WithFix("give the webhook at GitHub the same secret as the channel")
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, writ.Errorf(writ.CodeInvalid, "github", "the content type is not application/json").
			WithFix("choose the content type application/json in the settings of the webhook")
	}
	event := r.Header.Get(headerEvent)
	if !eventForm.MatchString(event) {
		return nil, writ.Errorf(writ.CodeInvalid, "github", "%s names no event", headerEvent)
	}
	return &channel.Receipt{Hints: map[string]string{hintEvent: event}, Accepted: channel.Answer{Status: http.StatusAccepted}}, nil
}

func sign(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(nil)
}

// payload is what is read of a body. The rest of it is metadata.
type payload struct {
	Action string `json:"action"`
	Sender *struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
		Type  string `json:"type"`
	} `json:"sender"`
	Repository *struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	Issue       *numbered `json:"issue"`
	PullRequest *numbered `json:"pull_request"`
	Discussion  *numbered `json:"discussion"`
	Comment     *struct {
		ID      int64  `json:"id"`
		Body    string `json:"body"`
		Created string `json:"created_at"`
		// App wrote it in the sender's name, nil: nothing did.
		App *struct{} `json:"performed_via_github_app"`
	} `json:"comment"`
}

type numbered struct {
	Number int64  `json:"number"`
	Title  string `json:"title"`
}

// Read implements channel.Adapter. One delivery is one event, "issues.opened", in the
// thread of its issue, pull request or discussion: "acme/site#12".
func (Adapter) Read(d *channel.Delivery) ([]channel.Message, error) {
	metadata, err := channel.Object("github", d.Body)
	if err != nil {
		return nil, err
	}
	var p payload
	if err := json.Unmarshal(metadata, &p); err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "github", "the body is not an event of GitHub's")
	}
	event := d.Hints[hintEvent]
	m := channel.Message{Kind: channel.Happened, Event: event, Metadata: metadata, Thread: p.thread(), Text: p.text()}
	if p.Action != "" {
		m.Event += "." + p.Action
	}
	if p.Comment != nil && p.Action == "created" { // it keeps its id however often it is edited
		m.ID = strconv.FormatInt(p.Comment.ID, 10)
	}
	switch {
	case event == "ping":
		m.Kind, m.Why = channel.Passing, "GitHub tries the webhook out"
	case p.Sender == nil, p.Sender.ID == 0:
		m.Kind, m.Why = channel.Passing, "nobody caused it"
	case !p.fits(event):
		return nil, writ.Errorf(writ.CodeInvalid, "github", "%s says %q, and the body has none", headerEvent, event)
	default:
		m.Sender = channel.Sender{ID: strconv.FormatInt(p.Sender.ID, 10), Name: p.Sender.Login}
		if p.Sender.Type == "Bot" { // our own answers come back as events, too
			m.Kind, m.Why = channel.Passing, "a bot did it"
		}
	}
	messages := []channel.Message{m}
	if m.Kind == channel.Happened && commanded(event, &p) {
		m.Kind, m.Event, m.Addressed = channel.Said, "", true
		if at, err := time.Parse(time.RFC3339, p.Comment.Created); err == nil {
			m.At = channel.Within(at.Unix())
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// commands of the host's own: what people decide is a command of GitHub's kind.
var commands = []string{"/writ", "/approve", "/reject"}

// commanded reports whether an event is a new comment of a person that begins with a command
// of the host's own. Whatever else is written there is not said to it, nor what an app wrote
// in a person's name.
func commanded(event string, p *payload) bool {
	if p.Comment == nil || p.Action != "created" || p.Comment.ID == 0 || p.Comment.App != nil {
		return false
	}
	fields := strings.Fields(p.Comment.Body)
	return len(fields) > 0 && slices.Contains(commands, strings.ToLower(fields[0])) &&
		slices.Contains([]string{"issue_comment", "pull_request_review_comment", "discussion_comment"}, event)
}

// fits holds the unsigned name of an event against what the body has.
func (p *payload) fits(event string) bool {
	switch event {
	case "issues":
		return p.Issue != nil && p.Comment == nil
	case "issue_comment":
		return p.Issue != nil && p.Comment != nil
	case "pull_request":
		return p.PullRequest != nil && p.Comment == nil
	case "pull_request_review_comment":
		return p.PullRequest != nil && p.Comment != nil
	}
	return true
}

func (p *payload) thread() string {
	repository := ""
	if p.Repository != nil {
		repository = p.Repository.FullName
	}
	for _, n := range []*numbered{p.Issue, p.PullRequest, p.Discussion} {
		if n != nil {
			return fmt.Sprintf("%s#%d", repository, n.Number)
		}
	}
	return repository
}

func (p *payload) text() string {
	if p.Comment != nil {
		return p.Comment.Body
	}
	for _, n := range []*numbered{p.Issue, p.PullRequest, p.Discussion} {
		if n != nil {
			return n.Title
		}
	}
	return ""
}
