// Command fakeslack is a small Slack on a loopback address: it takes what a bot says,
// shows it at /_state, and has people press, say and command at /_people.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/writ-run/writ/examples/loopback"
	"github.com/writ-run/writ/examples/triage-bot/fakeslack/slack"
)

func main() { loopback.Main(run) }

// run serves until ctx ends. It prints one line, "listening on URL", when it can be
// used. Exit codes: 0 ended, 1 failed, 2 usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fakeslack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:0", "loopback address to listen on")
	o := slack.Options{}
	flags.StringVar(&o.Token, "token", "", "bot token that requests must carry (required)")
	flags.StringVar(&o.Secret, "secret", "", "signing secret of the app (required)")
	flags.StringVar(&o.URL, "url", "", "request URL of the app, to which is sent what people do")
	flags.StringVar(&o.Channel, "channel", "C0TRIAGE", "channel that there is")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	err := errors.New("no token or no secret: set -token and -secret, so that what has neither can be refused")
	if o.Token != "" && o.Secret != "" {
		err = loopback.Serve(ctx, *addr, slack.New(&o), stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "fakeslack:", err)
		return 1
	}
	return 0
}
