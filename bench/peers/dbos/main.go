// Command dbos serves one durable workflow of three steps over HTTP, on DBOS
// Transact for Go. It exists to be measured.
package main

import (
	"context"
	"database/sql"
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

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // registers the driver
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address of the HTTP listener")
	postgres := flag.String("postgres", "", "URL of the system database in PostgreSQL")
	file := flag.String("sqlite", "", "file of the system database in SQLite, with synchronous=FULL")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *addr, *postgres, *file); err != nil {
		fmt.Fprintln(os.Stderr, "dbos:", err)
		os.Exit(1)
	}
}

// threeSteps adds one in each of its steps.
func threeSteps(ctx dbos.Context, n int) (int, error) {
	for range 3 {
		before := n
		after, err := dbos.RunAsStep(ctx, func(context.Context) (int, error) { return before + 1, nil })
		if err != nil {
			return 0, err
		}
		n = after
	}
	return n, nil
}

func serve(ctx context.Context, addr, postgres, file string) error {
	conf := dbos.Config{
		DatabaseURL: postgres, AppName: "bench",
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if file != "" {
		pool, err := openSQLite(file)
		if err != nil {
			return err
		}
		defer func() { _ = pool.Close() }()
		conf.SQLiteSystemDB = pool
	}
	d, err := dbos.NewContext(ctx, conf)
	if err != nil {
		return err
	}
	dbos.RegisterWorkflow(d, threeSteps)
	if err := dbos.Launch(d); err != nil {
		return err
	}
	defer dbos.Shutdown(d, 5*time.Second)

	mux := http.NewServeMux()
	mux.HandleFunc("POST /run", answer(func(n int) (int, error) {
		handle, err := dbos.RunWorkflow(d, threeSteps, n)
		if err != nil {
			return 0, err
		}
		return handle.GetResult()
	}))
	mux.HandleFunc("POST /floor", answer(func(n int) (int, error) { return n + 3, nil }))
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

// openSQLite is what DBOS does with a URL, but for synchronous=FULL. With a URL,
// DBOS 1.8.0 sets NORMAL on the pool's first connection whatever the URL says,
// and one client alone is always served by that one.
func openSQLite(file string) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", file+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=foreign_keys(ON)"+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(8)
	pool.SetMaxIdleConns(4)
	pool.SetConnMaxLifetime(time.Hour)
	return pool, nil
}

// answer takes a number as the body and gives one.
func answer(do func(int) (int, error)) http.HandlerFunc {
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
		out, err := do(n)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintln(w, out)
	}
}
