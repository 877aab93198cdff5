// Command fakegithub serves the part of GitHub's REST API that the triage examples use,
// on a loopback address, shows at /_state what was done to it, and sends webhooks of
// what people do at /_people.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/writ-run/writ/examples/issue-triage/fakegithub/github"
	"github.com/writ-run/writ/examples/loopback"
)

func main() { loopback.Main(run) }

// run serves until ctx ends. It prints one line, "listening on URL", when it can
// be used. Exit codes: 0 ended, 1 failed, 2 usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fakegithub", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:0", "loopback address to listen on")
	token := flags.String("token", "", "bearer token that requests must carry (required)")
	webhook := flags.String("webhook", "", "URL to which webhooks are sent; empty: none are")
	secret := flags.String("secret", "", "secret that webhooks are signed with")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	err := errors.New("no token: set -token, so that a request without one can be refused")
	if *webhook != "" && *secret == "" {
		err = errors.New("no secret: set -secret, so that webhooks are signed")
	} else if *token != "" {
		server := github.New(github.Options{Token: *token, Secret: *secret, Webhook: *webhook})
		err = errors.Join(loopback.Serve(ctx, *addr, server, stdout), server.Close())
	}
	if err != nil {
		fmt.Fprintln(stderr, "fakegithub:", err)
		return 1
	}
	return 0
}
