package sdktest

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk"
)

// Run runs a registered action as a host does: the input goes through JSON and
// the action's schema, and so does the output. The error is a *sdk.Failure.
func Run[Out any](h *Host, action string, input any) (Out, error) {
	var out Out
	raw, err := json.Marshal(input)
	if err != nil {
		h.t.Fatalf("sdktest: input: %v", err)
	}
	answer, failure := sdk.Run(h.Context(), action, raw)
	if failure != nil {
		return out, failure
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil {
		h.t.Fatalf("sdktest: output of %s: %v", action, err)
	}
	return out, nil
}

// Case is one file of testdata: an input, what the world answers, and what must
// come of it. Exactly one of Output and Failure is set.
type Case struct {
	Action string            `json:"action"`
	Input  json.RawMessage   `json:"input"`
	Calls  []Recorded        `json:"calls,omitempty"` // not nil: these calls, in this order, and no others
	HTTP   []Exchange        `json:"http,omitempty"`
	KV     map[string]string `json:"kv,omitempty"`
	Output json.RawMessage   `json:"output,omitempty"`
	// Failure is its code, or the code, a space and the message.
	Failure string `json:"failure,omitempty"`
}

// Exchange is one prepared HTTP reply. Sent is the JSON body that the request must
// have, where it is given.
type Exchange struct {
	Method   string           `json:"method"`
	URL      string           `json:"url"`
	Sent     json.RawMessage  `json:"sent,omitempty"`
	Response abi.HTTPResponse `json:"response"`
}

// RunCases runs each file that the pattern names ("testdata/*.json") as a
// subtest. No file at all fails.
func RunCases(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("sdktest: no case matches %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			runCase(t, ReadCase(t, file))
		})
	}
}

// ReadCase reads one file of testdata.
func ReadCase(t *testing.T, file string) Case {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c Case
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if (c.Output == nil) == (c.Failure == "") {
		t.Fatalf("%s: want exactly one of output and failure", file)
	}
	if c.Calls != nil && (c.HTTP != nil || c.KV != nil) {
		t.Fatalf("%s: calls stands for every tool: http and kv do not go with it", file)
	}
	return c
}

// Host is a host with what the case prepares.
func (c *Case) Host(t *testing.T) *Host {
	h := New(t)
	for _, e := range c.HTTP {
		h.ReplyHTTP(e.Method, e.URL, e.Response)
	}
	maps.Copy(h.KV, c.KV)
	if c.Calls != nil {
		h.Replay(c.Calls)
	}
	return h
}

func runCase(t *testing.T, c Case) {
	t.Helper()
	h := c.Host(t)
	output, failure := sdk.Run(h.Context(), c.Action, c.Input)
	c.Judge(t, h, output, failure)
}

// Judge compares what came of a case with what the case says.
func (c *Case) Judge(t *testing.T, h *Host, output []byte, failure *sdk.Failure) {
	t.Helper()
	code, message, told := strings.Cut(c.Failure, " ")
	replies := map[string][]Exchange{} // in turn, and the last one again
	for _, e := range c.HTTP {
		replies[e.Method+" "+e.URL] = append(replies[e.Method+" "+e.URL], e)
	}
	for _, call := range h.Calls(abi.ToolHTTPRequest) {
		r := call.HTTP()
		key := r.Method + " " + r.URL
		queue := replies[key]
		if len(queue) == 0 {
			continue // it was told so
		}
		if want := queue[0].Sent; want != nil && !sameJSON([]byte(r.Body), want) {
			t.Errorf("%s sent %s, want %s", key, r.Body, want)
		}
		if len(queue) > 1 {
			replies[key] = queue[1:]
		}
	}
	switch {
	case failure != nil && (failure.Code != code || told && failure.Message != message):
		t.Errorf("failed with %v, want %q", failure, c.Failure)
	case failure == nil && c.Failure != "":
		t.Errorf("gave %s, want the failure %q", output, c.Failure)
	case failure == nil && !sameJSON(output, c.Output):
		t.Errorf("gave %s, want %s", output, c.Output)
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
