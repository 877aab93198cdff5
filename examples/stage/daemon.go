package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

const passphrase = "correct horse battery staple\n"

// MakeHome makes the home of an operator and approver, ada, whose passphrase is in the
// file "passphrase".
func (s *Stage) MakeHome(ctx context.Context) error {
	if err := os.WriteFile(s.Path("passphrase"), []byte(passphrase), 0o600); err != nil {
		return err
	}
	return s.Writ(ctx, 0, "init", "--name", "ada", "--passphrase-file", s.Path("passphrase"))
}

// Configure writes the configuration of the home: a provider's host, and what stands in
// for it.
func (s *Stage) Configure(upstreams map[string]string) error {
	config := "http:\n  upstreams:\n"
	for host, url := range upstreams {
		config += "    " + host + ": " + url + "\n"
		s.Say("the operator's configuration sends what is for %s to %s", host, url)
	}
	return os.WriteFile(filepath.Join(s.Home(), "config.yaml"), []byte(config), 0o600)
}

// BuildSkills builds skills of the repository into NAME.skill, and signs them with the key
// publisher.key, which it makes.
func (s *Stage) BuildSkills(ctx context.Context, names ...string) error {
	if err := s.Writ(ctx, 0, "skill", "key", "--out", s.Path("publisher")); err != nil {
		return err
	}
	for _, name := range names {
		file := s.Path(name + ".skill")
		for _, args := range [][]string{
			{"skill", "build", filepath.Join(s.Source, "skills", name), "--to", file},
			{"skill", "sign", file, "--key", s.Path("publisher.key"), "--repository", "https://github.com/writ-run/writ"},
		} {
			if err := s.Quiet(ctx, 0, args...); err != nil {
				return err
			}
		}
		s.Say("built and signed skills/%s", name)
	}
	return nil
}

// StartDaemon returns when the daemon's socket answers. It ends with the stage.
func (s *Stage) StartDaemon(ctx context.Context, args ...string) error {
	if slices.Contains(args, "--listen") {
		s.listens++
	}
	s.daemon = exec.CommandContext(context.WithoutCancel(ctx), s.binary, append([]string{"serve"}, args...)...)
	s.daemon.Env = s.Environment()
	log, err := os.OpenFile(s.Path("daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s.daemon.Stdout, s.daemon.Stderr = log, log
	began := time.Now()
	if err := errors.Join(s.daemon.Start(), log.Close()); err != nil {
		return err
	}
	var dialer net.Dialer
	err = Until(ctx, "the daemon's socket", func() (bool, error) {
		conn, err := dialer.DialContext(ctx, "unix", filepath.Join(s.Home(), "writ.sock"))
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
	if err != nil {
		return fmt.Errorf("the daemon did not start: %w\n%s", err, s.Log())
	}
	s.Say("the daemon answers after %d ms", time.Since(began).Milliseconds())
	return nil
}

// Log is what the daemon has said.
func (s *Stage) Log() []byte {
	text, _ := os.ReadFile(s.Path("daemon.log")) // an error shows as nothing said
	return text
}

var addressForm = regexp.MustCompile(`listening: address="?(127\.0\.0\.1:\d+)`)

// Address at which the daemon listens, which was started with --listen.
func (s *Stage) Address(ctx context.Context) (address string, err error) {
	err = Until(ctx, "the daemon's address", func() (bool, error) {
		found := addressForm.FindAllSubmatch(s.Log(), -1)
		if len(found) < s.listens {
			return false, nil // the last one has not said it yet
		}
		address = string(found[len(found)-1][1])
		return true, nil
	})
	return address, err
}

// KillDaemon gives it no time.
func (s *Stage) KillDaemon() error {
	err := s.daemon.Process.Kill()
	_ = s.daemon.Wait()
	s.Say("killed the daemon with SIGKILL")
	return err
}
