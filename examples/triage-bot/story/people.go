package story

import (
	"context"
	"slices"
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

// presses has somebody press a button, until something comes of it.
func (s *Story) presses(ctx context.Context, p *slack.Pressing, done func() bool) (d *loopback.Delivery, err error) {
	err = s.insists(ctx, func() (err error) {
		d, err = s.slack.Press(ctx, p)
		return err
	}, done)
	return d, err
}

// tooEarly are answers to a word that is said before the host has noted what it just asked:
// some milliseconds, which no person notices.
var tooEarly = []string{"nothing waits for a decision in this thread", "nothing of that name is asked here"}

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

// early is how often somebody was told that nothing is asked.
func (s *Story) early() (n int) {
	count := func(text string) {
		if slices.ContainsFunc(tooEarly, func(why string) bool { return strings.Contains(text, why) }) {
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
