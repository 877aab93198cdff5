package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// many begins so many executions that wait, and returns the list of them.
func (r *rig) many(draft string, n int) []writ.ExecutionID {
	r.t.Helper()
	var ids []writ.ExecutionID
	for range n {
		ids = append(ids, r.begin(agent, draft))
	}
	return ids
}

func (r *rig) list(p *writ.Principal, in contract.ApprovalListInput) *contract.ApprovalListOutput {
	r.t.Helper()
	out, err := r.engine.ApprovalList(as(p), &in)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func ids(items []contract.Approval) string {
	out := ""
	for _, item := range items {
		out += string(item.ExecutionID) + "\n"
	}
	return out
}

// TestTheQueueIsInOrderAndItsPagesAreStable: high risk first, then the nearer
// deadline, then the older; what is decided meanwhile moves nothing else.
func TestTheQueueIsInOrderAndItsPagesAreStable(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := start
	hurried := func(q *writ.Question, v *writ.Verdict) {
		if v.Mode == writ.Assist && q.Time.Std().Equal(start.Add(2*time.Minute)) {
			v.Approvals.ExpiresIn = abi.Duration(time.Minute)
		}
	}
	r := newRigWith(t, &rig{judges: judges{changing{defaultJudge(t), hurried}}, now: func() time.Time { return now }})
	first := r.begin(agent, post)
	now = start.Add(time.Minute)
	second := r.begin(agent, post)
	now = start.Add(2 * time.Minute)
	soon := r.begin(agent, post)
	now = start.Add(2*time.Minute + time.Second)
	high := r.begin(agent, strings.Replace(post, "test/web", "test/pay", 1))
	want := fmt.Sprintf("%s\n%s\n%s\n%s\n", high, soon, first, second)
	all := r.list(approver, contract.ApprovalListInput{})
	if got := ids(all.Items); got != want || all.Total != 4 || all.Items[0].Priority != 1 || all.Items[3].Priority != 4 || all.NextCursor != "" {
		t.Fatalf("%s\nwant\n%s", got, want)
	}
	page := r.list(approver, contract.ApprovalListInput{Page: contract.Page{Limit: 2}})
	if got := ids(page.Items); got != fmt.Sprintf("%s\n%s\n", high, soon) || page.NextCursor == "" {
		t.Fatalf("the first page: %s", got)
	}
	r.approve(approver, soon) // the cursor's own item goes
	rest := r.list(approver, contract.ApprovalListInput{Page: contract.Page{Limit: 2, Cursor: page.NextCursor}})
	if got := ids(rest.Items); got != fmt.Sprintf("%s\n%s\n", first, second) || rest.NextCursor != "" {
		t.Fatalf("the second page: %s", got)
	}
	for _, cursor := range []string{"x", "0.x", "1.2.3.4.5.6"} {
		if _, err := r.engine.ApprovalList(as(approver), &contract.ApprovalListInput{Page: contract.Page{Cursor: cursor}}); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

// TestMineIsWhatICouldDecide: as oneself or for somebody, not what is one's own or
// has been said.
func TestMineIsWhatICouldDecide(t *testing.T) {
	r := newRig(t)
	r.away = []writ.Delegation{{ID: "dlg_1", By: approver.ID, To: "human:bo", Roles: []string{"approver"}, Until: 1 << 62}}
	web, pay := r.begin(agent, post), r.begin(agent, strings.Replace(post, "test/web", "test/pay", 1))
	for name, test := range map[string]struct {
		p    *writ.Principal
		in   contract.ApprovalListInput
		want int
	}{
		"an approver":        {approver, contract.ApprovalListInput{Mine: true}, 2},
		"a deputy":           {person("human:bo"), contract.ApprovalListInput{Mine: true}, 2},
		"somebody else":      {person("human:zoe", "security"), contract.ApprovalListInput{Mine: true}, 0},
		"who asked":          {agent, contract.ApprovalListInput{Mine: true}, 0},
		"of a role":          {agent, contract.ApprovalListInput{Role: "approver"}, 2},
		"of a role not yet":  {agent, contract.ApprovalListInput{Role: "admin"}, 0},
		"of an action":       {agent, contract.ApprovalListInput{Template: "test/pay#run"}, 1},
		"of another action":  {agent, contract.ApprovalListInput{Template: "test/pay#walk"}, 0},
		"of exactly rules":   {agent, contract.ApprovalListInput{Rules: r.list(agent, contract.ApprovalListInput{ExecutionID: web}).Items[0].Rules}, 1},
		"of one rule fewer":  {agent, contract.ApprovalListInput{Rules: r.list(agent, contract.ApprovalListInput{ExecutionID: web}).Items[0].Rules[:1]}, 0},
		"of a single intent": {agent, contract.ApprovalListInput{ExecutionID: pay}, 1},
	} {
		if got := r.list(test.p, test.in); len(got.Items) != test.want || got.Total != test.want {
			t.Errorf("%s: %d of %d items, want %d", name, len(got.Items), got.Total, test.want)
		}
	}
	if got := r.list(person("human:bo"), contract.ApprovalListInput{ExecutionID: web}).Items[0].DecideAs; len(got) != 1 || got[0] != approver.ID {
		t.Errorf("the deputy decides as %v", got)
	}
	r.say(approver, pay, r.list(approver, contract.ApprovalListInput{ExecutionID: pay}).Items[0])
	r.line.settle(t)
	if got := r.list(approver, contract.ApprovalListInput{Mine: true}); len(got.Items) != 1 || got.Items[0].ExecutionID != web {
		t.Errorf("after one word: %s", ids(got.Items))
	}
	if got := r.list(person("human:bo"), contract.ApprovalListInput{Mine: true}); len(got.Items) != 1 {
		t.Errorf("the deputy, after the absent person's word: %s", ids(got.Items))
	}
}

// TestEarlierDecisionsOfTheSameKindAreShown: the last five, newest first.
func TestEarlierDecisionsOfTheSameKindAreShown(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newRigWith(t, &rig{now: func() time.Time { return at }})
	for i, id := range r.many(post, 6) {
		at = at.Add(time.Second)
		in := &contract.ExecutionRejectInput{ExecutionID: id, StepID: r.pending(id).StepID, Reason: fmt.Sprint("no ", i)}
		if _, err := r.engine.ExecutionReject(as(approver), in); err != nil {
			t.Fatal(err)
		}
	}
	r.begin(agent, strings.Replace(post, "test/web", "test/pay", 1))
	id := r.begin(agent, post)
	r.line.settle(t)
	got := r.pending(id).Earlier
	if len(got) != 5 || got[0].Note != "no 5" || got[4].Note != "no 1" || got[0].Status != writ.ApprovalRejected || got[0].By != approver.ID {
		t.Errorf("%+v", got)
	}
	if other := r.list(approver, contract.ApprovalListInput{Template: "test/pay#run"}).Items[0].Earlier; len(other) != 0 {
		t.Errorf("of another action: %+v", other)
	}
}

func bulkOf(items []contract.Approval) *contract.ApprovalApproveInput {
	in := &contract.ApprovalApproveInput{Template: items[0].Template, Rules: items[0].Rules, Note: "all alike"}
	for _, item := range items {
		in.Items = append(in.Items, contract.ApprovalItem{ExecutionID: item.ExecutionID, StepID: item.StepID, ApprovalDigest: item.Digest, Signature: []byte("signed")})
	}
	return in
}

// TestBulkDecidesEachByItself: each has its own signed record, and one that was
// decided meanwhile stops none of the others.
func TestBulkDecidesEachByItself(t *testing.T) {
	r := newRig(t)
	executions := r.many(post, 3)
	in := bulkOf(r.list(approver, contract.ApprovalListInput{}).Items)
	r.approve(second, executions[1])
	out, err := r.engine.ApprovalApprove(as(approver), in)
	if err != nil || out.Approved != 2 || len(out.Items) != 3 {
		t.Fatalf("%+v %v", out, err)
	}
	for _, o := range out.Items {
		if o.ExecutionID == executions[1] && o.Code != writ.CodeConflict || o.ExecutionID != executions[1] && o.Status != writ.ApprovalApproved {
			t.Errorf("%+v", o)
		}
	}
	for _, id := range executions {
		r.start(agent, id)
	}
	for i, id := range executions {
		d := r.expect(id, writ.ExecCompleted).Steps[0].Approval.Decisions
		if i != 1 && (len(d) != 1 || d[0].By != approver.ID || d[0].Bulk != 3 || d[0].Note != "all alike" || len(d[0].Signature) == 0) {
			t.Errorf("%+v", d)
		}
		r.identical(id)
	}
}

// TestBulkIsOfOneKind: an item of another action or rule, or without a signature,
// and nothing is decided.
func TestBulkIsOfOneKind(t *testing.T) {
	r := newRig(t)
	web, pay := r.many(post, 2), r.begin(agent, strings.Replace(post, "test/web", "test/pay", 1))
	items := r.list(approver, contract.ApprovalListInput{Template: "test/web#run"}).Items
	other := r.list(approver, contract.ApprovalListInput{ExecutionID: pay}).Items
	for name, test := range map[string]struct {
		change func(in *contract.ApprovalApproveInput)
		p      *writ.Principal
		code   writ.Code
	}{
		"another action":      {func(in *contract.ApprovalApproveInput) { in.Items = append(in.Items, bulkOf(other).Items...) }, approver, writ.CodeConflict},
		"another rule":        {func(in *contract.ApprovalApproveInput) { in.Rules = append([]string{"x"}, in.Rules...) }, approver, writ.CodeConflict},
		"a rule fewer":        {func(in *contract.ApprovalApproveInput) { in.Rules = in.Rules[:1] }, approver, writ.CodeConflict},
		"no rule":             {func(in *contract.ApprovalApproveInput) { in.Rules = nil }, approver, writ.CodeInvalid},
		"nothing":             {func(in *contract.ApprovalApproveInput) { in.Items = nil }, approver, writ.CodeInvalid},
		"another digest":      {func(in *contract.ApprovalApproveInput) { in.Items[1].ApprovalDigest = other[0].Digest }, approver, writ.CodeConflict},
		"one without a name":  {func(in *contract.ApprovalApproveInput) { in.Items[1].Signature = nil }, approver, writ.CodeForbidden},
		"an execution of air": {func(in *contract.ApprovalApproveInput) { in.Items[1].ExecutionID = "exe_none" }, approver, writ.CodeNotFound},
		"for nobody":          {func(in *contract.ApprovalApproveInput) { in.For = "human:eve" }, approver, writ.CodeForbidden},
		"201": {func(in *contract.ApprovalApproveInput) {
			for len(in.Items) <= contract.MaxBulk {
				in.Items = append(in.Items, in.Items[0])
			}
		}, approver, writ.CodeTooLarge},
	} {
		in := bulkOf(items)
		test.change(in)
		if _, err := r.engine.ApprovalApprove(as(test.p), in); !writ.IsCode(err, test.code) {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
	out, err := r.engine.ApprovalApprove(as(agent), bulkOf(items))
	if err != nil || out.Approved != 0 || out.Items[0].Code != writ.CodeForbidden {
		t.Errorf("an agent: %+v %v", out, err)
	}
	for _, id := range web {
		if n := r.countRecords(id, writ.RecApprovalDecided); n != 0 || r.tools.count() != 0 {
			t.Errorf("%d decisions, %d calls", n, r.tools.count())
		}
	}
	in := bulkOf(items)
	for len(in.Items) < contract.MaxBulk { // as many as may be; the same one again is refused by itself
		in.Items = append(in.Items, in.Items[0])
	}
	if out, err := r.engine.ApprovalApprove(as(approver), in); err != nil || out.Approved != 2 {
		t.Errorf("200: %+v %v", out, err)
	}
}
