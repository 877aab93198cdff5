package slack

import (
	"slices"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/writ-run/writ/channel"
)

// Bounds of blocks, in characters.
const (
	maxHeader = 150
	maxBlock  = 3_000
	maxField  = 400 // Slack takes 2,000: what is half as wide is read at a glance up to here
	maxBeside = 10  // fields of one section
	maxLabel  = 75
	maxName   = 2_000 // of what is to be written
	maxChosen = 25    // buttons
	maxAction = 255
	maxValue  = 2_000
	maxBlocks = 50
	// maxTotal is of all blocks: Slack documents none, and refuses some 13,000, of which each
	// block takes more than a hundred beside its text.
	maxTotal  = 12_000
	container = 125
	beside    = 50 // of one field
)

// escapes are what Slack makes of three characters, and counts.
var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func escapedBytes(text string) int { return len(escapes.Replace(text)) }

func escaped(text string) int { return channel.UTF16(escapes.Replace(text)) }

// blocks show what is said, with what can be written and pressed below. Where it was cut, or
// would take more of them than Slack shows, it is the lines of the text alone. All of it is
// plain text, in which nothing is markup.
func blocks(out *channel.Outgoing, text string) []slackgo.Block {
	said, below := laidOut(out), under(out)
	n := len(said) + len(below)
	if text != out.Plain() || n > maxBlocks || channel.UTF16(text)+n*container+len(out.Facts)*beside > maxTotal {
		said = sections(text)
	}
	return append(said, below...)
}

func laidOut(out *channel.Outgoing) []slackgo.Block {
	var all []slackgo.Block
	if h := out.Heading; strings.TrimSpace(h) != "" && escaped(h) <= maxHeader && !strings.ContainsAny(h, "\r\n") {
		all = append(all, slackgo.NewHeaderBlock(plainText(h)))
	} else {
		all = sections(h)
	}
	var row []*slackgo.TextBlockObject
	end := func() {
		if len(row) > 0 {
			all, row = append(all, slackgo.NewSectionBlock(nil, row, nil)), nil
		}
	}
	for i := range out.Facts {
		line := out.Facts[i].Plain()
		if escaped(line) > maxField {
			end()
			all = append(all, sections(line)...)
			continue
		}
		if row = append(row, plainText(line)); len(row) == maxBeside {
			end()
		}
	}
	end()
	return append(all, sections(out.Text)...)
}

// sections have all of a text, as far as there is something to see.
func sections(text string) []slackgo.Block {
	var all []slackgo.Block
	for text != "" {
		part := text[:fitting(text, maxBlock)]
		if strings.TrimSpace(part) != "" {
			all = append(all, slackgo.NewSectionBlock(plainText(part), nil, nil))
		}
		text = text[len(part):]
	}
	return all
}

// fitting is how many bytes of a text have at most so many characters.
func fitting(text string, limit int) int {
	taken := 0
	for i, r := range text {
		if taken += escaped(string(r)); taken > limit {
			return i
		}
	}
	return len(text)
}

// under are the field and the buttons. What a person has written comes along with the
// button that they press.
func under(out *channel.Outgoing) []slackgo.Block {
	var all []slackgo.Block
	if f := out.Field; f != nil && strings.TrimSpace(f.Label) != "" {
		input := slackgo.NewPlainTextInputBlockElement(nil, "written").WithMultiline(true)
		all = append(all, slackgo.NewInputBlock("", plainText(channel.Fit(f.Label, maxName, escaped)), nil, input).WithOptional(true))
	}
	var row []slackgo.BlockElement
	var asked []string
	chosen := 0
	for i := range out.Buttons {
		b := &out.Buttons[i]
		if chosen == maxChosen || !pressable(b) {
			continue
		}
		if slices.Contains(asked, b.Press.Action) { // an action stands once in a block
			all, row, asked = append(all, slackgo.NewActionBlock("", row...)), nil, nil
		}
		row, asked = append(row, button(b)), append(asked, b.Press.Action)
		chosen++
	}
	if len(row) > 0 {
		all = append(all, slackgo.NewActionBlock("", row...))
	}
	return all
}

// pressable reports whether Slack shows a button and gives back what it says.
func pressable(b *channel.Button) bool {
	action := channel.UTF16(b.Press.Action)
	return strings.TrimSpace(b.Label) != "" && action > 0 && action <= maxAction && channel.UTF16(b.Press.Value) <= maxValue
}

var styles = map[channel.Style]slackgo.Style{channel.StyleGood: slackgo.StylePrimary, channel.StyleBad: slackgo.StyleDanger}

func button(b *channel.Button) *slackgo.ButtonBlockElement {
	label := plainText(channel.Fit(b.Label, maxLabel, escaped))
	return slackgo.NewButtonBlockElement(b.Press.Action, b.Press.Value, label).WithStyle(styles[b.Style])
}

func plainText(text string) *slackgo.TextBlockObject {
	return slackgo.NewTextBlockObject(slackgo.PlainTextType, text, false, false)
}
