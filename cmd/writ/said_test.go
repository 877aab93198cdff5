package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// TestAThreadHearsHowItEnds: the daemon follows what was asked for in a thread, after
// the answer to it, and over its own restart.
func TestAThreadHearsHowItEnds(t *testing.T) {
	w := newWhole(t, "")
	draft := filepath.Join(t.TempDir(), "get.yaml")
	if err := os.WriteFile(draft, []byte("apiVersion: writ/v1\nkind: Plan\nsteps:\n  - name: get\n    uses: acme/leaker#get\n    with: {method: GET, url: https://api.acme.test/}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must("", "token", "create", "--kind", "agent", "--name", "bot")
	w.must("", "grant", "create", "--principal", "agent:bot", "--tool", "http.request", "--host", "**", "--method", "GET", "--path", "/**")
	w.must("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret", "set", "crm")
	w.must("", "channel", "add", "webhook/crm", "--secret", "crm", "--member", "sender=agent:bot", "--on", "contact.created="+draft, "--answer", "contact.created")
	w.must("", "freeze", "skill", "acme/leaker", "--reason", "so that it waits")
	ask := func() writ.ExecutionID {
		t.Helper()
		var out contract.ChannelSimulateOutput
		said := w.must("", "channel", "simulate", "webhook/crm", "contact.created", "-o", "json")
		if err := json.Unmarshal([]byte(said), &out); err != nil || len(out.Outcomes) != 1 || !strings.Contains(out.Outcomes[0].Answer, "it is under way") {
			t.Fatalf("%v: %s", err, said)
		}
		return out.Outcomes[0].Execution
	}
	first, second := ask(), ask()
	w.must("", "exec", "cancel", string(first), "--reason", "it takes too long")
	if answer := w.told(first); !strings.HasPrefix(answer, string(first)+": it was cancelled") {
		t.Errorf("%q", answer)
	}
	w.stop()
	w.must("", "exec", "cancel", string(second))
	w.serve()
	if answer := w.told(second); !strings.Contains(answer, "it was cancelled") {
		t.Errorf("%q", answer)
	}
}

// told is what the thread of an execution is told, however long that takes.
func (w *whole) told(id writ.ExecutionID) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := w.overSocket(ctx, "/v1/events")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		var event struct {
			Type string
			Data contract.DeliveryEvent
		}
		if ok && json.Unmarshal([]byte(data), &event) == nil && event.Type == contract.EventChannelAnswered && event.Data.Outcomes[0].Execution == id {
			return event.Data.Outcomes[0].Answer
		}
	}
	w.t.Fatalf("the stream ended: %v", lines.Err())
	return ""
}
