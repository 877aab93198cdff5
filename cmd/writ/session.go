package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/writ-run/writ"
)

// sessionsFile holds what logins gave, one session for each server: a token goes
// to no other than the one that made it.
const sessionsFile = "sessions"

// localServer is the key of the home's own daemon.
const localServer = "local"

// savedSession is one entry of the file.
type savedSession struct {
	Token     string           `json:"token"`
	Principal writ.PrincipalID `json:"principal"`
	ExpiresAt writ.Time        `json:"expiresAt"`
}

func (c *config) sessionsPath() string { return filepath.Join(c.Home, sessionsFile) }

func (c *config) serverKey() string {
	if c.Server == "" {
		return localServer
	}
	return c.Server
}

func (c *config) sessions() (map[string]savedSession, error) {
	path := c.sessionsPath()
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return map[string]savedSession{}, nil
	}
	if err != nil {
		return nil, usage("%s: %s", path, plainCause(err)).WithFix("give --token, or run as the user that owns the home")
	}
	var out map[string]savedSession
	if err := json.Unmarshal(raw, &out); err != nil || out == nil {
		return nil, usage("%s: does not decode", path).WithFix("remove it and log in again with `writ login`")
	}
	return out, nil
}

// saveSession puts in the session of the server, or takes it out where s is nil.
func (c *config) saveSession(s *savedSession) error {
	all, err := c.sessions()
	if err != nil {
		return err
	}
	delete(all, c.serverKey())
	if s != nil {
		all[c.serverKey()] = *s
	}
	path := c.sessionsPath()
	if len(all) == 0 {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return usage("%s: %s", path, plainCause(err))
		}
		return nil
	}
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return writ.Errorf(writ.CodeInternal, path, "cannot be encoded: %w", err)
	}
	if err := os.MkdirAll(c.Home, 0o700); err != nil {
		return usage("%s: %s", c.Home, plainCause(err)).WithFix("choose another directory with --home")
	}
	fresh := path + ".new"
	if err := errors.Join(ignoreMissing(os.Remove(fresh)), writeNew(fresh, append(raw, '\n'), 0o600)); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return usage("%s: %s", path, plainCause(err))
	}
	return nil
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// session is the token of the login at this server. One that has ended is not
// passed over in favour of a stronger token that lies beside it.
func (a *app) session() (string, error) {
	all, err := a.config.sessions()
	if err != nil {
		return "", err
	}
	s, ok := all[a.config.serverKey()]
	if !ok {
		return "", nil
	}
	if a.clock.Now() >= s.ExpiresAt {
		return "", writ.Errorf(writ.CodeUnauthenticated, "session", "the session of %s ended at %s", s.Principal, s.ExpiresAt).
			WithFix("log in again with `writ login`, or leave it behind with `writ logout`")
	}
	return s.Token, nil
}
