//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const loopback = "127.0.0.1"

// field is what a run has: a temporary directory, ports, and who is measured.
type field struct {
	*options
	dir         string
	writProgram string // absolute, as built is: processes run elsewhere
	subjects    []*subject
	held        []net.Listener // ports that nobody else may take before all are given
}

// newField finds everything that a run needs, or says everything that is missing.
func newField(ctx context.Context, o *options) (*field, error) {
	f := &field{options: o}
	var err error
	if f.built, err = filepath.Abs(o.built); err != nil {
		return nil, err
	}
	if f.writProgram, err = filepath.Abs(o.program); err != nil {
		return nil, err
	}
	if err := f.inventory(); err != nil {
		return nil, err
	}
	if f.dir, err = os.MkdirTemp(o.data, "writ-peers-"); err != nil {
		return nil, err
	}
	if err := f.prepare(ctx); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *field) prepare(ctx context.Context) error {
	if err := onDisk(f.dir); err != nil {
		return err
	}
	if err := os.Chmod(f.dir, 0o755); err != nil { // PostgreSQL runs as another user
		return err
	}
	for _, make := range []func(context.Context) (*subject, error){f.writ, f.dbosPostgres, f.dbosSQLite, f.restate, f.temporal} {
		s, err := make(ctx)
		if err != nil {
			return err
		}
		f.subjects = append(f.subjects, s)
	}
	f.release()
	return nil
}

// inventory fails with all that is not there: a peer is never left out silently.
func (f *field) inventory() error {
	var errs []error
	for _, program := range []string{f.writProgram, f.program("dbos"), f.program("restate-service"), f.program("server"), f.program("worker"), f.program("node_modules")} {
		if _, err := os.Stat(program); err != nil {
			errs = append(errs, fmt.Errorf("%s is not built or installed: run make bench-peers", program))
		}
	}
	if f.postgres == "" {
		found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
		if err == nil && len(found) > 0 {
			f.postgres = filepath.Dir(found[len(found)-1])
		}
	}
	if _, err := os.Stat(filepath.Join(f.postgres, "initdb")); f.postgres == "" || err != nil {
		errs = append(errs, errors.New("PostgreSQL's initdb was not found: install Debian's postgresql, or name its directory with -postgres"))
	}
	if _, err := exec.LookPath("strace"); err != nil {
		errs = append(errs, errors.New("strace was not found: install it"))
	}
	return errors.Join(errs...)
}

func (f *field) program(name string) string { return filepath.Join(f.built, name) }

func (f *field) path(name string) string { return filepath.Join(f.dir, name) }

// port finds one that nobody listens on and keeps it until release.
func (f *field) port() (int, error) {
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		return 0, err
	}
	f.held = append(f.held, l)
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (f *field) ports(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		var err error
		if ports[i], err = f.port(); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

func (f *field) release() {
	for _, l := range f.held {
		_ = l.Close()
	}
	f.held = nil
}

func (f *field) close() {
	f.release()
	for _, s := range f.subjects {
		s.stop()
	}
	if err := os.RemoveAll(f.dir); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
	}
}

// onDisk refuses a file system in memory, where a sync costs nothing.
func onDisk(dir string) error {
	const tmpfs, ramfs = 0x01021994, 0x858458f6 // statfs(2)
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return err
	}
	if kind := uint32(s.Type); kind == tmpfs || kind == ramfs {
		return fmt.Errorf("%s is in memory, where nothing is durable: name a directory on a disk with -data", filepath.Dir(dir))
	}
	return nil
}

func address(port int) string { return fmt.Sprintf("%s:%d", loopback, port) }

// firstLine of what a program says of its version.
func firstLine(text []byte) string {
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}
