package telegram

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
)

const secret = "a-secret_Token-1"

// id is a number of a name.
func id(name string) (n uint32) {
	for _, c := range name {
		n = n*131 + uint32(c)
	}
	return n
}

// updated is an update of the one thing that it has.
func updated(inside string) []byte {
	return fmt.Appendf(nil, `{"update_id":%d,%s}`, 1+id(inside), inside)
}

// from is a sender of the suite, whose number ends as its name.
func from(sender string) string { return `"from":{"id":60` + digits(sender) + `,"is_bot":false}` }

func digits(name string) string {
	number := strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz")
	if number == "" {
		return "7"
	}
	return number
}

// forum has a topic of each thread of the suite.
func forum(thread string) string {
	return fmt.Sprintf(`"date":1767225600,"chat":{"id":-1001,"type":"supergroup","is_forum":true},"message_thread_id":%d,"is_topic_message":true`, id(thread))
}

const (
	private = `"date":1767225600,"chat":{"id":601,"type":"private"}`
	person  = `"from":{"id":601,"is_bot":false}`
	bot     = `"from":{"id":701,"is_bot":true}`
)

func suite() *channeltest.Suite {
	return &channeltest.Suite{
		Adapter: Adapter{}, Key: []byte(secret), Bearer: true,
		// core.telegram.org, "Marvin's Marvellous Guide to All Things Webhook", testing with
		// updates: a message with text. No document prints a secret.
		Vectors: []channeltest.Vector{{Name: "/start", Key: []byte(secret), Request: sent([]byte(secret), []byte(`{
"update_id":10000,
"message":{
  "date":1441645532,
  "chat":{
     "last_name":"Test Lastname",
     "id":1111111,
     "first_name":"Test",
     "username":"Test"
  },
  "message_id":1365,
  "from":{
     "last_name":"Test Lastname",
     "id":1111111,
     "first_name":"Test",
     "username":"Test"
  },
  "text":"/start"
}
}`))}},
		Sign: func(key, body []byte, _ time.Time) *channel.Request { return sent(key, body) },
		Text: func(thread, sender, text string) []byte {
			return updated(`"message":{"message_id":1,` + from(sender) + `,` + forum(thread) + `,"text":` + string(channeltest.Body("%s", text)) + `}`)
		},
		Attached: func(text, file string) []byte {
			return updated(`"message":{"message_id":1,` + person + `,` + private + `,"caption":` + string(channeltest.Body("%s", text)) + `,"document":{"file_id":"BQAC","file_unique_id":"AgAD","file_name":"` + file + `"}}`)
		},
		Numbered: func(id string) []byte {
			return []byte(`{"update_id":5,"message":{"message_id":1,"from":{"id":` + id + `,"is_bot":false},` + private + `,"text":"x"}}`)
		},
		Pressed: func(thread, sender, action, value string) []byte {
			data := action + ":" + value
			return updated(`"callback_query":{"id":"81` + number(int64(id(sender+data))) + `","chat_instance":"-7",` + from(sender) + `,"message":{"message_id":1,` + bot + `,` + forum(thread) + `,"text":"May it?"},"data":` + string(channeltest.Body("%s", data)) + `}`)
		},
		Place: func(place, thread, sender, text string) []byte {
			return updated(`"message":{"message_id":1,` + from(sender) + `,"date":1767225600,"chat":{"id":-100` + place + `,"type":"supergroup","is_forum":true},"message_thread_id":` + thread +
				`,"is_topic_message":true,"text":` + string(channeltest.Body("%s", text)) + `}`)
		},
		Edits: map[string][]byte{
			"an edit":        updated(`"edited_message":{"message_id":1,` + person + `,` + private + `,"edit_date":1767225601,"text":"/approve"}`),
			"an edited post": updated(`"edited_channel_post":{"message_id":1,` + private + `,"text":"/approve"}`),
		},
		Echoes: map[string][]byte{
			"a bot":              updated(`"message":{"message_id":1,` + bot + `,` + private + `,"text":"/approve"}`),
			"a bot that presses": updated(`"callback_query":{"id":"81",` + bot + `,"message":{"message_id":1,` + private + `},"data":"approve:x"}`),
		},
		Passing: map[string][]byte{
			"a bot through a person":      updated(`"message":{"message_id":1,` + person + `,` + private + `,"via_bot":{"id":702,"is_bot":true},"text":"/approve"}`),
			"an admin without a name":     updated(`"message":{"message_id":1,"from":{"id":1087968824,"is_bot":true},"sender_chat":{"id":-1001},"date":1767225600,"chat":{"id":-1001},"text":"/approve"}`),
			"a channel's post in a group": updated(`"message":{"message_id":1,"from":{"id":777000,"is_bot":false},"sender_chat":{"id":-1002},"date":1767225600,"chat":{"id":-1001},"text":"/approve"}`),
			"nobody":                      updated(`"message":{"message_id":1,` + private + `,"text":"/approve"}`),
			"who joined":                  updated(`"message":{"message_id":1,` + person + `,` + private + `,"new_chat_members":[{"id":602,"is_bot":false}]}`),
			"the bot was let in":          updated(`"my_chat_member":{"chat":{"id":601},` + person + `}`),
			"a poll":                      updated(`"poll":{"id":"5","question":"/approve"}`),
			"a button of a game":          updated(`"callback_query":{"id":"81",` + person + `,"message":{"message_id":1,` + private + `},"game_short_name":"x"}`),
			"a button elsewhere":          updated(`"callback_query":{"id":"81",` + person + `,"inline_message_id":"AAE","data":"approve:x"}`),
			"a button of what is gone":    updated(`"callback_query":{"id":"81",` + person + `,"message":{"message_id":1,"date":0,"chat":{"id":-1001}},"data":"approve:x"}`),
		},
	}
}

func TestConformance(t *testing.T) { channeltest.Run(t, suite()) }

func TestTheSecretIsAllThatTelegramGives(t *testing.T) {
	body := updated(`"poll":{"id":"5"}`)
	for name, header := range map[string]string{"none": "", "half": secret[:8], "more": secret + "x", "another case": strings.ToUpper(secret), "its digest": string(digest([]byte(secret)))} {
		if _, err := (Adapter{}).Receive(sent([]byte(header), body), [][]byte{[]byte(secret)}); !writ.IsCode(err, writ.CodeUnauthenticated) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheKeyIsTheUpdate whose id is an integer, exactly.
func TestTheKeyIsTheUpdate(t *testing.T) {
	for given, want := range map[string]string{
		"10000": "10000", "9007199254740993": "9007199254740993", "9223372036854775807": "9223372036854775807", " 7": "7",
		"9223372036854775808": "", "1.5": "", "1e3": "", `"10000"`: "", "-1": "", "0": "", "null": "", "[1]": "", "true": "", "01": "",
	} {
		r := sent([]byte(secret), []byte(`{"update_id":`+given+`,"poll":{}}`))
		receipt, err := (Adapter{}).Receive(r, [][]byte{[]byte(secret)})
		if want == "" && !writ.IsCode(err, writ.CodeInvalid) || want != "" && (err != nil || receipt.Key != want) {
			t.Errorf("%s: %+v %v, want %q", given, receipt, err, want)
		}
	}
	if _, err := (Adapter{}).Receive(sent([]byte(secret), []byte(`{"poll":{}}`)), [][]byte{[]byte(secret)}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("none: %v", err)
	}
}

func one(t *testing.T, body []byte) channel.Message {
	t.Helper()
	messages, err := (Adapter{}).Read(&channel.Delivery{Body: body})
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v: %s", len(messages), err, body)
	}
	return messages[0]
}

func TestSendersAndThreads(t *testing.T) {
	const group, topic = `"date":1,"chat":{"id":-1001}`, `,"message_thread_id":12,"is_topic_message":true`
	for name, c := range map[string]struct {
		body                 string
		sender, name, thread string
	}{
		"a chat of two":                  {`"message":{"message_id":1,"from":{"id":601,"first_name":"Ada","last_name":"L"},"date":1,"chat":{"id":601},"text":"x"}`, "601", "Ada L", "601"},
		"a group":                        {`"message":{"message_id":1,"from":{"id":601,"first_name":"Ada","username":"ada"},` + group + `,"text":"x"}`, "601", "ada", "-1001"},
		"a topic":                        {`"message":{"message_id":1,"from":{"id":601},` + group + topic + `,"text":"x"}`, "601", "", "-1001/12"},
		"an answer where are no topics":  {`"message":{"message_id":1,"from":{"id":601},` + group + `,"message_thread_id":12,"text":"x"}`, "601", "", "-1001"},
		"a channel as itself":            {`"channel_post":{"message_id":1,"sender_chat":{"id":-1002,"title":"News"},"date":1,"chat":{"id":-1002},"text":"x"}`, "-1002", "News", "-1002"},
		"a channel, old form":            {`"channel_post":{"message_id":1,"date":1,"chat":{"id":-1002,"title":"News"},"text":"x"}`, "-1002", "News", "-1002"},
		"a button in a topic":            {`"callback_query":{"id":"81","from":{"id":601},"message":{"message_id":1,` + group + topic + `},"data":"approve:x"}`, "601", "", "-1001/12"},
		"a sticker without a word of it": {`"message":{"message_id":1,"from":{"id":601},` + group + `,"sticker":{"emoji":"x"}}`, "601", "", "-1001"},
	} {
		if m := one(t, updated(c.body)); m.Sender != (channel.Sender{ID: c.sender, Name: c.name}) || m.Thread != c.thread || m.Kind == channel.Passing {
			t.Errorf("%s: %s of %+v in %q (%s)", name, m.Kind, m.Sender, m.Thread, m.Why)
		}
	}
	for name, body := range map[string]string{
		"no chat":            `"message":{"message_id":1,"from":{"id":601},"date":1,"text":"x"}`,
		"a sender of no id":  `"message":{"message_id":1,"from":{},"date":1,"chat":{"id":601},"text":"x"}`,
		"an id as text":      `"message":{"message_id":1,"from":{"id":"601"},"date":1,"chat":{"id":601},"text":"x"}`,
		"two things at once": `"message":{"message_id":1,"from":{"id":601},"date":1,"chat":{"id":601},"text":"x"},"poll":{}`,
		"nobody's button":    `"callback_query":{"id":"81","message":{"message_id":1,"date":1,"chat":{"id":601}},"data":"approve:x"}`,
		"no name of a kind":  `"A Poll":{}`,
	} {
		if messages, err := (Adapter{}).Read(&channel.Delivery{Body: updated(body)}); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %+v %v", name, messages, err)
		}
	}
}

// TestIdsAreTextInTheMetadata and other numbers are numbers.
func TestIdsAreTextInTheMetadata(t *testing.T) {
	m := one(t, updated(`"message":{"message_id":9007199254740991,"from":{"id":601},"date":1767225600,"chat":{"id":-1001000000601},"text":"x","users_shared":{"request_id":4,"user_ids":[601,602]},"photo":[{"file_id":"AgAC","width":320}]}`))
	for _, want := range []string{`"message_id":"9007199254740991"`, `"chat":{"id":"-1001000000601"}`, `"from":{"id":"601"}`, `"date":1767225600`, `"user_ids":["601","602"]`, `"file_id":"AgAC"`, `"width":320`} {
		if !bytes.Contains(m.Metadata, []byte(want)) {
			t.Errorf("no %s in %s", want, m.Metadata)
		}
	}
}

func TestAButtonSaysWhatItAsksForAndOfWhat(t *testing.T) {
	for data, want := range map[string]channel.Press{
		"approve:abc": {Action: "approve", Value: "abc"}, "approve": {Action: "approve"}, "approve:": {Action: "approve"}, "a:b:c": {Action: "a", Value: "b:c"}, ":x": {Value: "x"},
	} {
		m := one(t, updated(`"callback_query":{"id":"81",`+person+`,"message":{"message_id":1,`+private+`},"data":"`+data+`"}`))
		if m.Kind != channel.Pressed || *m.Press != want || m.ID != "81" {
			t.Errorf("%s: %+v %+v", data, m, m.Press)
		}
	}
}

// TestAPressedButtonStopsWaiting: the answer calls one method of Telegram's, with an id that
// can be nothing else.
func TestAPressedButtonStopsWaiting(t *testing.T) {
	for given, want := range map[string]string{
		`"4382bfdwdsb323b2d9"`: "4382bfdwdsb323b2d9", `"81"`: "81", `"` + strings.Repeat("9", 64) + `"`: strings.Repeat("9", 64), `"\u0038\u0031"`: "81",
		`"` + strings.Repeat("9", 65) + `"`: "", `""`: "", `81`: "", `null`: "", `{}`: "", `["81"]`: "", `"8 1"`: "", `"81\u0000"`: "", `"\",\"method\":\"sendMessage\",\"a\":\""`: "", `"<b>"`: "", `"é"`: "", `"\ud800"`: "",
	} {
		receipt, err := (Adapter{}).Receive(sent([]byte(secret), []byte(`{"update_id":7,"callback_query":{"id":`+given+`}}`)), [][]byte{[]byte(secret)})
		if err != nil || receipt.Key != "7" || receipt.Accepted.Status != http.StatusOK {
			t.Errorf("%s: %+v %v", given, receipt, err)
			continue
		}
		a := receipt.Accepted
		if want == "" && (a.ContentType != "" || a.Body != nil) {
			t.Errorf("%s is answered with %s %s", given, a.ContentType, a.Body)
		}
		if call := `{"method":"answerCallbackQuery","callback_query_id":"` + want + `"}`; want != "" && (a.ContentType != "application/json" || string(a.Body) != call) {
			t.Errorf("%s is answered with %s %s", given, a.ContentType, a.Body)
		}
	}
	for _, body := range []string{`{"update_id":7,"callback_query":[]}`, `{"update_id":7,"callback_query":"81"}`, `{"update_id":7,"message":{"id":"81"}}`, `{"update_id":7,"id":"81"}`} {
		if receipt, err := (Adapter{}).Receive(sent([]byte(secret), []byte(body)), [][]byte{[]byte(secret)}); err != nil || receipt.Accepted.Body != nil || receipt.Accepted.ContentType != "" {
			t.Errorf("%s: %+v %v", body, receipt, err)
		}
	}
}

var calls = regexp.MustCompile(`^\{"method":"answerCallbackQuery","callback_query_id":"[0-9A-Za-z_-]{1,64}"\}$`)

func FuzzReceive(f *testing.F) {
	f.Add(secret, "application/json", []byte(`{"update_id":1}`))
	f.Add(secret, "application/json", []byte(`{"update_id":1,"callback_query":{"id":"81"}}`))
	f.Fuzz(func(t *testing.T, token, media string, body []byte) {
		r := &channel.Request{Method: http.MethodPost, Body: body, At: canon.TimeOf(channeltest.Now), Header: http.Header{headerSecret: {token}, "Content-Type": {media}}}
		if receipt, err := (Adapter{}).Receive(r, [][]byte{[]byte("a key that nobody has guessed")}); err == nil {
			t.Fatalf("taken: %+v", receipt)
		}
		if receipt, err := (Adapter{}).Receive(sent([]byte(secret), body), [][]byte{[]byte(secret)}); err == nil {
			if receipt.Key == "" {
				t.Fatal("an update without a key")
			}
			if answer := receipt.Accepted.Body; len(answer) > 0 && !calls.Match(answer) {
				t.Fatalf("answered with %s", answer)
			}
			channeltest.Read(t, Adapter{}, body, receipt.Hints)
		}
	})
}

func FuzzRead(f *testing.F) {
	channeltest.SeedBodies(f, suite())
	f.Fuzz(func(t *testing.T, body []byte) { channeltest.Read(t, Adapter{}, body, nil) })
}

func TestWhoIsSpokenTo(t *testing.T) {
	for kind, addressed := range map[string]bool{"private": true, "group": false, "supergroup": false, "channel": false, "": false} {
		body := `{"update_id":1,"message":{"message_id":1,"date":1,"from":{"id":5},"chat":{"id":5,"type":"` + kind + `"},"text":"help"}}`
		messages, err := (Adapter{}).Read(&channel.Delivery{Body: []byte(body)})
		if err != nil || messages[0].Kind != channel.Said || messages[0].Addressed != addressed {
			t.Errorf("%s: %+v, %v", kind, messages, err)
		}
	}
}

// TestWhenItWasSaid is the provider's word, to the second.
func TestWhenItWasSaid(t *testing.T) {
	m := one(t, []byte(`{"update_id":1,"message":{"message_id":1,"date":1772366407,"chat":{"id":6,"type":"private"},"from":{"id":6},"text":"/approve"}}`))
	if m.Kind != channel.Said || m.At.String() != "2026-03-01T12:00:07.999999999Z" {
		t.Errorf("%+v", m)
	}
}
