package policy

import (
	"context"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// asked is the question of a decision with its form in the evaluator. A built-in
// that is given the whole of it reads the question itself: taking the form apart
// again costs a quarter of a decision.
type asked struct {
	question *writ.Question
	form     ast.Value
}

type askedKey struct{}

func withQuestion(ctx context.Context, q *writ.Question, form ast.Value) context.Context {
	return context.WithValue(ctx, askedKey{}, &asked{q, form})
}

// questionOf is nil where value is anything but the very question that is being
// decided: a rule may ask about a document that it has made.
func questionOf(ctx context.Context, value ast.Value) *writ.Question {
	if a, ok := ctx.Value(askedKey{}).(*asked); ok && a.form == value {
		return a.question
	}
	return nil
}

// missingFrom is what builtinMissing says of the form of q. A test holds the two
// equal.
func missingFrom(q *writ.Question) *ast.Term {
	live := liveIn(q)
	missing := []*ast.Term{}
	for i := range q.Step.Capabilities {
		wanted := &q.Step.Capabilities[i]
		if !slices.ContainsFunc(live, func(held *writ.Grant) bool { return held.Reaches(wanted) }) {
			missing = append(missing, capabilityTerm(wanted))
		}
	}
	named := func(tool string) bool {
		return slices.ContainsFunc(q.Step.Capabilities, func(c writ.Capability) bool { return c.Tool == tool })
	}
	granted := func(tool string) bool {
		return slices.ContainsFunc(live, func(g *writ.Grant) bool { return g.EveryTool() || g.Capability.Tool == tool && tool != writ.AnyTool })
	}
	for _, tool := range q.Step.Tools {
		if !named(tool) && !granted(tool) {
			missing = append(missing, toolTerm(tool))
		}
	}
	still := q.Step.Effect == abi.EffectNone && q.Step.Risk == writ.RiskLow
	if len(q.Step.Capabilities)+len(q.Step.Tools) == 0 && !still && !granted("*") {
		missing = append(missing, toolTerm("*"))
	}
	return ast.ArrayTerm(missing...)
}

func liveIn(q *writ.Question) []*writ.Grant {
	var live []*writ.Grant
	for i := range q.Grants {
		if g := &q.Grants[i]; g.Counts(q) {
			live = append(live, g)
		}
	}
	return live
}
