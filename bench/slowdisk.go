//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// slowSync is what a disk without a cache takes for a sync, roughly.
const slowSync = 10 * time.Millisecond

// rates are executions a second of three steps.
type rates struct {
	One  float64 `json:"one"`
	Many float64 `json:"many"` // 32 clients
}

// slowDisk measures how far executions share their syncs: this program runs
// again under strace, which holds each sync back. The lab of this run is not used.
func (l *lab) slowDisk(ctx context.Context, span time.Duration) ([]row, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, fmt.Errorf("strace, which slows the disk down, was not found: install it: %w", err)
	}
	delay := strconv.FormatInt(slowSync.Microseconds(), 10)
	child := exec.CommandContext(ctx, strace, "-f", "--seccomp-bpf", "-o", os.DevNull,
		"-e", "trace=msync,fsync,fdatasync", "-e", "inject=msync,fsync,fdatasync:delay_exit="+delay,
		self, "-rates", "-seconds", strconv.Itoa(max(1, int(span.Seconds()))))
	child.Stderr = os.Stderr
	raw, err := child.Output()
	if err != nil {
		return nil, fmt.Errorf("with a slow disk: %w", err)
	}
	var r rates
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	return []row{
		{"3 steps, one request, each sync 10 ms slower; 1 client", r.One, "/s", 0, "higher"},
		{"3 steps, one request, each sync 10 ms slower; 32 clients", r.Many, "/s", 0, "higher"},
		{"the same, 32 clients over one", r.Many / r.One, "x", 10, "higher"},
	}, nil
}

// printRates measures in a lab of its own and writes one line of JSON.
func printRates(ctx context.Context, o options) error {
	l, err := newLab(ctx, labOptions{})
	if err != nil {
		return err
	}
	defer l.close(ctx)
	threeSteps := func(ctx context.Context) error { return l.whole(ctx, threeSteps) }
	var r rates
	if r.One, err = parallel(ctx, o.span, 1, threeSteps); err != nil {
		return err
	}
	if r.Many, err = parallel(ctx, o.span, 32, threeSteps); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}
