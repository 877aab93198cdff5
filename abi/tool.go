package abi

import "encoding/json"

// Names of the tools of this version.
const (
	ToolLog         = "log"
	ToolHTTPRequest = "http.request"
	ToolKVGet       = "kv.get"
	ToolKVPut       = "kv.put"
	ToolKVDelete    = "kv.delete"
	ToolKVList      = "kv.list"
	ToolFileRead    = "file.read"
	ToolFileWrite   = "file.write"
	ToolFileList    = "file.list"
	ToolSkillCall   = "skill.call"
	ToolMessageSend = "message.send"
)

// SkillCall are the arguments of ToolSkillCall; its result is the action's output.
type SkillCall struct {
	Skill  string          `json:"skill"` // publisher/name
	Action string          `json:"action"`
	Input  json.RawMessage `json:"input"`
}

// MessageSend are the arguments of ToolMessageSend: plain text for a thread of a
// channel, which the host escapes for its provider.
type MessageSend struct {
	Channel string `json:"channel"`          // PROVIDER/NAME
	Thread  string `json:"thread,omitempty"` // as messages of the channel name it
	Text    string `json:"text"`
}

// MessageSent is the result of ToolMessageSend.
type MessageSent struct {
	ID string `json:"id"` // the provider's; empty where it gives none
}

// LogArgs are the arguments of ToolLog; its result is an empty object.
type LogArgs struct {
	Level   string            `json:"level"` // trace, debug, info, warn or error
	Message string            `json:"message"`
	Fields  map[string]string `json:"fields,omitempty"`
}

// HTTPRequest are the arguments of ToolHTTPRequest. Exactly one of Body and
// BodyBase64 may be set.
type HTTPRequest struct {
	Method     string            `json:"method"`
	URL        string            `json:"url"` // absolute, http or https
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`
	BodyBase64 string            `json:"bodyBase64,omitempty"`
	TimeoutMS  int64             `json:"timeoutMs,omitempty"` // 0: what is left of the step's time
}

// HTTPResponse is the result of ToolHTTPRequest. A body that is not valid UTF-8
// comes in BodyBase64. Header names are lower case.
type HTTPResponse struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body,omitempty"`
	BodyBase64 string            `json:"bodyBase64,omitempty"`
}

// KVKey are the arguments of ToolKVGet and ToolKVDelete.
type KVKey struct {
	Key string `json:"key"`
}

// KVPut are the arguments of ToolKVPut; its result is an empty object.
type KVPut struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// KVValue is the result of ToolKVGet. Found is false where the key has no value.
type KVValue struct {
	Found bool   `json:"found"`
	Value string `json:"value,omitempty"`
}

// KVDeleted is the result of ToolKVDelete.
type KVDeleted struct {
	Deleted bool `json:"deleted"`
}

// KVList are the arguments of ToolKVList. Limit 0 means 100, at most 1,000.
type KVList struct {
	Prefix string `json:"prefix"`
	After  string `json:"after,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

// KVKeys is the result of ToolKVList, sorted; More says that keys follow.
type KVKeys struct {
	Keys []string `json:"keys"`
	More bool     `json:"more,omitempty"`
}

// FilePath are the arguments of ToolFileRead and ToolFileList. Paths are
// slash-separated and relative to the root that the operator set.
type FilePath struct {
	Path string `json:"path"`
}

// FileContent is the result of ToolFileRead and, with Path, the arguments of
// ToolFileWrite. Exactly one of Text and Base64 is set, unless the file is empty.
type FileContent struct {
	Path   string `json:"path,omitempty"`
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
}

// FileEntries is the result of ToolFileList, sorted by name.
type FileEntries struct {
	Entries []FileEntry `json:"entries"`
}

// FileEntry is one file or directory.
type FileEntry struct {
	Name string `json:"name"`
	Dir  bool   `json:"dir,omitempty"`
	Size int64  `json:"size,omitempty"`
}
