package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// CompileLimits bound the process of one compilation. Zero members are defaults.
type CompileLimits struct {
	// CPU time of all its threads, in whole seconds; 0: 1 minute. A stock Go program
	// of 14 MB takes some 15 s.
	CPU abi.Duration
	// Wall is how long it may last; 0: 5 minutes, which leaves a machine that does
	// much else its share.
	Wall abi.Duration
	// Memory that it may write to, beyond what a process of this program starts with;
	// 0: 1 GiB. A Go skill of 3 MB takes 65 MiB.
	Memory abi.Bytes
	// Code is the size of the compiled form; 0: 256 MiB, some 8 times MaxModuleBytes.
	Code abi.Bytes
}

func (l CompileLimits) orDefaults() CompileLimits {
	if l.CPU == 0 {
		l.CPU = abi.Duration(time.Minute)
	}
	if l.Wall == 0 {
		l.Wall = abi.Duration(5 * time.Minute)
	}
	if l.Memory == 0 {
		l.Memory = 1 << 30
	}
	if l.Code == 0 {
		l.Code = 256 << 20
	}
	return l
}

func (l CompileLimits) valid() bool {
	return l.CPU >= 0 && l.CPU.Std()%time.Second == 0 && l.Wall >= 0 && l.Memory >= 0 && l.Code >= 0
}

// compileJob stands as one line of JSON before the module's bytes.
type compileJob struct {
	Module int   `json:"module"` // bytes
	CPU    int64 `json:"cpu"`    // seconds
	Memory int64 `json:"memory"`
	Code   int64 `json:"code"`
	// Metered: the code is not to look at the clock by itself.
	Metered bool `json:"metered"`
}

// What a compiling process answers: compileReady as soon as its limits hold, then
// for people why it gave no code; and how it ends.
const (
	compileReady = "ready\n"

	compileRefused = 3 // the module's fault
	compileFault   = 4 // the machine's fault
	// goFailed is how the Go runtime ends: out of memory, or a panic of the compiler.
	goFailed = 2
	killed   = -1 // by a signal
)

const (
	// maxReply bounds what is kept of the two streams: a refusal is one line, a Go
	// traceback of some use has a few kilobytes.
	maxReply = 8 << 10
	// reapDelay is how long a killed process may keep its pipes open.
	reapDelay = 10 * time.Second
)

// compileChild compiles in processes of their own. They run only this program and
// never the module's code.
type compileChild struct {
	command []string
	limits  CompileLimits
	metered bool
}

// compile has wazero's file for the module written below dir. What goes wrong is
// a *moduleError where another try would end the same way, else CodeUnavailable.
func (c *compileChild) compile(ctx context.Context, module []byte, dir string) error {
	timed, cancel := context.WithTimeout(ctx, c.limits.Wall.Std())
	defer cancel()
	command := exec.CommandContext(timed, c.command[0], c.command[1:]...)
	command.Dir, command.Env = dir, []string{}
	reply, complaint := &head{limit: maxReply}, &head{limit: maxReply}
	command.Stdout, command.Stderr = reply, complaint
	command.WaitDelay = reapDelay
	setApart(command)
	// The pipe stays open until the process has ended: its end tells the process
	// that nobody waits for it any more.
	stdin, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return compileUnavailable("cannot be started", err)
	}
	// A process that died early breaks the pipe, and Wait says why it died.
	_ = c.send(stdin, module)
	err = command.Wait()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return compileUnavailable("was stopped with the sandbox", ctx.Err())
	case timed.Err() != nil:
		return compileUnavailable(fmt.Sprintf("did not end within %s", c.limits.Wall.Std()), err)
	}
	return c.ended(command.ProcessState, reply, fmt.Errorf("%w: %s", err, complaint))
}

func (c *compileChild) send(to io.Writer, module []byte) error {
	job, err := json.Marshal(compileJob{
		Module: len(module), CPU: int64(c.limits.CPU.Std() / time.Second), Memory: int64(c.limits.Memory), Code: int64(c.limits.Code), Metered: c.metered,
	})
	if err == nil {
		_, err = to.Write(append(job, '\n'))
	}
	if err == nil {
		_, err = to.Write(module)
	}
	return err
}

// ended says why a process that ended by itself, or by the system's hand, gave no
// code. One that did not come as far as holding its limits proves nothing.
func (c *compileChild) ended(state *os.ProcessState, reply *head, cause error) error {
	said, began := strings.CutPrefix(reply.String(), compileReady)
	used := state.UserTime() + state.SystemTime()
	switch code := state.ExitCode(); {
	case began && code == compileRefused:
		return &moduleError{said}
	// The kernel kills by counting ticks and reports what was really used, which on a
	// busy machine may be much less.
	case began && (used >= c.limits.CPU.Std()*9/10 || code == killed && used >= c.limits.CPU.Std()/2):
		return &moduleError{fmt.Sprintf("it takes more than %s of CPU time to compile", c.limits.CPU.Std())}
	case began && code == goFailed:
		return &moduleError{fmt.Sprintf("the compiler failed on it, or took more than %d MiB of memory", c.limits.Memory>>20)}
	case code == compileFault:
		return compileUnavailable("failed", fmt.Errorf("%w: %s", cause, said))
	}
	return compileUnavailable("was killed or is not one", cause)
}

func compileUnavailable(what string, err error) error {
	return &writ.Error{
		Code: writ.CodeUnavailable, Op: "sandbox: compile", Message: "the process that compiles modules " + what, Err: err,
		Fix: "see that the host has memory, CPU time and processes to spare, then run the step again",
	}
}

// head keeps the first bytes of a stream.
type head struct {
	bytes.Buffer
	limit int
}

// Write implements io.Writer; it takes everything.
func (h *head) Write(b []byte) (int, error) {
	h.Buffer.Write(b[:min(len(b), h.limit-h.Len())])
	return len(b), nil
}

var errNoJob = errors.New("no job for compiling came in")
