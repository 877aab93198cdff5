package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// effects is the other side of a script's writes. What is sent to it takes
// place. It answers its first request only when who sent it is gone, so that the
// answer is lost, or when the script says so; with nothing, unless the script says what.
type effects struct {
	server   *httptest.Server
	arrived  chan struct{}
	answered chan struct{} // closed by the script
	answer   sync.Once

	mu       sync.Mutex
	requests int
	keys     map[string]bool // of Idempotency-Key
	body     string          // of every answer
}

type effectsKey struct{}

// newEffects gives a script its server, as $EFFECTS.
func newEffects(e *testscript.Env) {
	f := &effects{arrived: make(chan struct{}), answered: make(chan struct{}), keys: map[string]bool{}}
	f.server = httptest.NewServer(http.HandlerFunc(f.take))
	e.Defer(f.server.Close)
	e.Values[effectsKey{}] = f
	e.Setenv("EFFECTS", f.server.URL)
}

func (f *effects) take(w http.ResponseWriter, r *http.Request) {
	_, err := io.Copy(io.Discard, r.Body) // who does not read does not see that the client is gone
	f.mu.Lock()
	f.requests++
	first := f.requests == 1
	f.keys[r.Header.Get("Idempotency-Key")] = true
	f.mu.Unlock()
	if first {
		close(f.arrived)
		select {
		case <-r.Context().Done():
		case <-f.answered:
		}
	}
	if err == nil {
		f.mu.Lock()
		body := f.body
		f.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, body) // who is gone does not read it
	}
}

// scriptArrived waits until a write has reached the script's server.
func scriptArrived(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: arrived")
	}
	f, _ := ts.Value(effectsKey{}).(*effects)
	await(ts, "write at "+f.server.URL, func() string {
		select {
		case <-f.arrived:
			return "arrived"
		default:
			return ""
		}
	})
}

// scriptAnswer is `answer [BODY]`: the server answers the request that has arrived, and
// each one from now on with the body.
func scriptAnswer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: answer [BODY]")
	}
	f, _ := ts.Value(effectsKey{}).(*effects)
	f.mu.Lock()
	f.body = strings.Join(args, "")
	f.mu.Unlock()
	f.answer.Do(func() { close(f.answered) })
}

// scriptEffects is `effects REQUESTS KEYS`: how often the server was asked, and
// under how many keys: a server that honours keys has as many effects.
func scriptEffects(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: effects REQUESTS KEYS")
	}
	f, _ := ts.Value(effectsKey{}).(*effects)
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := []string{strconv.Itoa(f.requests), strconv.Itoa(len(f.keys))}; got[0] != args[0] || got[1] != args[1] || f.keys[""] {
		ts.Fatalf("%s requests under %s keys, want %s under %s; without a key: %v", got[0], got[1], args[0], args[1], f.keys[""])
	}
}
