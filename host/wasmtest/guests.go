package wasmtest

import (
	"encoding/json"

	"github.com/writ-run/writ/abi"
)

// Guest is a module of abi.V1 with the imports of its core; further imports may
// be added until the first function.
type Guest struct {
	*Module
	Input, Action, Result, Output, Fail uint32
}

// NewGuest imports the whole core and declares a memory of the given pages.
func NewGuest(minimum, maximum uint32) *Guest {
	m := New()
	g := &Guest{Module: m}
	g.Input = m.Import(abi.ModuleCore, abi.CoreInput, "ii", "i")
	g.Action = m.Import(abi.ModuleCore, abi.CoreAction, "ii", "i")
	g.Result = m.Import(abi.ModuleCore, abi.CoreResult, "ii", "i")
	g.Output = m.Import(abi.ModuleCore, abi.CoreOutput, "ii", "")
	g.Fail = m.Import(abi.ModuleCore, abi.CoreFail, "ii", "")
	m.Memory(minimum, maximum)
	return g
}

// Tool imports a tool.
func (g *Guest) Tool(name string) uint32 { return g.Import(abi.ModuleTool, name, "ii", "l") }

// Run adds the entry. Locals 0 and 1 are i32, 2 is i64.
func (g *Guest) Run(code ...[]byte) *Guest {
	g.Func(Func{Export: abi.EntryRun, Results: "i", Locals: "iil", Code: Code(code...)})
	return g
}

// Export adds an exported function like Run.
func (g *Guest) Export(name string, code ...[]byte) *Guest {
	g.Func(Func{Export: name, Results: "i", Locals: "iil", Code: Code(code...)})
	return g
}

// ReadInput is code that puts the input at address 0, its length in local 0, and
// grows memory where it must.
func (g *Guest) ReadInput() []byte {
	return Code(
		I32(0), I32(0), Call(g.Input), Set(0),
		Get(0), I32(16), Op(I32ShrU), Grow(), Op(Drop),
		I32(0), Get(0), Call(g.Input), Op(Drop),
	)
}

// Say is code that outputs the text and ends with success. It takes the memory
// from address 4096 on.
func (g *Guest) Say(output string) []byte {
	g.Data(4096, []byte(output))
	return Code(I32(4096), I32(int32(len(output))), Call(g.Output), I32(0))
}

// Echo is a module of abi.V1 that copies its input to its output.
func Echo() []byte {
	g := NewGuest(1, 0)
	return g.Run(g.ReadInput(), I32(0), Get(0), Call(g.Output), I32(0)).Bytes()
}

// CallTool is code that calls the tool with the input as arguments and hands on
// what it answers, a failure as the action's failure.
func (g *Guest) CallTool(tool uint32) []byte {
	return Code(
		g.ReadInput(),
		I32(0), Get(0), Call(tool), Set(2),
		Get(2), Op(I32WrapI64), Set(1),
		Get(1), I32(16), Op(I32ShrU), Grow(), Op(Drop),
		I32(0), Get(1), Call(g.Result), Op(Drop),
		Get(2), I64(32), Op(I64ShrU), Op(I32WrapI64),
		If(I32(0), Get(1), Call(g.Fail), I32(1), Op(Return)),
		I32(0), Get(1), Call(g.Output), I32(0),
	)
}

// ToolCaller is a module of abi.V1 that calls the tool with its input as the
// arguments and outputs the result; the tool's failure becomes its own.
func ToolCaller(tool string) []byte {
	g := NewGuest(1, 0)
	t := g.Tool(tool)
	return g.Run(g.CallTool(t)).Bytes()
}

// Fail is a module of abi.V1 that fails with the code.
func Fail(code string) []byte {
	failure, err := json.Marshal(abi.Failure{Code: code, Message: "the guest says no"})
	if err != nil {
		panic(err) // two strings
	}
	g := NewGuest(1, 1)
	g.Data(0, failure)
	return g.Run(I32(0), I32(int32(len(failure))), Call(g.Fail), I32(1)).Bytes()
}

// Loop is a module of abi.V1 that never ends.
func Loop() []byte { return NewGuest(1, 1).Run(Repeat(Branch(0)), I32(0)).Bytes() }
