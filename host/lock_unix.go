//go:build linux || darwin

package host

import (
	"errors"
	"os"
	"syscall"
)

// lockCache holds a shared lock until the file is closed or the process dies, and
// calls alone first where nobody else holds one: what lies around is of the dead.
func lockCache(f *os.File, alone func() error) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		if err := alone(); err != nil {
			return err
		}
	case !errors.Is(err, syscall.EWOULDBLOCK):
		return err
	}
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
}
