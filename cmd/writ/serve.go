package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/contract"
)

// memoryLimit is what the garbage collector aims to stay under where GOMEMLIMIT
// says nothing: Badger takes gigabytes on a large machine if it is let.
const memoryLimit = 1 << 30

// collectAt is how much the heap may grow, in percent, before it is collected,
// where GOGC says nothing. A host keeps little and makes much that dies at once:
// with Go's 100 it would collect a 20 MiB heap dozens of times a second.
const collectAt = 400

func (a *app) serveCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use: "serve", Short: "Run the host daemon", Args: cobra.NoArgs,
		Long: `Serves the operations over the home's Unix socket and, with --listen, over HTTP.
It stops on an interrupt or SIGTERM: what is under way is finished or resumed by
the next start.`,
		Example: "  writ serve\n  writ serve --listen 127.0.0.1:7823",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if listen != "" {
				a.config.Listen = listen
			}
			return a.serve(cmd.Context())
		},
	}
	c.Flags().StringVar(&listen, "listen", "", "address of the HTTP listener (setting listen)")
	return c
}

func (a *app) serve(ctx context.Context) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	log := a.logger(hclog.Info)
	h, err := openHome(ctx, a.config, log, a.clock)
	if err != nil {
		return err
	}
	err = a.serveHome(ctx, h, log)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, h.close(closing))
}

func (a *app) serveHome(ctx context.Context, h *home, log hclog.Logger) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	logins, err := h.logins()
	if err != nil {
		return err
	}
	if h.tls, err = newServerTLS(h.config, h.clock, h.log.Named("tls")); err != nil {
		return err
	}
	listeners, err := a.listen(h.tls)
	if err != nil {
		return err
	}
	server := api.NewServer(api.Options{
		Caller: h.dispatcher, Auth: h.identity, Traces: h.journal, Logins: logins, Hosts: a.config.hosts(), Routes: h.channelRoutes(),
		Log: log.Named("api"), Clock: a.clock, MaxBody: maxCall, Findings: h.drift.Counts,
		Ready: func(context.Context) error { return h.journal.Accepting() },
	})
	count := server.Decided // before the first deadline can pass
	h.decided.Store(&count)
	if err := h.engine.Recover(ctx); err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	if err := h.channels.Recover(ctx); err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	if err := h.baseline.Begin(ctx, itself(writ.DefaultTenant)); err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	defer h.runChannels(ctx)()
	go h.sweep(ctx)
	go h.giveBack(ctx)
	go h.watchTrust(ctx)
	go func() {
		select {
		case err := <-h.poisoned:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	for _, l := range listeners {
		log.Info("listening", "address", l.Addr().String())
	}
	err = server.Serve(ctx, listeners...)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		// Nothing after a failed commit may be acknowledged: end and recover.
		return writ.Errorf(writ.CodeUnavailable, "journal", "a commit failed: %w", cause).WithFix("look at the disk, then start again: what was acknowledged is kept")
	}
	log.Info("stopped")
	return err
}

// sweepEvery is how often retention is applied. Retention counts in days.
const sweepEvery = time.Hour

func (h *home) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if _, err := h.journal.Sweep(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("retention could not be applied", "code", writ.CodeOf(err))
		}
		if err := h.secrets.Tidy(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("old secrets could not be forgotten", "code", writ.CodeOf(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// quietAfter is how long nothing must have been written for the daemon to give
// back memory: what it was given for a burst of work is mostly garbage by then,
// which the collector would leave until the heap grows again.
const quietAfter = 2 * time.Second

func (h *home) giveBack(ctx context.Context) {
	ticker := time.NewTicker(quietAfter)
	defer ticker.Stop()
	// What the start needed goes first.
	started, given := false, h.journal.Durable()
	for last := given; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := h.journal.Durable()
		if now == last && (now != given || !started) {
			debug.FreeOSMemory()
			started, given = true, now
		}
		last = now
	}
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// listen opens the socket, which its owner alone may use, and the HTTP listener.
func (a *app) listen(secure *serverTLS) ([]net.Listener, error) {
	path := filepath.Join(a.config.Home, socketFile)
	if listens(path) {
		return nil, writ.Errorf(writ.CodeConflict, "socket "+path, "another daemon serves this home").WithFix("stop it first, or use it: commands find it by themselves")
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, usage("%s: %s", path, plainCause(err))
	}
	socket, err := net.Listen("unix", path)
	if err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, "socket "+path, "%w", err).WithFix("a socket's path may have 107 bytes at most: choose a shorter --home")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	if a.config.Listen == "" {
		return []net.Listener{socket}, nil
	}
	tcp, err := net.Listen("tcp", a.config.Listen)
	if err != nil {
		return nil, errors.Join(writ.Errorf(writ.CodeUnavailable, "listen "+a.config.Listen, "%w", err).WithFix("choose another address with --listen"), socket.Close())
	}
	if secure != nil {
		tcp = tls.NewListener(tcp, secure.listener())
	}
	return []net.Listener{socket, tcp}, nil
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check the home and say what to do about what is wrong", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks := a.checks(cmd.Context())
			bad := false
			for _, c := range checks {
				bad = bad || !c.OK
			}
			err := a.print(checks, func(t *table) {
				for _, c := range checks {
					word := "ok"
					if !c.OK {
						word = "failed"
					}
					t.row(word, c.Name, c.Message)
				}
				t.flush()
				for _, c := range checks {
					if !c.OK {
						t.line("%s: %s", c.Name, clean(c.Fix))
					}
				}
			})
			if err == nil && bad {
				return exitError(exitFailed)
			}
			return err
		},
	}
}

// check is one finding of the doctor.
type check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

func (a *app) checks(ctx context.Context) []check {
	out := []check{a.checkMode("."), a.checkMode("keys")}
	_, err := readKeys(a.config.Home)
	out = append(out, finding("host key", "readable", err))
	if token, err := a.token(); err != nil || token == "" {
		out = append(out, check{Name: "token", Message: "none", Fix: "run `writ init`, or give --token"})
	}
	status, err := a.systemStatusOf(ctx)
	out = append(out, finding("host", "answers", err))
	if err == nil {
		for _, c := range status.Checks {
			out = append(out, check{Name: c.Name, OK: c.OK, Message: c.Message, Fix: c.Fix})
		}
		out = append(out, a.checkSecrets(ctx)...)
	}
	return out
}

// checkSecrets asks those who keep secrets.
func (a *app) checkSecrets(ctx context.Context) []check {
	list, err := call(ctx, a, contract.SecretList, &contract.SecretListInput{Check: true})
	if err != nil {
		return []check{finding("secrets", "", err)}
	}
	out := []check{}
	for i := range list.Items {
		s := &list.Items[i]
		switch {
		case s.Failure != nil:
			out = append(out, check{Name: "secret " + s.Name, Message: s.Provider + ": " + s.Failure.Message, Fix: s.Failure.Fix})
		case s.Shadowed:
			out = append(out, check{
				Name: "secret " + s.Name, Message: "is stored here and not used: the configuration gives its name to a provider",
				Fix: "writ secret remove " + s.Name + " removes what is stored",
			})
		}
	}
	if len(out) == 0 {
		out = append(out, check{Name: "secrets", OK: true, Message: "can be read"})
	}
	return out
}

func finding(name, fine string, err error) check {
	if err == nil {
		return check{Name: name, OK: true, Message: fine}
	}
	c := check{Name: name, Message: err.Error()}
	var e *writ.Error
	if errors.As(err, &e) {
		c.Fix = e.Fix
	}
	return c
}

// checkMode holds that others cannot read the home.
func (a *app) checkMode(sub string) check {
	path := filepath.Join(a.config.Home, sub)
	name := "directory " + path
	info, err := os.Stat(path)
	if err != nil {
		return check{Name: name, Message: plainCause(err), Fix: "run `writ init`"}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return check{Name: name, Message: fmt.Sprintf("others may read it (mode %o)", info.Mode().Perm()), Fix: "chmod 700 " + path}
	}
	return check{Name: name, OK: true, Message: "private"}
}
