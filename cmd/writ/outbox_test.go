package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/channel"
)

// TestEachProviderSaysHowItsThreadsAreWritten, of those in which something can be said.
func TestEachProviderSaysHowItsThreadsAreWritten(t *testing.T) {
	forms := 0
	for _, adapter := range adapters() {
		provider := adapter.Traits().Provider
		_, speaks := adapter.(channel.Speaker)
		if has := threadForms[provider] != ""; has != speaks {
			t.Errorf("%s: it speaks: %v, a form: %v", provider, speaks, has)
		} else if has {
			forms++
		}
	}
	if forms != len(threadForms) {
		t.Errorf("%d forms of %d providers", len(threadForms), forms)
	}
}

// TestAnAnswerWaitsForTheEndOfAFreeze, over a restart of the daemon and not for another.
func TestAnAnswerWaitsForTheEndOfAFreeze(t *testing.T) {
	came := make(chan string, 8)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":77}`)
		came <- r.URL.Path + " " + string(body)
	}))
	t.Cleanup(upstream.Close)
	w := newWhole(t, "http: {upstreams: {api.github.com: '"+upstream.URL+"'}}\n")
	w.must("", "token", "create", "--kind", "agent", "--name", "bot")
	w.must("a-secret-of-the-webhook", "secret", "set", "hook")
	w.must("ghp_0000example", "secret", "set", "bot")
	w.must("", "channel", "add", "github/acme", "--secret", "hook", "--token", "bot", "--member", "*=agent:bot")
	w.must("", "freeze", "channel", "github:*", "--reason", "it says nonsense")
	w.must("", "channel", "simulate", "github/acme", "issue_comment.command")
	waits := func() {
		t.Helper()
		if out := w.must("", "channel", "outbox"); !strings.Contains(out, "channel github:* is frozen by human:ada: it says nonsense") || !strings.Contains(out, "waiting") {
			t.Error(out)
		}
	}
	waits()
	w.stop()
	w.serve()
	waits()
	if len(came) != 0 {
		t.Fatalf("it was said: %s", <-came)
	}
	w.must("", "unfreeze", "channel", "github:*", "--reason", "it does no more")
	late := time.NewTimer(30 * time.Second) // half of when the channel would look by itself
	defer late.Stop()
	select {
	case said := <-came:
		if !strings.HasPrefix(said, "/repos/acme/hello/issues/1/comments ") || !strings.Contains(said, "I did not understand that") {
			t.Error(said)
		}
	case <-late.C:
		t.Fatalf("it is not said: %s", w.must("", "channel", "outbox"))
	}
}
