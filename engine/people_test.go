package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// changing is a judge whose answers a test changes.
type changing struct {
	slow   writ.Judge
	change func(q *writ.Question, v *writ.Verdict)
}

func (c changing) Policy() writ.PolicyRef { return c.slow.Policy() }

func (c changing) Judge(ctx context.Context, q *writ.Question) (*writ.Verdict, error) {
	v, err := c.slow.Judge(ctx, q)
	if err == nil {
		c.change(q, v)
	}
	return v, err
}

// person is somebody with roles.
func person(id writ.PrincipalID, roles ...string) *writ.Principal {
	return &writ.Principal{ID: id, Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Roles: roles, Strength: writ.StrengthToken}
}

// setsOfTwo asks for one of security and one of finance, soon.
func setsOfTwo(q *writ.Question, v *writ.Verdict) {
	if v.Mode != writ.Assist || q.Point != writ.PointStep {
		return
	}
	v.Approvals = writ.Requirement{
		Count: 2, Quorum: []writ.Seats{{Role: "finance", Count: 1}, {Role: "security", Count: 1}},
		ExpiresIn: abi.Duration(10 * time.Minute), EscalateAfter: abi.Duration(2 * time.Minute), EscalateTo: []string{"admin"},
	}
}

// TestQuorumEscalationAndExpiryOutlastRestarts: what was said stays said, time
// alone widens whom it asks and never what it asks for, and ends it at the deadline.
func TestQuorumEscalationAndExpiryOutlastRestarts(t *testing.T) {
	judge := defaultJudge(t)
	for _, last := range []string{"approved", "expired"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigWith(t, &rig{judges: judges{changing{judge, setsOfTwo}}})
			id := r.begin(agent, post)
			asked := r.pending(id)
			r.approve(person("human:sec", "security"), id)
			r.expect(id, writ.ExecAwaitingApproval)
			if err := r.tryWord(person("human:sec2", "approver"), id); !writ.IsCode(err, writ.CodeForbidden) {
				t.Fatalf("somebody of neither set: %v", err)
			}
			if err := r.tryWord(person("human:root", "admin"), id); !writ.IsCode(err, writ.CodeForbidden) {
				t.Fatalf("an admin before the escalation: %v", err)
			}
			r.reboot()
			item := r.pending(id)
			if item.Digest != asked.Digest || item.Granted != 1 || len(item.Missing) != 1 || item.Missing[0] != (contract.Seats{Role: "finance", Count: 1}) {
				t.Fatalf("after the restart: %+v", item)
			}
			pass(r, 3*time.Minute)
			if r.countRecords(id, writ.RecApprovalEscalated) != 1 || r.pending(id).Status != writ.ApprovalEscalated {
				t.Fatal("nothing was escalated after three minutes")
			}
			r.reboot()
			r.approve(person("human:root", "admin"), id) // counts, and is no finance
			r.expect(id, writ.ExecAwaitingApproval)
			if item = r.pending(id); item.Granted != 2 || item.Missing[0].Role != "finance" {
				t.Fatalf("after the admin: %+v", item)
			}
			r.reboot()
			if last == "approved" {
				r.approve(person("human:fin", "finance"), id)
				r.expect(id, writ.ExecCompleted)
			} else {
				pass(r, 8*time.Minute)
				r.expect(id, writ.ExecExpired)
				if err := r.tryWord(person("human:fin", "finance"), id); err == nil || r.tools.count() != 0 {
					t.Errorf("after the deadline: %v, %d calls", err, r.tools.count())
				}
			}
			if r.countRecords(id, writ.RecApprovalOpened) != 1 || r.countRecords(id, writ.RecApprovalEscalated) != 1 {
				t.Error("it was asked or escalated more than once")
			}
			r.identical(id)
		})
	}
}

// TestWhatMatchesHowIsEnough: who has both roles makes room for who has one.
func TestWhatMatchesHowIsEnough(t *testing.T) {
	r := newRigWith(t, &rig{judges: judges{changing{defaultJudge(t), setsOfTwo}}})
	id := r.begin(agent, post)
	r.approve(person("human:both", "finance", "security"), id)
	r.expect(id, writ.ExecAwaitingApproval)
	r.approve(person("human:fin", "finance"), id)
	state := r.expect(id, writ.ExecCompleted)
	if d := state.Steps[0].Approval.Decisions; len(d) != 2 || strings.Join(d[0].Roles, " ") != "finance security" {
		t.Errorf("%+v", d)
	}
	r.identical(id)
}

// TestADeputyDecidesInTheAbsentPersonsPlace and both count as one.
func TestADeputyDecidesInTheAbsentPersonsPlace(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := start
	r := newRigWith(t, &rig{judges: judges{changing{defaultJudge(t), setsOfTwo}}, now: func() time.Time { return now }})
	at := func(d time.Duration) writ.Time { return writ.Time(start.Add(d).UnixNano()) }
	ada, bob := person("human:ada", "security", "approver"), person("human:bob")
	r.away = []writ.Delegation{
		{ID: "dlg_1", By: ada.ID, To: bob.ID, Roles: []string{"security"}, From: at(time.Minute), Until: at(3 * time.Minute)},
		{ID: "dlg_2", By: "human:fin", To: agent.ID, Roles: []string{"finance"}, From: at(0), Until: at(time.Hour)},
		{ID: "dlg_3", By: "human:asker", To: bob.ID, Roles: []string{"finance"}, From: at(0), Until: at(time.Hour)},
		{ID: "dlg_4", By: bob.ID, To: "human:cyd", Roles: []string{}, From: at(0), Until: at(time.Hour)},
	}
	asking := *agent
	asking.OnBehalfOf = []writ.PrincipalID{"human:asker"}
	id := r.begin(&asking, post)
	item := r.pending(id)
	tryFor := func(p *writ.Principal, absent writ.PrincipalID) error {
		_, err := r.engine.ExecutionApprove(as(p), &contract.ExecutionApproveInput{
			ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, For: absent, Signature: []byte("signed"),
		})
		return err
	}
	refused := func(name string, code writ.Code, err error) {
		t.Helper()
		if !writ.IsCode(err, code) {
			t.Fatalf("%s: %v, want %s", name, err, code)
		}
	}
	refused("before it begins", writ.CodeForbidden, tryFor(bob, ada.ID))
	now = start.Add(time.Minute)
	refused("without saying for whom", writ.CodeForbidden, tryFor(bob, ""))
	refused("for who has not delegated", writ.CodeForbidden, tryFor(bob, "human:fin"))
	refused("an agent as a deputy", writ.CodeForbidden, tryFor(agent, "human:fin"))
	refused("for the one who asked", writ.CodeForbidden, tryFor(bob, "human:asker"))
	refused("what was delegated to the delegator", writ.CodeForbidden, tryFor(person("human:cyd"), bob.ID))
	if err := tryFor(bob, ada.ID); err != nil {
		t.Fatal(err)
	}
	refused("the absent person too", writ.CodeConflict, tryFor(ada, ""))
	refused("the deputy again", writ.CodeConflict, tryFor(bob, ada.ID))
	r.reboot()
	refused("the deputy, once more in its own name", writ.CodeConflict, tryFor(person(bob.ID, "finance"), ""))
	refused("the absent person, after a restart", writ.CodeConflict, tryFor(ada, ""))
	now = start.Add(3 * time.Minute)
	refused("after it has ended", writ.CodeForbidden, tryFor(bob, ada.ID))
	r.approve(person("human:fin", "finance"), id)
	state := r.expect(id, writ.ExecCompleted)
	d := state.Steps[0].Approval.Decisions[0]
	if d.By != bob.ID || d.For != ada.ID || d.Delegation != "dlg_1" || strings.Join(d.Roles, " ") != "security" {
		t.Errorf("the decision says %+v", d)
	}
	r.identical(id)
}

// TestADeputyMayRejectForTheAbsentPerson: one no of anyone entitled ends it.
func TestADeputyMayRejectForTheAbsentPerson(t *testing.T) {
	r := newRig(t)
	r.away = []writ.Delegation{{ID: "dlg_1", By: approver.ID, To: "human:bo", Roles: []string{"approver"}, Until: 1 << 62}}
	id := r.begin(agent, post)
	in := &contract.ExecutionRejectInput{ExecutionID: id, StepID: r.pending(id).StepID, Reason: "no"}
	if _, err := r.engine.ExecutionReject(as(person("human:bo")), in); !writ.IsCode(err, writ.CodeForbidden) {
		t.Fatalf("in its own name: %v", err)
	}
	in.For = approver.ID
	if _, err := r.engine.ExecutionReject(as(person("human:bo")), in); err != nil {
		t.Fatal(err)
	}
	state := r.expect(id, writ.ExecRejected)
	if d := state.Steps[0].Approval.Decisions[0]; d.For != approver.ID || d.Approved {
		t.Errorf("%+v", d)
	}
	r.identical(id)
}

// TestWhoWroteTheDraftDoesNotApproveIt: an approver who writes what somebody else's
// intent runs would approve their own words.
func TestWhoWroteTheDraftDoesNotApproveIt(t *testing.T) {
	r := newRig(t)
	id := r.submit(agent, "")
	deputy := person("human:dee", "approver")
	deputy.OnBehalfOf = []writ.PrincipalID{approver.ID}
	if _, err := r.engine.PlanCompile(as(deputy), &contract.PlanCompileInput{ExecutionID: id, Draft: post}); err != nil {
		t.Fatal(err)
	}
	r.start(agent, id)
	for _, p := range []*writ.Principal{deputy, approver} {
		if err := r.tryWord(p, id); !writ.IsCode(err, writ.CodeForbidden) {
			t.Fatalf("%s: %v", p.ID, err)
		}
	}
	r.reboot()
	if err := r.tryWord(deputy, id); !writ.IsCode(err, writ.CodeForbidden) {
		t.Fatalf("after a restart: %v", err)
	}
	r.approve(second, id)
	r.expect(id, writ.ExecCompleted)
	r.identical(id)
}

// TestNobodyApprovesThroughSomebody who acts for the one who asked.
func TestNobodyApprovesThroughSomebody(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	secretary := person("human:sam", "approver")
	secretary.OnBehalfOf = []writ.PrincipalID{agent.ID}
	if err := r.tryWord(secretary, id); !writ.IsCode(err, writ.CodeForbidden) {
		t.Fatal(err)
	}
	unproven := person("human:ada", "approver")
	unproven.Strength = ""
	if err := r.tryWord(unproven, id); !writ.IsCode(err, writ.CodeForbidden) {
		t.Fatalf("who has not proved who they are: %v", err)
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	if err := r.tryWord(second, id); !writ.IsCode(err, writ.CodeConflict) || !strings.Contains(err.Error(), "by human:ada at ") {
		t.Errorf("who comes late hears %v", err)
	}
}

// TestAStricterPolicyAsksAgain: one person was enough when they said yes, and two
// are asked for by the time the step is dispatched.
func TestAStricterPolicyAsksAgain(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := start
	stricter := func(q *writ.Question, v *writ.Verdict) {
		if q.Point == writ.PointStep && v.Mode == writ.Assist && q.Time.Std().After(start.Add(time.Minute)) {
			v.Approvals.Count = 2
		}
	}
	r := newRigWith(t, &rig{judges: judges{changing{defaultJudge(t), stricter}}, now: func() time.Time { return now }})
	id := r.begin(agent, post)
	first := r.pending(id)
	now = start.Add(2 * time.Minute)
	r.approve(approver, id)
	r.expect(id, writ.ExecAwaitingApproval)
	again := r.pending(id)
	if again.Digest == first.Digest || again.Required != 2 || r.tools.count() != 0 {
		t.Fatalf("%+v, %d calls", again, r.tools.count())
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecAwaitingApproval)
	r.approve(second, id)
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d calls", r.tools.count())
	}
	r.identical(id)
}

// TestACallAsksForThePeopleOfItsOwnVerdict: the step goes by itself, and one of its
// calls may not.
func TestACallAsksForThePeopleOfItsOwnVerdict(t *testing.T) {
	calls := func(q *writ.Question, v *writ.Verdict) {
		v.Mode, v.Approvals, v.Risk = writ.Autonomous, writ.Requirement{}, writ.RiskMedium
		v.Clamps = nil
		if q.Point == writ.PointCall && q.History.Approvals == 0 {
			v.Mode, v.Reasons = writ.Assist, []writ.Reason{{Rule: "seen", Message: "people look at this one"}}
			v.Approvals = writ.Requirement{Count: 2, Roles: []string{"approver"}, ExpiresIn: abi.Duration(time.Hour)}
		}
	}
	r := newRigWith(t, &rig{judges: judges{changing{defaultJudge(t), calls}}})
	id := r.begin(agent, post)
	item := r.pending(id)
	if item.Required != 2 || item.DecideBy-item.OpenedAt != writ.Time(time.Hour) || !strings.Contains(string(item.Request), "people look at this one") {
		t.Fatalf("%+v", item)
	}
	r.approve(approver, id)
	r.expect(id, writ.ExecAwaitingApproval)
	r.reboot()
	r.approve(second, id)
	r.expect(id, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d calls", r.tools.count())
	}
	r.identical(id)
}
