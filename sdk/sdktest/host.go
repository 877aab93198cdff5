// Package sdktest is a host for tests: it runs a skill natively, without
// WebAssembly, and answers its tool calls from what the test prepared.
//
//	func TestGreet(t *testing.T) {
//		host := sdktest.New(t)
//		out, err := greet(host.Context(), In{Name: "Ada"})
//		...
//	}
package sdktest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk"
)

// Call is one tool call that a skill made.
type Call struct {
	Tool string
	Args json.RawMessage
}

// HTTP reads the arguments of a call of http.request.
func (c Call) HTTP() abi.HTTPRequest {
	var request abi.HTTPRequest
	if json.Unmarshal(c.Args, &request) != nil {
		return abi.HTTPRequest{}
	}
	return request
}

// Host is a fake host. Every tool is granted; refusals are prepared with Fail.
type Host struct {
	// KV and Files are the stores, by key and by path. A test may fill them
	// before and read them after a run.
	KV    map[string]string
	Files map[string][]byte

	t testing.TB

	mu       sync.Mutex
	replies  map[string][]abi.HTTPResponse // by method and URL
	failures map[string]*abi.Failure       // by tool
	skills   map[string]Action             // by skill and action
	script   *script                       // nil: the host answers itself
	calls    []Call
	said     int // messages
}

// New makes a host for one test.
func New(t testing.TB) *Host {
	return &Host{
		KV: map[string]string{}, Files: map[string][]byte{}, t: t,
		replies: map[string][]abi.HTTPResponse{}, failures: map[string]*abi.Failure{}, skills: map[string]Action{},
	}
}

// Context is a Context whose calls this host answers.
func (h *Host) Context() *sdk.Context { return sdk.NewContext(h) }

// ReplyHTTP prepares a response to a method and an exact URL. Several for the
// same request are given in turn, and the last one again. A request without a
// reply fails the test.
func (h *Host) ReplyHTTP(method, url string, response abi.HTTPResponse) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := method + " " + url
	h.replies[key] = append(h.replies[key], response)
	return h
}

// Action stands for an action of another skill: it takes its input and answers
// its output, or a failure.
type Action func(input json.RawMessage) (any, *abi.Failure)

// Skill prepares an action of another skill, "publisher/name#action". A call of
// one that is not prepared fails the test.
func (h *Host) Skill(name string, run Action) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skills[name] = run
	return h
}

// Fail makes every call of a tool fail with the code, for example
// abi.FailDenied.
func (h *Host) Fail(tool, code string) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures[tool] = &abi.Failure{Code: code, Message: tool + " failed as the test asked"}
	return h
}

// Calls are the calls so far, of one tool or, with "", of all.
func (h *Host) Calls(tool string) []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.calls), func(c Call) bool { return tool != "" && c.Tool != tool })
}

// Call implements sdk.Host.
func (h *Host) Call(tool string, args []byte) ([]byte, *abi.Failure) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, Call{Tool: tool, Args: bytes.Clone(args)})
	if failure, ok := h.failures[tool]; ok {
		return nil, failure
	}
	if h.script != nil {
		return h.script.next(h.t, tool, args)
	}
	serve, ok := tools[tool]
	if !ok {
		return nil, &abi.Failure{Code: abi.FailUnsupported, Message: tool + ": this host has no such tool"}
	}
	result, failure := serve(h, args)
	if failure != nil {
		return nil, failure
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return nil, &abi.Failure{Code: abi.FailInvalid, Message: err.Error()}
	}
	return raw, nil
}

type server func(h *Host, args []byte) (any, *abi.Failure)

var tools = map[string]server{
	abi.ToolLog:         serve((*Host).log),
	abi.ToolHTTPRequest: serve((*Host).httpRequest),
	abi.ToolKVGet:       serve((*Host).kvGet),
	abi.ToolKVPut:       serve((*Host).kvPut),
	abi.ToolKVDelete:    serve((*Host).kvDelete),
	abi.ToolKVList:      serve((*Host).kvList),
	abi.ToolFileRead:    serve((*Host).fileRead),
	abi.ToolFileWrite:   serve((*Host).fileWrite),
	abi.ToolFileList:    serve((*Host).fileList),
	abi.ToolSkillCall:   serve((*Host).skillCall),
	abi.ToolMessageSend: serve((*Host).messageSend),
}

func serve[Args any](method func(*Host, Args) (any, *abi.Failure)) server {
	return func(h *Host, raw []byte) (any, *abi.Failure) {
		var args Args
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, invalid("arguments: %v", err)
		}
		return method(h, args)
	}
}

func invalid(format string, args ...any) *abi.Failure {
	return &abi.Failure{Code: abi.FailInvalid, Message: fmt.Sprintf(format, args...)}
}

func (h *Host) log(args abi.LogArgs) (any, *abi.Failure) {
	levels := []string{sdk.LevelTrace, sdk.LevelDebug, sdk.LevelInfo, sdk.LevelWarn, sdk.LevelError}
	if !slices.Contains(levels, args.Level) {
		return nil, invalid("level %q: want one of %v", args.Level, levels)
	}
	h.t.Logf("%s: %s %v", args.Level, args.Message, args.Fields)
	return struct{}{}, nil
}

func (h *Host) httpRequest(request abi.HTTPRequest) (any, *abi.Failure) {
	if request.Method == "" || strings.ToUpper(request.Method) != request.Method {
		return nil, invalid("method %q: want an upper-case method such as GET", request.Method)
	}
	if request.Body != "" && request.BodyBase64 != "" {
		return nil, invalid("body and bodyBase64 are both set")
	}
	key := request.Method + " " + request.URL
	queue := h.replies[key]
	if len(queue) == 0 {
		h.t.Errorf("sdktest: %s has no reply: prepare one with ReplyHTTP", key)
		return nil, &abi.Failure{Code: abi.FailUnavailable, Message: "no reply is prepared for " + key}
	}
	if len(queue) > 1 {
		h.replies[key] = queue[1:]
	}
	reply := queue[0]
	if reply.Status == 0 {
		reply.Status = 200
	}
	if reply.Headers == nil {
		reply.Headers = map[string]string{}
	}
	return reply, nil
}

// messageSend takes everything. Its ids are counted: m1, m2.
func (h *Host) messageSend(args abi.MessageSend) (any, *abi.Failure) {
	if args.Channel == "" || args.Text == "" {
		return nil, invalid("channel and text must not be empty")
	}
	h.said++
	return abi.MessageSent{ID: fmt.Sprintf("m%d", h.said)}, nil
}

func (h *Host) skillCall(args abi.SkillCall) (any, *abi.Failure) {
	name := args.Skill + "#" + args.Action
	run, ok := h.skills[name]
	if !ok {
		h.t.Errorf("sdktest: %s is not there: prepare it with Skill", name)
		return nil, &abi.Failure{Code: abi.FailDenied, Message: "nothing is prepared for " + name}
	}
	return run(args.Input)
}

func (h *Host) kvGet(args abi.KVKey) (any, *abi.Failure) {
	value, found := h.KV[args.Key]
	return abi.KVValue{Found: found, Value: value}, nil
}

func (h *Host) kvPut(args abi.KVPut) (any, *abi.Failure) {
	h.KV[args.Key] = args.Value
	return struct{}{}, nil
}

func (h *Host) kvDelete(args abi.KVKey) (any, *abi.Failure) {
	_, found := h.KV[args.Key]
	delete(h.KV, args.Key)
	return abi.KVDeleted{Deleted: found}, nil
}

func (h *Host) kvList(args abi.KVList) (any, *abi.Failure) {
	limit := args.Limit
	if limit == 0 {
		limit = 100
	}
	if limit < 0 || limit > 1000 {
		return nil, invalid("limit %d: want at most 1000", limit)
	}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(h.KV)), func(key string) bool {
		return !strings.HasPrefix(key, args.Prefix) || key <= args.After && args.After != ""
	})
	more := len(keys) > limit
	return abi.KVKeys{Keys: keys[:min(limit, len(keys))], More: more}, nil
}

func (h *Host) fileRead(args abi.FilePath) (any, *abi.Failure) {
	data, ok := h.Files[args.Path]
	if !ok {
		return nil, &abi.Failure{Code: abi.FailNotFound, Message: args.Path + ": there is no such file"}
	}
	if utf8.Valid(data) {
		return abi.FileContent{Text: string(data)}, nil
	}
	return abi.FileContent{Base64: base64.StdEncoding.EncodeToString(data)}, nil
}

func (h *Host) fileWrite(args abi.FileContent) (any, *abi.Failure) {
	data := []byte(args.Text)
	if args.Base64 != "" {
		decoded, err := base64.StdEncoding.DecodeString(args.Base64)
		if err != nil || args.Text != "" {
			return nil, invalid("want exactly one of text and base64")
		}
		data = decoded
	}
	h.Files[args.Path] = data
	return struct{}{}, nil
}

func (h *Host) fileList(args abi.FilePath) (any, *abi.Failure) {
	directory := strings.TrimSuffix(args.Path, "/") + "/"
	if args.Path == "" || args.Path == "." {
		directory = ""
	}
	entries := map[string]abi.FileEntry{}
	for path, data := range h.Files {
		rest, ok := strings.CutPrefix(path, directory)
		if !ok {
			continue
		}
		name, _, nested := strings.Cut(rest, "/")
		entry := abi.FileEntry{Name: name, Dir: nested}
		if !nested {
			entry.Size = int64(len(data))
		}
		entries[name] = entry
	}
	sorted := slices.SortedFunc(maps.Values(entries), func(a, b abi.FileEntry) int { return strings.Compare(a.Name, b.Name) })
	return abi.FileEntries{Entries: sorted}, nil
}
