package secret

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"

	"github.com/writ-run/writ"
)

// UsedFile says when each secret was last handed to a call: names and times, no values.
// It is written by Tidy, so a process that dies loses an hour of it. What cannot be
// read is begun anew: nothing is decided by it.
const UsedFile = "secrets.used"

// maxUsed bounds the file that is read: names of 64 bytes, some ten thousand of them.
const maxUsed = 1 << 20

type usage map[writ.TenantID]map[string]writ.Time

func (s *Store) markUsed(key entryKey) {
	now := s.opts.Clock.Now()
	s.usedMu.Lock()
	defer s.usedMu.Unlock()
	s.used[key] = now
}

// lastUsed merges what the file says with what this process has seen.
func (s *Store) lastUsed() map[entryKey]writ.Time {
	out := map[entryKey]writ.Time{}
	for tenant, names := range s.readUsed() {
		for name, at := range names {
			out[entryKey{tenant, name}] = at
		}
	}
	s.usedMu.Lock()
	defer s.usedMu.Unlock()
	for key, at := range s.used {
		out[key] = max(out[key], at)
	}
	return out
}

func (s *Store) readUsed() usage {
	file, err := os.Open(s.path(UsedFile))
	if err != nil {
		return nil
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxUsed))
	out := usage{}
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return nil
	}
	return out
}

// Tidy forgets old values whose time is over, and writes down what was used. The
// daemon calls it every hour, and whoever closes the home.
func (s *Store) Tidy(ctx context.Context) error {
	now := s.opts.Clock.Now()
	s.seenMu.Lock()
	for _, was := range s.seen {
		was.retired = current(was.retired, was.value, now)
	}
	s.seenMu.Unlock()
	due, err := s.pruneDue(now)
	if err == nil && due {
		err = s.update(ctx, func(all tenants) error {
			for _, names := range all {
				for name, e := range names {
					e.Retired = current(e.Retired, e.Value, now)
					names[name] = e
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	return s.writeUsed(ctx)
}

// pruneDue reports whether the file holds an old value whose time is over.
func (s *Store) pruneDue(now writ.Time) (bool, error) {
	all, err := s.load()
	if err != nil {
		return false, err
	}
	defer all.wipe()
	for _, names := range all {
		for _, e := range names {
			for _, r := range e.Retired {
				if r.Until <= now {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

func (s *Store) writeUsed(ctx context.Context) error {
	s.usedMu.Lock()
	fresh := len(s.used) > 0
	s.usedMu.Unlock()
	if !fresh {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	merged := s.lastUsed()
	known, err := s.names()
	if err != nil {
		return err
	}
	out := usage{}
	for key, at := range merged {
		if !known[key] {
			continue
		}
		if out[key.tenant] == nil {
			out[key.tenant] = map[string]writ.Time{}
		}
		out[key.tenant][key.name] = at
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return writ.Errorf(writ.CodeInternal, opFile, "what was used cannot be encoded")
	}
	if err := replaceFile(s.path(UsedFile), raw); err != nil {
		return err
	}
	s.usedMu.Lock()
	defer s.usedMu.Unlock()
	maps.DeleteFunc(s.used, func(key entryKey, at writ.Time) bool { return at <= merged[key] })
	return nil
}

// names are all secrets that there are.
func (s *Store) names() (map[entryKey]bool, error) {
	all, err := s.load()
	if err != nil {
		return nil, err
	}
	defer all.wipe()
	out := map[entryKey]bool{}
	for key := range s.refs {
		out[key] = true
	}
	for tenant, names := range all {
		for name := range names {
			out[entryKey{tenant, name}] = true
		}
	}
	return out, nil
}
