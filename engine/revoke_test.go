package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/writ-run/writ"
)

// revocable is the shelf without what was revoked, as the registry would answer.
type revocable struct {
	writ.Skills
	r *rig
}

func (s revocable) Load(ctx context.Context, req writ.LoadRequest) (*writ.Skill, error) {
	if revoked := s.r.revoked.Load(); revoked != nil && *revoked == req.Ref.Key && !req.Replaying {
		return nil, writ.Errorf(writ.CodeSkillRefused, "skill "+req.Ref.String(), "RELEASE_REVOKED: it was denied by ada at noon: harmful")
	}
	return s.Skills.Load(ctx, req)
}

// revoke takes a skill out and records it, which moves the tenant's epoch.
func (r *rig) revoke(key writ.SkillKey) {
	r.revoked.Store(&key)
	_, err := r.journal.Append(context.Background(), &writ.Batch{
		Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{Type: writ.RecTrustChanged, Body: writ.Body{System: &writ.SystemFacts{Subject: string(key)}}}},
	})
	if err != nil {
		r.t.Error(err)
	}
}

func (r *rig) refused(id writ.ExecutionID, step string) {
	r.t.Helper()
	s := r.state(id).Step(step)
	if s.Status != writ.StepFailed || s.Failure == nil || s.Failure.Code != string(writ.CodeSkillRefused) || !strings.Contains(s.Failure.Message, "denied by ada at noon: harmful") {
		r.t.Errorf("step %s is %s: %+v", step, s.Status, s.Failure)
	}
}

// TestASkillRevokedInTheMiddleOfAStepMakesNoFurtherCall: while its first call is
// performed the skill is revoked; its second is never made.
func TestASkillRevokedInTheMiddleOfAStepMakesNoFurtherCall(t *testing.T) {
	r := newRig(t)
	r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
		if n == 1 {
			r.revoke("test/twice")
		}
		return nil
	}
	id := r.begin(agent, head+"  - {name: keep, uses: test/twice#run, with: {key: k1, value: v}}\n")
	r.expect(id, writ.ExecFailed)
	if r.tools.count() != 1 || r.countRecords(id, writ.RecToolCalled) != 1 {
		t.Errorf("%d calls, want 1", r.tools.count())
	}
	r.refused(id, "keep")
	r.identical(id)
}

// TestASkillRevokedBetweenTwoStepsDoesNotRun, and what has completed still replays.
func TestASkillRevokedBetweenTwoStepsDoesNotRun(t *testing.T) {
	r := newRig(t)
	before := r.begin(agent, store)
	r.expect(before, writ.ExecCompleted)
	r.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult {
		r.revoke("test/keep")
		return nil
	}
	id := r.begin(agent, head+`
  - {name: first, uses: test/twice#run, with: {key: k1, value: v}}
  - {name: second, uses: test/keep#run, needs: [first], with: {key: k1, value: v}}
`)
	r.expect(id, writ.ExecFailed)
	if state := r.state(id); state.Step("first").Status != writ.StepCompleted {
		t.Errorf("first is %s", state.Step("first").Status)
	}
	r.refused(id, "second")
	if r.tools.count() != 3 {
		t.Errorf("%d calls, want 3", r.tools.count())
	}
	r.identical(id)
	r.identical(before)
}

// TestARevokedSkillIsNotSentAgain: a write under its key would be sent again after
// a crash, but for a skill that has been revoked meanwhile: people decide. It is
// revoked before the step is taken up again, and after it was loaded for that.
func TestARevokedSkillIsNotSentAgain(t *testing.T) {
	for name, when := range map[string]func(r *rig){
		"before it is loaded": func(r *rig) { r.revoke("test/web") },
		"after it was loaded": func(r *rig) {
			r.line.before = func(b *writ.Batch) bool {
				if b.Records[0].Type == writ.RecVerdict && r.revoked.Load() == nil {
					r.revoke("test/web")
				}
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) { revokedBeforeItIsSentAgain(t, when) })
	}
}

func revokedBeforeItIsSentAgain(t *testing.T, when func(r *rig)) {
	r := newRig(t)
	working, release := r.tools.holdFirst()
	id := r.begin(agent, head+"  - {name: send, uses: test/web#run, with: {method: PUT, url: \"https://api.example.com/a\", body: x}}\n")
	r.say(approver, id, r.pending(id))
	<-working
	r.crashAnd(func() { when(r) })
	state := r.finish(id)
	close(release)
	if state.Status != writ.ExecIndeterminate || r.tools.count() != 1 {
		t.Errorf("%s after %d calls", state.Status, r.tools.count())
	}
	r.identical(id)
}

// TestACallerThatIsRevokedLeavesNothingOpen: what it called waits for people and
// ends with it, whatever they say then.
func TestACallerThatIsRevokedLeavesNothingOpen(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, calling("send", "web", `{method: POST, url: "https://api.example.com/a", body: x}`))
	item := r.pending(id)
	r.revoke("test/send")
	r.say(approver, id, item)
	r.start(agent, id)
	state := r.expect(id, writ.ExecFailed)
	r.refused(id, "outer")
	if inner := state.Step("outer/call-1"); inner.Status != writ.StepCancelled || r.tools.count() != 0 {
		t.Errorf("%d calls; %s: %s", r.tools.count(), inner.Status, inner.Reason)
	}
	r.identical(id)
}
