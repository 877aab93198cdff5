package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// TestACrashDuringAnEdit: before each batch of records in turn. Either the old
// execution waits as before, and the new one cannot be started, or the new one is
// there and the old one is closed. The same request completes it, unless the old one
// went on meanwhile.
func TestACrashDuringAnEdit(t *testing.T) {
	judge := defaultJudge(t)
	waits, closed := 0, 0
	for _, then := range []string{"again", "approve"} {
		for at, whole := 1, false; !whole; at++ {
			if at > 30 {
				t.Fatal("the edit does not get shorter")
			}
			r := newRigWith(t, &rig{judges: judges{judge}})
			id := r.begin(agent, post)
			asked := r.pending(id)
			batches := 0
			whole = true
			r.line.mu.Lock()
			r.line.before = func(*writ.Batch) bool {
				batches++
				whole = whole && batches != at
				return batches != at
			}
			r.line.mu.Unlock()
			_, err := r.edit(approver, id, "k", input("send", edited))
			if (err == nil) != whole {
				t.Fatalf("crash before batch %d: %v", at, err)
			}
			r.crash()
			old := r.state(id)
			if old.EditedInto == nil {
				waits++
				r.untouched(id, asked.Digest)
			} else {
				closed++
			}
			if then == "approve" && old.EditedInto == nil {
				r.approve(second, id)
				r.expect(id, writ.ExecCompleted)
				if _, err := r.edit(approver, id, "k", input("send", edited)); !writ.IsCode(err, writ.CodeConflict) {
					t.Errorf("an edit of what has been done: %v", err)
				}
			} else {
				out, err := r.edit(approver, id, "k", input("send", edited))
				if err != nil {
					t.Fatalf("crash before batch %d, the edit again: %v", at, err)
				}
				if err := r.word(second, id, asked); !writ.IsCode(err, writ.CodeConflict) {
					t.Errorf("what is stale: %v", err)
				}
				r.approve(second, out.ExecutionID)
				r.expect(out.ExecutionID, writ.ExecCompleted)
				r.expect(id, writ.ExecRejected)
			}
			if r.tools.count() != 1 {
				t.Errorf("crash before batch %d: %d calls", at, r.tools.count())
			}
			for _, x := range r.executions() {
				if !x.Status.Final() {
					t.Errorf("crash before batch %d: %s is %s", at, x.ID, x.Status)
				}
				r.identical(x.ID)
			}
		}
	}
	if waits < 6 || closed < 6 {
		t.Errorf("%d crashes before it took place, %d after", waits, closed)
	}
}

// untouched demands that an execution waits as before, and that nothing that was made
// of it can be started.
func (r *rig) untouched(id writ.ExecutionID, digest writ.Digest) {
	r.t.Helper()
	if now := r.pending(id); now.Digest != digest {
		r.t.Errorf("what is asked is another: %s", now.Digest)
	}
	for _, x := range r.executions() {
		if x.ID == id {
			continue
		}
		if _, err := r.engine.ExecutionStart(as(operator), &contract.ExecutionStartInput{ExecutionID: x.ID}); !writ.IsCode(err, writ.CodeConflict) {
			r.t.Errorf("%s, whose edit did not take place, is started: %v", x.ID, err)
		}
	}
}

// soon gives people ten minutes.
func soon(_ *writ.Question, v *writ.Verdict) {
	if v.Mode == writ.Assist {
		v.Approvals.ExpiresIn = abi.Duration(10 * time.Minute)
	}
}

// lineage is an execution with all that it was edited into, as a model keeps it.
type lineage struct {
	writers map[writ.ExecutionID][]writ.PrincipalID // who asked, wrote or was stood in for
	stale   map[writ.ExecutionID]bool
}

// TestPropertyEdits: whoever edits, approves, rejects, retries and starts what in
// which order, and however often the host dies, of one intent one execution at most
// goes on, its write happens once at most, and only after somebody has said yes to
// exactly this plan who neither asked for it nor wrote any of it.
func TestPropertyEdits(t *testing.T) {
	t.Parallel()
	judge := defaultJudge(t)
	met := map[string]int{}
	people := []writ.PrincipalID{"human:ada", "human:bob", "human:cyd", "human:dep"}
	rapid.Check(t, func(rt *rapid.T) {
		type move struct {
			what  string
			who   writ.PrincipalID
			place writ.PrincipalID
			which int
			dies  int // before this batch from now on; 0: not
			text  string
		}
		moves := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) move {
			return move{
				what: rapid.SampledFrom([]string{"edit", "edit", "approve", "approve", "reject", "start", "retry", "restart"}).Draw(t, "what"),
				who:  rapid.SampledFrom(append(slices.Clone(people), "agent:bot")).Draw(t, "who"),
				place: rapid.SampledFrom([]writ.PrincipalID{
					"", "", "human:ada", "human:cyd",
				}).Draw(t, "in whose place"),
				which: rapid.IntRange(0, 3).Draw(t, "which"), dies: max(0, rapid.IntRange(-6, 7).Draw(t, "dies")),
				text: rapid.SampledFrom([]string{"one", "two", "hi"}).Draw(t, "text"),
			}
		}), 1, 10).Draw(rt, "moves")
		synctest.Test(t, func(t *testing.T) {
			r := newRigWith(t, &rig{judges: judges{changing{judge, soon}}})
			for _, absent := range []writ.PrincipalID{"human:ada", "human:cyd"} {
				for _, to := range people {
					if to != absent {
						r.away = append(r.away, writ.Delegation{ID: "dlg", By: absent, To: to, Roles: []string{"approver"}, Until: 1 << 62})
					}
				}
			}
			asking := *agent
			asking.OnBehalfOf = []writ.PrincipalID{"human:dep"}
			of := &lineage{writers: map[writ.ExecutionID][]writ.PrincipalID{}, stale: map[writ.ExecutionID]bool{}}
			first := r.begin(&asking, post)
			of.writers[first] = []writ.PrincipalID{agent.ID, "human:dep"}
			for _, m := range moves {
				all := r.executions()
				x := all[m.which%len(all)]
				p := person(m.who, "approver", "operator")
				if m.who == agent.ID {
					p = &asking
				}
				batches := 0
				r.line.mu.Lock()
				r.line.before = func(*writ.Batch) bool { batches++; return m.dies == 0 || batches != m.dies }
				r.line.mu.Unlock()
				err := r.do1(p, x, m.what, m.place, m.text)
				synctest.Wait()
				if err == nil {
					met[m.what]++
				}
				if m.what == "edit" {
					of.note(r, x.ID, p, m.place)
				}
				if m.what == "restart" || r.line.isCut() {
					r.crash()
					synctest.Wait()
				}
				of.check(t, r)
			}
			r.bury()
			r.line.mu.Lock()
			r.line.before = nil
			r.line.mu.Unlock()
			pass(r, 11*time.Minute) // whatever is still open is over
			of.check(t, r)
			for _, x := range r.executions() {
				r.identical(x.ID)
				met[string(x.Status)]++
			}
		})
	})
	for _, what := range []string{"edit", "approve", "reject", "completed", "rejected", "expired", "compiled"} {
		if met[what] == 0 {
			t.Errorf("no %s: the moves are too tame: %v", what, met)
		}
	}
}

// do1 is one move. Its answer is of no interest but for whether it was one.
func (r *rig) do1(p *writ.Principal, x *writ.Execution, what string, absent writ.PrincipalID, text string) error {
	var step writ.StepState
	if len(x.Steps) > 0 {
		step = x.Steps[0]
	}
	var digest writ.Digest
	if step.Approval != nil {
		digest = step.Approval.Digest
	}
	var err error
	switch what {
	case "edit":
		_, err = r.engine.ExecutionEdit(as(p), &contract.ExecutionEditInput{
			ExecutionID: x.ID, For: absent, Reason: "r", IdempotencyKey: text, Wait: true,
			Steps: []contract.StepEdit{input("send", `{"method":"POST","url":"https://api.example.com/items","body":"`+text+`"}`)},
		})
	case "approve":
		_, err = r.engine.ExecutionApprove(as(p), &contract.ExecutionApproveInput{ExecutionID: x.ID, StepID: step.ID, ApprovalDigest: digest, For: absent, Signature: []byte("s")})
	case "reject":
		_, err = r.engine.ExecutionReject(as(p), &contract.ExecutionRejectInput{ExecutionID: x.ID, StepID: step.ID, For: absent, Reason: "no"})
	case "start":
		_, err = r.engine.ExecutionStart(as(p), &contract.ExecutionStartInput{ExecutionID: x.ID, Wait: true})
	case "retry":
		_, err = r.engine.ExecutionRetry(as(p), &contract.ExecutionRetryInput{ExecutionID: x.ID, Wait: true})
	}
	return err
}

func (l *lifeline) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// note writes down who has written what an edit made.
func (l *lineage) note(r *rig, from writ.ExecutionID, p *writ.Principal, absent writ.PrincipalID) {
	for _, x := range r.executions() {
		if l.writers[x.ID] == nil {
			l.writers[x.ID] = slices.Concat(l.writers[from], []writ.PrincipalID{p.ID, absent}, p.OnBehalfOf)
		}
	}
}

// check judges what there is by the state alone, in its own words.
func (l *lineage) check(t *testing.T, r *rig) {
	t.Helper()
	going, done := 0, 0
	for _, x := range r.executions() {
		if x.RunID != "" && !x.Status.Final() {
			going++
		}
		if x.Status == writ.ExecCompleted {
			done++
		}
		if x.Status == writ.ExecCompleted || x.Step("send") != nil && x.Step("send").Calls > 0 {
			yes := false
			for _, d := range x.Step("send").Approval.Decisions {
				if d.Approved && (slices.Contains(l.writers[x.ID], d.By) || d.For != "" && slices.Contains(l.writers[x.ID], d.For)) {
					t.Fatalf("%s was approved by %s for %q, who wrote it: %v", x.ID, d.By, d.For, l.writers[x.ID])
				}
				yes = yes || d.Approved
			}
			if a := x.Step("send").Approval; !yes || a.Request.Execution != x.ID || a.Request.PlanHash != x.PlanHash {
				t.Fatalf("%s went on without a yes of its own: %+v", x.ID, a)
			}
		}
		if x.EditedInto != nil {
			l.stale[x.ID] = true
		}
		if l.stale[x.ID] && x.RunID != "" && x.Status != writ.ExecRejected && x.Status.Final() {
			t.Fatalf("%s was edited and is %s", x.ID, x.Status)
		}
	}
	if going+done > 1 || r.tools.count() > 1 {
		t.Fatalf("%d go on, %d are done, %d calls", going, done, r.tools.count())
	}
}
