//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// diskBytes is a disk that the watchdog has room to work in: it stops new work
// below 256 MiB and all work below half of that.
const diskBytes = 600 << 20

// playFullDisk fills a small disk under a working daemon: to where new work is
// refused, to where all is, and to the last byte.
func (s *stage) playFullDisk(ctx context.Context) error {
	const name = "full disk"
	before := s.tally.soFar()
	mount := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(mount, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		return fmt.Errorf("a disk of %d MiB was refused (mount of a tmpfs needs root, CAP_SYS_ADMIN): %w", diskBytes>>20, err)
	}
	defer func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) }()
	home, err := s.model.copy(filepath.Join(mount, "home"))
	if err != nil {
		return err
	}
	doors, err := s.model.over(home)
	if err != nil {
		return err
	}
	d := &disk{stage: s, name: name, mount: mount, home: home, traffic: newTraffic(s, name, doors)}
	if err := d.start(ctx); err != nil {
		return err
	}
	defer func() { _ = d.daemon.kill(context.WithoutCancel(ctx)) }()
	d.traffic.start(ctx, clients)
	for _, left := range []int64{200 << 20, 64 << 20, 0} {
		if err = d.squeeze(ctx, left); err != nil {
			break
		}
	}
	d.traffic.halt()
	if err != nil {
		s.tally.breakPromise(name, "%v", err)
		s.tally.close(name, before)
		return nil
	}
	s.tally.count(name, "times filled and freed under load", 3)
	s.tally.count(name, "submissions refused for want of space", d.refused)
	err = s.settleAndCheck(ctx, d.traffic)
	s.tally.close(name, before)
	return err
}

// disk is a small one with a daemon on it.
type disk struct {
	*stage
	name, mount, home string
	daemon            *daemon
	traffic           *traffic
	refused           int
}

func (d *disk) start(ctx context.Context) (err error) {
	if d.daemon, err = d.serve(d.home); err != nil {
		return err
	}
	return d.daemon.ready(ctx)
}

// squeeze leaves some bytes free, sees that new work is refused, and that it is
// taken when there is room again.
func (d *disk) squeeze(ctx context.Context, left int64) error {
	if err := d.probe(ctx, true); err != nil {
		return fmt.Errorf("before the disk is full: %w", err)
	}
	filler := filepath.Join(d.mount, "filler")
	if err := d.fill(filler, left); err != nil {
		return err
	}
	// With no byte left, writing to what is mapped ends the process: then its next
	// start is what must refuse, or do its work.
	refused := d.probe(ctx, false)
	ended := d.daemon.Ended()
	if err := os.Remove(filler); err != nil {
		return err
	}
	if refused != nil && ended == nil {
		return fmt.Errorf("%d MiB free: %w", left>>20, refused)
	}
	fmt.Printf("   %d MiB free: refused %d times, %s\n", left>>20, d.refused, fate(ended))
	if ended != nil {
		if left > 0 {
			d.tally.breakPromise(d.name, "%d MiB free: the watchdog did not stop work in time: %v", left>>20, ended)
		}
		if err := d.daemon.kill(ctx); err != nil {
			return err
		}
		if err := d.start(ctx); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
	}
	if err := d.probe(ctx, true); err != nil {
		return fmt.Errorf("with space again: %w", err)
	}
	return nil
}

// fill writes a file until only some bytes are free.
func (d *disk) fill(path string, left int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for {
		var stat syscall.Statfs_t
		if err := syscall.Statfs(d.mount, &stat); err != nil {
			return errors.Join(err, f.Close())
		}
		free := int64(stat.Bavail) * stat.Bsize
		if free <= left {
			return f.Close()
		}
		if _, err := f.Write(zeros[:min(free-left, int64(len(zeros)))]); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				return f.Close()
			}
			return errors.Join(err, f.Close())
		}
	}
}

// probe submits until the answer is what it should be: taken, or refused for
// want of space with what to do about it.
func (d *disk) probe(ctx context.Context, taken bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		j := d.traffic.jobOf(kindPure)
		err := d.traffic.submit(ctx, j)
		full := writ.IsCode(err, writ.CodeUnavailable) && strings.Contains(err.Error(), "almost full")
		switch {
		case taken && err == nil:
			return nil
		case !taken && full:
			var e *writ.Error
			if errors.As(err, &e) && e.Fix == "" {
				d.tally.breakPromise(d.name, "the refusal does not say what to do: %v", err)
			}
			d.refused++
			return d.reads(ctx)
		}
		if ended := d.daemon.Ended(); ended != nil {
			return ended
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("a submission was answered with %v (%s)", err, map[bool]string{true: "it should be taken", false: "it should be refused"}[taken])
		}
	}
}

// reads holds that what is there can be read while nothing is taken.
func (d *disk) reads(ctx context.Context) error {
	_, err := call(ctx, d.traffic.doors.operator, contract.ExecutionList, &contract.ExecutionListInput{})
	return err
}
