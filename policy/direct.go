package policy

import (
	"context"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// asked is the question of a decision with its form in the evaluator, which is the
// same for every policy. A built-in that is given the whole of it reads the question
// itself: taking the form apart again costs a quarter of a decision. One goroutine at
// a time uses it: the evaluator keeps what it has converted in the form.
type asked struct {
	question *writ.Question
	form     ast.Value // nil: there is none
}

type askedKey struct{}

// ask makes the form. Where a rule alters the question ("with input.origin as"), it is
// whole: the evaluator means to alter a copy, and a lazy object is its own copy.
func (m *memory) ask(q *writ.Question, whole bool) *asked {
	if q == nil {
		return &asked{}
	}
	form, err := m.questionValue(q)
	if err != nil {
		return &asked{question: q}
	}
	if whole {
		form = wholeOf(form)
	}
	return &asked{q, form}
}

func wholeOf(v ast.Value) ast.Value {
	object, ok := v.(ast.Object)
	if !ok {
		return v
	}
	items := make([][2]*ast.Term, 0, object.Len())
	object.Foreach(func(key, value *ast.Term) {
		items = append(items, [2]*ast.Term{key, ast.NewTerm(wholeOf(value.Value))})
	})
	return ast.NewObject(items...)
}

func withQuestion(ctx context.Context, a *asked) context.Context {
	return context.WithValue(ctx, askedKey{}, a)
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
	missing := []*ast.Term{}
	for i := range q.Step.Capabilities {
		wanted := &q.Step.Capabilities[i]
		if !anyCounts(q, func(held *writ.Grant) bool { return held.Reaches(wanted) }) {
			missing = append(missing, capabilityTerm(wanted))
		}
	}
	named := func(tool string) bool {
		return slices.ContainsFunc(q.Step.Capabilities, func(c writ.Capability) bool { return c.Tool == tool })
	}
	granted := func(tool string) bool {
		return anyCounts(q, func(g *writ.Grant) bool { return g.EveryTool() || g.Capability.Tool == tool && tool != writ.AnyTool })
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

// anyCounts reports whether a live grant of the question is such a one.
func anyCounts(q *writ.Question, such func(*writ.Grant) bool) bool {
	for i := range q.Grants {
		if g := &q.Grants[i]; g.Counts(q) && such(g) {
			return true
		}
	}
	return false
}
