//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/writ-run/writ/bench/peers/process"
)

const (
	// callTimeout is far more than any answer takes on a slow disk.
	callTimeout = 60 * time.Second
	// startTimeout is far more than a start takes, under strace on a busy machine.
	startTimeout = 90 * time.Second
	// slowSync makes each sync take what it does on a disk without a cache.
	slowSync = "inject=fsync,fdatasync,msync:delay_exit=10000"
)

func lookStrace() (string, error) {
	path, err := exec.LookPath("strace")
	if err != nil {
		return "", fmt.Errorf("strace, which slows and breaks system calls, was not found: run `make tools`: %w", err)
	}
	return path, nil
}

// daemon is one life of `writ serve`.
type daemon struct {
	*process.Process
	home string
}

// serve starts the daemon on a home; faults are strace's injections.
func (s *stage) serve(home string, faults ...string) (*daemon, error) {
	args := []string{s.binary, "--home", home, "serve"}
	if len(faults) > 0 {
		args = append(append([]string{s.strace, "-f", "--seccomp-bpf", "-qq", "-o", s.faultLog(home)}, faults...), args...)
	}
	p, err := process.Start(process.Spec{Name: "writ", Args: args, Env: []string{"WRIT_LOG_LEVEL=warn"}, Log: home + ".log"})
	return &daemon{p, home}, err
}

// kill ends the daemon as a crash would and returns when the system has given up
// its lock: of a process with many threads under strace, that takes a moment.
func (d *daemon) kill(ctx context.Context) error {
	d.Kill()
	lock, err := os.Open(filepath.Join(d.home, "lock"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // it had not come that far
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	for syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// faultLog is where strace notes what it traced.
func (s *stage) faultLog(home string) string { return home + ".strace" }

// inject are the arguments for one injection.
func inject(calls, what string) []string {
	return []string{"-e", "trace=" + calls, "-e", what}
}

// ready returns when the socket answers.
func (d *daemon) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(d.home, "writ.sock"))
		if err == nil {
			return conn.Close()
		}
		if ended := d.Ended(); ended != nil {
			return ended
		}
		if pause(ctx, 2*time.Millisecond) != nil {
			return errors.Join(errors.New("the daemon did not answer in time"), err)
		}
	}
}

// pause waits, or returns the error of a context that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
