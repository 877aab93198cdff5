package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// NewSandbox gives the sandbox that runs guests on wazero and serves abi.V1,
// abi.Extism1 and abi.ExtismMCP1 itself. CodeInvalid where the options do not fit together,
// CodeUnavailable where CacheDir cannot be used. Runs are CodeUnavailable where the
// process that compiles a module cannot do so for a reason that is not the module's.
//
// Every run gets an instance of its own, with its own memory, clock and
// randomness, so nothing leaks from one to the next. A guest's time is bounded at
// every loop and call; what it does between two of them is bounded by its size.
func NewSandbox(o Options) (writ.Sandbox, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	n, err := newNative(&o)
	if err != nil {
		return nil, err
	}
	return newSandbox(n, &o), nil
}

func newSandbox(c compiler, o *Options) *sandbox {
	return &sandbox{programs: newPrograms(c, o), slots: make(slots, o.slots()), output: o.GuestOutput}
}

type sandbox struct {
	programs *programs
	slots    slots
	output   func(GuestLine)
}

// Run implements writ.Sandbox. Besides its promises: CodeInvalid where the run
// itself is not one (no digest, gate or known interface, limits beyond their
// maxima), CodeCancelled and CodeTimeout where ctx ends first, and whatever the
// gate answers as an error, unchanged.
func (s *sandbox) Run(ctx context.Context, run *writ.GuestRun) (*writ.GuestResult, error) {
	limits, err := checkRun(run)
	if err != nil {
		return nil, err
	}
	g := newGuest(run, limits, s.slots)
	g.console.tell = s.output
	entry := abi.EntryRun
	if run.ABI == abi.Extism1 {
		entry = run.Action
	}
	return s.execute(ctx, g, running, entry)
}

func checkRun(run *writ.GuestRun) (abi.Limits, error) {
	op := "run of " + string(run.Digest)
	scope := run.Permit.Scope()
	if !run.Permit.Live() || scope.Skill.Module != run.Digest {
		return abi.Limits{}, writ.Errorf(writ.CodeForbidden, op, "there is no live permit for this module").
			WithFix("mint a permit for the step from its verdict")
	}
	if !run.Digest.Valid() || run.Gate == nil || (run.ABI != abi.V1 && !plugged(run.ABI)) {
		return abi.Limits{}, writ.Errorf(writ.CodeInvalid, op, "a run needs a digest, a gate and the interface %s, %s or %s", abi.V1, abi.Extism1, abi.ExtismMCP1)
	}
	return EffectiveLimits(run.Limits)
}

// Describe implements writ.Sandbox, also for an Extism plug-in that speaks MCP: its
// list of tools is its description. CodeInvalid where the module cannot be run
// here, CodeSkillFailed where the guest fails or describes nothing.
func (s *sandbox) Describe(ctx context.Context, module []byte) (*abi.Description, error) {
	digest := canon.SHA256(module)
	op := "describe " + string(digest)
	limits, err := EffectiveLimits(abi.Limits{})
	if err != nil {
		return nil, err
	}
	run := &writ.GuestRun{Digest: digest, Module: module, ABI: describedBy(module), Start: epoch}
	result, err := s.execute(ctx, newGuest(run, limits, s.slots), describing, abi.EntryDescribe)
	if err != nil {
		return nil, err
	}
	if f := result.Failure; f != nil {
		code := map[string]writ.Code{writ.GuestNoEntrypoint: writ.CodeNotFound, writ.GuestModuleBad: writ.CodeInvalid}[f.Code]
		if code == "" {
			code = writ.CodeSkillFailed
		}
		return nil, &writ.Error{Code: code, Op: op, Message: f.Message, Fix: f.Fix, Details: f}
	}
	if run.ABI == abi.ExtismMCP1 {
		d, err := mcpDescription(result.Output)
		if err != nil {
			return nil, &writ.Error{Code: writ.CodeSkillFailed, Op: op, Message: err.Error(), Err: err}
		}
		return d, nil
	}
	var description abi.Description
	if err := json.Unmarshal(result.Output, &description); err != nil {
		return nil, &writ.Error{Code: writ.CodeSkillFailed, Op: op, Message: "its description does not have the form of one", Err: err}
	}
	return &description, nil
}

// describedBy is the interface through which a module describes itself. What is no
// module fails later, with the reason.
func describedBy(module []byte) string {
	m, err := inspect(module)
	if err == nil && speaksMCP(factsOf(m).exports) {
		return abi.ExtismMCP1
	}
	return abi.V1
}

// Preparer is a sandbox that compiles ahead; both of this package are.
type Preparer interface {
	// Prepare compiles the module for runs with the limits, so that the first of them
	// does not wait for it. CodeInvalid where the module cannot be run here, otherwise
	// as Run. Where ctx ends first the compilation goes on.
	Prepare(ctx context.Context, module []byte, limits abi.Limits) error
}

// Prepare implements Preparer.
func (s *sandbox) Prepare(ctx context.Context, module []byte, limits abi.Limits) error {
	limits, err := EffectiveLimits(limits)
	if err != nil {
		return err
	}
	digest := canon.SHA256(module)
	_, release, err := s.programs.acquire(ctx, formOf(digest, &limits), module)
	if err == nil {
		release()
		return nil
	}
	result, err := newGuest(&writ.GuestRun{Digest: digest}, limits, s.slots).unprepared(ctx, err)
	if err != nil {
		return err
	}
	return writ.Errorf(writ.CodeInvalid, "module "+string(digest), "%s", result.Failure.Message).WithFix("build the module again, or install another version")
}

// Close implements writ.Sandbox. It waits for runs as long as ctx lasts:
// CodeTimeout where some are left.
func (s *sandbox) Close(ctx context.Context) error { return s.programs.close(ctx) }

// execute takes a guest from its module to its result.
func (s *sandbox) execute(ctx context.Context, g *guest, p phase, entry string) (*writ.GuestResult, error) {
	program, release, err := s.programs.acquire(ctx, formOf(g.run.Digest, &g.limits), g.run.Module)
	if err != nil {
		return g.unprepared(ctx, err)
	}
	defer release()
	if g.run.ABI == abi.ExtismMCP1 {
		entry = mcpEntry(program.facts().exports, p)
	}
	if !program.facts().hasEntry(g.run.ABI, entry) {
		return g.failed(writ.GuestNoEntrypoint, fmt.Sprintf("the module does not export %s without parameters and with an i32 result", entry)), nil
	}
	if program.facts().memory > g.memory.limit {
		return g.resultOf(outOfMemory()), nil
	}
	if ctx.Err() != nil || (!program.facts().metered && !g.resume(ctx)) {
		return nil, contextError(ctx)
	}
	defer g.yield()
	defer g.flush()
	timed, cancel := program.timed(ctx, g)
	defer cancel()
	result, err := g.live(withGuest(timed, g), program, p, entry)
	if g.ending == nil && ctx.Err() != nil && (err != nil || result.Failure != nil) {
		return nil, contextError(ctx)
	}
	return result, err
}

// live is a guest's life: made, initialised, called once.
func (g *guest) live(ctx context.Context, program program, p phase, entry string) (result *writ.GuestResult, err error) {
	// A guest must not be able to take the host down, whatever it finds.
	defer func() {
		switch r := recover(); {
		case r == nil:
		case r == errBlock: // an output or error that is none
			result, err = g.failed(writ.GuestTrapped, "the guest trapped"), nil
		default:
			err = &writ.Error{Code: writ.CodeInternal, Op: "sandbox", Message: "the engine failed", Err: fmt.Errorf("panic: %v", r)}
		}
	}()
	instance, err := program.instance(ctx, g)
	if err != nil || g.ending != nil {
		return g.stillborn(err)
	}
	defer instance.close(context.WithoutCancel(ctx))
	g.begin(p)
	var input []byte
	if plugged(g.run.ABI) {
		input = g.pluginInput(entry)
	}
	status, fault := instance.call(ctx, entry, input)
	defer func() {
		if result != nil && result.Failure != nil { // nil while the host itself panics
			g.tellTrace(fault, program.facts())
		}
	}()
	status, failure, err := g.settle(status, fault)
	if err != nil {
		return nil, err
	}
	if failure != nil {
		return g.resultOf(failure), nil
	}
	if plugged(g.run.ABI) {
		output, message := instance.plugged(context.WithoutCancel(ctx))
		return g.pluginEnded(status, output, message), nil
	}
	return g.ended(status), nil
}

// stillborn is the result of a guest that did not get through its initialisation.
func (g *guest) stillborn(fromEngine error) (*writ.GuestResult, error) {
	_, failure, err := g.settle(0, fromEngine)
	switch {
	case err != nil:
		return nil, err
	case failure != nil:
		return g.resultOf(failure), nil
	case g.memory.refused:
		return g.resultOf(outOfMemory()), nil
	}
	return g.failed(writ.GuestTrapped, "the guest exited while it was being initialised"), nil
}

// unprepared is the result of a module that cannot be run.
func (g *guest) unprepared(ctx context.Context, err error) (*writ.GuestResult, error) {
	var bad *moduleError
	switch {
	case errors.Is(err, errMinimum):
		return g.resultOf(outOfMemory()), nil
	case errors.As(err, &bad):
		return g.failed(writ.GuestModuleBad, bad.message), nil
	case errors.As(err, new(*writ.Error)):
		return nil, err
	case ctx.Err() != nil:
		return nil, contextError(ctx)
	}
	return nil, &writ.Error{Code: writ.CodeInternal, Op: "module " + string(g.run.Digest), Message: "it cannot be prepared", Err: err}
}

func contextError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &writ.Error{Code: writ.CodeTimeout, Op: "sandbox", Message: "the caller's time is over", Err: ctx.Err()}
	}
	return &writ.Error{Code: writ.CodeCancelled, Op: "sandbox", Message: "the run was cancelled", Err: ctx.Err()}
}
