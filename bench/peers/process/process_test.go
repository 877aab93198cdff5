//go:build linux

package process

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestStopLeavesNoDescendant(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// The shell ignores the polite signal's effect on its child, which would live on.
	p, err := Start(Spec{
		Name: "parent", Args: []string{"sh", "-c", `trap 'exit 0' TERM; (trap '' TERM; sleep 1000 & wait) & echo ready > ` + pipe + `; wait`},
		Log: filepath.Join(dir, "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	ready, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ready.Close() }()
	if line, _ := bufio.NewReader(ready).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the parent said %q", line)
	}
	if err := p.Ended(); err != nil {
		t.Fatal(err)
	}
	if memory, err := Memory([]*Process{p}); err != nil || memory <= 0 {
		t.Errorf("memory %d, %v", memory, err)
	} else if resident, err := Resident([]*Process{p}); err != nil || resident < memory {
		t.Errorf("resident %d, less than %d, %v", resident, memory, err)
	}
	pids, err := Tree([]*Process{p})
	if err != nil || len(pids) < 2 {
		t.Fatalf("tree %v, %v", pids, err)
	}
	p.Stop()
	if p.Ended() == nil {
		t.Error("a stopped process does not say so")
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d lives on", pid)
		}
	}
}

// alive is false for a process that has ended and that nobody has waited for.
func alive(pid int) bool {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(raw), ") Z ")
}

func TestEndedShowsTheLog(t *testing.T) {
	p, err := Start(Spec{Name: "broken", Args: []string{"sh", "-c", "echo no such database >&2; exit 3"}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	p.Stop()
	if err := p.Ended(); err == nil || !strings.Contains(err.Error(), "no such database") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}

func TestSumCalls(t *testing.T) {
	const summary = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.020000          10      2000           msync
  9.00    0.002000          10       200         1 fdatasync
  1.00    0.000100          10        10           openat
------ ----------- ----------- --------- --------- ----------------
100.00    0.022100          10      2210         1 total
`
	for text, want := range map[string]int{"": 0, summary: 2200} {
		if got, err := sumCalls(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
	}
	if _, err := sumCalls(strings.NewReader(" 1 2 3 many msync\n")); err == nil {
		t.Error("a summary that is none was read")
	}
}
