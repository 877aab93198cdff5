package engine

import (
	"context"
	"reflect"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Stages of a replay's report.
const (
	stageIntent    = "intent"
	stagePlan      = "plan"
	stageVerdict   = "verdict"
	stageApproval  = "approval"
	stageRun       = "run"
	stageStep      = "step"
	stageCall      = "call"
	stageOutcome   = "outcome"
	stageExecution = "execution"
)

// replayer derives every stage of an execution again from its recorded facts
// and compares. It performs no effect and needs no network: a tool is answered
// from the journal or not at all.
type replayer struct {
	e       *Engine
	ctx     context.Context
	x       *execution // the fold so far
	loader  loader
	records []writ.Stored
	stages  []contract.ReplayStage
	skills  map[writ.SkillRef]*writ.Skill
	judges  map[writ.Digest]writ.Judge
	asked   map[writ.StepID]judged
	undo    []writ.NewRecord // compensations still to be added
	policy  writ.Digest      // what-if: judge with this bundle
	engines []string         // that steps were recorded on, this one apart
	stored  *writ.Plan       // what storedPlan found
	sought  bool             // it was looked for
}

// ReplayRun is the handler of contract.ReplayRun.
func (e *Engine) ReplayRun(ctx context.Context, in *contract.ReplayRunInput) (*contract.ReplayRunOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	records, err := e.Traces.Records(ctx, writ.RecordQuery{Tenant: p.Tenant, Stream: writ.StreamID(in.ExecutionID)})
	if err != nil {
		return nil, err
	}
	x := e.newExecution(p.Tenant, in.ExecutionID)
	defer x.stop()
	r := &replayer{
		e: e, ctx: ctx, x: x, loader: loader{x: x, ctx: ctx}, records: records, policy: in.PolicyDigest,
		skills: map[writ.SkillRef]*writ.Skill{}, judges: map[writ.Digest]writ.Judge{}, asked: map[writ.StepID]judged{},
	}
	if err := r.run(); err != nil {
		return nil, err
	}
	out := &contract.ReplayRunOutput{
		ExecutionID: in.ExecutionID, Identical: true, WhatIf: in.PolicyDigest != "",
		Engine: e.EngineID, RecordedOn: r.engines, Report: r.stages,
	}
	for i := range r.stages {
		out.Identical = out.Identical && r.stages[i].Identical
	}
	out.Status = "identical"
	if !out.Identical {
		out.Status = string(writ.CodeDiverged)
	}
	return out, nil
}

func (r *replayer) run() error {
	for i := range r.records {
		record := &r.records[i].Record
		if r.misplaced(record) {
			continue
		}
		err := r.check(record)
		if err == nil {
			r.x.state.Apply(record)
			r.loader.record(record)
			r.x.follow(record)
			err = r.loader.err
		}
		if err == nil {
			continue
		}
		switch writ.CodeOf(err) {
		case writ.CodeUnreplayable, writ.CodeNotFound, writ.CodeTampered:
			r.unreplayable(record, err)
			return nil
		case writ.CodeInternal, writ.CodeUnavailable, writ.CodeCancelled, writ.CodeTimeout:
			return err
		}
		r.member(stageOf(record.Type), record.Step, "error", nil, failureOf(err).Message)
		return nil // what follows would be derived from something else
	}
	return nil
}

// misplaced names a record of a step that the plan does not have, or of a run
// without a plan: it folds into nothing.
func (r *replayer) misplaced(record *writ.Record) bool {
	_, planned := r.x.state.Payload(writ.PayloadPlan)
	switch {
	case record.Step == "" && record.Type != writ.RecRunStarted, planned && r.x.plan != nil && record.Step == "":
		return false
	case planned && r.x.plan != nil && (r.x.state.Step(string(record.Step)) != nil || record.Type == writ.RecVerdict && r.x.state.Template(record.Step) != nil):
		return false
	}
	r.member(stageOf(record.Type), record.Step, "stepId", record.Step, nil)
	return true
}

// stage finds or begins a line of the report.
func (r *replayer) stage(name string, step writ.StepID) *contract.ReplayStage {
	for i := range r.stages {
		if r.stages[i].Stage == name && r.stages[i].StepID == step {
			return &r.stages[i]
		}
	}
	r.stages = append(r.stages, contract.ReplayStage{Stage: name, StepID: step, Identical: true})
	return &r.stages[len(r.stages)-1]
}

// compare adds a comparison to a stage; the first difference stays.
func (r *replayer) compare(name string, step writ.StepID, recorded, replayed any) {
	s := r.stage(name, step)
	if difference := FirstDifference(recorded, replayed); difference != nil && s.Identical {
		s.Identical, s.FirstDifference = false, difference
	}
}

// member is compare for one named member.
func (r *replayer) member(name string, step writ.StepID, field string, values ...any) {
	if reflect.DeepEqual(values[0], values[1]) {
		r.stage(name, step) // it was looked at; what is equal needs no name
		return
	}
	r.compare(name, step, map[string]any{field: values[0]}, map[string]any{field: values[1]})
}

func (r *replayer) unreplayable(record *writ.Record, err error) {
	s := r.stage(stageOf(record.Type), record.Step)
	s.Identical, s.Unreplayable = false, failureOf(err).Message
}

func stageOf(t writ.RecordType) string {
	switch t {
	case writ.RecIntentReceived, writ.RecInterpreted:
		return stageIntent
	case writ.RecPlanCompiled, writ.RecPlanRejected:
		return stagePlan
	case writ.RecVerdict:
		return stageVerdict
	case writ.RecApprovalOpened, writ.RecApprovalDecided, writ.RecApprovalEscalated, writ.RecApprovalExpired:
		return stageApproval
	case writ.RecRunStarted, writ.RecRunPaused, writ.RecRunResumed, writ.RecRunRetried, writ.RecRunEdited:
		return stageRun
	case writ.RecToolCalled, writ.RecToolReturned, writ.RecToolDenied, writ.RecCallProposed:
		return stageCall
	case writ.RecStepExpanded, writ.RecStepStarted, writ.RecRetryScheduled, writ.RecStepFrozen, writ.RecStepThawed:
		return stageStep
	case writ.RecExecutionEnded, writ.RecSealed, writ.RecCancelRequested:
		return stageExecution
	}
	return stageOutcome
}

// check derives one record again from what stands before it.
func (r *replayer) check(record *writ.Record) error {
	r.checkActor(record)
	r.unheld(record)
	switch record.Type {
	case writ.RecIntentReceived:
		return r.intent(record)
	case writ.RecInterpreted:
		return r.interpretation(record)
	case writ.RecPlanCompiled, writ.RecPlanRejected:
		return r.compilation(record)
	case writ.RecRunStarted:
		r.runStarted(record)
	case writ.RecVerdict:
		return r.verdict(record)
	case writ.RecApprovalOpened, writ.RecApprovalDecided:
		return r.approval(record)
	case writ.RecStepExpanded:
		return r.expanded(record)
	case writ.RecStepStarted:
		return r.stepStarted(record)
	case writ.RecToolCalled, writ.RecToolReturned, writ.RecToolDenied, writ.RecCallProposed:
		return r.call(record)
	case writ.RecRunPaused, writ.RecRunResumed, writ.RecRunRetried:
		r.operated(record)
	case writ.RecRunEdited:
		r.gaveWay(record)
	case writ.RecStepResolved:
		return r.resolved(record)
	case writ.RecStepFrozen, writ.RecStepThawed:
		r.frozen(record)
	case writ.RecExecutionEnded:
		r.ended(record)
	case writ.RecSealed:
		r.member(stageExecution, "", "records", record.Body.Seal.Records, record.Seq-1)
	default:
		return r.stepEnded(record)
	}
	return nil
}

// checkActor holds who acted: what the engine did by itself it did for the
// requester. Where another caller may have asked, who that was is a fact.
func (r *replayer) checkActor(record *writ.Record) {
	if r.x.state.Principal == nil {
		return // the first record, which says who asks
	}
	want := r.x.audit()
	if record.Actor.ActorID != want.ActorID && anybody(record.Type, r.x.state.RunID != "") {
		actor := record.Actor
		actor.TenantID, actor.WorkspaceID, actor.WorkflowID, actor.TraceID = want.TenantID, want.WorkspaceID, want.WorkflowID, want.TraceID
		want = actor
	}
	r.compare(stageOf(record.Type), record.Step, record.Actor, want)
}

// anybody reports whether another caller than the requester may have asked.
func anybody(kind writ.RecordType, started bool) bool {
	switch kind {
	case writ.RecInterpreted, writ.RecPlanCompiled, writ.RecPlanRejected, writ.RecRunStarted,
		writ.RecApprovalDecided, writ.RecCancelRequested,
		writ.RecRunPaused, writ.RecRunResumed, writ.RecRunRetried, writ.RecRunEdited, writ.RecStepResolved:
		return true
	case writ.RecExecutionEnded:
		return !started // cancelled before it ran
	}
	return false
}

func (r *replayer) intent(record *writ.Record) error {
	raw := r.loader.named(record, writ.PayloadIntent)
	if r.loader.err != nil {
		return r.loader.err
	}
	r.x.intent = raw
	intent, facts := plainIntent(raw), record.Body.Intent
	if intent == nil {
		r.member(stageIntent, "", "intent", string(raw), "an intent")
		return nil
	}
	p := facts.Principal
	if p == nil {
		p = &writ.Principal{}
	}
	r.compare(stageIntent, "", map[string]any{
		"id": facts.ID, "workspaceId": facts.Workspace, "channelKey": facts.ChannelKey, "origin": facts.Origin,
		"tenantId": record.Tenant, "executionId": record.Stream, "receivedAt": record.Time, "traceId": record.Actor.TraceID,
		"acts": true, "principal": map[string]any{"tenant": p.Tenant, "workspace": p.Workspace}, "execution": record.Stream,
	}, map[string]any{
		"id": intent.ID, "workspaceId": intent.Workspace, "channelKey": intent.ChannelKey, "origin": intent.Origin,
		"tenantId": intent.Tenant, "executionId": canon.ID("exe", canon.DomainExecution, []byte(intent.Tenant), []byte(intent.ID)),
		"receivedAt": intent.ReceivedAt, "traceId": intent.TraceID, "acts": p.ActsFor(intent.Actor),
		"principal": map[string]any{"tenant": intent.Tenant, "workspace": intent.Workspace}, "execution": intent.Execution,
	})
	r.x.state.TraceID, r.x.state.Workspace = intent.TraceID, intent.Workspace
	if edit := record.Body.Edit; edit != nil {
		r.editedFrom(record, edit)
		return nil
	}
	r.compare(stageIntent, "", record.Actor, r.x.auditOf(p))
	if facts.IdempotencyKey != "" {
		r.member(stageIntent, "", "id", facts.ID, canon.ID("int", canon.DomainIntent,
			[]byte(record.Tenant), []byte(facts.Workspace), []byte(p.ID), []byte(facts.IdempotencyKey)))
	}
	return nil
}

func (r *replayer) interpretation(record *writ.Record) error {
	r.x.draft = r.loader.named(record, writ.PayloadDraft)
	facts, state := *record.Body.Intent, &r.x.state
	derived := facts // the draft's author chose its form and its name
	derived.ID, derived.Workspace, derived.ChannelKey = state.IntentID, state.Workspace, state.ChannelKey
	author := authorOf(state.Origin, record.Actor.ActorType)
	switch plan := r.storedPlan(); {
	case state.EditedFrom != nil: // the draft is that of the execution that was edited
		derived.Origin = writ.Origin(among(string(facts.Origin), string(writ.OriginChannel), string(writ.OriginModel), string(writ.OriginAutomation), string(writ.OriginHuman)))
	case plan == nil: // it never compiled: nobody knows by which rules it would have been
		derived.Origin = writ.Origin(among(string(facts.Origin), string(author), string(state.Origin)))
	case plan.Rules == 0:
		derived.Origin = state.Origin
	default:
		derived.Origin = author
	}
	derived.Source, derived.Format = among(facts.Source, "draft", "template", "model"), among(facts.Format, "yaml", "json")
	if p := state.Principal; len(facts.Authors) > 0 && p != nil { // earlier versions did not write them down
		derived.Authors = r.x.authors(&writ.Principal{ID: record.Actor.ActorID, OnBehalfOf: record.Actor.OnBehalfOf})
	}
	if state.EditedFrom != nil {
		derived.Authors = r.edits(record)
	}
	r.compare(stageIntent, "", facts, derived)
	return r.loader.err
}

// among is value where it is one of the known, otherwise the first of them.
func among(value string, known ...string) string {
	if slices.Contains(known, value) {
		return value
	}
	return known[0]
}

func (r *replayer) runStarted(record *writ.Record) {
	facts := record.Body.Run
	for _, pin := range facts.Pins {
		stage := stageIntent
		if pin.Name == writ.PayloadPlan {
			stage = stagePlan
		}
		now, _ := r.x.state.Payload(pin.Name)
		r.member(stage, "", pin.Name, pin.Digest, now.Digest)
	}
	r.compare(stageRun, "", facts, writ.RunFacts{
		ID:   writ.RunID(canon.ID("run", canon.DomainRun, []byte(r.x.id), []byte(r.x.plan.Hash))),
		Mode: writ.Mode(among(string(facts.Mode), string(writ.Autonomous), string(writ.Assist))), Pins: r.x.state.Payloads,
	})
}

func (r *replayer) ended(record *writ.Record) {
	if r.x.state.RunID == "" {
		return
	}
	status, reason := outcomeOf(&r.x.state)
	r.compare(stageExecution, "", record.Body.End, writ.EndFacts{Status: status, Reason: reason})
}
