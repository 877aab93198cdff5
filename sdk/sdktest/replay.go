package sdktest

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/writ-run/writ/abi"
)

// Recorded is a call as it was made once, and what it was answered. Without arguments
// it is any call of the tool; without result and failure its answer is an empty object.
type Recorded struct {
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Failure   *abi.Failure    `json:"failure,omitempty"`
}

// Recording is what a file of recorded calls holds; other members are left alone.
type Recording struct {
	Calls []Recorded `json:"calls"`
}

// ReplayFile is Replay with the calls of a file.
func (h *Host) ReplayFile(file string) *Host {
	h.t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		h.t.Fatalf("sdktest: %v", err)
	}
	var r Recording
	if err := json.Unmarshal(raw, &r); err != nil || r.Calls == nil {
		h.t.Fatalf("sdktest: %s holds no recorded calls: want an object with a list calls (%v)", file, err)
	}
	return h.Replay(r.Calls)
}

// Replay answers with what was recorded. The skill must make these calls, in this
// order, and no others, or the test fails; lines of the log may be left out.
func (h *Host) Replay(calls []Recorded) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script = &script{calls: calls}
	h.t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if s := h.script; s.made < len(s.calls) && !s.failed {
			h.t.Errorf("sdktest: call %d was not made: %s %s", s.made+1, s.calls[s.made].Tool, s.calls[s.made].Arguments)
		}
	})
	return h
}

// script is guarded by Host.mu.
type script struct {
	calls  []Recorded
	made   int
	failed bool
}

func (s *script) next(t testing.TB, tool string, args []byte) ([]byte, *abi.Failure) {
	t.Helper()
	if s.made < len(s.calls) {
		if one := &s.calls[s.made]; one.Tool == tool && (one.Arguments == nil || sameJSON(one.Arguments, args)) {
			s.made++
			return one.answer()
		}
	}
	if tool == abi.ToolLog {
		return []byte(`{}`), nil
	}
	s.failed = true
	wanted := "no further one"
	if s.made < len(s.calls) {
		wanted = s.calls[s.made].Tool + " " + string(s.calls[s.made].Arguments)
	}
	t.Errorf("sdktest: call %d is %s %s, want %s", s.made+1, tool, args, wanted)
	return nil, &abi.Failure{Code: abi.FailUnsupported, Message: "the recording has no answer to this call"}
}

func (r *Recorded) answer() ([]byte, *abi.Failure) {
	switch {
	case r.Failure != nil:
		return nil, r.Failure
	case r.Result == nil:
		return []byte(`{}`), nil
	}
	return r.Result, nil
}
