package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// An edit makes another execution and ends the one that waits. There is one truth
// about whether it took place: run.edited in the journal of the old one, which is
// written together with the end of all that waits in it, and after everything that
// the new one needs to be started. Without it the new one is never started.

// maxReason of an edit is a paragraph.
const maxReason = 4 << 10

// editing is one edit on its way.
type editing struct {
	w      *word // in whose name; nothing is decided by it
	in     *contract.ExecutionEditInput
	intent writ.IntentID
	id     writ.ExecutionID // of the new execution
	asked  []asked
}

// asked is an input as the editor sent it.
type asked struct {
	Step  string          `json:"step"`
	Input json.RawMessage `json:"input"` // canonical JSON
}

// editDocument is the payload of the edits of a draft: what the editor sent, and what
// that comes to.
type editDocument struct {
	Asked  []asked     `json:"asked"`
	Before []writ.Edit `json:"before"` // of the execution that was edited
	Edits  []writ.Edit `json:"edits"`
}

// all are the edits of the draft, in order.
func (d *editDocument) all() []writ.Edit { return slices.Concat(d.Before, d.Edits) }

// ExecutionEdit is the handler of contract.ExecutionEdit.
func (e *Engine) ExecutionEdit(ctx context.Context, in *contract.ExecutionEditInput) (*contract.ExecutionEditOutput, error) {
	p, old, err := e.caller(ctx, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if _, err := p.Claim("editedBy", in.EditedBy); err != nil {
		return nil, err
	}
	ed, err := e.editingOf(ctx, p, old, in)
	if err != nil {
		return nil, err
	}
	x, err := e.edited(ctx, old, ed)
	if err != nil {
		return nil, err
	}
	if err := e.replace(ctx, old, x, ed); err != nil {
		return nil, err
	}
	status, err := x.launch(ctx, p, launch{mode: old.snapshot().Mode, wait: in.Wait})
	if err != nil {
		return nil, err
	}
	state := x.snapshot()
	if state.Status.Final() {
		e.forget(x) // one that had ended before this request is not looked after
	}
	return &contract.ExecutionEditOutput{
		Result:      contract.Result{Status: status, ChangedAt: state.UpdatedAt},
		ExecutionID: x.id, IntentID: state.IntentID, PlanID: state.PlanID, DeterministicHash: state.PlanHash, RunID: state.RunID, EditedFrom: old.id,
	}, nil
}

// editingOf checks what can be checked without looking at the steps.
func (e *Engine) editingOf(ctx context.Context, p *writ.Principal, old *execution, in *contract.ExecutionEditInput) (*editing, error) {
	invalid := func(place, message, fix string) error {
		return &writ.Error{Code: writ.CodeInvalid, Op: "edit", Place: place, Message: message, Fix: fix}
	}
	switch {
	case strings.TrimSpace(in.Reason) == "":
		return nil, invalid("reason", "an edit needs a reason", "say why: it stays in the record of both executions")
	case len(in.Reason) > maxReason:
		return nil, &writ.Error{Code: writ.CodeTooLarge, Op: "edit", Place: "reason", Message: "is longer than 4 KiB", Fix: "say it shorter"}
	case len(in.Steps) == 0:
		return nil, invalid("steps", "no step is named", "name the step that waits; see `writ approval list`")
	case len(in.Steps) > contract.MaxStepEdits:
		return nil, &writ.Error{Code: writ.CodeTooLarge, Op: "edit", Place: "steps", Message: "are more than 16", Fix: "submit a new intent"}
	}
	w, err := e.wordOf(ctx, p, in.For)
	if err != nil {
		return nil, err
	}
	ed := &editing{w: w, in: in}
	for i := range in.Steps {
		input, err := canon.JSON(json.RawMessage(in.Steps[i].Input))
		if err != nil {
			return nil, invalid("steps.input", err.Error(), "send canonical-safe JSON: unique keys, integers within 2^53-1")
		}
		if len(input) > writ.MaxDraft {
			return nil, &writ.Error{Code: writ.CodeTooLarge, Op: "edit", Place: "steps.input", Message: "is larger than 1 MiB", Fix: "submit a new intent whose steps read less"}
		}
		ed.asked = append(ed.asked, asked{Step: string(in.Steps[i].StepID), Input: input})
	}
	unique := []byte(in.IdempotencyKey)
	if len(unique) == 0 {
		random, err := e.draw(16)
		if err != nil {
			return nil, err
		}
		unique = append([]byte{0}, random...) // no key starts with NUL: the schema refuses it
	}
	ed.intent, ed.id = editID(p.Tenant, old.snapshot().Workspace, &writ.EditFacts{Execution: old.id, By: p.ID}, unique)
	return ed, nil
}

// editID is derived from the editor and its key, so that a repeated request finds
// what it made before. No intent that is submitted has as many parts.
func editID(tenant writ.TenantID, workspace writ.WorkspaceID, f *writ.EditFacts, unique []byte) (writ.IntentID, writ.ExecutionID) {
	intent := canon.ID("int", canon.DomainIntent, []byte(tenant), []byte(workspace), []byte(f.By), []byte("edit"), []byte(f.Execution), unique)
	return writ.IntentID(intent), writ.ExecutionID(canon.ID("exe", canon.DomainExecution, []byte(tenant), []byte(intent)))
}

// edited is the new execution, compiled and judged, or the one that the same request
// has made before. Nothing of it has begun where it is new.
func (e *Engine) edited(ctx context.Context, old *execution, ed *editing) (*execution, error) {
	x, err := e.editedBefore(ctx, ed)
	if err != nil || x != nil {
		return x, err
	}
	for _, who := range []*writ.Principal{ed.w.p, old.snapshot().Principal} {
		if err := e.admits(ctx, who, old.snapshot().ChannelKey); err != nil {
			return nil, err
		}
	}
	x, records, err := old.edit(ed)
	if err != nil {
		return nil, err
	}
	catalogue, err := e.Skills.Catalogue(ctx, x.tenant)
	if err != nil {
		x.stop()
		return nil, err
	}
	if _, err := e.Planner.Compile(x.compileRequest(catalogue)); err != nil {
		x.stop()
		return nil, err // before anything is recorded
	}
	x.mu.Lock()
	err = x.append(records...)
	x.mu.Unlock()
	if err != nil {
		x.stop()
		if !writ.IsCode(err, writ.CodeConflict) || ed.in.IdempotencyKey == "" {
			return nil, err
		}
		// The same request, a moment earlier: it may not be on disk, where it is read from.
		if err := e.Journal.Barrier(ctx, x.position); err != nil {
			return nil, err
		}
		return e.editedBefore(ctx, ed)
	}
	return e.adopt(x)
}

// editedBefore finds what the same key has made; nil where there is nothing.
// CodeConflict where it was used for another edit.
func (e *Engine) editedBefore(ctx context.Context, ed *editing) (*execution, error) {
	if ed.in.IdempotencyKey == "" {
		return nil, nil
	}
	x, err := e.open(ctx, ed.w.p.Tenant, ed.id)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.state.EditedFrom
	same := func(a, b asked) bool { return a.Step == b.Step && bytes.Equal(a.Input, b.Input) }
	if f == nil || f.Reason != ed.in.Reason || f.For != ed.w.absent || !slices.EqualFunc(x.asked, ed.asked, same) {
		return nil, &writ.Error{
			Code: writ.CodeConflict, Op: "edit of execution " + string(ed.in.ExecutionID), Place: "idempotencyKey",
			Message: "the key was used for another edit, which made " + string(x.id), Fix: "use a new key for another edit",
		}
	}
	return x, nil
}

// replace has the new execution judged and closes the old one, unless an earlier
// request has done so. Where the edit does not take place, the new one ends.
func (e *Engine) replace(ctx context.Context, old, x *execution, ed *editing) error {
	if into := old.snapshot().EditedInto; into != nil && into.Execution == x.id {
		return old.barrier(ctx)
	}
	if state := x.snapshot(); state.Status.Final() {
		return writ.Errorf(writ.CodeConflict, "edit of execution "+string(old.id), "it did not take place: %s", cmp.Or(state.Reason, string(state.Status))).
			WithFix("look at `writ exec get %s`, then edit with a new key", old.id)
	}
	err := e.prepare(ctx, x, ed)
	if err == nil {
		err = old.giveWay(x, ed)
	}
	if err == nil {
		return old.barrier(ctx)
	}
	if writ.IsCode(err, writ.CodeUnavailable) || writ.IsCode(err, writ.CodeInternal) || ctx.Err() != nil {
		return err // the same request completes it
	}
	if old.drops(x, ed, err) {
		e.forget(x)
		return cmp.Or(x.barrier(ctx), err)
	}
	return old.barrier(ctx)
}

// prepare compiles the new execution and has it judged. CodeBlocked carries the
// reasons.
func (e *Engine) prepare(ctx context.Context, x *execution, ed *editing) error {
	if !x.compiled() {
		catalogue, err := e.Skills.Catalogue(ctx, x.tenant)
		if err != nil {
			return err
		}
		_, rejected, err := x.compile(ed.w.p, &contract.PlanCompileInput{}, catalogue)
		if err = cmp.Or(err, rejected); err != nil {
			return err
		}
	}
	out, err := x.verify(ctx, e.Judges.Active(), false)
	if err != nil || len(out.BlockedReasons) == 0 {
		return err
	}
	return &writ.Error{
		Code: writ.CodeBlocked, Op: "edit of execution " + string(ed.in.ExecutionID), Message: "policy blocks a step of the edited plan: " + out.BlockedReasons[0].Message,
		Fix: out.BlockedReasons[0].Fix, Details: out.BlockedReasons,
	}
}

// edit is a new execution with what would be recorded of it first. Nothing is.
func (x *execution) edit(ed *editing) (*execution, []writ.NewRecord, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	places, err := x.editable(ed)
	if err != nil {
		return nil, nil, err
	}
	doc := &editDocument{Asked: ed.asked, Before: orEmpty(x.edits), Edits: []writ.Edit{}}
	facts := &writ.EditFacts{
		Execution: x.id, PlanHash: x.plan.Hash, Steps: []string{}, By: ed.w.p.ID, For: ed.w.absent, Delegation: ed.w.delegation,
		Reason: ed.in.Reason, Key: ed.in.IdempotencyKey, Authors: x.state.Draft.Authors,
	}
	facts.Authors = facts.People(ed.w.p.OnBehalfOf)
	for i := range places {
		made, err := x.engine.Planner.Edits(x.editRequest(ed, &places[i], doc.all()))
		if err != nil {
			return nil, nil, err
		}
		if len(made) == 0 {
			continue
		}
		doc.Edits = append(doc.Edits, made...)
		facts.Steps = append(facts.Steps, places[i].state.Name)
	}
	if len(facts.Steps) == 0 {
		return nil, nil, writ.Errorf(writ.CodeConflict, "edit of execution "+string(x.id), "nothing would be another").WithFix("change the input, or approve it as it is")
	}
	return x.successor(ed, facts, doc)
}

// successor is the new execution of an edit with its first records. The caller holds
// mu.
func (x *execution) successor(ed *editing, facts *writ.EditFacts, doc *editDocument) (*execution, []writ.NewRecord, error) {
	intent := plainIntent(x.intent)
	if intent == nil {
		return nil, nil, writ.Errorf(writ.CodeTampered, "intent "+string(x.state.IntentID), "the stored intent does not decode")
	}
	intent.ID, intent.Execution, intent.ReceivedAt = ed.intent, ed.id, x.now()
	raw, err := canon.MarshalJSON(intent)
	if err != nil {
		return nil, nil, err
	}
	edits, err := canon.MarshalJSON(doc)
	if err != nil {
		return nil, nil, err
	}
	if len(edits) > 2*writ.MaxDraft {
		return nil, nil, &writ.Error{Code: writ.CodeTooLarge, Op: "edit", Place: "steps", Message: "the edits of this draft have more than 2 MiB", Fix: "submit a new intent"}
	}
	draft := *x.state.Draft
	draft.ID, draft.Authors = intent.ID, facts.Authors
	y := x.engine.newExecution(x.tenant, ed.id)
	y.intent, y.draft, y.edits, y.asked = raw, x.draft, doc.all(), doc.Asked
	y.state.Principal, y.state.TraceID, y.state.Workspace, y.state.Draft = x.state.Principal, intent.TraceID, intent.Workspace, &draft
	actor := y.auditOf(ed.w.p)
	return y, []writ.NewRecord{{
		Type: writ.RecIntentReceived, Time: intent.ReceivedAt, Actor: actor,
		Body: writ.Body{Edit: facts, Intent: &writ.IntentFacts{
			ID: intent.ID, Workspace: intent.Workspace, ChannelKey: intent.ChannelKey, Origin: intent.Origin, Principal: x.state.Principal, Grants: x.state.Grants,
		}},
		Payloads: []writ.Payload{{Name: writ.PayloadIntent, Data: raw}},
	}, {
		Type: writ.RecInterpreted, Actor: actor, Body: writ.Body{Intent: &draft},
		Payloads: []writ.Payload{{Name: writ.PayloadDraft, Data: x.draft}, {Name: writ.PayloadEdits, Data: edits}},
	}}, nil
}

// tookPlace refuses to start what an edit made, unless the edit took place.
func (x *execution) tookPlace(ctx context.Context) error {
	from := x.snapshot().EditedFrom
	if from == nil {
		return nil
	}
	old, err := x.engine.Traces.Execution(ctx, x.tenant, from.Execution)
	if err != nil {
		return err
	}
	if old.EditedInto == nil || old.EditedInto.Execution != x.id {
		return writ.Errorf(writ.CodeConflict, "execution "+string(x.id), "the edit that made it did not take place: %s was not closed", from.Execution).
			WithFix("repeat the edit under its idempotency key, or look at `writ exec get %s`", from.Execution)
	}
	return nil
}
