// Package sdk is how a skill is written in Go. A skill is a program with one
// typed function per action:
//
//	type In struct {
//		Name string `json:"name" doc:"Who to greet"`
//	}
//
//	type Out struct {
//		Greeting string `json:"greeting"`
//	}
//
//	func greet(c *sdk.Context, in In) (Out, error) {
//		return Out{Greeting: "Hello, " + in.Name + "!"}, nil
//	}
//
//	var _ = sdk.Action("greet", greet)
//
//	func main() {}
//
// The JSON Schemas of an action are derived from its types, so that code and
// manifest cannot drift. The world is reached through functions that take the
// Context (HTTP, KVGet, ReadFile, Log), each of which is an import of its own: the
// linker drops what a skill does not call, so a built module's import section is
// the list of its capabilities.
//
// Package sdktest runs the same code natively against a fake host.
package sdk

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/writ-run/writ/abi"
)

// Codes of the Failures that this package gives on an action's behalf. An input
// that does not fit its schema is abi.FailInvalid.
const (
	CodeFailed        = "failed"         // the handler returned an error that is no Failure
	CodePanic         = "panic"          // the handler panicked
	CodeUnknownAction = "unknown_action" // no handler has this name
)

// Failure is how an action or a tool says no. It is an error.
type Failure = abi.Failure

// Fail is the failure of an action: code is a short constant for programs
// ("quota_exceeded"), message is for people and must not hold a secret.
func Fail(code, message string) error { return &Failure{Code: code, Message: message} }

// Registered is what Action returns, so that a registration can stand in a
// package-level declaration: var _ = sdk.Action("greet", greet).
type Registered struct{}

type action struct {
	name          string
	input, output map[string]any
	run           func(c *Context, input []byte) ([]byte, error)
}

// registered is filled while the program's package-level variables are
// initialised and only read afterwards. It is a global because the host enters a
// skill through an export, before which no code of the author has run.
var registered []*action

// Action registers the handler of an action. The name is lower case letters,
// digits and underscores. In and Out are structs, or maps with string keys, in
// the form that encoding/json reads and writes; see the README for the tags. An
// error that is or wraps a *Failure keeps its code; any other is CodeFailed.
//
// Action panics, which stops the program before it can be used, where a name is
// not valid or taken or a type has no JSON Schema.
func Action[In, Out any](name string, handler func(c *Context, in In) (Out, error)) Registered {
	if !validName(name) {
		panic(fmt.Sprintf("sdk: action %q: want lower case letters, digits and underscores, a letter first", name))
	}
	if lookup(name) != nil {
		panic(fmt.Sprintf("sdk: action %q is registered twice", name))
	}
	added := &action{name: name, input: schemaOf[In](name, "input"), output: schemaOf[Out](name, "output")}
	added.run = func(c *Context, raw []byte) ([]byte, error) {
		var in In
		if err := decode(raw, added.input, &in); err != nil {
			return nil, &Failure{Code: abi.FailInvalid, Message: "input: " + err.Error()}
		}
		out, err := handler(c, in)
		if err != nil {
			return nil, err
		}
		return encode(&out)
	}
	registered = append(registered, added)
	return Registered{}
}

func validName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z'
		if !letter && (i == 0 || (r != '_' && (r < '0' || r > '9'))) {
			return false
		}
	}
	return name != ""
}

func lookup(name string) *action {
	for _, a := range registered {
		if a.name == name {
			return a
		}
	}
	return nil
}

// Run runs one action as a host does: JSON in, JSON or a Failure out. A panic of
// the handler becomes a Failure without its stack.
func Run(c *Context, name string, input []byte) (output []byte, failure *Failure) {
	output, failed := run(c, name, input)
	if failed == nil {
		return output, nil
	}
	return nil, &failed.Failure
}

// run is Run with where a handler panicked, which goes to the host alone.
func run(c *Context, name string, input []byte) (output []byte, failed *abi.GuestFailure) {
	a := lookup(name)
	if a == nil {
		f := Failure{Code: CodeUnknownAction, Message: fmt.Sprintf("this skill has no action %q", name), Fix: "use one of: " + strings.Join(names(), ", ")}
		return nil, &abi.GuestFailure{Failure: f}
	}
	defer func() {
		if cause := recover(); cause != nil {
			f := Failure{Code: CodePanic, Message: clip(fmt.Sprint(cause))}
			output, failed = nil, &abi.GuestFailure{Failure: f, Trace: panicked()}
		}
	}()
	output, err := a.run(c, input)
	if err != nil {
		return nil, &abi.GuestFailure{Failure: *failureOf(err)}
	}
	return output, nil
}

// maxFrames is as many as a host shows.
const maxFrames = 30

// panicked names the functions of the program in which it panicked, the outermost
// first: between the runtime's, which are innermost, and this package's.
func panicked() []string {
	var callers [maxFrames]uintptr
	var trace []string
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers[:])])
	for more, own := true, false; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		ours, runtimes := strings.HasPrefix(frame.Function, packagePath+"."), strings.HasPrefix(frame.Function, "runtime.")
		own = own || !ours && !runtimes
		if own && ours {
			break
		}
		if own && frame.Function != "" {
			trace = append(trace, frame.Function)
		}
	}
	slices.Reverse(trace)
	return trace
}

const packagePath = "github.com/writ-run/writ/sdk"

func failureOf(err error) *Failure {
	var f *Failure
	if !errors.As(err, &f) || f == nil {
		return &Failure{Code: CodeFailed, Message: clip(err.Error())}
	}
	if err == error(f) {
		return f // not wrapped: its message stands as it is, without its code in front
	}
	return &Failure{Code: f.Code, Message: clip(err.Error()), Fix: f.Fix}
}

// maxMessage bounds a message that came from elsewhere: a typical one is about
// 200 bytes, and a Failure is journaled and shown to people. A host takes 8 KiB of
// JSON, in which a byte can have six and a trace some more.
const maxMessage = 1 << 10

func clip(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "..."
}

// Describe says what actions there are, in the order of their registration.
func Describe() abi.Description {
	d := abi.Description{Actions: []abi.DescribedAction{}}
	for _, a := range registered {
		d.Actions = append(d.Actions, abi.DescribedAction{Name: a.name, Input: a.input, Output: a.output})
	}
	return d
}

func names() []string {
	all := make([]string, len(registered))
	for i, a := range registered {
		all[i] = a.name
	}
	return all
}
