//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/writ-run/writ/contract"
)

// playDamage damages one file after another of a copy of a home that was killed
// at work, and looks for damage that nothing notices.
func (s *stage) playDamage(ctx context.Context) error {
	const name = "damage"
	before := s.tally.soFar()
	sound, err := s.worn(ctx, filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	v := &vandal{stage: s, name: name, sound: sound, chance: s.draw(name), found: map[string]int{}}
	if v.want, err = v.look(ctx, sound); err != nil {
		return fmt.Errorf("the home that is to be damaged: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(sound, "db", "*"))
	if err != nil {
		return err
	}
	for _, file := range append(files, filepath.Join(sound, "anchor")) {
		rest, err := filepath.Rel(sound, file)
		if err != nil {
			return err
		}
		if err := v.file(ctx, rest); err != nil {
			return err
		}
	}
	total := 0
	for _, what := range []string{refusedAtStart, namedByVerify, harmless} {
		s.tally.count(name, what, v.found[what])
		total += v.found[what]
	}
	s.tally.count(name, "files damaged in one way each", total)
	s.tally.close(name, before)
	return nil
}

// worn makes a home with several lives, some ended in order, the last by a kill.
func (s *stage) worn(ctx context.Context, home string) (string, error) {
	if _, err := s.model.copy(home); err != nil {
		return "", err
	}
	doors, err := s.model.over(home)
	if err != nil {
		return "", err
	}
	t := newTraffic(s, "damage", doors)
	t.start(ctx, clients)
	defer t.halt()
	for life := range 4 {
		d, err := s.serve(home)
		if err != nil {
			return "", err
		}
		if err := d.ready(ctx); err != nil {
			return "", err
		}
		if err := pause(ctx, 2*longestHold); err != nil {
			return "", err
		}
		if life%2 == 0 {
			d.Stop()
			continue
		}
		if err := d.kill(ctx); err != nil {
			return "", err
		}
	}
	return home, nil
}

// What became of damage.
const (
	refusedAtStart = "refused at the start, exit 5"
	namedByVerify  = "named by trace verify"
	harmless       = "harmless: every trace is as it was"
)

// vandal damages copies of a sound home.
type vandal struct {
	*stage
	name, sound string
	chance      *rand.Rand
	want        string // what a look at the sound home shows
	found       map[string]int
}

// harm is one way to damage a file of a size.
type harm struct {
	what string
	do   func(path string) error
}

func (v *vandal) file(ctx context.Context, rest string) error {
	info, err := os.Stat(filepath.Join(v.sound, rest))
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	used, err := usedBytes(filepath.Join(v.sound, rest))
	if err != nil {
		return err
	}
	harms := []harm{{"removed", os.Remove}, {"emptied", func(p string) error { return os.Truncate(p, 0) }}}
	if used > 1 {
		harms = append(harms,
			harm{"cut in half", func(p string) error { return os.Truncate(p, used/2) }},
			harm{"cut by its last byte", func(p string) error { return os.Truncate(p, used-1) }},
		)
		for _, at := range []int64{0, used / 2, used - 1, v.chance.Int64N(used), v.chance.Int64N(used), v.chance.Int64N(used)} {
			harms = append(harms, harm{fmt.Sprintf("flipped at byte %d of %d", at, used), func(p string) error { return flip(p, at) }})
		}
	}
	for _, h := range harms {
		outcome, err := v.try(ctx, rest, h)
		if err != nil {
			return err
		}
		v.found[outcome]++
	}
	return nil
}

// usedBytes is the size without the zeros at the end: a log is as large as it may grow.
func usedBytes(path string) (int64, error) {
	raw, err := os.ReadFile(path)
	return int64(len(bytes.TrimRight(raw, "\x00"))), err
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	if err == nil {
		b[0] ^= 0x55
		_, err = f.WriteAt(b, at)
	}
	return errors.Join(err, f.Close())
}

// try damages a copy and looks at it.
func (v *vandal) try(ctx context.Context, rest string, h harm) (string, error) {
	home := filepath.Join(v.dir, "damaged")
	if err := os.RemoveAll(home); err != nil {
		return "", err
	}
	if err := copyTree(v.sound, home); err != nil {
		return "", err
	}
	if err := h.do(filepath.Join(home, rest)); err != nil {
		return "", err
	}
	got, err := v.look(ctx, home)
	var exit *exec.ExitError
	switch {
	case err == nil && got == v.want:
		return harmless, nil
	case err == nil:
		v.tally.breakPromise(v.name, "%s %s: traces differ and nothing says so", rest, h.what)
		return "", nil
	case !errors.As(err, &exit):
		return "", err
	case exit.ExitCode() == exitTampered && strings.Contains(got, notValid):
		return namedByVerify, nil
	case exit.ExitCode() == exitTampered && strings.Contains(got, `"fix":"`) && !strings.Contains(got, `"fix":""`):
		return refusedAtStart, nil
	}
	v.tally.breakPromise(v.name, "%s %s: exit %d: %s", rest, h.what, exit.ExitCode(), got[:min(len(got), 500)])
	return "", nil
}

const (
	exitTampered = 5
	notValid     = `"valid": false`
)

// look verifies everything in a home and returns the head of each trace, or what
// was printed with the error.
func (v *vandal) look(ctx context.Context, home string) (string, error) {
	if out, err := v.ask(ctx, home, "trace", "verify", "-o", "json"); err != nil {
		return out, err
	}
	var heads []string
	for cursor := ""; ; {
		out, err := v.ask(ctx, home, "trace", "list", "-o", "json", "--limit", "500", "--cursor", cursor)
		if err != nil {
			return out, err
		}
		var page contract.TraceListOutput
		if err := json.Unmarshal([]byte(out), &page); err != nil {
			return out, err
		}
		for i := range page.Items {
			t := &page.Items[i]
			heads = append(heads, fmt.Sprint(t.ExecutionID, t.Status, t.Records, t.Head))
		}
		if cursor = page.NextCursor; cursor == "" {
			slices.Sort(heads)
			return strings.Join(heads, "\n"), nil
		}
	}
}

// ask runs a command; its error is an *exec.ExitError where the command failed.
func (v *vandal) ask(ctx context.Context, home string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, v.binary, append([]string{"--home", home}, args...)...)
	cmd.Env = append(os.Environ(), "WRIT_LOG_LEVEL=error")
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		return string(out) + words.String(), err
	}
	return string(out), nil
}
