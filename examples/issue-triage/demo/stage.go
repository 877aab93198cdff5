package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const githubToken = "ghp_demo_0123456789abcdefghij"

// stage holds what the story needs: a directory, a daemon, a GitHub.
type stage struct {
	binary, source, dir string
	github              *exec.Cmd
	daemon              *exec.Cmd
	url                 string
	agent               string // the agent's token
	execution           string
	stdin               io.Reader
	last                []byte // what the last command printed
}

func newStage(binary, source string) (*stage, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s is not built: run `make build`", binary)
	}
	dir, err := os.MkdirTemp("", "writ-demo-")
	if err != nil {
		return nil, err
	}
	return &stage{binary: path, source: source, dir: dir}, nil
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) close() error {
	var errs []error
	for _, cmd := range []*exec.Cmd{s.daemon, s.github} {
		if cmd != nil && cmd.ProcessState == nil {
			errs = append(errs, cmd.Process.Kill())
			_ = cmd.Wait()
		}
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

func paint(color, text string) string {
	info, err := os.Stdout.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func (s *stage) say(format string, args ...any) {
	fmt.Println(paint("2", "   "+fmt.Sprintf(format, args...)))
}

// writ runs a command and shows it with what it prints.
func (s *stage) writ(ctx context.Context, want int, args ...string) error {
	return s.command(ctx, true, want, args)
}

// quiet runs a command and shows nothing.
func (s *stage) quiet(ctx context.Context, want int, args ...string) error {
	return s.command(ctx, false, want, args)
}

// asAgent runs a command with the agent's token.
func (s *stage) asAgent(ctx context.Context, want int, args ...string) error {
	return s.command(ctx, true, want, args, "WRIT_TOKEN="+s.agent)
}

func (s *stage) command(ctx context.Context, show bool, want int, args []string, env ...string) error {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env = append(append(os.Environ(), "WRIT_HOME="+s.path("home"), "WRIT_TOKEN="), env...)
	if len(env) == 0 {
		cmd.Env = append(os.Environ(), "WRIT_HOME="+s.path("home"))
	}
	cmd.Stdin, s.stdin = s.stdin, nil
	out, err := cmd.CombinedOutput()
	s.last = out
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if show {
		fmt.Println(paint("33", " $ writ "+strings.Join(shorten(args, s.dir), " ")))
		for line := range strings.Lines(string(out)) {
			fmt.Print("   " + line)
		}
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		return fmt.Errorf("writ %s: exit %d, want %d\n%s", strings.Join(args, " "), got, want, out)
	}
	if show && want != 0 {
		s.say("(exit %d, as it should be)", want)
	}
	return nil
}

func shorten(args []string, dir string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = strings.ReplaceAll(a, dir+"/", "")
	}
	return out
}

func (s *stage) expect(text string) error {
	if !bytes.Contains(s.last, []byte(text)) {
		return fmt.Errorf("the output does not say %q:\n%s", text, s.last)
	}
	return nil
}

// member reads a string member of the JSON that the last command printed.
func (s *stage) member(name string) string {
	var document map[string]any
	if json.Unmarshal(s.last, &document) != nil {
		return ""
	}
	value, _ := document[name].(string)
	return value
}

func (s *stage) pendingDigest(ctx context.Context) (string, error) {
	if err := s.quiet(ctx, 0, "approval", "list", "--execution", s.execution, "-o", "json"); err != nil {
		return "", err
	}
	var list struct {
		Items []struct {
			Digest string `json:"digest"`
		} `json:"items"`
	}
	if err := json.Unmarshal(s.last, &list); err != nil || len(list.Items) != 1 {
		return "", fmt.Errorf("one approval should be pending: %s", s.last)
	}
	return list.Items[0].Digest, nil
}

func (s *stage) startGitHub(ctx context.Context) (string, error) {
	binary := s.path("fakegithub")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./examples/issue-triage/fakegithub")
	build.Dir = s.source
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building fakegithub: %w\n%s", err, out)
	}
	s.github = exec.CommandContext(ctx, binary, "-token", githubToken)
	stdout, err := s.github.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := s.github.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		return "", fmt.Errorf("fakegithub did not start: %q", line)
	}
	s.url = url
	return url, nil
}

// startDaemon returns when the daemon's socket answers.
func (s *stage) startDaemon(ctx context.Context) error {
	s.daemon = exec.CommandContext(ctx, s.binary, "serve")
	s.daemon.Env = append(os.Environ(), "WRIT_HOME="+s.path("home"))
	log, err := os.OpenFile(s.path("daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s.daemon.Stdout, s.daemon.Stderr = log, log
	began := time.Now()
	if err := errors.Join(s.daemon.Start(), log.Close()); err != nil {
		return err
	}
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", filepath.Join(s.dir, "home", "writ.sock"))
		if err == nil {
			s.say("the daemon answers after %d ms", time.Since(began).Milliseconds())
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(s.path("daemon.log"))
			return fmt.Errorf("the daemon did not start: %s", text)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *stage) killDaemon() error {
	err := s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	s.say("killed the daemon with SIGKILL")
	return err
}

// effects asks GitHub what was done to it.
func (s *stage) effects(ctx context.Context, want int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/_state", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var state struct {
		Effects int `json:"effects"`
	}
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		return fmt.Errorf("GitHub's state: %w: %s", err, raw)
	}
	if state.Effects != want {
		return fmt.Errorf("GitHub saw %d effects, want %d: %s", state.Effects, want, raw)
	}
	s.say("GitHub has seen %d effects", want)
	return nil
}

// flipModule changes the last byte of the first WebAssembly module it finds.
func flipModule(dir string) (string, error) {
	var found string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || found != "" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(raw, []byte("\x00asm")) {
			return err
		}
		raw[len(raw)-1] ^= 1
		found = path
		return os.WriteFile(path, raw, 0o600)
	})
	if err == nil && found == "" {
		err = errors.New("no installed module was found")
	}
	return found, err
}
