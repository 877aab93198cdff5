//go:build !wasip1

package slack

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/examples/loopback"
)

const token, secret, room = "xoxb-t", "s3cret", "C1"

func newSlack() *Slack { return New(&Options{Token: token, Secret: secret, Channel: room}) }

// call makes a call of the Web API, and gives back the time stamp or the error.
func call(t *testing.T, s *Slack, method string, form map[string]string) (ts, problem string) {
	t.Helper()
	values := url.Values{"channel": {room}}
	for name, value := range form {
		values.Set(name, value)
	}
	request := httptest.NewRequest(http.MethodPost, "/api/"+method, strings.NewReader(values.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if form["token"] == "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	var out struct {
		OK        bool
		TS, Error string
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil || answer.Code != http.StatusOK || out.OK == (out.Error != "") || out.OK != (out.TS != "") {
		t.Fatalf("%v: %d %s", err, answer.Code, answer.Body)
	}
	return out.TS, out.Error
}

const asks = `[{"type":"header","text":{"type":"plain_text","text":"May I?"}},
	{"type":"input","label":{"type":"plain_text","text":"Why"},"element":{"type":"plain_text_input","action_id":"written"}},
	{"type":"actions","elements":[{"type":"button","action_id":"approve","text":{"type":"plain_text","text":"Yes"},"value":"it"},{"type":"button","action_id":"reject","text":{"type":"plain_text","text":"No"},"value":"it"}]}]`

func TestWhatABotSays(t *testing.T) {
	s := newSlack()
	first, problem := call(t, s, "chat.postMessage", map[string]string{"text": "one"})
	if problem != "" {
		t.Fatal(problem)
	}
	second, _ := call(t, s, "chat.postMessage", map[string]string{"text": "two", "thread_ts": first, "blocks": asks, "token": token})
	// An update keeps the blocks, unless it brings others.
	if ts, problem := call(t, s, "chat.update", map[string]string{"ts": second, "text": "three"}); ts != second || problem != "" {
		t.Fatal(ts, problem)
	}
	if m := s.State().Messages[1]; m.Text != "three" || m.Edits != 1 || !m.Field() || m.ThreadTS != first {
		t.Errorf("%+v", m)
	}
	_, _ = call(t, s, "chat.update", map[string]string{"ts": second, "text": "four", "blocks": "[]"})
	if m := s.State().Messages[1]; m.Text != "four" || m.Edits != 2 || m.Field() || len(s.State().Messages) != 2 {
		t.Errorf("%+v", m)
	}
	if _, ok := s.State().Messages[1].Button("approve"); ok {
		t.Error("the button is still there")
	}
}

func TestWhatABotMayNotSay(t *testing.T) {
	s := newSlack()
	mine, err := s.Say(t.Context(), &Saying{User: "U1", Text: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	section := func(n int) string {
		return fmt.Sprintf(`[{"type":"section","text":{"type":"plain_text","text":%q}}]`, strings.Repeat("x", n))
	}
	for _, test := range []struct {
		method string
		form   map[string]string
		want   string
	}{
		{"chat.postMessage", map[string]string{"text": "x", "token": "xoxb-other"}, "invalid_auth"},
		{"chat.postMessage", map[string]string{"text": "x", "channel": "C2"}, "channel_not_found"},
		{"chat.postMessage", nil, "no_text"},
		{"chat.postMessage", map[string]string{"text": strings.Repeat("é", maxText)}, ""},
		{"chat.postMessage", map[string]string{"text": strings.Repeat("é", maxText+1)}, "msg_too_long"},
		{"chat.postMessage", map[string]string{"text": "x", "thread_ts": "1.2"}, "thread_not_found"},
		{"chat.postMessage", map[string]string{"text": "x", "blocks": "{}"}, "invalid_blocks_format"},
		{"chat.postMessage", map[string]string{"text": "x", "blocks": `[{"type":"none"}]`}, "invalid_blocks"},
		{"chat.postMessage", map[string]string{"text": "x", "blocks": section(maxSection)}, ""},
		{"chat.postMessage", map[string]string{"text": "x", "blocks": section(maxSection + 1)}, "invalid_blocks"},
		{"chat.postMessage", map[string]string{"text": "x", "blocks": section(0)}, "invalid_blocks"},
		{"chat.postMessage", map[string]string{"text": "x", "blocks": "[" + strings.TrimSuffix(strings.Repeat(`{"type":"divider"},`, maxBlocks), ",") + "]"}, ""},
		{"chat.postMessage", map[string]string{"text": "x", "blocks": "[" + strings.TrimSuffix(strings.Repeat(`{"type":"divider"},`, maxBlocks+1), ",") + "]"}, "invalid_blocks"},
		{"chat.postMessage", map[string]string{"text": "x", "blocks": `[{"type":"divider","block_id":"a"},{"type":"divider","block_id":"a"}]`}, "invalid_blocks"},
		{"chat.update", map[string]string{"text": "x", "ts": "1.2"}, "message_not_found"},
		{"chat.update", map[string]string{"text": "x", "ts": mine.TS}, "cant_update_message"},
	} {
		before := len(s.State().Messages)
		if _, got := call(t, s, test.method, test.form); got != test.want || len(s.State().Messages)-before != map[bool]int{true: 1}[got == ""] {
			t.Errorf("%s %.80v: %q, want %q", test.method, test.form, got, test.want)
		}
	}
	if s.State().Refused["invalid_blocks"] != 5 {
		t.Errorf("%v", s.State().Refused)
	}
}

// app is what an app of Slack's is sent, each request with a signature that holds.
type app struct {
	*httptest.Server
	mu    sync.Mutex
	got   []string
	delay chan struct{} // nil: it answers at once
}

func newApp(t *testing.T) *app {
	a := &app{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		stamp := r.Header.Get("X-Slack-Request-Timestamp")
		if err != nil || !hmac.Equal([]byte(r.Header.Get("X-Slack-Signature")), []byte("v0="+loopback.MAC(secret, []byte("v0:"+stamp+":"), body))) {
			t.Errorf("%v: %v", err, r.Header)
		}
		a.mu.Lock()
		a.got = append(a.got, string(body))
		a.mu.Unlock()
		if a.delay != nil {
			<-a.delay
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *app) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

func TestWhatPeopleDo(t *testing.T) {
	s, a := newSlack(), newApp(t)
	s.SetURL(a.URL)
	ts, problem := call(t, s, "chat.postMessage", map[string]string{"text": "x", "blocks": asks})
	if problem != "" {
		t.Fatal(problem)
	}
	d, err := s.Press(t.Context(), &Pressing{User: "U1", TS: ts, Action: "reject", Typed: "not now"})
	if err != nil || d.Event != "block_actions" || d.Status != 200 {
		t.Fatal(d, err)
	}
	if d, err = s.Again(t.Context(), &Repeating{Number: d.Number}); err != nil || d.Times != 2 || len(a.all()) != 2 || a.all()[0] != a.all()[1] {
		t.Errorf("%+v %v: %q", d, err, a.all())
	}
	form, err := url.ParseQuery(a.all()[0])
	var pressed struct {
		Type      string
		User      struct{ ID string }
		Container struct {
			MessageTS string `json:"message_ts"`
		}
		State struct {
			Values map[string]map[string]struct{ Value string }
		}
		Actions []struct {
			ActionID string `json:"action_id"`
			Value    string
		}
	}
	if err != nil || json.Unmarshal([]byte(form.Get("payload")), &pressed) != nil || pressed.Type != "block_actions" || pressed.User.ID != "U1" || pressed.Container.MessageTS != ts ||
		pressed.State.Values["blk1"]["written"].Value != "not now" || len(pressed.Actions) != 1 || pressed.Actions[0].ActionID != "reject" || pressed.Actions[0].Value != "it" {
		t.Errorf("%v %s", err, a.all()[0])
	}
	if _, err := s.Command(t.Context(), &Commanding{User: "U1", Command: "/triage", Text: "a<b"}); err != nil || !strings.Contains(a.all()[2], "command=%2Ftriage") || !strings.Contains(a.all()[2], "text=a%26lt%3Bb") {
		t.Errorf("%v %q", err, a.all()[2])
	}
	if _, err := s.Say(t.Context(), &Saying{User: "U1", Text: "<@U0WRIT> help", Thread: ts}); err != nil || !strings.Contains(a.all()[3], `"type":"app_mention"`) || !strings.Contains(a.all()[3], `"thread_ts":"`+ts+`"`) {
		t.Errorf("%v %q", err, a.all()[3])
	}
	if _, err := s.Say(t.Context(), &Saying{User: "U1", Text: "nobody is meant"}); err != nil || len(a.all()) != 4 {
		t.Errorf("%v %q", err, a.all())
	}
}

func TestWhatNobodyCanDo(t *testing.T) {
	s, a := newSlack(), newApp(t)
	s.SetURL(a.URL)
	plain, _ := call(t, s, "chat.postMessage", map[string]string{"text": "x"})
	bare := strings.Replace(asks, `"type":"input"`, `"type":"context","elements":[{}]`, 1)
	button, _ := call(t, s, "chat.postMessage", map[string]string{"text": "x", "blocks": bare})
	for _, do := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := s.Press(ctx, &Pressing{User: "U1", TS: plain, Action: "approve"})
			return err
		},
		func(ctx context.Context) error {
			_, err := s.Press(ctx, &Pressing{User: "U1", TS: "1.2", Action: "approve"})
			return err
		},
		func(ctx context.Context) error {
			_, err := s.Press(ctx, &Pressing{TS: button, Action: "approve"})
			return err
		},
		func(ctx context.Context) error {
			_, err := s.Press(ctx, &Pressing{User: "U1", TS: button, Action: "reject", Typed: "there is no field"})
			return err
		},
		func(ctx context.Context) error {
			_, err := s.Command(ctx, &Commanding{User: "U1", Command: "triage"})
			return err
		},
		func(ctx context.Context) error {
			_, err := s.Say(ctx, &Saying{User: "U1", Text: "x", Thread: "1.2"})
			return err
		},
		func(ctx context.Context) error {
			_, err := s.Again(ctx, &Repeating{Number: 1})
			return err
		},
	} {
		if err := do(t.Context()); err == nil || len(a.all()) != 0 {
			t.Errorf("%v: %q", err, a.all())
		}
	}
	if _, err := s.Press(t.Context(), &Pressing{User: "U1", TS: button, Action: "approve"}); err != nil {
		t.Error(err)
	}
}

// An app that does not answer in time is not waited for, and what it was sent can be sent
// again.
func TestSlackHasLittlePatience(t *testing.T) {
	s, a := New(&Options{Token: token, Secret: secret, Channel: room, Patience: time.Millisecond}), newApp(t)
	a.delay = make(chan struct{})
	s.SetURL(a.URL)
	if _, err := s.Command(t.Context(), &Commanding{User: "U1", Command: "/triage"}); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Error(err)
	}
	close(a.delay)
	if d := s.State().Deliveries; len(d) != 1 || d[0].Error == "" || d[0].Status != 0 {
		t.Errorf("%+v", d)
	}
}

func TestPeopleActOverHTTP(t *testing.T) {
	s, a := newSlack(), newApp(t)
	s.SetURL(a.URL)
	ts, _ := call(t, s, "chat.postMessage", map[string]string{"text": "x", "blocks": asks})
	var codes []int
	for _, act := range [][2]string{
		{"press", `{"user":"U1","ts":"` + ts + `","action":"approve"}`},
		{"command", `{"user":"U1","command":"/triage","text":"x"}`},
		{"say", `{"user":"U1","text":"<@U0WRIT> help"}`},
		{"again", `{"number":1}`},
		{"press", `{"user":"U1"}`},
		{"press", `{"who":"U1"}`},
	} {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/_people/"+act[0], strings.NewReader(act[1])))
		codes = append(codes, answer.Code)
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/_state", nil))
	var state State
	if err := json.Unmarshal(answer.Body.Bytes(), &state); err != nil || len(state.Messages) != 2 || len(state.Deliveries) != 3 {
		t.Errorf("%v: %s", err, answer.Body)
	}
	if !slices.Equal(codes, []int{200, 200, 200, 200, 422, 400}) {
		t.Error(codes)
	}
}
