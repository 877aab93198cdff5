// Package loopback is what the small providers of the examples have in common: they
// listen on this machine alone, and send what happened with a signature.
package loopback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

// Main runs a program until it has ended or is interrupted, and exits with its code.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Serve serves until ctx ends. It prints one line, "listening on URL", when it can be
// used.
func Serve(ctx context.Context, addr string, handler http.Handler, stdout io.Writer) error {
	listener, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	server := newServer(handler)
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	fmt.Fprintf(stdout, "listening on http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Start serves on a port that is free until stop is called.
func Start(ctx context.Context, handler http.Handler) (url string, stop func() error, err error) {
	listener, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := newServer(handler)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("%s is no loopback address: use 127.0.0.1", addr), listener.Close())
	}
	return listener, nil
}

// Respond writes JSON that people can read.
func Respond(w http.ResponseWriter, status int, body any) {
	raw, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(raw, '\n'))
}

// maxAct is more than any person writes.
const maxAct = 64 << 10

// Act is an endpoint at which whoever is at the demo acts as a person: it takes JSON and
// says what came of it.
func Act[In, Out any](act func(ctx context.Context, in *In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in := new(In)
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAct))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(in); err != nil {
			Respond(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		out, err := act(r.Context(), in)
		if err != nil {
			Respond(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
			return
		}
		Respond(w, http.StatusOK, out)
	}
}
