// Command worker serves two durable workflows of three steps over HTTP, on
// Temporal's SDK for Go: client and worker in one process. It exists to be
// measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const queue = "bench"

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address of the HTTP listener")
	server := flag.String("server", "127.0.0.1:7233", "address of the Temporal server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *addr, *server); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func addOne(_ context.Context, n int) (int, error) { return n + 1, nil }

// activities runs each step as an activity: a task that the server hands out.
func activities(ctx workflow.Context, n int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	for range 3 {
		if err := workflow.ExecuteActivity(ctx, addOne, n).Get(ctx, &n); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// localActivities runs each step in the worker, within a workflow task.
func localActivities(ctx workflow.Context, n int) (int, error) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{ScheduleToCloseTimeout: 10 * time.Second})
	for range 3 {
		if err := workflow.ExecuteLocalActivity(ctx, addOne, n).Get(ctx, &n); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func serve(ctx context.Context, addr, address string) error {
	c, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{MaxConcurrentWorkflowTaskPollers: 8, MaxConcurrentActivityTaskPollers: 8})
	w.RegisterWorkflow(activities)
	w.RegisterWorkflow(localActivities)
	w.RegisterActivity(addOne)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /activities", answer(c, activities))
	mux.HandleFunc("POST /local", answer(c, localActivities))
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// dial waits until the server, which is started at the same time, answers.
func dial(ctx context.Context, address string) (client.Client, error) {
	options := client.Options{
		HostPort:          address,
		Logger:            temporallog.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))),
		ConnectionOptions: client.ConnectionOptions{GetSystemInfoTimeout: time.Second},
	}
	for {
		c, err := client.DialContext(ctx, options)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// answer takes a number as the body and gives what the workflow made of it.
func answer(c client.Client, flow any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(io.LimitReader(r.Body, 64))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		run, err := c.ExecuteWorkflow(r.Context(), client.StartWorkflowOptions{TaskQueue: queue}, flow, n)
		if err == nil {
			err = run.Get(r.Context(), &n)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintln(w, n)
	}
}
