// Command restate serves one durable handler of three steps to a Restate
// server, on Restate's SDK for Go. It exists to be measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"
)

// Bench is the service; its name is part of the ingress's path.
type Bench struct{}

// Run adds one in each of its steps.
func (Bench) Run(ctx restate.Context, n int) (int, error) {
	for range 3 {
		before := n
		after, err := restate.Run(ctx, func(restate.RunContext) (int, error) { return before + 1, nil })
		if err != nil {
			return 0, err
		}
		n = after
	}
	return n, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address of the listener that the Restate server calls")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logs := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})
	s := server.NewRestate().WithLogger(logs, false).Bind(restate.Reflect(Bench{}))
	if err := s.Start(ctx, *addr); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "restate:", err)
		os.Exit(1)
	}
}
