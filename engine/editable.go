package engine

import (
	"slices"

	"github.com/writ-run/writ"
)

// editPlace is a step whose input is edited: what waits of it, nil where it has not
// begun.
type editPlace struct {
	step    *writ.Step
	state   *writ.StepState
	pending *writ.Approval
	asked   asked
}

// editable checks that all of an edit may be made now. The caller holds mu.
func (x *execution) editable(ed *editing) ([]editPlace, error) {
	if err := x.unedited(); err != nil {
		return nil, err
	}
	if err := x.untouched(); err != nil {
		return nil, err
	}
	op := "edit of execution " + string(x.id)
	var places []editPlace
	waiting := 0
	for i := range ed.in.Steps {
		place, err := x.editPlace(ed, i)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(places, func(other editPlace) bool { return other.step == place.step }) {
			return nil, writ.Errorf(writ.CodeInvalid, op, "step %s is named twice", place.state.Name).WithFix("give each step one input")
		}
		if place.pending != nil {
			waiting++
		}
		places = append(places, *place)
	}
	if waiting == 0 {
		return nil, writ.Errorf(writ.CodeConflict, op, "none of these steps waits for a person").WithFix("see `writ approval list --execution %s`", x.id)
	}
	return places, x.mayEdit(ed.w, places)
}

// unedited is CodeConflict where another execution goes on in this one's place. The
// caller holds mu.
func (x *execution) unedited() error {
	if into := x.state.EditedInto; into != nil {
		return writ.Errorf(writ.CodeConflict, "execution "+string(x.id), "%s has edited it: %s goes on in its place, and is asked about anew", into.By, into.Execution).
			WithFix("see `writ approval list --execution %s`", into.Execution)
	}
	return nil
}

// untouched refuses where the execution does anything else than wait, or has written
// something: another one would do it again. The caller holds mu.
func (x *execution) untouched() error {
	op := "edit of execution " + string(x.id)
	if err := x.underWay(); err != nil {
		return err
	}
	switch {
	case x.state.Cancelling || x.state.Undoing():
		return writ.Errorf(writ.CodeConflict, op, "it is being cancelled or undone").WithFix("wait for its end, and submit a new intent")
	case x.state.Paused:
		return writ.Errorf(writ.CodeConflict, op, "it is paused: what is edited would go on").WithFix("run `writ exec resume %s` first", x.id)
	}
	for i := range x.state.Steps {
		s := &x.state.Steps[i]
		if x.running[s.ID] || s.Status == writ.StepRunning && x.lists[s.ID] == nil {
			return writ.Errorf(writ.CodeConflict, op, "step %s is running", s.Name).WithFix("edit when it has ended: `writ exec watch %s`", x.id)
		}
		if x.wrote(s) {
			return writ.Errorf(writ.CodeConflict, op, "step %s has written, or may have, and an edited plan would do it again", s.Name).
				WithFix("approve or reject what waits, and submit a new intent for what is still to be done")
		}
	}
	return nil
}

// wrote reports whether a step has written anything, or may have. Of one that has
// completed its effect says so, and that there is something to undo. The caller
// holds mu.
func (x *execution) wrote(s *writ.StepState) bool {
	if a := x.attempts[s.ID]; a != nil {
		return a.unanswered() != nil || len(a.completedWrites()) > 0
	}
	if s.Status == writ.StepPlanned || s.Status == writ.StepAwaitingApproval || s.Status == writ.StepSkipped || s.Status == writ.StepRunning {
		return false
	}
	step, ok := x.planned(string(s.ID))
	return !ok || s.Effect.Writes() && s.Calls > 0 || step.Compensate != nil
}

func (x *execution) editPlace(ed *editing, i int) (*editPlace, error) {
	op, wanted := "edit of execution "+string(x.id), &ed.in.Steps[i]
	state := x.state.Step(string(wanted.StepID))
	if state == nil {
		return nil, writ.Errorf(writ.CodeNotFound, op, "it has no step %s", wanted.StepID).WithFix("see `writ exec get %s`", x.id)
	}
	if state.Kind != "" {
		return nil, writ.Errorf(writ.CodeConflict, op, "step %s is not a step of the draft, but one that the run has added", state.Name).
			WithFix("reject it with `writ exec reject %s %s`, and submit a new intent", x.id, state.ID)
	}
	step, ok := x.planned(string(state.ID))
	if !ok {
		return nil, writ.Errorf(writ.CodeTampered, op, "the plan has no step %s", state.Name)
	}
	place := &editPlace{step: step, state: state, asked: ed.asked[i]}
	switch a := x.approval(state.ID); {
	case state.Status == writ.StepPlanned && x.attempts[state.ID] == nil && a == nil:
	case state.Status != writ.StepAwaitingApproval || a == nil || !a.Open():
		return nil, writ.Errorf(writ.CodeConflict, op, "step %s is %s: it neither waits for a person nor is still to begin", state.Name, state.Status).WithFix("see `writ exec get %s`", x.id)
	default:
		place.pending = a
	}
	if place.pending == nil && wanted.ApprovalDigest != "" || place.pending != nil && wanted.ApprovalDigest != "" && wanted.ApprovalDigest != place.pending.Digest {
		return nil, writ.Errorf(writ.CodeConflict, op, "what is pending for step %s is not what you saw", state.Name).WithFix("look at it again with `writ approval list`")
	}
	return place, nil
}

// mayEdit holds who edits: the requester, and whoever may decide what waits, before
// its deadline. The caller holds mu.
func (x *execution) mayEdit(w *word, places []editPlace) error {
	op := "edit of execution " + string(x.id)
	requester := w.p.ID == x.state.Principal.ID && w.absent == ""
	var refused error
	for i := range places {
		a := places[i].pending
		if a == nil {
			continue
		}
		if x.now() >= a.Request.DecideBy {
			x.expireApprovals()
			x.advance()
			return writ.Errorf(writ.CodeExpired, op, "the deadline was %s", a.Request.DecideBy).WithFix("submit the intent again")
		}
		try := *w
		try.decision = &writ.Decision{By: w.p.ID, For: w.absent}
		if err := try.entitled(a, op); err != nil && refused == nil {
			refused = err
		}
	}
	if requester {
		return nil
	}
	return refused
}

// editRequest asks what an editor has changed of one input. What it typed is as
// trusted as itself; that what stood there is private or came by a secret stays.
// The caller holds mu.
func (x *execution) editRequest(ed *editing, place *editPlace, before []writ.Edit) *writ.EditRequest {
	draft := x.state.Draft
	labels := []writ.Label{x.editorOrigin(ed.w.p.ID, ed.w.p.Kind).Label()}
	taint := place.step.Taint
	req := &writ.EditRequest{
		Draft: writ.Interpretation{Source: draft.Source, Format: draft.Format, Name: draft.Name, Raw: x.draft},
		Edits: before, Step: place.state.Name, Was: place.step.Template, Now: place.asked.Input, Pending: place.pending == nil,
	}
	if place.pending != nil {
		req.Was = place.pending.Request.Input
		taint = writ.JoinLabels(taint, place.pending.Request.Taint)
	}
	for _, l := range taint {
		if l.Private() {
			labels = append(labels, l)
		}
	}
	req.Labels = writ.JoinLabels(labels)
	return req
}

// editorOrigin is the origin of what an editor types: the requester's words are what
// the intent's are at most. The caller holds mu.
func (x *execution) editorOrigin(id writ.PrincipalID, kind writ.PrincipalKind) writ.Origin {
	if x.state.Principal != nil && id == x.state.Principal.ID {
		return authorOf(x.state.Origin, kind)
	}
	return authorOf(writ.OriginHuman, kind)
}

// giveWay ends the execution in favour of another one, at once: all that waits for
// people ends with the record that says so.
func (x *execution) giveWay(into *execution, ed *editing) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := into.snapshot()
	if f := x.state.EditedInto; f != nil && f.Execution == into.id {
		return nil
	}
	if _, err := x.editable(ed); err != nil {
		return err
	}
	if next.Status.Final() || next.EditedFrom == nil || x.plan.Hash != next.EditedFrom.PlanHash {
		return writ.Errorf(writ.CodeConflict, "edit of execution "+string(x.id), "%s cannot take its place: it is %s", into.id, next.Status).WithFix("edit it again")
	}
	facts := *next.EditedFrom
	facts.Execution, facts.PlanHash, facts.Key, facts.Authors = into.id, next.PlanHash, "", nil
	actor, now := x.auditOf(ed.w.p), x.now()
	records := []writ.NewRecord{{Type: writ.RecRunEdited, Time: now, Actor: actor, Body: writ.Body{Edit: &facts}}}
	var ended []*writ.Approval
	for step := range x.steps() {
		a, state := x.approval(step.ID), x.state.Step(string(step.ID))
		if a == nil || !a.Open() || state.Status != writ.StepAwaitingApproval {
			continue
		}
		decision := editDecision(&facts, now)
		records = append(records, writ.NewRecord{
			Type: writ.RecApprovalDecided, Time: now, Step: step.ID, Attempt: state.Attempt, Actor: actor,
			Body: writ.Body{Approval: &writ.ApprovalFacts{Digest: a.Digest, Status: a.After(decision), Decision: decision}},
		}, stepEnded(writ.RecStepRejected, step, state.Attempt, &writ.EndedFacts{Reason: decision.Note}))
		ended = append(ended, a)
	}
	if err := x.append(records...); err != nil {
		return err
	}
	for _, a := range ended {
		decision := editDecision(&facts, now)
		applyDecision(a, &writ.ApprovalFacts{Digest: a.Digest, Status: a.After(decision), Decision: decision}, now)
		x.observe(a, decision, now)
	}
	x.advance()
	return nil
}

// drops ends what an edit made that does not take place, unless the same request has
// brought it about meanwhile.
func (x *execution) drops(into *execution, ed *editing, why error) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := x.state.EditedInto; f != nil && f.Execution == into.id {
		return false
	}
	// One that has ended already, by the same request, is as good.
	_ = into.cancel(ed.w.p, "the edit of "+string(x.id)+" did not take place: "+failureOf(why).Message)
	return true
}

// editDecision is what ends an approval whose execution was edited.
func editDecision(f *writ.EditFacts, at writ.Time) *writ.Decision {
	return &writ.Decision{By: f.By, For: f.For, Delegation: f.Delegation, Note: reasonEdited(f.Execution), At: at, Edited: f.Execution}
}

func reasonEdited(into writ.ExecutionID) string { return "edited into " + string(into) }
