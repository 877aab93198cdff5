package trace

import (
	"context"
	"testing"

	"github.com/writ-run/writ"
)

// After a sync that failed nothing is acknowledged, not even by a sync that
// succeeds.
func TestFailedSyncPoisons(t *testing.T) {
	j := openInside(t, t.TempDir())
	ctx := context.Background()
	appendNotes(t, j, "exe_1", 1)
	if err := j.synced.file.Close(); err != nil {
		t.Fatal(err)
	}
	one := func(stream writ.StreamID) (writ.Receipt, error) {
		return j.Append(ctx, &writ.Batch{Tenant: "default", Stream: stream, Records: []writ.NewRecord{{Type: writ.RecSealed, Time: 1}}})
	}
	receipt, err := one("exe_2")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := j.Barrier(ctx, receipt.Position); !writ.IsCode(err, writ.CodeUnavailable) {
			t.Fatalf("the barrier said %v", err)
		}
	}
	if _, err := one("exe_3"); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("append said %v", err)
	}
	if err := j.Close(ctx); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("close said %v", err)
	}
}

// What is synced is the log that the last commit went to, over several of them.
func TestSyncFollowsTheLog(t *testing.T) {
	j := openInside(t, t.TempDir())
	first := j.synced.number
	const mebibytes = 3 * memTableSize / (1 << 20)
	for i := range mebibytes {
		appendSized(t, j, writ.StreamID(rune('a'+i%26))+writ.StreamID(rune('a'+i/26)), 1, 1<<20)
	}
	if err := j.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if j.synced.number < first+2 {
		t.Fatalf("%d MiB were synced in logs %d to %d", mebibytes, first, j.synced.number)
	}
}
