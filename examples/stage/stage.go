// Package stage is where demos tell their stories: a directory with a home, the real
// binary, its daemon, and a terminal that shows what is done. A story fails where any
// step is not as it should be.
package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Stage is not to be used by several goroutines at once.
type Stage struct {
	Dir    string // goes when it is closed
	Source string // the repository's root
	Out    io.Writer
	Stdin  io.Reader
	Last   []byte // what the last command printed

	binary  string
	daemon  *exec.Cmd
	listens int // daemons that were started with --listen
}

// Options of a stage.
type Options struct {
	Binary string // writ
	Source string // the repository's root
	Out    io.Writer
}

// New makes a directory, in which the binary is bin/writ.
func New(o *Options) (*Stage, error) {
	path, err := filepath.Abs(o.Binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s is not built: run `make build`", o.Binary)
	}
	source, err := filepath.Abs(o.Source)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "writ-demo-")
	if err != nil {
		return nil, err
	}
	s := &Stage{Dir: dir, Source: source, Out: o.Out, binary: filepath.Join(dir, "bin", "writ")}
	err = os.Mkdir(s.Path("bin"), 0o700)
	if err == nil {
		err = os.Symlink(path, s.binary)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Path of a file in the directory.
func (s *Stage) Path(name string) string { return filepath.Join(s.Dir, name) }

// Home of the story.
func (s *Stage) Home() string { return s.Path("home") }

// Close ends the daemon and removes the directory.
func (s *Stage) Close() error {
	var errs []error
	if s.daemon != nil && s.daemon.ProcessState == nil {
		errs = append(errs, s.daemon.Process.Kill())
		_ = s.daemon.Wait()
	}
	return errors.Join(append(errs, os.RemoveAll(s.Dir))...)
}

// Scene is a part of a story.
type Scene struct {
	Title string
	Play  func(context.Context) error
}

// Tell plays scenes, one after the other.
func (s *Stage) Tell(ctx context.Context, scenes []Scene) error {
	started := time.Now()
	for _, scene := range scenes {
		fmt.Fprintf(s.Out, "\n%s\n", Paint(s.Out, "1;36", "== "+scene.Title))
		if err := scene.Play(ctx); err != nil {
			return fmt.Errorf("%s: %w", scene.Title, err)
		}
	}
	fmt.Fprintf(s.Out, "\n%s\n", Paint(s.Out, "1;32", fmt.Sprintf("Everything was as it should be, in %.1f seconds.", time.Since(started).Seconds())))
	return nil
}

// Paint colours text for a terminal.
func Paint(out io.Writer, color, text string) string {
	file, ok := out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return text
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// Say is a line of the teller's.
func (s *Stage) Say(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		fmt.Fprintln(s.Out, Paint(s.Out, "2", "   "+strings.TrimRight(line, "\n")))
	}
}

// Writ runs a command as the operator and shows it with what it prints. Another exit code
// than want is an error.
func (s *Stage) Writ(ctx context.Context, want int, args ...string) error {
	return s.run(ctx, &command{want: want, args: args, show: true})
}

// Quiet runs a command as the operator and shows nothing.
func (s *Stage) Quiet(ctx context.Context, want int, args ...string) error {
	return s.run(ctx, &command{want: want, args: args})
}

// As runs a command with somebody's token.
func (s *Stage) As(ctx context.Context, token string, want int, args ...string) error {
	return s.run(ctx, &command{want: want, args: args, show: true, env: []string{"WRIT_TOKEN=" + token}})
}

type command struct {
	args []string
	env  []string
	show bool
	want int
}

func (s *Stage) run(ctx context.Context, c *command) error {
	cmd := exec.CommandContext(ctx, s.binary, c.args...)
	cmd.Env = s.Environment(c.env...)
	cmd.Stdin, s.Stdin = s.Stdin, nil
	out, err := cmd.CombinedOutput()
	s.Last = out
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if c.show {
		fmt.Fprintln(s.Out, Paint(s.Out, "33", " $ writ "+s.short(strings.Join(c.args, " "))))
		s.show(out)
	}
	if got := cmd.ProcessState.ExitCode(); got != c.want {
		return fmt.Errorf("writ %s: exit %d, want %d\n%s", strings.Join(c.args, " "), got, c.want, out)
	}
	if c.show && c.want != 0 {
		s.Say("(exit %d, as it should be)", c.want)
	}
	return nil
}

// Script runs a script with sh, in which writ is the binary, and shows what it prints.
func (s *Stage) Script(ctx context.Context, file string, env ...string) error {
	cmd := exec.CommandContext(ctx, "sh", file)
	cmd.Dir, cmd.Env = s.Source, s.Environment(env...)
	out, err := cmd.CombinedOutput()
	s.Last = out
	fmt.Fprintln(s.Out, Paint(s.Out, "33", " $ sh "+file))
	s.show(out)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", file, err, out)
	}
	return nil
}

// Environment is this process's, with the home and the binary of the stage, and without a
// token.
func (s *Stage) Environment(more ...string) []string {
	return append(append(os.Environ(), "WRIT_HOME="+s.Home(), "WRIT_TOKEN=", "PATH="+s.Path("bin")+string(os.PathListSeparator)+os.Getenv("PATH")), more...)
}

func (s *Stage) show(out []byte) {
	for line := range strings.Lines(string(out)) {
		fmt.Fprint(s.Out, "   "+s.short(line))
	}
}

func (s *Stage) short(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, s.Dir+"/", ""), s.Source+"/", "")
}

// Expect demands that the last command printed this.
func (s *Stage) Expect(text string) error {
	if !bytes.Contains(s.Last, []byte(text)) {
		return fmt.Errorf("the output does not say %q:\n%s", text, s.Last)
	}
	return nil
}

// Read reads the JSON that the last command printed.
func (s *Stage) Read(into any) error {
	if err := json.Unmarshal(s.Last, into); err != nil {
		return fmt.Errorf("the output is not as it should be: %w\n%s", err, s.Last)
	}
	return nil
}

// Member is a text of the JSON object that the last command printed.
func (s *Stage) Member(name string) string {
	var document map[string]any
	if json.Unmarshal(s.Last, &document) != nil {
		return ""
	}
	value, _ := document[name].(string)
	return value
}

// patience is far more than anything in a story takes on a machine that is busy.
const patience = time.Minute

// Until looks again and again, until look finds what it looks for. An error means that it
// did not come.
func Until(ctx context.Context, what string, look func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		found, err := look()
		if found || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: it did not come: %w", what, context.Cause(ctx))
		case <-again.C:
		}
	}
}
