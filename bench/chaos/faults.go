//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/writ-run/writ/bench/peers/process"
)

// playErrors lets system calls fail from some moment on: whatever they were to
// make durable is not. The daemon must stop acknowledging and end, and what it
// had acknowledged must be there at its next start.
func (s *stage) playErrors(ctx context.Context) error {
	const name = "errors"
	before := s.tally.soFar()
	home, err := s.model.copy(filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	d, err := s.model.over(home)
	if err != nil {
		return err
	}
	t := newTraffic(s, name, d)
	t.mayFail = true // where the write to a tool's socket fails, the step does
	t.start(ctx, clients)
	chance := s.draw("errors")
	hits := 0
	for range errorRounds {
		for _, calls := range []string{"fsync,fdatasync,msync", "write,pwrite64"} {
			f := fault{stage: s, traffic: t, home: home, calls: calls, life: time.Duration(chance.Int64N(int64(500 * time.Millisecond)))}
			if err == nil {
				err = f.play(ctx)
			}
			hits += f.hits
		}
	}
	t.halt()
	if err != nil {
		return err
	}
	last, err := s.serve(home)
	if err != nil {
		return err
	}
	defer last.Stop()
	if err := last.ready(ctx); err != nil {
		s.tally.breakPromise(name, "the daemon does not start again: %v", err)
		return nil
	}
	s.tally.count(name, "lives with EIO, on syncs and on writes in turn", 2*errorRounds)
	s.tally.count(name, "calls that failed", hits)
	err = s.settleAndCheck(ctx, t)
	s.tally.count(name, "executions that failed with their request", t.failed)
	s.tally.close(name, before)
	return err
}

// errorRounds is how often each kind of call is broken.
const errorRounds = 4

// fault is one life in which, from some moment on, calls fail with EIO.
type fault struct {
	*stage
	traffic *traffic
	home    string
	calls   string
	life    time.Duration // before
	hits    int
}

// lifeUnderFault is how long a daemon may go on when nothing is durable any more.
const lifeUnderFault = 15 * time.Second

func (f *fault) play(ctx context.Context) error {
	if err := os.Remove(f.faultLog(f.home)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d, err := f.serve(f.home)
	if err != nil {
		return err
	}
	defer d.Kill()
	if err := errors.Join(d.ready(ctx), pause(ctx, f.life)); err != nil {
		return err
	}
	tracer, err := f.breakCalls(d)
	if err != nil {
		return err
	}
	defer tracer.Kill()
	deadline := time.Now().Add(lifeUnderFault)
	for d.Ended() == nil && time.Now().Before(deadline) {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	ended := d.Ended()
	if ended == nil {
		_ = syscall.Kill(d.PID(), syscall.SIGQUIT) // its log shows where it hangs
		_ = pause(ctx, time.Second)
	}
	if err := d.kill(ctx); err != nil {
		return err
	}
	tracer.Stop() // it writes what it has seen
	if f.hits, err = f.injected(); err != nil {
		return err
	}
	fmt.Printf("   EIO on %s: %d calls failed, %s\n", f.calls, f.hits, fate(ended))
	switch {
	case f.hits == 0:
		f.tally.breakPromise(f.traffic.name, "EIO on %s: no call failed, so nothing was tried", f.calls)
	case ended == nil:
		f.tally.breakPromise(f.traffic.name, "EIO on %s: %d calls failed and the daemon went on", f.calls, f.hits)
	}
	return nil
}

// breakCalls attaches strace to each thread: its counts are of one thread each,
// so that a number of calls to let through would mean little.
func (f *fault) breakCalls(d *daemon) (*process.Process, error) {
	return process.Start(process.Spec{Name: "strace", Log: f.home + ".log", Stop: syscall.SIGINT, Args: append(
		[]string{f.strace, "-f", "-qq", "-o", f.faultLog(f.home), "-p", strconv.Itoa(d.PID())},
		inject(f.calls, "inject="+f.calls+":error=EIO")...,
	)})
}

func fate(ended error) string {
	if ended == nil {
		return "the daemon went on"
	}
	first, _, _ := strings.Cut(ended.Error(), "\n")
	return "ended: " + first[:min(len(first), 300)]
}

// injected counts the calls that strace made fail.
func (f *fault) injected() (int, error) {
	log, err := os.Open(f.faultLog(f.home))
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	n := 0
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "(INJECTED)") {
			n++
		}
	}
	return n, lines.Err()
}
