package channel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// What is said about requests that people decide stands here.

// Actions of the buttons.
const (
	actApprove = "approve"
	actReject  = "reject"
)

const (
	sayReason     = "Reason (needed to reject)"
	sayWriteWhy   = "Nothing was rejected: write the reason into the field, then press Reject again."
	sayNoReason   = "no reason was given"
	sayNoneDecide = "Nothing is decided in this channel."
)

// Why something is not decided where it is asked.
const (
	whyNotHere = "it is not decided in this channel"
	whyRisk    = "its risk is %s, and that is never decided in a channel"
	wholeNot   = "it is too long to be shown here"
	whyMarks   = "some of it would not be shown here as it is"
	whyPrivate = "some of its data is private, and not shown here"
)

// sayAsk is a request as a person is asked about it, and whether it may be decided where
// it is said: what is not shown whole there may not.
func sayAsk(full *writ.Approval, place *askPlace, v *voice) (out *Outgoing, decides bool) {
	r := &full.Request
	hidden := hides(r, place.room)
	out = &Outgoing{Thread: place.thread, Heading: "Approval needed: " + line(r.Template()), Facts: askFacts(full, hidden)}
	ref, longest := reference(full.Digest), v.Longest()
	why := ""
	switch {
	case hidden:
		why = whyPrivate
	case !r.Takes(&writ.Decision{Via: &writ.Via{}}):
		why = fmt.Sprintf(whyRisk, r.Risk)
	case !place.channel.Decides:
		why = whyNotHere
	}
	whole := *out
	whole.Text = details(r)
	if why == "" && marked(whole.Plain(), v.marks) {
		why = whyMarks
	}
	if why == "" {
		how := *out
		how.Text = whole.Text + "\nTo decide, press a button or say:\n/writ approve " + ref + "\n/writ reject " + ref + " REASON"
		how.Field = &Field{Label: sayReason}
		how.Buttons = []Button{
			{Label: "Approve", Press: Press{Action: actApprove, Value: ref}, Style: StyleGood},
			{Label: "Reject", Press: Press{Action: actReject, Value: ref}, Style: StyleBad},
		}
		if len(how.Plain()) <= longest {
			return &how, true
		}
		why = wholeNot
	}
	elsewhere := fmt.Sprintf("Decide with the command line, because %s:\nwrit exec approve %s %s", why, r.Execution, line(r.StepName))
	if why != whyPrivate && why != wholeNot {
		whole.Text += "\n" + elsewhere
		if len(whole.Plain()) <= longest {
			return &whole, false
		}
	}
	if out.Text = elsewhere; len(out.Plain()) > longest {
		out.Facts = brief(out.Facts)
	}
	return out, false
}

// marked reports whether a line of text has two of a mark, where the first may begin and the
// second may end what is shown in another way.
func marked(text, marks string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		for _, mark := range marks {
			opened, before := false, ' '
			for _, r := range line {
				if r == mark && opened && before != ' ' {
					return true
				}
				opened = opened || r == mark && !alphanumeric(before)
				before = r
			}
		}
	}
	return false
}

// hides reports whether the data of a request is not for those who read a place.
func hides(r *writ.ApprovalRequest, room bool) bool {
	return slices.ContainsFunc(r.Taint, func(l writ.Label) bool { return l == writ.LabelSecret || l.Private() && !room })
}

// what is asked for, in one line. Where a call goes to may be made of the data.
func what(r *writ.ApprovalRequest, hidden bool) string {
	if hidden {
		return line(r.Template())
	}
	return line(r.Summary)
}

// brief is what is left of facts where all of them would cut off what is below: the first
// four, each of so many bytes.
func brief(facts []Fact) []Fact {
	facts = slices.Clone(facts[:min(len(facts), 4)])
	for i := range facts {
		facts[i].Value = writ.Clip(facts[i].Value, maxSaid)
	}
	return facts
}

// askFacts are what is read at a glance.
func askFacts(full *writ.Approval, hidden bool) []Fact {
	r := &full.Request
	facts := []Fact{
		{"What", what(r, hidden)}, {"Effect", string(r.Effect)}, {"Risk", string(r.Risk)}, {"Asked by", asker(r)},
	}
	for _, reason := range r.Reasons {
		facts = append(facts, Fact{"Because", line(reason.Message)})
	}
	if len(r.Taint) > 0 {
		facts = append(facts, Fact{"Data from", joined(r.Taint)})
	}
	facts = append(facts, Fact{"Needs", needs(full)}, Fact{"Until", r.DecideBy.Std().UTC().Format("2 January 2006, 15:04 UTC")})
	return append(facts, spoken(full, hidden)...)
}

// asker is who asked, for whom, and who else wrote it.
func asker(r *writ.ApprovalRequest) string {
	text := string(r.Requester)
	for _, id := range r.OnBehalfOf {
		text += " for " + string(id)
	}
	if len(r.Authors) > 0 {
		names := make([]string, len(r.Authors))
		for i, id := range r.Authors {
			names[i] = string(id)
		}
		text += ", written by " + strings.Join(names, ", ")
	}
	return line(text)
}

// needs is who must still approve: "1 of 2 people, of the role approver".
func needs(full *writ.Approval) string {
	q := &full.Request.Requirement
	seats, open := 0, []string{}
	for _, s := range full.Missing(q) {
		seats, open = seats+s.Count, append(open, fmt.Sprintf("%d of %s", s.Count, s.Role))
	}
	text := fmt.Sprintf("%d of %d people", max(seats, max(1, q.Count)-full.Granted()), max(1, q.Count))
	if roles := q.Deciders(full.Status == writ.ApprovalEscalated); len(roles) > 0 {
		text += ", of the role " + strings.Join(roles, " or ")
	}
	if seats > 0 {
		text += ", among them " + strings.Join(open, " and ")
	}
	return text
}

// spoken is what people have said. What they noted may be of the data.
func spoken(full *writ.Approval, hidden bool) []Fact {
	var facts []Fact
	for i := range full.Decisions {
		d := &full.Decisions[i]
		name := "Rejected by"
		switch {
		case d.Edited != "":
			name = "Edited by"
		case d.Approved:
			name = "Approved by"
		}
		value := line(string(d.By))
		if d.For != "" {
			value += " for " + line(string(d.For))
		}
		if d.Note != "" && !hidden {
			value += ": " + line(writ.Clip(d.Note, maxWhy))
		}
		facts = append(facts, Fact{name, value})
	}
	return facts
}

// details are the exact values that are approved, and what would undo them without asking
// again.
func details(r *writ.ApprovalRequest) string {
	lines := []string{"Input:", values(r.Input)}
	if r.Call != nil {
		lines = []string{"Call of " + line(r.Call.Tool) + ":", values(r.Call.Arguments)}
	}
	if undo := r.Compensation; undo != nil {
		lines = append(lines, "If it must be undone, without asking again, "+line(undo.Skill.String())+"#"+line(undo.Action)+":", values(undo.Template))
		for _, b := range undo.Bindings {
			lines = append(lines, line(b.Path)+": "+line(b.CEL))
		}
		for i := range undo.Capabilities {
			lines = append(lines, "may "+line(contract.CapabilityText(&undo.Capabilities[i])))
		}
	}
	return strings.Join(append(lines, "Execution "+string(r.Execution)+", step "+line(r.StepName)), "\n")
}

// sayClosed is a request about which nothing is to be decided any more.
func sayClosed(full *writ.Approval, place *askPlace) *Outgoing {
	if full == nil {
		return &Outgoing{Thread: place.thread, Heading: "Nothing is to be decided here any more"}
	}
	r := &full.Request
	hidden := hides(r, place.room)
	words := map[writ.ApprovalStatus]string{
		writ.ApprovalApproved: "Approved", writ.ApprovalRejected: "Rejected", writ.ApprovalExpired: "Expired, as nobody decided",
	}
	heading, text := words[full.Status], ""
	if heading == "" {
		heading = "Not needed any more"
	}
	if n := len(full.Decisions); n > 0 && full.Decisions[n-1].Edited != "" {
		heading, text = "Edited", "What goes on in its place, and asks anew, is "+string(full.Decisions[n-1].Edited)+"."
	}
	facts := append([]Fact{{"What", writ.Clip(what(r, hidden), maxWhy)}, {"Execution", string(r.Execution)}}, spoken(full, hidden)...)
	return &Outgoing{Thread: place.thread, Heading: heading + ": " + line(r.Template()), Facts: facts, Text: text}
}

// sayDecided is for who decided with words, in the room or elsewhere.
func sayDecided(p *writ.Principal, full *writ.Approval, approved, room bool) string {
	said := "Rejected"
	if approved {
		said = "Approved"
	}
	r := &full.Request
	text := fmt.Sprintf("%s by %s: %s, of %s.", said, p.ID, what(r, hides(r, room)), r.Execution)
	if approved && full.Open() {
		text += " It waits for " + needs(full) + "."
	}
	return answer(text)
}

// sayForm is how a word is said about one request.
func sayForm(approved bool, ref string) string {
	if approved {
		return "approve " + ref
	}
	return "reject " + ref + " REASON"
}

func joined(labels []writ.Label) string {
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = string(l)
	}
	return strings.Join(parts, ", ")
}

// values are JSON for people, in which nothing hides: what would not be seen, or would
// turn other text around, is written as JSON escapes it.
func values(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return visible(string(raw))
	}
	return visible(out.String())
}

// line is a text from elsewhere on one line, in which nothing hides.
func line(text string) string {
	return visible(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " "))
}

// visible escapes what people would not see: control and format characters, blanks that
// have no width or look like none, private and unassigned ones. A line break stays.
func visible(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n', r == ' ', unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) && !unicode.Is(unicode.Variation_Selector, r) && !blank(r):
			_, _ = out.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			_, _ = fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			_, _ = fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// blanks are letters, marks and symbols by name that show nothing, beside those that
// Unicode calls ignorable: the empty Braille cell, the blanks of hieroglyphs, the filler of
// Khitan, the empty note.
var blanks = []rune{0x2800, 0x13441, 0x13442, 0x16fe4, 0x1d159}

func blank(r rune) bool {
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || slices.Contains(blanks, r)
}
