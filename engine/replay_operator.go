package engine

import (
	"bytes"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// operated holds a pause, a resumption or a retry against the state that allows
// it. Who decided, when and why are facts.
func (r *replayer) operated(record *writ.Record) {
	state, allowed := &r.x.state, false
	switch record.Type {
	case writ.RecRunPaused:
		allowed = state.RunID != "" && !state.Status.Final() && !state.Paused && (!state.Cancelling || state.Undoing())
	case writ.RecRunResumed:
		allowed = state.Paused && !state.Status.Final()
	case writ.RecRunRetried:
		allowed = state.EditedInto == nil && state.RunID != "" && state.Status.Final() && state.Status != writ.ExecCompleted && r.x.retriable() == nil
	}
	r.member(stageRun, "", "allowed", true, allowed)
	r.compare(stageRun, "", record.Body.End, writ.EndFacts{Reason: record.Body.End.Reason})
}

// resolved holds a ruling against the call that it is about. The ruling, its
// reason and the answer are facts.
func (r *replayer) resolved(record *writ.Record) error {
	facts, step := record.Body.Resolved, record.Step
	r.member(stageOutcome, step, "status", writ.StepIndeterminate, r.x.state.Step(string(step)).Status)
	a := r.x.attempts[step]
	if a == nil {
		r.member(stageOutcome, step, "attempt", record.Attempt, nil)
		return nil
	}
	r.member(stageOutcome, step, "attempt", record.Attempt, a.number)
	derived := writ.ResolvedFacts{
		Ruling: writ.Ruling(among(string(facts.Ruling), string(writ.RulingRetry), string(writ.RulingDone), string(writ.RulingFail))),
		Reason: facts.Reason,
	}
	c := a.unanswered()
	if c != nil {
		derived.Sequence = c.facts.Sequence
	}
	answer := r.loader.named(record, writ.PayloadResult)
	if r.loader.err != nil {
		return r.loader.err
	}
	if derived.Ruling == writ.RulingDone && c != nil {
		derived.Labels = r.x.answerLabels(step, c.facts.Tool)
		form, err := canon.JSON(answer)
		fits := err == nil && bytes.Equal(form, answer) && r.e.Toolbox.CheckResult(c.facts.Tool, answer) == nil
		r.member(stageOutcome, step, "answer fits", true, fits)
	}
	r.compare(stageOutcome, step, facts, derived)
	return nil
}

// unheld holds that nothing begins in a pause, nor of a step that is frozen. A call
// may be proposed in a pause.
func (r *replayer) unheld(record *writ.Record) {
	switch record.Type {
	case writ.RecStepStarted, writ.RecToolCalled:
		r.member(stageOf(record.Type), record.Step, "paused", false, r.x.state.Paused)
		r.member(stageOf(record.Type), record.Step, "frozen", false, r.x.state.Step(string(record.Step)).Frozen != nil)
	}
}

// frozen holds that a step that is frozen would have gone on, and that one that is
// thawed was frozen. What was frozen, by whom and why are facts.
func (r *replayer) frozen(record *writ.Record) {
	state := r.x.state.Step(string(record.Step))
	allowed := r.x.state.RunID != "" && state.Frozen != nil
	if record.Type == writ.RecStepFrozen {
		facts := *record.Body.Frozen
		facts.Mode = writ.FreezeMode(among(string(facts.Mode), string(writ.FreezeWait), string(writ.FreezeFail)))
		r.compare(stageStep, record.Step, record.Body.Frozen, facts)
		allowed = r.x.state.RunID != "" && state.Frozen == nil && !r.x.state.Paused &&
			(state.Status == writ.StepPlanned || state.Status == writ.StepRunning) &&
			(facts.Mode == writ.FreezeWait || r.x.undoing(state.ID))
	}
	r.member(stageStep, record.Step, "allowed", true, allowed)
	r.member(stageStep, record.Step, "attempt", record.Attempt, state.Attempt)
}

// refused compares the failure of a step that a freeze did not let wait.
func (r *replayer) refused(record *writ.Record) {
	step, ok := r.x.planned(string(record.Step))
	if !ok {
		return // misplaced has said so
	}
	r.member(stageOutcome, record.Step, "undoes", false, r.x.undoing(step.ID))
	r.compare(stageOutcome, record.Step, record.Body.Ended.Failure, failureOf(r.x.refusal(step, record.Body.Frozen)))
}

// gaveWay holds that an execution which was edited waited for people, had written
// nothing, and gave way to another one once. Who edited what, into what and why are
// facts.
func (r *replayer) gaveWay(record *writ.Record) {
	facts := *record.Body.Edit
	waits := slices.ContainsFunc(r.x.state.Steps, func(s writ.StepState) bool { return s.Status == writ.StepAwaitingApproval })
	r.member(stageRun, "", "allowed", true, r.x.unedited() == nil && r.x.untouched() == nil && waits && facts.Execution != r.x.id)
	r.member(stageRun, "", "execution", facts.Execution, r.editedInto(record))
	r.member(stageRun, "", "by", facts.By, record.Actor.ActorID)
	r.member(stageRun, "", "actorType", record.Actor.ActorType, editorKind(&facts, r.x.state.Principal))
	named := slices.DeleteFunc(slices.Clone(facts.Steps), func(name string) bool { return r.x.state.Step(name) == nil })
	r.member(stageRun, "", "steps", facts.Steps, named)
}

// editedInto is what the record after says of an edit, which is written with it.
func (r *replayer) editedInto(record *writ.Record) writ.ExecutionID {
	if record.Seq >= uint64(len(r.records)) {
		return ""
	}
	f := r.records[record.Seq].Body.Approval
	if f == nil || f.Decision == nil {
		return ""
	}
	return f.Decision.Edited
}

// editorKind: it is a person, unless it is the requester.
func editorKind(f *writ.EditFacts, requester *writ.Principal) writ.PrincipalKind {
	if requester != nil && f.By == requester.ID {
		return requester.Kind
	}
	return writ.Human
}

// rejectedByEdit compares the end of a step that waited when the input was edited.
func (r *replayer) rejectedByEdit(record *writ.Record, into *writ.EditFacts) {
	r.compare(stageOutcome, record.Step, record.Body.Ended, writ.EndedFacts{Reason: reasonEdited(into.Execution)})
	r.member(stageOutcome, record.Step, "attempt", record.Attempt, r.x.state.Step(string(record.Step)).Attempt)
}

// editedFrom compares what an edit says of itself with who acted.
func (r *replayer) editedFrom(record *writ.Record, edit *writ.EditFacts) {
	r.member(stageIntent, "", "actorType", record.Actor.ActorType, editorKind(edit, record.Body.Intent.Principal))
	actor := record.Actor
	want := r.x.auditOf(&writ.Principal{Tenant: record.Tenant})
	actor.TenantID, actor.WorkspaceID, actor.WorkflowID, actor.TraceID = want.TenantID, want.WorkspaceID, want.WorkflowID, want.TraceID
	r.compare(stageIntent, "", record.Actor, actor)
	r.member(stageIntent, "", "by", edit.By, record.Actor.ActorID)
	r.member(stageIntent, "", "authors", edit.Authors, edit.People(record.Actor.OnBehalfOf))
	if edit.Key != "" {
		id, _ := editID(record.Tenant, record.Body.Intent.Workspace, edit, []byte(edit.Key))
		r.member(stageIntent, "", "id", record.Body.Intent.ID, id)
	}
}

// edits reads the edits of the draft, whose labels say no more than who edited may:
// it answers with the authors.
func (r *replayer) edits(record *writ.Record) []writ.PrincipalID {
	r.loader.edits(r.loader.named(record, writ.PayloadEdits))
	edit := r.x.state.EditedFrom
	r.compare(stageIntent, "", record.Actor, r.records[0].Actor) // they are written together
	own := []writ.Label{r.x.editorOrigin(edit.By, record.Actor.ActorType).Label()}
	for _, one := range r.x.edits[r.x.inherited:] {
		said := slices.DeleteFunc(slices.Clone(one.Labels), writ.Label.Private)
		r.member(stageIntent, "", "labels of "+one.Step+" "+one.Path, said, own)
		r.member(stageIntent, "", "edited", slices.Contains(edit.Steps, one.Step), true)
	}
	return edit.Authors
}
