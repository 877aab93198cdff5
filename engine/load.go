package engine

import (
	"context"
	"encoding/json"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// load folds an execution from its journal, with the payloads that going on
// with it needs.
func (e *Engine) load(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) (*execution, error) {
	records, err := e.Traces.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: writ.StreamID(id)})
	if err != nil {
		return nil, err
	}
	x := e.newExecution(tenant, id)
	l := loader{x: x, ctx: ctx}
	for i := range records {
		x.state.Apply(&records[i].Record)
		x.position = records[i].Position
		l.record(&records[i].Record)
		x.follow(&records[i].Record)
	}
	l.documents()
	if l.err != nil {
		x.stop()
		return nil, l.err
	}
	if x.state.Status.Final() {
		close(x.done)
	}
	return x, nil
}

type loader struct {
	x    *execution
	ctx  context.Context
	read writ.PayloadReader // opened with the first payload
	err  error
}

func (l *loader) payload(ref writ.PayloadRef) []byte {
	if l.err == nil && l.read == nil {
		l.read, l.err = l.x.engine.Traces.Payloads(l.ctx, l.x.tenant, writ.StreamID(l.x.id))
	}
	if l.err != nil {
		return nil
	}
	var data []byte
	data, l.err = l.read(ref)
	return data
}

func (l *loader) named(r *writ.Record, name string) []byte {
	ref, ok := r.Payload(name)
	if !ok {
		return nil
	}
	return l.payload(ref)
}

func (l *loader) documents() {
	if ref, ok := l.x.state.Payload(writ.PayloadIntent); ok {
		l.x.intent = l.payload(ref)
	}
	if ref, ok := l.x.state.Payload(writ.PayloadDraft); ok {
		l.x.draft = l.payload(ref)
	}
	if ref, ok := l.x.state.Payload(writ.PayloadEdits); ok && l.err == nil {
		l.edits(l.payload(ref))
	}
	ref, ok := l.x.state.Payload(writ.PayloadPlan)
	if !ok || l.err != nil {
		return
	}
	l.x.plan, l.err = decodePlan(l.payload(ref), l.x.state.PlanID, l.x.state.PlanHash)
}

// edits reads what was edited of the draft.
func (l *loader) edits(raw []byte) {
	if l.err != nil {
		return
	}
	var doc editDocument
	if err := json.Unmarshal(raw, &doc); err != nil {
		l.err = writ.Errorf(writ.CodeTampered, "execution "+string(l.x.id), "the stored edits do not decode: %w", err)
	}
	l.x.edits, l.x.inherited, l.x.asked = doc.all(), len(doc.Before), doc.Asked
}

func decodePlan(b []byte, id writ.PlanID, hash writ.Digest) (*writ.CompiledPlan, error) {
	var plan writ.Plan
	if err := json.Unmarshal(b, &plan); err != nil {
		return nil, writ.Errorf(writ.CodeTampered, "plan "+string(id), "the stored plan does not decode: %w", err)
	}
	if canon.Sum(canon.DomainPlan, b) != hash {
		return nil, writ.Errorf(writ.CodeTampered, "plan "+string(id), "the stored plan is not the one that was compiled")
	}
	return &writ.CompiledPlan{Plan: &plan, ID: id, Hash: hash, Bytes: b}, nil
}

func (l *loader) record(r *writ.Record) {
	x := l.x
	switch r.Type {
	case writ.RecApprovalOpened:
		l.approvalOpened(r)
	case writ.RecApprovalDecided, writ.RecApprovalEscalated, writ.RecApprovalExpired:
		if a := x.approval(r.Step); a != nil {
			applyDecision(a, r.Body.Approval, r.Time)
		}
	case writ.RecStepExpanded:
		l.expanded(r)
	case writ.RecStepStarted:
		l.started(r)
	case writ.RecStepCompleted:
		step := x.state.Step(string(r.Step))
		x.outputs[step.Name] = l.named(r, writ.PayloadOutput)
		x.labels[step.Name] = step.Labels
		if a := x.attempts[r.Step]; a != nil {
			x.inputs[r.Step] = a.input
		}
		delete(x.attempts, r.Step)
	case writ.RecRunRetried:
		x.dropApprovals()
	case writ.RecStepResolved:
		if a := x.attempts[r.Step]; a != nil {
			a.resolve(r.Body.Resolved, l.named(r, writ.PayloadResult), r.Time)
		}
	case writ.RecToolCalled, writ.RecToolReturned, writ.RecToolDenied:
		if a := x.attempts[r.Step]; a != nil {
			a.record(r, l.named(r, writ.PayloadArguments), l.named(r, writ.PayloadResult))
		}
	}
}

func (l *loader) approvalOpened(r *writ.Record) {
	a := &writ.Approval{Digest: r.Body.Approval.Digest, Status: writ.ApprovalPending}
	if raw := l.named(r, writ.PayloadRequest); l.err == nil {
		if err := json.Unmarshal(raw, &a.Request); err != nil {
			l.err = writ.Errorf(writ.CodeTampered, "approval of step "+string(r.Step), "the stored request does not decode: %w", err)
		}
	}
	l.x.approvals[r.Step] = append(l.x.approvals[r.Step], a)
}

func (l *loader) expanded(r *writ.Record) {
	if _, iterates := r.Payload(writ.PayloadItems); !iterates {
		return
	}
	raw := l.named(r, writ.PayloadItems)
	if l.err == nil {
		l.x.lists[r.Step], l.err = listOf(raw, r.Body.Expanded.Labels)
	}
}

func (l *loader) started(r *writ.Record) {
	next := &attempt{
		number: r.Attempt, input: l.named(r, writ.PayloadInput), clock: r.Body.Started.Clock, engine: r.Body.Started.Engine,
		grants: r.Body.Started.Grants,
	}
	copy(next.seed[:], l.named(r, writ.PayloadSeed))
	if s := l.x.state.Step(string(r.Step)); s != nil {
		next.earlier = s.Earlier
	}
	if last := l.x.attempts[r.Step]; last != nil {
		next.before = last.completedWrites()
	}
	l.x.attempts[r.Step] = next
}

// applyDecision is the same transition that StepState makes, on the approval
// that also holds the full request.
func applyDecision(a *writ.Approval, f *writ.ApprovalFacts, at writ.Time) {
	if a.Digest != f.Digest {
		return
	}
	a.Status = f.Status
	if f.Decision != nil {
		a.Decisions = append(a.Decisions, *f.Decision)
	}
	if !a.Open() {
		a.ClosedAt = at
	}
}

// record notes a tool record of the attempt.
func (a *attempt) record(r *writ.Record, args, result []byte) {
	facts := *r.Body.Call
	if r.Type == writ.RecToolCalled {
		a.calls = append(a.calls, &call{facts: facts, args: args, began: r.Time})
		a.reserve(&facts)
		return
	}
	if r.Type == writ.RecToolDenied {
		a.calls = append(a.calls, &call{facts: facts, args: args, ended: true, denied: true, at: r.Time})
		return
	}
	if facts.Earlier > 0 {
		a.calls = append(a.calls, &call{facts: facts, args: args, ended: true, result: result, at: r.Time})
		a.labels = writ.JoinLabels(a.labels, facts.Labels)
		return
	}
	for _, c := range a.calls {
		if c.facts.Sequence == facts.Sequence {
			c.facts.Outcome, c.facts.Failure, c.facts.Labels = facts.Outcome, facts.Failure, facts.Labels
			c.ended, c.result, c.at = true, result, r.Time
		}
	}
	a.labels = writ.JoinLabels(a.labels, facts.Labels)
}

// completedWrites are the writes that have happened in this attempt and before.
func (a *attempt) completedWrites() []*call {
	out := append([]*call{}, a.before...)
	for _, c := range a.calls {
		if c.ended && !c.denied && c.facts.Earlier == 0 && c.facts.Effect.Writes() && c.facts.Outcome == writ.OutcomeDone {
			out = append(out, c)
		}
	}
	return out
}
