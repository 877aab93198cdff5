// Command demo tells the story of the triage bot: two channels, who decides where, and
// that it is derived again. It runs the real binary and a real daemon, with a small GitHub
// and a small Slack on loopback, and fails where any step is not as it should be.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/writ-run/writ/examples/stage"
	"github.com/writ-run/writ/examples/triage-bot/story"
)

// budget is far more than the story needs: some fifteen seconds on two cores.
const budget = 3 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, budget)
	o := &story.Options{Options: stage.Options{Out: os.Stdout}}
	flag.StringVar(&o.Binary, "writ", "bin/writ", "the binary")
	flag.StringVar(&o.Source, "source", ".", "the repository's root")
	flag.DurationVar(&o.Patience, "patience", 0, "how long Slack waits for an answer; 0: its 3 s")
	flag.Parse()
	err := story.Tell(ctx, o)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, stage.Paint(os.Stderr, "31", "\nThe demo failed: ")+err.Error())
		os.Exit(1)
	}
}
