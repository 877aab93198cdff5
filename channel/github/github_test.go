package github

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/channeltest"
)

func signed(event string, key, body []byte) *channel.Request {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set(headerEvent, event)
	header.Set(headerSignature, signaturePrefix+hex.EncodeToString(sign(key, body)))
	return &channel.Request{Method: http.MethodPost, Header: header, Body: body}
}

func suite() *channeltest.Suite {
	return &channeltest.Suite{
		Adapter: Adapter{}, Key: []byte("It's a Secret to Everybody"),
		// docs.github.com, "Validating webhook deliveries", testing the webhook payload validation.
		Vectors: []channeltest.Vector{{Name: "Hello, World!", Key: []byte("It's a Secret to Everybody"), Request: &channel.Request{
			Method: http.MethodPost, Body: []byte("Hello, World!"), Header: http.Header{
				headerSignature: {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, headerEvent: {"issues"}, "Content-Type": {"application/json"},
			},
		}}},
		Sign: func(key, body []byte, _ time.Time) *channel.Request { return signed("issue_comment", key, body) },
		Text: func(thread, sender, text string) []byte {
			repository, number, found := strings.Cut(thread, "/")
			if !found {
				repository, number = "x", digits(thread)
			}
			return channeltest.Body(`{"action":"created","repository":{"full_name":%s},"issue":{"number":`+number+`,"title":"t"},"comment":{"id":5,"body":%s},"sender":{"id":`+digits(sender)+`,"type":"User"}}`,
				"acme/"+repository, text)
		},
		Retry: func(key []byte, first *channel.Request, _ time.Time) *channel.Request {
			again := signed(first.Header.Get(headerEvent), key, first.Body)
			again.Header.Set("X-Github-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958") // GitHub's id of a delivery is not signed
			return again
		},
		Attached: func(text, file string) []byte { // GitHub has files as links in the words
			return channeltest.Body(`{"action":"created","repository":{"full_name":"acme/x"},"issue":{"number":1,"title":"t"},"comment":{"id":5,"body":%s},"sender":{"id":1,"type":"User"}}`,
				text+"\n["+file+"](https://github.com/user-attachments/files/1/x)")
		},
		Numbered: func(id string) []byte {
			return []byte(`{"action":"created","issue":{"number":1},"comment":{"id":5,"body":"x"},"sender":{"id":` + id + `,"type":"User"}}`)
		},
		Place: func(place, thread, sender, text string) []byte {
			return channeltest.Body(`{"action":"created","repository":{"full_name":%s},"issue":{"number":`+thread+`,"title":"t"},"comment":{"id":5,"body":%s},"sender":{"id":`+digits(sender)+`,"type":"User"}}`,
				"acme/r"+place, text)
		},
		Edits: map[string][]byte{
			"an edited comment":  channeltest.Body(`{"action":"edited","issue":{"number":1},"comment":{"id":5,"body":%s},"changes":{"body":{"from":"x"}},"sender":{"id":1,"type":"User"}}`, "/approve"),
			"a deleted comment":  channeltest.Body(`{"action":"deleted","issue":{"number":1},"comment":{"id":5,"body":%s},"sender":{"id":1,"type":"User"}}`, "/writ help"),
			"a title with words": channeltest.Body(`{"action":"edited","issue":{"number":1,"title":%s},"comment":{"id":5,"body":"x"},"sender":{"id":1,"type":"User"}}`, "/approve"),
		},
		Echoes: map[string][]byte{
			"the bot's own comment": channeltest.Body(`{"action":"created","issue":{"number":1},"comment":{"id":5,"body":%s},"sender":{"id":1,"type":"Bot"}}`, "/approve"),
		},
		Passing: map[string][]byte{
			"nobody's": []byte(`{"action":"created","issue":{"number":1},"comment":{"id":5,"body":"x"}}`),
		},
	}
}

// digits are those of a name: GitHub's ids are numbers.
func digits(name string) string {
	number := strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz")
	if number == "" {
		return "7"
	}
	return number
}

func TestConformance(t *testing.T) { channeltest.Run(t, suite()) }

// TestOnlyANewCommentHasAnID: it keeps it through each edit, and every edit is an event.
func TestOnlyANewCommentHasAnID(t *testing.T) {
	for action, want := range map[string]string{"created": "5", "edited": "", "deleted": ""} {
		body := channeltest.Body(`{"action":%s,"issue":{"number":1},"comment":{"id":5,"body":"x"},"sender":{"id":1,"type":"User"}}`, action)
		messages, err := Adapter{}.Read(&channel.Delivery{Body: body, Hints: map[string]string{hintEvent: "issue_comment"}})
		if err != nil || len(messages) != 1 || messages[0].ID != want {
			t.Errorf("%s: %+v, %v", action, messages, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, body := range channeltest.Hostile() {
		f.Add("issues", body)
	}
	for _, body := range samples {
		f.Add("issue_comment", []byte(body))
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		channeltest.Read(t, Adapter{}, body, map[string]string{hintEvent: event})
	})
}

// TestACommandIsANewCommentThatBeginsWithIt, and is said beside what happened.
func TestACommandIsANewCommentThatBeginsWithIt(t *testing.T) {
	comment := func(action, text, kind string) []byte {
		return []byte(`{"action":"` + action + `","issue":{"number":1},"repository":{"full_name":"a/b"},"comment":{"id":7,"body":"` + text + `"},"sender":{"id":6,"login":"g","type":"` + kind + `"}}`)
	}
	for _, test := range []struct {
		event string
		body  []byte
		said  bool
	}{
		{"issue_comment", comment("created", "/writ help", "User"), true},
		{"issue_comment", comment("created", "\\n /WRIT\\thelp", "User"), true},
		{"discussion_comment", comment("created", "/writ help", "User"), true},
		{"issue_comment", comment("created", "/approve", "User"), true},
		{"issue_comment", comment("created", "/Approve apr_1", "User"), true},
		{"pull_request_review_comment", bytes.Replace(comment("created", "/reject it is not ours", "User"), []byte("issue"), []byte("pull_request"), 1), true},
		{"issue_comment", comment("created", " /REJECT\\nwhy", "User"), true},
		{"issue_comment", comment("created", "/approved", "User"), false},
		{"issue_comment", comment("created", "/reject: no", "User"), false},
		{"issue_comment", comment("created", "approve", "User"), false},
		{"issue_comment", comment("created", "> /approve", "User"), false},
		{"issue_comment", comment("edited", "/approve", "User"), false},
		{"issue_comment", comment("deleted", "/approve", "User"), false},
		{"issue_comment", comment("created", "/approve", "Bot"), false},
		{"commit_comment", comment("created", "/approve", "User"), false},
		{"issues", []byte(`{"action":"opened","issue":{"number":1,"title":"/approve"},"repository":{"full_name":"a/b"},"sender":{"id":6,"type":"User"}}`), false},
		{"issue_comment", comment("created", "I wrote /writ help", "User"), false},
		{"issue_comment", comment("created", "/writer", "User"), false},
		{"issue_comment", comment("created", "writ help", "User"), false},
		{"issue_comment", comment("edited", "/writ help", "User"), false},
		{"issue_comment", comment("created", "/writ help", "Bot"), false},
		{"commit_comment", comment("created", "/writ help", "User"), false},
		{"issue_comment", comment("created", "", "User"), false},
		{"issue_comment", bytes.Replace(comment("created", "/approve", "User"), []byte(`"id":7,`), []byte(`"id":7,"performed_via_github_app":{"id":3,"slug":"agent"},`), 1), false},
		{"issue_comment", bytes.Replace(comment("created", "/approve", "User"), []byte(`"id":7,`), []byte(`"id":7,"performed_via_github_app":null,`), 1), true},
	} {
		messages, err := Adapter{}.Read(&channel.Delivery{Body: test.body, Hints: map[string]string{hintEvent: test.event}})
		if err != nil || len(messages) < 1 || messages[0].Kind == channel.Said {
			t.Fatalf("%s %s: %+v, %v", test.event, test.body, messages, err)
		}
		if said := len(messages) == 2; said != test.said {
			t.Errorf("%s %s: said %v", test.event, test.body, said)
		} else if m := &messages[len(messages)-1]; said && (m.Kind != channel.Said || !m.Addressed || m.Thread != "a/b#1" || m.Sender.ID != "6" || m.Event != "") {
			t.Errorf("%+v", m)
		}
	}
}

// TestWhenACommandWasSaid is when the comment was made, to the second.
func TestWhenACommandWasSaid(t *testing.T) {
	for created, want := range map[string]string{
		`"created_at":"2026-03-01T12:00:07Z",`: "2026-03-01T12:00:07.999999999Z", `"created_at":"yesterday",`: "", "": "",
	} {
		messages, err := Adapter{}.Read(&channel.Delivery{Hints: map[string]string{hintEvent: "issue_comment"}, Body: []byte(
			`{"action":"created","issue":{"number":1},"comment":{` + created + `"id":7,"body":"/approve"},"sender":{"id":6,"type":"User"}}`)})
		if err != nil || len(messages) != 2 || messages[1].At != 0 != (want != "") || want != "" && messages[1].At.String() != want {
			t.Errorf("%s: %+v, %v", created, messages, err)
		}
	}
}
