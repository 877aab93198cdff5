// Package abi is the wire between a Writ host and a guest: versions, import
// names, tool names with their arguments and results, and the skill manifest.
// It uses the standard library alone and also builds for wasip1, so host, SDK
// and skills read the same definitions.
package abi

// Versions of the guest interfaces that a host serves.
const (
	// V1 is Writ's own interface: a guest exports EntryRun and imports from
	// ModuleCore and ModuleTool.
	V1 = "writ/v1"
	// Extism1 is the Extism plug-in interface: each action is an export of its
	// own name with no parameters and an i32 result; imports come from
	// ModuleExtism.
	Extism1 = "extism/v1"
	// ExtismMCP1 is the interface of an Extism plug-in that speaks MCP: actions are
	// tools, run through its one export call_tool (or call), and an output is a
	// result of tools/call.
	ExtismMCP1 = "extism-mcp/v1"
)

// Semantic versions that a manifest's requires and abi members are compared with.
const (
	// ABIVersion is the version of V1 that this module describes.
	ABIVersion = "1.0.0"
	// ContractsVersion is the version of the contracts that this module describes.
	ContractsVersion = "1.0.0"
)

// Import modules that a guest may name. Everything else is refused at install.
const (
	ModuleCore   = "writ:core/v1"
	ModuleTool   = "writ:tool/v1"
	ModuleExtism = "extism:host/env"
	ModuleWASI   = "wasi_snapshot_preview1"
)

// Exports of a V1 guest.
const (
	// EntryRun, () -> i32, runs the action that CoreAction names; 0 is success
	// and anything else failure. The guest calls CoreOutput or CoreFail first.
	EntryRun = "writ_run"
	// EntryDescribe, () -> i32, calls CoreOutput with the JSON of a Description.
	// It runs with every tool trapping. Optional.
	EntryDescribe = "writ_describe"
	// EntryInitialize is the reactor initialiser, run once with every tool trapping.
	EntryInitialize = "_initialize"
)

// Functions of ModuleCore. Pointers and lengths are u32 in guest memory. The
// functions that read copy at most cap bytes to ptr and return the full length,
// so a guest asks with cap 0, allocates and asks again.
const (
	CoreInput  = "input"  // (ptr, cap) -> len: canonical JSON of the action's input
	CoreAction = "action" // (ptr, cap) -> len: the action's name
	CoreResult = "result" // (ptr, cap) -> len: the result of the last tool call
	CoreOutput = "output" // (ptr, len): sets the action's output, JSON
	CoreFail   = "fail"   // (ptr, len): sets the action's failure, the JSON of a GuestFailure
)

// A function of ModuleTool has the name of the tool and the type (ptr, len) -> i64:
// the arguments are JSON at ptr. The low 32 bits of the answer are the length
// of the result, the high 32 bits one of the statuses below; CoreResult reads it.
const (
	ToolOK     = 0 // the result is the tool's result
	ToolFailed = 1 // the result is a Failure
)

// Failure is how an action or a tool says no. Code is a short constant for
// programs; Message is for people and never holds a secret.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// GuestFailure is what a guest gives CoreFail. Trace names the functions in which it
// failed, the outermost first, for its author and the log alone: no journal has it,
// and a guest that called this one does not see it.
type GuestFailure struct {
	Failure
	Trace []string `json:"trace,omitempty"`
}

// Error implements error.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Codes of the Failures that a tool answers.
const (
	FailDenied      = "denied"        // the step has no permit for this call
	FailInvalid     = "invalid"       // the arguments do not fit the tool's schema
	FailNotFound    = "not_found"     // the named thing does not exist
	FailTooLarge    = "too_large"     // a size cap was passed
	FailUnavailable = "unavailable"   // the other side cannot be reached; nothing happened
	FailTimeout     = "timeout"       // the other side took too long; nothing happened
	FailLimit       = "limit"         // the step's number of calls is used up
	FailSecretLeak  = "secret_leaked" // the answer held a secret, or the request did
	FailUnsupported = "unsupported"   // this host does not have the tool
)

// Description is what EntryDescribe says of a guest's actions; the manifest's
// schemas are derived from it, so code and manifest cannot drift.
type Description struct {
	Actions []DescribedAction `json:"actions"`
}

// DescribedAction is one action with its schemas (JSON Schema 2020-12).
type DescribedAction struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"` // where nothing else says it
	Input       map[string]any `json:"input"`
	Output      map[string]any `json:"output"`
}
