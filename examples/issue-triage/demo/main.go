// Command demo tells the story of Writ with the issue triage example: from a
// signed skill to a replayed execution, through the real binary, a real daemon
// and a small GitHub on loopback. It fails where any step is not as it should be.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/writ-run/writ/examples/issue-triage/fakegithub/github"
	"github.com/writ-run/writ/examples/loopback"
	"github.com/writ-run/writ/examples/stage"
)

// budget is far more than the story needs: about ten seconds on two cores.
const budget = 2 * time.Minute

const githubToken = "ghp_demo_0123456789abcdefghij"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, budget)
	binary := flag.String("writ", "bin/writ", "the binary")
	source := flag.String("source", ".", "the repository's root")
	flag.Parse()
	err := tell(ctx, &stage.Options{Binary: *binary, Source: *source, Out: os.Stdout})
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, stage.Paint(os.Stderr, "31", "\nThe demo failed: ")+err.Error())
		os.Exit(1)
	}
}

// story is what its scenes need.
type story struct {
	*stage.Stage
	github    *github.GitHub
	agent     string // the agent's token
	execution string
}

func tell(ctx context.Context, o *stage.Options) (err error) {
	on, err := stage.New(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, on.Close()) }()
	s := &story{Stage: on, github: github.New(github.Options{Token: githubToken})}
	url, stop, err := loopback.Start(ctx, s.github)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return s.Tell(ctx, []stage.Scene{
		{Title: "A home: one operator, one approver's key, nothing trusted", Play: s.MakeHome},
		{Title: "A publisher's key; the skills built, signed, and refused until somebody trusts the key", Play: s.publish},
		{Title: "A small GitHub on loopback, and the daemon", Play: func(ctx context.Context) error { return s.start(ctx, url) }},
		{Title: "An agent, with grants for exactly what it needs", Play: s.letAgentIn},
		{Title: "A webhook arrives: GitHub's issues.opened becomes an intent, and a plan with a verdict for each step", Play: s.intent},
		{Title: "It runs up to the first write, and waits for a person", Play: s.run},
		{Title: "The agent cannot approve; a person sees the exact bytes and does", Play: s.approve},
		{Title: "What happened, and that nobody altered it", Play: s.trace},
		{Title: "The daemon is killed and started again; the execution is derived again and compared", Play: s.replay},
		{Title: "One byte of an installed module is flipped", Play: s.tamper},
	})
}

func (s *story) publish(ctx context.Context) error {
	if err := s.BuildSkills(ctx, "text", "github"); err != nil {
		return err
	}
	const denied = 3
	if err := s.Writ(ctx, denied, "skill", "install", s.Path("text.skill")); err != nil {
		return err
	}
	if err := s.Expect("KEY_UNTRUSTED"); err != nil {
		return err
	}
	if err := s.Writ(ctx, 0, "trust", "add", "writ", "--key", s.Path("publisher.pub")); err != nil {
		return err
	}
	return s.Writ(ctx, 0, "skill", "install", s.Path("text.skill"), s.Path("github.skill"))
}

func (s *story) start(ctx context.Context, url string) error {
	if err := s.Configure(map[string]string{"api.github.com": url}); err != nil {
		return err
	}
	if err := s.StartDaemon(ctx); err != nil {
		return err
	}
	s.Stdin = bytes.NewReader([]byte(githubToken + "\n"))
	return s.Writ(ctx, 0, "secret", "set", "github-token")
}

func (s *story) letAgentIn(ctx context.Context) error {
	if err := s.Quiet(ctx, 0, "token", "create", "--kind", "agent", "--name", "triage-bot", "-o", "json"); err != nil {
		return err
	}
	s.agent = s.Member("token")
	s.Say("token of agent:triage-bot made; it is shown once")
	return s.Writ(ctx, 0, "grant", "create", "--principal", "agent:triage-bot", "--tool", "http.request", "--host", "api.github.com",
		"--method", "POST", "--path", "/repos/*/*/issues/**", "--skill", "writ/github", "--max-risk", "medium")
}

func (s *story) intent(ctx context.Context) error {
	err := s.As(ctx, s.agent, 0, "intent", "submit", "--channel", "github", "--text", "triage the issue",
		"--metadata", filepath.Join(s.Source, "examples/issue-triage/testdata/issues.opened.json"),
		"--draft", filepath.Join(s.Source, "examples/issue-triage/draft.yaml"), "--idempotency-key", "delivery-1", "-o", "json")
	if err != nil {
		return err
	}
	s.execution = s.Member("executionId")
	if err := s.As(ctx, s.agent, 0, "plan", "compile", s.execution); err != nil {
		return err
	}
	const waiting = 4
	return s.As(ctx, s.agent, waiting, "plan", "verify", s.execution)
}

func (s *story) run(ctx context.Context) error {
	const waiting = 4
	if err := s.As(ctx, s.agent, waiting, "exec", "start", s.execution, "--wait"); err != nil {
		return err
	}
	return s.effects(0)
}

func (s *story) approve(ctx context.Context) error {
	const denied = 3
	for n := range 2 {
		if err := s.Writ(ctx, 0, "approval", "list", "--execution", s.execution); err != nil {
			return err
		}
		digest, err := s.pendingDigest(ctx)
		if err != nil {
			return err
		}
		args := []string{"exec", "approve", s.execution, "--digest", digest, "--passphrase-file", s.Path("passphrase")}
		if n == 0 {
			if err := s.As(ctx, s.agent, denied, args...); err != nil {
				return err
			}
			if err := s.effects(0); err != nil {
				return err
			}
		}
		if err := s.Writ(ctx, 0, args...); err != nil {
			return err
		}
		// Waits until it has ended or the next step waits for a person.
		want := 4
		if n == 1 {
			want = 0
		}
		if err := s.Quiet(ctx, want, "exec", "watch", s.execution); err != nil {
			return err
		}
	}
	if err := s.Writ(ctx, 0, "exec", "get", s.execution); err != nil {
		return err
	}
	if err := s.Expect("completed"); err != nil {
		return err
	}
	return s.effects(2)
}

func (s *story) trace(ctx context.Context) error {
	if err := s.Writ(ctx, 0, "trace", "get", s.execution); err != nil {
		return err
	}
	if err := s.Quiet(ctx, 0, "trace", "get", s.execution, "--payloads", "-o", "json"); err != nil {
		return err
	}
	if bytes.Contains(s.Last, []byte(githubToken)) {
		return errors.New("the trace holds the token")
	}
	return s.Writ(ctx, 0, "trace", "verify", s.execution)
}

func (s *story) replay(ctx context.Context) error {
	if err := s.KillDaemon(); err != nil {
		return err
	}
	if err := s.StartDaemon(ctx); err != nil {
		return err
	}
	if err := s.Writ(ctx, 0, "replay", s.execution); err != nil {
		return err
	}
	return s.effects(2)
}

func (s *story) tamper(ctx context.Context) error {
	file, err := flipModule(filepath.Join(s.Home(), "skills"))
	if err != nil {
		return err
	}
	s.Say("flipped one byte of %s", filepath.Base(file))
	const tampered = 5
	if err := s.Writ(ctx, tampered, "replay", s.execution); err != nil {
		return err
	}
	err = s.As(ctx, s.agent, tampered, "intent", "submit", "--channel", "github", "--text", "again", "--start",
		"--metadata", filepath.Join(s.Source, "examples/issue-triage/testdata/issues.opened.json"),
		"--draft", filepath.Join(s.Source, "examples/issue-triage/draft.yaml"))
	return errors.Join(err, s.effects(2))
}

func (s *story) pendingDigest(ctx context.Context) (string, error) {
	if err := s.Quiet(ctx, 0, "approval", "list", "--execution", s.execution, "-o", "json"); err != nil {
		return "", err
	}
	var list struct {
		Items []struct {
			Digest string `json:"digest"`
		} `json:"items"`
	}
	if err := s.Read(&list); err != nil || len(list.Items) != 1 {
		return "", fmt.Errorf("one approval should be pending: %s", s.Last)
	}
	return list.Items[0].Digest, nil
}

// effects compares what was done to GitHub.
func (s *story) effects(want int) error {
	if state := s.github.State(); state.Effects != want {
		return fmt.Errorf("GitHub saw %d effects, want %d: %+v", state.Effects, want, state)
	}
	s.Say("GitHub has seen %d effects", want)
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
