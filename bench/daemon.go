//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/bench/home"
	"github.com/writ-run/writ/bench/peers/process"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
)

const (
	starts      = 5
	perLanguage = 5 // of the skills that are installed: 20 together
	// idleFor is when what a start leaves behind has been collected, and nothing of it
	// is still under way.
	idleFor = 5 * time.Second
	// startTimeout is far more than a start takes on a busy machine.
	startTimeout = 60 * time.Second
)

// daemon measures the start and the memory of `writ serve` in a home with 20
// skills, no two of which share a module.
func (s *suite) daemon(ctx context.Context, _ time.Duration) ([]row, error) {
	dir, err := os.MkdirTemp("", "writ-serve-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	h, err := home.New(ctx, s.program, dir)
	if err != nil {
		return nil, err
	}
	skills, err := s.installMany(ctx, h, dir)
	if err != nil {
		return nil, err
	}
	d := &served{client: socketClient(h.Socket())}
	if d.token, err = h.Token(); err != nil {
		return nil, err
	}
	defer d.stop()
	took := make([]time.Duration, starts)
	for i := range took {
		d.stop()
		if took[i], err = d.start(ctx, h.Daemon()); err != nil {
			return nil, err
		}
	}
	sortDurations(took)
	name := fmt.Sprintf("writ serve, %d skills: ", len(skills))
	rows := []row{{fmt.Sprintf("%sstart to ready, median of %d", name, starts), milliseconds(quantile(took, 0.5)), "ms", 300, "lower"}}
	idle, err := d.memory(ctx, name+"memory idle after the start")
	if err != nil {
		return nil, err
	}
	idle[0].Target = 80
	for _, skill := range skills {
		if err := d.execute(ctx, skill); err != nil {
			return nil, err
		}
	}
	used, err := d.memory(ctx, name+"memory idle after each has run once")
	return slices.Concat(rows, idle, used), err
}

// installMany installs the conformance skill in each language several times, under
// other names and with modules that differ in a section which nobody reads. They
// are returned by name.
func (s *suite) installMany(ctx context.Context, h *home.Home, dir string) ([]string, error) {
	var skills, files []string
	for _, language := range languages {
		d, err := s.draft(ctx, language)
		if err != nil {
			return nil, err
		}
		for i := range perLanguage {
			manifest := *d.Manifest
			manifest.Name = fmt.Sprintf("%s-%d", conformance(language), i+1)
			const custom = 0 // the id of a section that is no code; it begins with its name
			name := append([]byte{byte(len(manifest.Name))}, manifest.Name...)
			module := slices.Concat(d.Module, wasmtest.Section(custom, name))
			bundle, err := registry.Pack(&manifest, module)
			if err != nil {
				return nil, err
			}
			file := filepath.Join(dir, registry.FileName(&manifest))
			if err := os.WriteFile(file, bundle, 0o644); err != nil {
				return nil, err
			}
			skills, files = append(skills, manifest.Name), append(files, file)
		}
	}
	return skills, h.Install(ctx, files...)
}

// served is the daemon and the way to it.
type served struct {
	*process.Process
	client *http.Client
	token  string
}

func socketClient(socket string) *http.Client {
	return &http.Client{Timeout: startTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

// start returns how long it took until the daemon said that it is ready.
func (d *served) start(ctx context.Context, spec process.Spec) (time.Duration, error) {
	began := time.Now()
	p, err := process.Start(spec)
	if err != nil {
		return 0, err
	}
	d.Process = p
	for {
		_, err := d.ask(ctx, http.MethodGet, "/readyz", nil)
		if err == nil {
			return time.Since(began), nil
		}
		if ended := d.Ended(); ended != nil {
			return 0, ended
		}
		if time.Since(began) > startTimeout {
			return 0, fmt.Errorf("the daemon is not ready after %s: %w", startTimeout, err)
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

func (d *served) stop() {
	if d.Process == nil {
		return
	}
	d.client.CloseIdleConnections()
	d.Stop()
	d.Process = nil
}

func (d *served) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://writ"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+d.token)
	response, err := d.client.Do(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d: %s", path, response.StatusCode, answer)
	}
	return answer, err
}

// execute runs one step of a skill, from the intent to its durable end.
func (d *served) execute(ctx context.Context, skill string) error {
	body, err := json.Marshal(contract.IntentSubmitInput{WorkspaceID: "default", Text: "bench", Draft: chain(writ.SkillKey(skill), 1), Run: true, Wait: true})
	if err != nil {
		return err
	}
	answer, err := d.ask(ctx, http.MethodPost, "/v1/"+contract.IntentSubmit.Key, body)
	if err == nil && !bytes.Contains(answer, []byte(`"status":"completed"`)) {
		err = fmt.Errorf("%s: %s", skill, answer)
	}
	return err
}

// memory is the daemon's when nothing has been asked of it for a while: what it
// has in memory (RSS), and that with shared pages divided among their users (PSS).
func (d *served) memory(ctx context.Context, name string) ([]row, error) {
	if err := pause(ctx, idleFor); err != nil {
		return nil, err
	}
	all := []*process.Process{d.Process}
	resident, err := process.Resident(all)
	if err != nil {
		return nil, err
	}
	shared, err := process.Memory(all)
	const mib = 1 << 20
	return []row{{name + ", RSS", float64(resident) / mib, "MiB", 0, "lower"}, {name + ", PSS", float64(shared) / mib, "MiB", 0, "lower"}}, err
}

// pause waits, or returns the error of a context that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
