package contract

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// EventsOf projects a stored record to the public events, mostly none or one.
// exec is the record's execution and names steps; it may be nil. The same record
// and execution give the same events with the same ids, so a consumer can
// deduplicate. A record whose facts are missing gives nothing.
func EventsOf(rec *writ.Stored, exec *writ.Execution) []writ.Event {
	key, data := projection(&rec.Record, exec)
	if key == "" {
		return nil
	}
	declared, ok := LookupEvent(key)
	if !ok {
		return nil
	}
	fillLists(data)
	raw, err := json.Marshal(data)
	if err != nil {
		return nil // the data types hold nothing that cannot be encoded
	}
	return []writ.Event{envelope(rec, declared, raw)}
}

func envelope(rec *writ.Stored, declared *EventContract, data json.RawMessage) writ.Event {
	subject := string(rec.Stream)
	if rec.Step != "" {
		subject += "/" + string(rec.Step)
	}
	if system := rec.Body.System; system != nil {
		subject = system.Subject
	}
	return writ.Event{
		SpecVersion: "1.0", ID: canon.ID("evt", canon.DomainEvent, []byte(rec.Digest), []byte(declared.Key)),
		Source: "urn:writ:" + string(rec.Tenant) + ":" + string(rec.Stream), Type: declared.Key,
		Subject: subject, Time: rec.Time, DataSchema: declared.SchemaURI(), ContentType: "application/json",
		Data: data, Tenant: rec.Tenant, Actor: rec.Actor.ActorID, Session: rec.Actor.SessionID,
		CapabilitySource: rec.Actor.CapabilitySource, TraceParent: traceParent(rec),
		Seq: rec.Seq, PrevDigest: rec.Prev,
	}
}

// traceParent is the W3C form, version 00, sampled. The span is the record: the
// first eight bytes of its digest. A record without a valid trace id gets one
// that is derived from its stream.
func traceParent(rec *writ.Stored) string {
	const traceIDLength, spanIDLength = 32, 16
	trace := rec.Actor.TraceID
	if raw, err := hex.DecodeString(trace); err != nil || len(raw) != traceIDLength/2 || allZero(raw) {
		sum := canon.Hash(canon.DomainEvent, []byte(rec.Tenant), []byte(rec.Stream))
		trace = hex.EncodeToString(sum[:traceIDLength/2])
	}
	span := rec.Digest.Hex()
	if span == "" {
		return ""
	}
	return fmt.Sprintf("00-%s-%s-01", trace, span[:spanIDLength])
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func projection(r *writ.Record, exec *writ.Execution) (string, any) {
	switch body := &r.Body; {
	case body.Intent != nil:
		return intentEvent(r, body.Intent)
	case body.Edit != nil:
		return editEvent(r, body.Edit)
	case body.Plan != nil:
		return planEvent(r, body.Plan)
	case body.Decided != nil:
		return decidedEvent(r, body.Decided)
	case body.Approval != nil:
		return approvalEvent(r, body.Approval)
	case body.Call != nil:
		return toolEvent(r, body.Call)
	case body.End != nil:
		return endEvent(r, body.End)
	case body.Resolved != nil:
		return resolvedEvent(r, body.Resolved)
	case body.Delivery != nil:
		return deliveryEvent(r, body.Delivery)
	case body.Message != nil:
		return messageEvent(r, body.Message)
	case body.System != nil:
		return systemEvent(r, body.System)
	}
	return stepEvent(r, exec)
}

func intentEvent(r *writ.Record, f *writ.IntentFacts) (string, any) {
	if r.Type != writ.RecIntentReceived {
		return "", nil
	}
	return EventIntentReceived, &IntentEvent{
		ExecutionID: writ.ExecutionID(r.Stream), IntentID: f.ID, WorkspaceID: f.Workspace,
		Origin: f.Origin, ChannelKey: f.ChannelKey,
	}
}

func planEvent(r *writ.Record, f *writ.CompiledFacts) (string, any) {
	data := &PlanEvent{
		ExecutionID: writ.ExecutionID(r.Stream), PlanID: f.ID, DeterministicHash: f.Hash,
		StepCount: len(f.Steps), Problems: ProblemsFrom(f.Problems),
	}
	switch r.Type {
	case writ.RecPlanCompiled:
		return EventPlanCompiled, data
	case writ.RecPlanRejected:
		return EventPlanRejected, data
	}
	return "", nil
}

func approvalEvent(r *writ.Record, f *writ.ApprovalFacts) (string, any) {
	data := &ApprovalEvent{
		ExecutionID: writ.ExecutionID(r.Stream), StepID: r.Step, Digest: f.Digest, Status: f.Status,
	}
	if q := f.Request; q != nil {
		data.Summary, data.RiskTier, data.DecideBy = q.Summary, q.Risk, q.DecideBy
		data.Required = max(1, q.Requirement.Count)
	}
	if d := f.Decision; d != nil {
		data.DecidedBy, data.Note = d.By, d.Note
	}
	switch r.Type {
	case writ.RecApprovalOpened:
		data.Status = writ.ApprovalPending
		return EventApprovalRequested, data
	case writ.RecApprovalEscalated:
		return EventApprovalEscalated, data
	case writ.RecApprovalExpired:
		return EventApprovalExpired, data
	case writ.RecApprovalDecided:
		return decidedEvents[f.Status], data
	}
	return "", nil
}

// decidedEvents: a yes that does not yet suffice leaves the status open.
var decidedEvents = map[writ.ApprovalStatus]string{
	writ.ApprovalApproved: EventApprovalGranted, writ.ApprovalRejected: EventApprovalRejected,
	writ.ApprovalExpired: EventApprovalExpired,
}

var toolEvents = map[writ.RecordType]string{
	writ.RecToolCalled: EventToolCalled, writ.RecToolReturned: EventToolReturned, writ.RecToolDenied: EventToolDenied,
}

func toolEvent(r *writ.Record, f *writ.CalledFacts) (string, any) {
	return toolEvents[r.Type], &ToolEvent{
		ExecutionID: writ.ExecutionID(r.Stream), StepID: r.Step, Attempt: r.Attempt, Sequence: f.Sequence,
		Tool: f.Tool, Effect: f.Effect, Digest: f.Digest, Summary: f.Summary, Outcome: f.Outcome,
		Failure: failureFrom(f.Failure), Reasons: ReasonsFrom(r.Step, f.Reasons),
	}
}

func endEvent(r *writ.Record, f *writ.EndFacts) (string, any) {
	id := writ.ExecutionID(r.Stream)
	switch r.Type {
	case writ.RecRunPaused:
		return EventExecutionPaused, &ExecutionEvent{ExecutionID: id, Status: writ.ExecPaused, Reason: f.Reason}
	case writ.RecRunResumed, writ.RecRunRetried:
		return EventExecutionResumed, &ExecutionEvent{ExecutionID: id, Status: writ.ExecRunning, Reason: f.Reason}
	case writ.RecExecutionEnded:
		return endedEvent(id, f)
	}
	return "", nil
}

// resolvedEvent: that the step fails is told by its own event.
func resolvedEvent(r *writ.Record, f *writ.ResolvedFacts) (string, any) {
	if r.Type != writ.RecStepResolved || f.Ruling == writ.RulingFail {
		return "", nil
	}
	return EventExecutionResumed, &ExecutionEvent{ExecutionID: writ.ExecutionID(r.Stream), Status: writ.ExecRunning, Reason: f.Reason}
}

func endedEvent(id writ.ExecutionID, f *writ.EndFacts) (string, any) {
	key := EventExecutionFailed
	switch f.Status {
	case writ.ExecCompleted:
		key = EventExecutionCompleted
	case writ.ExecCancelled:
		key = EventExecutionCancelled
	case writ.ExecExpired:
		key = EventExecutionExpired
	}
	return key, &ExecutionEvent{ExecutionID: id, Status: f.Status, Reason: f.Reason}
}

var stepEvents = map[writ.RecordType]string{
	writ.RecStepStarted: EventStepStarted, writ.RecStepBlocked: EventStepBlocked,
	writ.RecStepCompleted: EventStepCompleted, writ.RecStepFailed: EventStepFailed,
	writ.RecStepSkipped: EventStepSkipped, writ.RecStepIndeterminate: EventStepIndeterminate,
	writ.RecStepFrozen: EventStepFrozen, writ.RecStepThawed: EventStepThawed,
}

func stepEvent(r *writ.Record, exec *writ.Execution) (string, any) {
	data := &StepEvent{ExecutionID: writ.ExecutionID(r.Stream), StepID: r.Step, Attempt: r.Attempt}
	if exec != nil {
		if s := exec.Step(string(r.Step)); s != nil {
			data.Name, data.Skill, data.Version, data.Action = s.Name, s.Skill.Key, s.Skill.Version, s.Action
		}
	}
	if f := r.Body.Ended; f != nil {
		data.Failure, data.Reasons, data.Reason = failureFrom(f.Failure), ReasonsFrom(r.Step, f.Reasons), f.Reason
		data.Calls, data.Fuel = f.Calls, f.Fuel
	}
	if f := r.Body.Frozen; f != nil {
		data.Reason = f.Said()
	}
	return stepEvents[r.Type], data
}

func systemEvent(r *writ.Record, f *writ.SystemFacts) (string, any) {
	switch r.Type {
	case writ.RecSkillInstalled, writ.RecSkillRejected:
		key := EventSkillInstalled
		if r.Type == writ.RecSkillRejected {
			key = EventSkillRejected
		}
		return key, &SkillEvent{SkillKey: f.Subject, Version: f.Version, Digest: f.Digest, Issues: SkillIssuesFrom(f.Issues)}
	case writ.RecPolicyActivated:
		digest := f.Digest
		if digest == "" {
			digest = writ.Digest(f.Subject)
		}
		return EventPolicyActivated, &PolicyEvent{
			Digest: digest, Version: f.Version, Reason: f.Reason, Layer: writ.Layer(f.Details["layer"]),
			InForce: writ.Digest(f.Details["inForce"]), Previous: writ.Digest(f.Details["previous"]), RolledBack: f.Status == writ.PolicyRolledBack,
		}
	case writ.RecDriftDetected:
		return EventDriftDetected, driftOf(r, f)
	case writ.RecFreezeChanged:
		return EventFreezeChanged, freezeEvent(f)
	case writ.RecBudgetChanged:
		return EventBudgetChanged, budgetEvent(f)
	case writ.RecGrantChanged:
		return grantEvent(f)
	case writ.RecChannelChanged:
		return EventChannelChanged, &ChannelEvent{Name: writ.ChannelName(f.Subject), Status: f.Status, Reason: f.Reason}
	}
	return "", nil
}
