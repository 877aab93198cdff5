package whatsappmeta

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/channel"
)

// TestReplies are at most three, of what Meta shows and gives back.
func TestReplies(t *testing.T) {
	button := func(label string, id int) channel.Button {
		return channel.Button{Label: label, Press: channel.Press{Action: "approve", Value: strings.Repeat("z", id-len("approve:"))}, Style: channel.StyleGood}
	}
	for name, c := range map[string]struct {
		buttons []channel.Button
		titles  string
	}{
		"none":            {nil, ""},
		"an id":           {[]channel.Button{button("a", 256)}, "a"},
		"a longer id":     {[]channel.Button{button("a", 257), button("b", 9)}, "b"},
		"a title":         {[]channel.Button{button(strings.Repeat("z", 20), 9)}, strings.Repeat("z", 20)},
		"a longer title":  {[]channel.Button{button(strings.Repeat("z", 21), 9)}, strings.Repeat("z", 14) + "\n[cut]"},
		"no title":        {[]channel.Button{button("", 9)}, ""},
		"four":            {[]channel.Button{button("a", 9), button("b", 9), button("c", 9), button("d", 9)}, "a b c"},
		"one left out, 3": {[]channel.Button{button("", 9), button("b", 9), button("c", 9), button("d", 9)}, "b c d"},
	} {
		var titles []string
		for _, r := range repliesOf(c.buttons) {
			titles = append(titles, r.Reply.Title)
			m := readAll(t, said("t", "u", "interactive", `"interactive":{"type":"button_reply","button_reply":{"id":`+quoted(r.Reply.ID)+`,"title":"x"}}`))[0]
			if m.Kind != channel.Pressed || m.Press.Action != "approve" || m.Press.Value != strings.TrimPrefix(r.Reply.ID, "approve:") {
				t.Errorf("%s comes back as %+v", name, m.Press)
			}
		}
		if got := strings.Join(titles, " "); got != c.titles {
			t.Errorf("%s: %q, want %q", name, got, c.titles)
		}
	}
}
