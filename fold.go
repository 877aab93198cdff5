package writ

import (
	"slices"
	"strings"
)

// Apply folds one record into the execution. It is total: a record of a type
// that does not concern the state changes UpdatedAt and Seq alone. The same
// records give the same state, in the engine, in the projections and in replay.
func (e *Execution) Apply(r *Record) {
	e.Seq, e.UpdatedAt = r.Seq, r.Time
	if r.Step != "" {
		step := e.Step(string(r.Step))
		switch {
		case step == nil:
			if template := e.Template(r.Step); template != nil && r.Type == RecVerdict {
				template.judged(r.Body.Decided)
			}
		case r.Type == RecStepExpanded:
			e.expanded(r)
		default:
			step.apply(e, r)
		}
		return
	}
	switch r.Type {
	case RecIntentReceived:
		e.received(r)
	case RecInterpreted:
		e.Draft = r.Body.Intent
		e.keep(r.Payloads)
	case RecPlanCompiled:
		e.compiled(r)
	case RecPlanRejected:
		e.Status, e.Problems, e.Reason = ExecRejected, r.Body.Plan.Problems, "the draft does not compile"
	case RecRunStarted:
		e.RunID, e.Mode, e.Status = r.Body.Run.ID, r.Body.Run.Mode, ExecRunning
	case RecCancelRequested:
		e.Cancelling, e.Reason = true, r.Body.End.Reason
	case RecRunPaused:
		e.Paused, e.Reason = true, r.Body.End.Reason
		e.summarise()
	case RecRunResumed:
		e.Paused = false
		if !e.Cancelling {
			e.Reason = ""
		}
		e.summarise()
	case RecRunRetried:
		e.retried()
	case RecRunEdited:
		e.EditedInto = r.Body.Edit
	case RecExecutionEnded:
		e.Status, e.Reason, e.Paused = r.Body.End.Status, r.Body.End.Reason, false
	}
}

// retried opens an ended execution again: what did not complete is planned, and
// is judged and approved anew. Once compensations have begun it is they alone
// that are tried again.
func (e *Execution) retried() {
	undoing := e.Undoing()
	e.Status, e.Reason, e.Cancelling = ExecRunning, "", e.Cancelling && undoing
	for i := range e.Steps {
		s := &e.Steps[i]
		if s.Status == StepCompleted || s.Kind == KindCall || undoing != (s.Kind == KindCompensation) {
			continue // what it called belongs to the attempt that called it
		}
		*s = StepState{PlannedStep: s.PlannedStep, Status: StepPlanned, Attempt: s.Attempt, Earlier: s.Attempt}
		if template := e.Template(s.Template); template != nil {
			s.Verdict = template.Verdict
		}
		if end := e.partsEnd(i); end > i+1 && e.Steps[i+1].Kind == KindIteration {
			s.Status = StepRunning // its parts are tried again, and there are as many
		}
	}
	e.summarise()
}

func (e *Execution) received(r *Record) {
	f := r.Body.Intent
	e.ID, e.Tenant, e.Workspace = ExecutionID(r.Stream), r.Tenant, f.Workspace
	e.IntentID, e.Origin, e.ChannelKey = f.ID, f.Origin, f.ChannelKey
	e.Principal, e.Grants, e.TraceID = f.Principal, f.Grants, r.Actor.TraceID
	e.Status, e.CreatedAt, e.EditedFrom = ExecReceived, r.Time, r.Body.Edit
	e.keep(r.Payloads)
}

func (e *Execution) compiled(r *Record) {
	f := r.Body.Plan
	e.PlanID, e.PlanHash, e.Status, e.Verified = f.ID, f.Hash, ExecCompiled, false
	e.RequiresApproval, e.Risk = false, ""
	e.keep(r.Payloads)
	e.Steps = make([]StepState, len(f.Steps))
	for i, planned := range f.Steps {
		e.Steps[i] = StepState{PlannedStep: planned, Status: StepPlanned}
	}
	e.Templates = nil
	for _, planned := range f.Templates {
		e.Templates = append(e.Templates, StepState{PlannedStep: planned, Status: StepPlanned})
	}
	e.summarise()
}

// keep replaces references of the same name: a second compilation supersedes
// the first.
func (e *Execution) keep(refs []PayloadRef) {
	for _, ref := range refs {
		i := slices.IndexFunc(e.Payloads, func(have PayloadRef) bool { return have.Name == ref.Name })
		if i < 0 {
			e.Payloads = append(e.Payloads, ref)
		} else {
			e.Payloads[i] = ref
		}
	}
}

// summarise derives what the list shows from the steps.
func (e *Execution) summarise() {
	risk, verified, waiting, running, unknown := RiskLow, true, false, false, false
	for i := range e.Steps {
		s := &e.Steps[i]
		stepRisk := s.Risk
		if s.Verdict == nil {
			verified = verified && s.Kind != ""
		} else {
			stepRisk = s.Verdict.Risk
			e.RequiresApproval = e.RequiresApproval || s.Verdict.Mode == Assist
		}
		risk = risk.Join(stepRisk)
		waiting = waiting || s.Status == StepAwaitingApproval
		running = running || (s.Status == StepRunning && s.Frozen == nil && !e.waitsForParts(i))
		unknown = unknown || s.Status == StepIndeterminate
	}
	e.Risk, e.Verified = risk, verified && len(e.Steps) > 0
	if e.RunID == "" || e.Status.Final() {
		return
	}
	switch {
	case unknown:
		e.Status = ExecIndeterminate
	case e.Paused:
		e.Status = ExecPaused
	case waiting && !running:
		e.Status = ExecAwaitingApproval
	case !running && e.Frozen() != nil && !e.startable():
		e.Status = ExecPaused
	default:
		e.Status = ExecRunning
	}
}

// startable reports whether a step may begin that is not frozen.
func (e *Execution) startable() bool {
	return slices.ContainsFunc(e.Steps, func(s StepState) bool {
		return s.Status == StepPlanned && s.Frozen == nil && !slices.ContainsFunc(s.Needs, func(name string) bool {
			needed := e.Step(name)
			return needed == nil || needed.Status != StepCompleted
		})
	})
}

// waitsForParts reports whether a step is as far as its own steps are.
func (e *Execution) waitsForParts(at int) bool {
	for _, part := range e.Steps[at+1 : e.partsEnd(at)] {
		if !part.Status.Final() {
			return true
		}
	}
	return false
}

// partsEnd is where the steps end that belong to the one at an index: they
// follow it.
func (e *Execution) partsEnd(at int) int {
	end := at + 1
	if end == len(e.Steps) || e.Steps[end].Kind == "" {
		return end
	}
	prefix := string(e.Steps[at].ID) + "/"
	for end < len(e.Steps) && strings.HasPrefix(string(e.Steps[end].ID), prefix) {
		end++
	}
	return end
}

// expanded adds the steps that a step turned out to have, behind those that it
// has already. A verdict on the template binds them.
func (e *Execution) expanded(r *Record) {
	at := slices.IndexFunc(e.Steps, func(s StepState) bool { return s.ID == r.Step })
	if at < 0 || r.Body.Expanded == nil {
		return
	}
	parent := &e.Steps[at]
	if parent.Status == StepPlanned {
		parent.Status, parent.StartedAt = StepRunning, r.Time
	}
	parts := make([]StepState, 0, len(r.Body.Expanded.Steps))
	for _, planned := range r.Body.Expanded.Steps {
		if e.Step(string(planned.ID)) != nil {
			continue
		}
		part := StepState{PlannedStep: planned, Status: StepPlanned, Verdict: parent.Verdict}
		if template := e.Template(planned.Template); template != nil {
			part.Verdict = template.Verdict
		}
		parts = append(parts, part)
	}
	e.Steps = slices.Insert(e.Steps, e.partsEnd(at), parts...)
	e.summarise()
}

var endedStatus = map[RecordType]StepStatus{
	RecStepCompleted: StepCompleted, RecStepFailed: StepFailed, RecStepSkipped: StepSkipped,
	RecStepBlocked: StepBlocked, RecStepRejected: StepRejected, RecStepExpired: StepExpired,
	RecStepCancelled: StepCancelled, RecStepIndeterminate: StepIndeterminate,
}

func (s *StepState) apply(e *Execution, r *Record) {
	switch r.Type {
	case RecVerdict:
		s.judged(r.Body.Decided)
	case RecApprovalOpened:
		s.Approval = &Approval{Digest: r.Body.Approval.Digest, Status: ApprovalPending, Request: *r.Body.Approval.Request}
		s.Status = StepAwaitingApproval
		if ref, ok := r.Payload(PayloadInput); ok {
			s.Input = &ref
		}
	case RecApprovalDecided, RecApprovalEscalated, RecApprovalExpired:
		s.decide(r.Body.Approval, r.Time)
	case RecStepFrozen:
		s.Frozen = r.Body.Frozen
	case RecStepThawed:
		s.Frozen = nil
	case RecStepStarted:
		s.Status, s.Attempt, s.StartedAt, s.RetryAt = StepRunning, r.Attempt, r.Time, 0
		s.Failure, s.Reason, s.Calls = nil, "", 0
		if ref, ok := r.Payload(PayloadInput); ok {
			s.Input = &ref
		}
	case RecRetryScheduled:
		s.Status, s.RetryAt, s.Failure = StepPlanned, r.Body.Retry.At, r.Body.Retry.Failure
	case RecStepResolved:
		if r.Body.Resolved.Ruling != RulingFail { // of a failure step.failed tells
			s.Status, s.Failure, s.EndedAt = StepRunning, nil, 0
		}
	case RecToolCalled, RecToolDenied:
		s.Calls = r.Body.Call.Sequence
	default:
		s.end(r)
	}
	e.summarise()
}

func (s *StepState) judged(f *DecidedFacts) {
	if f.Stage != StageCall && !f.Advisory {
		verdict := f.Verdict
		s.Verdict = &verdict
	}
}

// decide closes or escalates the step's approval. A step whose approval was
// granted goes back to planned: the next dispatch finds the approval.
func (s *StepState) decide(f *ApprovalFacts, at Time) {
	if s.Approval == nil || s.Approval.Digest != f.Digest {
		return
	}
	s.Approval.Status = f.Status
	if f.Decision != nil {
		s.Approval.Decisions = append(slices.Clip(s.Approval.Decisions), *f.Decision)
	}
	if !s.Approval.Open() {
		s.Approval.ClosedAt = at
	}
	if f.Status == ApprovalApproved {
		s.Status = StepPlanned
	}
}

func (s *StepState) end(r *Record) {
	status, ok := endedStatus[r.Type]
	if !ok {
		return
	}
	s.Status, s.EndedAt, s.Frozen = status, r.Time, nil
	if f := r.Body.Ended; f != nil {
		s.Failure, s.Reason, s.Fuel, s.Labels = f.Failure, f.Reason, f.Fuel, f.Labels
		s.Calls = max(s.Calls, f.Calls)
	}
	if ref, ok := r.Payload(PayloadOutput); ok {
		s.Output = &ref
	}
}
