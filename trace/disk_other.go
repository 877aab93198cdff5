//go:build !unix

package trace

import (
	"math"
	"os"
)

// freeSpace is not known here; Options.Free can tell.
func freeSpace(string) (uint64, error) { return math.MaxUint64, nil }

// lockFile leaves the exclusion to Badger's own lock.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}
