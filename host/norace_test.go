//go:build !race

package host

import (
	"errors"
	"fmt"
	"testing"
)

// shadow is what of this process's memory the race detector keeps books in.
func shadow(*testing.T) int64 { return 0 }

// starved says whether a compiling process ended for want of memory.
func starved(err error, limits CompileLimits) bool {
	var bad *moduleError
	return errors.As(err, &bad) &&
		bad.message == fmt.Sprintf("the compiler failed on it, or took more than %d MiB of memory", limits.Memory>>20)
}
