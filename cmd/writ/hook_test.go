package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// What a hook did not bring about is said, in words of ours and without what a terminal
// would obey.
func TestTroublesOfAHookAreShown(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := &app{stdio: stdio{out: &out}, clock: func() time.Time { return now }}
	failure := contract.HookFailure{Code: writ.CodeInvalid, Message: "the receiver answered 404\x1b[2J", Fix: "see its log"}
	h := &contract.Hook{
		Name: "pager", Failure: &failure, DeadTotal: 2,
		Pending: &contract.HookPending{Type: contract.EventApprovalExpired, Position: 9, Attempts: 3, Since: canon.TimeOf(now)},
		DeadLetters: []contract.HookLetter{
			{Type: contract.EventApprovalRequested, ExecutionID: "exe_a", Position: 7, Attempts: 8, Failure: failure},
			{Type: contract.EventDriftDetected, Position: 8, Attempts: 24, Failure: failure},
		},
	}
	if err := a.print(h, func(t *table) { hookTroubles(t, h) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"pager: controlPlane.approval.expired (position 9) was tried 3 time(s) since 2026-03-01T12:00:00",
		"what to do: see its log",
		"pager: given up after 8 attempt(s): controlPlane.approval.requested of exe_a (position 7): the receiver answered 404",
		"pager: given up after 24 attempt(s): controlPlane.drift.detected (position 8): the receiver answered 404",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q: %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("an escape reaches the terminal: %q", out.String())
	}
	for at, want := range map[writ.Time]string{0: "", canon.TimeOf(now): "now", canon.TimeOf(now.Add(-time.Hour)): "now", canon.TimeOf(now.Add(90 * time.Second)): "in 1m30s"} {
		if got := a.until(at); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}
