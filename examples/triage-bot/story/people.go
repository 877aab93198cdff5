package story

import (
	"context"
	"strings"

	"github.com/writ-run/writ/examples/issue-triage/fakegithub/github"
	"github.com/writ-run/writ/examples/loopback"
	"github.com/writ-run/writ/examples/triage-bot/fakeslack/slack"
)

// writes has somebody comment on the issue, until something comes of it.
func (s *Story) writes(ctx context.Context, by github.Person, i *issue, text string, done func() bool) error {
	return s.insists(ctx, func() error {
		s.Say("%s writes in %s: %s", by.Login, i.name, text)
		return s.github.Comment(ctx, by, i.name, text)
	}, done)
}

// presses has somebody press a button, and waits for what comes of it.
func (s *Story) presses(ctx context.Context, p *slack.Pressing, done func() bool) (*loopback.Delivery, error) {
	d, err := s.slack.Press(ctx, p)
	if err != nil {
		return nil, err
	}
	return d, s.until(ctx, "something comes of it", func() (bool, error) { return done(), nil })
}

// tooEarly answers a bare word that is said before the host has noted that what it asks was
// shown: some milliseconds, which no person notices.
const tooEarly = "what waits here was not shown yet"

// insists does something, again where that was too early, until something comes of it.
func (s *Story) insists(ctx context.Context, do func() error, done func() bool) error {
	early := s.early()
	if err := do(); err != nil {
		return err
	}
	return s.until(ctx, "something comes of it", func() (bool, error) {
		if done() {
			return true, nil
		}
		if have := s.early(); have > early {
			early = have
			return false, do()
		}
		return false, nil
	})
}

// early is how often somebody was told that it was too early.
func (s *Story) early() (n int) {
	count := func(text string) {
		if strings.Contains(text, tooEarly) {
			n++
		}
	}
	for _, m := range s.slack.State().Messages {
		count(m.Text)
	}
	for _, i := range s.github.State().Issues {
		for _, c := range i.Comments {
			count(shown(c.Body))
		}
	}
	return n
}

// answered is what the bot has said in a thread of Slack, nil where it has not.
func (s *Story) answered(thread, text string) *slack.Message {
	for _, m := range s.slack.State().Messages {
		if m.ThreadTS == thread && m.User == slack.Bot && strings.Contains(m.Text, text) {
			return &m
		}
	}
	return nil
}
