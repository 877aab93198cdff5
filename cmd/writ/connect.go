package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/contract"
)

// closeTimeout is how long an open home may take to come to rest.
const closeTimeout = 60 * time.Second

// connect finds who serves the operations: a daemon named by --server, the one
// that listens on the home's socket, or the home itself, opened by this process.
func (a *app) connect(ctx context.Context) (contract.Caller, func(), error) {
	token, err := a.token()
	if err != nil {
		return nil, nil, err
	}
	options, err := a.clientOptions(token)
	if err != nil {
		return nil, nil, err
	}
	if options.URL != "" || options.Socket != "" {
		client, err := api.NewClient(options)
		if err != nil {
			return nil, nil, err
		}
		return client, client.Close, nil
	}
	return a.openDirectly(ctx, token)
}

// clientOptions name the daemon, where there is one.
func (a *app) clientOptions(token string) (api.ClientOptions, error) {
	config, err := a.config.clientTLS()
	if err != nil {
		return api.ClientOptions{}, err
	}
	options := api.ClientOptions{URL: a.config.Server, Token: token, TLS: config}
	if socket := filepath.Join(a.config.Home, socketFile); options.URL == "" && listens(socket) {
		options.Socket = socket
	}
	return options, nil
}

// token is the caller's: a flag, the environment, a login, or the file that
// `writ init` wrote into the home.
func (a *app) token() (string, error) {
	if a.config.Token != "" {
		return a.config.Token, nil
	}
	if a.config.ClientCert != "" {
		return "", nil // the certificate is the credential
	}
	if session, err := a.session(); session != "" || err != nil {
		return session, err
	}
	raw, err := os.ReadFile(filepath.Join(a.config.Home, credentialsFile))
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", usage("%s: %s", filepath.Join(a.config.Home, credentialsFile), plainCause(err)).WithFix("give --token, or run as the user that owns the home")
	}
	return strings.TrimSpace(string(raw)), nil
}

func listens(socket string) bool {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func (a *app) openDirectly(ctx context.Context, token string) (contract.Caller, func(), error) {
	h, err := openHome(ctx, a.config, a.logger(hclog.Warn), a.clock)
	if err != nil {
		return nil, nil, err
	}
	done := func() {
		// A command that began something sees it through: nothing runs after it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := h.engine.Rest(ctx); err == nil {
			err = h.close(ctx)
			if err != nil {
				a.exit(err)
			}
			return
		}
		_ = h.close(ctx)
	}
	principal, err := h.authenticate(ctx, token)
	if err != nil {
		done()
		return nil, nil, err
	}
	return &direct{home: h, principal: principal}, done, nil
}

func (h *home) authenticate(ctx context.Context, token string) (*writ.Principal, error) {
	if token == "" {
		return h.identity.Peer(ctx, uint32(os.Getuid()))
	}
	return h.identity.Token(ctx, token)
}

// direct calls the operations of a home that this process has opened.
type direct struct {
	home      *home
	principal *writ.Principal
}

// Call implements contract.Caller.
func (d *direct) Call(ctx context.Context, key string, in json.RawMessage) (json.RawMessage, error) {
	return d.home.dispatcher.Call(writ.WithPrincipal(ctx, d.principal), key, in)
}

func (a *app) logger(least hclog.Level) hclog.Logger {
	level := hclog.LevelFromString(a.config.LogLevel)
	if level == hclog.NoLevel || (level < least && a.config.origins["log.level"] == "default") {
		level = least
	}
	return hclog.New(&hclog.LoggerOptions{
		Name: "writ", Level: level, Output: a.err, JSONFormat: a.config.LogFormat == "json",
	})
}
