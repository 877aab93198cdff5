//go:build linux

package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// CountSyncs counts the calls of msync, fsync and fdatasync that the processes
// and their descendants make while work runs. Each system call costs them two
// stops meanwhile: nothing that is timed may run under it.
func CountSyncs(ctx context.Context, roots []*Process, work func() error) (int, error) {
	pids, err := Tree(roots)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "syncs-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	summary := filepath.Join(dir, "summary")
	args := []string{"-f", "-c", "-e", "trace=msync,fsync,fdatasync", "-o", summary}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	tracer := exec.CommandContext(ctx, "strace", args...)
	tracer.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	words, err := tracer.StderrPipe()
	if err != nil {
		return 0, err
	}
	if err := tracer.Start(); err != nil {
		return 0, err
	}
	attached := awaitAttached(words, len(pids))
	if attached == nil {
		err = work()
	}
	_ = tracer.Process.Signal(os.Interrupt) // it detaches and writes its summary
	_, _ = io.Copy(io.Discard, words)
	_ = tracer.Wait() // ends by the signal
	if err := errors.Join(attached, err); err != nil {
		return 0, err
	}
	f, err := os.Open(summary)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	return sumCalls(f)
}

// awaitAttached reads strace's messages until each process is attached.
func awaitAttached(words io.Reader, processes int) error {
	var said []string
	for lines := bufio.NewScanner(words); lines.Scan(); {
		said = append(said, lines.Text())
		// "strace: Process 12 attached", or "... attached with 9 threads".
		if strings.Contains(lines.Text(), " attached") {
			if processes--; processes == 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("strace did not attach: %s", strings.Join(said, "; "))
}

// sumCalls adds up the column "calls" of strace's summary. Without a call the
// summary is empty.
func sumCalls(summary io.Reader) (int, error) {
	total := 0
	lines := bufio.NewScanner(summary)
	for lines.Scan() {
		// % time, seconds, usecs/call, calls, [errors,] syscall
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		switch fields[len(fields)-1] {
		case "msync", "fsync", "fdatasync":
			calls, err := strconv.Atoi(fields[3])
			if err != nil {
				return 0, fmt.Errorf("summary of strace: %q", lines.Text())
			}
			total += calls
		}
	}
	return total, lines.Err()
}
