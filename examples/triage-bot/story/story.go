// Package story is what the triage bot does, from the home to the replay, with a small
// GitHub and a small Slack on loopback. The demo tells it, and tests play it.
package story

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/writ-run/writ/examples/issue-triage/fakegithub/github"
	"github.com/writ-run/writ/examples/loopback"
	"github.com/writ-run/writ/examples/stage"
	"github.com/writ-run/writ/examples/triage-bot/fakeslack/slack"
)

// What the two providers and the daemon know each other by.
const (
	githubToken   = "ghp_demo_0123456789abcdefghij"
	githubSecret  = "a secret of the webhook at GitHub"
	slackToken    = "xoxb-demo-0123456789"
	signingSecret = "8f742231b10e8888abcd99yyyzzz85a5"
)

// The people. grace and mallory are nobody whom the home knows; bob approves in both
// places, ada in Slack.
var (
	grace   = github.Person{ID: 601, Login: "grace"}
	mallory = github.Person{ID: 666, Login: "mallory"}
	bob     = github.Person{ID: 602, Login: "bob"}
)

const (
	repository = "acme/hello"
	room       = "C0TRIAGE"
	slackAda   = "U0ADA"
	slackBob   = "U0BOB"
	slackEve   = "U0EVE" // nobody whom the home knows
)

// Story is one home, with both channels.
type Story struct {
	*stage.Stage
	github *github.GitHub
	slack  *slack.Slack
	stop   []func() error

	urls  map[string]string // of the providers, by the host they stand in for
	seen  map[string]bool   // requests that were asked about
	ended []string          // executions
}

// Options of a story.
type Options struct {
	stage.Options
	// Patience is how long Slack waits for an answer; 0: the 3 s of Slack's, which a machine
	// that is very busy may not keep.
	Patience time.Duration
}

// New makes the stage and starts both providers.
func New(ctx context.Context, o *Options) (*Story, error) {
	on, err := stage.New(&o.Options)
	if err != nil {
		return nil, err
	}
	s := &Story{
		Stage: on, urls: map[string]string{}, seen: map[string]bool{},
		github: github.New(github.Options{Token: githubToken, Secret: githubSecret}),
		slack:  slack.New(&slack.Options{Token: slackToken, Secret: signingSecret, Channel: room, Patience: o.Patience}),
	}
	gh, stopGitHub, err := loopback.Start(ctx, s.github)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.stop = append(s.stop, stopGitHub)
	sl, stopSlack, err := loopback.Start(ctx, s.slack)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.stop = append(s.stop, stopSlack)
	s.urls["api.github.com"], s.urls["slack.com"] = gh, sl
	return s, nil
}

// Close ends everything and removes what there is.
func (s *Story) Close() error {
	err := errors.Join(s.Stage.Close(), s.github.Close())
	for _, stop := range s.stop {
		err = errors.Join(err, stop())
	}
	return err
}

// Tell tells all of it.
func Tell(ctx context.Context, o *Options) (err error) {
	s, err := New(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Tell(ctx, append(s.Opening(), s.Acts()...))
}

// Opening are the scenes that make the home and set it up.
func (s *Story) Opening() []stage.Scene {
	return []stage.Scene{
		{Title: "A home, and two skills, built and signed by a publisher of its own", Play: s.home},
		{Title: "A small GitHub and a small Slack on loopback, and the daemon", Play: s.start},
		{Title: "The triage bot is set up: setup.sh", Play: s.setup},
	}
}

// Acts are what happens then.
func (s *Story) Acts() []stage.Scene {
	first := &issue{title: "The export crashes", body: "It ends in a panic where the file is empty.", label: "bug"}
	second := &issue{title: "Support for dark mode", body: "A dark theme would be nice.", label: "enhancement"}
	return []stage.Scene{
		{Title: "An issue is opened; people are asked in Slack and in the issue", Play: s.opens(first)},
		{Title: "ada approves the label in Slack; the same press comes again", Play: s.pressed(first)},
		{Title: "The comment is approved in the issue: not by whoever comes along, but by bob", Play: s.commented(first)},
		{Title: "Another issue is opened; the daemon is killed and started again", Play: s.survives(second)},
		{Title: "bob rejects it in Slack, with a reason", Play: s.rejected(second)},
		{Title: "ada asks in Slack what an issue would be: /triage", Play: s.asked},
		{Title: "bob asks for a label in his own words, which he may not approve himself", Play: s.requested(second)},
		{Title: "Each execution is derived again and compared", Play: s.replayed},
	}
}

// ByComment are acts in which people decide in the issue alone.
func (s *Story) ByComment() []stage.Scene {
	only := &issue{title: "Typo in the README", body: "It says \"teh\" in the docs.", label: "documentation"}
	return []stage.Scene{
		{Title: "An issue is opened; people are asked in Slack and in the issue", Play: s.opens(only)},
		{Title: "bob approves the label in the issue: nothing else waits there", Play: s.approvedBare(only)},
		{Title: "The comment is approved in the issue: not by whoever comes along, but by bob", Play: s.commented(only)},
		{Title: "Each execution is derived again and compared", Play: s.replayed},
	}
}

func (s *Story) home(ctx context.Context) error {
	if err := s.MakeHome(ctx); err != nil {
		return err
	}
	return s.BuildSkills(ctx, "text", "github")
}

func (s *Story) start(ctx context.Context) error {
	if err := s.Configure(s.urls); err != nil {
		return err
	}
	return s.serve(ctx)
}

func (s *Story) serve(ctx context.Context) error {
	if err := s.StartDaemon(ctx, "--listen", "127.0.0.1:0"); err != nil {
		return err
	}
	address, err := s.Address(ctx)
	if err != nil {
		return err
	}
	s.github.SetWebhook("http://" + address + "/webhooks/github/acme")
	s.slack.SetURL("http://" + address + "/webhooks/slack/acme")
	s.Say("both send to the daemon at %s", address)
	return nil
}

func (s *Story) setup(ctx context.Context) error {
	secrets := s.Path("secrets")
	if err := os.Mkdir(secrets, 0o700); err != nil {
		return err
	}
	for name, secret := range map[string]string{"github-webhook": githubSecret, "github-token": githubToken, "slack-signing": signingSecret, "slack-bot": slackToken} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
	}
	return s.Script(ctx, filepath.Join("examples", "triage-bot", "setup.sh"),
		"SECRETS="+secrets, "GITHUB_BOB=602", "SLACK_ROOM="+slack.Team+"/"+room,
		"SLACK_ADA="+slack.Team+"/"+slackAda, "SLACK_BOB="+slack.Team+"/"+slackBob,
		"PUBLISHER="+s.Path("publisher.pub"), "SKILLS="+s.Path("text.skill")+" "+s.Path("github.skill"))
}
