//go:build linux

// Package process runs the processes of a peer and looks at them: their memory
// and the syncs they make. Nothing that it starts outlives the one who started.
package process

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	Name string
	Args []string            // program and arguments
	Env  []string            // in addition to this process's
	Log  string              // file that takes its output
	User *syscall.Credential // nil: this process's
	Stop syscall.Signal      // asks it to end; 0: SIGTERM
}

// stopTime is what a database may take to write its last checkpoint.
const stopTime = 20 * time.Second

// Process is a running program in a process group of its own.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; set before done is closed
}

// Start runs a program. It dies with this process.
func Start(s Spec) (*Process, error) {
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.Args[0], s.Args[1:]...)
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Dir = "/" // another user may not be able to enter this process's
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: s.User}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	p := &Process{spec: s, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the number of the process, whose group has the same.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is nil while the process runs; afterwards it says how it ended, with the
// last lines of its log.
func (p *Process) Ended() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	raw, _ := os.ReadFile(p.spec.Log) // without it the error says less
	const lastBytes = 2000
	return fmt.Errorf("%s ended (%v): %s", p.spec.Name, p.err, bytes.TrimSpace(raw[max(0, len(raw)-lastBytes):]))
}

// Stop asks the process to end, waits, and kills what is left of its group.
func (p *Process) Stop() {
	pid := p.cmd.Process.Pid
	signal := p.spec.Stop
	if signal == 0 {
		signal = syscall.SIGTERM
	}
	_ = p.cmd.Process.Signal(signal) // fails where it has ended, which is what is wanted
	select {
	case <-p.done:
	case <-time.After(stopTime):
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	for groupRuns(pid) { // what holds a port or a file must be gone before the next start
		time.Sleep(time.Millisecond)
	}
	<-p.done
}

// Kill ends the process and its group at once, as a crash would.
func (p *Process) Kill() {
	pid := p.cmd.Process.Pid
	_ = syscall.Kill(-pid, syscall.SIGKILL) // fails where it has ended, which is what is wanted
	for groupRuns(pid) {
		time.Sleep(time.Millisecond)
	}
	<-p.done
}

// Run runs a program to its end and returns what it wrote.
func Run(ctx context.Context, s Spec) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.Args[0], s.Args[1:]...)
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.User}
	if s.User != nil {
		cmd.Dir = "/"
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(s.Args, " "), err, bytes.TrimSpace(out))
	}
	return out, nil
}

// Tree lists the processes and their descendants.
func Tree(roots []*Process) ([]int, error) {
	all, err := table()
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range all {
		children[e.parent] = append(children[e.parent], e.pid)
	}
	var pids []int
	for _, p := range roots {
		pids = append(pids, p.cmd.Process.Pid)
	}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids, nil
}

// entry is a line of the table of processes.
type entry struct {
	pid, parent, group int
	ended              bool // and nobody has waited for it
}

func table() ([]entry, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it is gone
		}
		// The name in parentheses may hold anything; state, parent and group follow it.
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(fields) < 3 {
			continue
		}
		e := entry{ended: fields[0] == "Z" || fields[0] == "X"}
		var errs [3]error
		e.pid, errs[0] = strconv.Atoi(filepath.Base(filepath.Dir(file)))
		e.parent, errs[1] = strconv.Atoi(fields[1])
		e.group, errs[2] = strconv.Atoi(fields[2])
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// groupRuns says whether a process of the group has not ended.
func groupRuns(group int) bool {
	all, err := table()
	return err == nil && slices.ContainsFunc(all, func(e entry) bool { return e.group == group && !e.ended })
}

// Memory is the resident memory of the processes and their descendants in
// bytes; a page that several share counts once (the sum of their PSS).
func Memory(roots []*Process) (int64, error) { return sum(roots, "smaps_rollup", "Pss:") }

// Resident is the same without sharing: the sum of their RSS.
func Resident(roots []*Process) (int64, error) { return sum(roots, "status", "VmRSS:") }

// sum adds up a figure in kB of a file in /proc, in bytes.
func sum(roots []*Process, file, field string) (int64, error) {
	pids, err := Tree(roots)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return 0, err
		}
		for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
			rest, found := strings.CutPrefix(lines.Text(), field)
			if !found {
				continue
			}
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err != nil {
				return 0, err
			}
			total += kib << 10
		}
	}
	return total, nil
}
