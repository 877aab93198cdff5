//go:build race

package host

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// shadow is what of this process's memory the race detector keeps books in, in
// bytes: the mappings of ThreadSanitizer's shadow and meta areas, which are the
// same on every Linux that Go's detector supports.
func shadow(t *testing.T) int64 {
	t.Helper()
	const from, to = 0x2000_0000_0000, 0x4000_0000_0000
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = maps.Close() }()
	var sum int64
	inside := false
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var start, end uint64
		var kib int64
		if strings.Contains(lines.Text(), "-") {
			if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &start, &end); n == 2 {
				inside = start >= from && start < to
				continue
			}
		}
		if n, _ := fmt.Sscanf(lines.Text(), "Rss: %d kB", &kib); n == 1 && inside {
			sum += kib << 10
		}
	}
	if err := lines.Err(); err != nil || sum == 0 {
		t.Fatalf("no shadow in smaps: %v", err)
	}
	return sum
}

// starved says whether a compiling process ended for want of memory: the
// detector's runtime ends it before Go's own can.
func starved(err error, _ CompileLimits) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if strings.Contains(err.Error(), "ThreadSanitizer failed to allocate") {
			return true
		}
	}
	return false
}
