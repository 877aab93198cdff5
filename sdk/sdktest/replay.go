package sdktest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk"
)

// Recorded is a call as it was made once, and what it was answered. Without arguments
// it is any call of the tool; without result and failure its answer is an empty object.
type Recorded struct {
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Failure   *abi.Failure    `json:"failure,omitempty"`
}

// Recording is a file of one recorded run, or of recorded calls alone. Other members,
// such as the seed and the clock of the run, are left alone.
type Recording struct {
	Action  string          `json:"action,omitempty"`
	Input   json.RawMessage `json:"input,omitempty"`
	Calls   []Recorded      `json:"calls"`
	Output  json.RawMessage `json:"output,omitempty"`
	Failure *abi.Failure    `json:"failure,omitempty"`
}

// ReplayFile is Replay with the calls of a file, which holds a Recording.
func (h *Host) ReplayFile(file string) *Host {
	h.t.Helper()
	return h.Replay(readRecording(h.t, file).Calls)
}

func readRecording(t testing.TB, file string) Recording {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("sdktest: %v", err)
	}
	var r Recording
	if err := json.Unmarshal(raw, &r); err != nil || r.Calls == nil {
		t.Fatalf("sdktest: %s holds no recorded calls: want an object with a list calls (%v)", file, err)
	}
	return r
}

// RunRecordings runs the action of each file that the pattern names as a subtest, with
// its input, answers its calls as they were answered when it was recorded, and holds
// its outcome to the recorded one. An action whose outcome depends on the time or on
// randomness has another one here. No file at all fails.
func RunRecordings(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("sdktest: no recording matches %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) { runRecording(t, readRecording(t, file)) })
	}
}

func runRecording(t testing.TB, r Recording) {
	t.Helper()
	if (r.Output == nil) == (r.Failure == nil) {
		t.Fatalf("sdktest: the recording has not exactly one of output and failure")
	}
	output, failure := sdk.Run(New(t).Replay(r.Calls).Context(), r.Action, r.Input)
	switch {
	case failure != nil && (r.Failure == nil || *failure != *r.Failure):
		t.Errorf("failed with %v, recorded is %s%v", failure, r.Output, r.Failure)
	case failure == nil && !sameJSON(output, r.Output):
		t.Errorf("gave %s, recorded is %s%v", output, r.Output, r.Failure)
	}
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
