package plan

import (
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// expressionsOfUndo compiles the arguments of a step's compensation, which also
// read the input and the output of the step.
func (c *compiler) expressionsOfUndo(w *work) error {
	scope := *c.scope
	scope.input, scope.output = dyn, dyn
	if w.input != nil {
		scope.input = w.input.shape
	}
	if w.output != nil {
		scope.output = w.output.shape
	}
	if w.forEach != nil {
		scope.item, _ = elementOf(w.forEach.shape)
	}
	env, err := c.planner.newEnv(&scope)
	if err != nil {
		return &writ.Error{Code: writ.CodeInternal, Op: "plan expressions", Err: err}
	}
	f := &filler{compiler: c, work: w.undo, env: env}
	f.fillStep()
	return nil
}

// linkUndo makes a step wait for what its compensation reads, so that this is
// there whenever the step is to be undone.
func (c *compiler) linkUndo(w *work, needs map[string]bool) {
	if w.undo == nil {
		return
	}
	for _, b := range w.undo.bindings {
		for _, name := range b.expr.steps {
			if name != w.draft.Name {
				needs[name] = true
				continue
			}
			c.problems.add(b.at, found(CodeSelfReference, "write `output` for the output of the step that is undone", "the compensation reads its step by name"))
		}
	}
}

// forwardShapes are the shapes of `input` and `output`, and the key of all that
// they depend on.
func (r *resolver) forwardShapes(scope *scopeTypes) (string, error) {
	if r.scope.Forward == nil {
		return "", writ.Errorf(writ.CodeInvalid, r.op, "there is no completed step to undo")
	}
	step := r.scope.Forward.Step
	for digest, into := range map[writ.Digest]**shape{step.InputSchema: &scope.input, step.OutputSchema: &scope.output} {
		raw, ok := r.plan.Schemas[digest]
		if !ok {
			continue
		}
		read, err := r.planner.schema(raw)
		if err != nil || read.digest != digest {
			return "", writ.Errorf(writ.CodeTampered, r.op, "a schema of step %s is not the one of the plan", step.Name)
		}
		*into = read.shape
	}
	if step.InputSchema == step.OutputSchema {
		scope.input = scope.output
	}
	return string(step.InputSchema) + string(step.OutputSchema), nil
}

// forwardVariables are the values of `input` and `output`.
func (r *resolver) forwardVariables(vars map[string]any, types *scopeTypes) error {
	for name, source := range map[string]struct {
		raw   []byte
		shape *shape
	}{
		rootInput:  {r.scope.Forward.Input, types.input},
		rootOutput: {r.scope.Forward.Output, types.output},
	} {
		if source.shape == nil {
			continue
		}
		value, err := canon.Decode(source.raw)
		if err != nil {
			return writ.Errorf(writ.CodeInvalid, r.op, "the %s of step %s is not JSON: %w", name, r.scope.Forward.Step.Name, err)
		}
		vars[name] = toCEL(value, source.shape)
	}
	return nil
}

// iterating is the step whose forEach gives the element: this one, or the one
// that it undoes.
func (r *resolver) iterating() *writ.Step {
	if r.scope.Forward != nil {
		return r.scope.Forward.Step
	}
	return r.step
}

// forwardLabels are the labels that an expression has from the step that is
// undone.
func (r *resolver) forwardLabels(e *writ.Expression) []writ.Label {
	if r.scope.Forward == nil || !readsForward(e.Reads) {
		return nil
	}
	return r.scope.Forward.Labels
}
