package slack

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
)

const (
	outside = `"type":"event_callback","team_id":"T1","api_app_id":"A1","event_id":"Ev%x","authorizations":[{"user_id":"U0","is_bot":true}]`
	secret  = "8f742231b10e8888abcd99yyyzzz85a5"
)

// ts is the timestamp of a message that a thread of the suite begins with.
func ts(thread string) string { return "1." + strconv.Itoa(int(id(thread))) }

// id is a number of a name.
func id(name string) (n uint32) {
	for _, c := range name {
		n = n*131 + uint32(c)
	}
	return n
}

// callback is an event_callback of what an event has inside.
func callback(inside string) []byte {
	return fmt.Appendf(nil, `{`+outside+`,"event":{%s}}`, id(inside), inside)
}

// typed is text as Slack sends what somebody typed.
func typed(text string) string {
	return string(channeltest.Body("%s", strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)))
}

func payload(json string) []byte {
	return []byte(url.Values{"payload": {json}}.Encode())
}

// pressed is a button under a message with a field, of one trigger.
func pressed(thread, sender, action, value, text string) []byte {
	trigger := fmt.Sprintf("1.2.%x", id(sender+action+value))
	return payload(string(channeltest.Body(`{"type":"block_actions","trigger_id":%s,"user":{"id":%s,"team_id":"T1"},"team":{"id":"T1"},"container":{"type":"message","channel_id":"C1","message_ts":"3.4","thread_ts":%s},`+
		`"state":{"values":{"b":{"written":{"type":"plain_text_input","value":%s}}}},"actions":[{"action_id":%s,"value":%s}]}`,
		trigger, strings.ToUpper(sender), ts(thread), text, action, value)))
}

func suite() *channeltest.Suite {
	message := func(sender, text, rest string) []byte {
		return callback(`"type":"message","channel":"C1","team":"T1","user":"` + strings.ToUpper(sender) + `","text":` + typed(text) + `,` + rest)
	}
	return &channeltest.Suite{
		Adapter: Adapter{}, Key: []byte(secret), Timed: true,
		// docs.slack.dev, "Verifying requests from Slack", the example of its steps.
		Vectors: []channeltest.Vector{{Name: "/webhook-collect", Key: []byte(secret), Request: vector()}},
		Sign:    signed,
		Text: func(thread, sender, text string) []byte {
			return message(sender, text, `"ts":"2.`+strconv.Itoa(int(id(text+sender)))+`","thread_ts":"`+ts(thread)+`"`)
		},
		Opening: func(thread, sender, text string) []byte { return message(sender, text, `"ts":"`+ts(thread)+`"`) },
		Attached: func(text, file string) []byte {
			return message("U1", text, `"subtype":"file_share","ts":"1.2","files":[{"id":"F1","name":"`+file+`"}]`)
		},
		Place: func(place, thread, sender, text string) []byte {
			return callback(`"type":"message","channel":"C` + place + `","team":"T1","user":"` + strings.ToUpper(sender) + `","text":` + typed(text) + `,"ts":"2.5","thread_ts":"1.` + thread + `"`)
		},
		Pressed: func(thread, sender, action, value string) []byte { return pressed(thread, sender, action, value, "") },
		Written: pressed,
		Retry: func(key []byte, first *channel.Request, at time.Time) *channel.Request {
			again := signed(key, first.Body, at)
			again.Header.Set("X-Slack-Retry-Num", "1")
			again.Header.Set("X-Slack-Retry-Reason", "http_timeout")
			return again
		},
		Handshakes: []channeltest.Handshake{
			{Name: "url_verification", Answer: "3eZbrw1aBm2rZgRNFdxV2595", Body: []byte(`{"type":"url_verification","token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595"}`)},
			{Name: "ssl_check", Body: []byte("ssl_check=1&token=t")},
		},
		Edits: map[string][]byte{
			"an edit":           callback(`"type":"message","subtype":"message_changed","hidden":true,"channel":"C1","ts":"1.2","message":{"user":"U1","text":"/approve","edited":{"user":"U1"}}`),
			"a mention by edit": callback(`"type":"app_mention","channel":"C1","ts":"1.2","user":"U1","text":"x","edited":{"user":"U1","ts":"1.3"}`),
			"what was deleted":  callback(`"type":"message","subtype":"message_deleted","channel":"C1","ts":"1.2","deleted_ts":"1.1","user":"U1"`),
		},
		Echoes: map[string][]byte{
			"a bot":              callback(`"type":"message","channel":"C1","ts":"1.2","user":"U2","bot_id":"B2","text":"/approve"`),
			"a bot without user": callback(`"type":"message","subtype":"bot_message","channel":"C1","ts":"1.2","username":"ada","text":"/approve"`),
			"the app's own":      callback(`"type":"message","channel":"C1","ts":"1.2","user":"U1","app_id":"A1","text":"/approve"`),
			"the app's bot user": callback(`"type":"message","channel":"C1","ts":"1.2","user":"U0","text":"/approve"`),
			"its own reaction":   callback(`"type":"reaction_added","user":"U0","reaction":"eyes","item":{"channel":"C1","ts":"1.2"}`),
			"Slackbot":           callback(`"type":"message","channel":"C1","ts":"1.2","user":"USLACKBOT","text":"/approve"`),
		},
		Passing: map[string][]byte{
			"who joined":         callback(`"type":"message","subtype":"channel_join","channel":"C1","ts":"1.2","user":"U1","text":"<@U1> has joined"`),
			"a later subtype":    callback(`"type":"message","subtype":"of_next_year","channel":"C1","ts":"1.2","user":"U1","text":"/approve"`),
			"somebody of either": []byte(`{` + strings.Replace(outside, "%x", "9", 1) + `,"is_ext_shared_channel":true,"event":{"type":"reaction_added","user":"U1","item":{"channel":"C1","ts":"1.2"}}}`),
			"nobody's":           callback(`"type":"tokens_revoked","tokens":{"bot":["U1"]}`),
			"a rate limit":       []byte(`{"type":"app_rate_limited","team_id":"T1","api_app_id":"A1","minute_rate_limited":1518467820}`),
			"a form put away":    payload(`{"type":"view_closed","user":{"id":"U1","team_id":"T1"},"team":{"id":"T1"},"view":{"callback_id":"reject"}}`),
			"a menu's options":   payload(`{"type":"block_suggestion","user":{"id":"U1"},"team":{"id":"T1"},"action_id":"approve","value":"x"}`),
		},
	}
}

func vector() *channel.Request {
	r := &channel.Request{
		Method: http.MethodPost, Header: http.Header{}, At: canon.TimeOf(time.Unix(1531420618, 0)),
		Body: []byte("token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"),
	}
	r.Header.Set("Content-Type", mediaForm)
	r.Header.Set(headerTimestamp, "1531420618")
	r.Header.Set(headerSignature, "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503")
	return r
}

func TestConformance(t *testing.T) { channeltest.Run(t, suite()) }

func one(t *testing.T, body []byte) channel.Message {
	t.Helper()
	messages, err := (Adapter{}).Read(&channel.Delivery{Body: body})
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v: %s", len(messages), err, body)
	}
	return messages[0]
}

// TestTheCommandOfTheDocuments is known by its trigger, and what it has of secrets is in
// no metadata.
func TestTheCommandOfTheDocuments(t *testing.T) {
	r := vector()
	receipt, err := (Adapter{}).Receive(r, [][]byte{[]byte(secret)})
	if err != nil || receipt.Key != "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c" || receipt.Accepted.Status != http.StatusOK || len(receipt.Accepted.Body) != 0 {
		t.Fatalf("%+v %v", receipt, err)
	}
	m := one(t, r.Body)
	if m.Kind != channel.Happened || m.Event != "command.webhook-collect" || m.Thread != "T1DC2JH3J/G8PSS9T3V" || m.Sender != (channel.Sender{ID: "T1DC2JH3J/U2CERLKJA", Name: "roadrunner"}) {
		t.Errorf("%+v", m)
	}
	if text := string(m.Metadata); strings.Contains(text, "xyzz0") || strings.Contains(text, "hooks.slack.com") || !strings.Contains(text, "testteamnow") {
		t.Errorf("metadata: %s", text)
	}
}

// TestWhatSomebodyWroteIsNoCommand: the body of an event, with another content type,
// would be a form with a command in it.
func TestWhatSomebodyWroteIsNoCommand(t *testing.T) {
	body := callback(`"type":"message","channel":"C1","ts":"1.2","user":"U1","text":"x&command=/deploy&trigger_id=1&team_id=T1&channel_id=C1&user_id=UADMIN&x="`)
	r := signed([]byte(secret), body, channeltest.Now)
	r.Header.Set("Content-Type", mediaForm)
	if _, err := (Adapter{}).Receive(r, [][]byte{[]byte(secret)}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("%v", err)
	}
	if m := one(t, body); m.Kind != channel.Said || m.Sender.ID != "T1/U1" {
		t.Errorf("%+v", m)
	}
}

// TestKeysAreOfWhatIsSigned and challenges are echoed where they can be nothing else.
func TestKeysAreOfWhatIsSigned(t *testing.T) {
	receive := func(body []byte) (*channel.Receipt, error) {
		r := signed([]byte(secret), body, channeltest.Now)
		r.Header.Set("X-Slack-Retry-Num", "2")
		return (Adapter{}).Receive(r, [][]byte{[]byte(secret)})
	}
	for key, body := range map[string][]byte{
		"Ev1":         []byte(`{"type":"event_callback","event_id":"Ev1"}`),
		"12.34.abcd":  payload(`{"type":"block_actions","trigger_id":"12.34.abcd"}`),
		"12.34.abcde": []byte("command=%2Fa&trigger_id=12.34.abcde"),
	} {
		if receipt, err := receive(body); err != nil || receipt.Key != key {
			t.Errorf("%s: %+v %v, want %s", body, receipt, err, key)
		}
	}
	for name, body := range map[string]string{
		"markup": `{"type":"url_verification","challenge":"<b>"}`, "none": `{"type":"url_verification"}`, "long": `{"type":"url_verification","challenge":"` + strings.Repeat("a", 257) + `"}`,
		"no event_id": `{"type":"event_callback"}`, "no trigger_id": "command=%2Fa", "no type": "payload=%7B%7D", "an unknown type": `{"type":"x","event_id":"Ev1"}`,
	} {
		if receipt, err := receive([]byte(body)); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %+v %v", name, receipt, err)
		}
	}
	if receipt, err := receive([]byte(`{"type":"url_verification","challenge":"` + strings.Repeat("a", 256) + `"}`)); err != nil || receipt.Handshake == nil {
		t.Errorf("%+v %v", receipt, err)
	}
}

func TestSendersAndThreads(t *testing.T) {
	const press = `"type":"block_actions","actions":[{"action_id":"approve","value":"x"}]`
	for name, c := range map[string]struct {
		body           []byte
		sender, thread string
	}{
		"a message begins its thread":  {callback(`"type":"message","channel":"C1","ts":"1.2","user":"U1","text":"x"`), "T1/U1", "T1/C1/1.2"},
		"an answer":                    {callback(`"type":"message","channel":"C1","ts":"1.3","thread_ts":"1.2","user":"U1","text":"x"`), "T1/U1", "T1/C1/1.2"},
		"an answer for all to see":     {callback(`"type":"message","subtype":"thread_broadcast","channel":"C1","ts":"1.3","thread_ts":"1.2","user":"U1","text":"x"`), "T1/U1", "T1/C1/1.2"},
		"a guest of another workspace": {callback(`"type":"message","channel":"C1","ts":"1.2","user":"U1","user_team":"T9","team":"T1","text":"x"`), "T9/U1", "T1/C1/1.2"},
		"a reaction":                   {callback(`"type":"reaction_added","user":"U1","item":{"type":"message","channel":"C1","ts":"1.2"}`), "T1/U1", "T1/C1/1.2"},
		"a channel, whole":             {callback(`"type":"channel_created","user":{"id":"U1","name":"ada"},"channel":{"id":"C1","name":"ops"}`), "T1/U1", "T1/C1"},
		"somebody new":                 {callback(`"type":"team_join","user":{"id":"U1","team_id":"T1"}`), "T1/U1", "T1"},
		"a button under a message":     {payload(`{` + press + `,"user":{"id":"U1","team_id":"T1"},"team":{"id":"T1"},"container":{"channel_id":"C1","message_ts":"1.2"}}`), "T1/U1", "T1/C1/1.2"},
		"a button, old form":           {payload(`{` + press + `,"user":{"id":"U1"},"team":{"id":"T1"},"channel":{"id":"C1"},"message":{"ts":"1.3","thread_ts":"1.2"}}`), "T1/U1", "T1/C1/1.2"},
		"a button of a guest":          {payload(`{` + press + `,"user":{"id":"U1","team_id":"T9"},"team":{"id":"T1"},"container":{"channel_id":"C1","message_ts":"1.2"}}`), "T9/U1", "T1/C1/1.2"},
		"a button at home":             {payload(`{` + press + `,"user":{"id":"U1","team_id":"T1"},"team":{"id":"T1"},"container":{"type":"view","view_id":"V1"}}`), "T1/U1", "T1/U1"},
		"an app of an organisation":    {payload(`{` + press + `,"user":{"id":"U1"},"team":null,"enterprise":{"id":"E1"},"container":{"channel_id":"C1","message_ts":"1.2"}}`), "E1/U1", "E1/C1/1.2"},
	} {
		if m := one(t, c.body); m.Sender.ID != c.sender || m.Thread != c.thread || m.Kind == channel.Passing {
			t.Errorf("%s: %s of %q in %q, want of %q in %q", name, m.Kind, m.Sender.ID, m.Thread, c.sender, c.thread)
		}
	}
	for name, body := range map[string][]byte{
		"no channel":        callback(`"type":"message","ts":"1.2","user":"U1","text":"x"`),
		"no time":           callback(`"type":"message","channel":"C1","user":"U1","text":"x"`),
		"a channel's path":  callback(`"type":"message","channel":"C1/1.2","ts":"1.2","user":"U1","text":"x"`),
		"a time's path":     callback(`"type":"message","channel":"C1","ts":"1.2/3","user":"U1","text":"x"`),
		"a user's path":     callback(`"type":"message","channel":"C1","ts":"1.2","user":"U1/U2","text":"x"`),
		"no team":           []byte(`{"type":"event_callback","event_id":"Ev1","event":{"type":"message","channel":"C1","ts":"1.2","user":"U1"}}`),
		"no event's name":   callback(`"type":"Message Sent","channel":"C1","ts":"1.2","user":"U1"`),
		"nobody":            payload(`{` + press + `,"team":{"id":"T1"}}`),
		"nothing pressed":   payload(`{"type":"block_actions","actions":[],"user":{"id":"U1"},"team":{"id":"T1"}}`),
		"a payload's twin":  []byte("payload=%7B%22type%22%3A%22shortcut%22%7D&payload=%7B%7D"),
		"a command's space": []byte("command=%2Fa+b&trigger_id=1&team_id=T1&channel_id=C1&user_id=U1"),
		"nobody's command":  []byte("command=%2Fa&trigger_id=1&team_id=T1&channel_id=C1"),
	} {
		if messages, err := (Adapter{}).Read(&channel.Delivery{Body: body}); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %+v %v", name, messages, err)
		}
	}
}

// TestFormsAreBounded at the bound and one past it.
func TestFormsAreBounded(t *testing.T) {
	command := "command=%2Fa&trigger_id=1&team_id=T1&channel_id=C1&user_id=U1"
	for n, ok := range map[int]bool{maxFields: true, maxFields + 1: false} {
		body := command
		for i := 5; i < n; i++ {
			body += fmt.Sprintf("&f%d=", i)
		}
		if _, err := (Adapter{}).Receive(signed([]byte(secret), []byte(body), channeltest.Now), [][]byte{[]byte(secret)}); ok != (err == nil) {
			t.Errorf("%d fields: %v", n, err)
		}
	}
	for n, ok := range map[int]bool{maxActions: true, maxActions + 1: false} {
		actions := strings.TrimSuffix(strings.Repeat(`{"action_id":"a","value":"b"},`, n), ",")
		messages, err := (Adapter{}).Read(&channel.Delivery{Body: payload(`{"type":"block_actions","user":{"id":"U1"},"team":{"id":"T1"},"actions":[` + actions + `]}`)})
		if ok != (err == nil) || ok && len(messages) != n {
			t.Errorf("%d actions: %d messages, %v", n, len(messages), err)
		}
	}
	for n, ok := range map[int]bool{maxCommand: true, maxCommand + 1: false} {
		_, err := (Adapter{}).Read(&channel.Delivery{Body: []byte("command=%2F" + strings.Repeat("a", n) + "&team_id=T1&channel_id=C1&user_id=U1")})
		if ok != (err == nil) {
			t.Errorf("a command of %d bytes: %v", n, err)
		}
	}
}

// TestAForm says which, of what, and what was written into it.
func TestAForm(t *testing.T) {
	m := one(t, payload(`{"type":"view_submission","trigger_id":"1.2","token":"t","response_urls":[{"response_url":"https://hooks.slack.com/x"}],"user":{"id":"U1","team_id":"T1"},"team":{"id":"T1"},`+
		`"view":{"callback_id":"reject","private_metadata":"exe_1 sha256:0f","state":{"values":{"b":{"x":{"value":"second"}},"a":{"y":{"value":"first"},"z":{"value":null}}}}}}`))
	if m.Kind != channel.Pressed || *m.Press != (channel.Press{Action: "reject", Value: "exe_1 sha256:0f"}) || m.Text != "first\nsecond" || m.Thread != "T1/U1" {
		t.Errorf("%+v %+v", m, m.Press)
	}
	if strings.Contains(string(m.Metadata), "hooks.slack.com") || strings.Contains(string(m.Metadata), `"token"`) {
		t.Errorf("metadata: %s", m.Metadata)
	}
	if m := one(t, payload(`{"type":"shortcut","callback_id":"file_an_issue","user":{"id":"U1"},"team":{"id":"T1"}}`)); m.Kind != channel.Happened || m.Event != "shortcut.file_an_issue" {
		t.Errorf("%+v", m)
	}
}

// TestWhatWasWritten above a button is its text, in the order of the fields' ids, and where
// nothing was, Slack says so in many forms.
func TestWhatWasWritten(t *testing.T) {
	for state, want := range map[string]string{
		`{"values":{"b":{"x":{"value":"second"}},"a":{"y":{"value":"first"},"z":{"value":"&amp; <then>"}}}}`:                "first\n&amp; <then>\nsecond",
		`{"values":{"a":{"x":{"value":"one"},"y":{"value":null},"z":{"value":7},"n":{"selected_option":{"value":"two"}}}}}`: "one",
		`{"values":{}}`: "", `{"values":[]}`: "", `{"values":null}`: "", `{}`: "", `[]`: "", `null`: "", `"x"`: "", `{"values":{"a":[]}}`: "", `{"values":{"a":{"x":"y"}}}`: "",
	} {
		m := one(t, payload(`{"type":"block_actions","trigger_id":"1.2","user":{"id":"U1"},"team":{"id":"T1"},"container":{"channel_id":"C1","message_ts":"1.2"},"state":`+state+`,"actions":[{"action_id":"reject","value":"x"}]}`))
		if m.Kind != channel.Pressed || *m.Press != (channel.Press{Action: "reject", Value: "x"}) || m.Text != want {
			t.Errorf("%s: %+v %q, want %q", state, m.Press, m.Text, want)
		}
	}
}

// TestWhatIsPressedAtOnce are messages of one trigger, of which one has it as its id: no
// other message has an id twice.
func TestWhatIsPressedAtOnce(t *testing.T) {
	messages, err := (Adapter{}).Read(&channel.Delivery{Body: payload(`{"type":"block_actions","trigger_id":"1.2","user":{"id":"U1"},"team":{"id":"T1"},"actions":[{"action_id":"a"},{"action_id":"b"},{"action_id":"c"}]}`)})
	if err != nil || len(messages) != 3 || messages[0].ID != "1.2" || messages[1].ID != "" || messages[2].ID != "" || messages[2].Press.Action != "c" {
		t.Errorf("%+v, %v", messages, err)
	}
}

func TestTextIsAsPeopleSeeIt(t *testing.T) {
	for text, want := range map[string]string{
		"a &amp; b &lt;c&gt;":                         "a & b <c>",
		"&amp;lt;":                                    "&lt;",
		"&lt;@U1&gt;":                                 "<@U1>",
		"<@U1> and <@U2|ada>":                         "@U1 and @ada",
		"in <#C1|ops> or <#C2>":                       "in #ops or #C2",
		"<!here> <!subteam^S1|@oncall>":               "@here @oncall",
		"<!date^1392734382^{date}|18 Feb>":            "18 Feb",
		"<https://a.example/?x=1&amp;y=2>":            "https://a.example/?x=1&y=2",
		"<https://a.example|a.example>":               "a.example",
		"<mailto:ada@a.example|ada@a.example":         "<mailto:ada@a.example|ada@a.example",
		"<mailto:ada@a.example|ada@a.example>":        "ada@a.example",
		"<https://evil.example/?a.example|a.example>": "a.example (https://evil.example/?a.example)",
		"<https://evil.example|a.example>":            "a.example (https://evil.example)",
		"<":                                           "<",
		"<>|<|>":                                      "|",
		"*bold* _and_ `code`":                         "*bold* _and_ `code`",
	} {
		if got := plain(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestWhatIsTypedIsRead as it was typed, whatever it looks like.
func TestWhatIsTypedIsRead(t *testing.T) {
	pieces := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"<", ">", "&", "&amp;", "<@U1|ada>", "|", "!"})))
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ToValidUTF8(strings.Join(pieces.Draw(t, "text"), ""), "")
		m := suite().Text("t1", "u1", text)
		messages, err := (Adapter{}).Read(&channel.Delivery{Body: m})
		if err != nil || len(messages) != 1 || messages[0].Text != text {
			t.Fatalf("%q: %+v %v", text, messages, err)
		}
	})
}

func FuzzReceive(f *testing.F) {
	f.Add("1531420618", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503", mediaForm, []byte("a=b"))
	f.Add("1767225600", "v0=", mediaJSON, []byte(`{}`))
	f.Fuzz(func(t *testing.T, stamp, signature, media string, body []byte) {
		r := &channel.Request{Method: http.MethodPost, Body: body, At: canon.TimeOf(channeltest.Now), Header: http.Header{headerTimestamp: {stamp}, headerSignature: {signature}, "Content-Type": {media}}}
		if receipt, err := (Adapter{}).Receive(r, [][]byte{[]byte("a key that nobody has guessed")}); err == nil {
			t.Fatalf("taken: %+v", receipt)
		}
		r = signed([]byte(secret), body, channeltest.Now)
		if receipt, err := (Adapter{}).Receive(r, [][]byte{[]byte(secret)}); err == nil && receipt.Handshake == nil {
			channeltest.Read(t, Adapter{}, body, receipt.Hints)
		}
	})
}

func FuzzRead(f *testing.F) {
	channeltest.SeedBodies(f, suite())
	f.Fuzz(func(t *testing.T, body []byte) { channeltest.Read(t, Adapter{}, body, nil) })
}

func TestWhoIsSpokenTo(t *testing.T) {
	outside := `{"team_id":"T1","type":"event_callback","event_id":"Ev1","authorizations":[{"user_id":"U0WRIT","is_bot":true},{"user_id":"U9"}],"event":{"user":"U1","team":"T1","channel":"C1","ts":"1.1",`
	for body, addressed := range map[string]bool{
		outside + `"type":"app_mention","text":"help"}}`:                                  true,
		outside + `"type":"message","channel_type":"im","text":"help"}}`:                  true,
		outside + `"type":"message","channel_type":"channel","text":"<@U0WRIT> help"}}`:   true,
		outside + `"type":"message","channel_type":"channel","text":"<@U0WRIT|w> help"}}`: true,
		outside + `"type":"message","channel_type":"channel","text":"<@U9> help"}}`:       false,
		outside + `"type":"message","channel_type":"channel","text":"U0WRIT help"}}`:      false,
		outside + `"type":"message","channel_type":"group","text":"help"}}`:               false,
		outside + `"type":"message","text":"&lt;@U0WRIT&gt; help"}}`:                      false,
		"command=%2Fwrit&text=help&team_id=T1&channel_id=C1&user_id=U1&trigger_id=1.2":    true,
	} {
		messages, err := (Adapter{}).Read(&channel.Delivery{Body: []byte(body)})
		if err != nil || len(messages) != 1 || messages[0].Kind != channel.Said || messages[0].Addressed != addressed {
			t.Errorf("%s: %+v, %v", body, messages, err)
		}
	}
	messages, err := (Adapter{}).Read(&channel.Delivery{Body: []byte("command=%2Fwriter&text=help&team_id=T1&channel_id=C1&user_id=U1&trigger_id=1.2")})
	if err != nil || messages[0].Kind != channel.Happened || messages[0].Event != "command.writer" || messages[0].Addressed {
		t.Errorf("%+v, %v", messages, err)
	}
}

// TestWhenItWasSaid is the provider's word, to the second.
func TestWhenItWasSaid(t *testing.T) {
	m := one(t, callback(`"type":"message","channel":"C1","team":"T1","user":"U1","text":"/approve","ts":"1772366407.000200"`))
	if m.Kind != channel.Said || m.At.String() != "2026-03-01T12:00:07.999999999Z" {
		t.Errorf("%+v", m)
	}
}
