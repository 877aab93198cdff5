package whatsappmeta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
)

var testKey = []byte("3f1c0c2a9d4be8f0a1b2c3d4e5f60718")

// said is one message in a group, so that a thread has more than one sender.
func said(thread, sender, kind, content string) []byte {
	id := string(canon.SHA256([]byte(thread + "\x00" + sender + "\x00" + content)))
	return channeltest.Body(`{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"7"},`+
		`"contacts":[{"wa_id":%s,"profile":{"name":"Ada"}}],"messages":[{"group_id":%s,"from":%s,"id":%s,"type":%s,`+content+`}]}}]}]}`, sender, thread, sender, "wamid."+id, kind)
}

func quoted(text string) string {
	raw, _ := json.Marshal(text) // text always encodes
	return strings.ReplaceAll(string(raw), "%", "%%")
}

func batch(bodies ...[]byte) []byte {
	var entries [][]byte
	for _, body := range bodies {
		body = bytes.TrimPrefix(body, []byte(`{"object":"whatsapp_business_account","entry":[`))
		entries = append(entries, bytes.TrimSuffix(body, []byte(`]}`)))
	}
	return fmt.Appendf(nil, `{"object":"whatsapp_business_account","entry":[%s]}`, bytes.Join(entries, []byte(",")))
}

func suite() *channeltest.Suite {
	header := func(signature string) http.Header {
		return http.Header{headerSignature: {signaturePrefix + signature}, "Content-Type": {"application/json"}}
	}
	return &channeltest.Suite{
		Adapter: Adapter{}, Key: testKey,
		// Meta's documents print signatures without their secrets. What they describe is
		// HMAC-SHA256, of which RFC 4231 has vectors (section 4.3), and of letters escaped
		// as Meta's guide to webhooks escapes them; that one OpenSSL has signed.
		Vectors: []channeltest.Vector{
			{Name: "RFC 4231", Key: []byte("Jefe"), Request: &channel.Request{
				Method: http.MethodPost, Body: []byte("what do ya want for nothing?"), Header: header("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
			}},
			{Name: "escaped", Key: testKey, Request: &channel.Request{
				Method: http.MethodPost, Body: []byte(`{"a":"\u00e4\u00f6\u00e5"}`), Header: header("576178798ef1cfa4edb8dcadd702e53546e23fe620170e483ec89bca2855ba7b"),
			}},
		},
		Sign: func(key, body []byte, at time.Time) *channel.Request { return signed(key, body, canon.TimeOf(at)) },
		Text: func(thread, sender, text string) []byte {
			return said(thread, sender, "text", `"text":{"body":`+quoted(text)+`}`)
		},
		Passing: map[string][]byte{
			"a reaction": said("t", "u", "reaction", `"reaction":{"emoji":"x"}`), "what cannot be shown": said("t", "u", "unsupported", `"errors":[{"code":131051}]`),
			"a new number": said("t", "u", "system", `"system":{"body":"x"}`), "a type of tomorrow": said("t", "u", "hologram", `"text":{"body":"x"}`),
			"nobody's": said("t", "", "text", `"text":{"body":"x"}`), "odd": said("t", "u", "text", `"text":7`),
			"no id":     bytes.Replace(said("t", "u", "text", `"text":{"body":"x"}`), []byte(`"id":"wamid.`), []byte(`"was":"`), 1),
			"no number": bytes.Replace(said("t", "u", "text", `"text":{"body":"x"}`), []byte(`phone_number_id`), []byte(`phone`), 1),
		},
		Echoes: map[string][]byte{
			"a receipt": []byte(sampleStart + `"statuses":[{"id":"wamid.1","status":"read"}]` + sampleEnd),
			"an echo":   bytes.Replace(said("t", "u", "text", `"text":{"body":"/approve"}`), []byte(`"field":"messages"`), []byte(`"field":"smb_message_echoes"`), 1),
		},
		Edits: map[string][]byte{
			"an edit":           said("t", "u", "edit", `"edit":{"original_message_id":"wamid.0","message":{"type":"text","text":{"body":"/approve"}}}`),
			"what was revoked":  said("t", "u", "revoke", `"revoke":{"original_message_id":"wamid.0"}`),
			"what is not shown": said("t", "u", "unsupported", `"text":{"body":"/approve"},"errors":[{"code":131051}]`),
		},
		Attached: func(text, file string) []byte {
			return said("t", "u", "document", `"document":{"id":"3","mime_type":"text/csv","caption":`+quoted(text)+`,"filename":`+quoted(file)+`}`)
		},
		Place: func(place, thread, sender, text string) []byte {
			return bytes.Replace(said(thread, sender, "text", `"text":{"body":`+quoted(text)+`}`), []byte(`"phone_number_id":"7"`), []byte(`"phone_number_id":"`+place+`"`), 1)
		},
		Pressed: func(thread, sender, action, value string) []byte {
			return said(thread, sender, "button", `"button":{"text":"Yes","payload":`+quoted(action+":"+value)+`}`)
		},
		Batch:     batch,
		Challenge: func(key []byte, challenge string) *channel.Request { return verify(key, challenge, 0) },
	}
}

func TestConformance(t *testing.T) { channeltest.Run(t, suite()) }

func readAll(t *testing.T, body []byte) []channel.Message {
	t.Helper()
	messages, err := Adapter{}.Read(&channel.Delivery{Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func TestChoices(t *testing.T) {
	for kind, content := range map[string]string{
		"button":      `"button":{"text":"Yes","payload":"approve:7"}`,
		"interactive": `"interactive":{"type":"button_reply","button_reply":{"id":"approve:7","title":"Yes"}}`,
	} {
		m := readAll(t, said("t", "u", kind, content))[0]
		if m.Kind != channel.Pressed || m.Text != "Yes" || *m.Press != (channel.Press{Action: "approve", Value: "7"}) {
			t.Errorf("%s: %+v", kind, m)
		}
	}
	if m := readAll(t, said("t", "u", "interactive", `"interactive":{"type":"list_reply","list_reply":{"id":"7","title":"Seven"}}`))[0]; m.Text != "Seven" || m.Press.Action != "7" {
		t.Errorf("%+v", m)
	}
	if m := readAll(t, said("t", "u", "interactive", `"interactive":{"type":"nfm_reply","nfm_reply":{"response_json":"{}"}}`))[0]; m.Kind != channel.Said || m.Press != nil {
		t.Errorf("a form that was filled in: %+v", m)
	}
}

func TestMediaAndPlaces(t *testing.T) {
	for kind, content := range map[string]string{
		"image": `"image":{"id":"3","caption":"look"}`, "video": `"video":{"id":"3","caption":"look"}`, "document": `"document":{"id":"3","caption":"look"}`,
	} {
		m := readAll(t, said("t", "u", kind, content))[0]
		if m.Kind != channel.Said || m.Text != "look" || !strings.Contains(string(m.Metadata), `"id":"3"`) {
			t.Errorf("%s: %+v %s", kind, m, m.Metadata)
		}
	}
	for kind, content := range map[string]string{"audio": `"audio":{"id":"3"}`, "sticker": `"sticker":{"id":"3"}`, "location": `"location":{"latitude":51.5,"longitude":-0.1}`, "contacts": `"contacts":[{"name":{}}]`, "order": `"order":{"id":"3"}`} {
		if m := readAll(t, said("t", "u", kind, content))[0]; m.Kind != channel.Said || m.Text != "" || !strings.Contains(string(m.Metadata), `"`+kind+`":`) {
			t.Errorf("%s: %+v %s", kind, m, m.Metadata)
		}
	}
}

func TestSenders(t *testing.T) {
	direct := func(sender, contact string) channel.Message {
		t.Helper()
		return readAll(t, []byte(sampleStart+`"contacts":[{`+contact+`"profile":{"name":"Ada"}},{"wa_id":"99","user_id":"XX.9","profile":{"name":"Bob"}}],"messages":[{`+sender+`"id":"wamid.1","type":"text","text":{"body":"x"}}]`+sampleEnd))[0]
	}
	for what, c := range map[string]struct {
		message  channel.Message
		sender   channel.Sender
		thread   string
		metadata string
	}{
		"a number":   {direct(`"from":"15550100601",`, `"wa_id":"15550100601",`), channel.Sender{ID: "15550100601", Name: "Ada"}, "2001/15550100601", `"wa_id":"15550100601"`},
		"both":       {direct(`"from":"15550100601","from_user_id":"XX.1",`, `"wa_id":"15550100601","user_id":"XX.1",`), channel.Sender{ID: "15550100601", Name: "Ada"}, "2001/15550100601", `"user_id":"XX.1"`},
		"no number":  {direct(`"from_user_id":"XX.1",`, `"user_id":"XX.1",`), channel.Sender{ID: "XX.1", Name: "Ada"}, "2001/XX.1", `"user_id":"XX.1"`},
		"no contact": {direct(`"from":"15550100601",`, ``), channel.Sender{ID: "15550100601"}, "2001/15550100601", `"contact":null`},
	} {
		if m := c.message; m.Kind != channel.Said || m.Sender != c.sender || m.Thread != c.thread || !strings.Contains(string(m.Metadata), c.metadata) || strings.Contains(string(m.Metadata), "Bob") {
			t.Errorf("%s: %+v %s", what, m, m.Metadata)
		}
	}
}

// TestThreadsNeverMeet: whatever is in the ids, two of them are one thread only where it is
// one group, or one person, with one number.
func TestThreadsNeverMeet(t *testing.T) {
	id := rapid.SampledFrom([]string{"1", "12", "2", "/", "1/2", "group", "group/1", "%2F", "XX.1", "+1"})
	rapid.Check(t, func(t *rapid.T) {
		draw := func() (of, whose string) {
			number, m := id.Draw(t, "number"), message{From: id.Draw(t, "from")}
			whose = "person " + m.From
			if rapid.Bool().Draw(t, "in a group") {
				m.Group = id.Draw(t, "group")
				whose = "group " + m.Group
			}
			return thread(number, &m), number + " " + whose
		}
		one, whose := draw()
		other, others := draw()
		if (one == other) != (whose == others) {
			t.Fatalf("%s is %q and %s is %q", whose, one, others, other)
		}
	})
}

// TestOneOddMessageTakesNoOtherWithIt, and one delivery is not endless.
func TestOneOddMessageTakesNoOtherWithIt(t *testing.T) {
	good := said("t", "u", "text", `"text":{"body":"x"}`)
	messages := readAll(t, batch(said("t", "v", "text", `"text":[]`), good))
	if len(messages) != 2 || messages[0].Kind != channel.Passing || !reflect.DeepEqual(messages[1], readAll(t, good)[0]) {
		t.Errorf("%+v", messages)
	}
	many := make([][]byte, maxMessages+1)
	for i := range many {
		many[i] = good
	}
	if messages := readAll(t, batch(many[1:]...)); len(messages) != maxMessages {
		t.Errorf("%d messages", len(messages))
	}
	if _, err := (Adapter{}).Read(&channel.Delivery{Body: batch(many...)}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("one more: %v", err)
	}
	receipts := func(n int) []byte {
		return []byte(sampleStart + `"statuses":[{}` + strings.Repeat(`,{}`, n-1) + `]` + sampleEnd)
	}
	if messages := readAll(t, receipts(maxMessages)); len(messages) != maxMessages {
		t.Errorf("%d receipts", len(messages))
	}
	if _, err := (Adapter{}).Read(&channel.Delivery{Body: receipts(maxMessages + 1)}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("one more: %v", err)
	}
}

// TestTheTokenSignsNothing: who has it cannot send.
func TestTheTokenSignsNothing(t *testing.T) {
	token := Adapter{}.Token(testKey)
	if len(token) != 24 || token == (Adapter{}).Token([]byte("another")) || strings.Contains(token, string(testKey)) {
		t.Errorf("%q", token)
	}
	for _, body := range []string{"", "writ/whatsapp-meta/verify-token/v1", token} {
		for _, key := range []string{token, ""} {
			if _, err := (Adapter{}).Receive(signed([]byte(key), []byte(body), 0), [][]byte{testKey}); !writ.IsCode(err, writ.CodeUnauthenticated) {
				t.Errorf("%q: %v", body, err)
			}
		}
	}
	other := verify(testKey, "1", 0)
	other.URL = strings.Replace(other.URL, "=subscribe", "=unsubscribe", 1)
	if _, err := (Adapter{}).Receive(other, [][]byte{testKey}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("another mode: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, body := range channeltest.Hostile() {
		f.Add(body)
	}
	for _, body := range samples {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { channeltest.Read(t, Adapter{}, body, nil) })
}

func FuzzChallenge(f *testing.F) {
	f.Add(verify(testKey, "1158201444", 0).URL)
	f.Add("https://writ.example.com/?hub.mode=subscribe&hub.verify_token=&hub.challenge=1")
	key := []byte("a key that nobody has guessed")
	f.Fuzz(func(t *testing.T, url string) {
		if receipt, err := (Adapter{}).Receive(&channel.Request{Method: http.MethodGet, URL: url}, [][]byte{key}); err == nil {
			t.Fatalf("answered: %+v", receipt)
		}
	})
}

func TestWhoIsSpokenTo(t *testing.T) {
	group := said("t", "u", "text", `"text":{"body":"help"}`)
	alone := bytes.Replace(group, []byte(`"group_id":"t",`), nil, 1)
	pressed := said("t", "u", "button", `"button":{"text":"Yes","payload":"approve:1"}`)
	for i, body := range [][]byte{alone, group, pressed} {
		if m := readAll(t, body); len(m) != 1 || m[0].Addressed != (i == 0) {
			t.Errorf("%s: %+v", body, m)
		}
	}
}

// TestWhenItWasSaid is the provider's word, to the second.
func TestWhenItWasSaid(t *testing.T) {
	m := readAll(t, said("t", "u", "text", `"timestamp":"1772366407","text":{"body":"/approve"}`))[0]
	if m.Kind != channel.Said || m.At.String() != "2026-03-01T12:00:07.999999999Z" {
		t.Errorf("%+v", m)
	}
}
