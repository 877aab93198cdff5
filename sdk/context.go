package sdk

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/writ-run/writ/abi"
)

// Names for the arguments and results of the tools, so that a skill need not
// import the wire's package.
type (
	HTTPRequest  = abi.HTTPRequest
	HTTPResponse = abi.HTTPResponse
	FileEntry    = abi.FileEntry
)

// Levels of Log.
const (
	LevelTrace = "trace"
	LevelDebug = "debug"
	LevelInfo  = "info"
	LevelWarn  = "warn"
	LevelError = "error"
)

// Context is an action's way to its tools: each of them is a function of this
// package that takes it. Every error of a tool is a *Failure with one of the
// codes of package abi: abi.FailDenied where the step was not granted the call,
// abi.FailUnavailable where nothing happened. A Context may be used from several
// goroutines; calls are made one at a time.
//
// It has no methods on purpose. A program that uses reflection anywhere (as
// text/template does) keeps every method of a type that reflection can reach,
// and would then import, and have to declare, tools that it never calls.
type Context struct {
	host Host
	mu   sync.Mutex // a call and the reading of its result belong together
}

// Host answers tool calls where there is no real host: natively, in tests.
type Host interface {
	// Call takes the JSON arguments of a tool and answers its JSON result, or
	// a Failure.
	Call(tool string, args []byte) ([]byte, *Failure)
}

// NewContext is a Context whose tool calls host answers. With a nil host every
// call fails with abi.FailUnsupported, except inside a real host, which then
// answers. Tests use package sdktest, which brings a Host.
func NewContext(host Host) *Context { return &Context{host: host} }

// Log writes to the execution's log. Fields are pairs of a name and a value. A
// log line that is refused (not granted, or too many) is dropped: logging never
// decides an action.
func Log(c *Context, level, message string, fields ...string) {
	args := abi.LogArgs{Level: level, Message: message}
	for i := 0; i+1 < len(fields); i += 2 {
		if args.Fields == nil {
			args.Fields = map[string]string{}
		}
		args.Fields[fields[i]] = fields[i+1]
	}
	_ = ask(c, tool{abi.ToolLog, importLog}, args, nil)
}

// HTTP makes a request. A response of any status is a result and no error.
func HTTP(c *Context, request HTTPRequest) (*HTTPResponse, error) {
	var response HTTPResponse
	if err := ask(c, tool{abi.ToolHTTPRequest, importHTTPRequest}, request, &response); err != nil {
		return nil, err
	}
	return &response, nil
}

// Body is the body of a response as it came, whether text or not.
func Body(response *HTTPResponse) ([]byte, error) {
	return content(response.Body, response.BodyBase64)
}

// SetBody makes data the body of a request, whether text or not.
func SetBody(request *HTTPRequest, data []byte) {
	request.Body, request.BodyBase64 = packed(data)
}

// KVGet returns the value of a key of the skill's own store, which is kept
// between executions, and whether the key has one.
func KVGet(c *Context, key string) (value string, found bool, err error) {
	var result abi.KVValue
	err = ask(c, tool{abi.ToolKVGet, importKVGet}, abi.KVKey{Key: key}, &result)
	return result.Value, result.Found, err
}

// KVPut sets the value of a key.
func KVPut(c *Context, key, value string) error {
	return ask(c, tool{abi.ToolKVPut, importKVPut}, abi.KVPut{Key: key, Value: value}, nil)
}

// KVDelete removes a key, and says whether it had a value.
func KVDelete(c *Context, key string) (deleted bool, err error) {
	var result abi.KVDeleted
	err = ask(c, tool{abi.ToolKVDelete, importKVDelete}, abi.KVKey{Key: key}, &result)
	return result.Deleted, err
}

// KVList returns the keys with the prefix that follow after ("" for the first),
// sorted, at most 100; more says that others follow.
func KVList(c *Context, prefix, after string) (keys []string, more bool, err error) {
	var result abi.KVKeys
	err = ask(c, tool{abi.ToolKVList, importKVList}, abi.KVList{Prefix: prefix, After: after}, &result)
	return result.Keys, result.More, err
}

// ReadFile returns a file's content. Paths are slash-separated and relative to
// the operator's root. abi.FailNotFound where there is no file.
func ReadFile(c *Context, path string) ([]byte, error) {
	var result abi.FileContent
	if err := ask(c, tool{abi.ToolFileRead, importFileRead}, abi.FilePath{Path: path}, &result); err != nil {
		return nil, err
	}
	return content(result.Text, result.Base64)
}

// WriteFile replaces a file's content as a whole, or makes the file.
func WriteFile(c *Context, path string, data []byte) error {
	args := abi.FileContent{Path: path}
	args.Text, args.Base64 = packed(data)
	return ask(c, tool{abi.ToolFileWrite, importFileWrite}, args, nil)
}

// ListFiles returns the entries of a directory, sorted by name.
func ListFiles(c *Context, path string) ([]FileEntry, error) {
	var result abi.FileEntries
	err := ask(c, tool{abi.ToolFileList, importFileList}, abi.FilePath{Path: path}, &result)
	return result.Entries, err
}

// CallSkill runs an action of another skill, "publisher/name#action", as a step of
// its own and reads its output into out, which may be nil. The step may do what
// both skills declare, and nothing else. abi.FailDenied where the manifest does
// not name the action, or policy or people said no; otherwise the Failure of the
// action.
func CallSkill(c *Context, name string, input, out any) error {
	skill, action, _ := strings.Cut(name, "#")
	raw, err := json.Marshal(input)
	if err != nil {
		return &Failure{Code: abi.FailInvalid, Message: fmt.Sprintf("input of %s: %v", name, err)}
	}
	return ask(c, tool{abi.ToolSkillCall, importSkillCall}, abi.SkillCall{Skill: skill, Action: action, Input: raw}, out)
}

// SendMessage says plain text in a thread of a channel, "slack/acme", and gives back the
// provider's id of it. The host escapes what the provider would take for markup and cuts
// what is too long. An empty thread is the channel's own, where its provider has one.
func SendMessage(c *Context, channel, thread, text string) (string, error) {
	var result abi.MessageSent
	err := ask(c, tool{abi.ToolMessageSend, importMessageSend}, abi.MessageSend{Channel: channel, Thread: thread, Text: text}, &result)
	return result.ID, err
}

// packed is data as text, or as base64 where it is none.
func packed(data []byte) (text, encoded string) {
	if utf8.Valid(data) {
		return string(data), ""
	}
	return "", base64.StdEncoding.EncodeToString(data)
}

func content(text, encoded string) ([]byte, error) {
	if encoded == "" {
		return []byte(text), nil
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, &Failure{Code: abi.FailInvalid, Message: "the host answered base64 that cannot be read"}
	}
	return data, nil
}

// tool pairs a tool's name, for a Host, with its import, for a real host. Each
// function names its own import and there is no table of them, because the linker
// keeps every import that something kept refers to.
type tool struct {
	name string
	call hostCall
}

// hostCall is the type of a function of abi.ModuleTool.
type hostCall func(args unsafe.Pointer, size uint32) uint64

func ask(c *Context, t tool, args, result any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return &Failure{Code: abi.FailInvalid, Message: fmt.Sprintf("%s: arguments: %v", t.name, err)}
	}
	c.mu.Lock()
	answer, failure := dispatch(c.host, t, raw)
	c.mu.Unlock()
	if failure != nil {
		return failure
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return &Failure{Code: abi.FailInvalid, Message: fmt.Sprintf("%s: the host's answer: %v", t.name, err)}
	}
	return nil
}

func dispatch(host Host, t tool, args []byte) ([]byte, *Failure) {
	if host != nil {
		return host.Call(t.name, args)
	}
	return callImport(t, args)
}
