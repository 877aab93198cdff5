//go:build linux

package main

import (
	"fmt"
	"sync"

	"github.com/writ-run/writ/bench/report"
)

// tally collects counts and broken promises.
type tally struct {
	rows []report.Row

	mu     sync.Mutex // guards what follows
	broken []string
}

// count adds a row without a target.
func (t *tally) count(scene, name string, n int) {
	t.rows = append(t.rows, report.Row{Name: scene + ": " + name, Value: float64(n), Unit: "", Better: report.Higher})
}

// atLeast adds a row with a target: too few of them prove nothing.
func (t *tally) atLeast(scene, name string, n, target int) {
	t.rows = append(t.rows, report.Row{Name: scene + ": " + name, Value: float64(n), Unit: "", Target: float64(target), Better: report.Higher})
	if n < target {
		t.breakPromise(scene, "%s: %d, and %d were to be made", name, n, target)
	}
}

// breakPromise notes what was broken and says so at once.
func (t *tally) breakPromise(scene, format string, args ...any) {
	text := scene + ": " + fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = append(t.broken, text)
	const shown = 40 // one cause breaks many
	if len(t.broken) <= shown {
		fmt.Println("   BROKEN", text)
	}
}

// close adds the row of what a scene has broken since before.
func (t *tally) close(scene string, before int) {
	t.mu.Lock()
	n := len(t.broken) - before
	t.mu.Unlock()
	t.rows = append(t.rows, report.Row{Name: scene + ": promises broken", Value: float64(n), Better: report.Lower})
}

// soFar is how many promises were broken.
func (t *tally) soFar() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.broken)
}
