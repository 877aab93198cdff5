// Package policy judges steps and tool calls with OPA. A bundle of Rego rules
// answers at two decision points, data.writ.step and data.writ.call; code above
// it clamps what it says, so no bundle can make a high-risk step autonomous. What
// a bundle does not answer, answers in another shape or answers too late is
// blocked.
//
// A decision is a function of the question and the bundle: whatever depends on
// the clock, chance, the network or the machine is not among the functions that a
// bundle may call, and time is input.time.
package policy

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/writ-run/writ"
)

// DefaultDeadline ends a decision. A decision takes tens of microseconds, so only
// a runaway rule meets it, also on a machine that is busy.
const DefaultDeadline = 2 * time.Second

// decisionPoints are the rules that a bundle must define.
var decisionPoints = []writ.Point{writ.PointStep, writ.PointCall}

// Policy is one compiled bundle. It implements writ.Judge and is safe for
// concurrent use.
type Policy struct {
	ref      writ.PolicyRef
	queries  map[writ.Point]*query
	memory   *memory
	deadline time.Duration
	alters   bool // a rule says "with": it needs a form that can be copied

	declassifies []writ.Declassification
}

var (
	_ writ.Judge        = (*Policy)(nil)
	_ writ.Declassifier = (*Policy)(nil)
)

// query is a decision point with its last answer: a rule that says the same each
// time gives the very same value, which need not be read again.
type query struct {
	rego.PreparedEvalQuery
	last atomic.Pointer[entry[ast.Object, *writ.Verdict]]
}

// verdict reads an answer; the caller may change what it gets.
func (q *query) verdict(value ast.Value) *writ.Verdict {
	object, ok := value.(ast.Object)
	if !ok {
		return decodeVerdict(value)
	}
	e := q.last.Load()
	if e == nil || e.of != object {
		e = &entry[ast.Object, *writ.Verdict]{of: object, form: decodeVerdict(value)}
		q.last.Store(e)
	}
	v := *e.form
	v.Reasons = slices.Clone(v.Reasons)
	v.Approvals.Roles, v.Approvals.EscalateTo = slices.Clone(v.Approvals.Roles), slices.Clone(v.Approvals.EscalateTo)
	v.Approvals.Quorum = slices.Clone(v.Approvals.Quorum)
	if v.Budget != nil {
		budget := *v.Budget
		v.Budget = &budget
	}
	return &v
}

// Compile prepares a bundle for decisions; deadline 0 is DefaultDeadline.
// CodeInvalid where the rules do not compile, use a function that is not allowed
// or lack a decision point.
func Compile(ctx context.Context, b *Bundle, deadline time.Duration) (*Policy, error) {
	if deadline <= 0 {
		deadline = DefaultDeadline
	}
	program, err := b.compile(decisions)
	if err != nil {
		return nil, err
	}
	p := &Policy{ref: b.Ref(), queries: map[writ.Point]*query{}, memory: newMemory(), deadline: deadline, alters: program.alters, declassifies: b.declassifies}
	for _, point := range decisionPoints {
		prepared, err := program.prepare(ctx, ast.MustParseRef("data.writ."+string(point)))
		if err != nil {
			return nil, err
		}
		p.queries[point] = &query{PreparedEvalQuery: prepared}
	}
	return p, nil
}

// Policy implements writ.Judge.
func (p *Policy) Policy() writ.PolicyRef { return p.ref }

// Judge implements writ.Judge. A fault of the bundle (undefined, a runtime error,
// an unknown shape, the deadline) is a blocked verdict that names the fault.
// CodeCancelled where ctx ended before the answer.
func (p *Policy) Judge(ctx context.Context, q *writ.Question) (*writ.Verdict, error) {
	return p.judge(ctx, q)
}

// judge takes evaluator options, with which tests switch the rule index off.
func (p *Policy) judge(ctx context.Context, q *writ.Question, options ...rego.EvalOption) (*writ.Verdict, error) {
	return p.judgeAsked(ctx, p.memory.ask(q, p.alters), options...)
}

func (p *Policy) judgeAsked(ctx context.Context, a *asked, options ...rego.EvalOption) (*writ.Verdict, error) {
	verdict, err := p.answer(ctx, a, options)
	if err != nil {
		return nil, err
	}
	clamp(a.question, verdict)
	p.holdDeclassified(a.question, verdict)
	verdict.PolicyDigest, verdict.PolicyVersion = p.ref.Digest, p.ref.Version
	return verdict, nil
}

func (p *Policy) answer(ctx context.Context, a *asked, options []rego.EvalOption) (*writ.Verdict, error) {
	if a.question == nil {
		return fault("question", "there is no question"), nil
	}
	query, ok := p.queries[a.question.Point]
	if !ok {
		return fault("question", fmt.Sprintf("%q is not a decision point", a.question.Point)), nil
	}
	if a.form == nil {
		return fault("question", "the question's input or arguments are not JSON"), nil
	}
	value, err := p.evaluate(withQuestion(ctx, a), query, append(options, rego.EvalParsedInput(a.form)))
	switch {
	case err == nil && value == nil:
		return fault("undefined", "the policy gives no answer"), nil
	case err == nil:
		return query.verdict(value), nil
	case ctx.Err() != nil:
		return nil, &writ.Error{Code: writ.CodeCancelled, Op: "policy " + p.ref.Version, Message: "the caller went away before the decision", Err: ctx.Err()}
	case topdown.IsCancel(err):
		return fault("deadline", fmt.Sprintf("the policy did not answer within %s", p.deadline)), nil
	}
	return fault("evaluation", "a rule of the policy failed: "+err.Error()), nil
}

// evaluate returns nil where the rule is undefined.
func (p *Policy) evaluate(ctx context.Context, query *query, options []rego.EvalOption) (ast.Value, error) {
	bound := &bound{ctx: ctx, until: time.Now().Add(p.deadline)}
	results, err := query.Eval(ctx, append(options, rego.EvalExternalCancel(bound), rego.EvalMetrics(metrics.NoOp()))...)
	if err != nil || len(results) == 0 || len(results[0].Expressions) == 0 {
		return nil, err
	}
	value, ok := results[0].Expressions[0].Value.(ast.Value)
	if !ok {
		return nil, nil
	}
	return value, nil
}

// bound ends a decision at its deadline or when the caller goes away. The
// evaluator asks it before each expression, so it needs neither the goroutine that
// the evaluator would start nor a timer. One goroutine uses it.
type bound struct {
	ctx   context.Context
	until time.Time
	asked uint
	over  bool
}

// lookEvery is how often the clock is read: 16 expressions take microseconds.
const lookEvery = 16

// Cancel implements topdown.Cancel.
func (b *bound) Cancel() { b.over = true }

// Cancelled implements topdown.Cancel.
func (b *bound) Cancelled() bool {
	if b.asked++; b.asked%lookEvery == 1 {
		b.over = b.over || b.ctx.Err() != nil || !time.Now().Before(b.until)
	}
	return b.over
}

// fault is the blocked verdict of a policy that did not answer as it must.
func fault(rule, message string) *writ.Verdict {
	return &writ.Verdict{
		Mode: writ.Blocked, Risk: writ.RiskBlocked,
		Reasons: []writ.Reason{{
			Rule: "writ." + rule, Message: clean(message, maxText),
			Fix: "run `writ policy test`, then activate a bundle that answers",
		}},
	}
}
