package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/writ-run/writ"
)

// builtinLethal reads the question as a rule sees it, as builtinMissing does.
func builtinLethal(c rego.BuiltinContext, question *ast.Term) (*ast.Term, error) {
	if q := questionOf(c.Context, question.Value); q != nil {
		return ast.InternedTerm(q.Lethal()), nil
	}
	input, ok := question.Value.(ast.Object)
	if !ok {
		return nil, builtins.NewOperandTypeErr(1, question.Value, "object")
	}
	q := &writ.Question{Point: writ.Point(text(input, keyPoint))}
	taint, ok := member(input, keyTaint).(ast.Object)
	if !ok {
		return nil, nil // undefined: nobody may rely on it
	}
	labels, err := texts(taint, keyLabels)
	if err != nil {
		return nil, err
	}
	for _, label := range labels {
		q.Taint.Labels = append(q.Taint.Labels, writ.Label(label))
	}
	if call, ok := member(input, keyCall).(ast.Object); ok {
		q.Call = &writ.CallFacts{Tool: text(call, keyTool)}
	}
	step, ok := member(input, keyStep).(ast.Object)
	if !ok {
		return nil, nil
	}
	q.Step.Effect = writ.Effect(text(step, keyEffect))
	err = eachElement(step, keyCapabilities, func(t *ast.Term) error {
		capability, ok := t.Value.(ast.Object)
		if !ok {
			return builtins.NewOperandErr(1, "a capability is not an object")
		}
		q.Step.Capabilities = append(q.Step.Capabilities, writ.Capability{Tool: text(capability, keyTool)})
		return nil
	})
	return ast.InternedTerm(q.Lethal()), err
}
