//go:build linux

// Command peers measures Writ beside other engines for durable execution, in
// turns within one run, and prints the ratios. Each peer is started alone, asked
// for executions of three steps over HTTP on loopback by the same load
// generator, and stopped before the next one. `make bench-peers` installs and
// builds what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/writ-run/writ/bench/report"
)

// options are the flags.
type options struct {
	built, program, data, out, docs, postgres string
	rounds                                    int
	span, warmUp, idle                        time.Duration
}

func main() {
	var o options
	var seconds float64
	flag.StringVar(&o.built, "built", filepath.Join("build", "peers"), "directory with the built peers")
	flag.StringVar(&o.program, "writ", filepath.Join("bin", "writ"), "the writ binary")
	flag.StringVar(&o.data, "data", os.TempDir(), "directory of the temporary data; it must be on a disk")
	flag.StringVar(&o.out, "out", filepath.Join("bench", "out", "peers.json"), "file of the rows")
	flag.StringVar(&o.docs, "docs", "docs", "directory with performance.md, whose section is written again; empty: none")
	flag.StringVar(&o.postgres, "postgres", "", "directory of PostgreSQL's programs (default: Debian's newest)")
	flag.IntVar(&o.rounds, "rounds", 3, "turns of each peer")
	flag.Float64Var(&seconds, "seconds", 3, "time of each measurement")
	flag.Parse()
	o.span, o.warmUp, o.idle = time.Duration(seconds*float64(time.Second)), 500*time.Millisecond, 5*time.Second

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	if o.rounds < 1 || o.span <= 0 {
		return errors.New("-rounds and -seconds must be positive")
	}
	f, err := newField(ctx, o)
	if err != nil {
		return err
	}
	defer f.close()
	results, err := f.measure(ctx)
	if err != nil {
		return err
	}
	rows := results.rows()
	if err := report.WriteJSON(o.out, rows); err != nil {
		return err
	}
	if o.docs != "" {
		if err := results.document(o.docs); err != nil {
			return err
		}
	}
	return report.Print(os.Stdout, rows)
}
