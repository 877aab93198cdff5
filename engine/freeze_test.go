package engine_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

var (
	everything = contract.FreezeSubject{All: true}
	theTenant  = contract.FreezeSubject{Tenant: true}
	theBot     = contract.FreezeSubject{PrincipalID: agent.ID}
)

func (r *rig) freeze(s contract.FreezeSubject, mode writ.FreezeMode) {
	r.t.Helper()
	r.turn.Lock()
	defer r.turn.Unlock()
	r.freezeNow(s, mode)
}

// freezeNow is freeze for who holds turn.
func (r *rig) freezeNow(s contract.FreezeSubject, mode writ.FreezeMode) {
	r.t.Helper()
	_, err := r.kill.Freeze(as(approver), &contract.FreezeInput{FreezeSubject: s, Mode: mode, Reason: "it does harm"})
	r.do(err)
}

// unfreeze takes a freeze back and waits for what then goes on.
func (r *rig) unfreeze(s contract.FreezeSubject) {
	r.t.Helper()
	_, err := r.kill.Unfreeze(as(approver), &contract.UnfreezeInput{FreezeSubject: s, Reason: "it is over"})
	r.do(err)
	r.rest()
}

// rest waits until nothing moves, and what came of it can be read.
func (r *rig) rest() {
	r.t.Helper()
	r.do(r.engine.Rest(context.Background()))
	r.line.settle(r.t)
}

// held demands that a step is frozen and seen to be, and has made so many calls.
func (r *rig) held(id writ.ExecutionID, step string, calls int) *writ.Execution {
	r.t.Helper()
	state := r.expect(id, writ.ExecPaused)
	s := state.Step(step)
	if s == nil || s.Frozen == nil || r.tools.count() != calls {
		r.t.Fatalf("%d calls, want %d; step %s: %+v", r.tools.count(), calls, step, s)
	}
	seen, err := contract.ExecutionFrom(state)
	r.do(err)
	const why = "frozen by human:ada: it does harm"
	if seen.Reason != why || !slices.ContainsFunc(seen.Steps, func(s contract.Step) bool { return s.Name == step && s.Reason == why }) {
		r.t.Fatalf("nobody sees why: %q %+v", seen.Reason, seen.Steps)
	}
	return state
}

// TestAFreezeHoldsWhatHasNotBegun: the call in flight is waited for and kept, the
// guest is stopped at its next one, no step begins, a restart changes nothing of
// that, and what is unfrozen goes on by itself.
func TestAFreezeHoldsWhatHasNotBegun(t *testing.T) {
	for _, s := range []contract.FreezeSubject{everything, theTenant, theBot, {Skill: "test/twice <2"}} {
		r := newRig(t)
		working, release := r.tools.hold(1)
		id := r.begun(errandTwice, working)
		r.freeze(s, "")
		release()
		r.rest()
		state := r.held(id, "first", 1)
		if r.countRecords(id, writ.RecToolReturned) != 1 || state.Step("first").Status != writ.StepRunning {
			t.Fatalf("the call under way was not kept: %+v", state.Step("first"))
		}
		r.reboot()
		r.rest()
		r.held(id, "first", 1)
		if n := r.countRecords(id, writ.RecStepFrozen); n != 1 {
			t.Errorf("%d records of one freeze", n)
		}
		r.unfreeze(s)
		r.expect(id, writ.ExecCompleted)
		if r.tools.count() != 3 || r.countRecords(id, writ.RecStepStarted) != 2 || r.countRecords(id, writ.RecStepThawed) != 1 {
			t.Errorf("%d calls, %d attempts", r.tools.count(), r.countRecords(id, writ.RecStepStarted))
		}
		r.tools.once(t)
		r.identical(id)
	}
}

// TestWhatIsNotFrozenGoesOn beside what is.
func TestWhatIsNotFrozenGoesOn(t *testing.T) {
	for _, s := range []contract.FreezeSubject{
		{PrincipalID: "agent:other"}, {ChannelKey: "*"}, {Skill: "test/keep >1"}, {Skill: "test/note"},
	} {
		r := newRig(t)
		r.freeze(s, "")
		id := r.begin(agent, errandTwice)
		r.expect(id, writ.ExecCompleted)
		r.identical(id)
	}
	r := newRig(t)
	r.freeze(contract.FreezeSubject{Skill: "test/twice"}, "")
	id := r.begin(agent, strings.Replace(errandTwice, "needs: [first]", "needs: []", 1))
	if state := r.held(id, "first", 1); state.Step("second").Status != writ.StepCompleted || state.Step("first").Status != writ.StepPlanned {
		t.Errorf("%+v", state.Steps)
	}
	r.unfreeze(contract.FreezeSubject{Skill: "test/twice"})
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

// TestAFreezeInTheSameMomentCounts: it comes between a decision and the record that
// rests on it, of a call or of a step's start.
func TestAFreezeInTheSameMomentCounts(t *testing.T) {
	for _, kind := range []writ.RecordType{writ.RecToolCalled, writ.RecStepStarted} {
		r := newRig(t)
		id := r.submit(agent, store)
		r.compile(agent, id)
		froze := false
		r.line.before = func(b *writ.Batch) bool {
			if !froze && slices.ContainsFunc(b.Records, func(n writ.NewRecord) bool { return n.Type == kind }) {
				froze = true
				r.deaf.Store(true) // the engine has its locks: what runs must notice by itself
				r.freeze(theTenant, "")
			}
			return true
		}
		r.start(agent, id)
		r.held(id, "keep", 0)
		if r.countRecords(id, kind) != 0 {
			t.Errorf("%s was recorded after the freeze", kind)
		}
		r.unfreeze(theTenant)
		r.expect(id, writ.ExecCompleted)
		r.identical(id)
	}
}

// TestFrozenWorkFails where the freeze says so, with who, why and since when; what
// it had written is not written again when it is retried.
func TestFrozenWorkFails(t *testing.T) {
	r := newRig(t)
	working, release := r.tools.hold(1)
	id := r.begun(strings.Replace(errandTwice, "test/twice#run", "test/twice#run\n    retry: {attempts: 3, backoff: 1h}", 1), working)
	r.freeze(theBot, writ.FreezeFail)
	release()
	r.rest()
	state := r.expect(id, writ.ExecFailed)
	f := state.Step("first").Failure
	if f == nil || f.Code != string(writ.CodeFrozen) || !strings.Contains(f.Message, "principal agent:bot is frozen by human:ada since 20") ||
		!strings.Contains(f.Message, "it does harm") || !strings.Contains(f.Fix, "writ exec retry "+string(id)) {
		t.Fatalf("%+v", f)
	}
	if r.tools.count() != 1 || r.countRecords(id, writ.RecStepFrozen) != 0 || state.Step("second").Status != writ.StepSkipped {
		t.Errorf("%d calls, %+v", r.tools.count(), state.Step("second"))
	}
	r.identical(id)
	r.do(r.retry(id))
	r.expect(id, writ.ExecFailed) // it is frozen still
	r.unfreeze(theBot)
	r.do(r.retry(id))
	r.expect(id, writ.ExecCompleted)
	r.tools.once(t)
	r.identical(id)
}

// TestAnotherFreezeHoldsStill: an unfreeze of one scope does not lift another, and
// what waits fails when that is what holds it now.
func TestAnotherFreezeHoldsStill(t *testing.T) {
	r := newRig(t)
	id := r.submit(agent, store)
	r.compile(agent, id)
	r.freeze(theTenant, "")
	r.start(agent, id)
	r.held(id, "keep", 0)
	r.freeze(theBot, "") // the wider one holds it, whatever else does
	r.rest()
	if n := r.countRecords(id, writ.RecStepThawed); n != 0 {
		t.Errorf("%d times thawed", n)
	}
	r.unfreeze(theTenant)
	if state := r.held(id, "keep", 0); state.Step("keep").Frozen.Scope != writ.FreezePrincipal {
		t.Errorf("%+v", state.Step("keep").Frozen)
	}
	r.freeze(contract.FreezeSubject{Skill: "test/keep"}, writ.FreezeFail)
	r.rest()
	state := r.expect(id, writ.ExecFailed)
	if f := state.Step("keep").Failure; f.Code != string(writ.CodeFrozen) || r.tools.count() != 0 {
		t.Errorf("%+v", f)
	}
	r.identical(id)
}

// TestWhatUndoesWaits in a freeze that fails everything else.
func TestWhatUndoesWaits(t *testing.T) {
	r := newRig(t)
	r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
		if n == 2 { // of hotel, the last write before a step that cannot write
			r.freeze(everything, writ.FreezeFail)
		}
		return nil
	}
	id := r.begin(agent, saga)
	r.rest()
	state := r.held(id, "hotel/compensate", 2)
	if f := state.Step("note").Failure; f == nil || f.Code != string(writ.CodeFrozen) {
		t.Errorf("%+v", state.Step("note"))
	}
	r.reboot()
	r.rest()
	r.held(id, "hotel/compensate", 2)
	r.unfreeze(everything)
	r.expect(id, writ.ExecFailed)
	if got, want := r.effects(id), "key k/flight, key k/hotel, key k/undo-hotel, key k/undo-flight-1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r.identical(id)
}

// TestAFreezeReachesWhatASkillCalled: of the one that is called, and of the one
// that calls.
func TestAFreezeReachesWhatASkillCalled(t *testing.T) {
	for _, s := range []string{"test/keep", "test/pass", "test/call"} {
		r := newRig(t)
		id := r.submit(agent, calling("call", "pass", `{skill: test/keep, action: run, input: {key: k1, value: v}}`))
		r.compile(agent, id)
		froze := false
		r.line.before = func(b *writ.Batch) bool {
			if last := b.Records[len(b.Records)-1]; !froze && last.Type == writ.RecToolCalled && last.Body.Call.Tool == abi.ToolKVPut {
				froze = true
				r.deaf.Store(true)
				r.freeze(contract.FreezeSubject{Skill: s}, "")
			}
			return true
		}
		r.start(agent, id)
		r.held(id, "outer/call-1/call-1", 0)
		r.reboot()
		r.rest()
		r.held(id, "outer/call-1/call-1", 0)
		r.unfreeze(contract.FreezeSubject{Skill: s})
		r.expect(id, writ.ExecCompleted)
		if r.tools.count() != 1 {
			t.Errorf("%s: %d calls", s, r.tools.count())
		}
		r.identical(id)
	}
}

// TestAFrozenListIsNotIterated until it is unfrozen, or fails as a whole.
func TestAFrozenListIsNotIterated(t *testing.T) {
	const each = head + "  - {name: each, uses: test/keep#run, forEach: \"${{ ['a', 'b'] }}\", with: {key: \"k${{ item }}\", value: v}}\n"
	for _, mode := range []writ.FreezeMode{writ.FreezeWait, writ.FreezeFail} {
		r := newRig(t)
		r.freeze(contract.FreezeSubject{Skill: "test/keep"}, mode)
		id := r.begin(agent, each)
		if mode == writ.FreezeFail {
			r.expect(id, writ.ExecFailed)
			r.identical(id)
			continue
		}
		r.held(id, "each", 0)
		if r.countRecords(id, writ.RecStepExpanded) != 0 {
			t.Error("it has iterations already")
		}
		r.unfreeze(contract.FreezeSubject{Skill: "test/keep"})
		r.expect(id, writ.ExecCompleted)
		r.identical(id)
	}
}

// TestPeopleMayDecideWhileItIsFrozen, and their deadlines go on.
func TestPeopleMayDecideWhileItIsFrozen(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	r.freeze(everything, "")
	r.say(approver, id, r.pending(id))
	r.rest()
	r.held(id, "send", 0)
	_, err := r.engine.ExecutionCancel(as(agent), &contract.ExecutionCancelInput{ExecutionID: id})
	r.do(err)
	r.start(agent, id)
	state := r.expect(id, writ.ExecCancelled)
	if state.Frozen() != nil || r.tools.count() != 0 {
		t.Errorf("%d calls, %+v", r.tools.count(), state.Frozen())
	}
	r.identical(id)
}

// TestDeadlinesGoOnWhileItIsFrozen, and the time of steps does not.
func TestDeadlinesGoOnWhileItIsFrozen(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{hasty{judge}}})
		waits := r.begin(agent, post)
		approved := r.begin(agent, post)
		working, release := r.tools.hold(1)
		runs := r.begun(hurried, working)
		r.freeze(everything, "")
		release()
		r.say(approver, approved, r.pending(approved))
		r.rest()
		r.held(runs, "first", 1)
		r.held(approved, "send", 1)
		pass(r, 11*time.Minute) // past the time to decide
		r.expect(waits, writ.ExecExpired)
		r.held(runs, "first", 1)
		r.unfreeze(everything)
		r.expect(runs, writ.ExecCompleted) // in 1m of its own
		r.expect(approved, writ.ExecCompleted)
		for _, id := range []writ.ExecutionID{waits, approved, runs} {
			r.identical(id)
		}
	})
}

// TestAFrozenIntentIsRefused and loses nothing: it is taken later, under the same key.
func TestAFrozenIntentIsRefused(t *testing.T) {
	r := newRig(t)
	delegate := *agent
	delegate.ID, delegate.OnBehalfOf = "agent:deputy", []writ.PrincipalID{agent.ID}
	in := &contract.IntentSubmitInput{Text: "x", ChannelKey: "slack:T1", IdempotencyKey: "once"}
	for name, c := range map[string]struct {
		s       contract.FreezeSubject
		by      *writ.Principal
		refused bool
	}{
		"everything":         {everything, agent, true},
		"the tenant":         {theTenant, service, true},
		"the principal":      {theBot, agent, true},
		"who acts for it":    {theBot, &delegate, true},
		"another principal":  {theBot, service, false},
		"the channel":        {contract.FreezeSubject{ChannelKey: "slack:T1"}, agent, true},
		"channels like it":   {contract.FreezeSubject{ChannelKey: "slack:*"}, agent, true},
		"another channel":    {contract.FreezeSubject{ChannelKey: "slack:T2"}, agent, false},
		"a skill it may use": {contract.FreezeSubject{Skill: "test/echo"}, agent, false},
	} {
		r.freeze(c.s, writ.FreezeFail)
		_, err := r.engine.IntentSubmit(as(c.by), in)
		var e *writ.Error
		if c.refused != writ.IsCode(err, writ.CodeFrozen) || !c.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.refused {
			e = err.(*writ.Error)
			if !strings.Contains(e.Message, "by human:ada since 20") || !strings.Contains(e.Message, "it does harm") || !strings.Contains(e.Fix, "submit it again") {
				t.Errorf("%s: %q, %q", name, e.Message, e.Fix)
			}
		}
		r.unfreeze(c.s)
	}
	if _, err := r.engine.IntentSubmit(as(&delegate), in); err != nil {
		t.Errorf("after all of it: %v", err)
	}
}

// broken cannot say what is frozen.
type broken struct{}

func (broken) Frozen(context.Context, writ.TenantID, *writ.FreezeTarget) (*writ.Freeze, error) {
	return nil, writ.Errorf(writ.CodeTampered, "freeze/all", "the document cannot be read")
}

// leaving is asked once when the engine is about to close.
type leaving struct {
	asked chan struct{}
	once  sync.Once
}

func (l *leaving) Frozen(ctx context.Context, _ writ.TenantID, target *writ.FreezeTarget) (_ *writ.Freeze, err error) {
	if len(target.Skills) > 0 {
		l.once.Do(func() {
			close(l.asked)
			<-ctx.Done()
			err = ctx.Err()
		})
	}
	return nil, err
}

// TestACloseFailsNothing: a step whose freezes are looked up while the engine closes
// goes on in the next process, also where it is a list.
func TestACloseFailsNothing(t *testing.T) {
	for name, draft := range map[string]string{
		"step": store,
		"list": head + "  - {name: each, uses: test/echo#run, forEach: \"[1, 2]\", with: {n: \"${{ item }}\"}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			l := &leaving{asked: make(chan struct{})}
			r.freezes = l
			r.reboot()
			id := r.submit(agent, draft)
			r.compile(agent, id)
			engine := r.engine
			go func() { _, _ = engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id}) }()
			<-l.asked
			r.freezes = nil
			r.reboot()
			if err := r.engine.Rest(context.Background()); err != nil {
				t.Fatal(err)
			}
			r.identical(r.expect(id, writ.ExecCompleted).ID)
		})
	}
}

// TestNothingBeginsWhereNobodyKnows what is frozen; a replay does not ask.
func TestNothingBeginsWhereNobodyKnows(t *testing.T) {
	r := newRig(t)
	r.freeze(contract.FreezeSubject{Skill: "test/twice"}, "")
	done := r.begin(agent, errandTwice)
	r.unfreeze(contract.FreezeSubject{Skill: "test/twice"})
	r.expect(done, writ.ExecCompleted)
	id := r.submit(agent, store)
	r.freezes = broken{}
	r.reboot()
	r.identical(done)
	r.compile(agent, id)
	r.start(agent, id)
	state := r.expect(id, writ.ExecFailed)
	if f := state.Step("keep").Failure; f.Code != string(writ.CodeTampered) || r.tools.count() != 3 {
		t.Errorf("%d calls, %+v", r.tools.count(), f)
	}
	if _, err := r.engine.IntentSubmit(as(agent), &contract.IntentSubmitInput{Text: "x"}); !writ.IsCode(err, writ.CodeTampered) {
		t.Errorf("an intent was taken: %v", err)
	}
}

// TestAReplayNamesWhatWentOnInAFreeze: a journal without the record that ends one,
// or with another ending.
func TestAReplayNamesWhatWentOnInAFreeze(t *testing.T) {
	r := newRig(t)
	r.freeze(contract.FreezeSubject{Skill: "test/twice"}, "")
	waited := r.begin(agent, errandTwice)
	r.unfreeze(contract.FreezeSubject{Skill: "test/twice"})
	r.freeze(contract.FreezeSubject{Skill: "test/twice"}, writ.FreezeFail)
	failed := r.begin(agent, errandTwice)
	for name, c := range map[string]struct {
		id    writ.ExecutionID
		alter func([]writ.Stored) []writ.Stored
		field string
	}{
		"it went on": {waited, func(list []writ.Stored) []writ.Stored {
			return slices.DeleteFunc(list, func(s writ.Stored) bool { return s.Type == writ.RecStepThawed })
		}, "/frozen"},
		"it was not frozen": {waited, func(list []writ.Stored) []writ.Stored {
			return slices.DeleteFunc(list, func(s writ.Stored) bool { return s.Type == writ.RecStepFrozen })
		}, "/allowed"},
		"it should have failed": {waited, frozenAs(writ.FreezeFail), "/allowed"},
		"it failed for another reason": {failed, func(list []writ.Stored) []writ.Stored {
			return eachFrozen(list, func(f *writ.Freeze) { f.Reason = "mine" })
		}, "/message"},
	} {
		t.Run(name, func(t *testing.T) {
			forged := &forgery{Traces: r.journal, records: c.alter(r.records(c.id)), payloads: map[writ.Digest][]byte{}}
			read := r.payloads(c.id)
			for _, s := range forged.records {
				for _, ref := range s.Payloads {
					data, err := read(ref)
					r.do(err)
					forged.payloads[ref.Digest] = data
				}
			}
			r.traces = forged
			r.reopen()
			out := r.replay(c.id)
			r.traces = r.journal
			named := slices.ContainsFunc(out.Report, func(s contract.ReplayStage) bool {
				return s.FirstDifference != nil && s.FirstDifference.Field == c.field
			})
			if out.Identical || !named {
				t.Errorf("%s is not named: %s", c.field, differences(out))
			}
		})
	}
}

func frozenAs(mode writ.FreezeMode) func([]writ.Stored) []writ.Stored {
	return func(list []writ.Stored) []writ.Stored {
		return eachFrozen(list, func(f *writ.Freeze) { f.Mode = mode })
	}
}

func eachFrozen(list []writ.Stored, change func(*writ.Freeze)) []writ.Stored {
	for i := range list {
		if f := list[i].Body.Frozen; f != nil {
			altered := *f
			change(&altered)
			list[i].Body.Frozen = &altered
		}
	}
	return list
}

// reopen boots an engine that resumes nothing.
func (r *rig) reopen() {
	r.t.Helper()
	r.do(r.engine.Close(context.Background()))
	r.line.settle(r.t)
	r.boot()
}
