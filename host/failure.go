package host

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero/sys"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// GuestFailed is the code of a guest that says no without a code of its own: a
// status that is not zero, or the error message of an Extism plug-in.
const GuestFailed = "failed"

// traps are the runtime's words for what a guest did. Any other text could hold
// addresses or stacks, which no two runs share, and is not passed on.
var traps = []string{
	"unreachable", "out of bounds memory access", "integer divide by zero", "integer overflow",
	"invalid conversion to integer", "invalid table access", "indirect call type mismatch", "stack overflow",
}

// settle says what a call came to: a failure that is the guest's, an error that is
// the host's, or neither where the guest ended by itself with a status.
func (g *guest) settle(status uint32, fromEngine error) (uint32, *abi.Failure, error) {
	var fault runtime.Error
	var own *writ.Error
	var exit *sys.ExitError
	switch e := g.ending; {
	case e != nil && e.err != nil:
		return 0, nil, e.err
	case e != nil && e.failure != nil:
		return 0, e.failure, nil
	case e != nil && e.exited && e.status != 0:
		return e.status, nil, nil
	case e != nil:
		return 0, nil, nil
	case fromEngine == nil:
		return status, nil, nil
	case errors.As(fromEngine, &own):
		return 0, nil, own
	case errors.As(fromEngine, &fault):
		return 0, nil, &writ.Error{Code: writ.CodeInternal, Op: "sandbox", Message: "a host function failed", Err: fault}
	case errors.As(fromEngine, &exit), errors.Is(fromEngine, errEnded):
		return 0, timeIsOver(), nil
	case g.memory.refused:
		return 0, outOfMemory(), nil
	}
	return 0, &abi.Failure{Code: writ.GuestTrapped, Message: trapMessage(fromEngine)}, nil
}

func outOfMemory() *abi.Failure {
	return &abi.Failure{
		Code: writ.GuestOutOfMemory, Message: "the guest needed more memory than the step's limit",
		Fix: "raise limits.memory in the skill's manifest",
	}
}

func trapMessage(err error) string {
	text := err.Error()
	if at := strings.Index(text, "wasm error: "); at >= 0 {
		text = text[at+len("wasm error: "):]
	}
	if line, _, _ := strings.Cut(text, "\n"); slices.Contains(traps, line) {
		return "the guest trapped: " + line
	}
	return "the guest trapped"
}

// ended is what an action of a guest of abi.V1 came to whose call ended by itself.
// A failure counts even where the status says success.
func (g *guest) ended(status uint32) *writ.GuestResult {
	switch {
	case g.failure != nil || status != 0:
		return g.refused(status)
	case g.output == nil:
		return g.failed(writ.GuestOutputBad, "the action ended without an output")
	}
	return g.finished(canon.JSON(g.output))
}

// pluginEnded is ended for an Extism plug-in: its error message counts first, then
// its status, then its output.
func (g *guest) pluginEnded(status uint32, output []byte, message string) *writ.GuestResult {
	switch {
	case message != "":
		return g.failed(GuestFailed, strings.ToValidUTF8(message[:min(len(message), MaxFailure)], "\uFFFD"))
	case status != 0:
		return g.refused(status)
	case len(output) > int(g.limits.Output):
		return g.failed(writ.GuestOutputLimit, tooMuchOutput)
	}
	return g.pluginOutput(output)
}

const tooMuchOutput = "the output is larger than the step's limit"

func (g *guest) refused(status uint32) *writ.GuestResult {
	code := strconv.FormatUint(uint64(status), 10)
	switch exited := g.ending != nil && g.ending.exited; {
	case g.failure != nil:
		return g.resultOf(g.failure)
	case exited && g.memory.refused:
		return g.resultOf(outOfMemory())
	case exited:
		return g.failed(writ.GuestTrapped, "the guest exited with code "+code)
	}
	return g.failed(GuestFailed, "the action ended with status "+code)
}

func (g *guest) finished(output []byte, err error) *writ.GuestResult {
	if err != nil {
		return g.failed(writ.GuestOutputBad, "the output: "+err.Error())
	}
	// A canonical form can be longer than what was written, by its escapes.
	if len(output) > int(g.limits.Output) {
		return g.failed(writ.GuestOutputLimit, tooMuchOutput)
	}
	return &writ.GuestResult{Output: output, Calls: g.calls, Fuel: g.used(), Memory: g.memory.own.size()}
}

func (g *guest) failed(code, message string) *writ.GuestResult {
	return g.resultOf(&abi.Failure{Code: code, Message: message})
}

func (g *guest) resultOf(f *abi.Failure) *writ.GuestResult {
	return &writ.GuestResult{Failure: f, Calls: g.calls, Fuel: g.used()}
}
