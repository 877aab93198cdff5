// Command fakegithub serves the part of GitHub's REST API that the issue triage
// example uses, on a loopback address, and shows at /_state what was done to it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run serves until ctx ends. It prints one line, "listening on URL", when it can
// be used. Exit codes: 0 ended, 1 failed, 2 usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fakegithub", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:0", "loopback address to listen on")
	token := flags.String("token", "", "bearer token that requests must carry (required)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := serve(ctx, *addr, *token, stdout); err != nil {
		fmt.Fprintln(stderr, "fakegithub:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, addr, token string, stdout io.Writer) error {
	if token == "" {
		return errors.New("no token: set -token, so that a request without one can be refused")
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("%s is no loopback address: use 127.0.0.1", addr), listener.Close())
	}
	server := &http.Server{Handler: newGitHub(token), ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	fmt.Fprintf(stdout, "listening on http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
