// Package toolbox performs the tool calls of guests. Every call passes the same
// gate first: a live permit that covers it, facts that are those of its
// arguments, arguments that fit the tool's JSON Schema. What a tool answers is
// done, not done or unknown; the texts of its failures are constants of this
// package, so they hold no address, no secret and no library's wording.
package toolbox

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/egress"
)

// Defaults and bounds of Options.
const (
	DefaultMaxFile     = 1 << 20
	DefaultMaxRequest  = 1 << 20
	DefaultMaxResponse = 1 << 20
	DefaultTimeout     = 30 * time.Second
	// argumentsOverhead is room for a URL and headers beside a body.
	argumentsOverhead = 1 << 20
	// jsonExpansion is how much longer a byte can be as a JSON escape: \u0000.
	jsonExpansion = 6
)

// Options are what the operator decides. The zero value gives a toolbox that
// logs nowhere, stores nothing, has no files and no secrets and reaches public
// addresses alone.
type Options struct {
	Messenger writ.Messenger // of message.send; nil: it answers unsupported
	Store     writ.Store     // of kv.*; nil: these tools answer unsupported
	Secrets   SecretSource   // nil: every secret is missing
	Logger    hclog.Logger   // of log; nil: discards
	Home      string         // $WRIT_HOME; must be set where FileRoot is
	MaxFile   int64          // bytes of one file; 0: DefaultMaxFile
	Timeout   time.Duration  // of one http.request at most; 0: DefaultTimeout

	// FileRoot is the directory of file.*; "": these tools answer unsupported.
	// It and Home must not contain one another, symbolic links resolved.
	FileRoot string
	// AllowPrivate are ranges outside the public Internet that http.request may
	// reach; nil: none.
	AllowPrivate []netip.Prefix
	// Upstreams maps a host as it stands in a Target ("api.github.com",
	// "localhost:8080") to the base URL that serves it. The base may stand on a
	// private address: it is the operator who names it. Guest and trace go on
	// seeing the original URL.
	Upstreams map[string]string
	Resolver  egress.Resolver // nil: the system's resolver
	RootCAs   *x509.CertPool  // nil: the system's roots
	// Script answers a call in place of its tool, once the permit and the arguments are
	// found to be right; where it answers nil the tool does. It is for tests of skills;
	// nil: there is none.
	Script      func(call *writ.ToolCall) *writ.ToolResult
	MaxRequest  int64 // bytes of a request's body; 0: DefaultMaxRequest
	MaxResponse int64 // bytes of a response's body, decompressed; 0: DefaultMaxResponse
}

// Toolbox implements writ.Toolbox. It is safe for concurrent use.
type Toolbox struct {
	opts      Options
	files     *os.Root // nil: no file tools
	upstreams map[string]upstream
	pending   overlay
}

// New checks the options. CodeInvalid where FileRoot overlaps Home, does not
// exist or stands without Home, or where an upstream is not a plain base URL.
func New(opts Options) (*Toolbox, error) {
	opts.MaxFile = orDefault(opts.MaxFile, DefaultMaxFile)
	opts.MaxRequest = orDefault(opts.MaxRequest, DefaultMaxRequest)
	opts.MaxResponse = orDefault(opts.MaxResponse, DefaultMaxResponse)
	opts.Timeout = orDefault(opts.Timeout, DefaultTimeout)
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	if opts.Resolver == nil {
		opts.Resolver = egress.System()
	}
	upstreams, err := parseUpstreams(opts.Upstreams)
	if err != nil {
		return nil, err
	}
	if _, err := compiledSchemas(); err != nil {
		return nil, err
	}
	files, err := openRoot(opts.FileRoot, opts.Home)
	if err != nil {
		return nil, err
	}
	return &Toolbox{opts: opts, files: files, upstreams: upstreams, pending: newOverlay()}, nil
}

func orDefault[T int64 | time.Duration](value, otherwise T) T {
	if value <= 0 {
		return otherwise
	}
	return value
}

// Close releases the file root.
func (t *Toolbox) Close() error {
	if t.files == nil {
		return nil
	}
	return t.files.Close()
}

// Forget drops what the toolbox remembers of an execution: the kv changes that
// Perform returned and that the store did not show yet. Call it when the
// execution ends, pauses or is handed over.
func (t *Toolbox) Forget(execution writ.ExecutionID) { t.pending.forget(execution) }

// invocation is a call that has passed the gate.
type invocation struct {
	*writ.ToolCall
	permit     writ.Permit
	capability *writ.Capability // that covers the call; of the permit, not to be changed
}

type performer func(*Toolbox, context.Context, *invocation) *writ.ToolResult

// performers has one entry for every tool of writ.Tools.
var performers = map[string]performer{
	abi.ToolLog:         (*Toolbox).log,
	abi.ToolHTTPRequest: (*Toolbox).httpRequest,
	abi.ToolKVGet:       (*Toolbox).kvGet,
	abi.ToolKVPut:       (*Toolbox).kvPut,
	abi.ToolKVDelete:    (*Toolbox).kvDelete,
	abi.ToolKVList:      (*Toolbox).kvList,
	abi.ToolFileRead:    (*Toolbox).fileRead,
	abi.ToolFileWrite:   (*Toolbox).fileWrite,
	abi.ToolFileList:    (*Toolbox).fileList,
	abi.ToolSkillCall:   (*Toolbox).skillCall,
	abi.ToolMessageSend: (*Toolbox).messageSend,
}

// skillCall is a step of the engine's: whoever asks the toolbox has none.
func (t *Toolbox) skillCall(context.Context, *invocation) *writ.ToolResult {
	return notDone(failUnsupported("skills are called inside an execution alone"))
}

// Perform implements writ.Toolbox. Errors are the caller's doing and mean that
// nothing happened: CodeForbidden where the permit does not cover the call, is
// of another step, or the call's facts are not those of its arguments;
// CodeApprovalNeeded where a human must approve it first; CodeInvalid where the
// tool is unknown or its arguments cannot be read. Everything else, arguments
// that do not fit the schema included, is a ToolResult.
func (t *Toolbox) Perform(ctx context.Context, permit writ.Permit, call *writ.ToolCall) (*writ.ToolResult, error) {
	if call == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "tool call", "there is none")
	}
	capability, err := permit.Covers(&call.CallFacts)
	if err != nil {
		return nil, err
	}
	if err := checkClaims(permit, call, capability); err != nil {
		return nil, err
	}
	if strings.HasPrefix(call.Tool, "file.") && call.Tenant != writ.DefaultTenant {
		// One directory cannot keep two apart.
		return notDone(failUnsupported("the host's directory is of the tenant " + string(writ.DefaultTenant) + " alone")), nil
	}
	perform, ok := performers[call.Tool]
	if !ok {
		return nil, writ.Errorf(writ.CodeInvalid, "tool "+call.Tool, "this host has no such tool")
	}
	if failure := t.checkArguments(call.Tool, call.Arguments); failure != nil {
		return notDone(failure), nil
	}
	if t.opts.Script != nil {
		if result := t.opts.Script(call); result != nil {
			return result, nil
		}
	}
	return perform(t, ctx, &invocation{ToolCall: call, permit: permit, capability: capability}), nil
}

// checkClaims holds the call to its permit's step and to its own arguments. The
// policy judged the claimed facts; what is performed are the arguments.
func checkClaims(permit writ.Permit, call *writ.ToolCall, capability *writ.Capability) error {
	op := "tool " + call.Tool
	scope := permit.Scope()
	if scope.Tenant != call.Tenant || scope.Execution != call.Execution || scope.Step != call.Step || scope.Skill.Key != call.Skill {
		return writ.Errorf(writ.CodeForbidden, op, "the permit is of another step")
	}
	facts, err := writ.CallFactsOf(call.Tool, call.Arguments)
	if err != nil {
		return err
	}
	// A grant may declare a method idempotent; nothing else may differ.
	idempotent := call.Idempotent == facts.Idempotent || (call.Idempotent && capability.Idempotent)
	if facts.Digest != call.Digest || facts.Target != call.Target || facts.Effect != call.Effect || !idempotent {
		return writ.Errorf(writ.CodeForbidden, op, "what the call claims is not what its arguments say")
	}
	return nil
}

// checkArguments admits canonical JSON that fits the tool's schema. It must
// stand before any decoding: encoding/json folds the case of member names.
func (t *Toolbox) checkArguments(tool string, args []byte) *abi.Failure {
	limit := argumentsOverhead + jsonExpansion*max(t.opts.MaxRequest, t.opts.MaxFile)
	if int64(len(args)) > limit {
		return failTooLarge("the arguments", limit)
	}
	if form, err := canon.JSON(args); err != nil || !bytes.Equal(form, args) {
		return failInvalid("the arguments are not canonical JSON (RFC 8785)", "")
	}
	schemas, err := compiledSchemas()
	if err != nil || schemas[tool] == nil {
		return failUnsupported("this host has no schema for " + tool)
	}
	return schemas[tool].check(args)
}
