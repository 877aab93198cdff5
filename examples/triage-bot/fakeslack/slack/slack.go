// Package slack is a small Slack: one workspace with one channel, in which a bot speaks
// with chat.postMessage and chat.update, and people press, say and command.
package slack

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/writ-run/writ/examples/loopback"
)

// Ids of the workspace, and of the app and its bot.
const (
	Team = "T0ACME"
	App  = "A0WRIT"
	Bot  = "U0WRIT"
)

const (
	// maxBody is a text of 40,000 characters and blocks, as a form writes them.
	maxBody = 1 << 20
	maxText = 40_000
	// patience is how long Slack waits for an answer.
	patience = 3 * time.Second
)

// Options of a Slack.
type Options struct {
	Token    string        // of the bot
	Secret   string        // the signing secret of the app
	URL      string        // to which is sent what people do; empty: nothing is, until SetURL
	Channel  string        // that there is
	Patience time.Duration // how long an answer may take; 0: the 3 s of Slack's
}

// Message is what somebody said, as it stands.
type Message struct {
	TS       string           `json:"ts"`
	ThreadTS string           `json:"thread_ts,omitempty"`
	User     string           `json:"user"`
	Text     string           `json:"text"`
	Blocks   []map[string]any `json:"blocks,omitempty"`
	Edits    int              `json:"edits,omitempty"`
}

// State is what GET /_state shows.
type State struct {
	Messages   []Message           `json:"messages"`
	Refused    map[string]int      `json:"refused,omitempty"` // requests of the bot, by the error
	Deliveries []loopback.Delivery `json:"deliveries,omitempty"`
}

// Slack is one workspace.
type Slack struct {
	channel string
	token   string
	mux     http.ServeMux
	hook    loopback.Hook

	mu       sync.Mutex
	messages []Message
	refused  map[string]int
	counted  int
}

// New makes one in which nobody has said anything.
func New(o *Options) *Slack {
	s := &Slack{
		channel: o.Channel, token: o.Token, refused: map[string]int{},
		hook: loopback.Hook{Patience: cmp.Or(o.Patience, patience), Sign: signer(o.Secret)},
	}
	s.hook.SetURL(o.URL)
	s.mux.HandleFunc("POST /api/chat.postMessage", s.called(s.post))
	s.mux.HandleFunc("POST /api/chat.update", s.called(s.update))
	s.mux.HandleFunc("GET /_state", func(w http.ResponseWriter, _ *http.Request) { loopback.Respond(w, http.StatusOK, s.State()) })
	s.mux.HandleFunc("POST /_people/press", loopback.Act(s.Press))
	s.mux.HandleFunc("POST /_people/command", loopback.Act(s.Command))
	s.mux.HandleFunc("POST /_people/say", loopback.Act(s.Say))
	s.mux.HandleFunc("POST /_people/again", loopback.Act(s.Again))
	return s
}

// ServeHTTP implements http.Handler.
func (s *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// SetURL says to which URL is sent what people do.
func (s *Slack) SetURL(url string) { s.hook.SetURL(url) }

// State is a copy of what was said.
func (s *Slack) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := State{Messages: slices.Clone(s.messages), Refused: map[string]int{}, Deliveries: s.hook.Deliveries()}
	for why, n := range s.refused {
		out.Refused[why] = n
	}
	return out
}

// problem is the error of an answer of Slack's, whose status is 200 all the same.
type problem string

func (p problem) Error() string { return string(p) }

// called answers a call of the Web API, which is a form.
func (s *Slack) called(call func(r *http.Request) (*Message, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		m, err := (*Message)(nil), s.allowed(r)
		if err == nil {
			m, err = call(r)
		}
		if err != nil {
			s.refused[err.Error()]++
			loopback.Respond(w, http.StatusOK, map[string]any{"ok": false, "error": err.Error()})
			return
		}
		loopback.Respond(w, http.StatusOK, map[string]any{"ok": true, "channel": s.channel, "ts": m.TS, "text": m.Text, "message": m.object()})
	}
}

func (s *Slack) allowed(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return problem("invalid_form_data")
	}
	token := r.PostForm.Get("token")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = bearer
	}
	switch {
	case token == "":
		return problem("not_authed")
	case subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1:
		return problem("invalid_auth")
	case r.PostForm.Get("channel") != s.channel:
		return problem("channel_not_found")
	}
	return nil
}

func (s *Slack) post(r *http.Request) (*Message, error) {
	m := Message{User: Bot, Text: r.PostForm.Get("text"), ThreadTS: r.PostForm.Get("thread_ts")}
	var err error
	if m.Blocks, err = readBlocks(r.PostForm.Get("blocks")); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if m.ThreadTS != "" && s.find(m.ThreadTS) == nil {
		return nil, problem("thread_not_found")
	}
	return s.add(m), nil
}

// update keeps the blocks of a message where none are given, as Slack does.
func (s *Slack) update(r *http.Request) (*Message, error) {
	m := s.find(r.PostForm.Get("ts"))
	switch {
	case m == nil:
		return nil, problem("message_not_found")
	case m.User != Bot:
		return nil, problem("cant_update_message")
	}
	changed := *m
	changed.Text = r.PostForm.Get("text")
	changed.Edits++
	if given := r.PostForm.Get("blocks"); given != "" {
		var err error
		if changed.Blocks, err = readBlocks(given); err != nil {
			return nil, err
		}
	}
	if err := changed.check(); err != nil {
		return nil, err
	}
	*m = changed
	return m, nil
}

func (m *Message) check() error {
	switch {
	case m.Text == "" && len(m.Blocks) == 0:
		return problem("no_text")
	case utf8.RuneCountInString(m.Text) > maxText:
		return problem("msg_too_long")
	}
	return nil
}

func (m *Message) object() map[string]any {
	out := map[string]any{"type": "message", "user": m.User, "text": m.Text, "ts": m.TS, "team": Team}
	if m.User == Bot {
		out["bot_id"], out["app_id"] = "B0WRIT", App
	}
	if m.Blocks != nil {
		out["blocks"] = m.Blocks
	}
	if m.ThreadTS != "" {
		out["thread_ts"] = m.ThreadTS
	}
	return out
}

func (s *Slack) find(ts string) *Message {
	for i := range s.messages {
		if s.messages[i].TS == ts {
			return &s.messages[i]
		}
	}
	return nil
}

// add gives a message its time stamp, which no other has.
func (s *Slack) add(m Message) *Message {
	m.TS = s.stamp()
	s.messages = append(s.messages, m)
	return &s.messages[len(s.messages)-1]
}

func (s *Slack) stamp() string {
	s.counted++
	return fmt.Sprintf("%d.%06d", time.Now().Unix(), s.counted)
}

// Bounds of Block Kit.
const (
	maxBlocks  = 50
	maxSection = 3_000
	maxHeader  = 150
	maxFields  = 10
	maxButtons = 25
	maxLabel   = 75
	maxValue   = 2_000
)

// readBlocks reads the blocks of a message, within the bounds of Slack's, and gives each
// that has none an id.
func readBlocks(text string) ([]map[string]any, error) {
	if text == "" {
		return nil, nil
	}
	var blocks []map[string]any
	if json.Unmarshal([]byte(text), &blocks) != nil {
		return nil, problem("invalid_blocks_format")
	}
	if len(blocks) > maxBlocks {
		return nil, problem("invalid_blocks")
	}
	ids := map[any]bool{}
	for i, block := range blocks {
		if id, _ := block["block_id"].(string); id == "" {
			block["block_id"] = fmt.Sprintf("blk%d", i)
		}
		if ids[block["block_id"]] || !fits(block) {
			return nil, problem("invalid_blocks")
		}
		ids[block["block_id"]] = true
	}
	return blocks, nil
}

// fits reports whether Slack takes a block. One of a kind that is not here it does not.
func fits(block map[string]any) bool {
	elements, _ := block["elements"].([]any)
	fields, _ := block["fields"].([]any)
	switch block["type"] {
	case "header":
		return within(block["text"], maxHeader)
	case "section":
		return (len(fields) > 0 || within(block["text"], maxSection)) && len(fields) <= maxFields &&
			!slices.ContainsFunc(fields, func(f any) bool { return !within(f, maxValue) })
	case "context":
		return len(elements) > 0 && len(elements) <= maxFields
	case "divider":
		return true
	case "actions":
		return len(elements) > 0 && len(elements) <= maxButtons && !slices.ContainsFunc(elements, func(e any) bool { return !isButton(e) })
	case "input":
		element, _ := block["element"].(map[string]any)
		return within(block["label"], maxValue) && element["type"] == "plain_text_input"
	case "rich_text":
		return len(elements) > 0
	}
	return false
}

// within reports whether a text object has 1 to most characters.
func within(object any, most int) bool {
	text, _ := object.(map[string]any)
	said, _ := text["text"].(string)
	return (text["type"] == "plain_text" || text["type"] == "mrkdwn") && said != "" && utf8.RuneCountInString(said) <= most
}

func isButton(object any) bool {
	button, _ := object.(map[string]any)
	value, _ := button["value"].(string)
	return button["type"] == "button" && within(button["text"], maxLabel) && len(value) <= maxValue
}
