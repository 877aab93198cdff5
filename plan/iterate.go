package plan

import (
	"encoding/json"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// yield is the shape of what a step gives to others: of a step with forEach the
// list of what its iterations gave.
func yield(output *shape, iterated bool) *shape {
	if !iterated {
		return output
	}
	return &shape{kind: shapeList, item: output, most: writ.MaxPlanSteps}
}

// elementOf is the shape of an element of a list; ok is false for what can be
// no list.
func elementOf(list *shape) (element *shape, ok bool) {
	switch list.kind {
	case shapeList:
		return orDyn(list.item), true
	case shapeDyn:
		return dyn, true
	}
	return dyn, false
}

// iteration compiles forEach and returns the environment that has its element.
func (c *compiler) iteration(w *work) (*exprEnv, error) {
	at := w.draft.at("forEach")
	w.items = -1
	scope := *c.scope
	scope.item = dyn
	if w.forEach = c.condition(c.env, w.draft.ForEach, at); w.forEach != nil {
		var ok bool
		if scope.item, ok = elementOf(w.forEach.shape); !ok || w.forEach.optional() {
			c.problems.add(at, found(CodeExpressionType, "give a list", "forEach is of type %s, not array", w.forEach.shape))
		} else if w.forEach.constant() {
			f := &filler{compiler: c, work: w, env: c.env}
			if list, ok := f.constant(w.forEach, at).([]any); ok {
				w.items = len(list)
			}
		}
	}
	env, err := c.planner.newEnv(&scope)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: "plan expressions", Err: err}
	}
	return env, nil
}

// countSteps holds the bound of steps with the iterations that are known. What
// is not known yet is counted when it is.
func (c *compiler) countSteps() {
	total := 0
	for _, w := range c.works {
		count := 1
		if w.draft.ForEach != "" {
			count = max(0, w.items)
		}
		if w.undo != nil {
			count *= 2
		}
		total += count
		if total > writ.MaxPlanSteps {
			c.problems.add(w.draft.at("forEach"), found(CodeTooLarge, "split the plan", "the plan has %d steps up to here, with iterations and compensations; at most %d are taken", total, writ.MaxPlanSteps))
			return
		}
	}
}

// Expand implements writ.Planner. CodeInvalid where the expression fails or its
// value is no list, CodeTooLarge where the list is longer than a plan may be,
// CodeTampered where the plan is not what was compiled.
func (p *Planner) Expand(plan *writ.Plan, step *writ.Step, scope writ.Scope) (*writ.Expansion, error) {
	r := &resolver{planner: p, plan: plan, step: step, scope: &scope, op: "step " + step.Name}
	if step.ForEach == nil {
		return nil, writ.Errorf(writ.CodeInvalid, r.op, "it has no forEach")
	}
	if step.When != nil && !readsItem(step.When.Reads) {
		runs, err := r.condition()
		if err != nil || !runs {
			return &writ.Expansion{Skip: err == nil}, err
		}
	}
	value, err := r.evaluate(placed{step.ForEach, "forEach"})
	if err != nil {
		return nil, err
	}
	list, ok := value.([]any)
	if !ok {
		return nil, r.fail(writ.CodeInvalid, found("", "give a list", "forEach is not a list"), "forEach")
	}
	if len(list) > writ.MaxPlanSteps {
		return nil, r.fail(writ.CodeTooLarge, found("", "give a shorter list, or let the action take the list", "the list has %d elements, at most %d are taken", len(list), writ.MaxPlanSteps), "forEach")
	}
	out := &writ.Expansion{Items: make([]json.RawMessage, len(list)), Labels: r.runLabels(step.ForEach)}
	if step.When != nil && plan.Rules > 0 { // of a list all of whose elements it leaves out, too
		out.Labels = writ.JoinLabels(out.Labels, r.runLabels(step.When))
	}
	for i, item := range list {
		if out.Items[i], err = canon.MarshalJSON(item); err != nil {
			return nil, &writ.Error{Code: writ.CodeInvalid, Op: r.op, Place: "forEach", Message: "an element has no canonical form", Err: err, Fix: numberFix}
		}
	}
	out.List, err = canon.MarshalJSON(out.Items)
	if err == nil && len(out.List) > maxInputBytes {
		err = r.fail(writ.CodeTooLarge, found("", "pass less data to the step", "the list has %d bytes, at most %d are taken", len(out.List), maxInputBytes), "forEach")
	}
	return out, err
}

// itemShape is the shape of `item` of a plan's step, and the key of all that it
// depends on.
func (r *resolver) itemShape() (*shape, string, error) {
	list := r.iterating().ForEach
	if list == nil {
		return nil, "", writ.Errorf(writ.CodeTampered, r.op, "it reads an element and has no forEach")
	}
	run, err := r.runnable(placed{list, "forEach"})
	if err != nil {
		return nil, "", err
	}
	element, _ := elementOf(run.shape)
	return element, run.key, nil
}

// itemVariables are the element and its index.
func (r *resolver) itemVariables(vars map[string]any, element *shape) error {
	if r.scope.Item == nil {
		return writ.Errorf(writ.CodeInvalid, r.op, "there is no element to resolve it with")
	}
	value, err := canon.Decode(r.scope.Item.Value)
	if err != nil {
		return writ.Errorf(writ.CodeInvalid, r.op, "its element is not JSON: %w", err)
	}
	vars[rootItem], vars[rootIndex] = toCEL(value, element), int64(r.scope.Item.Index)
	return nil
}

// itemLabels are the labels that an expression has from the element.
func (r *resolver) itemLabels(e *writ.Expression) []writ.Label {
	list := r.iterating().ForEach
	if list == nil || !readsItem(e.Reads) {
		return nil
	}
	return r.runLabels(list)
}
