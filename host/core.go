package host

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// hostFunc is a function that guests may import. Types are written as strings: i
// is i32, l i64. stack holds the parameters, i32 ones masked, and takes the result.
type hostFunc struct {
	params, results string
	call            func(ctx context.Context, g *guest, stack []uint64)
}

type importKey struct{ module, name string }

// coreFunctions are writ:core/v1.
func coreFunctions(add func(importKey, hostFunc)) {
	read := func(name string, data func(g *guest) []byte) {
		add(importKey{abi.ModuleCore, name}, hostFunc{"ii", "i", func(_ context.Context, g *guest, stack []uint64) {
			g.needStep(name)
			stack[0] = g.hand(data(g), stack)
		}})
	}
	read(abi.CoreInput, func(g *guest) []byte { return g.run.Input })
	read(abi.CoreAction, func(g *guest) []byte { return []byte(g.run.Action) })
	read(abi.CoreResult, func(g *guest) []byte { return g.result })
	add(importKey{abi.ModuleCore, abi.CoreOutput}, hostFunc{"ii", "", func(_ context.Context, g *guest, stack []uint64) {
		g.needStep(abi.CoreOutput)
		if stack[1] > uint64(g.limits.Output) {
			g.fail(writ.GuestOutputLimit, tooMuchOutput)
		}
		g.output = g.take(stack)
	}})
	add(importKey{abi.ModuleCore, abi.CoreFail}, hostFunc{"ii", "", func(_ context.Context, g *guest, stack []uint64) {
		g.needStep(abi.CoreFail)
		if stack[1] > MaxFailure {
			g.fail(writ.GuestOutputLimit, "the failure is larger than 8 KiB")
		}
		failure, trace, err := parseFailure(g.take(stack))
		if err != nil {
			g.fail(writ.GuestOutputBad, err.Error())
		}
		g.failure, g.told = failure, trace
	}})
}

// toolFunctions are writ:tool/v1, one for each tool of this host.
func toolFunctions(add func(importKey, hostFunc)) {
	for _, tool := range writ.Tools() {
		add(importKey{abi.ModuleTool, tool.Name}, hostFunc{"ii", "l", func(ctx context.Context, g *guest, stack []uint64) {
			g.needTools(tool.Name)
			var reply *writ.ToolReply
			if stack[1] > MaxArguments {
				g.count()
				reply = refusal(abi.FailTooLarge, "the arguments are larger than 4 MiB")
			} else {
				reply = g.callTool(ctx, tool.Name, g.take(stack))
			}
			status := uint64(abi.ToolOK)
			g.result = reply.Body
			if reply.Failure != nil {
				status = abi.ToolFailed
				g.result = mustJSON(reply.Failure)
			}
			stack[0] = status<<32 | uint64(uint32(len(g.result)))
		}})
	}
}

// needStep ends a run that asks for the step's data before there is a step: what
// _initialize leaves behind must not depend on it.
func (g *guest) needStep(what string) {
	if g.phase == initialising {
		g.misuse("the guest used " + what + " while it was being initialised")
	}
}

// needTools is needStep for tools, which a describe does not have either.
func (g *guest) needTools(tool string) {
	if g.phase != running {
		g.misuse("the guest called " + tool + " outside an action")
	}
}

// hand copies data to the guest's buffer (ptr, cap) and gives its full length.
func (g *guest) hand(data []byte, stack []uint64) uint64 {
	n := min(uint64(len(data)), stack[1])
	to, ok := g.memory.own.view(uint32(stack[0]), uint32(n))
	if !ok {
		g.misuse("the guest gave a pointer outside its memory")
	}
	g.spend(int(n))
	copy(to, data)
	return uint64(len(data))
}

// take copies what stands at (ptr, len).
func (g *guest) take(stack []uint64) []byte {
	b, ok := g.memory.own.view(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		g.misuse("the guest gave a pointer outside its memory")
	}
	g.spend(len(b))
	return append([]byte{}, b...)
}

// count accounts for one tool call.
func (g *guest) count() {
	if g.calls >= g.limits.Calls {
		g.fail(writ.GuestCallLimit, "the step's number of tool calls is used up")
	}
	g.calls++
}

// callTool is the one way out of the sandbox. raw is a copy of the arguments.
func (g *guest) callTool(ctx context.Context, tool string, raw []byte) *writ.ToolReply {
	g.count()
	if !g.run.Permit.Live() {
		g.end(ending{err: writ.Errorf(writ.CodeForbidden, "tool "+tool, "the permit of this step was withdrawn")})
	}
	args, err := canon.JSON(raw)
	if err != nil {
		return refusal(abi.FailInvalid, "arguments: "+err.Error())
	}
	held := g.executing
	g.yield()
	reply, err := g.run.Gate.Call(ctx, tool, args)
	back := ctx.Err() == nil && (!held || g.resume(ctx))
	if err == nil && reply == nil {
		err = writ.Errorf(writ.CodeInternal, "tool "+tool, "the gate gave no answer")
	}
	if err != nil {
		g.end(ending{err: err})
	}
	// Also where the call took the rest of the time: so a replay ends here as well.
	g.spend(len(reply.Body))
	if !back {
		panic(errEnded) // its time is over: what ctx says is the reason
	}
	g.ambient.until(reply.Now)
	return reply
}

func refusal(code, message string) *writ.ToolReply {
	return &writ.ToolReply{Failure: &abi.Failure{Code: code, Message: message}}
}

// mustJSON encodes types of this package's own choosing, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// failureCode is what programs compare: short and without surprises in logs.
var failureCode = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,63}$`)

func parseFailure(raw []byte) (failure *abi.Failure, trace string, err error) {
	if err := canon.CheckJSON(raw); err != nil {
		return nil, "", errors.New("the guest's failure: " + err.Error())
	}
	var f abi.Failure
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, "", errors.New("the guest's failure is not an object with code, message and fix")
	}
	if !failureCode.MatchString(f.Code) {
		return nil, "", errors.New("the guest's failure has no code of lower-case letters, digits, _, . and -")
	}
	var told abi.GuestFailure // read apart: whatever stands there, the failure is the same
	if json.Unmarshal(raw, &told) != nil {
		told.Trace = nil
	}
	return &f, plainTrace(told.Trace), nil
}
