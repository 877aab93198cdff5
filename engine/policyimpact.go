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
	b := ballot{poll: p, id: x.ID}
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

// world is how far an execution has come, for what an earlier verdict and the run
// do to a later one.
type world struct {
	state writ.Execution
	last  *writ.Record // the record before, where it was a verdict
}

// ballot is one execution: as it was, and as it would have been.
type ballot struct {
	*poll
	id         writ.ExecutionID
	loader     loader
	was, would world
	flips      []contract.VerdictFlip
	gaps       []string
	same       int
	changed    int
	already    int
}

func (b *ballot) count() error {
	records, err := b.e.Traces.Records(b.timed, writ.RecordQuery{Tenant: b.tenant, Stream: writ.StreamID(b.id)})
	if err != nil {
		return err
	}
	for i := range records {
		r := &records[i].Record
		again := r
		decided := r.Type == writ.RecVerdict && r.Body.Decided != nil && !r.Body.Decided.Advisory
		if decided {
			if again, err = b.again(r); err != nil {
				return err
			}
		}
		b.was.add(r, decided)
		b.would.add(again, decided)
	}
	return nil
}

func (w *world) add(r *writ.Record, decided bool) {
	w.state.Apply(r)
	if w.last = nil; decided {
		w.last = r
	}
}

// again is the record as it would be under the candidate; as it is where that
// cannot be told.
func (b *ballot) again(r *writ.Record) (*writ.Record, error) {
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
	answer, err := b.judge.Judge(b.timed, &q)
	if err != nil {
		return nil, err
	}
	verdict := b.would.counts(answer, r)
	if err := b.compare(&q, r, verdict); err != nil {
		return nil, err
	}
	again, facts := *r, *r.Body.Decided
	facts.Verdict = *verdict
	again.Body.Decided = &facts
	return &again, nil
}

// counts is what counts of an answer at the stage of the record.
func (w *world) counts(answer *writ.Verdict, r *writ.Record) *writ.Verdict {
	verdict := w.atStage(answer, r)
	if over := r.Body.Decided.Over; over != nil && verdict.Mode.Rank() > 0 {
		return writ.Exhausted(verdict, over) // whatever the policy had said
	}
	return verdict
}

func (w *world) atStage(answer *writ.Verdict, r *writ.Record) *writ.Verdict {
	switch r.Body.Decided.Stage {
	case writ.StageVerify:
		var undo *writ.Verdict
		if w.last != nil && w.last.Step == compensationID(r.Step) {
			undo = &w.last.Body.Decided.Verdict
		}
		return bound(effective(answer, nil, writ.Autonomous), undo)
	case writ.StageDispatch:
		var prior *writ.Verdict
		if step := w.state.Step(string(r.Step)); step != nil {
			prior = step.Verdict
		}
		return effective(answer, prior, w.state.Mode)
	}
	return answer
}

// compare counts a verdict. What is active now is asked only about a flip: of an
// older trace it may say the same, which is then no change of the candidate's.
func (b *ballot) compare(q *writ.Question, r *writ.Record, would *writ.Verdict) error {
	was := &r.Body.Decided.Verdict
	if was.Mode.Tighten(writ.Autonomous) == would.Mode {
		if sameDemands(was, would) {
			b.same++
		} else {
			b.changed++
		}
		return nil
	}
	present, err := b.present.Judge(b.timed, q)
	if err != nil {
		return err
	}
	if b.was.counts(present, r).Mode == would.Mode {
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
