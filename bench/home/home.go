//go:build linux

// Package home makes homes as an operator does, with Writ's own command line: a
// publisher that is trusted, skills that it has signed, and the daemon.
package home

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/writ-run/writ/bench/peers/process"
)

// conformance is where the skills are whose action `echo` answers its input, seen
// from the root of the repository.
const conformance = "examples/conformance"

// Publisher may sign what is installed.
const Publisher = "conformance"

// Home is a home and the key of its publisher.
type Home struct {
	program string
	dir     string // holds the home and what belongs to it
}

// New makes a home in dir, which it creates. The program is writ, by its absolute
// path.
func New(ctx context.Context, program, dir string) (*Home, error) {
	h := &Home{program: program, dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	passphrase := filepath.Join(dir, "passphrase")
	if err := os.WriteFile(passphrase, []byte("benchmark\n"), 0o600); err != nil {
		return nil, err
	}
	return h, errors.Join(
		h.command(ctx, "init", "--name", "bench", "--passphrase-file", passphrase),
		h.command(ctx, "skill", "key", "--out", h.key()),
		h.command(ctx, "trust", "add", Publisher, "--key", h.key()+".pub"),
	)
}

func (h *Home) path() string { return filepath.Join(h.dir, "home") }
func (h *Home) key() string  { return filepath.Join(h.dir, "publisher") }

// Socket is where the daemon answers.
func (h *Home) Socket() string { return filepath.Join(h.path(), "writ.sock") }

func (h *Home) command(ctx context.Context, args ...string) error {
	_, err := process.Run(ctx, process.Spec{Args: append([]string{h.program, "--home", h.path()}, args...)})
	return err
}

// Build packs the conformance skill of a language, unsigned, into a file. The
// module in Go is built from its source.
func Build(ctx context.Context, program, language, file string) error {
	nobodys := filepath.Join(filepath.Dir(file), "none") // the settings of whoever runs this are not asked
	args := []string{program, "--home", nobodys, "skill", "build", filepath.Join(conformance, language), "--to", file}
	if language != "go" {
		args = append(args, "--module", filepath.Join(conformance, "built", language+".wasm"))
	}
	_, err := process.Run(ctx, process.Spec{Args: args})
	return err
}

// Install signs the bundles, where they are, and installs them.
func (h *Home) Install(ctx context.Context, bundles ...string) error {
	for _, bundle := range bundles {
		if err := h.command(ctx, "skill", "sign", bundle, "--key", h.key()+".key"); err != nil {
			return err
		}
	}
	return h.command(ctx, append([]string{"skill", "install"}, bundles...)...)
}

// Token is the operator's.
func (h *Home) Token() (string, error) {
	raw, err := os.ReadFile(filepath.Join(h.path(), "credentials"))
	return strings.TrimSpace(string(raw)), err
}

// Daemon says how `writ serve` is run; flags are its own.
func (h *Home) Daemon(flags ...string) process.Spec {
	return process.Spec{
		Name: "writ", Args: append([]string{h.program, "--home", h.path(), "serve"}, flags...),
		Env: []string{"WRIT_LOG_LEVEL=warn"}, Log: filepath.Join(h.dir, "daemon.log"),
	}
}

// Channel adds webhook/bench, whose secret is the given one, and whose events each run
// a draft.
func (h *Home) Channel(ctx context.Context, secret, draft string) error {
	trigger := filepath.Join(h.dir, "trigger.yaml")
	value := filepath.Join(h.dir, "secret")
	if err := errors.Join(os.WriteFile(trigger, []byte(draft), 0o600), os.WriteFile(value, []byte(secret), 0o600)); err != nil {
		return err
	}
	return errors.Join(
		h.command(ctx, "secret", "set", "bench-hook", "--file", value),
		h.command(ctx, "token", "create", "--kind", "agent", "--name", "bench"),
		h.command(ctx, "channel", "add", "webhook/bench", "--secret", "bench-hook", "--member", "*=agent:bench", "--on", "note.written="+trigger),
	)
}
