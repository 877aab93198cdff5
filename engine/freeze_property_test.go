package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// frozenThings are what may be frozen while the drafts of frozenWork run.
var frozenThings = []contract.FreezeSubject{
	everything, theTenant, theBot, {PrincipalID: service.ID}, {Skill: "test/twice"}, {Skill: "test/keep <2.0.0"}, {Skill: "test/call"},
}

// frozenWork has the skills of each step's name, callers included.
var frozenWork = []struct {
	draft  string
	skills map[string]string
}{
	{errandTwice, map[string]string{"first": "twice", "second": "keep"}},
	{calling("call", "keep", `{key: k1, value: v}`), map[string]string{"outer": "call", "outer/call-1": "keep call"}},
	{saga, map[string]string{"flight": "keep", "hotel": "keep", "note": "echo", "pay": "fail", "flight/compensate": "keep", "hotel/compensate": "keep"}},
}

// interval is while something was frozen, in the order of the store.
type interval struct {
	what     string
	from, to writ.Position // to 0: it is still
}

func (r *rig) frozenIntervals() []interval {
	r.t.Helper()
	records, err := r.journal.Records(context.Background(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if !writ.IsCode(err, writ.CodeNotFound) { // nothing was ever frozen
		r.do(err)
	}
	var out []interval
	for i := range records {
		f := records[i].Body.System
		at := slices.IndexFunc(out, func(o interval) bool { return o.what == f.Subject && o.to == 0 })
		switch {
		case f.Status == contract.StatusUnfrozen:
			out[at].to = records[i].Position
		case at < 0:
			out = append(out, interval{what: f.Subject, from: records[i].Position})
		}
	}
	return out
}

// covers reports whether what was frozen holds a step.
func (i *interval) covers(by writ.PrincipalID, skills string) bool {
	scope, subject, _ := strings.Cut(i.what, " ")
	switch writ.FreezeScope(scope) {
	case writ.FreezePrincipal:
		return subject == string(by)
	case writ.FreezeSkill:
		name, _, _ := strings.Cut(strings.TrimPrefix(subject, "test/"), " ")
		return slices.Contains(strings.Fields(skills), name)
	}
	return true
}

// nothingBegan demands that no step and no call began while it was frozen. The
// oracle is the order of the journal alone.
func (r *rig) nothingBegan(draw *rapid.T, id writ.ExecutionID, skills map[string]string) {
	state, frozen := r.state(id), r.frozenIntervals()
	for _, record := range r.records(id) {
		if record.Type != writ.RecStepStarted && record.Type != writ.RecToolCalled {
			continue
		}
		name := state.Step(string(record.Step)).Name
		for _, i := range frozen {
			if i.covers(state.Principal.ID, skills[name]) && record.Position > i.from && (i.to == 0 || record.Position < i.to) {
				draw.Fatalf("%s of step %s at %d, and %s was frozen from %d to %d", record.Type, name, record.Position, i.what, i.from, i.to)
			}
		}
	}
}

// TestPropertyNothingBeginsWhileItIsFrozen: whatever is frozen and unfrozen, while
// calls are under way too, over crashes and restarts.
func TestPropertyNothingBeginsWhileItIsFrozen(t *testing.T) {
	t.Parallel()
	judge := defaultJudge(t)
	rapid.Check(t, func(draw *rapid.T) {
		r := newRigWith(t, &rig{judges: judges{judge}})
		r.grants = append(r.grants, writ.Grant{ID: "grant_ci", Principal: service.ID, Tenant: writ.DefaultTenant, Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskHigh})
		thing := rapid.IntRange(0, len(frozenThings)-1)
		// In the middle of calls: which of them freeze something, and what.
		inside := map[int]int{}
		for range rapid.IntRange(0, 3).Draw(draw, "inside") {
			inside[rapid.IntRange(1, 8).Draw(draw, "call")] = thing.Draw(draw, "thing")
		}
		armed := true // held by turn: a call of a process that died long ago may come late
		r.tools.fail = func(n int, _ *writ.ToolCall) *writ.ToolResult {
			r.turn.Lock()
			defer r.turn.Unlock()
			if i, ok := inside[n]; ok && armed {
				r.freezeNow(frozenThings[i], writ.FreezeWait)
			}
			return nil
		}
		ids, kinds := r.frozenErrands(draw)
		for range rapid.IntRange(1, 10).Draw(draw, "operations") {
			i := thing.Draw(draw, "thing")
			switch rapid.SampledFrom([]string{"freeze", "freeze", "unfreeze", "unfreeze", "start", "start", "crash", "restart", "rest"}).Draw(draw, "operation") {
			case "freeze":
				r.freeze(frozenThings[i], writ.FreezeWait)
			case "unfreeze":
				_, err := r.kill.Unfreeze(as(approver), &contract.UnfreezeInput{FreezeSubject: frozenThings[i], Reason: "over"})
				if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
					draw.Fatal(err)
				}
			case "start":
				at := i % len(ids)
				_, err := r.engine.ExecutionStart(as(r.state(ids[at]).Principal), &contract.ExecutionStartInput{ExecutionID: ids[at]})
				if err != nil && !writ.IsCode(err, writ.CodeConflict) {
					draw.Fatal(err)
				}
			case "crash":
				r.crash()
			case "restart":
				r.reboot()
			case "rest":
				r.rest()
			}
		}
		r.rest()
		r.turn.Lock()
		armed = false
		r.turn.Unlock()
		for at, id := range ids {
			r.nothingBegan(draw, id, frozenWork[kinds[at]].skills)
		}
		for _, s := range frozenThings {
			_, _ = r.kill.Unfreeze(as(approver), &contract.UnfreezeInput{FreezeSubject: s, Reason: "the end"})
		}
		r.rest()
		for at, id := range ids {
			r.start(r.state(id).Principal, id)
			if state := r.state(id); !state.Status.Final() {
				draw.Fatalf("nothing is frozen, and %s is %s: %+v", id, state.Status, state.Steps)
			}
			r.nothingBegan(draw, id, frozenWork[kinds[at]].skills)
			r.identical(id)
		}
	})
}

// frozenErrands are executions that wait to be started.
func (r *rig) frozenErrands(draw *rapid.T) (ids []writ.ExecutionID, kinds []int) {
	for range rapid.IntRange(1, 3).Draw(draw, "executions") {
		kind := rapid.IntRange(0, len(frozenWork)-1).Draw(draw, "draft")
		by := rapid.SampledFrom([]*writ.Principal{agent, service}).Draw(draw, "by")
		id := r.submit(by, frozenWork[kind].draft)
		r.compile(by, id)
		ids, kinds = append(ids, id), append(kinds, kind)
	}
	return ids, kinds
}
