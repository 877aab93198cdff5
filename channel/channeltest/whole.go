package channeltest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// fillings are what is dear to some provider: it escapes, counts or shows it otherwise.
func (s *Speaking) fillings() []string {
	return []string{
		s.Hostile + " ", "@", " @a", "&", "<", ">", "#1 ", "GH-1 ", "*", "_", "~", "`", "|", "\\", "\"", "$", ":a:", "\n", "\n- ", "\n    ", " ", "\t", "\r", "a\n\n",
		"\U0001F989", "\U0001F469\u200d\U0001F467", "é", "ש", "\u202e", "z",
	}
}

// shapes are where it may stand.
var shapes = map[string]func(filling string, longest int) *channel.Outgoing{
	"text": func(filling string, longest int) *channel.Outgoing {
		return &channel.Outgoing{Text: filled(filling, longest)}
	},
	"heading": func(filling string, longest int) *channel.Outgoing {
		return &channel.Outgoing{Heading: filled(filling, longest/2), Text: "May it?"}
	},
	"one fact": func(filling string, longest int) *channel.Outgoing {
		return &channel.Outgoing{Heading: "Approval", Facts: []channel.Fact{{Name: "Input", Value: value(filling, longest-100)}}, Text: "May it?"}
	},
	"many facts": func(filling string, longest int) *channel.Outgoing {
		out := &channel.Outgoing{Heading: "Approval", Text: "May it?"}
		for len(out.Plain()) < longest-100 {
			out.Facts = append(out.Facts, channel.Fact{Name: filled(filling, 5), Value: value(filling, 9)})
		}
		return out
	},
	"long and short facts": func(filling string, longest int) *channel.Outgoing {
		out := &channel.Outgoing{Heading: filled(filling, 60), Text: "May it?"}
		for len(out.Plain()) < longest-300 {
			out.Facts = append(out.Facts, channel.Fact{Name: "Long", Value: value(filling, 150)}, channel.Fact{Name: "Short", Value: "x"})
		}
		return out
	},
}

// filled are so many bytes of one filling.
func filled(filling string, n int) string {
	out := strings.Repeat(filling, n/len(filling))
	return out + strings.Repeat("z", n-len(out))
}

// value is the same of a fact, in which some characters are more in lines of text.
func value(filling string, n int) string {
	size := func(value string) int { return len((&channel.Fact{Value: value}).Plain()) - len(": ") }
	out := strings.Repeat(filling, n/size(filling))
	return out + strings.Repeat("z", n-size(out))
}

// asking is what a provider is given below what is said: more than any has.
func asking() (*channel.Field, []channel.Button) {
	return &channel.Field{Label: "Why"}, []channel.Button{
		{Label: "Approve", Press: channel.Press{Action: "approve", Value: "apr_1"}, Style: channel.StyleGood},
		{Label: "Reject", Press: channel.Press{Action: "reject", Value: "apr_1"}, Style: channel.StyleBad},
		{Label: "Show", Press: channel.Press{Action: "show", Value: "apr_1"}},
		{Label: "Later", Press: channel.Press{Action: "later", Value: "apr_1"}},
	}
}

// whole: of what has as many bytes as the adapter says nothing is cut, whatever it is and
// wherever it stands.
func (s *Speaking) whole(t *testing.T, p *provider, send sends) {
	speaker, _ := s.Adapter.(channel.Speaker)
	longest := speaker.Longest()
	for _, where := range slices.Sorted(maps.Keys(shapes)) {
		for _, filling := range s.fillings() {
			out := shapes[where](filling, longest)
			out.Thread = s.Thread
			out.Field, out.Buttons = asking()
			out.Text += strings.Repeat("z", max(0, longest-len(out.Plain())))
			if n := len(out.Plain()); n != longest {
				t.Fatalf("%s of %q: %d bytes, want %d", where, filling, n, longest)
			}
			if _, err := send(out, nil); err != nil {
				t.Fatalf("%s of %q: %v", where, filling, err)
			}
			if got, want := visible(p.seen.Text), visible(out.Plain()); got != want {
				t.Errorf("%s of %q: it reads\n%.300q, want\n%.300q", where, filling, got, want)
			}
			s.below(t, p, out)
		}
	}
}

// visible is text without what providers may show as they like: white space, and what keeps
// names quiet.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '\u2060' {
			return -1
		}
		return r
	}, text)
}

// below holds what is under a message against what the provider has.
func (s *Speaking) below(t *testing.T, p *provider, out *channel.Outgoing) {
	t.Helper()
	field := ""
	if out.Field != nil && s.Most.Field {
		field = out.Field.Label
	}
	buttons := slices.Clone(out.Buttons[:min(len(out.Buttons), s.Most.Buttons)])
	for i := range buttons {
		if !s.Most.Styles {
			buttons[i].Style = ""
		}
	}
	if p.seen.Field != field || !slices.Equal(p.seen.Buttons, buttons) {
		t.Errorf("below are %q and %+v, want %q and %+v", p.seen.Field, p.seen.Buttons, field, buttons)
	}
}

// changes: what replaces a message leaves nothing of it, neither buttons nor a field.
func (s *Speaking) changes(t *testing.T, p *provider, send sends) {
	field, buttons := asking()
	for what, out := range map[string]*channel.Outgoing{
		"all of it": {Heading: "Approval", Facts: []channel.Fact{{Name: "By", Value: "ada"}}, Text: "May it?", Field: field, Buttons: buttons},
		"facts":     {Heading: "Approved", Facts: []channel.Fact{{Name: "By", Value: "ada"}}, Text: "It is under way."},
		"text":      {Text: "It is over."},
		"long text": {Text: strings.Repeat("over ", 150)},
	} {
		out.Thread, out.Replaces = s.Thread, s.Edit.ID
		if out.Replaces == "" {
			out.Replaces = "1"
		}
		if id, err := send(out, nil); err != nil || id != s.ID || p.edited != (s.Edit.Path != "") || visible(p.seen.Text) != visible(out.Plain()) {
			t.Errorf("%s: %q, %v, changed %v; it reads %q", what, id, err, p.edited, p.seen.Text)
		}
		s.below(t, p, out)
	}
	if s.Edit.Path == "" {
		return
	}
	for _, id := range []string{"x", "../1", "1/2", "1 ", "\x00", strings.Repeat("9", 40)} {
		if _, err := send(&channel.Outgoing{Thread: s.Thread, Text: "x", Replaces: id}, nil); !writ.IsCode(err, writ.CodeInvalid) || p.requests() != 0 {
			t.Errorf("instead of %q: %v, %d requests", id, err, p.requests())
		}
	}
}
