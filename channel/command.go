package channel

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/intent"
)

// verb is what a member can ask of the host itself. Empty: nothing.
type verb string

// The verbs.
const (
	verbHelp   verb = "help"
	verbStatus verb = "status"
	verbCancel verb = "cancel"
	verbWhoami verb = "whoami"

	verbApprove verb = "approve"
	verbReject  verb = "reject"
)

var verbs = []verb{verbHelp, verbStatus, verbCancel, verbWhoami, verbApprove, verbReject}

// asked is what a text asks for, before any skill is looked at.
type asked struct {
	verb      verb
	execution writ.ExecutionID // of status and cancel; empty: it is not as they are said
	ref       string           // of approve and reject; empty: what waits in the thread
	note      string           // of approve and reject
	phrase    string           // what to look for in the phrases of skills; empty: nothing
	addressed bool             // whoever said it waits for an answer
}

// prefix of what is said to the host, alone or with the name of a bot behind it. What
// intent.Check lets a phrase begin with is never one.
var prefix = regexp.MustCompile(`^(?i)(/?)writ(?:@[A-Za-z0-9_.-]*)?[,:]?$`)

var executionForm = regexp.MustCompile(`^exe_[a-z0-9]{1,64}$`)

// bare are verbs that need no prefix where the app is spoken to, and what people write
// for them: Telegram says start when somebody opens the bot.
var bare = map[string]verb{"help": verbHelp, "/help": verbHelp, "/start": verbHelp, "?": verbHelp, "whoami": verbWhoami, "/whoami": verbWhoami}

// ask reads a text. The host's own words go before every phrase: no skill can take them.
func ask(text string, addressed bool) asked {
	if len(text) > intent.MaxText || !utf8.ValidString(text) {
		return asked{addressed: addressed}
	}
	text = strings.TrimSpace(text)
	if addressed {
		text = unmentioned(text)
	}
	first, rest := cutWord(text)
	found := prefix.FindStringSubmatch(first)
	if found == nil {
		if a := direct(text); addressed && a.verb != "" {
			return a
		}
		return asked{phrase: text, addressed: addressed}
	}
	// The slash is only ever said to the host; the word alone may be talk about it.
	a := asked{addressed: addressed || found[1] != ""}
	words := strings.Fields(rest)
	if len(words) == 0 {
		if a.addressed {
			a.verb = verbHelp
		}
		return a
	}
	v := verb(strings.ToLower(strings.TrimRight(words[0], ".!?")))
	if !slices.Contains(verbs, v) {
		a.phrase = rest
		return a
	}
	whole := len(words) == 1
	if v.decides() {
		_, said := cutWord(rest)
		a.ref, a.note = referred(said)
		whole = whole || a.ref != ""
	}
	if v.ofExecution() {
		if whole = len(words) == 2 && executionForm.MatchString(words[1]); whole {
			a.execution = writ.ExecutionID(words[1])
		}
	}
	if whole || a.addressed {
		a.verb, a.addressed = v, true
	}
	return a
}

// direct is a command without a prefix, exactly as it is said: the app is spoken to.
func direct(text string) asked {
	if v := bare[strings.ToLower(strings.TrimRight(text, ".!"))]; v != "" {
		return asked{verb: v, addressed: true}
	}
	if a := ruled(text); a.verb != "" {
		return a
	}
	words := strings.Fields(text)
	if len(words) != 2 || !executionForm.MatchString(words[1]) {
		return asked{}
	}
	if v := verb(strings.ToLower(strings.TrimPrefix(words[0], "/"))); v.ofExecution() {
		return asked{verb: v, execution: writ.ExecutionID(words[1]), addressed: true}
	}
	return asked{}
}

// ruled is a decision without a prefix. With a slash before it, it is never anything
// else; without one it must name what it is about, or be all that is said.
func ruled(text string) asked {
	first, rest := cutWord(text)
	word, slash := strings.CutPrefix(strings.ToLower(first), "/")
	word, _, _ = strings.Cut(word, "@") // Telegram writes the name of the bot behind it
	v := verb(word)
	if !v.decides() {
		return asked{}
	}
	a := asked{verb: v, addressed: true}
	a.ref, a.note = referred(rest)
	if !slash && a.ref == "" && rest != "" {
		return asked{}
	}
	return a
}

// referred is what is said behind the verb of a decision.
func referred(text string) (ref, note string) {
	if first, rest := cutWord(text); referenceForm.MatchString(first) {
		return first, rest
	}
	return "", text
}

// decides reports whether a verb is a decision.
func (v verb) decides() bool { return v == verbApprove || v == verbReject }

// ofExecution reports whether a verb is said with an execution.
func (v verb) ofExecution() bool { return v == verbStatus || v == verbCancel }

// unmentioned is a text without the mention that it begins with.
func unmentioned(text string) string {
	if first, rest := cutWord(text); strings.HasPrefix(first, "@") {
		return rest
	}
	return text
}

// cutWord cuts a text behind its first word.
func cutWord(text string) (word, rest string) {
	i := strings.IndexFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\u00a0' })
	if i < 0 {
		return text, ""
	}
	return text[:i], strings.TrimSpace(text[i:])
}
