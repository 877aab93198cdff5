package writ

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// ToolSpec is the static description of a tool.
type ToolSpec struct {
	Name string
	// Effect is the worst effect class that a call can have; CallEffect is more
	// exact once the arguments are known.
	Effect Effect
	// Scope names the members of Capability that bound the tool.
	Scope []string
	// Leaves says that arguments leave the host, so each of them is a sink.
	Leaves bool
	Title  string
}

// Names of the scope members.
const (
	ScopeChannels = "channels"
	ScopeHosts    = "hosts"
	ScopeMethods  = "methods"
	ScopePaths    = "paths"
	ScopePrefixes = "prefixes"
	ScopeSkills   = "skills"
)

var toolSpecs = []ToolSpec{
	{Name: abi.ToolFileList, Effect: abi.EffectRead, Scope: []string{ScopePaths}, Title: "List a directory"},
	{Name: abi.ToolFileRead, Effect: abi.EffectRead, Scope: []string{ScopePaths}, Title: "Read a file"},
	{Name: abi.ToolFileWrite, Effect: abi.EffectWriteLocal, Scope: []string{ScopePaths}, Title: "Write a file"},
	{Name: abi.ToolHTTPRequest, Effect: abi.EffectWriteExternal, Scope: []string{ScopeHosts, ScopeMethods, ScopePaths}, Leaves: true, Title: "Make an HTTP request"},
	{Name: abi.ToolKVDelete, Effect: abi.EffectWriteLocal, Scope: []string{ScopePrefixes}, Title: "Delete a stored value"},
	{Name: abi.ToolKVGet, Effect: abi.EffectRead, Scope: []string{ScopePrefixes}, Title: "Read a stored value"},
	{Name: abi.ToolKVList, Effect: abi.EffectRead, Scope: []string{ScopePrefixes}, Title: "List stored keys"},
	{Name: abi.ToolKVPut, Effect: abi.EffectWriteLocal, Scope: []string{ScopePrefixes}, Title: "Store a value"},
	{Name: abi.ToolLog, Effect: abi.EffectNone, Title: "Write to the log"},
	{Name: abi.ToolMessageSend, Effect: abi.EffectWriteExternal, Scope: []string{ScopeChannels}, Leaves: true, Title: "Say something in a channel"},
	// What the action does is judged and journaled as a step of its own.
	{Name: abi.ToolSkillCall, Effect: abi.EffectNone, Scope: []string{ScopeSkills}, Title: "Run an action of another skill as a step of its own"},
}

// Tools lists every tool of this host, sorted by name.
func Tools() []ToolSpec { return slices.Clone(toolSpecs) }

// LookupTool finds a tool by name.
func LookupTool(name string) (ToolSpec, bool) {
	for _, spec := range toolSpecs {
		if spec.Name == name {
			return spec, true
		}
	}
	return ToolSpec{}, false
}

// Target is what a call reaches for, in the terms of a capability's scope.
type Target struct {
	Scheme string `json:"scheme,omitempty"`
	Host   string `json:"host,omitempty"` // with the port where it is not the scheme's own
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	Key    string `json:"key,omitempty"`
	Skill  string `json:"skill,omitempty"` // publisher/name#action
	// Channel is PROVIDER/NAME.
	Channel string `json:"channel,omitempty"`
}

// CallFactsOf derives what policy and permits ask of a call from its canonical
// arguments. CodeInvalid where the tool or its arguments are not understood.
func CallFactsOf(tool string, args []byte) (*CallFacts, error) {
	spec, ok := LookupTool(tool)
	if !ok {
		return nil, Errorf(CodeInvalid, "tool "+tool, "this host has no such tool")
	}
	facts := &CallFacts{Tool: tool, Effect: spec.Effect, Arguments: args}
	facts.Digest = facts.ArgumentsDigest()
	var err error
	switch {
	case tool == abi.ToolHTTPRequest:
		err = httpFacts(facts, args)
	case strings.HasPrefix(tool, "kv."):
		facts.Target.Key, err = stringMember(args, map[bool]string{true: "prefix", false: "key"}[tool == abi.ToolKVList])
		facts.Idempotent = true
	case strings.HasPrefix(tool, "file."):
		facts.Target.Path, err = stringMember(args, "path")
		facts.Idempotent = true
	case tool == abi.ToolSkillCall:
		facts.Target.Skill, err = skillTarget(args)
		facts.Idempotent = true
	case tool == abi.ToolMessageSend: // no provider knows what it was sent before
		facts.Target.Channel, err = channelTarget(args)
	default:
		facts.Idempotent = true
	}
	if err != nil {
		return nil, &Error{Code: CodeInvalid, Op: "tool " + tool, Message: "arguments: " + err.Error(), Err: err}
	}
	return facts, nil
}

// ArgumentsDigest binds the tool's name and its canonical arguments.
func (f *CallFacts) ArgumentsDigest() Digest {
	return canon.Sum(canon.DomainArguments, []byte(f.Tool), f.Arguments)
}

func stringMember(args []byte, name string) (string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(args, &object); err != nil {
		return "", err
	}
	var value string
	raw, ok := object[name]
	if !ok {
		return "", Errorf(CodeInvalid, name, "is missing")
	}
	return value, json.Unmarshal(raw, &value)
}

func skillTarget(args []byte) (string, error) {
	skill, err := stringMember(args, "skill")
	if err != nil {
		return "", err
	}
	action, err := stringMember(args, "action")
	if err == nil && (strings.Count(skill, "/") != 1 || action == "" || strings.ContainsAny(skill+action, "#*")) {
		err = Errorf(CodeInvalid, "skill", "%q and %q do not name an action: want publisher/name and the action's name", skill, action)
	}
	return skill + "#" + action, err
}

// channelTarget is literal: a pattern names many channels, and something is said in one.
func channelTarget(args []byte) (string, error) {
	name, err := stringMember(args, "channel")
	if err == nil && (strings.Count(name, "/") != 1 || !ValidPattern(name, "/") || strings.Contains(name, "*")) {
		err = Errorf(CodeInvalid, "channel", "%q does not name a channel: want PROVIDER/NAME", Clip(name, 128))
	}
	return name, err
}

// idempotentMethods are RFC 9110 section 9.2.2 without TRACE and OPTIONS, which
// no tool sends.
var idempotentMethods = []string{"GET", "HEAD", "PUT", "DELETE"}

func httpFacts(facts *CallFacts, args []byte) error {
	var request abi.HTTPRequest
	if err := json.Unmarshal(args, &request); err != nil {
		return err
	}
	target, err := HTTPTarget(request.Method, request.URL)
	if err != nil {
		return err
	}
	facts.Target = target
	facts.Idempotent = slices.Contains(idempotentMethods, target.Method)
	if target.Method == "GET" || target.Method == "HEAD" {
		facts.Effect = abi.EffectRead
	}
	return nil
}

// HTTPTarget reads a request's method and URL into a Target. The path is the
// escaped path, cleaned of nothing: a URL with dot segments, userinfo or
// fragment is refused, so that what is matched is what is sent.
func HTTPTarget(method, rawURL string) (Target, error) {
	if method == "" || strings.ToUpper(method) != method {
		return Target{}, Errorf(CodeInvalid, "method", "%q: want an upper-case method such as GET", method)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return Target{}, Errorf(CodeInvalid, "url", "cannot be parsed")
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return Target{}, Errorf(CodeInvalid, "url", "%q: want an absolute http or https URL", u.Redacted())
	}
	if u.User != nil || u.Fragment != "" {
		return Target{}, Errorf(CodeInvalid, "url", "must not hold credentials or a fragment")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	for segment := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\\x00") {
			return Target{}, Errorf(CodeInvalid, "url", "path segment %q is not allowed", segment)
		}
	}
	host := strings.ToLower(u.Hostname())
	if port := u.Port(); port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		host = strings.ToLower(u.Host)
	}
	return Target{Scheme: u.Scheme, Host: host, Method: method, Path: path}, nil
}

// Outcome says whether a tool's effect took place. The zero value is unknown.
type Outcome string

// The outcomes.
const (
	OutcomeUnknown Outcome = "unknown"
	OutcomeDone    Outcome = "done"
	OutcomeNotDone Outcome = "not_done"
)

// ToolCall is one call, ready to be made.
type ToolCall struct {
	CallFacts
	Tenant    TenantID
	Skill     SkillKey
	Execution ExecutionID
	Step      StepID
	Key       string // idempotency key
	Deadline  time.Time
	// Labels are of all that the guest knows by now. What it stores keeps them.
	Labels []Label
	// Sensitivity is what the action says of what it gives out.
	Sensitivity abi.Sensitivity
}

// ToolResult is what a call came to. Unknown on a write that is not idempotent
// makes the step indeterminate and is never shown to the guest.
type ToolResult struct {
	Outcome Outcome
	Body    []byte       // canonical JSON where Failure is nil
	Failure *abi.Failure // an answer that is a failure, e.g. not_found
	Changes []Change     // of the tenant's store, committed with the tool.returned record
	Labels  []Label      // of Body
	Spent   *Amounts     // what a done call took of budgets, where the tool knows; nil: what it was to cost
}

// Toolbox performs tool calls.
type Toolbox interface {
	// Perform makes one call. It checks the permit itself: CodeForbidden where
	// the permit is not live or does not cover the call.
	Perform(ctx context.Context, permit Permit, call *ToolCall) (*ToolResult, error)
	// CheckResult holds what somebody says that a tool answered against the
	// schema of the tool's result: canonical JSON. CodeInvalid.
	CheckResult(tool string, result []byte) error
}
