package channel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/intent"
)

// What is said in threads stands here, all of it, and in one language.

// Bounds of an answer. The shortest message that a provider takes has some 4000 letters.
const (
	maxAnswer  = 3000 // bytes
	maxLines   = 20   // of help
	maxNear    = 3
	maxChoices = 9
	maxShown   = 600 // bytes of an output
)

const (
	sayNothingFits = "I did not understand that, and did nothing."
	sayNearest     = "Did you mean one of these?"
	saySeveral     = "That can mean several things, and nothing was done. Say it more exactly, as one of these:"
	sayHelp        = "help: what you can ask for here"
	sayNoSkills    = "Nothing can be asked for here yet: no skill that you may use has a phrase."
	sayUnmapped    = "I do not know you here, and do nothing for you. Whoever runs Writ can add you to this channel."
	sayTooLong     = "That is too long to be a request, and nothing was done."
	sayNotYours    = "There is no such execution of yours."
	sayStatusForm  = "Say it as: writ status EXECUTION, such as writ status exe_..."
	sayCancelForm  = "Say it as: writ cancel EXECUTION, such as writ cancel exe_..."
	sayRejectForm  = "Nothing was rejected. Say why: writ reject REASON, or writ reject apr_... REASON"
	sayDeciding    = "writ approve, writ reject REASON: what waits for a decision in this thread; with apr_... behind the word: what has that name"
	sayWithheld    = "Its output is not shown here, because some of it is private."
	sayOwn         = "writ status EXECUTION, writ cancel EXECUTION: what you asked for\nwrit whoami: who you are here"
)

// answer is a text as it is kept and sent.
func answer(lines ...string) string {
	return cut(strings.Join(lines, "\n"), maxAnswer)
}

// cut is writ.Clip for a text of several lines.
func cut(text string, most int) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = writ.Clip(strings.ReplaceAll(lines[i], "\t", " "), most)
	}
	if text = strings.Join(lines, "\n"); len(text) > most {
		text = strings.ToValidUTF8(text[:most-3], "") + "..."
	}
	return text
}

// sayUnderstoodNot is for who spoke to the app and asked for nothing that there is.
func sayUnderstoodNot(near []string) string {
	lines := []string{sayNothingFits}
	if len(near) > 0 {
		lines = append(lines, sayNearest)
		for _, phrase := range near {
			lines = append(lines, "- "+phrase)
		}
	}
	return answer(append(lines, sayHelp)...)
}

func sayChoices(matches []intent.Match) string {
	lines := []string{saySeveral}
	for i := range matches {
		if i == maxChoices {
			lines = append(lines, fmt.Sprintf("and %d more", len(matches)-i))
			break
		}
		m := &matches[i]
		lines = append(lines, fmt.Sprintf("%d. %s  (%s of %s)", i+1, m.Phrase, m.Action, m.Skill.Key))
	}
	return answer(lines...)
}

// sayAll is help: at most maxLines lines.
func sayAll(phrases []string, decides bool) string {
	lines, own := []string{sayNoSkills}, sayOwn
	if decides {
		own += "\n" + sayDeciding
	}
	if len(phrases) > 0 {
		lines[0] = "You can say:"
		room := maxLines - 2 - strings.Count(own, "\n") // the first line and the host's own
		left := len(phrases) - room
		if left > 0 {
			left++ // the line that says so takes one more
			phrases = phrases[:room-1]
		}
		for _, phrase := range phrases {
			lines = append(lines, "- "+phrase)
		}
		if left > 0 {
			lines = append(lines, fmt.Sprintf("and %d more", left))
		}
	}
	return answer(append(lines, own)...)
}

func sayWho(p *writ.Principal, s *Sender, channel writ.ChannelName) string {
	return answer(fmt.Sprintf("You are %s here (%s), in the tenant %s. The channel %s knows you as %s.", p.ID, p.Kind, p.Tenant, channel, writ.Clip(s.ID, maxName)))
}

// sayState is how an execution goes.
func sayState(e *contract.Execution) string {
	lines := []string{fmt.Sprintf("%s: %s", e.ExecutionID, inWords(e.Status))}
	for i := range e.Steps {
		s := &e.Steps[i]
		if s.Status == writ.StepAwaitingApproval {
			lines = append(lines, sayStep(s.Name, s.Skill, s.Action, s.RiskTier))
		}
	}
	if e.Paused {
		lines = append(lines, "An operator holds it.")
	}
	return answer(lines...)
}

// sayStep is what waits for a person.
func sayStep(name string, skill writ.SkillKey, action string, risk writ.Risk) string {
	return fmt.Sprintf("- step %s (%s of %s, risk %s) waits for somebody to approve it", name, action, skill, risk)
}

func sayStarted(id writ.ExecutionID) string { return answer(fmt.Sprintf("%s: it is under way.", id)) }

func sayCancelled(id writ.ExecutionID, status string) string {
	return answer(fmt.Sprintf("%s: cancelled by you; it is %s.", id, inWords(writ.ExecutionStatus(status))))
}

// sayRefused is why something was not done: what is wrong with what this person asked,
// and nothing of anybody else's.
func sayRefused(err error, id writ.ExecutionID) string {
	var e *writ.Error
	why, fix := "something is wrong here, and whoever runs Writ can see what", ""
	if errors.As(err, &e) && e.Code != writ.CodeInternal && e.Message != "" {
		why, fix = e.Message, e.Fix
	}
	first := "That was not done: " + why
	if id != "" {
		first = string(id) + ": " + strings.ToLower(first[:1]) + first[1:]
	}
	lines := []string{first}
	if fix != "" {
		lines = append(lines, "What to do: "+fix)
	}
	return answer(lines...)
}

// sayEnded is the outcome of an execution, or that it waits.
func sayEnded(e *writ.Execution, output string) string {
	lines := []string{fmt.Sprintf("%s: %s", e.ID, inWords(e.Status))}
	switch {
	case e.Status == writ.ExecCompleted && output != "":
		lines = append(lines, output)
	case e.Status == writ.ExecAwaitingApproval:
		for i := range e.Steps {
			if s := &e.Steps[i]; s.Status == writ.StepAwaitingApproval {
				lines = append(lines, sayStep(s.Name, s.Skill.Key, s.Action, s.Risk))
			}
		}
	case e.Status == writ.ExecIndeterminate:
		lines = append(lines, "Whether something was done is not known: an operator looks into it.")
	case e.EditedInto != nil:
		lines[0] = fmt.Sprintf("%s: it was edited, and %s goes on in its place", e.ID, e.EditedInto.Execution)
	case e.Status != writ.ExecCompleted:
		lines = append(lines, whyEnded(e)...)
	}
	return answer(lines...)
}

// whyEnded says what kept an execution from being done. The words of a skill are left
// out where what it had seen is private, and those of a person where what was asked is.
func whyEnded(e *writ.Execution) []string {
	var lines []string
	for i := range e.Steps {
		s := &e.Steps[i]
		switch {
		case s.Status == writ.StepFailed && s.Failure != nil && public(s.Labels):
			lines = append(lines, fmt.Sprintf("- step %s failed (%s): %s", s.Name, s.Failure.Code, s.Failure.Message))
		case s.Status == writ.StepFailed && s.Failure != nil:
			lines = append(lines, fmt.Sprintf("- step %s failed (%s)", s.Name, s.Failure.Code))
		case s.Status == writ.StepRejected && s.Reason != "" && (s.Approval == nil || !hides(&s.Approval.Request, false)):
			lines = append(lines, fmt.Sprintf("- step %s was rejected: %s", s.Name, line(s.Reason)))
		case s.Status == writ.StepBlocked && s.Verdict != nil:
			for _, r := range s.Verdict.Reasons {
				lines = append(lines, fmt.Sprintf("- step %s: %s", s.Name, r.Message))
			}
		}
	}
	if len(lines) == 0 && e.Reason != "" {
		lines = append(lines, e.Reason)
	}
	return lines[:min(len(lines), maxNear)]
}

var statusWords = map[writ.ExecutionStatus]string{
	writ.ExecReceived: "it was received", writ.ExecCompiled: "it is planned", writ.ExecRejected: "it was rejected",
	writ.ExecAwaitingApproval: "it waits for a person", writ.ExecRunning: "it is under way", writ.ExecPaused: "it is held",
	writ.ExecCompleted: "it is done", writ.ExecFailed: "it failed", writ.ExecCancelled: "it was cancelled", writ.ExecExpired: "it waited too long and has expired",
	writ.ExecBlocked: "the policy does not allow it", writ.ExecIndeterminate: "its outcome is not known",
}

func inWords(s writ.ExecutionStatus) string {
	if words := statusWords[s]; words != "" {
		return words
	}
	return string(s)
}
