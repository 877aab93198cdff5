// Package tracetest has journals for the tests of other packages.
package tracetest

import (
	"context"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/trace"
)

// Memory is a journal that is gone with the test. It anchors nothing by itself within a
// day, so that a test whose clock stands or jumps waits for nobody.
func Memory(t testing.TB, clock writ.Clock) *trace.Journal {
	t.Helper()
	journal, err := trace.Open(context.Background(), trace.Options{InMemory: true, Clock: clock, AnchorEvery: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := journal.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return journal
}
