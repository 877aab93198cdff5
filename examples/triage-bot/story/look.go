package story

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ/examples/issue-triage/fakegithub/github"
	"github.com/writ-run/writ/examples/stage"
	"github.com/writ-run/writ/examples/triage-bot/fakeslack/slack"
)

// request is what people are asked, in both places.
type request struct {
	execution, step string
	ref             string // apr_...
	ts              string // of the message in Slack
	comment         int64  // in the issue
}

var executionForm = regexp.MustCompile(`Execution (exe_[a-z0-9]+), step ([a-z]+)`)

// asking waits until people are asked something new about an issue, in both places.
func (s *Story) asking(ctx context.Context, i *issue, step string) (*request, error) {
	r := &request{}
	err := s.until(ctx, "people are asked about the step "+step, func() (bool, error) {
		for _, m := range s.slack.State().Messages {
			value, ok := m.Button("approve")
			found := executionForm.FindStringSubmatch(m.Text)
			if !ok || s.seen[value] || found == nil || found[2] != step {
				continue
			}
			if reject, _ := m.Button("reject"); reject != value || !m.Field() || !strings.Contains(m.Text, "Data from: channel") {
				return false, fmt.Errorf("what is asked in Slack is not whole: %+v", m)
			}
			*r = request{execution: found[1], step: step, ref: value, ts: m.TS}
		}
		for _, c := range s.comments(i) {
			if r.ref != "" && strings.Contains(shown(c.Body), "approve "+r.ref) {
				r.comment = c.ID
			}
		}
		return r.comment != 0, nil
	})
	s.seen[r.ref] = true
	return r, err
}

// until looks again and again, and says how things stood where it never came.
func (s *Story) until(ctx context.Context, what string, look func() (bool, error)) error {
	if err := stage.Until(ctx, what, look); err != nil {
		return fmt.Errorf("%w\n%s", err, s.standing())
	}
	return nil
}

// standing is all that was said so far, and what the daemon has to say.
func (s *Story) standing() string {
	var out strings.Builder
	for _, m := range s.slack.State().Messages {
		fmt.Fprintf(&out, "-- in Slack, %s, %s:\n%s\n", m.TS, m.User, m.Text)
	}
	for name, i := range s.github.State().Issues {
		for _, c := range i.Comments {
			fmt.Fprintf(&out, "-- in %s, %d, %s:\n%s\n", name, c.ID, c.Author, shown(c.Body))
		}
	}
	fmt.Fprintf(&out, "-- sent by Slack: %+v\n-- sent by GitHub: %+v\n-- the daemon:\n%s", s.slack.State().Deliveries, s.github.State().Deliveries, s.Log())
	return out.String()
}

func (s *Story) comments(i *issue) []github.Comment {
	if have := s.github.State().Issues[i.name]; have != nil {
		return have.Comments
	}
	return nil
}

// told waits until the bot has said something in the issue.
func (s *Story) told(ctx context.Context, i *issue, text string) error {
	return s.until(ctx, "the issue says "+text, func() (bool, error) {
		for _, c := range s.comments(i) {
			if c.Author == github.Bot.Login && strings.Contains(shown(c.Body), text) {
				s.Say("the bot writes there: %s", shown(c.Body))
				return true, nil
			}
		}
		return false, nil
	})
}

// refusals are what the bot has said in the issue about what it did not do.
func (s *Story) refusals(i *issue) []string {
	var out []string
	for _, c := range s.comments(i) {
		if text := shown(c.Body); c.Author == github.Bot.Login && strings.Contains(strings.ToLower(text), "that was not done") {
			out = append(out, text)
		}
	}
	return out
}

// both waits until what was asked says in both places what became of it, and cannot be
// pressed any more.
func (s *Story) both(ctx context.Context, i *issue, r *request, text string) error {
	err := s.until(ctx, "both messages say "+text, func() (bool, error) { return s.says(i, r, text), nil })
	if err == nil {
		s.Say("the message in Slack and the comment in the issue now say: %s", text)
	}
	return err
}

// says reports whether it does.
func (s *Story) says(i *issue, r *request, text string) bool {
	m := s.message(r.ts)
	if _, pressable := m.Button("approve"); pressable || m.Field() || !strings.Contains(m.Text, text) {
		return false
	}
	return slices.ContainsFunc(s.comments(i), func(c github.Comment) bool { return c.ID == r.comment && strings.Contains(shown(c.Body), text) })
}

func (s *Story) message(ts string) *slack.Message {
	for _, m := range s.slack.State().Messages {
		if m.TS == ts {
			return &m
		}
	}
	return &slack.Message{}
}

var unescape = strings.NewReplacer("\u2060", "", "**", "", "\\", "", "&lt;", "<", "&nbsp;", " ", "&amp;", "&")

// shown is what a person reads of a comment of the bot's.
func shown(markdown string) string { return unescape.Replace(markdown) }

// decisions compares how often people have decided something of an execution.
func (s *Story) decisions(ctx context.Context, execution string, want int) error {
	if err := s.Quiet(ctx, 0, "trace", "get", execution, "-o", "json"); err != nil {
		return err
	}
	var trace struct {
		Entries []struct {
			Type string `json:"type"`
		} `json:"entries"`
	}
	if err := s.Read(&trace); err != nil {
		return err
	}
	have := 0
	for _, e := range trace.Entries {
		if e.Type == "approval.decided" {
			have++
		}
	}
	if have != want || len(trace.Entries) == 0 {
		return fmt.Errorf("%d decisions about %s, want %d", have, execution, want)
	}
	s.Say("the journal of %s has decisions: %d", execution, have)
	return nil
}

// silent waits until the bot has nothing to say any more.
func (s *Story) silent(ctx context.Context) error {
	return s.until(ctx, "everything is said", func() (bool, error) {
		var outbox struct {
			Items []any `json:"items"`
		}
		err := s.Quiet(ctx, 0, "channel", "outbox", "-o", "json")
		if err == nil {
			err = s.Read(&outbox)
		}
		return err == nil && len(outbox.Items) == 0, err
	})
}
