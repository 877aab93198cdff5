package channeltest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// Speaking is what a provider is asked and answers.
type Speaking struct {
	Adapter channel.Adapter
	Token   string
	Thread  string
	Path    string // with which something is said
	// Check holds a request against what the provider wants: its authentication and body.
	// It gives back what it reads there, as the provider's people would see it.
	Check func(t *testing.T, r *http.Request, body []byte) Seen
	// Most is what the provider has beside text: so many buttons, with looks or without,
	// and a field.
	Most Under
	// Edit is how a message is changed. Its path is empty: it is said anew.
	Edit     Edit
	Took     string // what the provider answers: JSON
	Status   int    // of Took
	ID       string // that Took has
	Error    string // what it answers with an error: JSON, or anything
	Longest  int    // UTF-16 units that it takes
	Threads  []string
	Hostile  string // a text that calls somebody, or is markup
	Harmless string // what Check reads of it
}

// Seen is what people see of a request.
type Seen struct {
	Text    string
	Field   string // its label
	Buttons []channel.Button
}

// Under is what a provider has under a message.
type Under struct {
	Buttons int
	Styles  bool
	Field   bool
}

// Edit is the request that changes a message.
type Edit struct {
	ID           string // of the message
	Method, Path string
	Check        func(t *testing.T, r *http.Request, body []byte) Seen
}

// provider is a server on the loopback that counts what it is asked.
type provider struct {
	mu     sync.Mutex
	asked  int
	edited bool // instead of said
	seen   Seen
	answer func(w http.ResponseWriter, r *http.Request)
}

func (p *provider) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Speaks holds an adapter to what the outbox relies on.
func Speaks(t *testing.T, s Speaking) {
	p := &provider{}
	server := httptest.NewServer(s.ask(t, p))
	defer server.Close()
	send := func(out *channel.Outgoing, answer func(http.ResponseWriter, *http.Request)) (string, error) {
		t.Helper()
		p.mu.Lock()
		p.asked, p.answer = 0, answer
		p.mu.Unlock()
		speaker, _ := s.Adapter.(channel.Speaker)
		id, err := speaker.Send(t.Context(), &channel.Account{Token: []byte(s.Token), Base: server.URL + "/base"}, out)
		if n := p.requests(); n > 1 {
			t.Errorf("%d requests for one message", n)
		}
		if err != nil && strings.Contains(fmt.Sprintf("%+v %v", err, err), s.Token) {
			t.Errorf("the token is in %v", err)
		}
		return id, err
	}
	t.Run("text", func(t *testing.T) { s.says(t, p, send) })
	t.Run("all of it", func(t *testing.T) { s.whole(t, p, send) })
	t.Run("changed", func(t *testing.T) { s.changes(t, p, send) })
	t.Run("refused", func(t *testing.T) { s.refused(t, send) })
	t.Run("threads", func(t *testing.T) {
		for _, thread := range append(s.Threads, "", "/", "..", "a/../b", "x\x00y") {
			if _, err := send(&channel.Outgoing{Thread: thread, Text: "x"}, nil); !writ.IsCode(err, writ.CodeInvalid) || p.requests() != 0 {
				t.Errorf("%q: %v, %d requests", thread, err, p.requests())
			}
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		speaker, _ := s.Adapter.(channel.Speaker)
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		_, err := speaker.Send(t.Context(), &channel.Account{Token: []byte(s.Token), Base: gone.URL}, &channel.Outgoing{Thread: s.Thread, Text: "x"})
		if !writ.IsCode(err, writ.CodeUnavailable) {
			t.Errorf("%v", err)
		}
	})
}

// ask is the provider: it looks at what it is asked, and takes it or answers as it is told.
func (s *Speaking) ask(t *testing.T, p *provider) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		method, path, check := http.MethodPost, s.Path, s.Check
		if p.edited = s.Edit.Path != "" && r.URL.Path == "/base"+s.Edit.Path; p.edited {
			method, path, check = s.Edit.Method, s.Edit.Path, s.Edit.Check
		}
		if err != nil || r.Method != method || r.URL.Path != "/base"+path {
			t.Errorf("%s %s, %v: want %s %s", r.Method, r.URL.Path, err, method, path)
		}
		p.seen = check(t, r, body)
		if p.answer != nil {
			p.answer(w, r)
			return
		}
		s.take(w)
	}
}

func (s *Speaking) take(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(s.Status)
	_, _ = io.WriteString(w, s.Took)
}

type sends func(*channel.Outgoing, func(http.ResponseWriter, *http.Request)) (string, error)

func (s *Speaking) says(t *testing.T, p *provider, send sends) {
	for text, want := range map[string]string{"hello": "hello", "two\nlines, ünïcode 🙂": "two\nlines, ünïcode 🙂", s.Hostile: s.Harmless} {
		id, err := send(&channel.Outgoing{Thread: s.Thread, Text: text}, nil)
		if err != nil || id != s.ID || p.seen.Text != want {
			t.Errorf("%q: %q, %v; it reads %q, want %q", text, id, err, p.seen.Text, want)
		}
	}
	for _, over := range []int{0, 1} {
		text := strings.Repeat("z", s.Longest+over)
		if _, err := send(&channel.Outgoing{Thread: s.Thread, Text: text}, nil); err != nil {
			t.Fatal(err)
		}
		if cut := strings.HasSuffix(p.seen.Text, "[cut]") || strings.HasSuffix(p.seen.Text, `\[cut\]`); cut != (over == 1) || channel.UTF16(p.seen.Text) > s.Longest {
			t.Errorf("%d over: %d units, cut %v", over, channel.UTF16(p.seen.Text), cut)
		}
	}
}

// refused says for each answer what is known of the message.
func (s *Speaking) refused(t *testing.T, send sends) {
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, s.Error)
		}
	}
	for name, one := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		code   writ.Code
		wait   time.Duration
	}{
		"limited":          {status(429, "Retry-After", "7"), writ.CodeLimited, 7 * time.Second},
		"limited, a year":  {status(429, "Retry-After", "31536000"), writ.CodeLimited, time.Hour},
		"limited, no time": {status(429), writ.CodeLimited, 0},
		"down for now":     {status(503, "Retry-After", "9"), writ.CodeLimited, 9 * time.Second},
		"down":             {status(503), writ.CodeIndeterminate, 0},
		"fell over":        {status(500), writ.CodeIndeterminate, 0},
		"bad gateway":      {status(502), writ.CodeIndeterminate, 0},
		"who":              {status(401), writ.CodeUnauthenticated, 0},
		"not you":          {status(403), writ.CodeForbidden, 0},
		"nowhere":          {status(404), writ.CodeNotFound, 0},
		"bad":              {status(400), writ.CodeInvalid, 0},
		"elsewhere":        {status(307, "Location", "/base"+s.Path), writ.CodeInvalid, 0},
		"taken, unclear": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(s.Status)
			_, _ = io.WriteString(w, "<html>thank you</html>")
		}, writ.CodeIndeterminate, 0},
		"cut off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, writ.CodeIndeterminate, 0},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(s.Status)
			_, _ = io.WriteString(w, s.Took)
		}, writ.CodeIndeterminate, 0},
	} {
		_, err := send(&channel.Outgoing{Thread: s.Thread, Text: "x"}, one.answer)
		if !writ.IsCode(err, one.code) || channel.RetryAfter(err) != one.wait {
			t.Errorf("%s: %v, wait %s; want %s, %s", name, err, channel.RetryAfter(err), one.code, one.wait)
		}
	}
}
