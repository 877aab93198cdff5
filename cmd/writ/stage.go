package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// stage is where a case's script stands in for the world. The zero stage, that of every
// home but a rehearsal's, answers nothing, and the tools are real.
type stage struct {
	mu     sync.Mutex
	script *script
}

func (s *stage) set(script *script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// answer is the script's answer, nil where there is none.
func (s *stage) answer(call *writ.ToolCall) *writ.ToolResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.script.answer(call)
}

// script is what the world answers in one case. It is used under stage.mu while a run
// lasts, and alone afterwards.
type script struct {
	calls   []scriptedCall // strict only
	strict  bool
	made    int
	replies map[string][]exchange // by method and URL
	kv      map[string]string     // nil: the real store
	faults  []string
}

// newScript is nil where a case's tools are the real ones.
func newScript(c *testCase) *script {
	if c.Calls == nil && c.HTTP == nil && c.KV == nil {
		return nil
	}
	s := &script{calls: c.Calls, strict: c.Calls != nil, kv: maps.Clone(c.KV)}
	if c.HTTP != nil {
		s.replies = map[string][]exchange{}
	}
	for _, e := range c.HTTP {
		key := e.Method + " " + e.URL
		s.replies[key] = append(s.replies[key], e)
	}
	return s
}

// fault says what was called otherwise than the case has it, "" where nothing was.
func (s *script) fault() string {
	switch {
	case s == nil:
		return ""
	case len(s.faults) > 0:
		return s.faults[0]
	case s.made < len(s.calls):
		return fmt.Sprintf("call %d was not made: %s %s", s.made+1, s.calls[s.made].Tool, s.calls[s.made].Arguments)
	}
	return ""
}

func (s *script) answer(call *writ.ToolCall) *writ.ToolResult {
	switch {
	case s == nil:
		return nil
	case s.strict:
		return s.next(call)
	case call.Tool == abi.ToolHTTPRequest && s.replies != nil:
		return s.reply(call)
	case strings.HasPrefix(call.Tool, "kv.") && s.kv != nil:
		return s.stored(call)
	case call.Effect.Severity() > abi.EffectRead.Severity() && !strings.HasPrefix(call.Tool, "kv."): // the real kv store is the rehearsal's own
		return s.unexpected("%s has no answer in the case", call.Tool)
	}
	return nil
}

// next holds a call to the one that the case has next. A line of the log need not be
// written down: it decides nothing.
func (s *script) next(call *writ.ToolCall) *writ.ToolResult {
	if s.made < len(s.calls) && s.calls[s.made].Tool == call.Tool {
		one := &s.calls[s.made]
		want, err := canon.JSON(one.Arguments)
		if one.Arguments == nil || err == nil && bytes.Equal(want, call.Arguments) {
			s.made++
			return one.answer()
		}
		if call.Tool != abi.ToolLog {
			return s.unexpected("call %d is %s %s, want %s", s.made+1, call.Tool, call.Arguments, want)
		}
	}
	if call.Tool == abi.ToolLog {
		return given(struct{}{})
	}
	wanted := "no further one"
	if s.made < len(s.calls) {
		wanted = s.calls[s.made].Tool
	}
	return s.unexpected("call %d is %s %s, want %s", s.made+1, call.Tool, call.Arguments, wanted)
}

func (s *script) unexpected(format string, args ...any) *writ.ToolResult {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
	return &writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: &abi.Failure{Code: abi.FailUnsupported, Message: "the case has no answer to this call"}}
}

func (c *scriptedCall) answer() *writ.ToolResult {
	if c.Failure != nil {
		return &writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: c.Failure}
	}
	if c.Result == nil {
		return given(struct{}{})
	}
	return given(c.Result)
}

// given is a result of types that can be encoded.
func given(result any) *writ.ToolResult {
	body, err := canon.MarshalJSON(result)
	if err != nil {
		return &writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: &abi.Failure{Code: abi.FailInvalid, Message: err.Error()}}
	}
	return &writ.ToolResult{Outcome: writ.OutcomeDone, Body: body}
}

// reply gives what is prepared for a request in turn, and the last one again.
func (s *script) reply(call *writ.ToolCall) *writ.ToolResult {
	var request abi.HTTPRequest
	if err := json.Unmarshal(call.Arguments, &request); err != nil {
		return s.unexpected("%s: %v", call.Tool, err)
	}
	key := request.Method + " " + request.URL
	queue := s.replies[key]
	if len(queue) == 0 {
		return s.unexpected("%s has no reply in the case", key)
	}
	if len(queue) > 1 {
		s.replies[key] = queue[1:]
	}
	if want := queue[0].Sent; want != nil {
		form, err := canon.JSON(want)
		sent, sentErr := canon.JSON([]byte(request.Body))
		if err != nil || sentErr != nil || !bytes.Equal(form, sent) {
			return s.unexpected("%s sent %s, want %s", key, request.Body, want)
		}
	}
	response := queue[0].Response
	if response.Status == 0 {
		response.Status = 200
	}
	if response.Headers == nil {
		response.Headers = map[string]string{}
	}
	return given(response)
}

// stored serves kv.* from what the case says is stored.
func (s *script) stored(call *writ.ToolCall) *writ.ToolResult {
	var args struct {
		abi.KVPut
		Prefix, After string
		Limit         int
	}
	if err := json.Unmarshal(call.Arguments, &args); err != nil {
		return s.unexpected("%s: %v", call.Tool, err)
	}
	value, found := s.kv[args.Key]
	switch call.Tool {
	case abi.ToolKVGet:
		return given(abi.KVValue{Found: found, Value: value})
	case abi.ToolKVPut:
		s.kv[args.Key] = args.Value
		return given(struct{}{})
	case abi.ToolKVDelete:
		delete(s.kv, args.Key)
		return given(abi.KVDeleted{Deleted: found})
	}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(s.kv)), func(key string) bool {
		return !strings.HasPrefix(key, args.Prefix) || args.After != "" && key <= args.After
	})
	limit := args.Limit
	if limit == 0 {
		limit = 100
	}
	return given(abi.KVKeys{Keys: keys[:min(limit, len(keys))], More: len(keys) > limit})
}
