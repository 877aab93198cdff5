//go:build linux || darwin

package host

import (
	"fmt"
	"os/exec"
	"syscall"
)

// errFileTooLarge is what a write beyond the limit of a file's size answers.
const errFileTooLarge = syscall.EFBIG

// setApart gives the process a group of its own: a signal for this program does
// not reach it, and it is killed with all that it may have started.
func setApart(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
}

// limitProcess bounds this process for good: soft and hard limit are one. The
// limit of memory is that of writable memory, not of address space, of which a Go
// program reserves more than it uses; macOS does not hold it.
func limitProcess(job *compileJob) error {
	for _, limit := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"core file", syscall.RLIMIT_CORE, 0},
		{"CPU time", syscall.RLIMIT_CPU, uint64(job.CPU)},
		{"file size", syscall.RLIMIT_FSIZE, uint64(job.Code)},
		{"memory", syscall.RLIMIT_DATA, uint64(job.Memory) + writableMemory()},
	} {
		bound := syscall.Rlimit{Cur: limit.value, Max: limit.value}
		var now syscall.Rlimit
		if err := syscall.Getrlimit(limit.resource, &now); err != nil {
			return fmt.Errorf("limit of %s: %w", limit.name, err)
		}
		if now.Max < bound.Max { // the system's own limit is lower: it stays
			bound.Cur, bound.Max = now.Max, now.Max
		}
		if err := syscall.Setrlimit(limit.resource, &bound); err != nil {
			return fmt.Errorf("limit of %s: %w", limit.name, err)
		}
	}
	return nil
}
