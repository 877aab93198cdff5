//go:build linux

// Command loopback checks keyless signatures and cosign with the real programs: a
// Fulcio, a timestamp authority and a transparency log on loopback, an OIDC issuer
// in this process, cosign beside them. Nothing reaches another machine.
//
//	go run ./registry/keyless/loopback -writ bin/writ -bin build/keyless           keyless
//	go run ./registry/keyless/loopback -writ bin/writ -bin build/keyless -interop  cosign, each way
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
}

// session runs commands and shows them.
type session struct {
	dir, writ, bin, source string
}

func run(ctx context.Context) error {
	writ := flag.String("writ", "bin/writ", "the binary")
	bin := flag.String("bin", "build/keyless", "where fulcio, timestamp-server, rekor-server-posix and cosign are")
	interop := flag.Bool("interop", false, "cosign, each way, in place of the keyless run")
	flag.Parse()
	dir, err := os.MkdirTemp("", "writ-loopback-")
	if err != nil {
		return err
	}
	s := &session{dir: dir, writ: absolute(*writ), bin: absolute(*bin), source: absolute(".")}
	if *interop {
		err = s.interop(ctx)
	} else {
		err = s.keyless(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w (files are left in %s)", err, dir)
	}
	fmt.Println("\nall as promised")
	return os.RemoveAll(dir)
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// passphrase opens every key of the session.
const passphrase = "a passphrase of tests"

// longestOutput is how many lines of a command are shown.
const longestOutput = 24

// wants is how a command must end: its exit code, and text that it must print.
type wants struct {
	code int
	text string
}

// do runs a program in the session's directory, prints it and its output, and
// holds it to what is wanted.
func (s *session) do(ctx context.Context, want wants, args ...string) error {
	fmt.Printf("\n$ %s\n", strings.Join(args, " "))
	switch args[0] {
	case "writ": // as the demo's person would type it
		args = append([]string{s.writ, "--home", filepath.Join(s.dir, "home")}, args[1:]...)
	case "cosign":
		args = append([]string{filepath.Join(s.bin, "cosign")}, args[1:]...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(cmd.Environ(), "COSIGN_PASSWORD="+passphrase, "WRIT_HOME=", "WRIT_TOKEN=")
	output, err := cmd.CombinedOutput()
	lines := strings.SplitAfter(strings.TrimSuffix(string(output), "\n"), "\n")
	for i, line := range lines {
		if i == longestOutput {
			fmt.Printf("  ... %d more lines", len(lines)-i)
			break
		}
		fmt.Print("  ", line)
	}
	fmt.Println()
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if code != want.code || !bytes.Contains(output, []byte(want.text)) {
		return fmt.Errorf("%s ended with %d, want %d with %q", filepath.Base(args[0]), code, want.code, want.text)
	}
	return nil
}

// step is one command of a story.
type step struct {
	want wants
	args []string
}

func (s *session) steps(ctx context.Context, all ...step) error {
	for _, one := range all {
		if err := s.do(ctx, one.want, one.args...); err != nil {
			return err
		}
	}
	return nil
}

func writ(args ...string) step { return step{args: append([]string{"writ"}, args...)} }

func (one step) ends(code int, text string) step {
	one.want = wants{code, text}
	return one
}

// begin makes a home and a bundle that nobody has signed.
func (s *session) begin(ctx context.Context) error {
	c := filepath.Join(s.source, "examples", "conformance")
	if err := os.WriteFile(filepath.Join(s.dir, "pass"), []byte(passphrase+"\n"), 0o600); err != nil {
		return err
	}
	return s.steps(ctx,
		writ("init", "--name", "ada", "--passphrase-file", "pass"),
		writ("skill", "build", filepath.Join(c, "c"), "--module", filepath.Join(c, "built", "c.wasm"), "--to", "unsigned.skill"),
	)
}

// copied gives a file another name.
func (s *session) copied(from, to string) error {
	data, err := os.ReadFile(filepath.Join(s.dir, from))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, to), data, 0o600)
}
