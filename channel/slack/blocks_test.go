package slack_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
	"github.com/writ-run/writ/channel/slack"
)

// object is what Slack documents of a text object: emoji must be there, or it is true.
type object struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Emoji *bool  `json:"emoji"`
}

type block struct {
	Type     string   `json:"type"`
	Text     *object  `json:"text"`
	Fields   []object `json:"fields"`
	Label    *object  `json:"label"`
	Optional bool     `json:"optional"`
	Element  struct {
		Type      string `json:"type"`
		Multiline bool   `json:"multiline"`
		ActionID  string `json:"action_id"`
	} `json:"element"`
	Elements []struct {
		Type     string `json:"type"`
		Text     object `json:"text"`
		ActionID string `json:"action_id"`
		Value    string `json:"value"`
		Style    string `json:"style"`
	} `json:"elements"`
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// plain is what a text object shows, within what Slack allows there.
func plain(t *testing.T, o *object, most int) string {
	t.Helper()
	if o == nil || o.Type != "plain_text" || o.Emoji == nil || *o.Emoji || strings.TrimSpace(o.Text) == "" || channel.UTF16(escapes.Replace(o.Text)) > most {
		t.Errorf("a text object of at most %d: %+v", most, o)
		return ""
	}
	return o.Text
}

// blocksOf a request, within Slack's bounds of all of them.
func blocksOf(t *testing.T, form url.Values) []block {
	t.Helper()
	var all []block
	if err := json.Unmarshal([]byte(form.Get("blocks")), &all); err != nil || len(all) > 50 {
		t.Errorf("%d blocks, %v", len(all), err)
	}
	if len(escapes.Replace(form.Get("text"))) > 5*4_000 || strings.ContainsAny(form.Get("text"), "<>") || len(form.Get("text")) > 4_000 {
		t.Errorf("the text is %.300q", form.Get("text"))
	}
	return all
}

// seenIn is what people see: the blocks where there are some, the text otherwise.
func seenIn(t *testing.T, form url.Values) channeltest.Seen {
	t.Helper()
	if form.Get("mrkdwn") != "false" || form.Get("link_names") == "1" || form.Get("parse") == "full" {
		t.Errorf("%v", form)
	}
	if !form.Has("blocks") {
		text := form.Get("text")
		if strings.ContainsAny(text, "<>") || len(text) > 4_000 {
			t.Errorf("the text alone is %.300q", text)
		}
		return channeltest.Seen{Text: strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)}
	}
	var seen channeltest.Seen
	var text []string
	total := 0
	for _, b := range blocksOf(t, form) {
		total += 125
		switch b.Type {
		case "header":
			text = append(text, plain(t, b.Text, 150))
		case "section":
			if len(b.Fields) > 10 || (b.Text == nil) == (len(b.Fields) == 0) {
				t.Errorf("%+v", b)
			}
			if b.Text != nil {
				text = append(text, plain(t, b.Text, 3_000))
			}
			for i := range b.Fields {
				total += 50
				text = append(text, plain(t, &b.Fields[i], 2_000))
			}
		case "input":
			if !b.Optional || b.Element.Type != "plain_text_input" || !b.Element.Multiline || b.Element.ActionID == "" || seen.Field != "" {
				t.Errorf("%+v", b)
			}
			seen.Field = plain(t, b.Label, 2_000)
		case "actions":
			ids := map[string]bool{}
			for i := range b.Elements {
				e := &b.Elements[i]
				if e.Type != "button" || e.ActionID == "" || ids[e.ActionID] {
					t.Errorf("%+v", e)
				}
				ids[e.ActionID] = true
				style := map[string]channel.Style{"primary": channel.StyleGood, "danger": channel.StyleBad}[e.Style]
				seen.Buttons = append(seen.Buttons, channel.Button{Label: plain(t, &e.Text, 75), Press: channel.Press{Action: e.ActionID, Value: e.Value}, Style: style})
			}
		default:
			t.Errorf("a block of type %q", b.Type)
		}
	}
	for _, part := range text {
		total += channel.UTF16(part)
	}
	if total > 13_000 {
		t.Errorf("the blocks have %d characters", total)
	}
	seen.Text = strings.Join(text, "")
	return seen
}

// sent is the form of one request.
func sent(t *testing.T, out *channel.Outgoing) url.Values {
	t.Helper()
	var form url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if form, err = url.ParseQuery(string(body)); err != nil {
			t.Error(err)
		}
		_, _ = w.Write([]byte(`{"ok":true,"channel":"C1","ts":"1.2"}`))
	}))
	defer server.Close()
	out.Thread = "T1/C1"
	if _, err := (slack.Adapter{}).Send(t.Context(), &channel.Account{Token: []byte(botToken), Base: server.URL}, out); err != nil {
		t.Fatal(err)
	}
	return form
}

func types(all []block) string {
	var out []string
	for _, b := range all {
		out = append(out, b.Type)
	}
	return strings.Join(out, " ")
}

// TestLayout is a header, what is known, the text, where to write and what to press.
func TestLayout(t *testing.T) {
	form := sent(t, &channel.Outgoing{
		Heading: "Approval", Facts: []channel.Fact{{Name: "Skill", Value: "acme/mail"}, {Name: "Risk", Value: "high"}}, Text: "May it be sent?",
		Field:   &channel.Field{Label: "Why"},
		Buttons: []channel.Button{{Label: "Approve", Press: channel.Press{Action: "approve", Value: "d"}, Style: channel.StyleGood}, {Label: "Show", Press: channel.Press{Action: "show", Value: "d"}}},
	})
	all := blocksOf(t, form)
	if types(all) != "header section section input actions" || len(all[1].Fields) != 2 || all[1].Fields[1].Text != "Risk: high" || all[4].Elements[0].Style != "primary" || all[4].Elements[1].Style != "" {
		t.Errorf("%s: %+v", types(all), all)
	}
	if form.Get("text") != "Approval\nSkill: acme/mail\nRisk: high\nMay it be sent?" {
		t.Errorf("%q", form.Get("text"))
	}
}

// TestWhatIsTooLong for its place has another: at the bound, and one past it.
func TestWhatIsTooLong(t *testing.T) {
	z := func(n int) string { return strings.Repeat("z", n) }
	facts := func(n int) []channel.Fact { return make([]channel.Fact, n) }
	press := channel.Press{Action: "approve", Value: "d"}
	for name, c := range map[string]struct {
		out  channel.Outgoing
		want string
	}{
		"a header":             {channel.Outgoing{Heading: z(150)}, "header"},
		"a longer one":         {channel.Outgoing{Heading: z(151)}, "section"},
		"one that is escaped":  {channel.Outgoing{Heading: strings.Repeat("&", 31)}, "section"},
		"one of two lines":     {channel.Outgoing{Heading: "a\nb"}, "section"},
		"a blank one":          {channel.Outgoing{Heading: "  ", Text: "x"}, "section"},
		"fields":               {channel.Outgoing{Facts: facts(10)}, "section"},
		"one more":             {channel.Outgoing{Facts: facts(11)}, "section section"},
		"a field":              {channel.Outgoing{Facts: []channel.Fact{{Name: "a", Value: z(397)}, {}}}, "section"},
		"a longer field":       {channel.Outgoing{Facts: []channel.Fact{{}, {Name: "a", Value: z(398)}, {}}}, "section section section"},
		"a section":            {channel.Outgoing{Heading: "a", Text: z(3000)}, "header section"},
		"a longer section":     {channel.Outgoing{Heading: "a", Text: z(3001)}, "header section section"},
		"one of emoji":         {channel.Outgoing{Heading: "a", Text: strings.Repeat("\U0001F989", 1501)}, "header section section"},
		"as text alone":        {channel.Outgoing{Text: z(4000)}, ""},
		"no longer alone":      {channel.Outgoing{Text: z(4001)}, "section section"},
		"escaped, alone":       {channel.Outgoing{Text: strings.Repeat("&", 801)}, "section section"},
		"more than 50 blocks":  {channel.Outgoing{Facts: facts(501)}, "section"},
		"more than all blocks": {channel.Outgoing{Facts: facts(150), Text: z(5000)}, "section section"},
		"a message is emptied": {channel.Outgoing{Replaces: "1.1"}, ""},
		"no label":             {channel.Outgoing{Text: "x", Field: &channel.Field{}, Buttons: []channel.Button{{Press: press}}}, "section"},
		"an action":            {channel.Outgoing{Buttons: []channel.Button{{Label: "a", Press: channel.Press{Action: z(255), Value: z(2000)}}}}, "actions"},
		"a longer action":      {channel.Outgoing{Text: "x", Buttons: []channel.Button{{Label: "a", Press: channel.Press{Action: z(256)}}}}, "section"},
		"a longer value":       {channel.Outgoing{Text: "x", Buttons: []channel.Button{{Label: "a", Press: channel.Press{Action: "a", Value: z(2001)}}}}, "section"},
		"the same action":      {channel.Outgoing{Buttons: []channel.Button{{Label: "a", Press: press}, {Label: "b", Press: press}}}, "actions actions"},
		"a long label":         {channel.Outgoing{Buttons: []channel.Button{{Label: z(76), Press: press}}, Field: &channel.Field{Label: z(2001)}}, "input actions"},
	} {
		form := sent(t, &c.out)
		if c.want == "" {
			if blocks := form.Get("blocks"); blocks != "" && blocks != "[]" || (blocks == "[]") != (c.out.Replaces != "") {
				t.Errorf("%s: %.300s", name, blocks)
			}
			continue
		}
		seenIn(t, form)
		if got := types(blocksOf(t, form)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	many := make([]channel.Button, 30)
	for i := range many {
		many[i] = channel.Button{Label: "a", Press: press}
	}
	if seen := seenIn(t, sent(t, &channel.Outgoing{Text: strings.Repeat("&", 6000), Buttons: many})); len(seen.Buttons) != 25 {
		t.Errorf("%d buttons", len(seen.Buttons))
	}
}
