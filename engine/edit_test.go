package engine_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// edit has p replace the input of a step. The zero key is a random one.
func (r *rig) edit(p *writ.Principal, id writ.ExecutionID, key string, steps ...contract.StepEdit) (*contract.ExecutionEditOutput, error) {
	return r.engine.ExecutionEdit(as(p), &contract.ExecutionEditInput{
		ExecutionID: id, Steps: steps, Reason: "another recipient", IdempotencyKey: key, Wait: true,
	})
}

func input(step, raw string) contract.StepEdit {
	return contract.StepEdit{StepID: writ.StepID(step), Input: contract.Object(raw)}
}

const edited = `{"method":"POST","url":"https://api.example.com/b","body":"better"}`

func TestAnEditGoesOnInAnotherExecution(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	before := r.pending(id)
	out, err := r.edit(approver, id, "", input("send", edited))
	if err != nil {
		t.Fatal(err)
	}
	old := r.expect(id, writ.ExecRejected)
	if old.EditedInto == nil || old.EditedInto.Execution != out.ExecutionID || old.EditedInto.PlanHash != out.DeterministicHash || !strings.Contains(old.Reason, string(out.ExecutionID)) {
		t.Errorf("the old one: %s, %+v", old.Reason, old.EditedInto)
	}
	if a := old.Steps[0].Approval; a.Status != writ.ApprovalRejected || len(a.Decisions) != 1 || a.Decisions[0].Note != "edited into "+string(out.ExecutionID) {
		t.Errorf("its approval: %+v", a)
	}
	x := r.expect(out.ExecutionID, writ.ExecAwaitingApproval)
	if f := x.EditedFrom; f == nil || f.Execution != id || f.PlanHash != old.PlanHash || f.By != approver.ID || f.Reason != "another recipient" {
		t.Errorf("the new one: %+v", f)
	}
	if x.Principal.ID != agent.ID || x.PlanHash == old.PlanHash {
		t.Errorf("asked by %s, plan %s", x.Principal.ID, x.PlanHash)
	}
	now := r.pending(out.ExecutionID)
	if now.Digest == before.Digest || !strings.Contains(string(now.Request), "better") {
		t.Errorf("what is asked: %s", now.Request)
	}
	if err := r.word(approver, out.ExecutionID, now); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("the editor approves its own edit: %v", err)
	}
	err = r.word(second, id, before)
	if !writ.IsCode(err, writ.CodeConflict) || !strings.Contains(err.Error(), string(out.ExecutionID)) {
		t.Errorf("what is stale: %v", err)
	}
	if r.tools.count() != 0 {
		t.Fatal("something was sent")
	}
	r.approve(second, out.ExecutionID)
	r.expect(out.ExecutionID, writ.ExecCompleted)
	if r.tools.count() != 1 {
		t.Errorf("%d calls", r.tools.count())
	}
	r.identical(id)
	r.identical(out.ExecutionID)
	if _, err := r.engine.ExecutionRetry(as(operator), &contract.ExecutionRetryInput{ExecutionID: id}); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a retry of what was edited: %v", err)
	}
}

const readThenSend = head + `
  - name: look
    uses: test/look#run
    with: {method: GET, url: "https://api.example.com/in"}
  - name: send
    uses: test/web#run
    with: {method: POST, url: "https://api.example.com/items", body: "about ${{ string(steps.look.output.status) }}"}
  - name: later
    uses: test/echo#run
    with: {fixed: 1, from: "${{ steps.send.output.status }}"}
`

func flowOf(t *testing.T, r *rig, id writ.ExecutionID, parameter string) writ.Flow {
	t.Helper()
	var request writ.ApprovalRequest
	r.do(json.Unmarshal(r.pending(id).Request, &request))
	i := slices.IndexFunc(request.Flows, func(f writ.Flow) bool { return f.Parameter == parameter })
	if i < 0 {
		t.Fatalf("no flow into %s: %+v", parameter, request.Flows)
	}
	return request.Flows[i]
}

func labelled(f writ.Flow) string {
	text := strings.Join(f.From, ",") + ":"
	for _, l := range f.Labels {
		text += " " + string(l)
	}
	return text
}

// TestAnEditKeepsWhatItDoesNotTouch: an expression that nobody changed stays one, and
// so do its labels. What was read is read again.
func TestAnEditKeepsWhatItDoesNotTouch(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, readThenSend)
	out, err := r.edit(approver, id, "",
		input("send", `{"method":"POST","url":"https://api.example.com/other","body":"about 200"}`), input("later", `{"fixed":2,"from":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.tools.count() != 2 {
		t.Errorf("%d calls: it was not read again", r.tools.count())
	}
	if got := labelled(flowOf(t, r, out.ExecutionID, "with.body")); got != "steps.look.output.status: http model" {
		t.Errorf("the body is from %s", got)
	}
	if got := labelled(flowOf(t, r, out.ExecutionID, "with.url")); got != "edited: principal" {
		t.Errorf("the url is from %s", got)
	}
	if f := r.state(out.ExecutionID).EditedFrom; strings.Join(f.Steps, " ") != "send later" {
		t.Errorf("edited %v", f.Steps)
	}
	// An edit of the edit, by another: what both wrote stays theirs, and neither approves.
	last, err := r.edit(second, out.ExecutionID, "", input("send", `{"method":"POST","url":"https://api.example.com/other","body":"mine"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := labelled(flowOf(t, r, last.ExecutionID, "with.body")) + " " + labelled(flowOf(t, r, last.ExecutionID, "with.url")); got != "edited: principal edited: principal" {
		t.Errorf("both are from %s", got)
	}
	for _, p := range []*writ.Principal{approver, second} {
		if err := r.tryStep(p, last.ExecutionID, "send"); !writ.IsCode(err, writ.CodeForbidden) {
			t.Errorf("%s approves what it wrote: %v", p.ID, err)
		}
	}
	r.approve(person("human:cyd", "approver"), last.ExecutionID)
	r.expect(last.ExecutionID, writ.ExecCompleted)
	if got := r.output(last.ExecutionID, "later"); got != `{"fixed":2,"from":200}` {
		t.Errorf("later gave %s", got)
	}
	for _, one := range []writ.ExecutionID{id, out.ExecutionID, last.ExecutionID} {
		r.identical(one)
	}
	r.reboot()
	r.identical(last.ExecutionID)
}

// tryStep is p's word for what a step asks.
func (r *rig) tryStep(p *writ.Principal, id writ.ExecutionID, step string) error {
	s := r.state(id).Step(step)
	return r.word(p, id, contract.Approval{StepID: s.ID, Digest: s.Approval.Digest})
}

// TestEditsThatAreRefused leave what waits as it was, and no other execution that
// could be started.
func TestEditsThatAreRefused(t *testing.T) {
	wrote := head + `
  - name: keep
    uses: test/keep#run
    with: {key: "k1", value: "v"}
  - name: send
    uses: test/web#run
    needs: [keep]
    with: {method: POST, url: "https://api.example.com/items", body: "hi"}
`
	each := strings.Replace(post, "with:", `forEach: "[intent.metadata.name]"`+"\n    with:", 1)
	for name, test := range map[string]struct {
		draft string
		by    *writ.Principal
		steps []contract.StepEdit
		first func(r *rig, id writ.ExecutionID)
		code  writ.Code
		says  string
	}{
		"somebody without the role": {by: operator, code: writ.CodeForbidden, says: "none of the roles"},
		"another agent":             {by: &writ.Principal{ID: "agent:other", Kind: writ.Agent, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Roles: []string{"approver"}, Strength: writ.StrengthToken}, code: writ.CodeForbidden, says: "only an authenticated person"},
		"the same input":            {steps: []contract.StepEdit{input("send", `{"body":"hi","method":"POST","url":"https://api.example.com/items"}`)}, code: writ.CodeConflict, says: "nothing would be another"},
		"no such step":              {steps: []contract.StepEdit{input("none", `{}`)}, code: writ.CodeNotFound, says: "no step none"},
		"a step twice":              {steps: []contract.StepEdit{input("send", edited), input("send", edited)}, code: writ.CodeInvalid, says: "named twice"},
		"no object":                 {steps: []contract.StepEdit{input("send", `[]`)}, code: writ.CodeInvalid, says: "an input is an object"},
		"something else was seen":   {steps: []contract.StepEdit{{StepID: "send", Input: contract.Object(edited), ApprovalDigest: "sha256:0"}}, code: writ.CodeConflict, says: "not what you saw"},
		"a step that has ended":     {draft: readThenSend, steps: []contract.StepEdit{input("send", edited), input("look", `{}`)}, code: writ.CodeConflict, says: "neither waits"},
		"a step that is to begin":   {draft: readThenSend, steps: []contract.StepEdit{input("later", `{"fixed":2}`)}, code: writ.CodeConflict, says: "none of these steps waits"},
		"after a write":             {draft: wrote, code: writ.CodeConflict, says: "keep has written"},
		"an element of a list":      {draft: each, steps: []contract.StepEdit{input("send/0", edited)}, code: writ.CodeConflict, says: "not a step of the draft"},
		"what policy blocks":        {first: func(r *rig, _ writ.ExecutionID) { r.grants = nil }, code: writ.CodeBlocked, says: "grant"},
		"of a frozen requester":     {first: func(r *rig, _ writ.ExecutionID) { r.freeze(theBot, "") }, code: writ.CodeFrozen, says: "agent:bot"},
		"in a pause": {first: func(r *rig, id writ.ExecutionID) {
			_, err := r.engine.ExecutionPause(as(operator), &contract.ExecutionPauseInput{ExecutionID: id})
			r.do(err)
		}, code: writ.CodeConflict, says: "paused"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if test.draft == "" {
				test.draft = post
			}
			if test.by == nil {
				test.by = approver
			}
			if test.steps == nil {
				test.steps = []contract.StepEdit{input("send", edited)}
			}
			id := r.begin(agent, test.draft)
			asked := r.pending(id)
			if test.first != nil {
				test.first(r, id)
			}
			_, err := r.edit(test.by, id, "", test.steps...)
			if !writ.IsCode(err, test.code) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("%v, want %s: %s", err, test.code, test.says)
			}
			if now := r.pending(id); now.Digest != asked.Digest || r.state(id).EditedInto != nil {
				t.Errorf("what waits is another: %+v", now)
			}
			for _, x := range r.executions() {
				if x.ID != id && !x.Status.Final() {
					t.Errorf("%s is left, %s", x.ID, x.Status)
				}
			}
			r.identical(id)
		})
	}
}

// executions are all that there are.
func (r *rig) executions() []*writ.Execution {
	r.t.Helper()
	r.line.settle(r.t)
	page, err := r.journal.Executions(r.t.Context(), writ.ExecutionQuery{Tenant: writ.DefaultTenant, Limit: 500})
	r.do(err)
	return page.Items
}

// TestARequesterEditsItsOwn: its words are no more trusted than they were, and people
// approve them as before. The old approvals do not count.
func TestARequesterEditsItsOwn(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, strings.Replace(post, "test/web", "test/pay", 1))
	r.say(approver, id, r.pending(id))
	out, err := r.edit(agent, id, "", input("send", edited))
	if err != nil {
		t.Fatal(err)
	}
	if got := labelled(flowOf(t, r, out.ExecutionID, "with.body")); got != "edited: model" {
		t.Errorf("the body is from %s", got)
	}
	if item := r.pending(out.ExecutionID); item.Granted != 0 || item.Required != 2 {
		t.Errorf("%d of %d", item.Granted, item.Required)
	}
	r.approve(approver, out.ExecutionID)
	r.approve(second, out.ExecutionID)
	r.expect(out.ExecutionID, writ.ExecCompleted)
	r.identical(id)
	r.identical(out.ExecutionID)
}

// TestAnEditInAnothersPlace: who was stood in for wrote it too, and so did everybody
// whom the editor acts for. None of them approves, in whoever's place.
func TestAnEditInAnothersPlace(t *testing.T) {
	r := newRig(t)
	deputy := person("human:dep")
	deputy.OnBehalfOf = []writ.PrincipalID{"human:boss"}
	id := r.begin(agent, post)
	in := &contract.ExecutionEditInput{ExecutionID: id, Steps: []contract.StepEdit{input("send", edited)}, Reason: "she is away", For: approver.ID, Wait: true}
	if _, err := r.engine.ExecutionEdit(as(deputy), in); !writ.IsCode(err, writ.CodeForbidden) {
		t.Fatalf("without a delegation: %v", err)
	}
	everybody := []writ.PrincipalID{deputy.ID, approver.ID, "human:boss"}
	for _, by := range everybody {
		for _, to := range []writ.PrincipalID{deputy.ID, second.ID} {
			r.away = append(r.away, writ.Delegation{ID: "dlg", By: by, To: to, Roles: []string{"approver"}, Until: 1 << 62})
		}
	}
	out, err := r.engine.ExecutionEdit(as(deputy), in)
	if err != nil {
		t.Fatal(err)
	}
	item := r.pending(out.ExecutionID)
	try := func(p *writ.Principal, absent writ.PrincipalID) error {
		_, err := r.engine.ExecutionApprove(as(p), &contract.ExecutionApproveInput{
			ExecutionID: out.ExecutionID, StepID: item.StepID, ApprovalDigest: item.Digest, For: absent, Signature: []byte("signed"),
		})
		return err
	}
	for _, absent := range everybody {
		if err := try(person(absent, "approver"), ""); !writ.IsCode(err, writ.CodeForbidden) {
			t.Errorf("%s approves: %v", absent, err)
		}
		if err := try(second, absent); !writ.IsCode(err, writ.CodeForbidden) {
			t.Errorf("somebody approves for %s: %v", absent, err)
		}
		through := person("human:front", "approver")
		through.OnBehalfOf = []writ.PrincipalID{absent}
		if err := try(through, ""); !writ.IsCode(err, writ.CodeForbidden) {
			t.Errorf("somebody who acts for %s approves: %v", absent, err)
		}
	}
	if d := r.state(id).Steps[0].Approval.Decisions; len(d) != 1 || d[0].By != deputy.ID || d[0].For != approver.ID {
		t.Errorf("%+v", d)
	}
	r.do(try(second, ""))
	r.start(agent, out.ExecutionID)
	r.expect(out.ExecutionID, writ.ExecCompleted)
	r.identical(id)
	r.identical(out.ExecutionID)
}

// TestAKeyIsOneEdit: the same request again answers with what it made, another one
// under the key is refused, and of two editors one wins.
func TestAKeyIsOneEdit(t *testing.T) {
	r := newRig(t)
	id := r.begin(agent, post)
	first, err := r.edit(approver, id, "k", input("send", edited))
	r.do(err)
	again, err := r.edit(approver, id, "k", input("send", edited))
	if err != nil || again.ExecutionID != first.ExecutionID || again.RunID != first.RunID {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := r.edit(approver, id, "k", input("send", `{"body":"x"}`)); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("another edit under the key: %v", err)
	}
	for _, key := range []string{"", "k"} {
		_, err := r.edit(second, id, key, input("send", edited))
		if !writ.IsCode(err, writ.CodeConflict) || !strings.Contains(err.Error(), string(first.ExecutionID)) {
			t.Errorf("the second editor: %v", err)
		}
	}
	if all := r.executions(); len(all) != 2 {
		t.Errorf("%d executions", len(all))
	}
	r.approve(second, first.ExecutionID)
	if done, err := r.edit(approver, id, "k", input("send", edited)); err != nil || done.Status != string(writ.ExecCompleted) {
		t.Errorf("after its end: %+v, %v", done, err)
	}
}

// TestWhoIsFrozenDecidesNothing, nor does anybody in their place; a freeze of
// everything stops no decision.
func TestWhoIsFrozenDecidesNothing(t *testing.T) {
	r := newRig(t)
	r.away = []writ.Delegation{{ID: "dlg", By: approver.ID, To: second.ID, Roles: []string{"approver"}, Until: 1 << 62}}
	id := r.begin(agent, post)
	r.freeze(contract.FreezeSubject{PrincipalID: approver.ID}, "")
	item := r.pending(id)
	if err := r.word(approver, id, item); !writ.IsCode(err, writ.CodeFrozen) {
		t.Errorf("a yes: %v", err)
	}
	if _, err := r.engine.ExecutionReject(as(approver), &contract.ExecutionRejectInput{ExecutionID: id, StepID: item.StepID, Reason: "no"}); !writ.IsCode(err, writ.CodeFrozen) {
		t.Errorf("a no: %v", err)
	}
	if _, err := r.edit(approver, id, "", input("send", edited)); !writ.IsCode(err, writ.CodeFrozen) {
		t.Errorf("an edit: %v", err)
	}
	if _, err := r.engine.ExecutionApprove(as(second), &contract.ExecutionApproveInput{
		ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, For: approver.ID, Signature: []byte("signed"),
	}); !writ.IsCode(err, writ.CodeFrozen) {
		t.Errorf("in the place of who is frozen: %v", err)
	}
	if _, err := r.engine.ApprovalApprove(as(approver), &contract.ApprovalApproveInput{
		Template: item.Template, Rules: item.Rules, Items: []contract.ApprovalItem{{ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, Signature: []byte("signed")}},
	}); !writ.IsCode(err, writ.CodeFrozen) {
		t.Errorf("many at once: %v", err)
	}
	r.freeze(everything, "")
	r.do(r.word(second, id, item))
	if a := r.state(id).Steps[0].Approval; a.Status != writ.ApprovalApproved {
		t.Errorf("%s", a.Status)
	}
}
