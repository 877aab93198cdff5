package engine_test

import (
	"context"
	"slices"
	"testing"

	"github.com/writ-run/writ"
)

// between does something to the tenant right before a tool call is recorded: the
// call has been judged by then.
func (r *rig) between(change func()) {
	r.line.before = func(b *writ.Batch) bool {
		called := slices.ContainsFunc(b.Records, func(n writ.NewRecord) bool { return n.Type == writ.RecToolCalled })
		if !called || change == nil {
			return true
		}
		change()
		change = nil
		_, err := r.journal.Append(context.Background(), &writ.Batch{
			Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
			Records: []writ.NewRecord{{Type: writ.RecGrantChanged, Body: writ.Body{System: &writ.SystemFacts{Subject: "grant_all"}}}},
		})
		return err == nil
	}
}

const store = head + "  - {name: keep, uses: test/keep#run, with: {key: k1, value: v}}\n"

// TestARevocationInTheSameMomentCounts: between the decision and its record a
// grant is revoked, a skill is disabled, or something else changes.
func TestARevocationInTheSameMomentCounts(t *testing.T) {
	judge := defaultJudge(t)
	for name, test := range map[string]struct {
		change func(r *rig)
		status writ.ExecutionStatus
		calls  int
		epoch  uint64
	}{
		"a grant":        {func(r *rig) { r.grants = nil }, writ.ExecBlocked, 0, 0},
		"a skill":        {func(r *rig) { delete(r.skills, "test/keep") }, writ.ExecFailed, 0, 0},
		"something else": {func(*rig) {}, writ.ExecCompleted, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigWith(t, &rig{judges: judges{judge}})
			id := r.submit(agent, store)
			r.compile(agent, id)
			r.between(func() { test.change(r) })
			r.start(agent, id)
			r.expect(id, test.status)
			if r.tools.count() != test.calls || r.countRecords(id, writ.RecToolCalled) != test.calls {
				t.Errorf("%d calls, want %d", r.tools.count(), test.calls)
			}
			for _, record := range r.records(id) {
				if record.Type == writ.RecToolCalled && record.Body.Call.Epoch != test.epoch {
					t.Errorf("the call was made in epoch %d, want %d", record.Body.Call.Epoch, test.epoch)
				}
			}
			if name != "a skill" { // which is gone, and not merely disabled
				r.identical(id)
			}
		})
	}
}
