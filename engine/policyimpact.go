package engine

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// PolicyImpact asks another judge the recorded question of every stored verdict
// of the tenant's newest executions, and says which would have come out in
// another mode. It ends with the limit or when the time is over, with the cursor
// of what is left; at least one execution is examined. Nothing is recorded and
// nothing performed. CodeInvalid for a query that does not fit.
func (e *Engine) PolicyImpact(ctx context.Context, judge writ.Judge, query ImpactQuery) (*contract.StoredVerdicts, string, error) {
	var err error
	if query.Limit, query.Budget, err = impactBounds(query.Limit, query.Budget); err != nil {
		return nil, "", err
	}
	timed, cancel := context.WithTimeout(ctx, query.Budget)
	defer cancel()
	p := &poll{e: e, ctx: ctx, timed: timed, judge: judge, present: e.Judges.Active(), tenant: query.Tenant, out: &contract.StoredVerdicts{}}
	over := func() bool { return timed.Err() != nil }
	walk := writ.Survey{
		Traces: e.Traces, Tenant: query.Tenant, Since: query.Since, Cursor: query.Cursor, Over: over,
		Enough: func() bool { return p.out.Executions > 0 && (p.out.Executions >= query.Limit || over()) },
	}
	next, err := walk.Run(ctx, p.examine)
	if err != nil {
		return nil, "", err
	}
	p.out.Complete = next == ""
	return p.out, next, nil
}

// poll is one page of PolicyImpact.
type poll struct {
	e              *Engine
	ctx            context.Context
	timed          context.Context // ends with the page's time
	judge, present writ.Judge
	tenant         writ.TenantID
	out            *contract.StoredVerdicts
}

// examine counts an execution in, whole or not at all. It is false where the time
// was over before that was possible; of the first execution that says that it
// takes too long.
func (p *poll) examine(x *writ.Execution) (bool, error) {
	b := ballot{poll: p, id: x.ID, now: writ.Execution{ID: x.ID}}
	b.loader = loader{x: p.e.newExecution(p.tenant, x.ID), ctx: p.ctx}
	defer b.loader.x.stop()
	err := b.count()
	switch over := p.timed.Err() != nil && p.ctx.Err() == nil; {
	case err != nil && over && p.out.Executions > 0:
		return false, nil
	case err != nil && over:
		b = ballot{poll: p, id: x.ID, gaps: []string{"judging it again takes longer than the time that was given"}}
	case unreadable(err):
		b.gaps = append(b.gaps, failureOf(err).Message)
	case err != nil:
		return false, err
	}
	b.cast(x.CreatedAt)
	return true, nil
}

// unreadable errors say of stored bytes that they cannot be judged any more.
func unreadable(err error) bool {
	switch writ.CodeOf(err) {
	case writ.CodeUnreplayable, writ.CodeNotFound, writ.CodeTampered:
		return true
	}
	return false
}

// ballot is one execution. now is what it would have been: its verdicts are the
// candidate's, so that an earlier one binds a later one as it did.
type ballot struct {
	*poll
	id      writ.ExecutionID
	loader  loader
	now     writ.Execution
	last    *writ.Record // the verdict before, as it would have been
	flips   []contract.VerdictFlip
	gaps    []string
	same    int
	changed int
	already int
}

func (b *ballot) count() error {
	records, err := b.e.Traces.Records(b.timed, writ.RecordQuery{Tenant: b.tenant, Stream: writ.StreamID(b.id)})
	if err != nil {
		return err
	}
	for i := range records {
		r := &records[i].Record
		last := b.last
		b.last = nil
		if r.Type == writ.RecVerdict && r.Body.Decided != nil && !r.Body.Decided.Advisory {
			if r, err = b.again(r, last); err != nil {
				return err
			}
			b.last = r
		}
		b.now.Apply(r)
	}
	return nil
}

// again is the record as it would be under the candidate; as it is where that
// cannot be told.
func (b *ballot) again(r, last *writ.Record) (*writ.Record, error) {
	if err := b.timed.Err(); err != nil {
		return nil, err
	}
	raw := b.loader.named(r, writ.PayloadQuestion)
	if err := b.loader.err; err != nil {
		b.loader.err = nil
		if !unreadable(err) {
			return nil, err
		}
		b.gaps = append(b.gaps, failureOf(err).Message)
		return r, nil
	}
	var q writ.Question
	if raw == nil || json.Unmarshal(raw, &q) != nil {
		b.gaps = append(b.gaps, "the stored question does not decode")
		return r, nil
	}
	verdict, err := b.verdict(b.judge, &q, r, last)
	if err != nil {
		return nil, err
	}
	if err := b.compare(&q, r, last, verdict); err != nil {
		return nil, err
	}
	would, facts := *r, *r.Body.Decided
	facts.Verdict = *verdict
	would.Body.Decided = &facts
	return &would, nil
}

// verdict is what counts of a judge's answer at the stage of the record.
func (b *ballot) verdict(judge writ.Judge, q *writ.Question, r, last *writ.Record) (*writ.Verdict, error) {
	answer, err := judge.Judge(b.timed, q)
	if err != nil {
		return nil, err
	}
	switch r.Body.Decided.Stage {
	case writ.StageVerify:
		var undo *writ.Verdict
		if last != nil && last.Step == compensationID(r.Step) {
			undo = &last.Body.Decided.Verdict
		}
		return bound(effective(answer, nil, writ.Autonomous), undo), nil
	case writ.StageDispatch:
		var prior *writ.Verdict
		if step := b.now.Step(string(r.Step)); step != nil {
			prior = step.Verdict
		}
		return effective(answer, prior, b.now.Mode), nil
	}
	return answer, nil
}

func (b *ballot) compare(q *writ.Question, r, last *writ.Record, would *writ.Verdict) error {
	was := &r.Body.Decided.Verdict
	if was.Mode.Tighten(writ.Autonomous) == would.Mode {
		if sameDemands(was, would) {
			b.same++
		} else {
			b.changed++
		}
		return nil
	}
	present, err := b.verdict(b.present, q, r, last)
	if err != nil {
		return err
	}
	if present.Mode == would.Mode {
		b.already++
		return nil
	}
	by := contract.DecidedBy(would)
	b.flips = append(b.flips, contract.VerdictFlip{
		ExecutionID: b.id, StepID: r.Step, Step: q.Step.Name, Stage: r.Body.Decided.Stage, Sequence: r.Body.Decided.Sequence,
		From: was.Mode, To: would.Mode, Layer: by.Layer, Rule: by.Rule, Message: by.Message,
	})
	return nil
}

// sameDemands of two verdicts in one mode: the same tier, people and budget.
func sameDemands(a, b *writ.Verdict) bool {
	calls := func(v *writ.Verdict) int {
		if v.Budget == nil {
			return 0
		}
		return v.Budget.Calls
	}
	x, y := &a.Approvals, &b.Approvals
	return a.Risk == b.Risk && calls(a) == calls(b) && x.Count == y.Count && x.ExpiresIn == y.ExpiresIn &&
		x.EscalateAfter == y.EscalateAfter && slices.Equal(x.Roles, y.Roles) && slices.Equal(x.EscalateTo, y.EscalateTo)
}

// cast adds the execution to the page.
func (b *ballot) cast(received writ.Time) {
	out := b.out
	out.Executions++
	out.Oldest = received
	out.Same, out.Changed, out.Already = out.Same+b.same, out.Changed+b.changed, out.Already+b.already
	out.Verdicts += b.same + b.changed + b.already + len(b.flips)
	for n := range b.flips {
		f := &b.flips[n]
		first := !slices.ContainsFunc(b.flips[:n], func(other contract.VerdictFlip) bool {
			return other.Layer == f.Layer && other.Rule == f.Rule
		})
		out.Flip(f, first)
	}
	for _, gap := range b.gaps {
		out.Gap(b.id, gap)
	}
}
