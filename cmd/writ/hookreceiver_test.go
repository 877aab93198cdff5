package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hookKey is the secret of the scripts' hooks.
var hookKey = "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("hook key"), 4))

// hookReceiver is who a hook tells. It believes nothing that another implementation of
// Standard Webhooks does not verify, and keeps each event once, as a receiver should.
type hookReceiver struct {
	server *httptest.Server

	mu     sync.Mutex
	status int
	events []hookEvent
	seen   map[string]bool
	raw    bytes.Buffer // all that was sent, headers and bodies
	tries  int
	bad    []string
}

type hookEvent struct {
	Type string
	Data struct{ ExecutionID string }
	body []byte
}

type hookReceiverKey struct{}

// newReceiver gives a script its receiver, as $RECEIVER, and its key.
func newReceiver(e *testscript.Env) {
	r := startReceiver()
	e.Defer(r.server.Close)
	e.Values[hookReceiverKey{}] = r
	e.Setenv("RECEIVER", r.server.URL)
	e.Setenv("HOOKKEY", hookKey)
}

func startReceiver() *hookReceiver {
	r := &hookReceiver{status: http.StatusNoContent, seen: map[string]bool{}}
	r.server = httptest.NewServer(http.HandlerFunc(r.take))
	return r
}

func (r *hookReceiver) take(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	verifier, _ := standardwebhooks.NewWebhook(hookKey)
	if err == nil {
		err = verifier.Verify(body, req.Header)
	}
	var event hookEvent
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	event.body = body
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	_ = req.Header.Write(&r.raw)
	r.raw.Write(body)
	if err != nil {
		r.bad = append(r.bad, err.Error())
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if id := req.Header.Get("webhook-id"); r.status/100 == 2 && !r.seen[id] {
		r.seen[id] = true
		r.events = append(r.events, event)
	}
	w.WriteHeader(r.status)
}

// scriptReceiver is `receiver STATUS`: what it answers from now on. `receiver tried`
// waits until it was asked since.
func scriptReceiver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: receiver STATUS | receiver tried")
	}
	r, _ := ts.Value(hookReceiverKey{}).(*hookReceiver)
	if args[0] == "tried" {
		await(ts, "request at "+r.server.URL, func() string {
			r.mu.Lock()
			defer r.mu.Unlock()
			return strings.Repeat("x", r.tries)
		})
		return
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.tries = status, 0
}

// scriptHooked is `hooked TYPE...`: waits until the receiver has taken events of these
// types, in this order, and puts out their bodies.
func scriptHooked(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: hooked TYPE...")
	}
	r, _ := ts.Value(hookReceiverKey{}).(*hookReceiver)
	await(ts, strings.Join(args, ", "), func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.bad) > 0 {
			ts.Fatalf("not verified: %v", r.bad)
		}
		if len(r.events) < len(args) {
			return ""
		}
		return "x"
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	var types []string
	for _, e := range r.events {
		types = append(types, strings.TrimPrefix(e.Type, "controlPlane."))
		_, err := fmt.Fprintf(ts.Stdout(), "%s\n", e.body)
		ts.Check(err)
	}
	if !slices.Equal(types, args) {
		ts.Fatalf("it was sent %v, want %v", types, args)
	}
}
