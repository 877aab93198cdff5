package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host"
)

// hear takes what a guest printed, and where it failed. A trace stands in the log,
// whatever else is shown of the guest.
func (h *home) hear(line host.GuestLine) {
	say := h.log.Debug
	if line.Stream == host.StreamTrace {
		say = h.log.Info
	}
	say("guest", "execution", line.Execution, "step", line.Step, "stream", line.Stream, "text", line.Text)
	h.heard.add(line)
}

// called is toolbox.Options.Script.
func (h *home) called(call *writ.ToolCall) *writ.ToolResult {
	h.heard.logged(call)
	return h.stage.answer(call)
}

// hearing is what an author is shown of guests: lines as they come, and the last trace.
// The zero hearing keeps nothing.
type hearing struct {
	mu    sync.Mutex
	to    io.Writer // nil: nobody listens
	trace string
}

func (h *hearing) listen(to io.Writer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to = to
}

func (h *hearing) add(line host.GuestLine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.to == nil:
	case line.Stream == host.StreamTrace:
		h.trace = line.Text
	default:
		_, _ = fmt.Fprintf(h.to, "%s: %s\n", line.Stream, clean(line.Text))
	}
}

// logged shows a line of the log that is below what the home's own log shows.
func (h *hearing) logged(call *writ.ToolCall) {
	if call.Tool != abi.ToolLog {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.to == nil {
		return
	}
	var line abi.LogArgs
	if json.Unmarshal(call.Arguments, &line) != nil || line.Level == "warn" || line.Level == "error" {
		return
	}
	text := line.Level + ": " + line.Message
	for _, name := range slices.Sorted(maps.Keys(line.Fields)) {
		text += fmt.Sprintf(" %s=%q", name, line.Fields[name])
	}
	_, _ = fmt.Fprintln(h.to, clean(text))
}

// traced is the trace since it was asked for last; nil where there is none.
func (h *hearing) traced() *guestTrace {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.trace == "" {
		return nil
	}
	t := &guestTrace{h.trace}
	h.trace = ""
	return t
}

// guestTrace is the detail of a failure that says where the guest was.
type guestTrace struct {
	Trace string `json:"trace"`
}

func (t *guestTrace) where() string {
	if t == nil {
		return ""
	}
	return ", at " + t.Trace
}
