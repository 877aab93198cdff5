package story

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/examples/issue-triage/fakegithub/github"
	"github.com/writ-run/writ/examples/triage-bot/fakeslack/slack"
)

// issue is one that somebody opens.
type issue struct {
	title, body string
	label       string // that fits it
	name        string // once it is there
	waits       *request
}

// act is what a scene does.
type act = func(context.Context) error

// Exit codes of writ.
const (
	denied  = 3
	waiting = 4
)

func (s *Story) opens(i *issue) act {
	return func(ctx context.Context) (err error) {
		if i.name, err = s.github.Open(ctx, grace, repository, i.title, i.body); err != nil {
			return err
		}
		s.Say("grace opens %s: %s", i.name, i.title)
		if i.waits, err = s.asking(ctx, i, "label"); err != nil {
			return err
		}
		asks := s.message(i.waits.ts).Text
		if !strings.Contains(asks, `"body": "{\"labels\":[\"`+i.label+`\"]}"`) {
			return fmt.Errorf("the label is not shown: %s", asks)
		}
		s.Say("in Slack:\n%s", asks)
		return s.Writ(ctx, waiting, "exec", "watch", i.waits.execution)
	}
}

// pressed: whoever is no member decides nothing; Slack sends a press once, and whatever
// stands in between may send it again.
func (s *Story) pressed(i *issue) act {
	return func(ctx context.Context) error {
		label := i.waits
		if _, err := s.slack.Press(ctx, &slack.Pressing{User: slackEve, TS: label.ts, Action: "approve"}); err != nil {
			return err
		}
		s.Say("eve presses Approve, whom nobody has made a member; then ada does")
		d, err := s.presses(ctx, &slack.Pressing{User: slackAda, TS: label.ts, Action: "approve"}, func() bool { return s.says(i, label, "Approved by: human:ada") })
		if err != nil {
			return err
		}
		if err := s.both(ctx, i, label, "Approved by: human:ada"); err != nil {
			return err
		}
		if i.waits, err = s.asking(ctx, i, "comment"); err != nil {
			return err
		}
		if d, err = s.slack.Again(ctx, &slack.Repeating{Number: d.Number}); err != nil {
			return err
		}
		s.Say("the press was sent %d times, and the last time answered with %d", d.Times, d.Status)
		return s.decisions(ctx, label.execution, 1)
	}
}

// approvedBare: where one thing waits, its name is not needed.
func (s *Story) approvedBare(i *issue) act {
	return func(ctx context.Context) (err error) {
		label := i.waits
		if err := s.silent(ctx); err != nil { // what is not known to be said was shown to nobody
			return err
		}
		says := func() bool { return s.says(i, label, "Approved by: human:bob") }
		if err := s.writes(ctx, bob, i, "/approve", says); err != nil {
			return err
		}
		i.waits, err = s.asking(ctx, i, "comment")
		return err
	}
}

// commented: a bare word could be meant for what waited here a moment ago, and is not
// taken; whoever is no person here decides nothing.
func (s *Story) commented(i *issue) act {
	return func(ctx context.Context) error {
		comment := i.waits
		for _, try := range []struct {
			by        github.Person
			text, why string
		}{
			{bob, "/approve", "something else waited here a moment ago"},
			{mallory, "/approve " + comment.ref, "only people decide"},
		} {
			refused := func() bool {
				return slices.ContainsFunc(s.refusals(i), func(r string) bool { return strings.Contains(r, try.why) })
			}
			if err := s.writes(ctx, try.by, i, try.text, refused); err != nil {
				return err
			}
			s.Say("the bot writes there: %s", s.refusals(i)[len(s.refusals(i))-1])
			if err := s.decisions(ctx, comment.execution, 1); err != nil {
				return err
			}
		}
		says := func() bool { return s.says(i, comment, "Approved by: human:bob: thank them") }
		if err := s.writes(ctx, bob, i, "/approve "+comment.ref+" thank them", says); err != nil {
			return err
		}
		if err := s.both(ctx, i, comment, "Approved by: human:bob: thank them"); err != nil {
			return err
		}
		if err := s.told(ctx, i, comment.execution+": it is done"); err != nil {
			return err
		}
		if err := s.Writ(ctx, 0, "exec", "watch", comment.execution); err != nil {
			return err
		}
		s.ended = append(s.ended, comment.execution)
		if err := s.decisions(ctx, comment.execution, 2); err != nil {
			return err
		}
		return s.done(i)
	}
}

// done compares what is in the issue: one label and one comment, each once.
func (s *Story) done(i *issue) error {
	thanks := 0
	for _, c := range s.comments(i) {
		if strings.HasPrefix(c.Body, "Thank you, @grace. This looks like "+i.label+",") {
			thanks++
		}
	}
	if labels := s.github.State().Issues[i.name].Labels; thanks != 1 || !slices.Equal(labels, []string{i.label}) {
		return fmt.Errorf("the issue has the labels %q and was answered %d times", labels, thanks)
	}
	s.Say("the issue has the label %q and the comment, each once", i.label)
	return nil
}

// survives: what was asked is still asked by the next daemon, and only once.
func (s *Story) survives(i *issue) act {
	return func(ctx context.Context) error {
		if err := s.opens(i)(ctx); err != nil {
			return err
		}
		if err := s.silent(ctx); err != nil { // or nobody would know whether the last of it was said
			return err
		}
		if err := s.KillDaemon(); err != nil {
			return err
		}
		return s.serve(ctx)
	}
}

func (s *Story) rejected(i *issue) act {
	return func(ctx context.Context) error {
		label := i.waits
		if err := s.rejects(ctx, label); err != nil {
			return err
		}
		if err := s.both(ctx, i, label, "Rejected by: human:bob: it is on the roadmap"); err != nil {
			return err
		}
		if err := s.told(ctx, i, label.execution+": it was rejected"); err != nil {
			return err
		}
		if err := s.Writ(ctx, denied, "exec", "watch", label.execution); err != nil {
			return err
		}
		s.ended = append(s.ended, label.execution)
		asked := 0
		for _, m := range s.slack.State().Messages {
			if strings.Contains(m.Text, label.execution) && m.ThreadTS == "" {
				asked++
			}
		}
		if asked != 1 {
			return fmt.Errorf("people were asked %d times in Slack about %s", asked, label.execution)
		}
		if labels := s.github.State().Issues[i.name].Labels; len(labels) > 0 {
			return fmt.Errorf("the issue has the labels %q", labels)
		}
		return s.decisions(ctx, label.execution, 1)
	}
}

// rejects: without a reason nothing is rejected, and whoever pressed is told so.
func (s *Story) rejects(ctx context.Context, label *request) error {
	if _, err := s.slack.Press(ctx, &slack.Pressing{User: slackBob, TS: label.ts, Action: "reject"}); err != nil {
		return err
	}
	err := s.until(ctx, "Slack says that a reason is missing", func() (bool, error) {
		return s.answered(label.ts, "Nothing was rejected: write the reason") != nil, nil
	})
	if err != nil {
		return err
	}
	s.Say("bob presses Reject, and is asked for a reason")
	_, err = s.presses(ctx, &slack.Pressing{User: slackBob, TS: label.ts, Action: "reject", Typed: "it is on the roadmap"}, func() bool {
		_, open := s.message(label.ts).Button("reject")
		return !open
	})
	return err
}

func (s *Story) asked(ctx context.Context) error {
	if _, err := s.slack.Command(ctx, &slack.Commanding{User: slackAda, Command: "/triage", Text: "a typo in the docs"}); err != nil {
		return err
	}
	return s.until(ctx, "Slack says what it would be", func() (bool, error) {
		for _, m := range s.slack.State().Messages {
			if strings.Contains(m.Text, ": it is done") && strings.Contains(m.Text, `"label":"documentation"`) {
				s.Say("in Slack:\n%s", m.Text)
				execution, _, _ := strings.Cut(m.Text, ":")
				s.ended = append(s.ended, execution)
				return true, nil
			}
		}
		return false, nil
	})
}

// requested: a phrase of the skill's is one step, in the name of whoever says it. It is
// asked about in the thread, and in the room as everything is.
func (s *Story) requested(i *issue) act {
	return func(ctx context.Context) error {
		_, number, _ := strings.Cut(i.name, "#")
		said, err := s.slack.Say(ctx, &slack.Saying{User: slackBob, Text: "<@" + slack.Bot + "> label issue " + number + " of " + repository + " with roadmap"})
		if err != nil {
			return err
		}
		s.Say("bob writes in Slack: %s", said.Text)
		var asks *slack.Message
		err = s.until(ctx, "bob's thread asks", func() (bool, error) {
			asks = s.answered(said.TS, "Asked by: human:bob")
			return asks != nil, nil
		})
		if err != nil {
			return err
		}
		execution := executionForm.FindStringSubmatch(asks.Text)[1]
		for _, press := range []struct{ user, then string }{
			{slackBob, "that was not done: human:bob asked for this step"},
			{slackAda, execution + ": it is done"},
		} {
			then := func() bool { return s.answered(said.TS, press.then) != nil }
			if _, err := s.presses(ctx, &slack.Pressing{User: press.user, TS: asks.TS, Action: "approve"}, then); err != nil {
				return err
			}
			s.Say("%s presses Approve; in the thread:\n%s", press.user, s.answered(said.TS, press.then).Text)
		}
		s.ended = append(s.ended, execution)
		if labels := s.github.State().Issues[i.name].Labels; !slices.Equal(labels, []string{"roadmap"}) {
			return fmt.Errorf("the issue has the labels %q", labels)
		}
		return s.decisions(ctx, execution, 1)
	}
}

func (s *Story) replayed(ctx context.Context) error {
	for _, execution := range s.ended {
		if err := s.Writ(ctx, 0, "replay", execution); err != nil {
			return err
		}
		if err := s.Expect("identical"); err != nil {
			return err
		}
		if err := s.Writ(ctx, 0, "trace", "verify", execution); err != nil {
			return err
		}
	}
	return nil
}
