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
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

// budget is far more than the story needs: about ten seconds on two cores.
const budget = 2 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, budget)
	binary := flag.String("writ", "bin/writ", "the binary")
	source := flag.String("source", ".", "the repository's root")
	flag.Parse()
	err := tell(ctx, *binary, *source)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, paint("31", "\nThe demo failed: ")+err.Error())
		os.Exit(1)
	}
}

func tell(ctx context.Context, binary, source string) (err error) {
	s, err := newStage(binary, source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	started := time.Now()
	for _, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"A home: one operator, one approver's key, nothing trusted", s.home},
		{"A publisher's key; the skills built, signed, and refused until somebody trusts the key", s.publish},
		{"A small GitHub on loopback, and the daemon", s.start},
		{"An agent, with grants for exactly what it needs", s.letAgentIn},
		{"A webhook arrives: GitHub's issues.opened becomes an intent, and a plan with a verdict for each step", s.intent},
		{"It runs up to the first write, and waits for a person", s.run},
		{"The agent cannot approve; a person sees the exact bytes and does", s.approve},
		{"What happened, and that nobody altered it", s.trace},
		{"The daemon is killed and started again; the execution is derived again and compared", s.replay},
		{"One byte of an installed module is flipped", s.tamper},
	} {
		fmt.Printf("\n%s\n", paint("1;36", "== "+scene.title))
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", scene.title, err)
		}
	}
	fmt.Printf("\n%s\n", paint("1;32", fmt.Sprintf("Everything was as it should be, in %.1f seconds.", time.Since(started).Seconds())))
	return nil
}

func (s *stage) home(ctx context.Context) error {
	if err := os.WriteFile(s.path("passphrase"), []byte("correct horse battery staple\n"), 0o600); err != nil {
		return err
	}
	return s.writ(ctx, 0, "init", "--name", "ada", "--passphrase-file", s.path("passphrase"))
}

func (s *stage) publish(ctx context.Context) error {
	if err := s.writ(ctx, 0, "skill", "key", "--out", s.path("publisher")); err != nil {
		return err
	}
	for _, name := range []string{"text", "github"} {
		file := s.path(name + ".skill")
		for _, args := range [][]string{
			{"skill", "build", filepath.Join(s.source, "skills", name), "--to", file},
			{"skill", "sign", file, "--key", s.path("publisher.key"), "--repository", "https://github.com/writ-run/writ"},
		} {
			if err := s.quiet(ctx, 0, args...); err != nil {
				return err
			}
		}
		s.say("built and signed skills/%s", name)
	}
	const denied = 3
	if err := s.writ(ctx, denied, "skill", "install", s.path("text.skill")); err != nil {
		return err
	}
	if err := s.expect("KEY_UNTRUSTED"); err != nil {
		return err
	}
	if err := s.writ(ctx, 0, "trust", "add", "writ", "--key", s.path("publisher.pub")); err != nil {
		return err
	}
	return s.writ(ctx, 0, "skill", "install", s.path("text.skill"), s.path("github.skill"))
}

func (s *stage) start(ctx context.Context) error {
	url, err := s.startGitHub(ctx)
	if err != nil {
		return err
	}
	config := "http:\n  upstreams:\n    api.github.com: " + url + "\n"
	if err := os.WriteFile(filepath.Join(s.dir, "home", "config.yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	s.say("the operator's configuration sends what is for api.github.com to %s", url)
	if err := s.startDaemon(ctx); err != nil {
		return err
	}
	s.stdin = bytes.NewReader([]byte(githubToken + "\n"))
	return s.writ(ctx, 0, "secret", "set", "github-token")
}

func (s *stage) letAgentIn(ctx context.Context) error {
	if err := s.quiet(ctx, 0, "token", "create", "--kind", "agent", "--name", "triage-bot", "-o", "json"); err != nil {
		return err
	}
	s.agent = s.member("token")
	s.say("token of agent:triage-bot made; it is shown once")
	return s.writ(ctx, 0, "grant", "create", "--principal", "agent:triage-bot", "--tool", "http.request", "--host", "api.github.com",
		"--method", "POST", "--path", "/repos/*/*/issues/**", "--skill", "writ/github", "--max-risk", "medium")
}

func (s *stage) intent(ctx context.Context) error {
	err := s.asAgent(ctx, 0, "intent", "submit", "--channel", "github", "--text", "triage the issue",
		"--metadata", filepath.Join(s.source, "examples/issue-triage/testdata/issues.opened.json"),
		"--draft", filepath.Join(s.source, "examples/issue-triage/draft.yaml"), "--idempotency-key", "delivery-1", "-o", "json")
	if err != nil {
		return err
	}
	s.execution = s.member("executionId")
	if err := s.asAgent(ctx, 0, "plan", "compile", s.execution); err != nil {
		return err
	}
	const waiting = 4
	return s.asAgent(ctx, waiting, "plan", "verify", s.execution)
}

func (s *stage) run(ctx context.Context) error {
	const waiting = 4
	if err := s.asAgent(ctx, waiting, "exec", "start", s.execution, "--wait"); err != nil {
		return err
	}
	return s.effects(ctx, 0)
}

func (s *stage) approve(ctx context.Context) error {
	const denied = 3
	for n := range 2 {
		if err := s.writ(ctx, 0, "approval", "list", "--execution", s.execution); err != nil {
			return err
		}
		digest, err := s.pendingDigest(ctx)
		if err != nil {
			return err
		}
		args := []string{"exec", "approve", s.execution, "--digest", digest, "--passphrase-file", s.path("passphrase")}
		if n == 0 {
			if err := s.asAgent(ctx, denied, args...); err != nil {
				return err
			}
			if err := s.effects(ctx, 0); err != nil {
				return err
			}
		}
		if err := s.writ(ctx, 0, args...); err != nil {
			return err
		}
		// Waits until it has ended or the next step waits for a person.
		want := 4
		if n == 1 {
			want = 0
		}
		if err := s.quiet(ctx, want, "exec", "watch", s.execution); err != nil {
			return err
		}
	}
	if err := s.writ(ctx, 0, "exec", "get", s.execution); err != nil {
		return err
	}
	if err := s.expect("completed"); err != nil {
		return err
	}
	return s.effects(ctx, 2)
}

func (s *stage) trace(ctx context.Context) error {
	if err := s.writ(ctx, 0, "trace", "get", s.execution); err != nil {
		return err
	}
	if err := s.quiet(ctx, 0, "trace", "get", s.execution, "--payloads", "-o", "json"); err != nil {
		return err
	}
	if bytes.Contains(s.last, []byte(githubToken)) {
		return errors.New("the trace holds the token")
	}
	return s.writ(ctx, 0, "trace", "verify", s.execution)
}

func (s *stage) replay(ctx context.Context) error {
	if err := s.killDaemon(); err != nil {
		return err
	}
	if err := s.startDaemon(ctx); err != nil {
		return err
	}
	if err := s.writ(ctx, 0, "replay", s.execution); err != nil {
		return err
	}
	return s.effects(ctx, 2)
}

func (s *stage) tamper(ctx context.Context) error {
	file, err := flipModule(filepath.Join(s.dir, "home", "skills"))
	if err != nil {
		return err
	}
	s.say("flipped one byte of %s", filepath.Base(file))
	const tampered = 5
	if err := s.writ(ctx, tampered, "replay", s.execution); err != nil {
		return err
	}
	err = s.asAgent(ctx, tampered, "intent", "submit", "--channel", "github", "--text", "again", "--start",
		"--metadata", filepath.Join(s.source, "examples/issue-triage/testdata/issues.opened.json"),
		"--draft", filepath.Join(s.source, "examples/issue-triage/draft.yaml"))
	return errors.Join(err, s.effects(ctx, 2))
}
